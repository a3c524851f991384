"""A thin, typed door to the LAPACK routines of scipy, whose own types are not known."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int64
from numpy.linalg import LinAlgError

from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, dense, scaled
from fiberscope.network.signs import row_norms
from fiberscope.preimages.cholesky import Cholesky, is_positive_definite, raised, square_of, transposed

WELL_CONDITIONED = 2.0**-13
"""The diagonal of a factor whose Gram matrix keeps half of the digits of float64: the square is 2^-26."""


DEPENDENT = 1e-11
"""A row whose part outside the span of others is smaller than this, relative to the row, is taken as dependent."""

RESOLVED = 1e-10
"""Eigenvalues of a Gram matrix below this share of the largest are not told from zero.

Its rounding is near 1e-13 of the largest.
"""

INVERSE_ITERATIONS = 6
"""Steps that an estimate of a smallest eigenvalue takes."""


def gram(matrix: Any) -> Float64[FloatArray, "n n"]:
    """``A^T A`` as an array, of an array or a sparse matrix of any class: a transposed one is of another."""
    check_matrix("a Gram matrix", matrix.shape[1], matrix.shape[1])
    square = matrix.T @ matrix
    return cast(FloatArray, square if isinstance(square, np.ndarray) else square.toarray())


def unit_rows(rows: Rows) -> Rows:
    """The rows scaled to unit length, without zero rows."""
    norms = row_norms(rows)
    return scaled(rows[norms > 0], 1.0 / norms[norms > 0])


def smaller_gram(rows: Rows) -> Rows | None:
    """The smaller Gram matrix of the rows scaled to unit length, without zero rows; None where nothing is left."""
    unit = unit_rows(rows)
    if 0 in unit.shape:
        return None
    return square_of(transposed(unit) if unit.shape[0] >= unit.shape[1] else unit)


def pivoted_qr(
    matrix: Float64[FloatArray, "n p"],
) -> tuple[Float64[FloatArray, "n n"], Float64[FloatArray, "n p"], Int64[IntArray, " p"]]:
    """``matrix[:, pivots] = Q R`` with a full orthogonal Q and the diagonal of R falling in size."""
    check_matrix("an orthogonal factor", matrix.shape[0], matrix.shape[0])
    Q, R, pivots = cast(Any, scipy.linalg).qr(matrix, pivoting=True, check_finite=False)
    return Q, R, pivots.astype(np.int64)


def independent_rows(unit: Float64[FloatArray, "p n"]) -> Int64[IntArray, " r"]:
    """The places of rows that span all unit rows and are independent, as float64 sees it."""
    if 0 in unit.shape:
        return np.zeros(0, dtype=np.int64)
    R, pivots = cast(Any, scipy.linalg).qr(unit.T, mode="r", pivoting=True, check_finite=False)
    diagonal = np.abs(np.diagonal(R))
    return np.sort(pivots[: int((diagonal > DEPENDENT * diagonal[0]).sum())].astype(np.int64))


def pivoted_cholesky(
    square: Float64[FloatArray, "p p"], tolerance: float
) -> tuple[Float64[FloatArray, "p p"], Int64[IntArray, " p"], int]:
    """``square[pivots][:, pivots] = R^T R`` with upper triangular R, and the rank.

    It stops where no column of a Gram matrix keeps more than ``tolerance`` of its squared length outside the span of
    the chosen ones.
    """
    R, pivots, rank, _ = cast(Any, scipy.linalg.lapack).dpstrf(square, tol=tolerance)
    return np.triu(R), pivots.astype(np.int64) - 1, int(rank)


def numerical_rank(rows: Rows, tolerance: float) -> int:
    """The rank by a pivoted Cholesky factorization of the smaller Gram matrix of the rows scaled to unit length."""
    square = smaller_gram(rows)
    if square is None:
        return 0
    # then no pivot ends up below the tolerance, and LAPACK's blocks are several times as fast as pivoting
    if is_positive_definite(raised(square.copy(), -tolerance)):
        return square.shape[0]
    return pivoted_cholesky(dense(square), tolerance)[2]


def thin_qr(matrix: Float64[FloatArray, "n k"]) -> Float64[FloatArray, "n k"]:
    """Orthonormal columns that span those of a matrix with k <= n independent columns."""
    return cast(FloatArray, cast(Any, scipy.linalg).qr(matrix, mode="economic", check_finite=False)[0])


def triangular_factor(matrix: Float64[FloatArray, "l k"]) -> Float64[FloatArray, "k k"]:
    """The upper triangular R with ``matrix^T matrix = R^T R``, by Householder's method.

    Raises:
        numpy.linalg.LinAlgError: the columns depend on each other in float64, or there are fewer rows than columns.
    """
    R = cast(FloatArray, cast(Any, scipy.linalg).qr(matrix, mode="r", check_finite=False)[0])[: matrix.shape[1]]
    if R.shape[0] < R.shape[1] or not (np.isfinite(R).all() and np.diag(R).all()):
        raise LinAlgError("dependent columns")
    return R


def triangular_factor_of_gram(matrix: Float64[FloatArray, "l k"]) -> Float64[FloatArray, "k k"]:
    """The same R by Cholesky's method, several times as fast, where that resolves it; else by Householder's.

    Forming the Gram matrix squares the condition: where the diagonal of R falls below ``WELL_CONDITIONED`` of its
    largest entry, or the factorization breaks off, Householder's method decides.

    Raises:
        numpy.linalg.LinAlgError: the columns depend on each other in float64, or there are fewer rows than columns.
    """
    try:
        R = cast(FloatArray, cast(Any, scipy.linalg).cholesky(gram(matrix), check_finite=False))
    except LinAlgError:
        return triangular_factor(matrix)
    diagonal = np.diag(R)
    safe = np.isfinite(diagonal).all() and diagonal.min(initial=1.0) > WELL_CONDITIONED * diagonal.max(initial=1.0)
    return R if safe else triangular_factor(matrix)


def solve_upper(
    R: Float64[FloatArray, "k k"], right_hand_side: Float64[FloatArray, "k ..."]
) -> Float64[FloatArray, "k ..."]:
    """Solve with an upper triangular matrix."""
    return cast(FloatArray, cast(Any, scipy.linalg).solve_triangular(R, right_hand_side, check_finite=False))


def solve_transposed(
    R: Float64[FloatArray, "k k"], right_hand_side: Float64[FloatArray, "k ..."]
) -> Float64[FloatArray, "k ..."]:
    """Solve with the transpose of an upper triangular matrix."""
    return cast(FloatArray, cast(Any, scipy.linalg).solve_triangular(R, right_hand_side, trans="T", check_finite=False))


def least_squares(
    matrix: Float64[FloatArray, "p n"], right_hand_side: Float64[FloatArray, " p"]
) -> Float64[FloatArray, " n"]:
    """The least-squares solution of smallest norm."""
    return cast(FloatArray, cast(Any, scipy.linalg).lstsq(matrix, right_hand_side, check_finite=False)[0])


def smallest_root(square: Rows) -> float:
    """The root of the smallest eigenvalue of a semidefinite matrix, about; 0 where float64 sees none."""
    try:
        factor = Cholesky(square)
    except LinAlgError:
        return 0.0
    v = np.ones(square.shape[0]) / np.sqrt(square.shape[0])
    size = 1.0
    for _ in range(INVERSE_ITERATIONS):
        v = factor.solve(v)
        size = float(np.linalg.norm(v))
        v /= size
    return float(1.0 / np.sqrt(size))
