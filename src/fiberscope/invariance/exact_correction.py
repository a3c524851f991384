"""Rational inputs next to an example that may have exactly the features of its source.

Equations that depend on each other have a solution only if what they ask for depends in the same way, which rounding
hides. So they are written out in whole numbers, for the linear piece around the example, and solved in rational
numbers. What is found here proves nothing: ``fiberscope.invariance.exact_features`` evaluates it.

Where the best input of a region lies on kinks and bounds, what was computed is a little beside them. Pixels and units
that are near are put onto them first; in a second attempt, units are left where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from flint import fmpz, fmpz_mat

from fiberscope.checker.matrices import NotProvedError
from fiberscope.invariance.exact_solving import ExactVector, nearest_solution
from fiberscope.invariance.exact_values import Effort, Exact, ExactArithmetic
from fiberscope.invariance.proof_statement import Statement
from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray

MOST_EQUATIONS = 400
"""Equations that are solved in rational numbers at most: some ten seconds."""


class Corrected(NamedTuple):
    """A rational input.

    Attributes:
        numbers: (1, n) D times its numbers.
        denominator: D.
    """

    numbers: Exact
    denominator: int


class _Around(NamedTuple):
    """What a stage gives at x, at x' on its linear piece, and by how much along each pixel that may move."""

    source: Exact
    here: Exact
    along: Exact


def corrections(statement: Statement, near: float, effort: Effort) -> Iterator[Corrected]:
    """Rational inputs that solve the equations around the example; pixels and units within ``near`` are on bounds."""
    for pinning in (True, False):
        found = _Linear(statement, near, pinning, ExactArithmetic(effort)).corrected()
        if found is not None:
            yield found


