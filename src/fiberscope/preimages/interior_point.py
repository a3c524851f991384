"""A point strictly inside the inequality rows of a preimage given by its output."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import whole_space
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.dense import least_squares
from fiberscope.preimages.rounded import nearest_float
from fiberscope.preimages.system import MixedSystem

REFINEMENTS = 2


def find_point(system: MixedSystem) -> Float64[FloatArray, " n"] | None:
    """Find x with ``A_P x = y_P - b_P`` up to rounding and ``w_i x < rhs_i``; None where float64 finds none.

    With a solution x1 of the equalities, ``x1 + d / t`` is such a point iff (d, t) is a strict direction with
    ``A_P d = 0`` of the rows ``w_i d - (rhs_i - w_i x1) t < 0`` and ``-t < 0``.
    More positive rows than inputs are left to exact arithmetic, which alone can tell whether they agree.

    Raises:
        TooLargeError: the budget is over.
    """
    n, budget = system.layer.inputs, system.budget
    if len(system.positive) > n:
        return None
    budget.check("a point strictly inside was looked for")
    H, equal = _rows_and_sides(system, system.positive)
    rows, below = _rows_and_sides(system, system.inequalities)
    zero = ~rows.any(axis=1)
    if not (np.isfinite(equal).all() and np.isfinite(below).all()) or (below[zero] < 0).any():
        return None
    W, sides = rows[~zero], below[~zero]  # what is left of a dead neuron says nothing about the input
    x = _solve(H, equal, np.zeros(n), budget)
    rows = np.vstack(
        [
            np.column_stack([H, np.zeros(len(H))]),
            np.column_stack([W, W @ x - sides]),
            np.append(np.zeros(n), -1.0),
        ]
    )
    direction = _strict_direction(rows, len(H), budget) if np.isfinite(rows).all() else None
    if direction is None or not direction[-1] > 0:
        return None
    return _solve(H, equal, x + direction[:-1] / direction[-1], budget)


def _strict_direction(
    rows: Float64[FloatArray, "q k"], equalities: int, budget: Budget
) -> Float64[FloatArray, " k"] | None:
    """A direction that vanishes on the first rows, and is strict on the others."""
    import torch

    from fiberscope.preimages.hinge import Cone, search
    from fiberscope.preimages.row_pool import RowPool

    count, k = len(rows), rows.shape[1]
    layer = ReLULayer.of_map(lambda: (rows, np.zeros(count)), (k,), (count,), np.zeros(count, dtype=np.bool_))
    pool = RowPool.of(layer, whole_space(k), precisions=(torch.float64,))
    held = np.flatnonzero(pool.numbers < equalities)
    return search(pool, [Cone(held)], torch.float64, degenerate=True, budget=budget)[0].direction


def _rows_and_sides(system: MixedSystem, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
    return dense(system.rows(numbers)), np.array([nearest_float(side) for side in system.right_hand_sides(numbers)])


def _solve(
    H: Float64[FloatArray, "p n"], equal: Float64[FloatArray, " p"], x: Float64[FloatArray, " n"], budget: Budget
) -> Float64[FloatArray, " n"]:
    """The solution of ``H x = equal`` nearest to x, refined."""
    for _ in range(REFINEMENTS if len(H) else 0):
        budget.check("positive rows were solved")
        x = x + least_squares(H, equal - H @ x)
    return x
