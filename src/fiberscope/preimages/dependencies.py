"""Local relations between rows of a layer that hold exactly, as they do between the channels of a convolution.

Convolutions commute: ``w2 * (w1 * x) = w1 * (w2 * x)`` for kernels w1, w2, so that some outputs of one channel combine
to the same number as some of the other. The relation names few rows, all near each other, and recurs at every place.
Here one is looked for around a row, modulo a prime, and then at all places at once; that it holds exactly is for the
checker to say.
"""

from __future__ import annotations

from math import gcd
from typing import Any, cast

import numpy as np
from flint import fmpz_mat, nmod_mat

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, is_sparse
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from fiberscope.preimages.candidate import Dependencies
from fiberscope.preimages.modular import PRIME, pivots, residues

MAX_ROWS, MAX_NEAR = 4_096, 400
"""Rows of a layer, and rows around one of them, up to which relations are looked for: some tenths of a second."""
MAX_ANCHORS = 4
"""Rows around which one is looked for; a relation that was found covers all the places at which it recurs."""
LOW = 1 << 16


def find_dependencies(weight: Rows) -> Dependencies | None:
    """Independent relations between rows of a layer, or None where none is found."""
    m = weight.shape[0]
    if not is_sparse(weight) or m > MAX_ROWS:
        return None
    # factors of columns change no relation, but the largest entries of rows, and factors of rows change relations
    as_given, even = np.zeros(m, dtype=np.int64), _row_exponents(weight)
    found = [_find(weight, exponents) for exponents in (as_given, even)]
    return max((part for part in found if part is not None), key=lambda part: len(part.starts), default=None)