@dataclass(eq=False)
class _Linear:
    """The equations of one linear piece.

    Attributes:
        statement: what is to be proved.
        near: the distance within which pixels and units count as on a bound or a kink.
        pinning: whether units that are so near to a kink are put onto it.
        arithmetic: exact.
        rows: coefficients of the equations, (k, free pixels) each.
        sides: what they ask for, (k,) each.
    """

    statement: Statement
    near: float
    pinning: bool
    arithmetic: ExactArithmetic
    rows: list[Exact] = field(default_factory=list[Exact])
    sides: list[Exact] = field(default_factory=list[Exact])

    def corrected(self) -> Corrected | None:
        """The nearest solution of the equations; None if there is none."""
        start, free = self._start()
        size = len(free)
        directions = np.zeros((size, len(start)))
        directions[np.arange(size), free] = 1.0
        first = _Around(Exact.of(self.statement.source[None]), Exact.of(start[None]), Exact.of(directions))
        try:
            for _ in self.statement.network.walk(first, self._needed(), self._step):
                pass
            solution = _solved(*self._system(), size)
        except NotProvedError:
            return None
        denominator = int(solution.denominator)
        moved = np.zeros((1, len(start)), dtype=object)
        moved[0, free] = [int(entry) for entry in solution.column.entries()]
        return Corrected(first.here.times(denominator) + Exact(moved, 0), denominator)

    def _needed(self) -> tuple[int, ...]:
        return self.statement.network.needed_for(self.statement.stage)

    def _start(self) -> tuple[FloatArray, IntArray]:
        """The example with pixels that are next to a bound put onto it, and the numbers of those that may move."""
        domain, x = self.statement.domain, self.statement.example
        moving = ~self.statement.kept
        at_low, at_high = moving & (x - domain.low <= self.near), moving & (domain.high - x <= self.near)
        start = np.where(at_low, domain.low, np.where(at_high, domain.high, x))
        return start, np.flatnonzero(moving & ~at_low & ~at_high)

    # ---- stages

    def _step(self, number: int, before: list[_Around]) -> _Around:
        part = self.statement.network.stages[number]
        last = number == self.statement.stage
        match part.activation:
            case None:
                out = self._affine(number, before)
                if last:
                    self._ask(out.along, out.source - out.here)
                return out
            case Maximum():
                return self._maximum(part.activation, before[0], last)
            case Pointwise():
                return self._pointwise(part.activation, before[0], last)
            case _:
                raise NotProvedError(f"{part.activation.kind} is no activation that exact arithmetic knows")

    def _affine(self, number: int, before: list[_Around]) -> _Around:
        maps, exactly = self.statement.network.stages[number].maps, self.arithmetic
        source, here = (
            exactly.stage(self.statement.network, number, values)
            for values in ([b.source for b in before], [b.here for b in before])
        )
        along, *others = (exactly.linear(a, b.along) for a, b in zip(maps, before, strict=True))
        for other in others:
            along = along + other
        return _Around(source, here, along.shortened())

    def _maximum(self, activation: Maximum, before: _Around, last: bool) -> _Around:
        source, here, along = before
        index = activation.index.cpu().numpy()
        out = self.arithmetic.maximum(activation, here)
        equal = (index >= 0) & (here.numbers[0][np.maximum(index, 0)] == out.numbers[0][:, None])
        winner = index[np.arange(len(index)), equal.argmax(axis=1)]
        if self.pinning:
            output, tap = np.nonzero((index >= 0) & (index != winner[:, None]))
            first, second = index[output, tap], winner[output]
            rows, sides = along[:, first] - along[:, second], here[:, second] - here[:, first]
            self._ask(rows, sides, np.abs(sides.floats()[0]) <= self._reach(rows))
        found = _Around(self.arithmetic.maximum(activation, source), out, along[:, winner])
        if last:
            self._ask(found.along, found.source - found.here)
        return found

    def _pointwise(self, activation: Pointwise, before: _Around, last: bool) -> _Around:
        source, here, along = before
        kinks = activation.kinks()
        if kinks is None:
            if not last:
                raise NotProvedError(f"{activation.kind} is smooth, and linear on no piece")
            self._ask(along, source - here)
            return before
        piece, pinned = self._pieces(kinks, here, along)
        onto = self._constants(kinks)
        if last:
            self._ask_of_last(kinks, activation, before, piece, pinned)
            return before
        distances = [np.abs((here - kink).floats()[0]) for kink in onto]
        nearest = np.argmin(distances, axis=0) if distances else np.zeros(len(piece), dtype=np.int64)
        for number, kink in enumerate(onto):
            chosen = pinned & (nearest == number)
            self._ask(along, kink - here, chosen)
            here = _replaced(here, kink, chosen)
        slopes = torch.stack([slope for slope, _ in activation.lines()]).numpy()
        slope = np.where(pinned, 0.0, slopes[piece, np.arange(len(piece))])
        scale = Exact.of(slope[None])
        exactly = self.arithmetic
        return _Around(
            exactly.pointwise(activation, source),
            exactly.pointwise(activation, here),
            Exact(along.numbers * scale.numbers, along.exponent + scale.exponent).shortened(),
        )

    def _ask_of_last(
        self, kinks: tuple[float, ...], activation: Pointwise, before: _Around, piece: IntArray, pinned: BoolArray
    ) -> None:
        """The features: any input of a flat piece will do, on other pieces it must be that of x."""
        source, here, along = before
        slopes = torch.stack([slope for slope, _ in activation.lines()]).numpy()
        open_units = np.ones(len(piece), dtype=np.bool_)
        ends = (None, *self._constants(kinks), None)
        for number, own in enumerate(slopes):
            low, high = ends[number], ends[number + 1]
            flat = open_units & (own == 0)
            for end, side in ((low, 1), (high, -1)):
                if end is not None:
                    flat &= (side * (source - end).numbers[0] >= 0).astype(np.bool_)
            open_units &= ~flat
            for end, side in ((low, 1), (high, -1)):
                if end is not None:
                    beyond = (side * (here - end).numbers[0] < 0).astype(np.bool_)
                    near = pinned & (np.abs((here - end).floats()[0]) <= self._reach(along))
                    self._ask(along, end - here, flat & (beyond | near))
        self._ask(along, source - here, open_units)

    def _pieces(self, kinks: tuple[float, ...], here: Exact, along: Exact) -> tuple[IntArray, BoolArray]:
        """The piece that every unit is on, and which are so near to a kink that they are put onto it."""
        above = [(here - kink) for kink in self._constants(kinks)]
        piece = sum(((part.numbers[0] > 0).astype(np.int64) for part in above), np.zeros(here.numbers.shape[1], int))
        near = np.zeros(len(piece), dtype=np.bool_)
        for part in above:
            near |= np.abs(part.floats()[0]) <= self._reach(along)
        return piece, near & self.pinning

    def _constants(self, kinks: tuple[float, ...]) -> list[Exact]:
        return [self.arithmetic.constant(kink) for kink in kinks]

    def _reach(self, along: Exact) -> FloatArray:
        """How much ``near`` in every pixel changes each unit."""
        return self.near * np.abs(along.floats()).sum(axis=0)

    # ---- equations

    def _ask(self, rows: Exact, sides: Exact, chosen: BoolArray | None = None) -> None:
        """Ask for ``rows^T d = sides`` of some units, or all."""
        units = np.arange(rows.numbers.shape[1], dtype=np.int64)
        if chosen is not None:
            units = units[chosen]
        self.rows.append(Exact(rows.numbers[:, units].T, rows.exponent))
        self.sides.append(Exact(sides.numbers[0, units], sides.exponent))

    def _system(self) -> tuple[list[list[int]], list[int]]:
        """Whole numbers M, r with ``M d = r``, one row for each equation; rows that ask for nothing are left out."""
        matrix: list[list[int]] = []
        wanted: list[int] = []
        for rows, sides in zip(self.rows, self.sides, strict=True):
            exponent = min(rows.exponent, sides.exponent)
            left, right = rows.numbers << (rows.exponent - exponent), sides.numbers << (sides.exponent - exponent)
            for row, side in zip(left.tolist(), right.tolist(), strict=True):
                if side or any(row):
                    matrix.append(row)
                    wanted.append(side)
        return matrix, wanted


def _solved(matrix: list[list[int]], wanted: list[int], size: int) -> ExactVector:
    """The smallest solution d of ``M d = r``."""
    nothing = ExactVector(fmpz_mat(size, 1), fmpz(1))
    if not matrix:
        return nothing
    if size == 0:
        raise NotProvedError("no pixel may move")
    if len(matrix) > MOST_EQUATIONS:
        raise NotProvedError(f"{len(matrix)} equations are too many to be solved in rational numbers")
    entries = [entry for row in matrix for entry in row]
    return nearest_solution(fmpz_mat(len(matrix), size, entries), nothing, [fmpz(side) for side in wanted])


def _replaced(values: Exact, constant: Exact, chosen: BoolArray) -> Exact:
    """Numbers with some of them, a mask, replaced by a constant."""
    difference = Exact(np.where(chosen, (constant - values).numbers, 0), (constant - values).exponent)
    return values + difference


__all__ = ["Corrected", "corrections"]
