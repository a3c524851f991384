"""Bounds on all inputs of a box that have given features, tightened round by round by linear programs.

Each round asks of the polyhedron around the network (``fiberscope.checker.relaxation``) how far every coordinate of
the input reaches in it. What is proved is a box to begin again with: the smaller it is, the more units are known to be
on or off in all of it, and the less is lost by their chords. Once every unit is known, nothing is: the polyhedron is
the set.

Only multipliers come out, which prove the bounds again by weak duality, whatever found them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from fiberscope.checker.relaxation import (
    ContradictionError,
    Known,
    Network,
    Relaxed,
    Step,
    narrowed,
    relaxed,
)
from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.linear_program import LinearProgram, Solver

ENOUGH = 0.9
"""A round that leaves more than this share of the widths, added up, is the last one."""


@dataclass(frozen=True, eq=False)
class Tightened:
    """A box that holds every input with the features, and what proves it.

    Attributes:
        low: (n,)
        high: (n,)
        steps: each begins with the box that those before it prove.
        contradiction: why no input has the features; empty where one may.
        ended: whether time ended it.
    """

    low: FloatArray
    high: FloatArray
    steps: tuple[Step, ...] = ()
    contradiction: str = ""
    ended: bool = False


def tighten(network: Network, low: FloatArray, high: FloatArray, known: Known, budget: Budget) -> Tightened:
    """Tighten a box around all inputs with known features."""
    steps: list[Step] = []
    while not budget.is_over:
        try:
            around = relaxed(network, low, high, known)
        except ContradictionError as failure:
            nothing = np.zeros((0, 0))
            steps.append(Step(np.zeros(0, dtype=np.int64), (nothing, nothing)))
            return Tightened(low, high, tuple(steps), str(failure))
        step = _step(around, budget)
        if step is None:
            break
        below, above = narrowed(around, step)
        steps.append(step)
        if (below > above).any():
            return Tightened(
                below, above, tuple(steps), "the bounds on a coordinate of the input contradict each other"
            )
        gained = (above - below).sum() < ENOUGH * (high - low).sum()
        low, high = below, above
        if not gained:
            break
    return Tightened(low, high, tuple(steps), ended=budget.is_over)


def _step(around: Relaxed, budget: Budget) -> Step | None:
    """The multipliers of every coordinate's optima; None where nothing is left to tighten."""
    low, high = around.box
    coordinates = np.flatnonzero(low[: around.inputs] < high[: around.inputs])
    if not len(coordinates):
        return None
    count = len(around.low)
    out = np.zeros((len(coordinates), count)), np.zeros((len(coordinates), count))
    objective = np.zeros(len(low))
    rows: csr_array = around.system.weight
    solver = Solver(LinearProgram(objective, rows, around.low, around.high, low, high))
    for sign, side in ((-1.0, out[0]), (1.0, out[1])):
        for k, j in enumerate(coordinates):
            objective[j] = sign
            solver.maximize(objective)
            solution = solver.solution(solver.run(budget.left()))
            objective[j] = 0.0
            if solution.optimal:
                side[k] = solution.row_dual
            if budget.is_over:
                return Step(coordinates, out)
    return Step(coordinates, out)


__all__ = ["Tightened", "tighten"]
