"""A direction that equalities hold at zero and that is strict on bounds and other rows, by steps in the interior.

Look for d with ``H d = 0``, ``W d < 0`` and ``s_j d_j > 0`` on bounded coordinates. With slacks ``t = -W d`` this is
``M (d, t) = 0``, M = [H, 0; W, I], with z = (d, t) positive in places. Starting at ones there, Newton's steps for

    minimise  -sum log z_j + 1/2 rho |z_F|^2    subject to  M z = 0

lead to the centre of all such directions while M z decreases in proportion (S. Boyd & L. Vandenberghe, Convex
optimization, section 10.3). As soon as what is left of M z can be removed at one go without a sign that changes, that
is done. Each step factors ``M D M^T``, as large as there are rows, where other methods factor what rows leave.

Solutions of convolutions grow and fall by orders of magnitude. Nothing is measured by the length of z therefore: rows
are in units of what they read, and entries in units of themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float64
from numpy.linalg import LinAlgError

from fiberscope.memory import check_matrix
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.rows import Rows, dense, is_sparse, scaled, sparse_rows, stacked, weighted_columns
from fiberscope.network.signs import row_norms
from fiberscope.network.sparse_rows import side_by_side
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.cholesky import Cholesky, narrow_order, raised, square_of

MAX_STEPS, PATIENT_STEPS = 10, 80
"""Where there is a direction, generic systems take 1 to 8, those that grow by nine orders of magnitude up to 50."""
LOOSE = 1e4
"""How easily coordinates without a sign move, relative to the largest of the others that rows see beside them."""
REACH = 0.9
"""The share of the way to the nearest wrong sign that a step takes at most."""
SHORTEST = 1e-3
"""A step that is shorter shows that there is no direction, or next to none."""
RIDGE = 1e-14
"""Relative to the diagonal, for rows that depend on each other."""
REFINEMENTS = 3
ACCURATE_STEPS = 10
"""By orthogonal factorizations, which do not square condition numbers, and take ten times as long."""
STRICTNESS = 1e-7
"""What must be left of the room, relative to the entry before the last step."""
RESIDUAL = 1e-12
"""What rows may leave, relative to what they read."""


def strict_direction(
    H: Rows,
    W: Rows,
    signs: Float64[FloatArray, " n"],
    fixed: Bool[BoolArray, " n"],
    budget: Budget = NO_LIMIT,
    *,
    steps: int = MAX_STEPS,
) -> Float64[FloatArray, " n"] | None:
    """Find d with ``H d = 0``, ``W d < 0``, ``signs_j d_j > 0`` where signs are not 0, and ``d_j = 0`` where fixed.

    Args:
        H: (p, n) rows, none of them zero.
        W: (l, n) rows, none of them zero.
        signs: 1, -1, or 0 for coordinates without a sign.
        fixed: coordinates that are held at zero.
        budget: when to end.
        steps: to take at most.

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
    if is_sparse(every):  # every step factors a Gram matrix of these rows
        live = live[narrow_order(square_of(every[live]))]
    M = every[live]  # the others hold nothing that moves
    if not strict.any():  # whatever the rows leave of some direction
        z = np.where(mobile, np.random.default_rng(0).standard_normal(len(z)), 0.0)
    accurate = 0
    for _ in range(steps):
        if budget.is_over or accurate > ACCURATE_STEPS:
            return None
        units = np.where(strict, np.abs(z), np.maximum(np.sqrt(LOOSE) * _beside(M, z, strict), np.abs(z))) * mobile
        nearest = _Nearest.of(M, units, accurately=accurate > 0)
        if nearest is None:
            return None
        whole = z - nearest.solve(M @ z)
        if ((sign * whole)[strict] > STRICTNESS * units[strict]).all() and np.isfinite(whole).all():
            d = _finished(nearest, whole, sign, strict)
            if d is not None or not strict.any():
                return None if d is None else d[:n]
            if nearest.orthogonal is None and len(nearest.lengths) <= n:
                accurate = 1  # the normal equations said more than they know
                continue
        if not strict.any():
            return None
        push = np.where(strict, z, 0.0)  # D times the gradient of the logarithms
        step = push - nearest.solve(M @ (push + z))
        limit = float((-step[strict] / z[strict]).max())
        length = min(1.0, REACH / limit) if limit > 0 else 1.0
        if not length > SHORTEST:
            return None
        z, accurate = z + length * step, accurate + (accurate > 0)
    return None


