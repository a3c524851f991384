"""What a network is around a point, and what is asked there: see ``fiberscope.checker.same_features``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np

from fiberscope.checker.affine import unit
from fiberscope.checker.dyadic import Evaluation, Whole, aligned
from fiberscope.checker.enclosed import Room, Rows
from fiberscope.checker.linear import Linear, diagonal, needed, pieces, selection
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.stored import INPUT, NOTHING, Activation, Array, FloatArray

ROW_NUMBERS = 2**24
"""Numbers of rows that go back through the network at a time."""


@dataclass(frozen=True, eq=False)
class Equation:
    """``z[first] - z[second]`` of what a stage gives must become larger by ``missing`` than it is at the point.

    Attributes:
        stage: the number of the stage, -1 for the input.
        first: (k,) places.
        second: (k,) others, -1 for 0.
        missing: (k,) times D.
        of_features: whether it is the features that are asked for.
    """

    stage: int
    first: Array
    second: Array
    missing: Whole
    of_features: bool

    @property
    def is_open(self) -> bool:
        """Whether anything is missing."""
        return bool((self.missing.numbers != 0).any())


@dataclass(eq=False)
class Linearization:
    """The affine map M that a network is around a point, with its equations.

    Attributes:
        evaluation: the network at the source, and at the point.
        last: the stage that must give the same.
        reach: how far the pixels, (n,), may move.
        segment: whether the segment from the source counts.
        linear: what M is at each stage: a map for each source.
    """

    evaluation: Evaluation
    last: int
    reach: Room
    segment: bool
    linear: dict[int, tuple[Linear, ...]] = field(default_factory=dict[int, tuple[Linear, ...]])

    def equations(self) -> list[Equation]:
        """Go through the network; what is asked of the point."""
        stages = self.evaluation.stages
        self._found: list[Equation] = []
        self._is_changed = False
        self._here = {INPUT: self.evaluation.points[:, 1:]}
        self._room = {INPUT: self.reach}
        for number in needed(stages, self.last):
            activation, before = stages[number].activation, stages[number].sources[0]
            if number != self.last or activation is None or activation.index is not None:
                self.evaluation.at(number)
            if activation is None:
                self.linear[number] = self.evaluation.linear[number]
                self._go_on(number)
                if number == self.last:
                    everything = np.arange(stages[number].outputs)
                    self._ask(number, everything, None, self._at_source(number) - self._here[number], features=True)
            elif activation.index is not None:
                self._maximum(number, activation.index, before)
            else:
                self._pointwise(number, activation, before)
        return self._found

    def _at_source(self, number: int) -> Whole:
        return self.evaluation.at(number)[:, :1]

    def _go_on(self, number: int, onto: Whole | None = None) -> None:
        """What M gives at a stage, and by how much that may move; ``onto`` is what an activation receives instead."""
        sources = self.evaluation.stages[number].sources
        before = [self._here[source] for source in sources] if onto is None else [onto]
        # as long as M does not differ from the network at the point, that has been evaluated
        here = self.evaluation.stage(number, before) if self._is_changed else self.evaluation.at(number)[:, 1:]
        self._here[number] = here
        if not self.reach.norm:  # nothing moves
            self._room[number] = Room(np.zeros(len(here.numbers)), 0.0)
            return
        maps = zip(self.linear[number], sources, strict=True)
        rooms: list[Room] = [each.forward(self._room[source], _through, Room.__add__) for each, source in maps]
        self._room[number] = reduce(Room.__add__, rooms)

    def _ask(self, stage: int, first: Array, second: Array | None, missing: Whole, *, features: bool = False) -> None:
        if len(first):
            others = np.full_like(first, NOTHING) if second is None else second
            self._found.append(Equation(stage, first, others, missing[:, 0], features))

    # ---- activations

    def _pointwise(self, number: int, activation: Activation, before: int) -> None:
        source, here, last = self._at_source(before), self._here[before], number == self.last
        known = pieces(activation)
        if known is None:  # a smooth activation gives equal numbers for equal numbers
            if not last:
                raise NotProvedError(f"{activation.kind} is smooth, and linear on no piece")
            self._ask(before, np.arange(activation.inputs), None, source - here, features=True)
            return
        kinks, slopes = known
        units = np.arange(activation.inputs)
        sides = self._sides(here, kinks)
        allowed = _on_pieces(self._sides(source, kinks), len(units))
        if last:  # any number of a flat piece gives the same
            allowed &= slopes == 0
        elif not self.segment:
            allowed |= True
        piece, certain = _chosen(sides, allowed, self._room[before].each)
        onto = self._onto(here, kinks, piece, certain)
        if last:
            numbers, other, exponent = aligned(onto, source)
            flat: Array = np.asarray(allowed.any(axis=0), dtype=np.bool_)
            onto, certain = Whole(np.where(flat[:, None], numbers, other), exponent), certain & flat
        missing, fixed = onto - here, np.flatnonzero(~certain)
        self._ask(before, fixed, None, missing[fixed], features=last)
        if not last:
            self._is_changed |= bool((missing.numbers != 0).any())
            self.linear[number] = (diagonal(np.where(certain, slopes[piece, units], 0.0)),)
            self._go_on(number, onto)

    def _sides(self, values: Whole, kinks: tuple[float, ...]) -> list[Whole]:
        """Of every kink, how far numbers are above it."""
        return [(values - self.evaluation.constant(kink))[:, 0] for kink in kinks]

    def _onto(self, here: Whole, kinks: tuple[float, ...], piece: Array, certain: Array) -> Whole:
        """What units are to receive: the nearest numbers that are on a piece, which those of certain units are."""
        del certain
        for place, kink in enumerate(kinks):
            numbers, end, exponent = aligned(here, self.evaluation.constant(kink))
            above = (piece > place)[:, None]
            here = Whole(np.where(above, np.maximum(numbers, end), np.minimum(numbers, end)), exponent)
        return here

    def _maximum(self, number: int, index: Array, before: int) -> None:
        source, here, room = self._at_source(before), self._here[before], self._room[before].each
        valid, last = index != NOTHING, number == self.last
        allowed = valid.copy()
        if self.segment:  # a position that is largest at the source, too
            allowed &= (source.numbers[index, 0] == self._at_source(number).numbers).astype(np.bool_)
        values = here.numbers[index, 0]
        winner = index[np.arange(len(index)), np.where(allowed, values, values.min() - 1).argmax(axis=1)]
        output, tap = np.nonzero(valid & (index != winner[:, None]))
        first, second = index[output, tap], winner[output]
        ahead = (here[second] - here[first])[:, 0]
        both = room[first] + room[second]
        stays = (both == 0) | (ahead.sizes()[0] >= np.nextafter(both, np.inf))
        certain = (ahead.signs() >= 0) & stays
        missing = self._at_most_equal(ahead, certain)
        self._ask(before, first[~certain], second[~certain], missing[~certain, None])
        self._is_changed |= bool((missing.numbers != 0).any())
        self.linear[number] = (selection(winner, here.numbers.shape[0]),)
        if last:
            self._ask(before, winner, None, self._at_source(number) - here[winner], features=True)
        else:
            self._go_on(number)
            self._here[number] = here[winner]

    def _at_most_equal(self, ahead: Whole, certain: Array) -> Whole:
        """What is missing for a number to be no larger than another, from how far it is behind."""
        del certain
        return Whole(np.asarray(np.minimum(ahead.numbers, 0), dtype=object), ahead.exponent)

    # ---- rows

    def rows(self, equation: Equation) -> Rows:
        """``J[first] - J[second]``, (k, n)."""
        stages, n = self.evaluation.stages, len(self.reach.each)
        width = max(n, *(stages[k].outputs for k in needed(stages, equation.stage)), 1)
        size = max(1, ROW_NUMBERS // width)
        parts: list[Rows] = []
        for k in range(0, len(equation.first), size):
            first, second = equation.first[k : k + size], equation.second[k : k + size]
            parts.append(self.back(replace(equation, first=first, second=second), _step, Rows.__add__))
        return Rows(np.concatenate([p.value for p in parts]), np.concatenate([p.error for p in parts]))

    def back(self, equation: Equation, step: Any, add: Any) -> Any:
        """The rows of an equation as rows of the input; ``step`` goes back through one matrix, the equation or rows."""
        number = equation.stage
        waiting: dict[int, Any] = {number: equation}
        if number == INPUT:
            return step(equation, Linear(unit(np.ones(len(self.reach.each))), np.zeros(len(self.reach.each))))
        for each in reversed(needed(self.evaluation.stages, number)):
            if each not in waiting:
                continue
            rows = waiting.pop(each)
            for linear, source in zip(self.linear[each], self.evaluation.stages[each].sources, strict=True):
                back = linear.backward(rows, step, add)
                waiting[source] = add(waiting[source], back) if source in waiting else back
        return waiting[INPUT]


def _through(room: Room, linear: Linear) -> Room:
    return room.through(linear)


def _step(rows: Rows | Equation, linear: Linear) -> Rows:
    """Back through one matrix; the last one is where rows are picked."""
    return rows.times(linear) if isinstance(rows, Rows) else Rows.picked(linear.matrix, rows.first, rows.second)


def _on_pieces(sides: list[Whole], size: int) -> Array:
    """(p, m) which pieces numbers are on, both at a kink."""
    inside = np.ones((len(sides) + 1, size), dtype=np.bool_)
    for place, side in enumerate(sides):
        inside[place] &= side.signs() <= 0
        inside[place + 1] &= side.signs() >= 0
    return inside


def _chosen(sides: list[Whole], allowed: Array, room: FloatArray) -> tuple[Array, Array]:
    """The piece of every unit, and where it stays on that whatever moves it by its room.

    Of the allowed pieces it is one that it stays on; else the nearest.
    """
    stays, distance = _on_pieces(sides, len(room)), np.zeros(allowed.shape)
    for place, side in enumerate(sides):
        (low, high), sign = side.sizes(), side.signs()
        for piece, beyond in ((place, sign > 0), (place + 1, sign < 0)):
            stays[piece] &= low >= room
            distance[piece] = np.where(beyond, high, distance[piece])
    stays &= allowed
    piece = np.where(allowed, np.where(stays, -1.0, distance), np.inf).argmin(axis=0)
    return piece, stays[piece, np.arange(len(room))]


__all__ = ["Equation", "Linearization"]
