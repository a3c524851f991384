"""Rays of a pointed recession cone, by one sparse linear program that answers both ways.

Let the cone ``{d : H d = 0, W d <= 0}`` hold no line. Then every d != 0 of it has ``sum_S -w_i d > 0`` with S all rows
of W, or the bounds of coordinates alone where every coordinate has one. That sum is linear:

    maximize  sum_S -w_i d   subject to   H d = 0,  W d <= 0,  sum_S -w_i d <= 1.

The optimum is 1 if the cone has a ray. It is 0 if it has none, and then the dual solution is
``H^T mu + W^T lambda = -sum_S w_i`` with ``lambda >= 0``: every row of S has the multiplier ``1 + lambda_i``, far from
zero. Rows of W that bound a single coordinate are bounds of the program's variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError
from scipy.sparse import csc_array

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import Rows, scaled, sparse, stacked
from fiberscope.network.signs import row_norms
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.cholesky import Cholesky
from fiberscope.preimages.dense import gram
from fiberscope.preimages.linear_program import LinearProgram, Method, Solution, solve
from fiberscope.preimages.polishing import VANISHING, ray_near
from fiberscope.preimages.system import MixedSystem

CORRECTIONS = 2
"""A solve and a refinement: the Gram matrix squares the condition number."""


@dataclass(frozen=True, eq=False)
class RaySystem:
    """The rows of a cone, apart from the bounds of its coordinates.

    Attributes:
        equalities: the numbers of the rows H.
        inequalities: the numbers of the rows W that are no bounds.
        H: (p, n) of unit length.
        W: (l, n) of unit length.
        scales: (p + l,) what the rows were multiplied by.
        low_rows: (n,) the number of the row ``-d_j <= 0``, -1 where there is none.
        high_rows: (n,) the number of the row ``d_j <= 0``, -1 where there is none.
    """

    equalities: IntArray
    inequalities: IntArray
    H: Rows
    W: Rows
    scales: FloatArray
    low_rows: IntArray
    high_rows: IntArray

    @property
    def objective(self) -> Float64[FloatArray, " n"]:
        """``-sum_S w_i``."""
        bounds = np.where(self.low_rows >= 0, 1.0, 0.0) - np.where(self.high_rows >= 0, 1.0, 0.0)
        return bounds - self.W.T @ np.full(self.W.shape[0], self.share)

    @property
    def share(self) -> float:
        """1 where the rows of W that are no bounds belong to S, else 0."""
        return 1.0 if len(self.free) else 0.0

    @property
    def free(self) -> IntArray:
        """The coordinates without a bound."""
        return np.flatnonzero((self.low_rows < 0) & (self.high_rows < 0))


def build_ray_system(system: MixedSystem) -> RaySystem:
    """Take the rows of the recession cone apart."""
    n = system.layer.inputs
    coordinate, sign = system.coordinates(system.inequalities)
    low_rows, high_rows = np.full(n, -1), np.full(n, -1)
    low_rows[coordinate[sign < 0]] = system.inequalities[sign < 0]
    high_rows[coordinate[sign > 0]] = system.inequalities[sign > 0]
    equalities, H, factors = _unit_rows(system, system.positive)
    inequalities, W, more = _unit_rows(system, system.inequalities[sign == 0])
    return RaySystem(equalities, inequalities, H, W, np.concatenate([factors, more]), low_rows, high_rows)


def _unit_rows(system: MixedSystem, numbers: IntArray) -> tuple[IntArray, Rows, FloatArray]:
    """Those of the rows that are not zero, scaled to unit length; their numbers, and the factors."""
    rows = system.rows(numbers)
    norms = row_norms(rows)
    kept = norms > 0
    return numbers[kept], scaled(rows[kept], 1.0 / norms[kept]), 1.0 / norms[kept]


def build_ray_program(rays: RaySystem) -> LinearProgram:
    """The program above; its last row bounds the sum."""
    p, count, objective = rays.H.shape[0], rays.W.shape[0], rays.objective
    matrix = stacked(sparse(rays.H), sparse(rays.W), sparse(objective[None]))
    return LinearProgram(
        objective=objective,
        matrix=csc_array(matrix),
        row_low=np.concatenate([np.zeros(p), np.full(count + 1, -np.inf)]),
        row_high=np.concatenate([np.zeros(p + count), [1.0]]),
        low=np.where(rays.low_rows >= 0, 0.0, -np.inf),
        high=np.where(rays.high_rows >= 0, 0.0, np.inf),
    )


def ray_or_multipliers(rays: RaySystem, budget: Budget) -> Direction | Multipliers | None:
    """A ray of a cone without lines, with the rows that hold it, or multipliers that show that it has none.

    Both are guesses until they are proved. None where the program was not solved, or its answer does not hold.
    """
    program = build_ray_program(rays)
    for method in (Method.INTERIOR, Method.INTERIOR_THEN_VERTEX):
        solution = solve(program, method)
        found = _read(rays, solution, budget) if len(solution.primal) else None
        if found is not None:
            return found
    return None


def _read(rays: RaySystem, solution: Solution, budget: Budget) -> Direction | Multipliers | None:
    """What a solution shows, whatever its status says: it is corrected and proved, and HiGHS may end early."""
    if solution.value > 0.5:
        ray = _ray(rays, solution.primal, budget)
        if ray is not None:
            return ray
    for dual in (solution.row_dual, -solution.row_dual):  # HiGHS's sign depends on the sense of the optimization
        multipliers = _multipliers(rays, dual[:-1])
        if multipliers is not None:
            return multipliers
    return None


def _ray(rays: RaySystem, vertex: Float64[FloatArray, " n"], budget: Budget) -> Direction | None:
    """The ray near a solution of the program."""
    p = rays.H.shape[0]
    sides = np.append(np.zeros(p), np.ones(rays.W.shape[0]))
    found = ray_near(stacked(rays.H, rays.W), sides == 0, sides, vertex, lambda d: _leaves_bounds(rays, d), budget)
    if found is None:
        return None
    d, held = found
    vanishing = np.concatenate([rays.low_rows[d == 0], rays.high_rows[d == 0]])
    numbers = [rays.equalities, rays.inequalities[held[p:]], vanishing[vanishing >= 0]]
    return Direction(np.concatenate(numbers), d)


def _leaves_bounds(rays: RaySystem, d: Float64[FloatArray, " n"]) -> BoolArray:
    return ((d < 0) & (rays.low_rows >= 0)) | ((d > 0) & (rays.high_rows >= 0))


def _multipliers(rays: RaySystem, dual: Float64[FloatArray, " q"]) -> Multipliers | None:
    p = rays.H.shape[0]
    weights = np.concatenate([dual[:p], rays.share + np.maximum(dual[p:], 0.0)])
    weights[p:][weights[p:] < VANISHING * np.abs(weights).max(initial=0.0)] = 0.0
    weights = weights + _correction(rays, weights)
    total = rays.H.T @ weights[:p] + rays.W.T @ weights[p:]
    # where both bounds hold a coordinate, each gets a share, and the difference counts
    both = (rays.low_rows >= 0) & (rays.high_rows >= 0)
    low = np.where(both, np.maximum(total, 0.0) + 1.0, total)
    high = np.where(both, np.maximum(-total, 0.0) + 1.0, -total)
    numbers = [rays.equalities, rays.inequalities, rays.low_rows, rays.high_rows]
    rows, values = np.concatenate(numbers), np.concatenate([weights * rays.scales, low, high])
    kept = (rows >= 0) & (values != 0.0)
    if (values[p:][kept[p:]] < 0).any():
        return None
    return Multipliers(rows[kept], values[kept])


def _correction(rays: RaySystem, weights: Float64[FloatArray, " q"]) -> Float64[FloatArray, " q"]:
    """The smallest change of the multipliers that makes them cancel in the coordinates that no bound can balance."""
    free = rays.free
    if not len(free):
        return np.zeros_like(weights)
    columns = cast(Rows, cast(Any, stacked(rays.H, rays.W))[:, free])
    try:
        factor = Cholesky(gram(columns))
    except LinAlgError:
        return np.zeros_like(weights)
    change = np.zeros_like(weights)
    for _ in range(CORRECTIONS):
        change = change - columns @ factor.solve(columns.T @ (weights + change))
    return change
