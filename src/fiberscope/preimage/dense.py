"""A thin, typed door to the LAPACK routines of scipy, whose own types are not known."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray


class Cholesky:
    """The Cholesky factorization of a symmetric positive definite matrix.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite in float64.
    """

    __slots__ = ("_factor",)

    def __init__(self, matrix: Float64[FloatArray, "k k"]) -> None:
        self._factor = cast(Any, scipy.linalg).cho_factor(matrix, check_finite=False)

    def solve(self, right_hand_side: Float64[FloatArray, " k"]) -> Float64[FloatArray, " k"]:
        """Solve for one right-hand side."""
        return cast(FloatArray, cast(Any, scipy.linalg).cho_solve(self._factor, right_hand_side, check_finite=False))


def pivoted_qr(
    matrix: Float64[FloatArray, "n p"],
) -> tuple[Float64[FloatArray, "n n"], Float64[FloatArray, "n p"], Int64[IntArray, " p"]]:
    """``matrix[:, pivots] = Q R`` with a full orthogonal Q and the diagonal of R falling in size."""
    Q, R, pivots = cast(Any, scipy.linalg).qr(matrix, pivoting=True, check_finite=False)
    return Q, R, pivots.astype(np.int64)


def solve_upper(R: Float64[FloatArray, "k k"], right_hand_side: Float64[FloatArray, " k"]) -> Float64[FloatArray, " k"]:
    """Solve with an upper triangular matrix."""
    return cast(FloatArray, cast(Any, scipy.linalg).solve_triangular(R, right_hand_side, check_finite=False))


def least_squares(
    matrix: Float64[FloatArray, "p n"], right_hand_side: Float64[FloatArray, " p"]
) -> Float64[FloatArray, " n"]:
    """The least-squares solution of smallest norm."""
    return cast(FloatArray, cast(Any, scipy.linalg).lstsq(matrix, right_hand_side, check_finite=False)[0])
