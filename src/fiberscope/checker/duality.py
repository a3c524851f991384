"""How far a preimage reaches along directions: weak duality, from multipliers that nobody vouches for.

Let d lead from an anchor to a point of the preimage, so that ``low_i <= R_i d <= high_i`` on the layer's rows and the
half-spaces, and ``below_j <= d_j <= above_j``. For every w that is positive only where there is an upper side, and
negative only where there is a lower one,

    c d  <=  sum_i (w_i > 0 ? high_i : low_i) w_i  +  sum_j max(r_j below_j, r_j above_j),    r = c - R^T w.

Bounds on coordinates that follow so are a box to begin again with: what is left of r counts for less in it. All is
evaluated in float64 and rounded outwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.checker import exact
from fiberscope.checker.anchored import Anchored, Gaps, blocks, combined
from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    FloatArray,
    IntArray,
    Matrix,
    NotProvedError,
    is_dense,
    norm_above,
    relative_error,
)

TIGHTENINGS = 16
"""How often bounds on coordinates become the box at most: any number is sound, and gains shrink geometrically."""

GAINED = 0.99
"""The share of its width that a coordinate must lose for another time to be worth it."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """What multipliers prove, from the anchor: ``-low <= c d <= high`` up to nothing; both include ``error``.

    Attributes:
        low: (k,) upper bounds on ``-c d``.
        high: (k,) upper bounds on ``c d``.
        error: two of (k,): how much of these is rounding.
        below: (n,) ``d_j >= below_j``, by these where they are about coordinates, and by the domain.
        above: (n,) ``d_j <= above_j``, likewise.
    """

    low: FloatArray
    high: FloatArray
    error: tuple[FloatArray, FloatArray]
    below: FloatArray
    above: FloatArray

    def widened(self, times: float, directions: FloatArray) -> Bounds:
        """Less than what was proved, by a multiple of what is rounded."""
        low, high = (side + times * error for side, error in zip((self.low, self.high), self.error, strict=True))
        column, unit = single(directions)
        free = np.zeros(len(self.below), dtype=np.bool_)
        free[column[column >= 0]] = True
        below, above = _tightened(
            np.where(free, -np.inf, self.below), np.where(free, np.inf, self.above), column, unit, low, high
        )
        return Bounds(low, high, self.error, below, above)


def bounds(known: Anchored, directions: FloatArray, multipliers: tuple[Any, Any]) -> Bounds:
    """What multipliers prove of directions.

    Raises:
        NotProvedError: these are no directions, or no multipliers.
    """
    s, asked = known.system, known.question
    if directions.dtype != np.float64 or directions.ndim != 2 or directions.shape[1] != known.rows.n:
        raise NotProvedError(f"directions are not made of {known.rows.n} float64 numbers each")
    if not np.isfinite(directions).all():
        raise NotProvedError("directions are not finite")
    below, above = s.box_low - asked.anchor, s.box_high - asked.anchor
    below = np.maximum(below - 2.0**-52 * np.abs(below), -asked.reach)
    above = np.minimum(above + 2.0**-52 * np.abs(above), asked.reach)
    parts = [
        _residuals(known, sign * directions, w, below, above) for sign, w in zip((-1, 1), multipliers, strict=True)
    ]
    column, unit = single(directions)
    for _ in range(TIGHTENINGS):
        found = [part.largest(below, above, asked.reach) for part in parts]
        tighter = _tightened(below, above, column, unit, found[0][0], found[1][0])
        before, (below, above) = above - below, tighter
        if not (above - below < GAINED * before).any():
            break
    (low, low_error), (high, high_error) = (part.largest(below, above, asked.reach) for part in parts)
    below, above = _tightened(below, above, column, unit, low, high)
    return Bounds(low, high, (low_error, high_error), below, above)


def _residuals(
    known: Anchored, directions: FloatArray, multipliers: Any, below: FloatArray, above: FloatArray
) -> _Residuals:
    """What multipliers leave of directions."""
    stack, count, n = known.rows.stack, len(directions), known.rows.n
    if multipliers.dtype not in (np.float32, np.float64):
        raise NotProvedError("multipliers are no float numbers")
    if multipliers.shape != (count, stack.shape[0]):
        raise NotProvedError(f"there are not {stack.shape[0]} multipliers for each of {count} directions")
    used = np.flatnonzero((multipliers != 0).any(axis=0))  # NaN is not 0 either
    stack, sides = stack[used], Gaps(known.gaps.low[used], known.gaps.high[used])
    sizes, infinite = np.abs(stack), np.flatnonzero(np.isinf(below) | np.isinf(above))
    out = _Residuals(np.zeros(count), np.zeros(count), np.zeros(directions.shape), np.zeros(directions.shape))
    for some in blocks(count, max(n, stack.shape[0])):
        w, c = multipliers[some][:, used].astype(np.float64), directions[some]
        out.cost[some], out.cost_error[some] = _costs(sides, w)
        size = combined(np.abs(w), sizes)
        residual = c - combined(w, stack)
        error = relative_error(stack.shape[0] + 1) * (np.abs(c) + size)
        error += 4.0 * (stack.shape[0] + 1) * SMALLEST_NORMAL
        error[~w.any(axis=1)] = 0.0
        if len(infinite):
            _settle(stack, residual, error, c, w, infinite)
        finite = np.isfinite(residual).all(axis=1) & np.isfinite(error).all(axis=1)
        out.cost[some] = np.where(finite, out.cost[some], np.inf)
        out.residual[some], out.error[some] = residual, error
    return out


def _costs(sides: Gaps, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``sum_i (w_i > 0 ? high_i : low_i) w_i``, inf where a side is not there, and bounds on what is rounded."""
    up, down = np.where(w > 0, w, 0.0), np.where(w < 0, w, 0.0)
    high, low = (np.where(np.isfinite(side), side, 0.0) for side in (sides.high, sides.low))
    cost = up @ high + down @ low
    size = up @ np.abs(high) - down @ np.abs(low)
    wrong = ((w > 0) & ~np.isfinite(sides.high)) | ((w < 0) & ~np.isfinite(sides.low)) | ~np.isfinite(w)
    terms = 2 * w.shape[1]
    error = relative_error(terms) * size + np.where(w.any(axis=1), 4.0 * terms * SMALLEST_NORMAL, 0.0)
    return np.where(wrong.any(axis=1), np.inf, cost), error


