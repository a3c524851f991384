"""The layers of a stored network: which there are, in which order, and which numbers a verdict about each is about.

A layer is a pointwise activation behind an affine stage, if it is a ReLU, a clip, or strictly monotone in each unit
(which units may mix with ReLUs). Where every way back through affine stages ends at one activation, or at the input,
it is the affine map of what that gives, written out. Where several meet it is one around each sample (``regions``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fiberscope.checker.affine import Matrix, added, as_matrix, changes_nothing, composed, suited
from fiberscope.checker.curves import CLIP, CURVES, Curves
from fiberscope.checker.matrices import entries, is_written
from fiberscope.checker.regions import Region
from fiberscope.checker.stored import INPUT, NOTHING, Activation, FloatArray, Map, Stage, read_stages
from fiberscope.checker.system import System
from fiberscope.errors import ModelError

MAX_PATHS = 1_000
"""Affine paths that are composed into one layer."""

REGION = "linear region"
"""What the names of domains say of layers in which branches meet."""

LINEAR_PIECES = ("relu", "leaky_relu", "clip", "maximum")


@dataclass(frozen=True, eq=False)
class LayerRows:
    """The numbers of a layer ``y_i = clip(a_i x + b_i, low_i, high_i)``.

    Attributes:
        weight: (m, n) the rows a_i, an array, compressed sparse rows, or blocks.
        bias: (m,) b.
        low: (m,) the smallest output; -inf of units that are strictly monotone.
        high: (m,) the largest; inf of those.
        curves: what units compute that are no clips; of rows that define coordinates nothing is known.
        definitions: how many rows at the beginning define coordinates and are no units.
    """

    weight: Matrix
    bias: FloatArray
    low: FloatArray
    high: FloatArray
    curves: Curves
    definitions: int = 0

    def on(self, low: FloatArray, high: FloatArray) -> System:
        """The layer on the box ``low <= x <= high``, (n,) each."""
        n = self.weight.shape[1]
        return System(self.weight, self.bias, self.low, self.high, low, high, np.zeros((0, n)), np.zeros(0))


@dataclass(frozen=True, eq=False)
class LocalRows:
    """What a layer in which branches meet is around a sample.

    Attributes:
        rows: its rows in the coordinates of ``regions``.
        x: the sample in these coordinates.
        low: lower bounds of the region, of all coordinates; -inf for the layer's own inputs.
        high: upper bounds.
        half_spaces: the rows G of ``G x <= 0``.
    """

    rows: LayerRows
    x: FloatArray
    low: FloatArray
    high: FloatArray
    half_spaces: Matrix

    def on(self, low: FloatArray, high: FloatArray) -> System:
        """The layer on the part of its region in the box ``low <= x <= high``, (n,) each."""
        n, zeros = len(low), np.zeros(self.half_spaces.shape[0])
        system = self.rows.on(np.append(low, self.low[n:]), np.append(high, self.high[n:]))
        return replace(system, G=self.half_spaces, h=zeros)


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """One judged layer.

    Attributes:
        stages: all stages of the network.
        number: that of its activation.
        source: the stage, or -1 for the input, whose output it is a function of.
        inputs: the number n of coordinates that the source gives.
        inner: the stages between the two where branches meet; empty where it is one affine map.
        low: (m,) as in ``LayerRows``.
        high: as there.
        curves: as there.
    """

    stages: tuple[Stage, ...]
    number: int
    source: int
    inputs: int
    inner: tuple[int, ...]
    low: FloatArray
    high: FloatArray
    curves: Curves

    def system_rows(self) -> LayerRows:
        """The rows of a layer that is one affine map; ModelError of another, or if a number leaves float64's range."""
        if self.inner:
            raise ModelError("the layer has rows around a sample alone: branches meet in it")
        with np.errstate(over="ignore", invalid="ignore"):
            matrix, bias = _affine(self.stages, self.stages[self.number].sources[0], self.source)
        return self.rows(suited(matrix), bias, 0)

    def at(self, x: FloatArray, *, by_products: bool = False) -> LocalRows:
        """The rows around x, (n,), of a layer in which branches meet; ModelError of another, or of another x.

        By products, convolutions stay factors of ``Blocks``, in coordinates that may be more; no other maps than
        convolutions, moves and factors of single numbers can stand there.
        """
        if not self.inner or x.shape != (self.inputs,) or not np.isfinite(x).all():
            raise ModelError(f"expected {self.inputs} finite numbers and a layer in which branches meet")
        region = Region(self.stages, self.source, x, by_products=by_products)
        for number in self.inner:
            region.add(number)
        last = self.stages[self.number].sources[0]
        matrix, bias = region.as_blocks(last) if by_products else region.as_matrix(last)
        low, high = region.bounds()
        point = np.concatenate(region.blocks)
        rows = self.rows(matrix, bias, matrix.shape[0] - len(bias))
        return LocalRows(rows, point, low, high, region.half_spaces())

    def domain(self, name: str) -> tuple[FloatArray, FloatArray]:
        """The bounds, (n,) each, of the domain that a result calls by this name; ModelError of another name.

        They are ``R^n``, ``x >= 0`` and ``box [low,high]``; where branches meet, verdicts are about a linear region,
        and the name says so.
        """
        box, *region = name.split(", ")
        low, high = {"R^n": (-np.inf, np.inf), "x >= 0": (0.0, np.inf)}.get(box, (np.nan, np.nan))
        if written := re.fullmatch(r"box \[([^,]+),([^,]+)\]", box):
            low, high = map(_number, written.groups())
        if not (low <= high and low < np.inf and high > -np.inf) or region != [REGION] * bool(self.inner):
            raise ModelError(f"no domain of this layer is called {name!r}")
        return np.full(self.inputs, low), np.full(self.inputs, high)

    def rows(self, matrix: Matrix, bias: FloatArray, definitions: int) -> LayerRows:
        """With rows in front that define coordinates: equations, as of strictly monotone units."""
        written = entries(matrix) if is_written(matrix) else np.zeros(0)  # of products the factors are as stored
        if not (np.isfinite(written).all() and np.isfinite(bias).all()):
            raise ModelError("composing the affine maps of the layer leaves the range of float64")
        before = np.zeros(definitions)
        low, high = np.concatenate([before - np.inf, self.low]), np.concatenate([before + np.inf, self.high])
        curves = self.curves.behind(definitions)
        return LayerRows(matrix, np.concatenate([before, bias]), low, high, curves, definitions)


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network as it is stored.

    Attributes:
        inputs: the number of input coordinates.
        stages: its stages, each after its sources.
        layers: the judged layers, in order: their positions are the numbers that results call them by.
    """

    inputs: int
    stages: tuple[Stage, ...]
    layers: tuple[StoredLayer, ...]

    def affine_rows(self, number: int) -> tuple[LayerRows, int]:
        """An affine stage as rows that nothing cuts off, and the stage, or -1, whose output they are applied to.

        Raises:
            ModelError: branches meet in it, or a number leaves float64's range.
        """
        ends = _ends(self.stages, number)
        if len(ends) > 1 or _paths(self.stages, number) > MAX_PATHS:
            raise ModelError("branches meet in that stage")
        (source,) = ends
        with np.errstate(over="ignore", invalid="ignore"):
            matrix, bias = _affine(self.stages, number, source)
        free = np.full(len(bias), np.inf)
        layer = StoredLayer(self.stages, number, source, matrix.shape[1], (), -free, free, Curves.unknown(free == 0))
        return layer.rows(suited(matrix), bias, 0), source


def read_network(source: bytes | str | os.PathLike[str]) -> StoredNetwork:
    """Read what ``Network.save`` wrote, given as bytes or by the name of a file.

    Raises:
        ModelError: the file is missing, damaged, or of another version.
    """
    inputs, stages = read_stages(source)
    found = [_layer(stages, number, inputs) for number in range(len(stages))]
    return StoredNetwork(inputs, stages, tuple(layer for layer in found if layer is not None))


def _number(text: str) -> float:
    """A bound; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _layer(stages: tuple[Stage, ...], number: int, inputs: int) -> StoredLayer | None:
    """The layer whose activation this stage is; None if it is none, or is not judged."""
    activation = stages[number].activation
    judged = None if activation is None else judged_units(activation)
    before = stages[number].sources[0]
    if judged is None or not _is_affine(stages, before) or _paths(stages, before) > MAX_PATHS:
        return None
    ends = _ends(stages, before)
    source, inner = next(iter(ends)), ()
    if len(ends) > 1:
        source = _common(stages, ends)
        met = _behind(stages, {before}, lambda _, stage: stage > source)
        inner = tuple(sorted(stage for stage in met if stage > source))
        activations = [stages[stage].activation for stage in inner]
        if any(a is not None and a.kind not in LINEAR_PIECES for a in activations):
            return None
    size = inputs if source == INPUT else stages[source].outputs
    return StoredLayer(stages, number, source, size, inner, *judged)


