"""The sign patterns of many samples, settled exactly, as the rows that hold and bound each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.signs import exact_signs_of_many
from fiberscope.preimage.bitsets import Bitsets
from fiberscope.preimage.system import check_inside
from fiberscope.threads import in_threads

BLOCK = 256
"""Samples whose pre-activations are in memory at a time, on each thread."""


@dataclass(frozen=True, eq=False)
class Patterns:
    """The rows of each of N samples, by the row numbers of ``fiberscope.preimage.candidate``.

    Attributes:
        positive: the rows P of each.
        tight: the inequality rows that hold with equality at each.
        positives: (N,) the number of positive outputs of each, without rows that only define coordinates.
    """

    positive: Bitsets
    tight: Bitsets
    positives: IntArray


def settle_patterns(layer: ReLULayer, domain: Polyhedron, X: FloatArray, threads: int = 1) -> Patterns:
    """Settle the sign patterns of the samples X (N, n) exactly.

    Raises:
        InputError: a sample outside the domain; the first one is named.
    """

    def settled(start: int) -> tuple[Bitsets, Bitsets, IntArray]:
        return _settled(layer, domain, X[start : start + BLOCK], start)

    parts = list(in_threads(settled, range(0, len(X), BLOCK), threads))
    positive, tight, counts = zip(*parts, strict=True)
    return Patterns(Bitsets.stacked(positive), Bitsets.stacked(tight), np.concatenate(counts))


def _settled(layer: ReLULayer, domain: Polyhedron, X: FloatArray, start: int) -> tuple[Bitsets, Bitsets, IntArray]:
    half = exact_signs_of_many(domain.G, X, -domain.h)
    outside = ((domain.low > X) | (domain.high < X)).any(axis=1) | (half > 0).any(axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        try:
            check_inside(domain, X[first])
        except InputError as error:
            what = f"X[{start + first}]"
            raise InputError(what, expected=error.expected, got=error.got, hint=error.hint) from error
    sign = exact_signs_of_many(layer.weight, X, layer.bias)
    equality = (sign > 0) | layer.injective  # a strictly monotone activation fixes its pre-activation
    tight: BoolArray = np.hstack([(sign == 0) & ~equality, domain.low == X, domain.high == X, half == 0])
    held = np.zeros_like(tight)
    held[:, : layer.outputs] = equality
    return Bitsets.of(held), Bitsets.of(tight), equality[:, layer.definitions :].sum(axis=1)


__all__ = ["Patterns", "settle_patterns"]
