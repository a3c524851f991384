"""Whether points belong to a preimage, exactly: by float64 where rounding cannot matter, else in rational numbers."""

from __future__ import annotations

import numpy as np

from fiberscope.checker import exact
from fiberscope.checker.anchored import Anchored, at_points, blocks
from fiberscope.checker.matrices import (
    SMALLEST_NORMAL,
    BoolArray,
    FloatArray,
    IntArray,
    relative_error,
    row_norms_above,
)


def inside(known: Anchored, points: FloatArray) -> BoolArray:
    """Which points are meant, exactly; NaN is none."""
    s, rows, asked = known.system, known.rows, known.question
    finite = np.isfinite(points)
    X = np.where(finite, points, asked.anchor)
    ok: BoolArray = np.asarray((finite & (s.box_low <= X) & (s.box_high >= X)).all(axis=1))
    chosen = np.flatnonzero(ok)
    for some in blocks(len(chosen), max(rows.n, rows.stack.shape[0])):
        ok[chosen[some]] = _inside_rows(known, X[chosen[some]])
    return ok


def _inside_rows(known: Anchored, X: FloatArray) -> BoolArray:
    rows, (minus, plus) = known.rows, known.slack
    products, lengths = at_points(X, rows.stack), row_norms_above(X)
    high, low, moving = _outputs(known)
    every = X, products, lengths
    above = rows.signs(*every, [rows.bias, -high, -plus])
    below = rows.signs(*every, [rows.bias, -low, minus])
    wrong = ((above > 0) & known.has_high & ~moving) | ((below < 0) & known.has_low & ~moving)
    out: BoolArray = np.asarray(~wrong.any(axis=1))
    if moving.any():
        out &= _moves_little(known, X, products, np.flatnonzero(moving))
    return out


def _outputs(known: Anchored) -> tuple[FloatArray, FloatArray, BoolArray]:
    """(m + q,) the known outputs, and which move with x, for which these say nothing."""
    rows, asked = known.rows, known.question
    if asked.x is None:
        assert asked.output_low is not None, "a question has an input or outputs"
        assert asked.output_high is not None, "both sides are given"
        return rows.beside(asked.output_high), rows.beside(asked.output_low), np.zeros(rows.height, dtype=np.bool_)
    x = asked.x[None]
    units = x, at_points(x, rows.stack), row_norms_above(x)
    above_low, above_high = (rows.signs(*units, [rows.bias, -side])[0] for side in (rows.low, rows.high))
    moving = (above_low > 0) & (above_high < 0)
    value = np.where(moving, 0.0, np.where(above_low <= 0, rows.low, rows.high))
    return value, value, moving


def _moves_little(known: Anchored, X: FloatArray, products: FloatArray, units: IntArray) -> BoolArray:
    """Whether ``R_i (x' - x)`` lies between ``-within_i`` and ``within_i``, where there are such sides, exactly."""
    asked, rows = known.question, known.rows
    assert asked.x is not None, "only the output at an input moves with it"
    matrix, (minus, plus) = rows.stack[units], known.slack[:, units]
    most, least = np.where(known.has_high[units], plus, np.inf), np.where(known.has_low[units], -minus, -np.inf)
    size = at_points(np.abs(X) + np.abs(asked.x), np.abs(matrix))
    moved = products[:, units] - matrix @ asked.x
    error = relative_error(rows.n + 1) * size + 4.0 * (rows.n + 2) * SMALLEST_NORMAL  # and that of comparing
    certain = (moved + error <= most) & (moved - error >= least)
    out = certain.all(axis=1) | (asked.x == X).all(axis=1)
    possible = ~((moved - error > most) | (moved + error < least)).any(axis=1)
    for j in np.flatnonzero(possible & ~out):
        left = np.flatnonzero(~certain[j])
        there, here = exact.products(matrix[left], X[j]), exact.products(matrix[left], asked.x)
        ends = zip(least[left].tolist(), most[left].tolist(), strict=True)
        out[j] = all(low <= a - b <= high for a, b, (low, high) in zip(there, here, ends, strict=True))
    return out


__all__ = ["inside"]