def _beside(M: Rows, z: Float64[FloatArray, " k"], strict: Bool[BoolArray, " k"]) -> Float64[FloatArray, " k"]:
    """The largest entries with a sign that rows see beside each coordinate, or beside its neighbours."""
    sizes = np.where(strict, np.abs(z), 0.0)
    largest = float(sizes.max(initial=0.0)) or 1.0
    if not is_sparse(M) or not M.shape[0] or strict.all():
        return np.full(len(z), largest)
    seen = abs(cast(Any, M)).sign()
    for _ in range(len(z)):
        by_row = seen.multiply(sizes[None]).max(axis=1).toarray().ravel()
        by_column = seen.multiply(by_row[:, None]).max(axis=0).toarray().ravel()
        unknown = (sizes == 0) & (by_column > 0)
        if not unknown.any():
            break
        sizes[unknown] = by_column[unknown]
    return np.where(sizes > 0, sizes, largest)


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
    """For a residual r the z with ``M z = r`` that is the shortest in some units.

    Attributes:
        rows: M.
        units: (k,) of the entries of z.
        scaled: the rows in these units, divided by their lengths.
        lengths: (q,) these.
        factor: of their Gram matrix.
        orthogonal: of the transposed rows, in its place.
    """

    rows: Rows
    units: FloatArray
    scaled: Rows
    lengths: FloatArray
    factor: Cholesky | None
    orthogonal: tuple[FloatArray, FloatArray] | None

    @classmethod
    def of(cls, rows: Rows, units: Float64[FloatArray, " k"], *, accurately: bool = False) -> _Nearest | None:
        """None where the rows have no such z for all r."""
        if not rows.shape[0]:
            return cls(rows, units, rows, np.zeros(0), None, None)
        weighted = weighted_columns(rows, units)
        lengths = row_norms(weighted)
        if not ((lengths > 0) & np.isfinite(lengths)).all():
            return None
        weighted = scaled(weighted, 1.0 / lengths)
        if accurately:
            Q, R = cast(Any, scipy.linalg).qr(dense(weighted).T, mode="economic")
            independent = R.shape[0] == R.shape[1] and bool(np.diagonal(R).all())
            return cls(rows, units, weighted, lengths, None, (Q, R)) if independent else None
        try:
            return cls(rows, units, weighted, lengths, Cholesky(raised(square_of(weighted), RIDGE)), None)
        except LinAlgError:
            return None

    def solve(self, residual: Float64[FloatArray, " q"]) -> Float64[FloatArray, " k"]:
        """The z for one residual."""
        if self.orthogonal is not None:
            Q, R = self.orthogonal
            across = cast(Any, scipy.linalg).solve_triangular(R, residual / self.lengths, trans="T")
            return self.units * np.asarray(Q @ across)
        if self.factor is None:
            return np.zeros(len(self.units))
        return self.units * cast(FloatArray, self.scaled.T @ self.factor.solve(residual / self.lengths))

    def missed(self, z: Float64[FloatArray, " k"]) -> float:
        """What rows leave of z, relative to what they read."""
        return float((np.abs(self.rows @ z) / self.lengths).max(initial=0.0))


def _finished(nearest: _Nearest, z: FloatArray, sign: FloatArray, strict: BoolArray) -> FloatArray | None:
    """The direction, refined; None where rows that depend on each other keep it from vanishing on them."""
    if nearest.orthogonal is not None:  # in units of itself
        own = _Nearest.of(nearest.rows, np.where(z != 0, np.abs(z), nearest.units), accurately=True)
        if own is None:
            return None
        nearest = own
    for _ in range(REFINEMENTS):
        z = z - nearest.solve(nearest.rows @ z)
    fits = ((sign * z)[strict] > STRICTNESS * nearest.units[strict]).all() and nearest.missed(z) < RESIDUAL and z.any()
    return z if fits else None


__all__ = ["MAX_STEPS", "PATIENT_STEPS", "strict_direction"]
