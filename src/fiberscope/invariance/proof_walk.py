"""What a network does between two inputs, with bounds on rounding: the units that are certain, and the equations.

See ``fiberscope.invariance.proof``, which this is a part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from fiberscope.checker.matrices import UNIT_ROUNDOFF, NotProvedError, row_norms_above
from fiberscope.invariance.enclosures import (
    Enclosure,
    applied,
    gathered,
    inflated,
    moved_back,
    moved_precisely,
    next_up,
    reach,
)
from fiberscope.invariance.exact_order import exact_map, exact_order
from fiberscope.network.activations import Activation, Maximum, Pointwise
from fiberscope.network.affine import AffineMap
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.network import Network
from fiberscope.network.rows import dense
from fiberscope.network.stage import INPUT

ROW_NUMBERS = 2**24
"""Numbers of rows that go back through the network at a time."""


class Equation(NamedTuple):
    """``z[first] - z[second]`` of what a stage gives must not change; -1 stands for 0.

    With ``missing``, it must become another number: one that is by no more than that off what it is at x'.
    """

    stage: int
    first: Int64[Tensor, " k"]
    second: Int64[Tensor, " k"]
    missing: Float64[Tensor, " k"] | None = None


class Goal(NamedTuple):
    """The features that are wanted: those of x, with what the last activation receives there, or the output."""

    x: Float64[FloatArray, " n"]
    value: Enclosure


@dataclass(eq=False)
class Walk:
    """Goes through a network with bounds on what it gives at x, on the change to x', and on what rho adds to that.

    Attributes:
        network: the network.
        stage: the last stage.
        rho: the distance.
        slopes: of every activation on the way, 0 for held units, or the positions that a maximum takes; units that are
            next to the end of their piece at x' are pinned to it, and have its slope.
        changes: what every stage changes by from x to x', on these slopes.
    """

    network: Network
    stage: int
    rho: float
    slopes: dict[int, Tensor] = field(default_factory=dict[int, Tensor])
    changes: dict[int, Enclosure] = field(default_factory=dict[int, Enclosure])

    def equations(
        self, x: FloatArray, example: FloatArray, free: BoolArray, goal: Goal | None = None
    ) -> list[Equation]:
        """What must not change, for the features of x; or what must be so, for those of the goal."""
        at, there = torch.tensor(x)[None], torch.tensor(example)[None]
        change = Enclosure.exact(there) - Enclosure.exact(at)
        room = self.rho * torch.tensor(free, dtype=torch.float64)[None]
        values = {INPUT: (Enclosure.exact(at), change, room)}
        self.changes[INPUT] = change
        found: list[Equation] = []
        for number in self.network.needed_for(self.stage):
            before = [values[source] for source in self.network.sources(number)]
            activation = self.network.stages[number].activation
            if activation is None:
                values[number] = self._affine(number, before)
            else:
                source = self.network.sources(number)[0]
                if number == self.stage and goal is not None:
                    found += _wanted(self.network, activation, source, before[0], goal)
                    break
                found += self._held(number, activation, source, before[0], x)
                if number == self.stage:
                    break
                values[number] = self._activated(number, activation, before[0])
            self.changes[number] = values[number][1]
        if self.network.stages[self.stage].activation is None:
            everything = torch.arange(self.network.stages[self.stage].outputs)
            missing = None if goal is None else _size(values[self.stage][0] - goal.value)
            found.append(Equation(self.stage, everything, torch.full_like(everything, -1), missing))
        return [equation for equation in found if len(equation.first)]

    def _affine(
        self, number: int, before: list[tuple[Enclosure, Enclosure, Tensor]]
    ) -> tuple[Enclosure, Enclosure, Tensor]:
        maps = self.network.stages[number].maps
        value = _affine_value(maps, [value for value, _, _ in before])
        parts = [
            (moved_precisely(affine, change), reach(affine, room))
            for affine, (_, change, room) in zip(maps, before, strict=True)
        ]
        total = (value, *parts[0])
        for change, room in parts[1:]:
            total = (value, total[1] + change, next_up(total[2] + room))
        affine = exact_map(self.network, number)
        if affine is not None:  # what moves by at most rho in the Euclidean norm changes a sum by |a| rho
            norms = torch.tensor(row_norms_above(affine.rows()))[None]
            total = (*total[:2], torch.minimum(total[2], next_up(norms * self.rho)))
        return total

    def _activated(
        self, number: int, activation: Activation, before: tuple[Enclosure, Enclosure, Tensor]
    ) -> tuple[Enclosure, Enclosure, Tensor]:
        value, change, room = before
        out, slope = _activated_value(activation, value), self.slopes[number]
        if isinstance(activation, Maximum):  # the slopes are positions
            return out, change[:, slope], room[:, slope]
        return out, change.scaled(slope[None]), next_up(room * slope.abs()) * (slope != 0)

    # ---- which units are certain

    def _held(
        self,
        number: int,
        activation: Activation,
        source: int,
        before: tuple[Enclosure, Enclosure, Tensor],
        x: FloatArray,
    ) -> list[Equation]:
        """What must not change at an activation, its slopes noted down."""
        match activation:
            case Maximum():
                return self._held_maximum(number, activation, source, before, x)
            case Pointwise():
                return self._held_pointwise(number, activation, source, before, x)
            case _:
                raise NotProvedError(f"{activation.kind} is no activation that the proof knows")

    def _held_pointwise(
        self,
        number: int,
        activation: Pointwise,
        source: int,
        before: tuple[Enclosure, Enclosure, Tensor],
        x: FloatArray,
    ) -> list[Equation]:
        value, change, room = before
        kinks = activation.kinks()
        last = number == self.stage
        units = torch.arange(activation.inputs)
        nothing = torch.full_like(units, -1)
        if kinks is None and not last:
            raise NotProvedError(f"{activation.kind} is smooth, and linear on no piece")
        if kinks is None:
            return [Equation(source, units, nothing)]
        low, high, after_low, after_high = _ends(value, change, room)
        low, high = _settled(self.network, source, x, low, high, kinks)
        slope, certain = torch.zeros_like(low), torch.zeros_like(low, dtype=torch.bool)
        pieces = _pieces(activation, kinks)
        for lower, upper, own in pieces:
            inside = (torch.minimum(low, after_low) >= lower) & (torch.maximum(high, after_high) <= upper)
            slope = torch.where(inside & ~certain, own, slope)
            certain |= inside
        held = ~certain if not last else ~(certain & (slope == 0))
        now, missing = value + change, _size(change)
        pinned = torch.zeros_like(held)
        for lower, upper, own in pieces:
            outside = _outside(now, lower, upper)
            better = held & (low >= lower) & (high <= upper) & (outside < missing) & ((own == 0) | (not last))
            slope, missing = torch.where(better, own, slope), torch.where(better, outside, missing)
            pinned |= better
        self.slopes[number] = slope
        held &= ~pinned
        return [
            Equation(source, units[held], nothing[held]),
            Equation(source, units[pinned], nothing[pinned], missing[pinned]),
        ]

    def _held_maximum(
        self,
        number: int,
        activation: Maximum,
        source: int,
        before: tuple[Enclosure, Enclosure, Tensor],
        x: FloatArray,
    ) -> list[Equation]:
        value, change, room = before
        winner = activation.derivative(value.value[0]).index
        self.slopes[number] = winner
        output, tap = torch.nonzero((activation.index >= 0) & (activation.index != winner[:, None]), as_tuple=True)
        first, second = activation.index[output, tap], winner[output]
        low, high, after_low, after_high = _ends(value, change, room)
        behind = high[first] <= low[second]
        open_pairs = torch.nonzero(~behind)[:, 0]
        order = exact_order(self.network, source, x, first[open_pairs], second[open_pairs])
        behind[open_pairs] = order <= 0
        certain = behind & (after_high[first] <= after_low[second])
        found = [Equation(source, first[~certain], second[~certain])]
        if number == self.stage:
            found.append(Equation(source, winner, torch.full_like(winner, -1)))
        return found

    # ---- rows

    def rows(self, equation: Equation) -> Enclosure:
        """``J[first] - J[second]``, (k, n)."""
        direct = self._written_out(equation)
        if direct is not None:
            return direct
        width = self.network.stages[equation.stage].outputs if equation.stage != INPUT else self.network.inputs
        parts: list[Enclosure] = []
        block = max(1, ROW_NUMBERS // max(width, self.network.inputs))
        for start in range(0, len(equation.first), block):
            first, second = equation.first[start : start + block], equation.second[start : start + block]
            U = torch.zeros(len(first), width, dtype=torch.float64)
            places = torch.arange(len(first))
            U[places, first] = 1.0
            U[places[second >= 0], second[second >= 0]] -= 1.0
            parts.append(self._back(U, equation.stage))
        return Enclosure(torch.cat([p.value for p in parts]), torch.cat([p.error for p in parts]))

    def _written_out(self, equation: Equation) -> Enclosure | None:
        """Exact rows, where a stage is one exact map of the input."""
        affine = exact_map(self.network, equation.stage)
        if affine is None or bool((equation.second >= 0).any()):
            return None
        return Enclosure.exact(torch.tensor(dense(affine.rows(equation.first.numpy()))))

    def _back(self, U: Tensor, stage: int) -> Enclosure:
        if stage == INPUT:
            return Enclosure.exact(U)
        waiting: dict[int, Enclosure] = {stage: Enclosure.exact(U)}
        for number in reversed(self.network.needed_for(stage)):
            if number not in waiting:
                continue
            rows, part = waiting.pop(number), self.network.stages[number]
            backs = (
                [moved_back(affine, rows) for affine in part.maps]
                if part.activation is None
                else [self._back_through(number, part.activation, rows)]
            )
            for back, source in zip(backs, self.network.sources(number), strict=True):
                waiting[source] = waiting[source] + back if source in waiting else back
        zeros = torch.zeros(len(U), self.network.inputs, dtype=torch.float64)
        return waiting.get(INPUT, Enclosure.exact(zeros))

    def _back_through(self, number: int, activation: Activation, rows: Enclosure) -> Enclosure:
        slope = self.slopes[number]
        if isinstance(activation, Pointwise):
            return rows.scaled(slope[None])
        return gathered(rows, slope, activation.inputs)

    def missing(self, equation: Equation) -> Tensor:
        """Bounds on what an equation lacks at x', (k,)."""
        if equation.missing is not None:
            return equation.missing
        change = self.changes[equation.stage]
        nothing = torch.zeros(1, dtype=torch.float64)
        both = Enclosure(torch.cat([change.value[0], nothing]), torch.cat([change.error[0], nothing]))
        return _size(both[equation.first] - both[equation.second])


