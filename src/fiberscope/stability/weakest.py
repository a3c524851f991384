"""Linear regions near a point whose maps shrink some direction most: upper bounds on the modulus of an inverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.checker.affine import dense
from fiberscope.checker.matrices import norm_above
from fiberscope.checker.modulus import attained, region_at
from fiberscope.checker.reading import LayerRows
from fiberscope.network.arrays import FloatArray
from fiberscope.stability.powers_of_two import exponent_of, times_power

_linalg: Any = cast(Any, scipy.linalg)

INSIDE = 1.0 - 2.0**-20
"""By which share of the radius points are from the center at most: the ball is closed, and sums are rounded."""


DECOMPOSED = 1024
"""Inputs up to which the weakest direction of each region is found, in a second; of more, that of the center."""


@dataclass(frozen=True, eq=False)
class Weakest:
    """The smallest stretch that was met.

    Attributes:
        value: proved by the checker.
        point: (n,) an input of the region.
        direction: (n,) of length 1.
    """

    value: float
    point: Float64[FloatArray, " n"]
    direction: Float64[FloatArray, " n"]


def weakest_met(
    chain: Sequence[LayerRows],
    center: Float64[FloatArray, " n"],
    radius: float,
    points: int,
    generator: np.random.Generator,
) -> Weakest:
    """The smallest singular value over some linear regions that a ball meets.

    From the center one goes along the weakest direction met so far to the end of the ball, where units turn off that
    this direction moves most; and to points on the sphere at random.
    """
    best = _at(chain, center, None)
    known = len(center) > DECOMPOSED
    for number in range(points):
        for point in _points(center, radius, best.direction if number % 2 == 0 else None, generator):
            found = _at(chain, point, best.direction if known else None)
            best = found if found.value < best.value else best
            if best.value == 0.0:
                return best
    return best


def _points(
    center: FloatArray, radius: float, along: FloatArray | None, generator: np.random.Generator
) -> Iterator[FloatArray]:
    if along is None or not along.any():
        along = generator.standard_normal(len(center))
    step = along * (radius * INSIDE / float(np.linalg.norm(along)))
    for point in (center + step, center - step):
        if norm_above(point - center) <= radius:  # it is not where the center is so large that steps are rounded off
            yield point


def _at(chain: Sequence[LayerRows], point: FloatArray, direction: FloatArray | None) -> Weakest:
    """What the region at a point does to a direction; to its weakest one where none is given."""
    J: FloatArray = dense(region_at(chain, point).matrix)
    ones, is_narrow = np.ones(len(point)), len(J) < len(point)
    if is_narrow or not np.isfinite(J).all():
        return Weakest(attained(chain, point, ones) if is_narrow else np.inf, point, ones)
    direction = _weakest_direction(J) if direction is None else direction
    return Weakest(attained(chain, point, direction), point, direction)


def _weakest_direction(J: FloatArray) -> FloatArray:
    """The right singular vector of the smallest singular value, whatever the units."""
    scaled = times_power(J, -exponent_of(J))
    return _linalg.eigh(scaled.T @ scaled, subset_by_index=(0, 0))[1][:, 0].copy()


__all__ = ["Weakest", "weakest_met"]
