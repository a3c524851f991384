"""The output of the domain that is nearest to y, and the proof that y is none where it is not y itself.

Minimise over the box ``low <= x <= high``, with ``H x = e`` the equalities and ``W x <= w`` the other rows,

    f(x) = 1/2 |H x - e|^2 + 1/2 |max(0, W x - w)|^2.

At the minimum, ``mu = H x - e`` and ``lambda = max(0, W x - w)`` are Farkas multipliers: the gradient ``H^T mu +
W^T lambda`` vanishes but for what the bounds balance, and the right-hand sides sum to ``-|mu|^2 - |lambda|^2``. So y is
an output iff f vanishes, and how far it is from one is read off the same numbers (D. P. Bertsekas, Projected Newton
methods for optimization problems with simple constraints, 1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import Rows, dense
from fiberscope.preimages.candidate import Candidate, Inconsistent, Multipliers
from fiberscope.preimages.cholesky import Cholesky
from fiberscope.preimages.dense import gram
from fiberscope.preimages.exact_algebra import inconsistent_rows
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.rounded import nearest_float
from fiberscope.preimages.system import MixedSystem

MAX_STEPS = 100
"""Generic systems take 5 to 30 steps."""
MAX_INPUTS = 4_096
"""Coordinates beyond which one step takes seconds, and its matrix much memory."""
MAX_ENTRIES = 10_000_000
"""Entries of P beyond which its rank modulo a prime takes many seconds."""
RIDGE = 1e-14
"""Added to the Hessian, relative to its mean diagonal: it is singular where fewer rows than coordinates count."""
GAIN = 1e-10
"""Relative to f: where a step gains less, what it changes is rounding."""
DECREASE = 1e-4
"""The share of the predicted decrease that a step must reach."""
SHORTEST = 1e-6
REFINEMENTS = 2
"""A solve and a refinement: the Gram matrix squares the condition number."""
NOISE = 1e-10
"""Multipliers below this share of the largest are what rounding made of zeros."""
CLEAR = 1e-13
"""Relative to the right-hand sides: a distance below it is made by rounding."""


@dataclass(frozen=True, eq=False)
class _Problem:
    """f, its rows stacked: the first ``equalities`` count on both sides."""

    rows: Rows
    sides: FloatArray
    equalities: int
    low: FloatArray
    high: FloatArray

    def misses(self, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, " q"]:
        """``H x - e`` and ``max(0, W x - w)``."""
        out = self.rows @ x - self.sides
        out[self.equalities :] = np.maximum(out[self.equalities :], 0.0)
        return out


def contradiction_by_projection(system: MixedSystem) -> Candidate | None:
    """Farkas multipliers of a preimage given by y, a guess until they are proved; None where y is near an output."""
    layer_rows = system.inequalities[system.coordinates(system.inequalities)[0] < 0]
    numbers = np.concatenate([system.positive, layer_rows])
    sides = np.array([nearest_float(side) for side in system.right_hand_sides(numbers)])
    if system.layer.inputs > MAX_INPUTS or not len(numbers) or not np.isfinite(sides).all():
        return None
    domain = system.domain
    problem = _Problem(system.rows(numbers), sides, len(system.positive), domain.low, domain.high)
    x = _minimum(problem, system, 0.5 * (CLEAR * float(np.linalg.norm(sides))) ** 2)
    misses = problem.misses(x)
    size = np.linalg.norm(misses)
    if not size > CLEAR * np.linalg.norm(sides):
        return None
    return Candidate(Kind.EMPTY, -1, infeasible=_multipliers(system, problem, numbers, x, misses / size))


def point_inside(system: MixedSystem) -> Float64[FloatArray, " n"] | None:
    """A point strictly inside all rows of a preimage whose outputs are known to intervals; None where none is found.

    The point nearest to intervals that are narrower on either side lies inside of them as they are; from it a part of
    the way to the middle of the domain leads off the domain's sides, and not out of the intervals.
    """
    numbers = system.inequalities[system.coordinates(system.inequalities)[0] < 0]
    sides = np.array([nearest_float(side) for side in system.right_hand_sides(numbers)])
    domain, room = system.domain, _room(system, numbers)
    if len(system.positive) or system.layer.inputs > MAX_INPUTS or not len(numbers) or not np.isfinite(sides).all():
        return None
    problem = _Problem(system.rows(numbers), sides - room, 0, domain.low, domain.high)
    least = float(room[room > 0].min(initial=np.inf))
    x = _minimum(problem, system, 0.5 * (0.5 * least) ** 2)
    slack = sides - problem.rows @ x
    if not (slack > 0).all():
        return None
    ends = np.isfinite(domain.low), np.isfinite(domain.high)
    reach = np.where(ends[0] & ends[1], domain.high - domain.low, np.maximum(2.0 * np.abs(x), 1.0))
    low, high = np.where(ends[0], domain.low, x - reach), np.where(ends[1], domain.high, x + reach)
    move = 0.5 * (np.maximum(low, x - reach) + np.minimum(high, x + reach)) - x
    along = np.asarray(problem.rows @ move)
    share = float(np.min(slack[along > 0] / along[along > 0], initial=1.0)) / 2.0
    return x + share * move


def _room(system: MixedSystem, numbers: IntArray) -> FloatArray:
    """By how much narrower intervals are asked for: a quarter at either end; 0 for rows that are no units."""
    outputs, out = system.outputs, np.zeros(len(numbers))
    assert outputs is not None, "the preimage is given by an output"
    below, above = np.broadcast_to(outputs.within, (2, len(outputs.low)))
    width = np.where(np.isfinite(outputs.high - outputs.low), outputs.high - outputs.low, 0.0) + below + above
    units = system.units_of(numbers)
    out[units >= 0] = 0.25 * width[units[units >= 0]]
    return out


def contradiction_by_rank(system: MixedSystem) -> Candidate | None:
    """Rows of P that no x satisfies together, whatever the inequalities; None where they are not more than coordinates.

    An output computed in floating point from more rows than fix an input is usually the output of no exact input.
    """
    outputs = system.outputs
    assert outputs is not None
    P, n = system.positive, system.layer.inputs
    if len(P) * n > MAX_ENTRIES:
        return None
    system.budget.check("positive rows were compared with each other")
    rows = inconsistent_rows(dense(system.rows(P)), outputs.high[P], -system.layer.bias[P], system.budget)
    return None if rows is None else Candidate(Kind.EMPTY, -1, infeasible=Inconsistent(P[rows]))


def _minimum(problem: _Problem, system: MixedSystem, near: float) -> Float64[FloatArray, " n"]:
    """Where the squares of misses are least; any point where they are nearly as little as that."""
    x = np.clip(np.zeros(len(problem.low)), problem.low, problem.high)
    misses = problem.misses(x)
    value = 0.5 * float(misses @ misses)
    for _ in range(MAX_STEPS):
        if value <= near:
            break
        system.budget.check("the output nearest to y was looked for")
        gradient = cast(FloatArray, problem.rows.T @ misses)
        held = ((x <= problem.low) & (gradient > 0)) | ((x >= problem.high) & (gradient < 0))
        move = _newton_step(problem, misses, gradient, held)
        if move is None:
            break
        step = _line_search(problem, x, move, gradient, value)
        if step is None:
            break
        before, (x, misses, value) = value, step
        if before - value <= GAIN * before:
            break
    return x


def _newton_step(
    problem: _Problem, misses: Float64[FloatArray, " q"], gradient: Float64[FloatArray, " n"], held: BoolArray
) -> Float64[FloatArray, " n"] | None:
    """Newton's step in the coordinates that no bound holds, on the rows that count."""
    free = np.flatnonzero(~held)
    count = misses != 0.0
    count[: problem.equalities] = True
    move = np.zeros(len(gradient))
    if not len(free):
        return None
    part = cast(Any, problem.rows[np.flatnonzero(count)])[:, free]
    square = gram(part)
    diagonal = square.diagonal()
    square[np.diag_indices(len(free))] += RIDGE * len(free) * max(float(diagonal.mean()), np.finfo(np.float64).tiny)
    try:
        move[free] = -Cholesky(square).solve(gradient[free])
    except LinAlgError:
        return None
    return move


