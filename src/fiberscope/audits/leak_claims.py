"""What proves a row of leakage, in and out of arrays: enough to check again what the row claims, and no more.

What one row's proof takes is limited: multipliers of all coordinates of a large layer are as many as its weights. A row
without its proof says so (``NOT_KEPT``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.audits.multiplier_arrays import Arrays, arrays_of_pair, arrays_of_steps, stored_pair, stored_steps
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.preimages.certificate import Certificate
from fiberscope.preimages.coarsest import BOUNDED, CoarsestPrecision
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.preimage import Preimage
from fiberscope.recovery.ball import Ball
from fiberscope.recovery.duals import Duals
from fiberscope.recovery.leak_question import LeakAnswer
from fiberscope.recovery.proof import Proof
from fiberscope.recovery.recovery import Recovery, Scope

LARGEST_PROOF = 16_000_000
"""Bytes of one row's proof up to which it is kept."""

NOT_KEPT = "not-kept"
_NO_DIMENSION = -9


def claims_of(answer: LeakAnswer) -> Arrays:
    """The arrays that stand behind the rows of an answer."""
    out: Arrays = {} if answer.received is None else {"received": answer.received}
    for k, found in enumerate(answer.recoveries):
        if found is not None:
            out |= _under(f"{k}/", _recovery(found))
    for k, kind in enumerate(answer.kinds):
        if kind is not None and kind.kind in BOUNDED:
            out |= _under(f"{k}/itself/", _preimage(kind))
    if answer.coarsest is not None:
        out["coarsest/ends"] = np.array([answer.coarsest.eps, answer.coarsest.lower, answer.coarsest.upper])
        for name in ("bounded", "unbounded"):
            if (proof := getattr(answer.coarsest, name)) is not None:
                out |= _under(f"coarsest/{name}/", _preimage(proof))
    return out


def stored_recovery(net: Network, layer: int, domain: Domain, arrays: Mapping[str, NDArray[Any]], row: int) -> Recovery:
    """The recovery of a row, which claims what is stored; KeyError or another error where that is malformed."""
    own = _below(f"{row}/", arrays)
    radius, distance, residual = own["numbers"].tolist()
    exact, contradiction = (bool(flag) for flag in own["flags"].tolist())
    return Recovery(
        net, layer, own["features"], own["within"], domain, None, own["x"], own["low"], own["high"],
        Scope(str(own["scope"])), radius, distance, exact, contradiction, residual,
        proof=_stored_proof(own, net.relu_layers[layer]),
    )  # fmt: skip


def stored_kind(arrays: Mapping[str, NDArray[Any]], prefix: str, about: Preimage) -> Preimage:
    """A verdict that was stored under a name, about another one's layer, input and domain."""
    own = _below(prefix, arrays)
    dimension, bounds = int(own["dimension"]), tuple(own["bounds"].tolist())
    return replace(
        about,
        kind=Kind(str(own["kind"])),
        dimension=None if dimension == _NO_DIMENSION else dimension,
        dimension_bounds=bounds or None,
        certificate=Certificate.from_bytes(own["certificate"].tobytes()),
        within=own["within"] if own["within"].ndim else float(own["within"]),
    )


def stored_coarsest(arrays: Mapping[str, NDArray[Any]], about: Preimage) -> CoarsestPrecision:
    """The coarsest precision that was stored, of the layer and input that a verdict is about."""
    eps, lower, upper = arrays["coarsest/ends"].tolist()
    assert about.x is not None, "the verdicts are about an input"
    bounded, unbounded = (_stored_side(arrays, f"coarsest/{name}/", about) for name in ("bounded", "unbounded"))
    return CoarsestPrecision(about.layer, about.domain, about.x, eps, lower, upper, bounded, unbounded)


def _stored_side(arrays: Mapping[str, NDArray[Any]], prefix: str, about: Preimage) -> Preimage | None:
    return stored_kind(arrays, prefix, about) if _below(prefix, arrays) else None


def _preimage(p: Preimage) -> Arrays:
    return {
        "kind": np.array(str(p.kind)),
        "dimension": np.array(_NO_DIMENSION if p.dimension is None else p.dimension),
        "bounds": np.array(p.dimension_bounds or (), dtype=np.int64),
        "certificate": np.frombuffer(p.certificate.to_bytes(), dtype=np.uint8),
        "within": np.asarray(p.within, dtype=np.float64),
    }


def _recovery(r: Recovery) -> Arrays:
    claims: Arrays = {
        "features": r.features,
        "within": r.within,
        "x": np.asarray(r.x, dtype=np.float64),
        "low": np.asarray(r.low, dtype=np.float64),
        "high": np.asarray(r.high, dtype=np.float64),
        "scope": np.array(str(r.scope)),
        "numbers": np.array([r.radius, r.distance, r.residual]),
        "flags": np.array([r.exact, r.contradiction]),
    }
    if r.scope == Scope.NONE or r.contradiction:
        return claims
    proof = _proof(r.proof)
    if sum(array.nbytes for array in proof.values()) > LARGEST_PROOF:
        return claims | {NOT_KEPT: np.array(1)}
    return claims | proof


def _proof(proof: Proof) -> Arrays:
    out: Arrays = {}
    if proof.ball is not None:
        out |= {"ball/center": proof.ball.center, "ball/numbers": np.array([proof.ball.radius, proof.ball.rounds])}
    if proof.preimage is not None:
        out |= _under("about/", _preimage(proof.preimage))
        out |= {} if proof.preimage.x is None else {"about/x": proof.preimage.x}
    if proof.duals is not None:
        out |= {"duals/anchor": proof.duals.anchor} | arrays_of_pair("duals/", proof.duals.multipliers)
    return out | arrays_of_steps(proof.steps)


def _stored_proof(own: Arrays, layer: Any) -> Proof:
    ball, about, duals = None, None, None
    if "ball/center" in own:
        radius, rounds = own["ball/numbers"].tolist()
        ball = Ball(own["ball/center"], radius, int(rounds))
    if "about/kind" in own:
        nothing = Preimage(
            layer, None, own.get("about/x"), None, Kind.UNDECIDED, None, 0.0, Certificate(Kind.UNDECIDED, None)
        )
        about = stored_kind(own, "about/", nothing)
    if "duals/anchor" in own:
        duals = Duals(own["duals/anchor"], stored_pair("duals/", own))
    return Proof(ball, about, duals, stored_steps(own))


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {prefix + name: array for name, array in arrays.items()}


def _below(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


__all__ = ["NOT_KEPT", "claims_of", "stored_coarsest", "stored_kind", "stored_recovery"]
