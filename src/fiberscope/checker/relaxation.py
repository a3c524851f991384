"""A polyhedron around all that a network may compute on the way from a box of inputs to given features.

It lies in the coordinates of the inputs and of what every affine map and activation on the way gives, each within
proved bounds. Affine maps are equations between them, with the stored numbers. What an activation f gives for z in
[l, u] is bounded by chords: for *any* slope s, ``h - s z`` lies between the least and the largest of ``f(t) - s t``,
which a piecewise linear f takes at l, at u, or at a kink between. So nothing that is rounded makes a row false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np

from fiberscope.checker import enclosures
from fiberscope.checker.affine import csr_array, entries, gathered
from fiberscope.checker.forward import activated, mapped
from fiberscope.checker.linear import Linear, needed, pieces
from fiberscope.checker.matrices import FloatArray, IntArray, Matrix, NotProvedError
from fiberscope.checker.monotone import ends
from fiberscope.checker.reading import judged_units
from fiberscope.checker.stored import INPUT, Activation, Stage
from fiberscope.checker.system import System

Network = tuple[int, tuple[Stage, ...]]


class ContradictionError(NotProvedError):
    """Raised where it is proved that no input has the features."""


@dataclass(frozen=True, eq=False)
class Known:
    """Features in ``[low, high]``, (m,), that the activation of a stage gives; infinite where nothing is known."""

    stage: int
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The polyhedron ``{v : sides, box}``.

    Attributes:
        system: its rows, as units that change nothing.
        low: (M,) the lower sides.
        high: (M,) the upper sides.
        inputs: the first coordinates are those of the network's input, so many.
    """

    system: System
    low: FloatArray
    high: FloatArray
    inputs: int

    @property
    def box(self) -> tuple[FloatArray, FloatArray]:
        """Bounds of all coordinates."""
        return self.system.box_low, self.system.box_high


@dataclass(frozen=True, eq=False)
class Step:
    """Multipliers that prove bounds on coordinates of the input.

    Attributes:
        coordinates: (k,)
        multipliers: two of (k, M), of the polyhedron's rows: for the lower bounds, and for the upper ones; float64 or
            float32.
    """

    coordinates: IntArray
    multipliers: tuple[Any, Any]


def narrowed(relaxation: Relaxed, step: Step) -> tuple[FloatArray, FloatArray]:
    """(n,) bounds of the input's coordinates, of those of the step by weak duality.

    Raises:
        NotProvedError: the step does not fit.
    """
    low, high = relaxation.box
    below, above = low[: relaxation.inputs].copy(), high[: relaxation.inputs].copy()
    chosen = step.coordinates
    if chosen.dtype != np.int64 or chosen.ndim != 1 or not ((chosen >= 0) & (chosen < relaxation.inputs)).all():
        raise NotProvedError("a coordinate of the input is not there")
    directions = np.zeros((len(chosen), len(low)))
    directions[np.arange(len(chosen)), chosen] = 1.0
    middle = np.clip(low / 2.0 + high / 2.0, low, high)
    question = enclosures.Question(None, relaxation.low, relaxation.high, np.zeros(len(relaxation.low)), middle, np.inf)
    found = enclosures.bounds(relaxation.system, question, directions, step.multipliers)
    least, most = enclosures.ends(relaxation.system, question, directions, found)
    np.maximum.at(below, chosen, least)
    np.minimum.at(above, chosen, most)
    return below, above


def replayed(
    network: Network, low: FloatArray, high: FloatArray, known: Known, steps: Sequence[Step]
) -> tuple[FloatArray, FloatArray] | None:
    """Bounds on all inputs of a box that have known features, step by step; None where it is proved that none has.

    Raises:
        NotProvedError: a step does not fit.
    """
    for step in steps:
        try:
            relaxation = relaxed(network, low, high, known)
        except ContradictionError:
            return None
        low, high = narrowed(relaxation, step)
        if (low > high).any():
            return None
    return low, high


