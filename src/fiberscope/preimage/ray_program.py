"""Rays of a recession cone in which every coordinate has a sign, by one sparse linear program that answers both ways.

Behind a ReLU all inputs are nonnegative, so a recession direction d has ``d_j >= 0``, and ``sum |d_j|`` is linear:

    maximize  sum_j |d_j|   subject to   H d = 0,  W d <= 0,  sum_j |d_j| <= 1,  s_j d_j >= 0.

The optimum is 1 if the cone has a ray, and a vertex is one with few nonzero entries. It is 0 if it has none, and then
the dual solution gives multipliers: ``H^T mu + W^T lambda`` has the sign s_j and is at least 1 in every coordinate, so
the rows of the coordinates' own bounds, with these numbers as multipliers, cancel it exactly up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.sparse.linalg
from jaxtyping import Float64
from scipy.sparse import csc_array

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, scaled, sparse, stacked
from fiberscope.network.signs import row_norms
from fiberscope.preimage.certificate import Direction, Multipliers
from fiberscope.preimage.linear_program import LinearProgram, Status, solve
from fiberscope.preimage.system import MixedSystem

VANISHING = 1e-9
"""Entries of a ray whose largest is 1, slopes, and multipliers below this share of the largest count as zero.

HiGHS's tolerance is 1e-7 on the program's own scale, and a crossover to a vertex makes zeros exact.
"""

CORRECTIONS = 3
TOLERANCE = 1e-16


@dataclass(frozen=True, eq=False)
class RaySystem:
    """The rows of a cone, apart from the bounds of its coordinates.

    Attributes:
        equalities: the numbers of the rows H.
        inequalities: the numbers of the rows W.
        H: (p, n) of unit length.
        W: (l, n) of unit length.
        scales: (p + l,) what the rows were multiplied by.
        low: (n,) 0 where ``d_j >= 0``, else -inf.
        high: (n,) 0 where ``d_j <= 0``, else inf.
        low_rows: (n,) the number of the row ``-d_j <= 0``, -1 where there is none.
        high_rows: (n,) the number of the row ``d_j <= 0``, -1 where there is none.
    """

    equalities: IntArray
    inequalities: IntArray
    H: Rows
    W: Rows
    scales: FloatArray
    low: FloatArray
    high: FloatArray
    low_rows: IntArray
    high_rows: IntArray

    @property
    def signs(self) -> Float64[FloatArray, " n"]:
        """+1 where ``d_j >= 0``, -1 where ``d_j <= 0``, 0 where d_j vanishes."""
        return np.where(self.low == 0, 1.0, 0.0) - np.where(self.high == 0, 1.0, 0.0)


def build_ray_system(system: MixedSystem) -> RaySystem | None:
    """Take the rows of the recession cone apart; None unless every coordinate is bounded on a side."""
    n = system.layer.inputs
    coordinate, sign = system.coordinates(system.inequalities)
    low_rows, high_rows = np.full(n, -1), np.full(n, -1)
    low_rows[coordinate[sign < 0]] = system.inequalities[sign < 0]
    high_rows[coordinate[sign > 0]] = system.inequalities[sign > 0]
    if ((low_rows < 0) & (high_rows < 0)).any():
        return None
    parts: list[Rows] = []
    numbers: list[IntArray] = []
    scales: list[FloatArray] = []
    for candidates in (system.positive, system.inequalities[sign == 0]):
        rows = system.rows(candidates)
        norms = row_norms(rows)
        numbers.append(candidates[norms > 0])
        scales.append(1.0 / norms[norms > 0])
        parts.append(scaled(rows[norms > 0], scales[-1]))
    low, high = np.where(low_rows >= 0, 0.0, -np.inf), np.where(high_rows >= 0, 0.0, np.inf)
    return RaySystem(*numbers, *parts, np.concatenate(scales), low, high, low_rows, high_rows)


def build_ray_program(rays: RaySystem) -> LinearProgram:
    """The program above; its last row bounds the sum."""
    p, count = rays.H.shape[0], rays.W.shape[0]
    matrix = stacked(sparse(rays.H), sparse(rays.W), sparse(rays.signs[None]))
    return LinearProgram(
        objective=rays.signs,
        matrix=csc_array(matrix),
        row_low=np.concatenate([np.zeros(p), np.full(count + 1, -np.inf)]),
        row_high=np.concatenate([np.zeros(p + count), [1.0]]),
        low=rays.low,
        high=rays.high,
    )


def ray_or_multipliers(rays: RaySystem) -> Direction | Multipliers | None:
    """A ray of the cone with the rows that hold it, or multipliers that show that it has none.

    Both are guesses until they are proved. None where the program was not solved, or its answer does not hold.
    """
    solution = solve(build_ray_program(rays), interior=True)
    if solution.status is not Status.OPTIMAL:
        return None
    if solution.value > 0.5:
        return _ray(rays, solution.primal)
    for dual in (solution.row_dual, -solution.row_dual):  # HiGHS's sign depends on the sense of the optimization
        multipliers = _multipliers(rays, dual[:-1])
        if multipliers is not None:
            return multipliers
    return None


def _ray(rays: RaySystem, d: Float64[FloatArray, " n"]) -> Direction | None:
    for _ in range(CORRECTIONS):
        d = np.where(np.abs(d) > VANISHING * np.abs(d).max(), d, 0.0)
        slopes = rays.W @ d
        tight = slopes > -VANISHING * np.abs(d).max()
        support = np.flatnonzero(d)
        held = cast(Any, stacked(rays.H, rays.W[tight]))[:, support]
        held = held[row_norms(held) > 0]
        if not held.shape[0]:
            break
        step: FloatArray = cast(Any, scipy.sparse.linalg).lsqr(
            held, held @ d[support], atol=TOLERANCE, btol=TOLERANCE, iter_lim=20 * len(support)
        )[0]
        d[support] -= step
    if (slopes[~tight] >= 0).any() or (d * rays.signs < 0).any():
        return None
    vanishing = np.concatenate([rays.low_rows[d == 0], rays.high_rows[d == 0]])
    numbers = [rays.equalities, rays.inequalities[tight], vanishing[vanishing >= 0]]
    return Direction(np.concatenate(numbers), d / np.abs(d).max())


def _multipliers(rays: RaySystem, dual: Float64[FloatArray, " q"]) -> Multipliers | None:
    mu, weights = np.split(dual, [rays.H.shape[0]])
    kept = np.flatnonzero(weights > VANISHING * np.abs(dual).max(initial=0.0))
    total = rays.H.T @ mu + rays.W[kept].T @ weights[kept]
    low = np.where(rays.signs > 0, total, np.maximum(total, 0.0) + 1.0)
    high = np.where(rays.signs < 0, -total, np.maximum(-total, 0.0) + 1.0)
    bounds = [(rays.low_rows, low), (rays.high_rows, high)]
    if any((values[rows >= 0] <= 0).any() for rows, values in bounds):
        return None
    p = len(mu)
    numbers = [rays.equalities, rays.inequalities[kept], *(rows[rows >= 0] for rows, _ in bounds)]
    values = [
        mu * rays.scales[:p], weights[kept] * rays.scales[p + kept], *(values[rows >= 0] for rows, values in bounds)
    ]  # fmt: skip
    return Multipliers(np.concatenate(numbers), np.concatenate(values))
