"""Multipliers that bound directions, and points that reach far along them: by linear programs where these are small.

Nothing here is trusted: multipliers and points are checked afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.analytic_center import Polytope, analytic_center
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.dual_ascent import STEPS, DualAscent
from fiberscope.preimages.linear_program import LinearProgram, Solver, Status

SMALL = 100_000
"""Entries of a system whose linear programs take milliseconds each."""

LOOKS = 8
"""At the ascent, each after so many steps, where no time is given; it goes on while there is time otherwise."""

NEAR, NEARER = 0.02, 0.002
"""The share of a direction's extent that may be open at either end: where no time is given, and where it is."""

INWARD = 2.0**-20
"""The share of the way to the center that points are drawn back, so that rounding leaves them inside."""

PROBES = 8
"""Random directions beside few that are asked, so that the mean of the points found lies inside."""


@dataclass(frozen=True, eq=False)
class Extents:
    """What was found of k directions.

    Attributes:
        multipliers: (k, M) of the rows, float32 or float64; zeros for nothing.
        points: (k, n) that reach far, drawn inwards; NaN for none.
        reason: what was not done, in words; empty for nothing.
    """

    multipliers: NDArray[Any]
    points: FloatArray
    reason: str = ""


def extents(
    polytope: Polytope,
    directions: Float64[FloatArray, "k n"],
    budget: Budget,
    progress: Callable[[int], None],
    seed: int,
    device: str,
) -> Extents:
    """Search for multipliers and points.

    Args:
        polytope: around 0, which it holds, or nearly so; its bounds of d may be infinite.
        directions: along which to go.
        budget: when to end.
        progress: is told how many directions are done.
        seed: of random directions.
        device: where products are formed.
    """
    if polytope.rows.size <= SMALL:
        return by_programs(polytope, directions, budget, progress, seed)
    if not (np.isfinite(polytope.below) & np.isfinite(polytope.above)).all():
        return _nothing(polytope, directions, "no bound on the preimage is known, and it is too large for programs")
    return by_ascent(polytope, directions, budget, progress, device)


def by_ascent(
    polytope: Polytope,
    directions: FloatArray,
    budget: Budget,
    progress: Callable[[int], None],
    device: str,
    looks: int | None = None,
) -> Extents:
    """Search all directions at once, in a polytope with bounds.

    Args:
        polytope: as above.
        directions: as above.
        budget: as above.
        progress: as above.
        device: as above.
        looks: at most; None for as many as there is time for, or ``LOOKS`` where none is given.
    """
    scaled, units, factors = polytope.scaled()
    center = analytic_center(scaled, np.zeros(len(units)), budget)
    if budget.is_over:
        return _nothing(polytope, directions, "the time was over before the search began")
    if center.factor is None:
        return _nothing(polytope, directions, "float64 does not resolve the preimage's shape")
    objectives = np.where(polytope.above > polytope.below, directions * units, 0.0)
    sizes = np.ldexp(1.0, np.frexp(np.abs(objectives).max(axis=1, initial=0.0))[1])
    objectives /= sizes[:, None]
    ascent = DualAscent(scaled, center, objectives, device)
    patient = looks is None and budget.seconds is not None
    near, opposite = NEARER if patient else NEAR, _opposites(objectives)
    look = 0
    while not budget.is_over and (patient or look < (looks or LOOKS)):
        found, look = ascent.found, look + 1
        open_ = found.bound - found.reached > near * (found.reached + found.reached[opposite])
        progress(int((~open_).sum()))
        if not open_.any():
            break
        ascent.advance(open_, lambda: budget.is_over)
    found = ascent.found
    multipliers = np.zeros((len(directions), len(factors)))
    multipliers[:, factors > 0] = found.multipliers * factors[factors > 0] * sizes[:, None]
    inner = np.clip(center.point * units, polytope.below, polytope.above)
    points = drawn_in(polytope, inner, inner + found.point * units)
    reason = f"the time was over after {look} rounds of {STEPS} steps" if budget.is_over else ""
    return Extents(_compact(multipliers), points, reason)


