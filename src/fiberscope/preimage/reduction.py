"""Coordinates of the null space of the equality rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimage.dense import pivoted_qr, solve_upper


@dataclass(frozen=True, eq=False)
class Reduction:
    """An orthonormal basis of null(H) and the factors ``H^T[:, pivots] = Q R``.

    Attributes:
        range_basis: (n, r) orthonormal, spans the rows of H.
        null_basis: (n, k) orthonormal, spans null(H).
        triangle: (r, r) R.
        pivots: (r,) the rows of H that R factors.
        rows: the number of rows of H.
    """

    range_basis: FloatArray
    null_basis: FloatArray
    triangle: FloatArray
    pivots: IntArray
    rows: int

    @classmethod
    def of(cls, H: Float64[FloatArray, "p n"], n: int) -> Reduction:
        """Reduce by the rows of H, shape (p, n)."""
        if len(H) == 0:
            return cls(np.zeros((n, 0)), np.eye(n), np.zeros((0, 0)), np.zeros(0, dtype=np.int64), 0)
        Q, R, pivots = pivoted_qr(H.T)
        diagonal = np.abs(np.diag(R))
        rank = int(np.sum(diagonal > max(H.shape) * np.finfo(np.float64).eps * diagonal[0])) if diagonal[0] > 0 else 0
        return cls(Q[:, :rank], Q[:, rank:], R[:rank, :rank], pivots[:rank], len(H))

    @property
    def dimension(self) -> int:
        """The dimension k of null(H)."""
        return self.null_basis.shape[1]

    @property
    def rank(self) -> int:
        """The rank r of H, as float64 sees it."""
        return self.range_basis.shape[1]

    def reduce(self, rows: Float64[FloatArray, "l n"]) -> Float64[FloatArray, "l k"]:
        """Rows (l, n) in coordinates of null(H), shape (l, k)."""
        return rows if self.rows == 0 else rows @ self.null_basis

    def expand(self, u: Float64[FloatArray, " k"]) -> Float64[FloatArray, " n"]:
        """The vector (n,) of null(H) with coordinates u."""
        return u if self.rows == 0 else self.null_basis @ u

    def multipliers_for(self, combination: Float64[FloatArray, " n"]) -> Float64[FloatArray, " p"]:
        """Mu with ``H^T mu + combination = 0`` on the range of H^T."""
        mu = np.zeros(self.rows)
        if len(self.pivots):
            mu[self.pivots] = -solve_upper(self.triangle, self.range_basis.T @ combination)
        return mu