def judged_units(activation: Activation) -> tuple[FloatArray, FloatArray, Curves] | None:
    """(m,) the smallest and largest output of units that are cut off, and what others compute.

    None where one output belongs to numbers that are no interval: a slope below zero.
    """
    if activation.kind == "maximum":
        return None
    m, low, high = activation.outputs, 0.0, np.inf
    alpha, beta = (np.full(m, part) for part in (activation.alpha, activation.beta))
    monotone = np.full(m, activation.kind in CURVES)
    match activation.kind:
        case "clip":
            low, high = activation.alpha, activation.beta
        case "leaky_relu" | "elu":
            alpha = alpha if activation.slope is None else activation.slope
            if (alpha < 0).any():
                return None
            monotone = alpha > 0
        case _:
            pass
    alpha, beta = (np.where(monotone, part, 1.0) for part in (alpha, beta))
    curves = Curves(np.where(monotone, CURVES.get(activation.kind, CLIP), CLIP), alpha, beta)
    return np.where(monotone, -np.inf, low), np.where(monotone, np.inf, high), curves


def _ends(stages: tuple[Stage, ...], number: int) -> set[int]:
    """The activations, or the input, at which the ways back from an affine stage end."""
    return {stage for stage in _behind(stages, {number}, _is_affine) if not _is_affine(stages, stage)}


