"""Matrices of rows, dense or sparse, and float64 arithmetic on them with rigorous error bounds.

Every bound holds for any order of summation, with or without fused multiply-add: ``|fl(a . v) - a . v|`` is at most
``gamma_n |a| . |v| + n eta`` with gamma_n = n u / (1 - n u) (Higham, Accuracy and Stability of Numerical Algorithms,
section 3.1), and ``|a| . |v| <= |a|_2 |v|_2``. ``2 (n + c) u`` stands for gamma_n together with the rounding of the
bound itself. Overflow gives inf or NaN; a bound counts only where a comparison with it is *true*, which NaN never makes
it. Subnormal numbers must not be flushed to zero; where they are, nothing is proved.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray
from scipy import sparse as scipy_sparse

from fiberscope.checker.bands import Band
from fiberscope.checker.cholesky import factor

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

Matrix: TypeAlias = Any
"""A float64 array, scipy's compressed sparse rows, a convolution (``checker.convolutions``), or blocks (``blocks``)."""

Vector: TypeAlias = Any
"""An array of float64 numbers, or of rational ones, as objects: whole numbers or fractions."""

sparse: Any = scipy_sparse

UNIT_ROUNDOFF = 2.0**-53
SMALLEST_NORMAL = 2.0**-1022
ROUNDING = 1.0 + 2.0**-45
"""Covers the few roundings of a scalar bound that is computed from bounds."""
LONGEST = 2**40
"""Sums of more terms are refused: 2 (n + c) u would no longer dominate gamma_n."""
MAX_GRAM = 12_000
"""Columns of a Gram matrix that is factored: it takes about a gigabyte, and some minutes."""
MAX_INVERTING = 100_000_000_000
"""Multiplications that the second attempt at a proof may cost: some ten seconds."""


class NotProvedError(Exception):
    """Raised where a proof does not close; the message says where."""


def flushes_subnormal_numbers() -> bool:
    """Whether this thread replaces subnormal numbers by zero, so that no error bound holds; each has its own mode."""
    return bool(np.float64(5e-324) * np.float64(1.0) == 0.0)


def are_floats(values: Any, *shape: int, finite: bool) -> bool:
    """Whether these are float64 numbers of this shape, none of them NaN; infinite ones only where they may be."""
    well = values.dtype == np.float64 and values.shape == shape
    return bool(well and (np.isfinite(values) if finite else ~np.isnan(values)).all())


def check_matrix(matrix: Matrix) -> None:
    """NotProvedError, or some other error, where this is no matrix of finite float64 numbers, each in one place."""
    whole = matrix
    if not is_written(matrix):
        matrix.check()
    elif not is_dense(matrix):  # made anew: what a matrix says of itself is not to be believed
        whole = sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
        whole.check_format(full_check=True)
        if matrix.format != "csr" or not whole.has_canonical_format:
            raise NotProvedError("a sparse matrix is not made of rows, or has two numbers at one place")
    if is_written(matrix) and not are_floats(entries(matrix), *entries(matrix).shape, finite=True):
        raise NotProvedError("a matrix is not made of finite float64 numbers")


def is_dense(matrix: Matrix) -> TypeGuard[FloatArray]:
    """Whether the rows are an array."""
    return isinstance(matrix, np.ndarray)


def is_written(matrix: Matrix) -> bool:
    """Whether the rows are written out, dense or sparse."""
    return is_dense(matrix) or hasattr(matrix, "indptr")


def longest_sum(matrix: Matrix) -> int:
    """An upper bound on the number of products that a product with a vector adds to one number."""
    if is_dense(matrix) or not is_written(matrix):
        return matrix.shape[1]
    return int(np.diff(matrix.indptr).max(initial=0))


def entries(matrix: Matrix) -> FloatArray:
    """The stored numbers, in the order of the matrix."""
    return matrix if is_dense(matrix) else matrix.data


def stacked(upper: Matrix, lower: Matrix) -> Matrix:
    """One matrix below the other, sparse if one of them is."""
    if not lower.shape[0]:
        return upper
    if not is_written(upper):
        raise NotProvedError("half-spaces beside rows that are not written out")
    if is_dense(upper) and is_dense(lower):
        return np.concatenate([upper, lower])
    return sparse.vstack([upper, lower], format="csr")


