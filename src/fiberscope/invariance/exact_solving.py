"""Rational solutions of equations with rational numbers."""

from __future__ import annotations

from typing import cast

from flint import fmpq_mat, fmpz, fmpz_mat, nmod_mat

from fiberscope.checker.matrices import NotProvedError

PRIME = 2**61 - 1
MAX_EQUATIONS = 1_500
"""Equations beyond which solving them in rational numbers takes many minutes."""


class ExactVector:
    """A vector of rational numbers: an integer column and a positive common denominator."""

    __slots__ = ("column", "denominator")

    def __init__(self, column: fmpz_mat, denominator: fmpz) -> None:
        self.column = column
        self.denominator = denominator


def nearest_solution(M: fmpz_mat, v: ExactVector, sides: list[fmpz] | None = None) -> ExactVector:
    """The exact solution of ``M x = sides`` (0 if not given) that is nearest to v.

    It is the projection of v onto what independent rows of M allow; all rows of M are tested afterwards.

    Raises:
        NotProvedError: there is none.
    """
    target = fmpz_mat(M.nrows(), 1, [0] * M.nrows() if sides is None else [s * v.denominator for s in sides])
    residual = M * v.column - target
    if residual.is_zero():
        return v
    chosen = independent_rows(M)
    if len(chosen) > MAX_EQUATIONS:
        raise NotProvedError(f"{len(chosen)} equations are too many to be solved in exact arithmetic")
    R = fmpz_mat([[M[i, j] for j in range(M.ncols())] for i in chosen])
    z = cast(fmpq_mat, (R * R.transpose()).solve(fmpz_mat([[residual[i, 0]] for i in chosen])))
    numerator, denominator = z.numer_denom()
    column = v.column * denominator - R.transpose() * numerator
    if not (M * column - target * denominator).is_zero():
        raise NotProvedError("the equalities have no exact solution near the certificate's vector")
    return ExactVector(column, v.denominator * denominator)


def independent_rows(M: fmpz_mat) -> list[int]:
    """Rows that are independent modulo a prime, hence independent; at least one must be nonzero there."""
    reduced, rank = nmod_mat(M.transpose(), PRIME).rref()
    if rank == 0:
        raise NotProvedError("all rows vanish modulo the prime")
    pivots: list[int] = []
    column = 0
    for row in range(rank):
        while int(reduced[row, column]) == 0:
            column += 1
        pivots.append(column)
    return pivots


__all__ = ["ExactVector", "nearest_solution"]
