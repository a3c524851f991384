"""Ranks, null vectors and solutions of float matrices in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

from flint import fmpz_mat

from fiberscope.network.arrays import FloatArray
from fiberscope.preimage.exact_face import as_fractions


def exact_rank(rows: FloatArray) -> int:
    """The rank of the exact matrix that the floats store."""
    return _integer_matrix(rows).rank() if rows.size else 0


def null_vector(rows: FloatArray) -> list[Fraction]:
    """A nonzero integer vector that all rows map to zero; the rank must be below the number of columns."""
    n = rows.shape[1]
    if rows.size == 0:
        return [Fraction(1)] + [Fraction(0)] * (n - 1)
    basis, _ = _integer_matrix(rows).nullspace()
    return [Fraction(int(basis[j, 0])) for j in range(n)]


def solve_exactly(rows: FloatArray, sides: list[Fraction]) -> list[Fraction]:
    """The exact solution of ``rows x = sides``; the rows must have rank n and agree."""
    exact = as_fractions(rows)
    denominator = max(value.denominator for row in (*exact, sides) for value in row)
    augmented = fmpz_mat(
        [[int(value * denominator) for value in (*row, side)] for row, side in zip(exact, sides, strict=True)]
    )
    reduced, scale, rank = augmented.rref()
    n = rows.shape[1]
    if rank != n:
        raise ArithmeticError(f"expected consistent rows of rank {n}, got rank {rank}")
    return [Fraction(int(reduced[j, n]), int(scale)) for j in range(n)]


def _integer_matrix(rows: FloatArray) -> fmpz_mat:
    exact = as_fractions(rows)
    denominator = max(entry.denominator for row in exact for entry in row)
    return fmpz_mat([[int(entry * denominator) for entry in row] for row in exact])
