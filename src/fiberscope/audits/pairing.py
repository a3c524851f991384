"""What two audits have in common: samples, layers on domains, and stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.measurements import places, reach_label, require_complete
from fiberscope.audits.plan import known_share
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.thresholds import Place
from fiberscope.errors import ResultsError
from fiberscope.labels import label, listed


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two audits.

    Attributes:
        results: the folder.
        manifest: what was audited.
        subject: the network and data.
        findings: all findings.
    """

    results: Results
    manifest: Manifest
    subject: Subject
    findings: FindingsTable

    @property
    def places(self) -> list[Place]:
        """Every place where the audit measured something."""
        return places(self.manifest.plan, self.subject.network)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two audits of the same data, and what can be compared.

    Layers and stages correspond by position.

    Attributes:
        before: the first audit.
        after: the second.
        samples: the number of samples that both have, the first ones of each.
        groups: the layers and domains that both judged, as the second has them.
        stages: the stages of the same kind of which both have singular values.
        surveys: the layers, and what features may differ by, of which both asked how far invariance reaches.
        left_out: what only one of them has, in words.
    """

    before: Side
    after: Side
    samples: int
    groups: tuple[Place, ...]
    stages: tuple[Place, ...]
    surveys: tuple[Place, ...]
    left_out: tuple[str, ...]


def pair(before: Results, after: Results) -> Pair:
    """Find what two finished audits have in common.

    Raises:
        ResultsError: an audit is not finished or damaged, they are of different data, or have no layer in common.
    """
    first, second = _side(before), _side(after)
    samples = _common_samples(first, second)
    theirs = {_key(place) for place in first.places}
    common = [place for place in second.places if _key(place) in theirs]
    groups = [place for place in common if place.stage is None and place.at == "domain"]
    if not groups:
        message = f"nothing to compare: layers {_layers(first)} were audited in {before.folder}, "
        message += f"{_layers(second)} in {after.folder}; audit at least one layer in both"
        raise ResultsError(message, path=str(after.folder))
    stages = [place for place in common if place.stage is not None and _same_kind(first, second, place.stage)]
    same_box = first.manifest.domain == second.manifest.domain
    surveys = [place for place in common if place.at == "survey" and same_box]
    left_out = _left_out(first, second, [*stages, *surveys])
    return Pair(first, second, samples, tuple(groups), tuple(stages), tuple(surveys), tuple(left_out))


def _side(results: Results) -> Side:
    manifest = results.manifest()
    require_complete(results)
    return Side(results, manifest, results.subject(), results.findings(manifest))


def _common_samples(first: Side, second: Side) -> int:
    """The number of samples that both audits have, one by one the same numbers.

    Raises:
        ResultsError: they differ.
    """
    x, other = (side.subject.x.reshape(side.subject.samples, -1) for side in (first, second))
    folders = f"{first.results.folder} and {second.results.folder} are audits of different data"
    path = str(second.results.folder)
    if x.shape[1] != other.shape[1]:
        sizes = f"{x.shape[1]} numbers a sample in {first.manifest.data}, {other.shape[1]} in {second.manifest.data}"
        raise ResultsError(f"{folders}: {sizes}; audit both models on the same samples", path=path)
    samples = min(len(x), len(other))
    differs = (x[:samples] != other[:samples]).any(axis=1)
    if differs.any():
        sample = int(np.argmax(differs))
        words = f"{int(differs.sum())} of the first {samples} samples differ, the first is sample {sample}"
        names = f"{first.manifest.data} and {second.manifest.data}"
        raise ResultsError(f"{folders}, {names}: {words}; audit both models on the same samples", path=path)
    return samples


def _key(place: Place) -> tuple[int | None, str, str, str]:
    """What places of two audits correspond by: a layer, its domain and precision, or a stage."""
    if place.stage is not None:
        return place.stage, "", "stage", ""
    return place.layer, place.domain_name, place.at, place.precision


def _same_kind(first: Side, second: Side, stage: int) -> bool:
    """Whether the same kind of stage, affine or an activation, is in this position of both networks."""
    before, after = (side.subject.network.stages[stage] for side in (first, second))
    return before.kind == after.kind


def _layers(side: Side) -> str:
    return ", ".join(map(str, side.manifest.layers))


def _left_out(first: Side, second: Side, asked: list[Place]) -> list[str]:
    """What only one of the audits has, in words; of what is asked for, what is compared is known."""
    compared = {_key(place) for place in asked}
    lines: list[str] = []
    for side, other in ((first, second), (second, first)):
        theirs = {_key(place) for place in other.places if place.stage is None and place.at != "survey"} | compared
        told = [place for place in side.places if not (place.at == "survey" and known_share(place.precision))]
        only = [place.label for place in told if _key(place) not in theirs]
        if only:
            lines.append(f"only in {side.results.folder}: {listed(only)}")
    if first.subject.samples != second.subject.samples:
        counts = f"{first.subject.samples} samples in {first.results.folder}, {second.subject.samples} in "
        lines.append(f"{counts}{second.results.folder}: only the first ones, which both have, are compared")
    return lines


def place_names(pair: Pair, place: Place) -> str:
    """The place by position and name; by both names where the networks differ."""
    if place.stage is not None:
        names = [side.subject.network.stages[place.stage].name for side in (pair.before, pair.after)]
        return f"stage {_named(place.stage, names)}"
    assert place.layer is not None
    if place.at == "survey":
        return reach_label(layer_names(pair, place.layer), place.precision)
    return f"layer {layer_names(pair, place.layer)}, {place.domain_name}"


def layer_names(pair: Pair, layer: int) -> str:
    """A layer by position and name; by both names where the networks differ."""
    return _named(layer, [side.manifest.network_layers[layer].name for side in (pair.before, pair.after)])


def _named(position: int, names: list[str]) -> str:
    before, after = names
    return label(position, after) if before == after else f"{label(position, before)} (now {after})"


__all__ = ["Pair", "Side", "layer_names", "pair", "place_names"]