def relaxed(network: Network, low: FloatArray, high: FloatArray, known: Known) -> Relaxed:
    """The polyhedron of all that may happen to inputs x with ``low <= x <= high`` and known features.

    Args:
        network: the number n of inputs, and the stages, as ``fiberscope.checker.stored`` reads them.
        low: (n,) finite.
        high: (n,) finite.
        known: the features, of a ReLU or a clip.

    Raises:
        ContradictionError: no input of the box has these features.
        NotProvedError: the stage has another activation.
    """
    _, stages = network
    target = stages[known.stage].activation
    if target is None or target.kind == "maximum":
        raise NotProvedError("features of this kind of stage bound nothing")
    building, end = _Building(low, high), stages[known.stage].sources[0]
    values: dict[int, _Block] = {INPUT: _Block(0, len(low))}
    for number in needed(stages, end):
        stage = stages[number]
        before = [values[source] for source in stage.sources]
        if stage.activation is not None:
            values[number] = building.activate(stage.activation, before[0])
        else:
            parts = [
                Linear.of(a).forward(v, building.map, building.add) for a, v in zip(stage.maps, before, strict=True)
            ]
            values[number] = reduce(building.add, parts)
    building.narrow(values[end], *_received(target, known))
    return building.built(len(low))


def _received(target: Activation, known: Known) -> tuple[FloatArray, FloatArray]:
    """Bounds of what an activation received that gave the features."""
    judged = judged_units(target)
    if judged is None:
        raise NotProvedError("an activation that falls and rises tells no interval")
    least, most, curves = judged
    told = ends(curves, known.low, known.high)
    if isinstance(told, str):
        raise NotProvedError(told)
    known = Known(known.stage, *told)
    if (np.isposinf(known.low) | np.isneginf(known.high)).any():
        raise ContradictionError("no unit gives these features")
    if (known.high < least).any() or (known.low > most).any():
        raise ContradictionError("no unit gives these features")
    return np.where(known.low > least, known.low, -np.inf), np.where(known.high < most, known.high, np.inf)


@dataclass(frozen=True)
class _Block:
    """Consecutive coordinates."""

    start: int
    length: int

    @property
    def places(self) -> slice:
        return slice(self.start, self.start + self.length)


