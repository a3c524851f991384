"""The input of a region that is nearest to a point: linear programs for L1 and L-infinity, a quadratic one for L2.

All in changes d of the source, and within twice the distance that is known to be enough: so that programs are of the
size of their answers, and every column has two bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, assert_never

import numpy as np
from jaxtyping import Float64

from fiberscope.invariance.objective import Norm
from fiberscope.invariance.quadratic import nearest_in_l2
from fiberscope.invariance.region_program import Extension, RegionProgram, RegionSolution
from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import diagonal
from fiberscope.network.sparse_rows import SparseRows, below, side_by_side
from fiberscope.preimages.linear_program import Status

CLOSER = 16.0
"""How many times nearer than expected an input is that is looked for again, in units of its own distance."""

MAX_CLOSER = 4

ROUNDED = 2.0**-20
"""Of HiGHS's unit: a millionth of this share is a few thousand roundings."""

REACHED = 1e-9
"""The share of the largest fraction by which a fraction may exceed it: the tolerance of linear programs."""


@dataclass(frozen=True, eq=False)
class Found:
    """An optimum up to a solver's tolerance.

    Attributes:
        status: how it ended.
        step: (n,) how x changes; of an unbounded program a direction.
        bound: no point of the region does better, by weak duality.
        loss: by how much the bound would be tighter for those that have the room.
        unit: the size of the objective, of which a solver may miss a small share.
        programs: how many programs were solved.
    """

    status: Status
    step: Float64[FloatArray, " n"]
    bound: float
    loss: float
    unit: float
    programs: int


def size_of(found: RegionSolution) -> float:
    """The size of a linear objective: what it can grow by, and of HiGHS's own unit only what rounding may reach."""
    return found.bound + found.unit * ROUNDED


class Along(NamedTuple):
    """A further condition: ``<normal, d> >= least``."""

    normal: Float64[FloatArray, " n"]
    least: float


def nearest(
    program: RegionProgram, goal: Float64[FloatArray, " n"], norm: Norm, radius: float, along: Along | None = None
) -> Found:
    """``min |d - goal|`` over the region, the domain and the room of a program.

    Args:
        program: the program.
        goal: (n,) where to be near to.
        norm: the norm.
        radius: a distance that can be attained, in this norm.
        along: a further condition.
    """
    best = Found(Status.OPTIMAL, goal, 0.0, 0.0, 0.0, 0)
    within = radius
    for _ in range(MAX_CLOSER):
        if within == 0.0:
            break
        found = _nearest(program, goal, norm, within, along)
        if found.status is not Status.OPTIMAL:
            return found if within == radius else best
        best, closest = replace(found, unit=radius), norm.of(found.step - goal)
        if closest * CLOSER >= within:
            break
        within = closest
    return best


def _nearest(program: RegionProgram, goal: FloatArray, norm: Norm, radius: float, along: Along | None) -> Found:
    within = goal - 2.0 * radius, goal + 2.0 * radius
    match norm:
        case Norm.L2:
            answer = nearest_in_l2(program, goal, radius, None if along is None else (along.normal, along.least))
            return Found(answer.status, answer.step, answer.bound, answer.loss, radius, answer.programs)
        case Norm.L1 | Norm.LINF:
            up = np.maximum(np.minimum(program.feasible.high, within[1]) - goal, 0.0)
            down = np.maximum(goal - np.maximum(program.feasible.low, within[0]), 0.0)
            extension = _absolute_values(goal, up, down) if norm is Norm.L1 else _largest_value(goal, up, down)
            extension = extension if along is None else _with(extension, along)
            extended = RegionProgram(program.feasible, room=program.room, extension=extension, within=within)
            cost = np.zeros(len(goal) + len(extension.low))
            cost[len(goal) :] = -1.0
            found = extended.maximize(cost)
            return Found(found.status, found.step, max(0.0, -found.bound), found.loss, radius, found.rounds + 1)
        case _:
            assert_never(norm)


def smallest_change(program: RegionProgram, direction: Float64[FloatArray, " n"], norm: Norm, fraction: float) -> Found:
    """``min |d|`` with ``<direction, d> >= fraction |direction|^2``.

    The farthest along the direction is looked for first: a part of the way to it is far enough.

    Returns:
        What was found. INFEASIBLE if no point of the program goes so far; ``bound`` is the largest fraction then.
    """
    size = float(direction @ direction)
    if size == 0.0:
        return Found(Status.OPTIMAL, direction, 0.0, 0.0, 0.0, 0)
    most, least = program.maximize(direction), fraction * size
    if most.optimal:
        if fraction > (1.0 + REACHED) * most.value / size:
            return Found(Status.INFEASIBLE, most.step, most.value / size, 0.0, 0.0, 1)
        least = min(least, most.value)
    elif most.status is not Status.UNBOUNDED:
        return Found(Status.FAILED, most.step, 0.0, 0.0, 0.0, 1)  # it has points: infeasible is a failure, too
    step = most.step * (least / float(direction @ most.step))
    found = nearest(program, np.zeros(len(direction)), norm, norm.of(step), Along(direction, least))
    if found.status is not Status.OPTIMAL:
        return Found(Status.OPTIMAL, step, 0.0, 0.0, 0.0, 1)
    return replace(found, unit=norm.of(found.step))


def _absolute_values(goal: FloatArray, up: FloatArray, down: FloatArray) -> Extension:
    """``d - u + v = goal`` with 0 <= u <= up and 0 <= v <= down: the sum of all u and v is the distance."""
    n = len(goal)
    ones = np.ones(n)
    matrix = side_by_side([diagonal(ones), diagonal(-ones), diagonal(ones)])
    return Extension(np.zeros(2 * n), np.concatenate([up, down]), matrix, goal, goal)


def _largest_value(goal: FloatArray, up: FloatArray, down: FloatArray) -> Extension:
    """``-t <= d - goal <= t``: t is the distance."""
    n = len(goal)
    ones = np.ones((n, 1))
    matrix = below(
        [
            side_by_side([diagonal(ones[:, 0]), SparseRows(-ones)]),
            side_by_side([diagonal(ones[:, 0]), SparseRows(ones)]),
        ]
    )
    nothing = np.full(n, np.inf)
    most = np.array([max(float(up.max()), float(down.max()))])
    return Extension(np.zeros(1), most, matrix, np.concatenate([-nothing, goal]), np.concatenate([goal, nothing]))


def _with(extension: Extension, along: Along) -> Extension:
    """The extension with a further row, in d alone."""
    row = np.zeros((1, extension.matrix.shape[1]))
    row[0, : len(along.normal)] = along.normal
    return Extension(
        extension.low,
        extension.high,
        below([extension.matrix, SparseRows(row)]),
        np.append(extension.row_low, along.least),
        np.append(extension.row_high, np.inf),
    )


__all__ = ["Along", "Found", "nearest", "size_of", "smallest_change"]