def _settle(
    stack: Matrix, residual: FloatArray, error: FloatArray, c: FloatArray, w: FloatArray, columns: IntArray
) -> None:
    """Make residuals exact in columns without an end, where the sign of what may be 0 decides all."""
    part = stack[:, columns]
    met = combined((w != 0).astype(np.float64), (part != 0).astype(np.float64)) > 0
    error[:, columns] = np.where(met, error[:, columns], 0.0)
    doubtful = (np.abs(residual[:, columns]) <= error[:, columns]) & (error[:, columns] > 0)
    asked = np.flatnonzero(doubtful.any(axis=1) & np.isfinite(w).all(axis=1))
    if len(asked) * len(columns) * w.shape[1] > exact.MAX_ENTRIES:
        return
    for k in asked:
        here = columns[doubtful[k]]
        across = stack[:, here]
        across = np.ascontiguousarray(across.T) if is_dense(across) else across.T.tocsr()
        for j, number in zip(here, exact.products(across, w[k]), strict=True):
            left = exact.total([float(c[k, j])]) - number
            residual[k, j] = float(left) if abs(left) < 2**1000 else np.inf
            error[k, j] = abs(residual[k, j]) * 2.0**-50 + SMALLEST_NORMAL if left else 0.0


@dataclass(frozen=True, eq=False)
class _Residuals:
    """What is left of directions c: costs (k,) of multipliers, ``r = c - R^T w`` (k, n), and bounds on their errors."""

    cost: FloatArray
    cost_error: FloatArray
    residual: FloatArray
    error: FloatArray

    def largest(self, below: FloatArray, above: FloatArray, reach: float) -> tuple[FloatArray, FloatArray]:
        """Upper bounds on ``c d`` over a box and a ball, and how much of them is rounding, which they include."""
        value, error = np.empty(len(self.cost)), np.empty(len(self.cost))
        for some in blocks(len(value), len(below)):
            r, e = self.residual[some], self.error[some]
            total, size, doubt = _most(r, e, below, above)
            rounding = relative_error(len(below) + 4) * (size + doubt + np.abs(self.cost[some]))
            rounding += self.cost_error[some]
            rounding += np.where((r != 0).any(axis=1), 8.0 * len(below) * SMALLEST_NORMAL, 0.0)
            value[some] = self.cost[some] + total + doubt + rounding
            error[some] = rounding + doubt
            if reach < np.inf:  # the ball alone
                length = np.array([norm_above(each) for each in np.abs(r) + e]) * reach * ROUNDING
                by_ball = self.cost[some] + length
                by_ball += 2.0**-50 * (np.abs(self.cost[some]) + length) + self.cost_error[some]
                nearer = by_ball < value[some]
                value[some] = np.where(nearer, by_ball, value[some])
                rounding = 2.0**-44 * (np.abs(self.cost[some]) + length) + self.cost_error[some]
                error[some] = np.where(nearer, rounding, error[some])
        value = np.where(np.isnan(value), np.inf, value)
        return value, np.where(np.isfinite(value), error, 0.0)


def _most(
    r: FloatArray, e: FloatArray, below: FloatArray, above: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(k,) the largest ``r d`` for d between two ends, the size of its terms, and what an error e of r adds at most.

    Ends may be infinite: 0 times these is 0.
    """
    ends = np.isfinite(below), np.isfinite(above)
    low, high = np.where(ends[0], below, 0.0), np.where(ends[1], above, 0.0)
    up, down = np.maximum(r, 0.0), np.maximum(-r, 0.0)
    total, size = up @ high - down @ low, up @ np.abs(high) + down @ np.abs(low)
    doubt = e @ np.maximum(np.abs(low), np.abs(high))
    for end, part, sign in ((above, up, 1.0), (below, down, -1.0)):
        columns = np.flatnonzero(np.isinf(end))
        # what is more than 0, up to its error, leads there; an end that no number meets lets nothing through
        leads = (part[:, columns] > 0) | (e[:, columns] >= np.abs(r[:, columns])) & (e[:, columns] > 0)
        total = np.where((leads & (sign * end[columns] > 0)).any(axis=1), np.inf, total)
    return total, size, doubt


def _tightened(
    below: FloatArray, above: FloatArray, column: IntArray, unit: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The box with what is proved of directions ``unit e_column``; column -1 for others."""
    some = np.flatnonzero(column >= 0)
    at, up = column[some], unit[some] > 0
    most, least = np.where(up, high[some], low[some]), -np.where(up, low[some], high[some])
    below, above = below.copy(), above.copy()
    np.minimum.at(above, at, most)
    np.maximum.at(below, at, least)
    return below, above


def single(directions: FloatArray) -> tuple[IntArray, FloatArray]:
    """Which directions are coordinates or their negatives: the coordinate, or -1; and the sign."""
    one = ((directions != 0).sum(axis=1) == 1) & (np.abs(directions).sum(axis=1) == 1)
    column = np.where(one, np.abs(directions).argmax(axis=1), -1)
    return column, np.where(one, directions.sum(axis=1), 0.0)


__all__ = ["Bounds", "bounds", "single"]