def _compact(multipliers: FloatArray) -> NDArray[Any]:
    """The same numbers in half the memory, where single precision holds them."""
    with np.errstate(over="ignore"):
        single = multipliers.astype(np.float32)
    return single if np.array_equal(single, multipliers) else multipliers


def _nothing(polytope: Polytope, directions: FloatArray, reason: str) -> Extents:
    nothing = np.zeros((len(directions), len(polytope.rows)), dtype=np.float32)
    return Extents(nothing, np.full(directions.shape, np.nan), reason)


def _opposites(directions: FloatArray) -> IntArray:
    """Of each direction the one in the other half of them, which is its negative."""
    half = len(directions) // 2
    return np.append(np.arange(half, 2 * half), np.arange(half))


def by_programs(
    polytope: Polytope, directions: FloatArray, budget: Budget, progress: Callable[[int], None], seed: int
) -> Extents:
    """Solve a linear program for each direction, as above."""
    k, n = len(directions), len(polytope.below)
    multipliers, points = np.zeros((k, len(polytope.rows))), np.full((k, n), np.nan)
    solver = Solver(LinearProgram(
        np.zeros(n), polytope.rows, polytope.low, polytope.high, polytope.below, polytope.above
    ))  # fmt: skip
    probes = np.random.default_rng(seed).standard_normal((PROBES, n))
    known: list[FloatArray] = []
    failed = 0
    for i, c in enumerate([*directions, *probes, *-probes]):
        if budget.is_over:
            return Extents(multipliers, _drawn_to_mean(polytope, known, points), "the time was over")
        solver.maximize(c)
        status = solver.run(budget.left())
        if status is Status.OPTIMAL:
            known.append(solver.point)
        if i < k:
            progress(i + 1)
            failed += status not in (Status.OPTIMAL, Status.UNBOUNDED)
            if status is Status.OPTIMAL:
                multipliers[i], points[i] = _with_sides(polytope, solver.row_dual), solver.point
    reason = f"{failed} linear programs have no optimum that HiGHS finds" if failed else ""
    return Extents(multipliers, _drawn_to_mean(polytope, known, points), reason)


def _with_sides(polytope: Polytope, multipliers: FloatArray) -> FloatArray:
    """Multipliers without those whose side is not there, which are rounding."""
    wrong = ((multipliers > 0) & np.isinf(polytope.high)) | ((multipliers < 0) & np.isinf(polytope.low))
    return np.where(wrong, 0.0, multipliers)


def _drawn_to_mean(polytope: Polytope, known: list[FloatArray], points: FloatArray) -> FloatArray:
    if not known:
        return points
    return drawn_in(polytope, np.mean(known, axis=0), points)


def drawn_in(
    polytope: Polytope, inner: Float64[FloatArray, " n"], points: Float64[FloatArray, "k n"]
) -> Float64[FloatArray, "k n"]:
    """Points as far towards others as rows and bounds allow, from a point inside, and a little less."""
    along = np.clip(points, polytope.below, polytope.above) - inner
    value, moves = polytope.rows @ inner, along @ polytope.rows.T
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where(
            moves > 0, (polytope.high - value) / moves, np.where(moves < 0, (polytope.low - value) / moves, 1)
        )
        box = np.where(
            along > 0, (polytope.above - inner) / along, np.where(along < 0, (polytope.below - inner) / along, 1)
        )
    share = np.minimum(np.minimum(rows.min(axis=1, initial=1.0), box.min(axis=1, initial=1.0)), 1.0)
    share = np.maximum(share, 0.0) * (1.0 - INWARD)
    out = inner + share[:, None] * along
    return np.clip(out, polytope.below, polytope.above)


__all__ = ["SMALL", "Extents", "by_ascent", "by_programs", "extents"]