def _is_affine(stages: tuple[Stage, ...], number: int) -> bool:
    return number != INPUT and stages[number].activation is None


def _behind(
    stages: tuple[Stage, ...], numbers: set[int], goes_on: Callable[[tuple[Stage, ...], int], bool]
) -> set[int]:
    """These stages and all that ways back from them meet, -1 for the input; a way ends where it does not go on."""
    met: set[int] = set()
    waiting = list(numbers)
    while waiting:
        number = waiting.pop()
        if number not in met:
            met.add(number)
            waiting.extend(stages[number].sources if number != INPUT and goes_on(stages, number) else ())
    return met


def _paths(stages: tuple[Stage, ...], number: int) -> int:
    """The number of ways back from a stage through affine stages."""
    counts: dict[int, int] = {INPUT: 1}
    for each, stage in enumerate(stages[: number + 1]):
        counts[each] = sum(counts[source] for source in stage.sources) if _is_affine(stages, each) else 1
    return counts[number]


def _common(stages: tuple[Stage, ...], ends: set[int]) -> int:
    """The last activation, or the input, that every way from the input to each of these passes."""
    met = sorted(_behind(stages, ends, lambda _, number: number != INPUT), reverse=True)
    for candidate in (number for number in met if number != INPUT and not _is_affine(stages, number)):
        behind = _behind(stages, ends - {candidate}, lambda _, number, stop=candidate: number != stop)
        if INPUT not in behind:
            return candidate
    return INPUT


def _affine(stages: tuple[Stage, ...], number: int, source: int) -> tuple[Matrix, FloatArray]:
    """A stage as an affine map of ``source``, where every way back from it ends."""
    (first, *others) = [
        composed([as_matrix(factor) for factor in factors]) for factors in _branches(stages, number, source)
    ]
    matrix, bias = first
    for more, constant in others:
        matrix, bias = added(matrix, more), bias + constant
    return matrix, bias


def _branches(stages: tuple[Stage, ...], number: int, source: int) -> list[list[Map]]:
    """What an affine stage adds up: of each of its maps, the maps that are applied one after the other."""
    found: list[list[Map]] = []
    for affine, before in zip(stages[number].maps, stages[number].sources, strict=True):
        if before == source:
            found.append([affine])
            continue
        branches = _branches(stages, before, source)
        earlier = branches[0] if len(branches) == 1 else [_joined(branches)]
        earlier = earlier if len(earlier) > 1 else _factors(earlier[0])
        found.append(_merged([*earlier, *_factors(affine)]))
    return found


def _joined(branches: list[list[Map]]) -> Map:
    """Branches that are added up, as one map."""
    parts = [
        factors[0] if len(factors) == 1
        else Map("composition", factors[0].inputs, factors[-1].outputs, parts=tuple(factors))
        for factors in branches
    ]  # fmt: skip
    return Map("sum", parts[0].inputs, parts[0].outputs, parts=tuple(parts))


def _factors(affine: Map) -> list[Map]:
    return list(affine.parts) if affine.kind == "composition" else [affine]


def _merged(factors: list[Map]) -> list[Map]:
    """Moves of numbers that follow each other are one move: their constants are added up first.

    A move that changes nothing stands for no map; it would change no number, but part two others.
    """
    kept: list[Map] = []
    for factor in factors:
        if changes_nothing(factor):
            continue
        if kept and factor.kind == kept[-1].kind == "rearrangement":
            first, index = kept[-1], factor.arrays["index"]
            through, inside = first.arrays["index"][index], index != NOTHING
            bias = np.where(inside, first.bias[index], 0.0) + factor.bias
            arrays = {**factor.arrays, "index": np.where(inside, through, NOTHING)}
            kept[-1] = replace(factor, inputs=first.inputs, bias=bias, arrays=arrays)
        else:
            kept.append(factor)
    return kept or factors[:1]


__all__ = ["LayerRows", "LocalRows", "StoredLayer", "StoredNetwork", "judged_units", "read_network"]
