"""A point of a region that has room where there is room, and the inequalities that leave none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from fiberscope.invariance.feasible_steps import row_units
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.network.arrays import BoolArray, FloatArray

NO_ROOM = 1e-7
"""A mean slack whose maximum is below this has none, in units of a program of size one: HiGHS's tolerance with a
margin."""

ENOUGH = 1e-3
"""The share of the wanted room below which more is looked for."""

MAX_PROGRAMS = 10
"""Programs that are solved to look for room."""

MANY = 2.0**20
"""In an unbounded program, how far along its direction a point is taken, in units of a program of size one."""


@dataclass(frozen=True, eq=False)
class Interior:
    """A point of the region and the domain.

    Attributes:
        step: (n,) from the program's origin to a point with as much room as was found.
        slack: (q + g,) the room of every inequality there.
        implied: (q + g,) which inequalities hold with equality on the whole region.
    """

    step: Float64[FloatArray, " n"]
    slack: Float64[FloatArray, " q"]
    implied: Bool[BoolArray, " q"]


def interior(program: RegionProgram, wanted: Float64[FloatArray, " q"]) -> Interior:
    """Look for a point that has the wanted room, beginning at the program's origin.

    The sum of the slacks of those inequalities that lack room is maximised, each as that of a row of size one; half-way
    to that optimum, some have room. Where the maximum is 0, all of them hold with equality everywhere. The origin
    itself has enough room, most of the time.
    """
    feasible = program.feasible
    step, slack = np.zeros(len(feasible.origin)), np.maximum(feasible.sides, 0.0)
    implied = np.zeros(len(slack), dtype=np.bool_)
    for _ in range(MAX_PROGRAMS):
        lacking = np.flatnonzero((slack < ENOUGH * wanted) & ~implied)
        rows = feasible.inequalities(lacking)
        units = row_units(rows, program.columns)
        implied[lacking[units == 0]] = True  # rows of zeros
        if not units.any():
            break
        found = program.maximize(-(rows.T @ units))
        if found.optimal:
            there = found.step
        elif found.step.any():
            there = step + MANY * found.step
        else:
            break
        beyond, units = slacks(program, there), row_units(rows, program.columns)
        if float(np.sum(units * (beyond[lacking] - slack[lacking]))) <= NO_ROOM * np.count_nonzero(units):
            implied[lacking] = True
            break
        step = (step + there) / 2
        slack = np.maximum((slack + beyond) / 2, 0.0)
    return Interior(step, slack, implied)


def slacks(program: RegionProgram, step: Float64[FloatArray, " n"]) -> Float64[FloatArray, " q"]:
    """The room of every inequality of the region and every half-space after a step from the origin; not below 0."""
    return np.maximum(-program.feasible.excess(program.feasible.point(step)), 0.0)


__all__ = ["Interior", "interior", "slacks"]
