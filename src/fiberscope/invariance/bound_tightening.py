"""Tighter bounds by linear programs: the smaller the intervals, the fewer pieces, and the closer the relaxation."""

from __future__ import annotations

import numpy as np

from fiberscope.invariance.across_regions import Problem
from fiberscope.invariance.milp_encoding import MilpEncoding, milp_encoding
from fiberscope.invariance.stage_bounds import WIDER, Bounds, Interval, interval_bounds, needed_stages
from fiberscope.network.activations import Maximum
from fiberscope.network.stage import INPUT
from fiberscope.preimages.linear_program import Option, Solver, Status


def tightened(problem: Problem, bounds: Bounds) -> Bounds:
    """Minimise and maximise what those units receive that may be on several pieces.

    That is done over the relaxation in which binaries may be fractions, activation by activation, so that later ones
    profit from earlier ones.

    Args:
        problem: the problem.
        bounds: valid bounds of all stages.
    """
    known: Bounds = {INPUT: bounds[INPUT]}
    for number in needed_stages(problem):
        if problem.network.stages[number].activation is None:
            continue
        source = problem.network.sources(number)[0]
        if source == INPUT or source in known:
            continue
        choice = milp_encoding(problem, bounds)
        units = _received(problem, choice, number)
        if units:
            known[source] = _ends(choice, bounds[source], choice.first[source], units)
            bounds = interval_bounds(problem, known)
    return bounds


def _received(problem: Problem, choice: MilpEncoding, number: int) -> list[int]:
    """The coordinates that decide about the pieces of an activation."""
    several = [part for part in choice.choices if part.stage == number]
    if isinstance(problem.network.stages[number].activation, Maximum):
        return sorted({place for part in several for place in part.pieces})
    return [part.unit for part in several]


def _ends(choice: MilpEncoding, bounds: Interval, first: int, units: list[int]) -> Interval:
    """The extremes of some coordinates of a stage; the bound as it was where HiGHS finds none."""
    tolerances: dict[str, Option] = dict.fromkeys(
        ("primal_feasibility_tolerance", "dual_feasibility_tolerance"), WIDER / 100
    )
    solver = Solver(choice.program, tolerances)
    objective = np.zeros(len(choice.integral))
    low, high = bounds.low.copy(), bounds.high.copy()
    for unit in units:
        for ends, sign in ((low, -1.0), (high, 1.0)):
            objective[first + unit] = sign
            solver.maximize(objective)
            if solver.run() is Status.OPTIMAL:
                value = sign * solver.value
                margin = WIDER * max(abs(value), float(np.ldexp(1.0, solver.columns[first + unit])))
                outside = value - margin if ends is low else value + margin
                ends[unit] = max(float(low[unit]), outside) if ends is low else min(float(high[unit]), outside)
        objective[first + unit] = 0.0
    return Interval(low, high)


__all__ = ["tightened"]
