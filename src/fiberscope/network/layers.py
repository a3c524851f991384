"""Finding the layers activation(A x + b) in the graph of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import AffineMap
from fiberscope.network.combination import Sum, composed, is_exact, written_out
from fiberscope.network.layer import Layer
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
        nonnegative: whether what it receives is never negative.
        note: what a reader of verdicts about it must know; may be empty.
    """

    layer: Layer
    name: str
    source: int
    stage: int
    nonnegative: bool
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

    def is_nonnegative(self, number: int) -> bool:
        """Whether what a stage gives is never negative, as far as its activations tell."""
        if number == INPUT:
            return False
        activation = self.stages[number].activation
        if isinstance(activation, Pointwise):
            return activation.is_nonnegative
        if isinstance(activation, Maximum):
            return self._moves_nonnegative(self.sources[number][0])
        return False

    def _moves_nonnegative(self, number: int) -> bool:
        """Whether an activation's source gives nothing negative: it is such an activation, or only moves its values."""
        if not self.is_affine(number):
            return self.is_nonnegative(number)
        moves = all(isinstance(a, Rearrangement) and not bool((a.bias < 0).any()) for a in self.stages[number].maps)
        return moves and all(self._moves_nonnegative(source) for source in self.sources[number])


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
        return _why_not_judged(activation)
    if graph.affine_paths(number) > MAX_PATHS:
        return f"more than {MAX_PATHS} affine paths lead to it"
    mask = injective.cpu().numpy()
    mask.setflags(write=False)
    if len(ends) > 1:
        return _region_layer(graph, number, source, name, mask)
    affine = graph.affine_between(number, source)
    assert affine is not None, "the stage before the activation is affine"

    def write_out() -> tuple[object, np.ndarray]:
        rows, bias = written_out(affine)
        return suited(rows), bias

    shapes = graph.shape(source), graph.shape(number)
    layer = ReLULayer.of_map(write_out, *shapes, mask, str(injective.device))  # type: ignore[arg-type]
    note = "" if is_exact(affine) else _rounds(name)
    return PlacedLayer(layer, name, source, number, graph.is_nonnegative(source), note)


def _why_not_judged(activation: Pointwise) -> str:
    if activation.function is PointwiseKind.CLIP:
        return (
            "clips such as ReLU6 are not decided yet; what has the same output behind one is a polyhedron, "
            "with z <= low, z = v or z >= high for each unit"
        )
    return (
        f"a {activation.kind} that falls for negative numbers and rises for positive ones gives one output to two "
        "inputs, so that what has the same output need not be one polyhedron"
    )


def _rounds(name: str) -> str:
    return (
        f"layer {name!r}: its affine maps are composed into one; the composition rounds to float64, and verdicts are "
        "about the rounded numbers"
    )


def _region_layer(graph: Graph, number: int, source: int, name: str, injective: np.ndarray) -> PlacedLayer | str:
    inner = graph.between(source, number)
    activations = [graph.stages[i].activation for i in inner]
    for activation in activations:
        if isinstance(activation, Pointwise) and activation.negative_slopes() is None:
            smooth = activation.kinks() is None
            why = "which is not linear around a sample" if smooth else "whose linear pieces are not followed yet"
            return f"branches meet in it, and between them and their common ancestor there is {activation.kind}, {why}"
    layer = RegionLayer(graph.stages, graph.sources, inner, source, number, graph.shape(source), injective)
    note = (
        f"layer {name!r} is fed by several branches; it is judged as a map of {graph_name(graph, source)}, their "
        "nearest common ancestor, within the linear region of the sample: inputs outside that region may have the same "
        "output as well"
    )
    return PlacedLayer(layer, name, source, number, graph.is_nonnegative(source), note)


def graph_name(graph: Graph, number: int) -> str:
    """What a stage's output is called in messages."""
    return "the input" if number == INPUT else f"the output of {graph.stages[number].name!r}"


__all__ = ["Graph", "PlacedLayer", "UnjudgedLayer", "graph_name", "layers_of", "unjudged_notes"]
