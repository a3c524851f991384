"""Checking an invariance example: the original model on the path, and a proof in exact arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fiberscope.invariance.comparing import AnyOriginal, compare_features
from fiberscope.invariance.proof import Statement, prove
from fiberscope.network.domains import written_out
from fiberscope.preimage.checker import Verification

if TYPE_CHECKING:
    from fiberscope.invariance.example import InvarianceExample


def verify_example(example: InvarianceExample, original: AnyOriginal, *, points: int, seed: int) -> Verification:
    """See ``InvarianceExample.verify``."""
    if example.x.shape != example.source.shape or not np.isfinite(example.x).all():
        return Verification(False, "float", "the example is no input of the network")
    shares = np.sort(np.random.default_rng(seed).uniform(size=max(0, points)))
    X = np.concatenate([example.source[None], example.x[None], example.between(shares)])
    compared = compare_features(example.network, example.stage, X, original)
    if compared.failure:
        return Verification(False, "float", compared.failure)
    proof = prove(_statement(example))
    return Verification(proof.proved, "float", "; ".join(compared.notes) if proof.proved else proof.reason)


def _statement(example: InvarianceExample) -> Statement:
    network = example.network
    kept = np.zeros(network.inputs, dtype=np.bool_)
    kept[example.kept] = True
    domain = written_out(example.domain, network.inputs)
    return Statement(network, example.stage, example.source.ravel(), example.x.ravel(), domain, kept)


__all__ = ["verify_example"]