def block(matrix: Matrix, rows: IntArray, columns: BoolArray) -> Matrix:
    """Some rows, on some columns."""
    chosen, kept = matrix[rows], np.flatnonzero(columns)
    if len(kept) == len(columns):
        return chosen
    return chosen.take(kept, axis=1) if is_dense(chosen) else chosen[:, kept]


def scaled(matrix: Matrix, rows: IntArray, columns: IntArray) -> Matrix:
    """``2**-rows_i a_ij 2**columns_j``; NotProvedError where that would change a number."""
    if not (rows.any() or columns.any()):
        return matrix
    if is_dense(matrix):
        return scaled_exactly(matrix, columns - rows[:, None])
    if not is_written(matrix):
        raise NotProvedError("rows that are not written out, in other units")
    exponents = columns[matrix.indices] - rows[row_numbers(matrix)]
    data = scaled_exactly(matrix.data, exponents)
    return sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def scaled_exactly(values: FloatArray, exponents: IntArray) -> FloatArray:
    """``2**e v``: exact if it is a normal number again; zeros and infinite bounds stay. NotProvedError elsewhere."""
    if not exponents.any():
        return values
    with np.errstate(over="ignore"):
        out = np.ldexp(values, exponents)
    normal = (np.abs(out) >= SMALLEST_NORMAL) & np.isfinite(out)
    if not (normal | (((values == 0) | np.isinf(values)) & (out == values))).all():
        raise NotProvedError("the scaling of the certificate would change a number")
    return out


