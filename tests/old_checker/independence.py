"""Verified lower bounds on smallest singular values, and the rows that are trivially dependent.

A floating-point Cholesky factorization of fl(Gram) - c I that completes proves ``sigma_min^2 >= c - (rounding of
Gram, shift and factorization)`` (S. M. Rump, Verification of positive definiteness, BIT 46 (2006) 433-452).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from old_checker.matrices import (
    Matrix,
    as_dense,
    entries_of,
    gram,
    longest_sum,
    row_maxima,
    row_support,
    rows_hold,
    scaled_rows,
    with_entries,
)
from old_checker.rounding import SMALLEST_NORMAL, UNIT_ROUNDOFF, norm_above, relative_error

MAX_GRAM = 12_000
"""Columns of a Gram matrix that is factored: it takes about a gigabyte, and some minutes."""

MAX_PRECONDITIONING = 100_000_000_000
"""Multiplications that the second attempt at a proof may cost: some ten seconds."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """Rows grouped where they are equal up to sign and a power of two; zero rows belong to no group.

    Attributes:
        representative: the index of one row of each group; the first of the group.
        group: (q,) the group of each row, -1 for zero rows.
        factor: (q,) ``row_i = factor_i * row_representative(group_i)``, exactly; 0 for zero rows.
    """

    representative: IntArray
    group: IntArray
    factor: FloatArray


def group_rows(rows: Matrix) -> Grouping:
    """Group rows that are bitwise equal after exact scaling by a signed power of two."""
    scaled, scale = _normalized(rows)
    keys: dict[bytes, int] = {}
    representative: list[int] = []
    group = np.full(len(scale), -1, dtype=np.int64)
    factor = np.zeros(len(scale))
    for i in np.flatnonzero(scale):
        g = keys.setdefault(_key(scaled, int(i)), len(representative))
        if g == len(representative):
            representative.append(int(i))
        group[i] = g
        factor[i] = scale[i] / scale[representative[g]]
    return Grouping(np.array(representative, dtype=np.int64), group, factor)


def _key(rows: Matrix, i: int) -> bytes:
    """Bytes that two rows share iff they are bitwise equal."""
    if isinstance(rows, np.ndarray):
        return rows[i].tobytes()
    support, entries = row_support(rows, i)
    return support.tobytes() + entries.tobytes()


def _normalized(rows: Matrix) -> tuple[Matrix, Float64[FloatArray, " q"]]:
    """Rows divided by a signed power of two, and these.

    Where that would round, the row stays as it is. 0 for zero rows.
    """
    if rows.shape[0] == 0 or entries_of(rows).size == 0:
        return rows, np.zeros(rows.shape[0])
    largest = row_maxima(rows)
    _, exponent = np.frexp(largest)
    # beyond 2**500 the quotient of two scales could overflow: such rows keep their own scale
    exponent = np.where(np.abs(exponent) <= 500, exponent, 0)
    exponent = np.where(_scales_exactly(rows, exponent), exponent, 0)
    scaled = scaled_rows(rows, -exponent)
    sign = np.where(_first_entries(rows) < 0, -1.0, 1.0)
    signs = sign[:, None] if isinstance(rows, np.ndarray) else sign[row_numbers(rows)]
    # + 0.0 turns -0.0 into 0.0, which differs in its bytes
    scaled = with_entries(scaled, entries_of(scaled) * signs + 0.0)
    return scaled, np.where(largest > 0, np.ldexp(sign, exponent), 0.0)


def _first_entries(rows: Matrix) -> Float64[FloatArray, " q"]:
    """The first nonzero entry of each row; 0 for zero rows."""
    if isinstance(rows, np.ndarray):
        return rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)]
    entries, row = entries_of(rows), row_numbers(rows)
    nonzero = np.flatnonzero(entries)
    found, place = np.unique(row[nonzero], return_index=True)
    out = np.zeros(rows.shape[0])
    out[found] = entries[nonzero[place]]
    return out


def _scales_exactly(rows: Matrix, exponent: IntArray) -> BoolArray:
    """Which rows ``2**-e row_i`` are exact."""
    back = entries_of(scaled_rows(scaled_rows(rows, -exponent), exponent))
    return rows_hold(rows, back == entries_of(rows))


def row_exponents(rows: Matrix) -> Int64[IntArray, " q"]:
    """Exponents e for which the rows ``2**-e row_i`` have norms near one and are exact; 0 where that would round."""
    if rows.shape[0] == 0 or entries_of(rows).size == 0:
        return np.zeros(rows.shape[0], dtype=np.int64)
    _, exponent = np.frexp(row_maxima(rows))
    exponent = np.where(np.abs(exponent) <= 1000, exponent, 0)
    return np.where(_scales_exactly(rows, exponent), exponent, 0).astype(np.int64)


def singular_values_exceed(B: Matrix, s: float) -> bool:
    """Prove that B (q, n) has min(q, n) singular values above ``s >= 0``.

    False means only that the proof does not close.
    """
    if not 0.0 <= s < np.inf or 0 in B.shape:
        return False
    tall: Matrix = B
    if B.shape[0] < B.shape[1]:
        tall = np.ascontiguousarray(B.T) if isinstance(B, np.ndarray) else SparseRows(B.T)
    return _gram_exceeds(tall, s) or _preconditioned_exceeds(tall, s)


def _gram_exceeds(T: Matrix, s: float) -> bool:
    """sigma_min(T) > s for tall T (N, d), by Cholesky of ``T^T T - c I``."""
    if T.shape[1] > MAX_GRAM:
        return False
    with np.errstate(all="ignore"):
        return gram_exceeds(gram(T), norm_above(T), longest_sum(T), s)


def gram_exceeds(square_matrix: Float64[FloatArray, "d d"], size: float, terms: int, s: float) -> bool:
    """Prove ``sigma_min(T) > s >= 0`` for T (N, d), from ``T^T T`` in float64, which is overwritten.

    Args:
        square_matrix: (d, d) ``T^T T``, each entry a sum of products in some order.
        size: an upper bound on the Frobenius norm of T.
        terms: the largest number of nonzero products in an entry.
        s: the bound on the smallest of the d singular values.
    """
    d = len(square_matrix)
    with np.errstate(all="ignore"):
        square = size * size * (1.0 + 4.0 * UNIT_ROUNDOFF)  # ** would raise where this is inf
        # products: gamma_N |T|_F^2; shift: u |T|_F^2; factorization: gamma_(d+1) / (1 - gamma_(d+1)) trace
        rounding = (
            square * (relative_error(terms) + relative_error(d + 4))
            + 16.0 * d * (terms + d + 4) * (1.0 + square) * SMALLEST_NORMAL
        )
        shift = (s * s + rounding) * (1.0 + 8.0 * UNIT_ROUNDOFF) + SMALLEST_NORMAL
    if not np.isfinite(shift):
        return False
    square_matrix[np.diag_indices(d)] -= shift
    try:
        factor = np.linalg.cholesky(square_matrix)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(factor).all())  # it is not where the matrix is not


def _preconditioned_exceeds(T: Matrix, s: float) -> bool:
    """sigma_min(T) >= sigma_min(T X) / |X| with X near the inverse of T's triangular factor.

    Reaches condition numbers near 1/u.
    """
    N, d = T.shape
    if not np.isfinite(entries_of(T)).all() or N * d * d > MAX_PRECONDITIONING:
        return False
    with np.errstate(all="ignore"):
        try:
            X = np.linalg.inv(np.linalg.qr(as_dense(T), mode="r"))
        except np.linalg.LinAlgError:
            return False
        product = T @ X
        error = norm_above(T) * norm_above(X) * relative_error(N + d) + 4.0 * N * d * d * SMALLEST_NORMAL
        needed = (s * norm_above(X) + error) * (1.0 + 8.0 * UNIT_ROUNDOFF)
    return bool(needed < 1.0) and _gram_exceeds(product, needed)
