"""A thin, typed door to torch's linear algebra, whose own types are not known; nothing in it raises."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

_linalg = cast(Any, torch.linalg)


def cholesky(square: Float[Tensor, "k k"]) -> Float[Tensor, "k k"] | None:
    """The lower triangular factor of a symmetric matrix; None where it is not positive definite in its precision."""
    factor, info = _linalg.cholesky_ex(square)
    return None if int(info) else factor


def cholesky_solve(factor: Float[Tensor, "k k"], v: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """Solve with the matrix that has this factor."""
    return torch.cholesky_solve(v[:, None], factor)[:, 0]


def lu(matrix: Float[Tensor, "n q"]) -> tuple[Float[Tensor, "n q"], list[int]]:
    """``matrix[order] = L U`` with partial pivoting, q <= n: L, below the diagonal, and U, above it; and the order."""
    factors, pivots, _ = _linalg.lu_factor_ex(matrix)
    order = list(range(matrix.shape[0]))
    for i, j in enumerate(pivots.tolist()):  # LAPACK's row exchanges, counted from one
        order[i], order[j - 1] = order[j - 1], order[i]
    return factors, order


def norm(v: Float[Tensor, " k"]) -> float:
    """The Euclidean norm."""
    return float(_linalg.vector_norm(v))


def numbers(v: Float[Tensor, " k"]) -> list[float]:
    """The entries as Python numbers."""
    return cast("list[float]", v.tolist())


def solve_lower(triangle: Float[Tensor, "q q"], B: Float[Tensor, "q r"], *, unit: bool = False) -> Float[Tensor, "q r"]:
    """Solve with the lower triangle of a matrix, with ones on its diagonal if ``unit``."""
    return cast(Tensor, _linalg.solve_triangular(triangle, B, upper=False, unitriangular=unit))


def solve_upper(triangle: Float[Tensor, "q q"], B: Float[Tensor, "q r"], *, unit: bool = False) -> Float[Tensor, "q r"]:
    """Solve with the upper triangle of a matrix, with ones on its diagonal if ``unit``."""
    return cast(Tensor, _linalg.solve_triangular(triangle, B, upper=True, unitriangular=unit))


__all__ = ["cholesky", "cholesky_solve", "lu", "norm", "numbers", "solve_lower", "solve_upper"]