def received(network: Network, stage: int, x: FloatArray) -> Enclosure:
    """What an activation receives at x, or what an affine stage gives, (1, m)."""
    values = {INPUT: Enclosure.exact(torch.tensor(x)[None])}
    for number in network.needed_for(stage):
        before, activation = [values[source] for source in network.sources(number)], network.stages[number].activation
        if activation is None:
            values[number] = _affine_value(network.stages[number].maps, before)
        elif number == stage:
            return before[0]
        else:
            values[number] = _activated_value(activation, before[0])
    return values[stage]


def _affine_value(maps: Sequence[AffineMap], before: Sequence[Enclosure]) -> Enclosure:
    total, *others = (applied(affine, value) for affine, value in zip(maps, before, strict=True))
    for value in others:
        total = total + value
    return total


def _activated_value(activation: Activation, value: Enclosure) -> Enclosure:
    if isinstance(activation, Maximum):
        worst = activation.apply(value.error)  # a maximum moves by no more than its arguments
        return Enclosure(activation.apply(value.value), worst)
    if not isinstance(activation, Pointwise) or activation.kinks() is None:
        raise NotProvedError(f"{activation.kind} is smooth, and linear on no piece")
    out, error = activation.apply(value.value), value.error
    if activation.slope is not None:  # of a ReLU or a clip, nothing is rounded
        steep = torch.clamp(activation.slope.abs(), min=1.0)
        error = inflated(error * steep + 2.0 * UNIT_ROUNDOFF * out.abs())
    return Enclosure(out, error)


