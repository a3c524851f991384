"""The ball around a guess in which nothing but inputs near the guess has the features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from time import perf_counter

import numpy as np
from jaxtyping import Float64

from fiberscope.checker.matrices import NotProvedError, is_dense
from fiberscope.checker.modulus import Near, near
from fiberscope.checker.reading import LayerRows
from fiberscope.checker.slopes import images, secants
from fiberscope.network.arrays import FloatArray

SMALLER = 4.0
"""By how much a ball is made smaller where nothing is proved on it."""

MAX_ROUNDS = 8
"""How often the smaller ball that is left is looked at again."""

WORTH = 0.9
"""A round that leaves more than that share of the distance is not worth its time."""


@dataclass(frozen=True, eq=False)
class Ball:
    """Inputs of the ball that have the features are near its center; ``checker.modulus.near`` proves how near.

    Attributes:
        center: (n,).
        radius: of the ball; inf for all inputs.
        rounds: how often the checker asks for the smaller ball that is left.
    """

    center: Float64[FloatArray, " n"]
    radius: float
    rounds: int


def search_ball(
    chain: tuple[LayerRows, ...],
    center: Float64[FloatArray, " n"],
    low: Float64[FloatArray, " m"],
    high: Float64[FloatArray, " m"],
    reach: float,
    until: float = inf,
) -> tuple[Ball, Near] | None:
    """The largest ball, up to a factor, on which the distance from its center is proved to be less than its radius.

    Args:
        chain: affine maps and clips from the input to the features.
        center: the guess.
        low: bounds on the features.
        high: likewise.
        reach: how far inputs of the domain are from the center at most; a ball that large counts as all inputs.
        until: when to stop, on the clock of ``perf_counter``.

    Returns:
        The ball, and what is proved in it; None where no ball was found.
    """
    for radius in _radii(chain, center, low, high, reach):
        if perf_counter() > until:
            return None
        found = _near(chain, center, radius, low, high, 1)
        if found is not None and found.distance < radius:
            return _repeated(chain, center, radius, low, high, found, until)
    return None


def _radii(
    chain: tuple[LayerRows, ...], center: FloatArray, low: FloatArray, high: FloatArray, reach: float
) -> Iterator[float]:
    """Radii to try, from the largest: none below what the linear map at the center leaves open."""
    least, size = _linear_distance(chain, center, low, high)
    if not np.isfinite(least):
        return
    yield inf if len(chain) == 1 else reach
    radius = reach if np.isfinite(reach) else size
    if len(chain) > 1:
        while (radius := radius / SMALLER) > least:
            yield radius
        yield least * (2.0 if least > 0 else 1.0)


def _linear_distance(
    chain: tuple[LayerRows, ...], center: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[float, float]:
    """How far inputs would be if the network were what it is at the center; inf where that tells some apart from none.

    With it, a length that inputs have.
    """
    told = (low > chain[-1].low) & (high < chain[-1].high)
    if told.sum() < len(center):
        return inf, 0.0
    try:
        z, rows = _linear_map(chain, center)
    except NotProvedError:  # numbers beyond float64
        return inf, 0.0
    beta = np.maximum(np.abs(high - z), np.abs(low - z))[told]
    sigma, norm = (float(value) for value in np.linalg.svd(rows[told], compute_uv=False)[[-1, 0]])
    if not sigma > np.finfo(np.float64).eps * norm:
        return inf, 0.0
    size = float(np.linalg.norm(center)) + float(np.linalg.norm(z)) / norm
    return float(np.linalg.norm(beta)) / sigma, size


def _linear_map(chain: tuple[LayerRows, ...], center: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(m,) what the last layer's units receive at a point, and the derivative of that, (m, n)."""
    first = chain[0].weight
    z, rows = center, first if is_dense(first) else first.toarray()
    for number, layer in enumerate(chain):
        z, rows = layer.weight @ z + layer.bias, layer.weight @ rows if number else rows
        if number + 1 < len(chain):
            curved, slope = layer.curves.monotone, secants(layer.curves, z, z)[1]
            rows = rows * np.where(curved, slope, (z > layer.low) & (z < layer.high))[:, None]
            z = np.where(curved, images(layer.curves, z, np.zeros(len(z)))[0], np.clip(z, layer.low, layer.high))
    return z, rows


def _repeated(
    chain: tuple[LayerRows, ...],
    center: FloatArray,
    radius: float,
    low: FloatArray,
    high: FloatArray,
    found: Near,
    until: float,
) -> tuple[Ball, Near]:
    rounds = 1
    while len(chain) > 1 and rounds < MAX_ROUNDS and perf_counter() < until:
        again = _near(chain, center, found.distance, low, high, 1)
        if again is None or not again.distance < WORTH * found.distance:
            break
        found, rounds = Near(np.minimum(found.widths, again.widths), again.distance), rounds + 1
    return Ball(center, radius, rounds), found


def _near(
    chain: tuple[LayerRows, ...], center: FloatArray, radius: float, low: FloatArray, high: FloatArray, rounds: int
) -> Near | None:
    try:
        return near(chain, center, radius, low, high, rounds)
    except NotProvedError:
        return None


__all__ = ["Ball", "search_ball"]
