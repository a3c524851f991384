"""A point strictly inside the inequality rows of a preimage given by its output."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import dense
from fiberscope.preimage.dense import least_squares
from fiberscope.preimage.potential import descend
from fiberscope.preimage.reduction import Reduction
from fiberscope.preimage.rounded import nearest_float
from fiberscope.preimage.system import MixedSystem

REFINEMENTS = 2


def find_point(system: MixedSystem) -> Float64[FloatArray, " n"] | None:
    """Find x with ``A_P x = y_P - b_P`` up to rounding and ``w_i x < rhs_i``; None where float64 finds none.

    With a solution x1 of the equalities and O a basis of null(A_P), ``x1 + O u / t`` is such a point iff (u, t) is a
    strict direction of the rows ``w_i O u - (rhs_i - w_i x1) t < 0`` and ``-t < 0``, which the potential decides.
    More positive rows than inputs are left to exact arithmetic, which alone can tell whether they agree.
    """
    n = system.layer.inputs
    H, equal = _rows_and_sides(system, system.positive)
    rows, below = _rows_and_sides(system, system.inequalities)
    zero = ~rows.any(axis=1)
    if len(H) > n or not (np.isfinite(equal).all() and np.isfinite(below).all()) or (below[zero] < 0).any():
        return None
    W, sides = rows[~zero], below[~zero]  # what is left of a dead neuron says nothing about the input
    reduction = Reduction.of(H, n)
    x = _solve(H, equal, np.zeros(n))
    homogeneous = np.column_stack([dense(reduction.reduce(W)), W @ x - sides])
    homogeneous = np.vstack([homogeneous, np.append(np.zeros(reduction.dimension), -1.0)])
    norms = np.linalg.norm(homogeneous, axis=1)
    if not (np.isfinite(norms).all() and (norms > 0).all()):
        return None
    direction = descend(homogeneous / norms[:, None], system.budget).direction
    if direction is None or not direction[-1] > 0:
        return None
    return _solve(H, equal, x + reduction.expand(direction[:-1] / direction[-1]))


def _rows_and_sides(system: MixedSystem, numbers: IntArray) -> tuple[FloatArray, FloatArray]:
    return dense(system.rows(numbers)), np.array([nearest_float(side) for side in system.right_hand_sides(numbers)])


def _solve(
    H: Float64[FloatArray, "p n"], equal: Float64[FloatArray, " p"], x: Float64[FloatArray, " n"]
) -> Float64[FloatArray, " n"]:
    """The solution of ``H x = equal`` nearest to x, refined."""
    for _ in range(REFINEMENTS if len(H) else 0):
        x = x + least_squares(H, equal - H @ x)
    return x
