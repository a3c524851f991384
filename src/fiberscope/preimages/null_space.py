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

from fiberscope.preimages.tensors import gram, lu, product, solve_lower, solve_upper

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
        square = gram(self.dependence)
        square.diagonal().add_(1.0)
        return square

    def correction(self, residual: Float[Tensor, " q"]) -> Float[Tensor, " n"]:
        """The v with ``H v`` equal to the residual and zeros in the free coordinates; both may be more precise."""
        pivotal, square = self.order[: self.rows], self.factors[: self.rows]
        out = torch.zeros(len(self.order), dtype=residual.dtype, device=residual.device)
        if self.rows:
            half = solve_lower(square.T, residual.to(square.dtype)[:, None])
            out[pivotal] = solve_upper(square.T, half, unit=True)[:, 0].to(residual.dtype)
        return out

    def multipliers(self, H: Float[Tensor, "q n"], c: Float[Tensor, " n"]) -> Float[Tensor, " q"]:
        """The mu with ``H^T mu + c = 0`` for c in the span of the rows, once refined."""
        square, pivotal = self.factors[: self.rows], self.order[: self.rows]
        mu = torch.zeros(self.rows, dtype=H.dtype, device=H.device)
        for _ in range(2 if self.rows else 0):
            rest = (c + product(H.T, mu))[pivotal][:, None]
            mu = mu - solve_upper(square, solve_lower(square, rest, unit=True))[:, 0]
        return mu


__all__ = ["DependentRowsError", "NullSpace"]
