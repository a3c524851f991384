"""A point of a region that has room where there is room, and the inequalities that leave none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from fiberscope.invariance.region_program import RegionProgram
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray

NO_ROOM = 1e-7
"""A sum of slacks whose maximum is below this, as a multiple of the number of rows: HiGHS's tolerance with a margin."""

ENOUGH = 1e-3
"""The share of the wanted room below which more is looked for."""

MAX_PROGRAMS = 10
"""Programs that are solved to look for room."""

MANY = 1e6
"""In an unbounded program, how far along its direction a point is taken."""


@dataclass(frozen=True, eq=False)
class Interior:
    """A point of the region and the domain.

    Attributes:
        point: (n,) with as much room as was found.
        slack: (q + g,) the room of every inequality there.
        implied: (q + g,) which inequalities hold with equality on the whole region.
    """

    point: Float64[FloatArray, " n"]
    slack: Float64[FloatArray, " q"]
    implied: Bool[BoolArray, " q"]


def interior(program: RegionProgram, x: Float64[FloatArray, " n"], wanted: Float64[FloatArray, " q"]) -> Interior:
    """Look for a point that has the wanted room, beginning at x.

    The sum of the slacks of those inequalities that lack room is maximised; half-way to that optimum, some have room.
    Where the maximum is 0, all of them hold with equality everywhere. x itself has enough room, most of the time.
    """
    point, slack = x, slacks(program, x)
    implied = np.zeros(len(slack), dtype=np.bool_)
    for _ in range(MAX_PROGRAMS):
        lacking = np.flatnonzero(slack < ENOUGH * wanted)
        if not len(lacking):
            break
        found = program.maximize(-_sum_of_rows(program, lacking))
        if found.optimal:
            there = found.x
        elif found.x.any():
            there = point + MANY * found.x
        else:
            break
        beyond = slacks(program, there)
        if float(np.sum(beyond[lacking] - slack[lacking])) <= NO_ROOM * len(lacking):
            implied[lacking] = True
            break
        point = (point + there) / 2
        slack = np.maximum((slack + beyond) / 2, 0.0)
    return Interior(point, slack, implied)


def slacks(program: RegionProgram, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, " q"]:
    """The room of every inequality of the region and every half-space at x; not below 0."""
    domain = program.polyhedron
    excess = np.concatenate([program.region.excess(x[None])[0], domain.G @ x - domain.h])
    return np.maximum(-excess, 0.0)


def _sum_of_rows(program: RegionProgram, numbers: IntArray) -> FloatArray:
    """The sum of the coefficients of some inequalities, each scaled to unit length."""
    q = program.region.count
    total = np.zeros(program.polyhedron.dimension)
    for rows in (program.rows.inequalities(numbers[numbers < q])[0], program.half_spaces[numbers[numbers >= q] - q]):
        dense = rows.toarray()
        norms = np.linalg.norm(dense, axis=1)
        total += (dense / np.where(norms > 0, norms, 1.0)[:, None]).sum(axis=0)
    return total


__all__ = ["Interior", "interior", "slacks"]
