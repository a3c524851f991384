"""Linear algebra on tensors of any device, in one place; what cannot be factored is an answer, not an exception.

On the CPU numpy and scipy do the work, on the tensors' own memory: their BLAS takes half the time of torch's on many
processors. Elsewhere torch does.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

_torch = cast(Any, torch.linalg)

_Array = NDArray[Any]


def _lapack(name: str) -> dict[str, Any]:
    """A routine of LAPACK or BLAS, by precision."""
    modules = (cast(Any, scipy.linalg).lapack, cast(Any, scipy.linalg).blas)
    module = next(module for module in modules if hasattr(module, f"d{name}"))
    return {"f": getattr(module, f"s{name}"), "d": getattr(module, f"d{name}")}


_potrf, _potrs, _getrf, _trsm = (_lapack(name) for name in ("potrf", "potrs", "getrf", "trsm"))


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def product(A: Tensor, B: Tensor) -> Tensor:
    """``A B``, for a matrix A and a matrix or vector B."""
    if not _on_cpu(A):
        return A @ B
    # some processors' BLAS computes on what lies behind a matrix, too, and numpy warns of that: the product is right
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.asarray(A.numpy() @ B.numpy()))


def gram(rows: Float[Tensor, "p k"]) -> Float[Tensor, "k k"]:
    """``A^T A``; numpy computes half of it and mirrors it."""
    return product(rows.T, rows)


def cholesky(square: Float[Tensor, "k k"]) -> Float[Tensor, "k k"] | None:
    """The lower triangular factor of a symmetric matrix; None where it is not positive definite in its precision.

    What lies above the diagonal is not defined.
    """
    if not _on_cpu(square):
        factor, info = _torch.cholesky_ex(square)
        return None if int(info) else factor
    # the upper triangle of the transposed matrix, which is in the order that LAPACK wants
    array: _Array = np.ascontiguousarray(square.numpy()).T
    upper, info = _potrf[array.dtype.char](array, lower=0, clean=0)
    return None if info else torch.from_numpy(upper.T)


def cholesky_solve(factor: Float[Tensor, "k k"], v: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """Solve with the matrix that has this factor."""
    if not _on_cpu(factor):
        return torch.cholesky_solve(v[:, None], factor.tril())[:, 0]
    upper: _Array = factor.numpy().T
    solution, _ = _potrs[upper.dtype.char](upper, v.numpy(), lower=0)
    return torch.from_numpy(solution)


def lu(matrix: Float[Tensor, "n q"]) -> tuple[Float[Tensor, "n q"], list[int]]:
    """``matrix[order] = L U`` with partial pivoting, q <= n: L, below the diagonal, and U, above it; and the order."""
    if _on_cpu(matrix):
        if not matrix.numel():
            return matrix, list(range(matrix.shape[0]))
        array, exchanges, _ = _getrf[matrix.numpy().dtype.char](np.asfortranarray(matrix.numpy()))
        factors, pivots = torch.from_numpy(array), exchanges.tolist()
    else:
        factors, exchanges, _ = _torch.lu_factor_ex(matrix)
        pivots = [pivot - 1 for pivot in exchanges.tolist()]
    order = list(range(matrix.shape[0]))
    for i, j in enumerate(pivots):
        order[i], order[j] = order[j], order[i]
    return factors, order


def solve_lower(triangle: Float[Tensor, "q q"], B: Float[Tensor, "q r"], *, unit: bool = False) -> Float[Tensor, "q r"]:
    """Solve with the lower triangle of a matrix, with ones on its diagonal if ``unit``."""
    return _solve_triangle(triangle, B, upper=False, unit=unit)


def solve_upper(triangle: Float[Tensor, "q q"], B: Float[Tensor, "q r"], *, unit: bool = False) -> Float[Tensor, "q r"]:
    """Solve with the upper triangle of a matrix, with ones on its diagonal if ``unit``."""
    return _solve_triangle(triangle, B, upper=True, unit=unit)


def _solve_triangle(triangle: Tensor, B: Tensor, *, upper: bool, unit: bool) -> Tensor:
    if not _on_cpu(triangle):
        return cast(Tensor, _torch.solve_triangular(triangle, B, upper=upper, unitriangular=unit))
    if not B.numel():
        return B.clone()
    array, right = triangle.numpy(), np.asfortranarray(B.numpy())
    trsm = _trsm[array.dtype.char]
    if array.flags.c_contiguous and not array.flags.f_contiguous:
        return torch.from_numpy(trsm(1.0, array.T, right, lower=upper, trans_a=1, diag=unit))
    return torch.from_numpy(trsm(1.0, array, right, lower=not upper, diag=unit))


def norm(v: Float[Tensor, " k"]) -> float:
    """The Euclidean norm."""
    return float(_torch.vector_norm(v))


def numbers(v: Float[Tensor, " k"]) -> list[float]:
    """The entries as Python numbers."""
    return cast("list[float]", v.tolist())


__all__ = ["cholesky", "cholesky_solve", "gram", "lu", "norm", "numbers", "product", "solve_lower", "solve_upper"]
