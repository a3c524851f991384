"""Torch's linear algebra with types, which its own declarations leave out."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

_linalg: Any = torch.linalg


def eigh(M: Float[Tensor, "*N k k"]) -> tuple[Float[Tensor, "*N k"], Float[Tensor, "*N k k"]]:
    """Eigenvalues in ascending order, and eigenvectors as columns."""
    values, vectors = _linalg.eigh(M)
    return values, vectors


def cholesky(M: Float[Tensor, "*N k k"]) -> Float[Tensor, "*N k k"]:
    """The lower triangular factor."""
    return _linalg.cholesky(M)


def svd(W: Float[Tensor, "m n"]) -> tuple[Float[Tensor, "m k"], Float[Tensor, " k"], Float[Tensor, "k n"]]:
    """``W = U diag(sigma) Vh``, of which k is the smaller side."""
    U, sigma, Vh = _linalg.svd(W, full_matrices=False)
    return U, sigma, Vh


def singular_values(W: Float[Tensor, "m n"]) -> Float[Tensor, " k"]:
    """In descending order, to the last digit the same with a gradient and without: torch's own are not."""
    return svd(W)[1]


def length(V: Float[Tensor, "*N n"], *, keepdim: bool = False) -> Float[Tensor, ...]:
    """Euclid, along the last axis."""
    return _linalg.vector_norm(V, dim=-1, keepdim=keepdim)


def parts(tensor: Shaped[Tensor, "N ..."], size: int) -> list[Tensor]:
    """Some samples at a time."""
    return list(cast(Any, tensor).split(size))


def root(squares: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The root, with gradient 0 at 0."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


def full(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """In float32 at least."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


__all__ = ["cholesky", "eigh", "full", "length", "parts", "root", "singular_values", "svd"]
