"""A basis of the null space of many rows from one LU factorization, on any device and in any precision.

With ``P H^T = [L1; L2] U`` (partial pivoting, L1 unit lower triangular), ``H d = 0`` says ``d_B = K d_F`` with ``K =
-L1^-T L2^T``: the pivotal coordinates B follow from the free ones F. Pivoting bounds the entries of L by 1, so the
basis is well conditioned although it is not orthonormal; an orthonormal one takes three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fiberscope.preimage.tensors import lu, solve_lower, solve_upper

DEPENDENT = {torch.float32: 1e-5, torch.float64: 1e-11}
"""A pivot below this share of the largest says that rows depend on each other, as far as the precision can tell."""


class DependentRowsError(Exception):
    """The rows have no clear rank; never leaves the search for shared proofs."""


@dataclass(frozen=True, eq=False)
class NullSpace:
    """The null space of q independent rows H of unit length, q < n.

    Attributes:
        basis: (n, k) columns that span it; the rows of the free coordinates are those of the identity.
        dependence: (q, k) K.
        order: (n,) the pivotal coordinates B, then the free ones F.
        factors: (n, q) L and U.
    """

    basis: Tensor
    dependence: Tensor
    order: Tensor
    factors: Tensor

    @classmethod
    def of(cls, H: Float[Tensor, "q n"]) -> NullSpace:
        """Factor the rows.

        Raises:
            DependentRowsError: they are not clearly independent.
        """
        q, n = H.shape
        factors, pivoted = lu(H.T)
        diagonal = factors[:q].diagonal().abs()
        if q and not bool(diagonal.min() > DEPENDENT[H.dtype] * diagonal.max()):
            raise DependentRowsError("rows depend on each other")
        order = torch.tensor(pivoted, device=H.device)
        dependence = -solve_upper(factors[:q].T, factors[q:].T, unit=True)
        basis = torch.empty((n, n - q), dtype=H.dtype, device=H.device)
        basis[order] = torch.cat([dependence, torch.eye(n - q, dtype=H.dtype, device=H.device)])
        return cls(basis, dependence, order, factors)

    @property
    def rows(self) -> int:
        """The number q of rows."""
        return self.dependence.shape[0]

    def metric(self) -> Float[Tensor, "k k"]:
        """``basis^T basis``."""
        square = self.dependence.T @ self.dependence
        square.diagonal().add_(1.0)
        return square

    def correct(self, H: Float[Tensor, "q n"], d: Float[Tensor, " n"], refinements: int = 2) -> Float[Tensor, " n"]:
        """Change the pivotal coordinates of d until ``H d`` vanishes; H may be more precise than the factors."""
        d, pivotal, square = d.to(H.dtype, copy=True), self.order[: self.rows], self.factors[: self.rows]
        for _ in range(refinements if self.rows else 0):
            residual = (H @ d).to(self.factors.dtype)[:, None]
            move = solve_upper(square.T, solve_lower(square.T, residual), unit=True)
            d[pivotal] -= move[:, 0].to(H.dtype)
        return d

    def multipliers(self, H: Float[Tensor, "q n"], c: Float[Tensor, " n"]) -> Float[Tensor, " q"]:
        """The mu with ``H^T mu + c = 0`` for c in the span of the rows, once refined."""
        square, pivotal = self.factors[: self.rows], self.order[: self.rows]
        mu = torch.zeros(self.rows, dtype=H.dtype, device=H.device)
        for _ in range(2 if self.rows else 0):
            rest = (c + H.T @ mu)[pivotal][:, None]
            mu = mu - solve_upper(square, solve_lower(square, rest, unit=True))[:, 0]
        return mu


__all__ = ["DependentRowsError", "NullSpace"]