def _wanted(
    network: Network, activation: Activation, source: int, before: tuple[Enclosure, Enclosure, Tensor], goal: Goal
) -> list[Equation]:
    """What the last activation must receive next to x', so that it gives the features of the goal."""
    here, change, room = before
    units = torch.arange(len(here.value[0]))
    nothing = torch.full_like(units, -1)
    if isinstance(activation, Maximum):
        raise NotProvedError("the features are maxima, of which only segments are proved")
    assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
    missing, kinks = _size(here - goal.value), activation.kinks()
    if kinks is None:
        return [Equation(source, units, nothing, missing)]
    _, _, after_low, after_high = _ends(here, change, room)
    low, high = _settled(network, source, goal.x, goal.value.low()[0], goal.value.high()[0], kinks)
    certain = torch.zeros_like(low, dtype=torch.bool)
    for lower, upper, own in _pieces(activation, kinks):
        flat = (own == 0) & (low >= lower) & (high <= upper)
        certain |= flat & (after_low >= lower) & (after_high <= upper)
        missing = torch.where(flat, _outside(here, lower, upper), missing)  # any input of a flat piece will do
    wanted = ~certain
    return [Equation(source, units[wanted], nothing[wanted], missing[wanted])]


def _settled(
    network: Network, source: int, x: FloatArray, low: Tensor, high: Tensor, kinks: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Sides of kinks that rounding leaves open, in exact arithmetic where that is possible."""
    low, high = low.clone(), high.clone()
    for kink in kinks:
        unclear = torch.nonzero((low < kink) & (high > kink))[:, 0]
        order = exact_order(network, source, x, unclear, torch.full_like(unclear, -1), kink)
        high[unclear[order <= 0]] = kink
        low[unclear[(order >= 0) & (order < 2)]] = kink
    return low, high


def _size(difference: Enclosure) -> Tensor:
    """Bounds on absolute values, flat."""
    return torch.maximum(difference.high().abs(), difference.low().abs()).reshape(-1)


def _ends(value: Enclosure, change: Enclosure, room: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Bounds at x, and at everything within rho of x'."""
    after = value + change
    low, high = value.low()[0], value.high()[0]
    return low, high, -next_up(room - after.low())[0], next_up(after.high() + room)[0]


def _pieces(activation: Pointwise, kinks: tuple[float, ...]) -> list[tuple[float, float, Tensor]]:
    """The ends of every linear piece, and the slopes of all units on it."""
    ends = pairwise((-np.inf, *kinks, np.inf))
    return [(lower, upper, slope) for (lower, upper), (slope, _) in zip(ends, activation.lines(), strict=True)]


def _outside(value: Enclosure, lower: float, upper: float) -> Tensor:
    """By how much numbers may lie outside of an interval, flat."""
    beyond = torch.maximum(lower - value.low(), value.high() - upper).reshape(-1)
    return torch.where(beyond <= 0, 0.0, next_up(beyond))  # NaN, of numbers that overflowed, stays


__all__ = ["Equation", "Goal", "Walk", "received"]