class _Building:
    """Coordinates with bounds, and rows, collected one after the other."""

    def __init__(self, low: FloatArray, high: FloatArray) -> None:
        self.low, self.high = low.copy(), high.copy()
        self.row: list[IntArray] = []
        self.column: list[IntArray] = []
        self.value: list[FloatArray] = []
        self.sides: list[tuple[FloatArray, FloatArray]] = []
        self.rows = 0

    def map(self, block: _Block, linear: Linear) -> _Block:
        """``v' = A v + b``."""
        out = self._block(*mapped(self._bounds(block), linear))
        row, column, value = entries(linear.matrix)
        ones = np.arange(out.length)
        self._rows(
            [(row, block.start + column, -value), (ones, out.start + ones, np.ones(out.length))],
            linear.bias,
            linear.bias,
        )
        return out

    def add(self, left: _Block, right: _Block) -> _Block:
        """``v' = v + w``."""
        (a, b), (c, d) = self._bounds(left), self._bounds(right)
        out = self._block(np.nextafter(a + c, -np.inf), np.nextafter(b + d, np.inf))
        ones, zeros = np.arange(out.length), np.zeros(out.length)
        sizes = ((left.start, -1.0), (right.start, -1.0), (out.start, 1.0))
        self._rows([(ones, start + ones, np.full(out.length, size)) for start, size in sizes], zeros, zeros)
        return out

    def activate(self, activation: Activation, block: _Block) -> _Block:
        """``v' = f(v)``: bounds, and chords where f is piecewise linear and increasing."""
        low, high = self._bounds(block)
        out = self._block(*activated(activation, low, high))
        known = pieces(activation)
        if known is None or activation.kind not in ("relu", "clip"):
            return out
        kinks, _ = known
        points = [low, *[np.clip(kink, low, high) for kink in kinks], high]
        images = [activated(activation, point, point)[0] for point in points]
        open_units = (
            (low < high) & np.isfinite(low) & np.isfinite(high) & (self.low[out.places] < self.high[out.places])
        )
        done: list[FloatArray] = [np.zeros(block.length)]  # the box says what slope 0 would say
        for first, last in combinations(range(len(points)), 2):
            with np.errstate(all="ignore"):
                slope = (images[last] - images[first]) / (points[last] - points[first])
            new = open_units & np.isfinite(slope) & np.all([slope != other for other in done], axis=0)
            done.append(np.where(new, slope, 0.0))
            units = np.flatnonzero(new)
            if len(units):
                self._chords(units, slope[units], block, out, [p[units] for p in points], [f[units] for f in images])
        return out

    def _chords(
        self,
        units: IntArray,
        slope: FloatArray,
        block: _Block,
        out: _Block,
        points: list[FloatArray],
        images: list[FloatArray],
    ) -> None:
        gaps = [_difference(f, slope, t) for f, t in zip(images, points, strict=True)]
        least, most = np.min([gap[0] for gap in gaps], axis=0), np.max([gap[1] for gap in gaps], axis=0)
        ones = np.arange(len(units))
        terms = [(ones, out.start + units, np.ones(len(units))), (ones, block.start + units, -slope)]
        self._rows(terms, least, most)

    def narrow(self, block: _Block, low: FloatArray, high: FloatArray) -> None:
        """What else is known of a block.

        Raises:
            ContradictionError: it contradicts what its bounds are.
        """
        below, above = self._bounds(block)
        if (low > above).any() or (high < below).any():
            raise ContradictionError("no input of the box has these features")
        self.low[block.places], self.high[block.places] = np.maximum(low, below), np.minimum(high, above)

    def built(self, inputs: int) -> Relaxed:
        count = len(self.low)
        row, column, value = np.concatenate(self.row), np.concatenate(self.column), np.concatenate(self.value)
        matrix: Matrix = gathered(row, column, value, (self.rows, count))
        low, high = (np.concatenate(sides) for sides in zip(*self.sides, strict=True))
        free = np.full(self.rows, np.inf)
        none = csr_array((0, count)), np.zeros(0)
        system = System(matrix, np.zeros(self.rows), -free, free, self.low, self.high, *none)
        return Relaxed(system, low, high, inputs)

    def _block(self, low: FloatArray, high: FloatArray) -> _Block:
        block = _Block(len(self.low), len(low))
        self.low, self.high = np.concatenate([self.low, low]), np.concatenate([self.high, high])
        return block

    def _bounds(self, block: _Block) -> tuple[FloatArray, FloatArray]:
        return self.low[block.places], self.high[block.places]

    def _rows(self, terms: list[tuple[IntArray, IntArray, FloatArray]], low: FloatArray, high: FloatArray) -> None:
        for row, column, value in terms:
            self.row.append(row + self.rows)
            self.column.append(column)
            self.value.append(value)
        self.sides.append((low, high))
        self.rows += len(low)


def _difference(f: FloatArray, s: FloatArray, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``f - s t``, rounded outwards; exact where s is 1 and f is t."""
    product = s * t
    with np.errstate(all="ignore"):
        below = np.nextafter(f - np.nextafter(product, np.inf), -np.inf)
        above = np.nextafter(f - np.nextafter(product, -np.inf), np.inf)
    exact = (s == 1) & (f == t)
    return np.where(exact, 0.0, below), np.where(exact, 0.0, above)


__all__ = ["ContradictionError", "Known", "Network", "Relaxed", "Step", "narrowed", "relaxed", "replayed"]
