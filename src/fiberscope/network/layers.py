"""Finding the layers activation(A x + b) in the graph of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import torch

from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.affine import AffineMap
from fiberscope.network.combination import Sum, as_convolution, as_rows, composed, is_exact
from fiberscope.network.layer import Layer
from fiberscope.network.monotone import Monotone
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import suited
from fiberscope.network.stage import INPUT, Stage
from fiberscope.network.structured import Rearrangement

MAX_PATHS = 1_000
"""Affine paths that are composed into one layer; ``y = x + x``, repeated forty times, has a million million."""


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """One layer and where it lies in the graph.

    Attributes:
        layer: the layer, its affine maps composed into one.
        name: the names of its affine maps.
        source: the number of the stage whose output it receives; -1 for the network's input.
        stage: the number of its activation.
        received: bounds of every number that it receives, as far as the activations before it tell: 0 and inf behind a
            ReLU, the bounds of a clip behind that; -inf and inf where they tell nothing.
        note: what a reader of verdicts about it must know; may be empty.
    """

    layer: Layer
    name: str
    source: int
    stage: int
    received: tuple[float, float]
    note: str


@dataclass(frozen=True)
class UnjudgedLayer:
    """An affine map with an activation behind it that no verdict is given about.

    Attributes:
        name: the names of its affine maps.
        activation: what is behind them.
        reason: why it is not judged.
    """

    name: str
    activation: str
    reason: str


class Graph:
    """The stages with their sources resolved, and questions about the paths between them.

    Args:
        stages: the stages in an order in which each comes after its sources.
        input_shape: the shape of the network's input.
    """

    def __init__(self, stages: Sequence[Stage], input_shape: tuple[int, ...]) -> None:
        self.stages = stages
        self.input_shape = input_shape
        self.sources = tuple(
            (number - 1,) if stage.sources is None else stage.sources for number, stage in enumerate(stages)
        )

    def shape(self, number: int) -> tuple[int, ...]:
        """The shape of what a stage, or -1 for the input, gives."""
        return self.input_shape if number == INPUT else self.stages[number].shape

    def is_affine(self, number: int) -> bool:
        """Whether this is an affine stage."""
        return number != INPUT and self.stages[number].activation is None

    def _behind(self, number: int, goes_on: Callable[[int], bool]) -> set[int]:
        """Every stage, or -1 for the input, that paths back from a stage meet; a path ends where it does not go on."""
        met: set[int] = set()
        waiting = list(self.sources[number])
        while waiting:
            stage = waiting.pop()
            if stage not in met:
                met.add(stage)
                if goes_on(stage):
                    waiting.extend(self.sources[stage])
        return met

    def ends(self, number: int) -> set[int]:
        """The activations, or the input, that a stage's sources are affine functions of."""
        return {stage for stage in self._behind(number, self.is_affine) if not self.is_affine(stage)}

    def affine_paths(self, number: int) -> int:
        """The number of paths through affine stages that lead to a stage: what is composed for it is as long."""
        counts: dict[int, int] = {}
        for before in range(number):
            paths = sum(counts.get(source, 1) for source in self.sources[before])
            counts[before] = paths if self.is_affine(before) else 1
        return sum(counts.get(source, 1) for source in self.sources[number])

    def affine_between(self, number: int, source: int) -> AffineMap | None:
        """What a stage receives, as an affine function of ``source``; None for the identity.

        All paths back from the stage must end there.
        """
        first, *others = [self._affine_of(before, source) for before in self.sources[number]]
        assert not others, "an activation has one source"
        return first

    def _affine_of(self, number: int, source: int) -> AffineMap | None:
        if number == source:
            return None
        parts: list[AffineMap] = []
        for before, affine in zip(self.sources[number], self.stages[number].maps, strict=True):
            earlier = self._affine_of(before, source)
            parts.append(affine if earlier is None else composed(earlier, affine))
        return parts[0] if len(parts) == 1 else Sum(tuple(parts))

    def affine_names(self, number: int) -> tuple[str, ...]:
        """The names of the affine stages through which a stage is fed, in order."""
        affine = sorted(stage for stage in self._behind(number, self.is_affine) if self.is_affine(stage))
        return tuple(self.stages[stage].name for stage in affine)

    def common_ancestor(self, numbers: set[int]) -> int:
        """The last activation, or the input, that every path from the input to each of these stages goes through."""
        before: dict[int, set[int]] = {INPUT: {INPUT}}
        for number in range(max(numbers) + 1):
            before[number] = _in_all([before[source] for source in self.sources[number]]) | {number}
        shared = _in_all([before[number] for number in numbers])
        return max(number for number in shared if not self.is_affine(number))

    def between(self, ancestor: int, number: int) -> tuple[int, ...]:
        """The stages on the paths from an ancestor to a stage, both left out, in order."""
        met = self._behind(number, lambda stage: stage > ancestor)
        return tuple(sorted(stage for stage in met if stage > ancestor))

    def bounds(self, number: int) -> tuple[float, float]:
        """Bounds of every number that a stage gives, as far as activations tell; -inf and inf where they do not."""
        known = {INPUT: (-inf, inf)}
        for stage in sorted(self._behind(number, self._hands_on) | {number}):
            if stage != INPUT:
                known[stage] = self._bounds_from(stage, known)
        return known[number]

    def _hands_on(self, number: int) -> bool:
        """Whether bounds of what a stage takes say anything about what it gives."""
        return number != INPUT and not isinstance(self.stages[number].activation, Pointwise)

    def _bounds_from(self, number: int, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
        activation = self.stages[number].activation
        if isinstance(activation, Pointwise):
            return activation.output_bounds
        before = [known[source] for source in self.sources[number]]
        return before[0] if isinstance(activation, Maximum) else _moved(self.stages[number].maps, before)


def _moved(maps: Sequence[AffineMap], before: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Bounds of ``sum_i A_i x_i + b_i`` where every A_i only moves numbers; where numbers are added, of their sign."""
    low = high = terms = torch.zeros(maps[0].outputs, dtype=torch.float64)
    for affine, (least, most) in zip(maps, before, strict=True):
        if not isinstance(affine, Rearrangement):
            return -inf, inf
        moves, constant = (affine.index >= 0).cpu(), affine.bias.cpu()
        low = low + torch.where(moves, least, 0.0) + constant
        high = high + torch.where(moves, most, 0.0) + constant
        terms = terms + moves.double() + (constant != 0).double()
    low = torch.where((terms > 1) & (low < 0), -inf, torch.where(terms > 1, 0.0, low))  # sums are rounded
    return float(low.min()), float(torch.where(terms > 1, inf, high).max())


def _in_all(sets: list[set[int]]) -> set[int]:
    return sets[0].intersection(*sets[1:])


def layers_of(graph: Graph) -> tuple[tuple[PlacedLayer, ...], tuple[UnjudgedLayer, ...]]:
    """Every pointwise activation behind an affine map, in order: those that can be judged, and those that cannot.

    An activation without an affine map before it (the first stage, or behind another activation) is no layer.
    """
    layers: list[PlacedLayer] = []
    others: list[UnjudgedLayer] = []
    for number, stage in enumerate(graph.stages):
        if not isinstance(stage.activation, Pointwise) or not graph.is_affine(graph.sources[number][0]):
            continue
        name = " + ".join(graph.affine_names(number))
        found = _layer(graph, number, name, stage.activation)
        if isinstance(found, str):
            others.append(UnjudgedLayer(name, stage.activation.kind, found))
        else:
            layers.append(found)
    return tuple(layers), tuple(others)


def unjudged_notes(others: Sequence[UnjudgedLayer], most: int | None = None) -> tuple[str, ...]:
    """What a reader must know of the layers that are not judged: how many, which, and why, reason by reason.

    Args:
        others: these layers.
        most: how many names to list for a reason; None for all.
    """
    notes: list[str] = []
    for reason in dict.fromkeys(layer.reason for layer in others):
        names = [repr(layer.name) for layer in others if layer.reason == reason]
        left = len(names[most:]) if most is not None else 0
        listed = ", ".join(names[:most]) + (f" and {left} more" if left else "")
        what = f"layer {listed} is" if len(names) == 1 else f"{len(names)} layers ({listed}) are"
        notes.append(f"{what} not judged: {reason}")
    return tuple(notes)


def _layer(graph: Graph, number: int, name: str, activation: Pointwise) -> PlacedLayer | str:
    """The layer, or why it is not judged."""
    ends = graph.ends(number)
    source = next(iter(ends)) if len(ends) == 1 else graph.common_ancestor(ends)
    injective = activation.injective()
    if injective is None:
        return (
            f"a {activation.kind} that falls for negative numbers and rises for positive ones gives one output to two "
            "inputs, so that what has the same output need not be one polyhedron"
        )
    if graph.affine_paths(number) > MAX_PATHS:
        return f"more than {MAX_PATHS} affine paths lead to it"
    mask = injective.cpu().numpy()
    mask.setflags(write=False)
    monotone = activation.monotone()
    if len(ends) > 1:
        return _region_layer(graph, number, source, name, mask, activation.cut, monotone)
    affine = graph.affine_between(number, source)
    assert affine is not None, "the stage before the activation is affine"

    def write_out() -> tuple[object, np.ndarray]:
        rows, bias = as_rows(affine)
        return suited(rows), bias

    shapes = graph.shape(source), graph.shape(number)
    low, high = activation.cut
    device = str(injective.device)
    layer = ReLULayer.of_map(
        write_out,  # type: ignore[arg-type]
        *shapes,
        mask,
        device,
        low=low,
        high=high,
        operator=as_convolution(affine),
        monotone=monotone,
    )
    note = "" if is_exact(affine) else _rounds(name)
    return PlacedLayer(layer, name, source, number, graph.bounds(source), note)


def _rounds(name: str) -> str:
    return (
        f"layer {name!r}: its affine maps are composed into one; the composition rounds to float64, and verdicts are "
        "about the rounded numbers"
    )


def _region_layer(
    graph: Graph,
    number: int,
    source: int,
    name: str,
    injective: np.ndarray,
    cut: tuple[float, float],
    monotone: Monotone | None,
) -> PlacedLayer | str:
    inner = graph.between(source, number)
    for activation in (graph.stages[i].activation for i in inner):
        if isinstance(activation, Pointwise) and activation.kinks() is None:
            return (
                "branches meet in it, and between them and their common ancestor there is "
                f"{activation.kind}, which is not linear around a sample"
            )
    layer = RegionLayer(
        graph.stages, graph.sources, inner, source, number, graph.shape(source), injective, *cut, monotone
    )
    note = (
        f"layer {name!r} is fed by several branches; it is judged as a map of {graph_name(graph, source)}, their "
        "nearest common ancestor, within the linear region of the sample: inputs outside that region may have the same "
        "output as well"
    )
    return PlacedLayer(layer, name, source, number, graph.bounds(source), note)


def graph_name(graph: Graph, number: int) -> str:
    """What a stage's output is called in messages."""
    return "the input" if number == INPUT else f"the output of {graph.stages[number].name!r}"


__all__ = ["Graph", "PlacedLayer", "UnjudgedLayer", "graph_name", "layers_of", "unjudged_notes"]