def _line_search(
    problem: _Problem,
    x: Float64[FloatArray, " n"],
    move: Float64[FloatArray, " n"],
    gradient: Float64[FloatArray, " n"],
    value: float,
) -> tuple[FloatArray, FloatArray, float] | None:
    """The point along the bent path of the step that decreases f enough; None where none does."""
    length = 1.0
    while length > SHORTEST:
        to = np.clip(x + length * move, problem.low, problem.high)
        misses = problem.misses(to)
        reached = 0.5 * float(misses @ misses)
        if reached <= value + DECREASE * float(gradient @ (to - x)) and reached < value:
            return to, misses, reached
        length *= 0.5
    return None


def _multipliers(
    system: MixedSystem,
    problem: _Problem,
    numbers: IntArray,
    x: Float64[FloatArray, " n"],
    weights: Float64[FloatArray, " q"],
) -> Multipliers:
    """The weights of the rows, and those of the bounds that balance them."""
    m, n = system.layer.outputs, system.layer.inputs
    weights = _balanced(problem, x, weights)
    total = cast(FloatArray, problem.rows.T @ weights)
    noise = NOISE * np.abs(weights).max()
    low = np.flatnonzero((total > noise) & np.isfinite(problem.low))
    high = np.flatnonzero((total < -noise) & np.isfinite(problem.high))
    kept = np.flatnonzero(weights)
    rows = np.concatenate([numbers[kept], m + low, m + n + high])
    return Multipliers(rows, np.concatenate([weights[kept], total[low], -total[high]]))


def _balanced(
    problem: _Problem, x: Float64[FloatArray, " n"], weights: Float64[FloatArray, " q"]
) -> Float64[FloatArray, " q"]:
    """The weights without what rounding left in the coordinates that no bound balances.

    They are differences of nearly equal numbers, and x is only as exact as these.
    """
    total = cast(FloatArray, problem.rows.T @ weights)
    held = ((x <= problem.low) & (total > 0)) | ((x >= problem.high) & (total < 0))
    weights = np.where(np.abs(weights) > NOISE * np.abs(weights).max(), weights, 0.0)
    kept, free = np.flatnonzero(weights), np.flatnonzero(~held)
    part = cast(Any, problem.rows[kept])[:, free]
    if not 0 < len(free) <= len(kept):
        return weights
    try:
        factor = Cholesky(gram(part))
    except LinAlgError:
        return weights
    corrected = weights.copy()
    for _ in range(REFINEMENTS):
        corrected[kept] -= part @ factor.solve(part.T @ corrected[kept])
    corrected[problem.equalities :] = np.maximum(corrected[problem.equalities :], 0.0)
    return corrected


__all__ = ["contradiction_by_projection", "contradiction_by_rank", "point_inside"]
