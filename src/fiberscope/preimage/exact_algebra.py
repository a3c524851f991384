"""Ranks, null vectors, solutions and contradictions of float matrices in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from flint import fmpq_mat, fmpz_mat, nmod_mat
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.preimage.exact_face import as_fractions

PRIME = 2**61 - 1


def exact_rank(rows: Float64[FloatArray, "q n"]) -> int:
    """The rank of the exact matrix that the floats store."""
    if rows.size == 0:
        return 0
    matrix = _integer_matrix(rows)
    # elimination over the integers is slow, and the rank modulo a prime can only be too small
    bound = len(_pivots(matrix))
    return bound if bound == min(rows.shape) else matrix.rank()


def null_vector(rows: Float64[FloatArray, "q n"]) -> list[Fraction]:
    """A nonzero integer vector that all rows map to zero; the rank must be below the number of columns."""
    n = rows.shape[1]
    if rows.size == 0:
        return [Fraction(1)] + [Fraction(0)] * (n - 1)
    basis, _ = _integer_matrix(rows).nullspace()
    return [Fraction(int(basis[j, 0])) for j in range(n)]


def solve_exactly(rows: Float64[FloatArray, "q n"], sides: list[Fraction]) -> list[Fraction]:
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


def contradiction(rows: Float64[FloatArray, "q n"], sides: list[Fraction]) -> list[Fraction] | None:
    """Weights w with ``rows^T w = 0`` and ``sides . w < 0``, which show that ``rows x = sides`` has no solution.

    A maximal independent set of rows is solved for each other row in turn, until one disagrees; None if none does.
    """
    matrix = _integer_matrix(rows)
    basis = _pivots(matrix.transpose())
    columns = _pivots(matrix)
    square = fmpz_mat([[matrix[i, j] for i in basis] for j in columns])
    for k in sorted(set(range(len(rows))) - set(basis)):
        solution = cast(fmpq_mat, square.solve(fmpz_mat([[matrix[k, j]] for j in columns]))).entries()
        weights = [Fraction(0)] * len(rows)
        weights[k] = Fraction(1)
        for i, value in zip(basis, solution, strict=True):
            weights[i] = -Fraction(int(value.p), int(value.q))
        total = sum((weight * side for weight, side in zip(weights, sides, strict=True)), Fraction(0))
        if total != 0:
            return [-weight if total > 0 else weight for weight in weights]
    return None


def _pivots(matrix: fmpz_mat) -> list[int]:
    """Columns that are independent modulo a prime; almost surely as many as the rank."""
    reduced, rank = nmod_mat(matrix, PRIME).rref()
    pivots: list[int] = []
    for row in range(rank):
        start = pivots[-1] + 1 if pivots else 0
        pivots.append(next(j for j in range(start, matrix.ncols()) if int(reduced[row, j]) != 0))
    return pivots


def _integer_matrix(rows: FloatArray) -> fmpz_mat:
    exact = as_fractions(rows)
    denominator = max(entry.denominator for row in exact for entry in row)
    return fmpz_mat([[int(entry * denominator) for entry in row] for row in exact])
