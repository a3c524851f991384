"""The best input of a box, where the features allow it: then no linear program is needed.

No input of a box has a larger ``<c, x'>`` than one with every pixel of ``c_j != 0`` at its better bound. With few
equations and many pixels the others are mostly free to keep the features as they are. Among all such inputs the nearest
to x is found, which changes no pixel without need. For d = x' - x, pixels of another width counted in units of theirs:

    minimize |d|^2 / 2 subject to E d = f, G d <= h, low <= d <= high, and d_j at its bound where c_j != 0.

Its dual is smooth, with one multiplier y per row: ``d(y) = clip(-A^T y)``, and is maximised by a semismooth Newton
method with line search [X. Li, D. Sun, K.-C. Toh, SIAM J. Optim. 30 (2020)]. Where it does not converge quickly, there
may be no such input, and the linear program decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float64

from fiberscope.invariance.feasible_steps import row_units
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.sparse_rows import below

MAX_NUMBERS = 300_000
"""Numbers in all rows up to which it is tried: with more, fifty steps take longer than most linear programs."""

MAX_STEPS = 50
"""Newton steps after which it is given up; where there is such an input, five to forty find it."""

MAX_HALVINGS = 10

RESIDUAL = 1e-10
"""How much may be missing in a row of unit length, in a program of size one."""

UNDAMPED = 1e-10
"""Added to the diagonal of the Newton matrix, against rounding: its rows have at most unit length."""

DAMPED = 2e-2
"""The same once a full step was far too long, which means that active rows depend on each other: times what is missing
in the rows, so that steps become Newton's in the end."""

TOO_LONG = 2
"""Halvings of a step after which rows count as dependent."""

DESCENT = 1e-4
"""The share of what the gradient promises that a step must bring (Armijo)."""

_linalg: Any = cast(Any, scipy.linalg)


class _Point(NamedTuple):
    """Where the multipliers y lead: the dual objective, d before and after it is clipped, and ``A d - b``."""

    objective: float
    raw: FloatArray
    d: FloatArray
    residual: FloatArray


PATIENCE, WORTH = 6, 3
"""How often it may fail before it is not tried any more, and how many failures a success makes up for: a success saves
about three times what a failure costs."""


@dataclass(eq=False)
class BoxOptimum:
    """The rows of a region program, ready to be asked; it remembers how often asking was in vain.

    Attributes:
        unit: (n,) what counts as size one, pixel by pixel: powers of two. All else is in these units.
        A: (r, n) rows of unit length, the equations first.
        b: (r,) what they must equal, or not exceed.
        equal: (r,) which are equations.
        low: (n,) bounds of d.
        high: (n,).
        failures: how often it failed, less ``WORTH`` for every success.
    """

    unit: Float64[FloatArray, " n"]
    A: Float64[FloatArray, "r n"]
    b: Float64[FloatArray, " r"]
    equal: Bool[BoolArray, " r"]
    low: Float64[FloatArray, " n"]
    high: Float64[FloatArray, " n"]
    failures: int = 0

    @staticmethod
    def of(program: RegionProgram) -> BoxOptimum | None:
        """For a program with few rows; None if it has many."""
        feasible, n = program.feasible, program.polyhedron.dimension
        numbers = np.arange(len(program.room))
        count = len(feasible.values) + len(numbers)
        if count * n > MAX_NUMBERS:
            return None
        unit = np.ldexp(1.0, program.columns)
        written = below([feasible.equations, feasible.inequalities(numbers)])
        scale = row_units(written, program.columns)
        rows = written.toarray() * scale[:, None] * unit
        sides = scale * np.concatenate([feasible.values, feasible.sides - program.room])
        norms: FloatArray = np.linalg.norm(rows, axis=1)
        seen = norms > 0  # the others hold whatever d is: they hold at x
        equal = np.arange(count) < len(feasible.values)
        return BoxOptimum(
            unit,
            rows[seen] / norms[seen, None],
            sides[seen] / norms[seen],
            equal[seen],
            program.low / unit,
            program.high / unit,
        )

    def attained(self, c: Float64[FloatArray, " n"]) -> Float64[FloatArray, " n"] | None:
        """The smallest change d that is best in the whole box for c; None if none was found, or it was not tried."""
        if self.failures >= PATIENCE:
            return None
        found = self._searched(c)
        self.failures += 1 if found is None else -WORTH
        return None if found is None else found * self.unit

    def _searched(self, c: FloatArray) -> FloatArray | None:
        low = np.where(c > 0, self.high, self.low)
        high = np.where(c < 0, self.low, self.high)
        if not (np.isfinite(low[c != 0]).all() and np.isfinite(high[c != 0]).all()):
            return None
        free = low < high
        y = np.zeros(len(self.b))
        here, dependent = self._at(y, low, high), False
        for _ in range(MAX_STEPS):
            if self._is_solved(y, here.residual):
                return here.d
            inside = free & (here.raw >= low) & (here.raw <= high)
            step = self._step(y, here, inside, dependent=dependent)
            for halvings in range(MAX_HALVINGS):
                tried = np.where(self.equal, y + 0.5**halvings * step, np.maximum(y + 0.5**halvings * step, 0.0))
                there = self._at(tried, low, high)
                if there.objective >= here.objective + DESCENT * float(here.residual @ (tried - y)):
                    dependent |= halvings > TOO_LONG
                    y, here = tried, there
                    break
            else:
                if dependent:
                    return None
                dependent = True
        return None

    def _at(self, y: FloatArray, low: FloatArray, high: FloatArray) -> _Point:
        nearest = np.clip(0.0, low, high)
        raw = nearest - y @ self.A
        clipped = np.clip(raw, low, high)
        residual = self.A @ clipped - self.b
        moved = clipped - nearest
        return _Point(0.5 * float(moved @ moved) + float(y @ residual), raw, clipped, residual)

    def _is_solved(self, y: FloatArray, residual: FloatArray) -> bool:
        """Whether equations hold, and of every inequality the multiplier or the slack is 0."""
        missing = np.where(self.equal, residual, np.minimum(y, -residual))
        return bool(np.abs(missing).max(initial=0.0) <= RESIDUAL)

    def _step(self, y: FloatArray, here: _Point, inside: BoolArray, *, dependent: bool) -> FloatArray:
        """The Newton step of the multipliers that are not held at 0."""
        active = self.equal | (y > 0) | (here.residual > 0)
        part = self.A[active][:, inside]
        matrix = part @ part.T
        missing = min(1.0, float(np.linalg.norm(here.residual[active])))
        matrix[np.diag_indices_from(matrix)] += max(DAMPED * missing, UNDAMPED) if dependent else UNDAMPED
        step = np.zeros(len(y))
        step[active] = _linalg.cho_solve(_linalg.cho_factor(matrix, check_finite=False), here.residual[active])
        return step


__all__ = ["BoxOptimum"]
