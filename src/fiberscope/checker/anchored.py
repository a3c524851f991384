"""What is known of an output, as intervals for all rows beside an anchor.

Let d lead from the anchor to an input that is meant: ``low_i <= R_i d <= high_i``. Beside x itself these intervals hold
no digits of the output, so that nothing is lost where they are narrow. Errors are bounded entry by entry, by the sums
of absolute values, so that units of rows and of coordinates mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fiberscope.checker.matrices import (
    SMALLEST_NORMAL,
    BoolArray,
    FloatArray,
    Matrix,
    NotProvedError,
    are_floats,
    flushes_subnormal_numbers,
    is_dense,
    relative_error,
)
from fiberscope.checker.system import Rows, System, sides_of

AT_ONCE = 2**22
"""Numbers of a block of rows, 32 megabytes."""


@dataclass(frozen=True, eq=False)
class Question:
    """Which inputs are meant: those with the output at x, or with one between two, up to ``within``; and an anchor.

    Attributes:
        x: (n,) or None.
        output_low: (m,) or None.
        output_high: (m,) or None.
        within: (m,) at least 0, or (2, m), below and above; beside x inf for no side.
        anchor: (n,) x itself, or any point where outputs are given.
        reach: a proved bound on how far the inputs are from the anchor; inf for none.
    """

    x: FloatArray | None
    output_low: FloatArray | None
    output_high: FloatArray | None
    within: FloatArray
    anchor: FloatArray
    reach: float


@dataclass(frozen=True, eq=False)
class Gaps:
    """``low <= R d <= high`` on the preimage, (m + q,), rounded outwards; infinite where there is no side."""

    low: FloatArray
    high: FloatArray


class Anchored:
    """A question about a system: which sides rows have, and where they are."""

    def __init__(self, system: System, question: Question) -> None:
        if flushes_subnormal_numbers():
            raise NotProvedError("this thread flushes subnormal numbers to zero, so no error bound holds")
        system.check()
        self.system, self.question = system, question
        self.rows = Rows(system, rational=False)
        _check(question, self.rows)
        self.has_low, self.has_high = self._sides()
        self.gaps = self._gaps()

    def _sides(self) -> tuple[BoolArray, BoolArray]:
        """(m + q,) which rows of the stack have a lower side, and an upper one."""
        rows, known = self.rows, self.question
        if known.x is None:
            assert known.output_low is not None, "a question has an input or outputs"
            assert known.output_high is not None, "both sides are given"
            within = np.broadcast_to(known.within, (2, rows.m))
            sides = sides_of(rows, np.stack([known.output_low, known.output_high]), within)
            if sides.contradiction:
                raise NotProvedError("the output is that of no input")
            return sides.has_low[: rows.height], sides.has_high[: rows.height]
        here = rows.cones_at(known.x[None], np.broadcast_to(known.within, (1, 2, rows.m)))
        if not here.inside[0]:
            raise NotProvedError("x lies outside the domain")
        low, high = (here.recession.equal | side for side in (here.recession.lower, here.recession.upper))
        return low[0, : rows.height], high[0, : rows.height]

    def _gaps(self) -> Gaps:
        rows, known = self.rows, self.question
        size = np.abs(rows.stack) @ np.abs(known.anchor) + np.abs(rows.bias)
        value = rows.stack @ known.anchor + rows.bias
        error = relative_error(rows.n + 1) * size + 4.0 * (rows.n + 2) * SMALLEST_NORMAL
        least, most = value - error, value + error  # their rounding is within the error's
        if known.x is not None:  # the output at x itself: there, clip(z) - z falls as z grows
            up, down = self._cut(least), self._cut(most)
        else:
            assert known.output_low is not None, "a question has an input or outputs"
            assert known.output_high is not None, "both sides are given"
            up, down = rows.beside(known.output_high) - least, rows.beside(known.output_low) - most
        slack = self.slack
        minus: FloatArray = slack[0]
        plus: FloatArray = slack[1]
        high: FloatArray = np.where(up == 0, plus, up + plus + 2.0**-50 * (np.abs(up) + plus))
        low: FloatArray = np.where(down == 0, -minus, down - minus - 2.0**-50 * (np.abs(down) + minus))
        return Gaps(np.where(self.has_low, low, -np.inf), np.where(self.has_high, high, np.inf))

    @property
    def slack(self) -> FloatArray:
        """(2, m + q) how far below and above numbers may lie; 0 where there is no side."""
        within = np.broadcast_to(self.question.within, (2, self.rows.m))
        known: FloatArray = self.rows.beside(np.where(within < np.inf, within, 0.0))
        return known

    def _cut(self, z: FloatArray) -> FloatArray:
        """``clip(z) - z``."""
        return np.maximum(self.rows.low - z, 0.0) - np.maximum(z - self.rows.high, 0.0)


def _check(question: Question, rows: Rows) -> None:
    m, n = rows.m, rows.n
    apart = question.within.shape == (2, m)
    sides = question.within if apart else [question.within]
    slack = [(side, m, question.x is None or not apart) for side in sides]
    for array, length, finite in ((question.x, n, True), *slack, (question.anchor, n, True)):
        if array is not None and not are_floats(array, length, finite=finite):
            raise NotProvedError(f"an input or a precision is not made of {length} finite float64 numbers")
    for side in (question.output_low, question.output_high):
        if side is not None and (side.dtype != np.float64 or side.shape != (m,) or np.isnan(side).any()):
            raise NotProvedError(f"an output is not made of {m} float64 numbers")
    given = question.x is None, question.output_low is None, question.output_high is None
    if given not in ((False, True, True), (True, False, False)) or (question.within < 0).any():
        raise NotProvedError(
            "exactly one of an input and an output must be given, and a precision that is not negative"
        )
    if apart and ((question.within == 0).any(axis=0) != (question.within == 0).all(axis=0)).any():
        raise NotProvedError("a precision must be 0 on both sides, or on neither")
    if question.x is not None and not np.array_equal(question.x, question.anchor):
        raise NotProvedError("the anchor is not x")
    if not question.reach >= 0:
        raise NotProvedError("the reach is no distance")


def blocks(count: int, width: int) -> Iterator[slice]:
    """Some at a time, of so many numbers each."""
    step = max(1, AT_ONCE // max(1, width))
    return (slice(start, start + step) for start in range(0, count, step))


def combined(w: FloatArray, matrix: Matrix) -> FloatArray:
    """``w A`` for rows w."""
    return w @ matrix if is_dense(matrix) else np.asarray((matrix.T @ w.T).T)


def at_points(X: FloatArray, matrix: Matrix) -> FloatArray:
    """``A x`` for rows x."""
    return X @ matrix.T if is_dense(matrix) else np.asarray((matrix @ X.T).T)


__all__ = ["Anchored", "Gaps", "Question", "at_points", "blocks", "combined"]
