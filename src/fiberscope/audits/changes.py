"""What changed from one audit to another: sample by sample, layer by layer, stage by stage.

A sample became more invertible in a layer if its preimage leaves less open: a singleton less than a bounded one, a
bounded one less than an unbounded one; and of two of the same kind, the one of smaller dimension, where the layer has
as many inputs as before. Whether more samples went one way than the other by more than chance is said by the exact
sign test, two-sided, which takes the samples for independent draws; where only two kinds occur and dimensions are not
compared, it is McNemar's exact test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.measurements import condition_numbers, nonzero_values, reach_by_pair
from fiberscope.audits.network_table import read_network
from fiberscope.audits.pairing import Pair, Side, layer_names, place_names
from fiberscope.audits.quantities import Quantity
from fiberscope.audits.shards import texts
from fiberscope.audits.thresholds import Measured, Place
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.kind import Kind
from fiberscope.recovery.verdict import Verdict

stats: Any = scipy.stats  # has few types

_OPENNESS = {Kind.SINGLETON: 0, Kind.BOUNDED: 1, Kind.UNBOUNDED: 2}
"""The kinds in the order of what they leave open; the others cannot be compared."""


@dataclass(frozen=True)
class Signs:
    """How many of some matched numbers fell and rose.

    Attributes:
        fell: the number that are smaller in the second audit.
        rose: the number that are larger.
        p: the exact sign test's probability of a split at least as uneven by chance, two-sided; None of no change.
    """

    fell: int
    rose: int
    p: float | None


@dataclass(frozen=True, eq=False)
class LayerChange:
    """What changed in one layer on one domain.

    Attributes:
        place: the layer and domain, as the second audit has them.
        label: the same in words, with both names of the layer where they differ.
        sizes: inputs and outputs of the layer, before and after.
        transitions: the number of samples by kind before and kind after.
        changed: the samples whose kind changed.
        more: (k,) the samples that became more invertible.
        less: (k,) those that became less invertible.
        decided: (k,) those that both audits decided; the others cannot be compared.
        openness: how many became more (fell) and less (rose) invertible.
        by_kind: how many of both did by their kind, and not by the dimension alone.
        dimension: the median dimensions before and after, at the samples where both are known; None if none is, or if
            the layer has not as many inputs as before.
        saturated: the median numbers of saturated outputs before and after; None if neither audit has any.
        margin_ratio: the median of the margin after over that before, at the samples of the same kind; None if none is.
    """

    place: Place
    label: str
    sizes: tuple[tuple[int, int], tuple[int, int]]
    transitions: dict[tuple[Kind, Kind], int]
    changed: tuple[int, ...]
    more: BoolArray
    less: BoolArray
    decided: BoolArray
    openness: Signs
    by_kind: tuple[int, int]
    dimension: tuple[float, float] | None
    saturated: tuple[float, float] | None
    margin_ratio: float | None

    @property
    def samples(self) -> int:
        """The number of samples k that are compared."""
        return len(self.more)

    @property
    def undecided(self) -> int:
        """The number of samples that one of the audits did not decide."""
        return int((~self.decided).sum())

    @property
    def same_inputs(self) -> bool:
        """Whether the layer has as many inputs as before, so that dimensions can be compared."""
        return self.sizes[0][0] == self.sizes[1][0]


@dataclass(frozen=True, eq=False)
class StageChange:
    """How the condition number up to one stage changed, and how many directions it is about.

    A condition number leaves out the singular values that are not told from zero, so that it may fall only because
    directions are lost.

    Attributes:
        place: the stage, as the second audit has it.
        label: the same in words, with both names where they differ.
        ratios: (k,) the condition number after over that before, at the samples where both are known; at least 1 where
            fewer values are told from zero than before.
        unknown: the number of samples at which one of them is not known.
        medians: the median condition numbers before and after, at the same samples; None if there are none.
        signs: how many fell and rose, without those where the number of nonzero values went the same way.
        nonzero: the median numbers of nonzero singular values before and after, where both are known; None if none is.
        nonzero_signs: at how many samples that number fell and rose.
    """

    place: Place
    label: str
    ratios: FloatArray
    unknown: int
    medians: tuple[float, float] | None
    signs: Signs
    nonzero: tuple[float, float] | None
    nonzero_signs: Signs


@dataclass(frozen=True, eq=False)
class NetworkChange:
    """What changed in the verdicts about the map from the input to one layer.

    Attributes:
        layer: the position of the layer.
        label: the map in words, with both names of the layer where they differ.
        transitions: the number of samples by verdict before and verdict after.
        changed: the samples whose verdict changed.
    """

    layer: int
    label: str
    transitions: dict[tuple[Verdict, Verdict], int]
    changed: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ReachChange:
    """How much farther, or less far, inputs with the same features reach in the network up to one layer.

    Attributes:
        place: the layer, and what features may differ by.
        label: the same in words, with both names of the layer where they differ.
        before: (k,) the share of the way to the target that is gone in the first audit, a pair of samples after the
            other.
        after: (k,) that in the second.
        unknown: the number of samples from which it is not known in one of the audits.
    """

    place: Place
    label: str
    before: FloatArray
    after: FloatArray
    unknown: int

    @property
    def differences(self) -> FloatArray:
        """(k,) after minus before; 0 where both are infinite."""
        with np.errstate(invalid="ignore"):
            return np.where(self.before == self.after, 0.0, self.after - self.before)


@dataclass(frozen=True, eq=False)
class Changes:
    """What changed from one audit to another: layer by layer, stage by stage, and in the network up to each layer."""

    pair: Pair
    layers: tuple[LayerChange, ...]
    stages: tuple[StageChange, ...]
    network: tuple[NetworkChange, ...] = ()
    reach: tuple[ReachChange, ...] = ()

    def measured(self) -> Iterator[Measured]:
        """What thresholds are held against."""
        for layer in self.layers:
            for quantity, of in ((Quantity.MORE_INVERTIBLE, layer.more), (Quantity.LESS_INVERTIBLE, layer.less)):
                yield Measured(quantity, layer.place, of[layer.decided].astype(np.float64), layer.undecided)
        for stage in self.stages:
            yield Measured(Quantity.CONDITION_RATIO, stage.place, stage.ratios, stage.unknown)
        for reach in self.reach:
            yield Measured(Quantity.REACH_CHANGE, reach.place, reach.differences, reach.unknown)


def compare(pair: Pair) -> Changes:
    """Compare two audits at the samples, layers, domains and stages that both have."""
    layers = tuple(_layer_change(pair, place) for place in pair.groups)
    tables = [side.results.spectra_table(side.manifest) for side in (pair.before, pair.after)] if pair.stages else []
    stages = tuple(_stage_change(pair, place, tables) for place in pair.stages)
    return Changes(pair, layers, stages, _network_changes(pair), _reach_changes(pair))


def signs(before: FloatArray | IntArray, after: FloatArray | IntArray) -> Signs:
    """How many of matched numbers (k,) fell and rose, and the exact sign test."""
    fell, rose = int((after < before).sum()), int((after > before).sum())
    return Signs(fell, rose, float(stats.binomtest(fell, fell + rose).pvalue) if fell + rose else None)


def _layer_change(pair: Pair, place: Place) -> LayerChange:
    assert place.layer is not None
    before, after = (_group(side, place, pair.samples) for side in (pair.before, pair.after))
    layers = [side.manifest.network_layers[place.layer] for side in (pair.before, pair.after)]
    sizes = ((layers[0].inputs, layers[0].outputs), (layers[1].inputs, layers[1].outputs))
    return change(before, after, place, place_names(pair, place), sizes)


def _group(side: Side, place: Place, samples: int) -> FindingsTable:
    assert place.layer is not None
    group = side.findings.at(place.layer, place.domain_name, place.precision)
    return group.where(group.sample < samples)


def change(
    before: FindingsTable,
    after: FindingsTable,
    place: Place,
    label: str,
    sizes: tuple[tuple[int, int], tuple[int, int]],
) -> LayerChange:
    """Compare the findings of two audits about the same samples in one layer on one domain."""
    assert (before.sample == after.sample).all(), "findings are stored by sample"
    ranks = [np.array([_OPENNESS.get(kind, -1) for kind in each.kind]) for each in (before, after)]
    both = (ranks[0] >= 0) & (ranks[1] >= 0)
    comparable = both & (sizes[0][0] == sizes[1][0])
    step = np.where(both, np.sign(ranks[1] - ranks[0]), 0)
    measured = comparable & before.has_dimension & after.has_dimension
    finer = np.where(measured & (step == 0), np.sign(after.dimension - before.dimension), 0)
    direction = step + finer
    saturates = bool(before.saturated.any() or after.saturated.any())
    steps = sorted(Counter(zip(before.kind, after.kind, strict=True)).items())
    return LayerChange(
        place=place,
        label=label,
        sizes=sizes,
        transitions={(Kind(first), Kind(second)): count for (first, second), count in steps},
        changed=tuple(before.sample[before.kind != after.kind].tolist()),
        more=direction < 0,
        less=direction > 0,
        decided=both,
        openness=signs(np.zeros_like(direction), direction),
        by_kind=(int((step < 0).sum()), int((step > 0).sum())),
        dimension=_medians(before.dimension[measured], after.dimension[measured]),
        saturated=_medians(before.saturated, after.saturated) if saturates else None,
        margin_ratio=_margin_ratio(before, after, both),
    )


def _medians(before: Any, after: Any) -> tuple[float, float] | None:
    return (float(np.median(before)), float(np.median(after))) if len(before) else None


def _margin_ratio(before: FindingsTable, after: FindingsTable, both: BoolArray) -> float | None:
    """Margins of different kinds measure different things, so only those of the same kind are compared."""
    same = both & (before.kind == after.kind) & (before.margin > 0) & (after.margin > 0)
    same &= np.isfinite(before.margin) & np.isfinite(after.margin)
    return float(np.median(after.margin[same] / before.margin[same])) if same.any() else None


def _stage_change(pair: Pair, place: Place, tables: list[Any]) -> StageChange:
    assert place.stage is not None
    nonzero = [nonzero_values(table, place.stage) for table in tables]
    numbers = [condition_numbers(table, place.stage) for table in tables]
    asked = sorted(sample for sample in nonzero[0].keys() & nonzero[1].keys() if sample < pair.samples)
    computed = [sample for sample in asked if None not in (nonzero[0][sample], nonzero[1][sample])]
    known = [sample for sample in computed if sample in numbers[0] and sample in numbers[1]]
    rank = [_numbers(each, computed) for each in nonzero]
    before, after = (_numbers(each, known) for each in numbers)
    lost = np.sign(_numbers(nonzero[1], known) - _numbers(nonzero[0], known))
    direction = np.sign(after - before)
    direction[direction == lost] = 0  # it is about other directions, which explains the change
    return StageChange(
        place=place,
        label=place_names(pair, place),
        ratios=np.where(lost < 0, np.maximum(after / before, 1.0), after / before),
        unknown=len(asked) - len(known),
        medians=_medians(before, after),
        signs=signs(np.zeros_like(direction), direction),
        nonzero=_medians(rank[0], rank[1]),
        nonzero_signs=signs(rank[0], rank[1]),
    )


def _numbers(by_sample: Mapping[int, Any], samples: list[int]) -> FloatArray:
    return np.array([by_sample[sample] for sample in samples], dtype=np.float64)


# ---- of the network up to a layer


def _reach_changes(pair: Pair) -> tuple[ReachChange, ...]:
    """Of all pairs of a sample and a target that both audits have."""
    if not pair.surveys:
        return ()
    sides = (pair.before, pair.after)
    reached = [reach_by_pair(side.results.survey_table(side.manifest), side.manifest.plan.precision) for side in sides]
    asked = min(pair.samples, *(side.manifest.plan.invariance for side in sides))

    def change_at(place: Place) -> ReachChange:
        assert place.layer is not None
        before, after = (each.get((place.layer, place.precision), {}) for each in reached)
        common = [each for each in before if each in after and not np.isnan([before[each], after[each]]).any()]
        numbers = [np.array([each[key] for key in common], dtype=np.float64) for each in (before, after)]
        unknown = asked - len({sample for sample, _ in common})
        return ReachChange(place, place_names(pair, place), numbers[0], numbers[1], unknown)

    return tuple(map(change_at, pair.surveys))


def _network_changes(pair: Pair) -> tuple[NetworkChange, ...]:
    """Of every layer that both audits judged; nothing where inputs lie in other bounds, or there are no verdicts."""
    if pair.before.manifest.domain != pair.after.manifest.domain:
        return ()
    before, after = _by_layer(pair.before), _by_layer(pair.after)
    common = sorted(before.keys() & after.keys())
    return tuple(_network_change(pair, k, before[k][: pair.samples], after[k][: pair.samples]) for k in common)


def _by_layer(side: Side) -> dict[int, NDArray[np.object_]]:
    """The verdicts of each layer, sample by sample."""
    table = read_network(side.results, side.manifest)
    layers, verdicts = table["layer"].to_numpy(), texts(table["verdict"])
    return {layer: verdicts[layers == layer] for layer in np.unique(layers).tolist()}


def _network_change(pair: Pair, layer: int, before: NDArray[np.object_], after: NDArray[np.object_]) -> NetworkChange:
    steps = sorted(Counter(zip(before, after, strict=True)).items())
    transitions = {(Verdict(first), Verdict(second)): count for (first, second), count in steps}
    label = f"network up to layer {layer_names(pair, layer)}"
    return NetworkChange(layer, label, transitions, tuple(np.flatnonzero(before != after).tolist()))


__all__ = [
    "Changes",
    "LayerChange",
    "NetworkChange",
    "ReachChange",
    "Signs",
    "StageChange",
    "change",
    "compare",
    "signs",
]
