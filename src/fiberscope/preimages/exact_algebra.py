"""Ranks, null vectors, solutions and contradictions of float matrices in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import numpy as np
from flint import fmpq_mat, fmpz_mat
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.budget import NO_LIMIT, Budget, solve_seconds
from fiberscope.preimages.exact_face import as_fractions, entry_bits
from fiberscope.preimages.modular import modular_rank, modular_seconds, pivots, residues

SOLVES_OF_AN_ELIMINATION = 10
"""An elimination over the integers takes about as long as so many exact solutions."""


def exact_rank(rows: Float64[FloatArray, "q n"], budget: Budget = NO_LIMIT) -> int:
    """The rank of the exact matrix that the floats store.

    Raises:
        TooLargeError: dependent rows are too many for the budget.
    """
    live = rows[:, rows.any(axis=0)]
    live = live[live.any(axis=1)]
    # elimination over the integers is slow, and the rank modulo a prime can only be too small
    budget.check_exact(modular_seconds(*live.shape), f"the rank of {live.shape[0]} rows modulo a prime")
    bound = modular_rank(live)
    if bound == min(live.shape):
        return bound
    check_elimination(live, bound, budget)
    return _integer_matrix(live).rank()


def check_elimination(rows: Float64[FloatArray, "q n"], rank: int, budget: Budget) -> None:
    """Whether there is time for an elimination over the integers.

    Raises:
        TooLargeError: there is not.
    """
    doing = f"the exact rank of {rows.shape[0]} dependent rows in {rows.shape[1]} coordinates"
    budget.check_exact(SOLVES_OF_AN_ELIMINATION * solve_seconds(rank, entry_bits(rows)), doing)


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


def inconsistent_rows(
    rows: Float64[FloatArray, "q n"],
    first: Float64[FloatArray, " q"],
    second: Float64[FloatArray, " q"],
    budget: Budget,
) -> IntArray | None:
    """Rows, one more than coordinates that they read, of which no x satisfies all: ``rows x = first + second``.

    They are independent together with their right-hand sides, modulo a prime and hence exactly; a solution would make
    these sides a combination of the coordinates' columns. None if all rows together are not.

    Raises:
        TooLargeError: that would take longer than the budget allows.
    """
    read = np.flatnonzero(rows.any(axis=0))
    if len(rows) <= len(read):
        return None
    budget.check_exact(modular_seconds(len(rows), len(read)), f"comparing {len(rows)} positive rows with each other")
    sides = (residues(first) + residues(second))[:, None]
    augmented = np.concatenate([residues(rows[:, read]), sides], axis=1)
    chosen = pivots(np.ascontiguousarray(augmented.T))
    return np.array(chosen, dtype=np.int64) if len(chosen) > len(read) else None


def contradiction(rows: Float64[FloatArray, "q n"], sides: list[Fraction], budget: Budget) -> list[Fraction] | None:
    """Weights w with ``rows^T w = 0`` and ``sides . w < 0``, which show that ``rows x = sides`` has no solution.

    A maximal independent set of rows is solved for each other row in turn, until one disagrees; None if none does.

    Raises:
        TooLargeError: one such solution would take longer than the budget allows.
    """
    residue = residues(rows)
    basis = pivots(np.ascontiguousarray(residue.T))
    if len(basis) == len(rows):
        return None
    columns = pivots(residue)
    budget.check_exact(solve_seconds(len(basis), entry_bits(rows)), f"an exact solution of {len(basis)} equations")
    matrix = _integer_matrix(rows)
    square = fmpz_mat([[matrix[i, j] for i in basis] for j in columns])
    for k in sorted(set(range(len(rows))) - set(basis)):
        budget.check("equations were solved for each other")
        solution = cast(fmpq_mat, square.solve(fmpz_mat([[matrix[k, j]] for j in columns]))).entries()
        weights = [Fraction(0)] * len(rows)
        weights[k] = Fraction(1)
        for i, value in zip(basis, solution, strict=True):
            weights[i] = -Fraction(int(value.p), int(value.q))
        total = sum((weight * side for weight, side in zip(weights, sides, strict=True)), Fraction(0))
        if total != 0:
            return [-weight if total > 0 else weight for weight in weights]
    return None


def _integer_matrix(rows: FloatArray) -> fmpz_mat:
    exact = as_fractions(rows)
    denominator = max(entry.denominator for row in exact for entry in row)
    return fmpz_mat([[int(entry * denominator) for entry in row] for row in exact])
