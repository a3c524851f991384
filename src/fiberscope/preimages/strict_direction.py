"""A direction that equalities hold at zero and that is strict on bounds and other rows, by steps in the interior.

Look for d with ``H d = 0``, ``W d < 0`` and ``s_j d_j > 0`` on bounded coordinates. With slacks ``t = -W d`` this is
``M (d, t) = 0``, M = [H, 0; W, I], with z = (d, t) positive in places. Starting at ones there, Newton's steps for

    minimise  -sum log z_j + 1/2 rho |z_F|^2    subject to  M z = 0

lead to the centre of all such directions while M z decreases in proportion (S. Boyd & L. Vandenberghe, Convex
optimization, section 10.3). As soon as what is left of M z can be removed at one go without a sign that changes, that
is done. Each step factors ``M D M^T``, as large as there are rows, where other methods factor what rows leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Bool, Float64
from numpy.linalg import LinAlgError

from fiberscope.memory import check_matrix
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.rows import Rows, is_sparse, scaled, sparse_rows, stacked, weighted_columns
from fiberscope.network.signs import row_norms
from fiberscope.network.sparse_rows import side_by_side
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.dense import Cholesky, gram

MAX_STEPS = 10
"""Where there is a direction, generic systems take 1 to 8."""
LOOSE = 1e4
"""How easily coordinates without a sign move, relative to the largest of the others."""
REACH = 0.9
"""The share of the way to the nearest wrong sign that a step takes at most."""
SHORTEST = 1e-3
"""A step that is shorter shows that there is no direction, or next to none."""
RIDGE = 1e-14
"""Relative to the mean diagonal, for rows that depend on each other."""
REFINEMENTS = 3
STRICTNESS = 1e-9
"""What must be left of the room, per length."""
RESIDUAL = 1e-12
"""What unit rows may leave, per length."""


def strict_direction(
    H: Rows, W: Rows, signs: Float64[FloatArray, " n"], fixed: Bool[BoolArray, " n"], budget: Budget = NO_LIMIT
) -> Float64[FloatArray, " n"] | None:
    """Find d with ``H d = 0``, ``W d < 0``, ``signs_j d_j > 0`` where signs are not 0, and ``d_j = 0`` where fixed.

    Args:
        H: (p, n) rows, none of them zero.
        W: (l, n) rows, none of them zero.
        signs: 1, -1, or 0 for coordinates without a sign.
        fixed: coordinates that are held at zero.
        budget: when to end.

    Returns:
        d, up to rounding; None where none was found, which says nothing.
    """
    n, count = len(signs), W.shape[0]
    check_matrix("a Gram matrix of rows", H.shape[0] + count, H.shape[0] + count)
    every = _with_slacks(H, W)
    sign = np.concatenate([signs, np.ones(count)])
    strict = (sign != 0) & ~np.concatenate([fixed, np.zeros(count, dtype=np.bool_)])
    mobile = np.concatenate([~fixed, np.ones(count, dtype=np.bool_)])
    z = np.where(strict, sign, 0.0)
    if not mobile.any():
        return None
    live = np.flatnonzero(row_norms(weighted_columns(every, mobile.astype(np.float64))))
    M = every[live]  # the others hold nothing that moves
    if not strict.any():  # whatever the rows leave of some direction
        z = np.where(mobile, np.random.default_rng(0).standard_normal(len(z)), 0.0)
    for _ in range(MAX_STEPS):
        if budget.is_over:
            return None
        weights = np.where(strict, z * z, LOOSE * max(float(np.square(z[strict]).max(initial=0.0)), 1.0)) * mobile
        nearest = _Nearest.of(M, weights)
        if nearest is None:
            return None
        whole = z - nearest.solve(M @ z)
        if _holds(sign, strict, whole):
            return _finished(nearest, whole, sign, strict, n)
        if not strict.any():
            return None
        push = np.where(strict, z, 0.0)  # D times the gradient of the logarithms
        step = push - nearest.solve(M @ (push + z))
        limit = float((-step[strict] / z[strict]).max())
        length = min(1.0, REACH / limit) if limit > 0 else 1.0
        if not length > SHORTEST:
            return None
        z = z + length * step
    return None


def _with_slacks(H: Rows, W: Rows) -> Rows:
    """``[H, 0; W, I]``, of unit rows."""
    held, others = (scaled(rows, 1.0 / row_norms(rows)) for rows in (H, W))
    p, count = H.shape[0], W.shape[0]
    if not count:
        return held
    both = stacked(held, others)
    if is_sparse(both):
        places = np.arange(count)
        return side_by_side([both, sparse_rows(np.ones(count), p + places, places, (p + count, count))])
    return np.hstack([cast(FloatArray, both), np.vstack([np.zeros((p, count)), np.eye(count)])])


@dataclass(frozen=True, eq=False)
class _Nearest:
    """For a residual r the z of least weighted length with ``M z = r``."""

    rows: Rows
    weights: FloatArray
    factor: Cholesky | None

    @classmethod
    def of(cls, rows: Rows, weights: Float64[FloatArray, " k"]) -> _Nearest | None:
        """None where the rows have no such z for all r."""
        if not rows.shape[0]:
            return cls(rows, weights, None)
        square = gram(weighted_columns(rows, np.sqrt(weights)).T)
        square[np.diag_indices(len(square))] += RIDGE * float(square.diagonal().mean())
        try:
            return cls(rows, weights, Cholesky(square))
        except LinAlgError:
            return None

    def solve(self, residual: Float64[FloatArray, " q"]) -> Float64[FloatArray, " k"]:
        """The z for one residual."""
        if self.factor is None:
            return np.zeros(len(self.weights))
        return self.weights * cast(FloatArray, self.rows.T @ self.factor.solve(residual))


def _holds(sign: FloatArray, strict: BoolArray, z: FloatArray) -> bool:
    size = float(np.linalg.norm(z))
    return bool(np.isfinite(size) and size > 0 and ((sign * z)[strict] > STRICTNESS * size).all())


def _finished(
    nearest: _Nearest, z: FloatArray, sign: FloatArray, strict: BoolArray, n: int
) -> Float64[FloatArray, " n"] | None:
    """The direction, refined; None where rows that depend on each other keep it from vanishing on them."""
    M = nearest.rows
    for _ in range(REFINEMENTS):
        z = z - nearest.solve(M @ z)
    fits = _holds(sign, strict, z) and np.abs(M @ z).max(initial=0.0) < RESIDUAL * float(np.linalg.norm(z))
    return z[:n] if fits else None


__all__ = ["strict_direction"]
