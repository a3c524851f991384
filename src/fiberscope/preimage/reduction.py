"""Coordinates of the null space of the equality rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import Rows, dense, is_sparse
from fiberscope.network.signs import row_norms
from fiberscope.preimage.dense import gram, pivoted_cholesky, pivoted_qr, plain_qr, solve_upper, symmetric_eigen

DEPENDENT = 1e-11
"""A row whose part outside the span of others is smaller than this, relative to the row, is taken as dependent."""

RESOLVED = 1e-10
"""Eigenvalues of a Gram matrix below this share of the largest are not told from zero.

Its rounding is near 1e-13 of the largest.
"""

REFINEMENTS = 2


@dataclass(frozen=True, eq=False)
class Reduction:
    """An orthonormal basis of null(H), and a way to solve with H^T.

    Attributes:
        null_basis: (n, k) orthonormal, spans null(H).
        rank: the rank r of H, as float64 sees it.
        rows: the number of rows of H.
        solve: gives z (p,) with ``H^T z = c`` for c (n,) in the range of H^T.
    """

    null_basis: FloatArray
    rank: int
    rows: int
    solve: Callable[[FloatArray], FloatArray]

    @classmethod
    def of(cls, H: Rows, n: int) -> Reduction:
        """Reduce by the rows of H, shape (p, n)."""
        p = H.shape[0]
        check_matrix("a basis of a null space", n, n)
        if p == 0:
            return cls(np.eye(n), 0, 0, lambda _: np.zeros(0))
        if is_sparse(H):
            reduction = _by_eigenvectors(H) if p > n else _by_independent_rows(H)
            if reduction is not None:
                return reduction
        return _by_pivoted_qr(dense(H))

    @property
    def dimension(self) -> int:
        """The dimension k of null(H)."""
        return self.null_basis.shape[1]

    def reduce(self, rows: Rows) -> Rows:
        """Rows (l, n) in coordinates of null(H), shape (l, k)."""
        return rows if self.rows == 0 else rows @ self.null_basis

    def expand(self, u: Float64[FloatArray, " k"]) -> Float64[FloatArray, " n"]:
        """The vector (n,) of null(H) with coordinates u."""
        return u if self.rows == 0 else self.null_basis @ u

    def multipliers_for(self, combination: Float64[FloatArray, " n"]) -> Float64[FloatArray, " p"]:
        """Mu with ``H^T mu + combination = 0`` on the range of H^T."""
        return -self.solve(combination)


def _by_pivoted_qr(H: Float64[FloatArray, "p n"]) -> Reduction:
    Q, R, pivots = pivoted_qr(H.T)
    diagonal = np.abs(np.diag(R))
    rank = int(np.sum(diagonal > max(H.shape) * np.finfo(np.float64).eps * diagonal[0])) if diagonal[0] > 0 else 0
    return _from_qr(Q, R[:rank, :rank], pivots[:rank], H.shape[0])


def _from_qr(Q: FloatArray, R: FloatArray, pivots: np.ndarray, rows: int) -> Reduction:
    rank = len(pivots)
    range_basis = Q[:, :rank]

    def solve(c: FloatArray) -> FloatArray:
        z = np.zeros(rows)
        if rank:
            z[pivots] = solve_upper(R, range_basis.T @ c)
        return z

    return Reduction(Q[:, rank:], rank, rows, solve)


def _by_independent_rows(H: Rows) -> Reduction | None:
    """Independent rows by a pivoted Cholesky factorization of the Gram matrix, which is cheap; then QR of these.

    None where the Gram matrix does not tell for sure which rows are dependent.
    """
    norms = row_norms(H)
    nonzero = np.flatnonzero(norms > 0)
    unit = dense(H[nonzero]) / norms[nonzero, None]
    _, pivots, rank = pivoted_cholesky(gram(H[nonzero].T) / np.outer(norms[nonzero], norms[nonzero]), RESOLVED)
    chosen = np.sort(pivots[:rank])
    Q, R = plain_qr(unit[chosen].T)
    others = np.setdiff1d(np.arange(len(nonzero)), chosen)
    if len(others):
        range_basis = Q[:, : len(chosen)]
        left_over = unit[others] - (unit[others] @ range_basis) @ range_basis.T
        if (row_norms(left_over) > DEPENDENT).any():
            return None
    return _from_qr(Q, R[: len(chosen)] * norms[nonzero[chosen]], nonzero[chosen], H.shape[0])


def _by_eigenvectors(H: Rows) -> Reduction | None:
    """The null space of more rows than columns from the eigenvectors of ``H^T H``.

    None where an eigenvalue is neither clearly zero nor clearly not.
    """
    square = gram(H)
    values, vectors = symmetric_eigen(square)
    zero = values <= RESOLVED * values[-1]
    if np.abs(values[zero]).max(initial=0.0) > DEPENDENT * values[-1]:
        return None
    span, inverse = vectors[:, ~zero], 1.0 / values[~zero]

    def solve(c: FloatArray) -> FloatArray:
        z, rest = np.zeros(H.shape[0]), c
        for _ in range(REFINEMENTS):
            z = z + H @ (span @ (inverse * (span.T @ rest)))
            rest = c - H.T @ z
        return z

    return Reduction(vectors[:, zero], int((~zero).sum()), H.shape[0], solve)
