"""The analytic center of a polytope: where the product of all slacks is largest, by Newton's method.

There the Hessian of ``-sum log(slack)`` measures how far the polytope reaches in every direction: the polytope holds
``|H^(1/2) (d - center)| <= 1`` and lies in an ellipsoid that is larger by the number of sides (Y. Nesterov,
A. Nemirovskii, Interior-point polynomial algorithms in convex programming, 1994, section 2.3). Rows and coordinates in
other units give the same ellipsoid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.tensors import cholesky, cholesky_solve, gram

NARROW = 2.0**-20
"""Sides that are nearer to each other, beside the size of their row, are moved apart for the search, in which float64
would not resolve them; what is flat has a center then, too."""

NEAR = 0.3
"""The decrement in the barrier's own norm at which Newton's method ends: the ellipsoid is right up to a third."""

STEPS = 60
"""Newton steps after which the best point is good enough; some ten are usual."""

BISECTIONS = 30
"""Of a line search."""


@dataclass(frozen=True, eq=False)
class Polytope:
    """``{d : low <= rows d <= high, below <= d <= above}``, with finite bounds of d.

    Attributes:
        rows: (M, n).
        low: (M,) -inf where there is no lower side.
        high: (M,) inf where there is no upper side.
        below: (n,)
        above: (n,)
    """

    rows: FloatArray
    low: FloatArray
    high: FloatArray
    below: FloatArray
    above: FloatArray

    def scaled(self) -> tuple[Polytope, FloatArray, FloatArray]:
        """The same with rows and coordinates of size one, without rows that say nothing.

        Coordinates without room, on which nothing depends, are let go: they are in no row, and between -1 and 1.

        Returns:
            It; the units (n,) of coordinates, ``d = units d'``; and for its rows, the factors (M,) that they were
            multiplied with, 0 for those left out. All are powers of two.
        """
        room = self.above - self.below
        units = np.where(room > 0, np.ldexp(1.0, np.frexp(room)[1]), 1.0)
        rows = np.where(room > 0, self.rows * units, 0.0)
        size = np.abs(rows).max(axis=1, initial=0.0)
        kept = (size > 0) & (np.isfinite(self.low) | np.isfinite(self.high))
        factors = np.where(kept, np.ldexp(1.0, -np.frexp(np.where(kept, size, 1.0))[1]), 0.0)
        by = factors[kept]
        below, above = (
            np.where(room > 0, side / units, sign) for side, sign in ((self.below, -1.0), (self.above, 1.0))
        )
        polytope = Polytope(rows[kept] * by[:, None], self.low[kept] * by, self.high[kept] * by, below, above)
        return polytope, units, factors

    @property
    def flat(self) -> BoolArray:
        """(M + n,) the rows with two sides that float64 would hardly resolve, coordinates last."""
        rows, low, high = self.stacked()
        return high - low < NARROW * (np.abs(rows) @ (self.above - self.below))

    def stacked(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """All rows and their sides, coordinates last."""
        every = np.concatenate([self.rows, np.eye(len(self.below))])
        return every, np.append(self.low, self.below), np.append(self.high, self.above)


@dataclass(frozen=True, eq=False)
class Center:
    """A point, and by what slacks a polytope is measured there.

    Attributes:
        point: (n,)
        weights: (M + n,) of all rows, coordinates last: ``H = sum_i weights_i R_i^T R_i``.
        factor: (n, n) the lower triangular factor of H; None where float64 does not resolve it, or the time is over.
        slack: two of (M + n,): how far the lower and the upper side are, at least what float64 resolves.
    """

    point: Float64[FloatArray, " n"]
    weights: Float64[FloatArray, " all"]
    factor: Tensor | None
    slack: tuple[FloatArray, FloatArray]


def analytic_center(polytope: Polytope, point: Float64[FloatArray, " n"], budget: Budget = NO_LIMIT) -> Center:
    """The center of a polytope of size one, from a point of it or next to it.

    Sides are moved apart until the point has slack, and back as far as it gets any of its own.
    """
    rows, low, high = polytope.stacked()
    size, width, flat = np.abs(rows) @ (polytope.above - polytope.below), high - low, polytope.flat
    low, high = np.where(flat, low - NARROW * size, low), np.where(flat, high + NARROW * size, high)
    room, apart = np.where(flat, size * NARROW, np.minimum(width, size)), np.inf
    factor, over, under, weights = None, width, width, width
    for step in range(STEPS + 1):
        value = rows @ point
        beyond = float((np.maximum(value - high, low - value) / room).max())
        apart = min(apart, 0.0 if beyond < -NARROW else max(1.25 * beyond, 0.0) + NARROW)
        over, under = high + apart * room - value, value - low + apart * room
        weights: FloatArray = over**-2.0 + under**-2.0
        slope: FloatArray = rows.T @ (1.0 / over - 1.0 / under)
        factor = None if budget.is_over else cholesky(gram(torch.from_numpy(rows * np.sqrt(weights)[:, None])))
        if factor is None:
            break
        move: FloatArray = -cholesky_solve(factor, torch.from_numpy(slope)).numpy()
        if step == STEPS or (apart == 0 and -slope @ move < NEAR**2):
            break
        point = point + _length(rows @ move, over, under) * move
    return Center(point, weights, factor, (under, over))


def _length(along: FloatArray, over: FloatArray, under: FloatArray) -> float:
    """How far to go for the largest product of slacks, by bisection of its slope."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.where(along > 0, over / along, np.where(along < 0, -under / along, np.inf))
    shortest, longest = 0.0, 0.99 * float(ends.min())
    for _ in range(BISECTIONS):
        length = 0.5 * (shortest + longest)
        falls = along @ (1.0 / (over - length * along) - 1.0 / (under + length * along)) < 0
        shortest, longest = (length, longest) if falls else (shortest, length)
    return shortest


__all__ = ["Center", "Polytope", "analytic_center"]