def row_numbers(matrix: Matrix) -> IntArray:
    """The row of each stored number of a sparse matrix."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))


def row_sizes(matrix: Matrix) -> FloatArray:
    """The largest absolute value in each row, 0 for empty rows."""
    if is_dense(matrix):
        return np.abs(matrix).max(axis=1, initial=0.0)
    out = np.zeros(matrix.shape[0])
    np.maximum.at(out, row_numbers(matrix), np.abs(matrix.data))
    return out


def relative_error(terms: int) -> float:
    """A bound on the relative error of a sum of ``terms`` products, relative to the sum of their absolute values."""
    return np.inf if terms > LONGEST else 2.0 * (terms + 8) * UNIT_ROUNDOFF


def norm_above(v: FloatArray) -> float:
    """An upper bound on the Euclidean (of all entries of a matrix: Frobenius) norm."""
    # squares below the smallest normal number may vanish: each hides at most 2**-511 of an entry
    return float(np.vdot(v, v)) ** 0.5 * (1.0 + relative_error(v.size)) + v.size**0.5 * 2.0**-510


def norm_below(v: FloatArray) -> float:
    """A lower bound on the Euclidean norm."""
    computed = float(np.vdot(v, v)) ** 0.5
    if not computed < np.inf:
        return 0.0
    return max(computed * (1.0 - relative_error(v.size)) - v.size**0.5 * 2.0**-510, 0.0)


def row_norms_above(matrix: Matrix) -> FloatArray:
    """Upper bounds on the Euclidean norms of the rows; exactly 0 for zero rows."""
    n = matrix.shape[1]
    live = row_sizes(matrix) > 0 if is_written(matrix) else matrix.reads(np.ones(n, dtype=np.bool_))
    with np.errstate(over="ignore", invalid="ignore"):
        if not is_written(matrix):
            squares = matrix.squares()
        elif is_dense(matrix):
            squares = np.einsum("ij,ij->i", matrix, matrix)
        else:
            squares = np.bincount(row_numbers(matrix), weights=np.square(matrix.data), minlength=matrix.shape[0])
    above = np.sqrt(squares) * (1.0 + relative_error(n)) + float(np.sqrt(n)) * 2.0**-510
    return np.where(live, above, 0.0)


def product_error(row_norms: FloatArray, v_norm: float | FloatArray, terms: int) -> FloatArray:
    """Bounds on ``|fl(a_i . v) - a_i . v|`` for rows with these norms; exactly 0 for zero rows."""
    bound = row_norms * (v_norm * relative_error(terms)) + 4.0 * (terms + 1) * SMALLEST_NORMAL
    return np.where(row_norms > 0, bound, 0.0)


def distance_above(residual: float, s: float) -> float:
    """An upper bound on ``residual / s``, which is 0 only where the residual is, however large s is."""
    return 0.0 if residual == 0 else max(residual / s * ROUNDING, SMALLEST_NORMAL)


def shift_above(row_norms: FloatArray, distance: float) -> FloatArray:
    """Upper bounds on ``|a_i . (v* - v)|`` where v* is as near as that; 0 only for zero rows, or where v* is v."""
    above = row_norms * distance * ROUNDING + SMALLEST_NORMAL
    return np.where((row_norms > 0) & (distance != 0), above, 0.0)


def singular_values_exceed(B: Matrix, s: float, second: int = MAX_INVERTING) -> bool:
    """Prove that B (q, n) has min(q, n) singular values above ``s >= 0``; False says only that it does not close.

    A second attempt is made where it costs no more than so many multiplications.

    A floating-point Cholesky factorization of fl(Gram) - c I that completes proves ``sigma_min^2 >= c - (rounding of
    Gram, shift and factorization)`` (S. M. Rump, Verification of positive definiteness, BIT 46 (2006) 433-452).
    """
    if 0 in B.shape or not 0.0 <= s < np.inf:
        return 0 in B.shape and s == 0.0
    with np.errstate(all="ignore"):
        return _gram_exceeds(B, s) or _inverse_exceeds(B, s, second)


def _gram_exceeds(B: Matrix, s: float) -> bool:
    if min(B.shape) > MAX_GRAM:
        return False
    product = B @ B.T if B.shape[0] < B.shape[1] else B.T @ B
    return is_definite(product, norm_above(entries(B)), max(B.shape), s)


def is_definite(square: Matrix, size: float, terms: int, s: float) -> bool:
    """Whether ``X^T X - s^2`` is definite, with X^T X as computed by sums of ``terms`` products.

    Size is at least ``|X|_F``. So it is for sums and differences of such matrices, with size^2 the sum of theirs. A
    dense matrix, or a band, is overwritten.
    """
    shift = shift_of_gram(size, square.shape[0], terms, s)
    return bool(np.isfinite(shift)) and factor(less_diagonal(square, shift)) is not None


def shift_of_gram(size: float, d: int, terms: int, s: float) -> float:
    """What a factorization that completes must take off the diagonal of a Gram matrix (d, d), as above."""
    size = size * size * (1.0 + 4.0 * UNIT_ROUNDOFF)  # ** would raise where this is inf
    # products: gamma_N |B|_F^2; shift: u |B|_F^2; factorization: gamma_(d+1) / (1 - gamma_(d+1)) trace
    rounding = size * (relative_error(terms) + relative_error(d + 4))
    rounding += 16.0 * d * (terms + d + 4) * (1.0 + size) * SMALLEST_NORMAL
    return (s * s + rounding) * (1.0 + 8.0 * UNIT_ROUNDOFF) + SMALLEST_NORMAL


def less_diagonal(square: Matrix, shift: float | FloatArray) -> Matrix:
    """The matrix minus a number, or numbers, on the diagonal; one that is dense, or a band, is overwritten."""
    if is_dense(square):
        square.flat[:: len(square) + 1] -= shift
        return square
    if isinstance(square, Band):
        return square.less_diagonal(shift)
    return (square - sparse.diags_array(np.broadcast_to(shift, square.shape[0]))).tocsr()


def left_inverse(B: Matrix) -> tuple[FloatArray, FloatArray] | None:
    """T, which is B or its transpose, with no more columns than rows, and about a left inverse X; None without one.

    Whatever X is, ``sigma_min(T) >= (1 - |X T - I|) / |X|``, because ``|v| <= |X| |T v| + |X T - I| |v|``.
    """
    tall = B if is_dense(B) else B.toarray()
    tall = tall if tall.shape[0] >= tall.shape[1] else np.ascontiguousarray(tall.T)
    try:
        Q, R = np.linalg.qr(tall)
        X = np.linalg.inv(R) @ Q.T
    except np.linalg.LinAlgError:
        return None
    return (tall, X) if np.isfinite(X).all() else None


def _inverse_exceeds(B: Matrix, s: float, most: int) -> bool:
    """By the rule of ``left_inverse``, which reaches condition numbers near 1/u."""
    N, d = max(B.shape), min(B.shape)
    if N * d * d > most or (found := left_inverse(B)) is None:
        return False
    tall, X = found
    size = norm_above(X)
    error = norm_above(tall) * size * relative_error(N + d) + 4.0 * N * d * d * SMALLEST_NORMAL
    return bool((norm_above(less_diagonal(X @ tall, 1.0)) + error + s * size) * ROUNDING < 1.0)
