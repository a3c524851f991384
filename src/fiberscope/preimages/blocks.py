"""Blocks of a matrix of rows: scaling them by powers of two, sizes, and whether their rows look independent.

Nothing here is rigorous: it is how a certificate is written down, not how it is proved.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from fiberscope.preimages.cholesky import is_positive_definite, raised, square_of, transposed

ROUNDING = 2.0**-52
"""Of a product, twice the unit roundoff."""
NORMAL = 1000
"""Powers of two with smaller exponents are normal numbers."""
SMALL_EXPONENT = 300
"""Two such factors may be multiplied one after the other; with larger ones the number in between may not exist."""
SMALLEST_NORMAL = 2.0**-1022
MAX_PRODUCTS = 1_000_000
"""Products that are added exactly: about a second."""
MAX_GRAM = 12_000
"""Rows or columns of a Gram matrix beyond which nothing is factored."""


def entries(matrix: Rows) -> FloatArray:
    """The stored numbers."""
    return matrix.data if isinstance(matrix, SparseRows) else matrix


def with_entries(matrix: Rows, values: FloatArray) -> Rows:
    """The matrix with other numbers at the same places."""
    if isinstance(matrix, SparseRows):
        return SparseRows((values, matrix.indices, matrix.indptr), shape=matrix.shape)
    return values


def scaled(matrix: Rows, rows: Int64[IntArray, " q"], columns: Int64[IntArray, " n"]) -> Rows:
    """``2**-rows_i a_ij 2**columns_j``."""
    if not rows.any() and not columns.any():
        return matrix
    if isinstance(matrix, SparseRows):
        exponents = columns[matrix.indices] - rows[row_numbers(matrix)]
    elif not columns.any() and np.abs(rows).max() <= NORMAL:  # factors are much faster than ldexp
        return matrix * np.ldexp(1.0, -rows)[:, None]
    elif max(np.abs(rows).max(initial=0), np.abs(columns).max(initial=0)) <= SMALL_EXPONENT:
        return matrix * np.ldexp(1.0, -rows)[:, None] * np.ldexp(1.0, columns)
    else:
        exponents = columns - rows[:, None]
    return with_entries(matrix, np.ldexp(entries(matrix), exponents))


def keeps(values: FloatArray, changed: FloatArray) -> bool:
    """Whether numbers times powers of two are exact: normal numbers again, or zeros or infinite bounds as before."""
    normal = (np.abs(changed) >= SMALLEST_NORMAL) & np.isfinite(changed)
    same = (values == 0) | np.isinf(values)
    return bool((normal | (same & (changed == values))).all())


def chosen(matrix: Rows, rows: Int64[IntArray, " k"], columns: IntArray | BoolArray) -> Rows:
    """Some rows on some columns."""
    part = matrix[rows]
    columns = np.flatnonzero(columns) if columns.dtype == np.bool_ else columns
    return part if len(columns) == matrix.shape[1] else part[:, columns]


def row_maxima(matrix: Rows) -> Float64[FloatArray, " q"]:
    """The largest absolute value of each row; 0 for empty rows."""
    if not isinstance(matrix, SparseRows):
        return np.abs(matrix).max(axis=1, initial=0.0)
    out = np.zeros(matrix.shape[0])
    np.maximum.at(out, row_numbers(matrix), np.abs(matrix.data))
    return out


def column_maxima(matrix: Rows) -> Float64[FloatArray, " n"]:
    """The largest absolute value of each column; 0 for empty columns."""
    if not isinstance(matrix, SparseRows):
        return np.abs(matrix).max(axis=0, initial=0.0)
    out = np.zeros(matrix.shape[1])
    np.maximum.at(out, matrix.indices, np.abs(matrix.data))
    return out


def row_lengths(matrix: Rows) -> Float64[FloatArray, " q"]:
    """The Euclidean norms of the rows."""
    if isinstance(matrix, SparseRows):
        return np.sqrt(np.bincount(row_numbers(matrix), weights=np.square(matrix.data), minlength=matrix.shape[0]))
    return np.sqrt(np.einsum("ij,ij->i", matrix, matrix))


def column_lengths(matrix: Rows) -> Float64[FloatArray, " n"]:
    """The Euclidean norms of the columns."""
    if isinstance(matrix, SparseRows):
        return np.sqrt(np.bincount(matrix.indices, weights=np.square(matrix.data), minlength=matrix.shape[1]))
    return np.sqrt(np.einsum("ij,ij->j", matrix, matrix))


def product_error(lengths: FloatArray, size: float, terms: int) -> FloatArray:
    """About how far products of rows with these norms and a vector of this norm may be off."""
    return np.where(lengths > 0, lengths * size * ((terms + 8) * ROUNDING) + terms * 2.0**-1018, 0.0)


def vanishes(matrix: Rows, v: FloatArray) -> bool:
    """Whether ``A v = 0`` exactly, as far as that is found out in a second; asked where floats say so."""
    if (matrix @ v).any():
        return False
    seen = np.flatnonzero(v)
    part = chosen(matrix, np.arange(matrix.shape[0]), seen)
    if np.count_nonzero(entries(part)) > MAX_PRODUCTS:
        return False
    entered: list[float] = v[seen].tolist()
    whole = [_integer(number) for number in entered]
    listed = SparseRows(part)
    for start, stop in zip(listed.indptr[:-1].tolist(), listed.indptr[1:].tolist(), strict=True):
        numbers: list[float] = listed.data[start:stop].tolist()
        places: list[int] = listed.indices[start:stop].tolist()
        left = [_integer(number) for number in numbers]
        terms = [(a * whole[j][0], e + whole[j][1]) for (a, e), j in zip(left, places, strict=True)]
        lowest = min((exponent for _, exponent in terms), default=0)
        if sum(term << (exponent - lowest) for term, exponent in terms):
            return False
    return True


def _integer(number: float) -> tuple[int, int]:
    """A whole number and an exponent of 2."""
    numerator, denominator = number.as_integer_ratio()
    return numerator, 1 - denominator.bit_length()


def exponents_of(sizes: FloatArray) -> Int64[IntArray, " _"]:
    """Exponents e with ``2**(e-1) <= size < 2**e``; 0 for zeros."""
    return np.frexp(sizes)[1].astype(np.int64)


def exceeds(B: Rows, s: float) -> bool:
    """Whether B (q, n) seems to have min(q, n) singular values above s, so clearly that a proof of it would close."""
    if 0 in B.shape:
        return s == 0.0
    if min(B.shape) > MAX_GRAM or not s < np.inf:
        return False
    if is_definite(square_of(B if B.shape[0] < B.shape[1] else transposed(B)), s * s + noise(B)):
        return True
    return _exceeds_by_triangle(B, s) if min(B.shape) ** 2 * max(B.shape) < 10**11 else False


def noise(B: Rows) -> float:
    """What rounding takes off the smallest eigenvalue of a Gram matrix, about, in a proof by factorization."""
    return float(np.square(entries(B)).sum()) * 2.0 * (sum(B.shape) + 16) * ROUNDING


def gram(B: Rows) -> FloatArray:
    """The smaller of ``B B^T`` and ``B^T B``, as an array."""
    if isinstance(B, SparseRows):
        across = SparseRows(B.T)
        return (B @ across if B.shape[0] < B.shape[1] else across @ B).toarray()
    return B @ B.T if B.shape[0] < B.shape[1] else B.T @ B


def root_by_inverse(square: FloatArray) -> float:
    """``1 / |B^+|_F``, which is below the smallest singular value of B, from ``B^T B``; 0 where it is not definite.

    It is what rational arithmetic proves by a left inverse.
    """
    if len(square) > MAX_GRAM or not np.isfinite(square).all():
        return 0.0
    try:
        factor = np.linalg.cholesky(square)
    except np.linalg.LinAlgError:
        return 0.0
    inverse, failed = cast(Any, scipy.linalg).lapack.dtrtri(factor, lower=1)
    size = float(np.linalg.norm(inverse))
    return 1.0 / size if not failed and 0.0 < size < np.inf else 0.0


def is_definite(square: Rows, shift: float) -> bool:
    """Whether ``square - shift I``, which is written over, has a Cholesky factorization."""
    return bool(np.isfinite(shift)) and is_positive_definite(raised(square, -shift))


def _exceeds_by_triangle(B: Rows, s: float) -> bool:
    """``sigma_min(T) >= 1 / |R^-1|`` for the triangular factor of T: where squares lose half of the digits."""
    written = B.toarray() if isinstance(B, SparseRows) else B
    if not np.isfinite(written).all():
        return False
    try:
        tall = written if written.shape[0] >= written.shape[1] else written.T
        inverse = np.linalg.inv(np.linalg.qr(tall, mode="r"))
    except np.linalg.LinAlgError:
        return False
    size, width = float(np.linalg.norm(written)), float(np.linalg.norm(inverse))
    # the error of T R^-1, and what the proof takes off: less than 1 of its smallest singular value
    return (s + size * 4.0 * sum(B.shape) * ROUNDING) * width < 0.5


__all__ = [
    "MAX_GRAM",
    "ROUNDING",
    "chosen",
    "column_lengths",
    "column_maxima",
    "entries",
    "exceeds",
    "exponents_of",
    "gram",
    "is_definite",
    "keeps",
    "noise",
    "product_error",
    "root_by_inverse",
    "row_lengths",
    "row_maxima",
    "scaled",
    "vanishes",
    "with_entries",
]
