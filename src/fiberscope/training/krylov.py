"""Lanczos's method for many symmetric matrices at once, known by their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fiberscope.training.algebra import eigh
from fiberscope.training.algebra import length as norm

GONE = 1e-5
"""A new direction below that share of the matrix's size is rounding of float32: the space is complete."""


@dataclass(frozen=True, eq=False)
class Krylov:
    """What a symmetric matrix M is on the space of ``w, M w, M^2 w, ...``, for each of N.

    Attributes:
        basis: (N, k, n) orthonormal rows; zero where the space is complete.
        values: (N, k) the eigenvalues of M there.
        vectors: (N, k, k) and its eigenvectors, columns, in the basis.
        length: (N,) of w.
        dimension: (N,) of the space, at most k; the eigenvalues behind that many are of nothing.
    """

    basis: Float[Tensor, "N k n"]
    values: Float[Tensor, "N k"]
    vectors: Float[Tensor, "N k k"]
    length: Float[Tensor, " N"]
    dimension: Int64[Tensor, " N"]

    def smallest(self) -> Float[Tensor, "N n"]:
        """The vector of the space, of length 1, with the smallest ``u M u``."""
        return self._vector(torch.zeros_like(self.dimension))

    def largest(self) -> Float[Tensor, "N n"]:
        """The vector of the space, of length 1, with the largest ``u M u``."""
        return self._vector(self.dimension - 1)

    def _vector(self, number: Int64[Tensor, " N"]) -> Float[Tensor, "N n"]:
        chosen = self.vectors.gather(2, number[:, None, None].expand(-1, self.vectors.shape[1], 1))
        return (self.basis * chosen).sum(dim=1)

    def form(self, f: Callable[[Tensor], Tensor]) -> Float[Tensor, " N"]:
        """``w^T f(M) w``, by the quadrature of Gauss."""
        return self.length.square() * (self.vectors[:, 0].square() * f(self.values)).sum(dim=1)

    def applied(self, f: Callable[[Tensor], Tensor]) -> Float[Tensor, "N n"]:
        """``f(M) w``, nearly."""
        weights = self.vectors @ (f(self.values) * self.vectors[:, 0])[:, :, None]
        return self.length[:, None] * (self.basis * weights).sum(dim=1)


def lanczos(product: Callable[[Tensor], Tensor], w: Float[Tensor, "N n"], steps: int) -> Krylov:
    """Build the spaces with one product a step; every new direction is orthogonalised against all before.

    Args:
        product: (N, n) -> (N, n), M of each vector.
        w: where to begin; not zero.
        steps: k, at most n.

    Source: C. Lanczos 1950; G. Golub and G. Meurant, Matrices, Moments and Quadrature, 2010.
    """
    length = norm(w)
    vector, basis = w / length[:, None], list[Tensor]()
    diagonal, beside = list[Tensor](), list[Tensor]()
    for _ in range(min(steps, w.shape[1])):
        basis.append(vector)
        new = product(vector)
        size = norm(new)
        diagonal.append((new * vector).sum(dim=1))
        so_far = torch.stack(basis, dim=1)
        for _ in range(2):  # once is not enough
            new = new - ((so_far @ new[:, :, None]) * so_far).sum(dim=1)
        left = norm(new)
        goes_on = left > GONE * size
        beside.append(torch.where(goes_on, left, 0.0))
        vector = torch.where(goes_on[:, None], new / torch.where(goes_on, left, 1.0)[:, None], 0.0)
    tridiagonal = torch.diag_embed(torch.stack(diagonal, dim=1))
    if len(beside) > 1:
        off = torch.diag_embed(torch.stack(beside[:-1], dim=1), offset=1)
        tridiagonal = tridiagonal + off + off.mT
    # rows of a complete space are zero: large on the diagonal, they are neither smallest nor part of w
    absent = (torch.stack(basis, dim=1) == 0).all(dim=2)
    shift = absent * (1.0 + tridiagonal.abs().amax(dim=(1, 2)))[:, None]
    values, vectors = eigh(tridiagonal + torch.diag_embed(shift))
    return Krylov(torch.stack(basis, dim=1), values, vectors, length, (~absent).sum(dim=1))


__all__ = ["Krylov", "lanczos"]
