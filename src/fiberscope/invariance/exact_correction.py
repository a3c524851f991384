"""Rational inputs next to an example that may have exactly the features of its source.

Equations that depend on each other have a solution only if what they ask for depends in the same way, which rounding
hides. So they are written out in whole numbers, for the linear piece around the example, and solved in rational
numbers. What is found here proves nothing: ``fiberscope.checker.same_features`` evaluates it.

Where the best input of a region lies on kinks and bounds, what was computed is a little beside them. Pixels and units
that are near are put onto them first; in a second attempt, units are left where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from flint import fmpq_mat, fmpz, fmpz_mat, nmod_mat

from fiberscope.checker.affine import dense, sparse
from fiberscope.checker.dyadic import Whole, Work, product
from fiberscope.checker.enclosed import Room
from fiberscope.checker.linear import Linear
from fiberscope.checker.linearization import Equation, Linearization
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.same_features import Case, Finding
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.modular import pivots_of

PRIME = 2**61 - 1
MAX_EQUATIONS = 1_500
"""Equations beyond which solving them in rational numbers takes many minutes."""
MOST_EQUATIONS = 400
"""Equations that are solved in rational numbers at most: some ten seconds."""


def corrections(case: Case, near: float, work: Work) -> Iterator[Finding]:
    """Rational inputs that solve the equations around the example; pixels and units within ``near`` are on bounds."""
    claim = case.claim
    x, domain = claim.example, claim.domain
    moving = ~domain.kept
    at_low, at_high = moving & (x - domain.low <= near), moving & (domain.high - x <= near)
    start = Whole.of(np.where(at_low, domain.low, np.where(at_high, domain.high, x))[:, None])
    free = np.flatnonzero(moving & ~at_low & ~at_high)
    reach = np.zeros(len(x))
    reach[free] = near
    for linearization in (
        _OntoKinks(case.evaluation(start), claim.stage, Room(reach, np.inf), claim.segment),
        Linearization(case.evaluation(start), claim.stage, Room(np.zeros(len(x)), 0.0), claim.segment),
    ):
        try:
            change = _solution(linearization, linearization.equations(), free, work)
        except NotProvedError:
            continue
        yield Finding(claim.stage, point=_moved(start, free, change))


class _OntoKinks(Linearization):
    """Units that may leave their piece are put onto its nearest end, and numbers that may be the largest are equal."""

    def _onto(self, here: Whole, kinks: tuple[float, ...], piece: IntArray, certain: BoolArray) -> Whole:
        distances = np.array([side.sizes()[1] for side in self._sides(here, kinks)]).reshape(len(kinks), -1)
        places = np.arange(len(kinks))[:, None]
        distances = np.where((places == piece) | (places == piece - 1), distances, np.inf)
        for place, kink in enumerate(kinks):
            chosen = ~certain & (distances.argmin(axis=0) == place)
            off = self.evaluation.constant(kink) - here
            here = here + Whole(np.where(chosen[:, None], off.numbers, 0), off.exponent)
        return here

    def _at_most_equal(self, ahead: Whole, certain: BoolArray) -> Whole:
        return Whole(np.where(certain & (ahead.numbers > 0).astype(np.bool_), 0, ahead.numbers), ahead.exponent)


def _solution(linearization: Linearization, equations: Sequence[Equation], free: IntArray, work: Work) -> _ExactVector:
    """The smallest change of the free pixels that solves all equations, in rational numbers."""
    matrix: list[list[int]] = []
    wanted: list[int] = []

    def step(rows: Any, linear: Linear) -> Whole:
        if isinstance(rows, Whole):
            return product(sparse(linear.matrix).T.tocsr(), rows, work)
        first, second = rows.first, rows.second
        found = Whole.of(dense(linear.matrix[first]).T)
        behind = np.flatnonzero(second >= 0)
        other: FloatArray = np.zeros(found.numbers.shape)
        other[:, behind] = dense(linear.matrix[second[behind]]).T
        return found - Whole.of(other)

    if sum(len(equation.first) for equation in equations) > 2 * MOST_EQUATIONS:  # some ask for nothing
        raise NotProvedError("there are too many equations to be solved in rational numbers")
    for equation in equations:
        rows: Whole = linearization.back(equation, step, Whole.__add__)
        columns, sides = rows.numbers[free].T, equation.missing
        exponent = min(rows.exponent, sides.exponent)
        left, right = columns << (rows.exponent - exponent), sides.numbers << (sides.exponent - exponent)
        for row, side in zip(left.tolist(), right.tolist(), strict=True):
            if side or any(row):
                matrix.append(row)
                wanted.append(side)
    return _solved(matrix, wanted, len(free))


def _solved(matrix: list[list[int]], wanted: list[int], size: int) -> _ExactVector:
    """The smallest solution d of ``M d = r``."""
    nothing = _ExactVector(fmpz_mat(size, 1), fmpz(1))
    if not matrix:
        return nothing
    if size == 0:
        raise NotProvedError("no pixel may move")
    if len(matrix) > MOST_EQUATIONS:
        raise NotProvedError(f"{len(matrix)} equations are too many to be solved in rational numbers")
    entries = [entry for row in matrix for entry in row]
    return _nearest_solution(fmpz_mat(len(matrix), size, entries), nothing, [fmpz(side) for side in wanted])


def _moved(start: Whole, free: IntArray, change: _ExactVector) -> tuple[list[int], int]:
    """The start with its free pixels changed, as whole numbers and what they are divided by."""
    moved = np.zeros(start.numbers.shape, dtype=object)
    moved[free, 0] = [int(entry) for entry in change.column.entries()]
    point = start.times(int(change.denominator)) + Whole(moved, 0)
    up, down = max(point.exponent, 0), max(-point.exponent, 0)
    return [number << up for number in point.numbers[:, 0].tolist()], int(change.denominator) << down


class _ExactVector:
    """A vector of rational numbers: an integer column and a positive common denominator."""

    __slots__ = ("column", "denominator")

    def __init__(self, column: fmpz_mat, denominator: fmpz) -> None:
        self.column = column
        self.denominator = denominator


def _nearest_solution(M: fmpz_mat, v: _ExactVector, sides: list[fmpz] | None = None) -> _ExactVector:
    """The exact solution of ``M x = sides`` (0 if not given) that is nearest to v.

    It is the projection of v onto what independent rows of M allow; all rows of M are tested afterwards.

    Raises:
        NotProvedError: there is none.
    """
    target = fmpz_mat(M.nrows(), 1, [0] * M.nrows() if sides is None else [s * v.denominator for s in sides])
    residual = M * v.column - target
    if residual.is_zero():
        return v
    chosen = _independent_rows(M)
    if len(chosen) > MAX_EQUATIONS:
        raise NotProvedError(f"{len(chosen)} equations are too many to be solved in exact arithmetic")
    R = fmpz_mat([[M[i, j] for j in range(M.ncols())] for i in chosen])
    z = cast(fmpq_mat, (R * R.transpose()).solve(fmpz_mat([[residual[i, 0]] for i in chosen])))
    numerator, denominator = z.numer_denom()
    column = v.column * denominator - R.transpose() * numerator
    if not (M * column - target * denominator).is_zero():
        raise NotProvedError("the equalities have no exact solution near the certificate's vector")
    return _ExactVector(column, v.denominator * denominator)


def _independent_rows(M: fmpz_mat) -> list[int]:
    """Rows that are independent modulo a prime, hence independent; at least one must be nonzero there."""
    chosen = pivots_of(nmod_mat(M.transpose(), PRIME))
    if not chosen:
        raise NotProvedError("all rows vanish modulo the prime")
    return chosen


__all__ = ["corrections"]