def _find(weight: SparseRows, exponents: IntArray) -> Dependencies | None:
    """The same between rows over ``2**e_i``, which alone need to recur."""
    A, m = _even_rows(weight, exponents), weight.shape[0]
    residue = SparseRows((residues(A.data).astype(np.float64), A.indices, A.indptr), shape=A.shape)
    near = _overlaps(A)
    covered = np.diff(A.indptr) == 0
    found: list[tuple[IntArray, IntArray, FloatArray]] = []
    for _ in range(MAX_ANCHORS):
        left = np.flatnonzero(~covered)
        if not len(left):
            break
        anchor = int(left[len(left) // 2])
        covered[anchor] = True
        relation = _relation_around(A, _by_overlap(near, anchor))
        if relation is None:
            continue
        places = _recurrences(residue, *relation)
        found.append((places, *relation))
        covered[(places[:, None] + relation[0]).ravel()] = True
    return _written(found, m, exponents) if found else None


def _row_exponents(weight: SparseRows) -> IntArray:
    """Exponents of the largest entries."""
    largest = np.zeros(weight.shape[0])
    np.maximum.at(largest, row_numbers(weight), np.abs(weight.data))
    return np.frexp(largest)[1].astype(np.int64)


def _even_rows(weight: SparseRows, exponents: IntArray) -> SparseRows:
    live = weight.data != 0
    row, entries = row_numbers(weight)[live], weight.data[live]
    return SparseRows((np.ldexp(entries, -exponents[row]), (row, weight.indices[live])), shape=weight.shape)


def _overlaps(A: SparseRows) -> SparseRows:
    """How many columns two rows share."""
    pattern = SparseRows((np.ones(len(A.data)), A.indices, A.indptr), shape=A.shape)
    return pattern @ SparseRows(pattern.T)


def _by_overlap(near: SparseRows, anchor: int) -> IntArray:
    """The rows that share columns with one of them, those that share most first."""
    span = slice(near.indptr[anchor], near.indptr[anchor + 1])
    rows, shared = near.indices[span], near.data[span]
    return rows[np.lexsort((rows, -shared))][:MAX_NEAR].astype(np.int64)


def _relation_around(A: SparseRows, rows: IntArray) -> tuple[IntArray, FloatArray] | None:
    """The relation of the first of these rows that depends on those before it: its rows and its coefficients."""
    part = A[rows]
    read = np.unique(part.indices)
    columns = np.ascontiguousarray(residues(cast(Any, part)[:, read].toarray()).T)
    reduced, rank = nmod_mat(len(read), len(rows), columns.ravel().tolist(), PRIME).rref()
    first = 0
    while first < rank and int(reduced[first, first]) == 1 and first < len(rows):
        first += 1
    if first == len(rows):
        return None
    members = [k for k in range(first) if int(reduced[k, first])]
    chosen = np.sort(rows[[*members, first]])
    values = _coefficients(A[chosen])
    return None if values is None else (chosen, values)


def _coefficients(rows: SparseRows) -> FloatArray | None:
    """The only relation between rows, in whole numbers as small as they can be; None where float64 has not got them."""
    read = np.unique(rows.indices)
    part = cast(FloatArray, cast(Any, rows)[:, read].toarray())
    mantissa, exponent = np.frexp(part)
    lowest = int(exponent[part != 0].min()) - 53
    whole_numbers, shifts = (mantissa * 2.0**53).T.ravel().tolist(), (exponent - 53 - lowest).T.ravel().tolist()
    integers = [int(v) << int(e) if v else 0 for v, e in zip(whole_numbers, shifts, strict=True)]
    basis, nullity = fmpz_mat(len(read), rows.shape[0], integers).nullspace()
    if nullity != 1:
        return None
    whole = [int(basis[k, 0]) for k in range(rows.shape[0])]
    divisor = gcd(*whole)
    whole = [v // divisor for v in whole]
    values = np.array([float(v) if abs(v).bit_length() < 1000 else np.inf for v in whole])
    exact = bool(np.isfinite(values).all() and values.all())
    exact = exact and all(int(value) == v for value, v in zip(values.tolist(), whole, strict=True))
    return values * 2.0 ** -np.frexp(np.abs(values).max())[1] if exact else None


def _recurrences(residue: SparseRows, rows: IntArray, values: FloatArray) -> IntArray:
    """The shifts of all row numbers at which the same relation holds, modulo the prime."""
    m = residue.shape[0]
    shifts: IntArray = np.arange(-int(rows.min()), m - int(rows.max()))
    coefficients = residues(values)
    total: Any = 0
    # residues in two halves, so that sums of products are whole numbers below 2**53
    for half, weight in ((coefficients // LOW, LOW), (coefficients % LOW, 1)):
        for part, factor in ((residue.data // LOW, LOW), (residue.data % LOW, 1)):
            places = (np.repeat(np.arange(len(shifts)), len(rows)), (shifts[:, None] + rows).ravel())
            D = SparseRows((np.tile(half.astype(np.float64), len(shifts)), places), shape=(len(shifts), m))
            product = cast(Any, D @ SparseRows((part, residue.indices, residue.indptr), shape=residue.shape)).tocsr()
            product.data = (product.data.astype(np.int64) % PRIME) * (weight * factor % PRIME) % PRIME
            total = total + product.astype(np.int64)
    total.data %= PRIME
    total.eliminate_zeros()
    return shifts[np.diff(cast(IntArray, total.indptr)) == 0]


def _written(found: list[tuple[IntArray, IntArray, FloatArray]], m: int, exponents: IntArray) -> Dependencies:
    """All relations at all their places, as many as are independent."""
    rows = [place + members for places, members, _ in found for place in places]
    values = [values for places, _, values in found for _ in places]
    if len(found) > 1:  # one relation at different places is independent: the last rows differ
        D = np.zeros((len(rows), m))
        for k, (members, coefficients) in enumerate(zip(rows, values, strict=True)):
            D[k, members] = coefficients
        kept = pivots(np.ascontiguousarray(residues(D).T))
        rows, values = [rows[k] for k in kept], [values[k] for k in kept]
    starts = np.concatenate([[0], np.cumsum([len(members) for members in rows])]).astype(np.int64)
    named = np.concatenate(rows).astype(np.int64)
    return Dependencies(starts, named, np.ldexp(np.concatenate(values), -exponents[named]))


__all__ = ["find_dependencies"]
