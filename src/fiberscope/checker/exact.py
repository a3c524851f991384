"""Rational arithmetic on stored numbers: every float64 is an integer times a power of two."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import isqrt, lcm
from typing import Any

import numpy as np
from flint import fmpz_mat, nmod_mat

from fiberscope.checker.matrices import FloatArray, Matrix, NotProvedError, Vector, is_dense, left_inverse

PRIME = 2**61 - 1
MAX_ENTRIES = 20_000_000
"""Entries of an integer matrix beyond which working with it takes many minutes and gigabytes."""
MAX_ELIMINATION = 1_000
"""Rows and columns beyond which elimination over the integers does not end in any useful time."""


def as_integers(values: FloatArray) -> tuple[list[int], int]:
    """Integers and an exponent e, with ``values = integers * 2**e``."""
    flat = np.ravel(values)
    mantissa, exponent = np.frexp(flat)
    whole = (mantissa * 2.0**53).astype(np.int64)
    _, trailing = np.frexp((whole & -whole).astype(np.float64))
    nonzero = whole != 0
    lowest = int((exponent + trailing - 54)[nonzero].min(initial=0 if not nonzero.any() else 2**20))
    shift = np.where(nonzero, exponent - 53 - lowest, 0).tolist()
    return [w << s if s >= 0 else w >> -s for w, s in zip(whole.tolist(), shift, strict=True)], lowest


def objects(values: list[Any]) -> Any:
    """An array of rational numbers."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def as_fractions(vector: Vector) -> tuple[list[int], Fraction]:
    """Integers and a unit, with ``vector = integers * unit``."""
    if vector.dtype == object:
        common = lcm(*(value.denominator for value in vector))
        return [int(value * common) for value in vector], Fraction(1, common)
    integers, exponent = as_integers(vector)
    return integers, Fraction(2) ** exponent


def products(matrix: Matrix, vector: Vector) -> Any:
    """``A v`` exactly, (q,) rational numbers."""
    if is_dense(matrix):
        numbers, unit = as_fractions(vector)
        whole, exponent = as_matrix(matrix)
        column = (whole * fmpz_mat(len(numbers), 1, numbers)).entries() if numbers else [0] * matrix.shape[0]
    else:
        check_size(matrix.nnz)
        used, positions = np.unique(matrix.indices, return_inverse=True)  # of the vector no more than is read
        places: list[int] = positions.tolist()
        numbers, unit = as_fractions(vector[used])
        stored, exponent = as_integers(matrix.data)
        bounds: list[int] = matrix.indptr.tolist()
        terms: list[int] = [factor * numbers[place] for factor, place in zip(stored, places, strict=True)]
        column = [sum(terms[start:stop]) for start, stop in pairwise(bounds)]
    unit *= Fraction(2) ** exponent
    return objects([int(entry) * unit for entry in column])


def as_matrix(matrix: Matrix) -> tuple[fmpz_mat, int]:
    """An integer matrix and an exponent e, with ``A = integers * 2**e``."""
    rows, columns = matrix.shape
    check_size(rows * columns)
    integers, exponent = as_integers(matrix if is_dense(matrix) else matrix.toarray())
    return fmpz_mat(rows, columns, integers), exponent


def total(terms: list[float | Fraction]) -> Fraction:
    """The exact sum."""
    return sum((Fraction(term) for term in terms), Fraction(0))


def norm_above(values: Any) -> float:
    """An upper bound on the Euclidean norm of rational numbers; 0 only where all are 0."""
    root = root_above(sum((value * value for value in values), Fraction(0)))
    if root == 0 or root > 2**1023:
        return np.inf if root else 0.0
    return float(np.nextafter(float(root) * (1.0 + 2.0**-50), np.inf))


def rank(matrix: Matrix) -> int:
    """The rank: modulo a prime it is never larger, so where it is full there, it is full; else by elimination."""
    rows, columns = matrix.shape
    integers, _ = as_matrix(matrix)
    modular = nmod_mat(integers, PRIME).rank()
    if modular == min(rows, columns):
        return modular
    if min(rows, columns) > MAX_ELIMINATION:
        raise NotProvedError(f"{rows} dependent rows in {columns} coordinates are too many for elimination")
    return integers.rank()


def ranks_beyond(matrix: Matrix, sides: list[Fraction]) -> bool:
    """Whether rows with their sides have a higher rank modulo a prime, and so exactly, than they read columns.

    Columns may be scaled: powers of two are units.
    """
    read = matrix[:, matrix.any(axis=0)] if is_dense(matrix) else matrix.toarray()
    read = read[:, read.any(axis=0)]
    common = max((side.denominator for side in sides), default=1)  # powers of two
    columns = [*as_matrix(read)[0].transpose().tolist(), [int(side * common) for side in sides]]
    return nmod_mat(fmpz_mat(columns), PRIME).rank() > read.shape[1]


def singular_values_exceed(B: Matrix, s: float) -> bool:
    """Prove that B (q, n) has min(q, n) singular values above s, in integers; False says only that it does not close.

    By the rule of ``matrices.left_inverse``, with ``X T - I`` computed exactly.
    """
    if s == 0.0:  # modulo a prime the rank is never larger
        return nmod_mat(as_matrix(B)[0], PRIME).rank() == min(B.shape)
    if (found := left_inverse(B)) is None:
        return False
    (tall, X), error = found, Fraction(0)
    (left, e), (right, f) = as_matrix(X), as_matrix(tall)
    unit = Fraction(2) ** (e + f)
    for k, entry in enumerate((left * right).entries()):
        row, column = divmod(k, tall.shape[1])
        off = int(entry) * unit - (row == column)
        error += off * off
    size = sum((int(entry) ** 2 for entry in left.entries()), 0) * Fraction(4) ** e
    return root_above(error) + Fraction(s) * root_above(size) < 1


def root_above(square: Fraction) -> Fraction:
    """A rational upper bound on a square root."""
    if not square:
        return Fraction(0)
    shift = max(0, 128 - (square.numerator.bit_length() - square.denominator.bit_length()))
    shift += shift % 2
    return Fraction(isqrt((square.numerator << shift) // square.denominator) + 1, 1 << (shift // 2))


def check_size(count: int) -> None:
    """NotProvedError where there are too many numbers."""
    if count > MAX_ENTRIES:
        raise NotProvedError(f"{count} numbers are too many for exact arithmetic: such layers are proved in floats")
