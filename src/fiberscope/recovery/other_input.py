"""Another input with the same features, to the precision that they are known to: what nobody can tell from the guess.

Along the input direction that the features tell least of, points are far away before the features change. Descents
from there end where all outputs lie in what is known of them, or fail. Nothing of that is trusted: what the network
gives at a point is bounded with rounding (``fiberscope.checker.forward``).
"""

from __future__ import annotations

from math import inf

import numpy as np
from jaxtyping import Float64

from fiberscope.checker import forward
from fiberscope.checker.matrices import NotProvedError
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network
from fiberscope.recovery.attack import Inside
from fiberscope.recovery.proof import stages_of
from fiberscope.recovery.question import Known, Subject

AS_FAR = 4.0
"""How far along it descents begin, over how far the domain goes; what is beyond it is put back onto it."""


def other_input(
    subject: Subject, known: Known, x: Float64[FloatArray, " n"], until: float = inf
) -> Float64[FloatArray, " n"] | None:
    """The farthest from x that is found; None for none, or where x itself is not proved to have the features.

    Args:
        subject: a layer of a network.
        known: its features.
        x: a guess.
        until: when to end, on the clock of ``perf_counter``.
    """
    if subject.network is None or not has_features(subject.network, subject.layer, known, x):
        return None
    inside = Inside(subject, known.y, known.domain, known.within)
    J, box = inside.jacobian(x), known.box(len(x))
    free: BoolArray = (box.low < x) & (x < box.high)
    if J is None or not free.any() or not np.isfinite(J).all():
        return None
    starts = _along(_least_told(J[:, free]), free, x, box)
    ends = inside.reached(starts, until)
    far = np.argsort(-np.linalg.norm(ends - x, axis=1))
    return next(
        (p for p in ends[far] if (p != x).any() and has_features(subject.network, subject.layer, known, p)), None
    )


def has_features(network: Network, layer: int, known: Known, x: Float64[FloatArray, " n"]) -> bool:
    """Whether it is proved that x lies in the domain and what the layer gives at x in what is known of it."""
    box = known.box(len(x))
    if not ((box.low <= x) & (x <= box.high)).all() or len(box.h):
        return False
    stage, (least, most) = network.placed_layers[layer].stage, known.outputs
    try:
        low, high = forward.bounds(stages_of(network), x, x, last=stage)[stage]
    except NotProvedError:
        return False
    return bool(((least <= low) & (high <= most)).all())


def _least_told(J: FloatArray) -> Float64[FloatArray, " free"]:
    """A direction of length one that J shrinks most: the last right singular vector, or one that J maps to 0."""
    n = int(J.shape[1])
    if len(J) >= n:
        return np.asarray(np.linalg.svd(J, full_matrices=False)[2][-1], dtype=np.float64)
    rows: FloatArray = np.asarray(np.linalg.qr(J.T)[0], dtype=np.float64)
    v: FloatArray = np.random.default_rng(0).standard_normal(n)
    for _ in range(2):  # once leaves rounding of v behind
        told: FloatArray = np.asarray(rows @ np.asarray(rows.T @ v, dtype=np.float64), dtype=np.float64)
        np.subtract(v, told, out=v)
    return v / float(np.linalg.norm(v))


def _along(v: FloatArray, free: BoolArray, x: FloatArray, box: Polyhedron) -> Float64[FloatArray, "2 n"]:
    """Points both ways along a direction of the free coordinates."""
    V = np.zeros((2, len(x)))
    V[:, free] = v, -v
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(V > 0, (box.high - x) / V, np.where(V < 0, (box.low - x) / V, inf)).min(axis=1)
    room = np.where(np.isfinite(room), room, np.linalg.norm(x))[:, None]
    return np.clip(x + AS_FAR * room * V, box.low, box.high)


__all__ = ["has_features", "other_input"]
