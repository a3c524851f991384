"""What changed from one audit to others, as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from fiberscope.audits.changes import Changes, LayerChange, StageChange
from fiberscope.audits.manifest import Manifest
from fiberscope.preimages.kind import Kind
from fiberscope.report.changes import closing_lines, layer_sentences, network_sentence, reach_sentences
from fiberscope.report.counting import number
from fiberscope.report.summary import SHOWN_KINDS
from fiberscope.showing.colours import KINDS, SERIES

WIDTH, HEIGHT = 640.0, 260.0
"""Of the ground of a figure, in its own units."""

_LEFT, _TOP = 70.0, 20.0
"""Room for numbers, and above."""

_MOST_POWERS = 6
"""Powers of ten beside an axis, at most."""


@dataclass(frozen=True)
class Bar:
    """The kinds of one audit in one layer: a row with a stacked bar.

    Attributes:
        audit: which audit.
        counts: the number of samples by kind, those that occur.
        dimension: the median dimension, in words.
        words: how many became more and less invertible; empty for the first audit.
    """

    audit: str
    counts: dict[Kind, int]
    dimension: str
    words: str


@dataclass(frozen=True)
class Curve:
    """The medians of one audit over the stages.

    Attributes:
        audit: which audit.
        colour: of the line.
        points: (x, y) in the units of the figure.
        values: what they stand for, in words.
    """

    audit: str
    colour: str
    points: tuple[tuple[float, float], ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """Condition numbers over the stages, on a logarithmic axis.

    Attributes:
        curves: a curve for each audit.
        stages: (x, name) of every stage.
        powers: (y, exponent) of the powers of ten beside the axis.
    """

    curves: tuple[Curve, ...]
    stages: tuple[tuple[float, str], ...]
    powers: tuple[tuple[float, int], ...]


def audit_names(manifests: Sequence[Manifest]) -> list[str]:
    """What audits are called: by their models where these differ, and by their number."""
    return [f"{number}: {manifest.model}" for number, manifest in enumerate(manifests, start=1)]


def _manifests(changes: Sequence[Changes]) -> list[Manifest]:
    return [changes[0].pair.before.manifest, *(each.pair.after.manifest for each in changes)]


def _bars(layers: Sequence[LayerChange | None], names: Sequence[str]) -> list[Bar]:
    """A row for the first audit, and one for each other that has the layer."""
    first = next(layer for layer in layers if layer is not None)
    rows = [Bar(names[0], _counts(first, 0), _dimension(first, 0), "")]
    for name, layer in zip(names[1:], layers, strict=True):
        if layer is not None:
            words = f"{layer.openness.fell} more invertible, {layer.openness.rose} less"
            rows.append(Bar(name, _counts(layer, 1), _dimension(layer, 1), words))
    return rows


def _counts(layer: LayerChange, side: int) -> dict[Kind, int]:
    counts = {kind: sum(n for step, n in layer.transitions.items() if step[side] is kind) for kind in SHOWN_KINDS}
    return {kind: count for kind, count in counts.items() if count}


def _dimension(layer: LayerChange, side: int) -> str:
    return "-" if layer.dimension is None else f"{layer.dimension[side]:g}"


def condition_figure(changes: Sequence[Changes], names: Sequence[str]) -> Figure | None:
    """The median condition numbers of every audit over the stages that all have; None where there are none."""
    columns = [_medians(each.stages) for each in changes]
    shared = [place for place in columns[0] if all(place in column for column in columns)]
    if not shared:
        return None
    series = [
        [columns[0][place][0] for place in shared],
        *([column[place][1] for place in shared] for column in columns),
    ]
    known = [log10(value) for values in series for value in values]
    low, high = floor(min(known)), max(ceil(max(known)), floor(min(known)) + 1)
    step = WIDTH / len(shared)
    labels = {stage.place.stage: stage.label.removeprefix("stage ") for stage in changes[-1].stages}
    heights = [[_TOP + HEIGHT * (high - log10(value)) / (high - low) for value in values] for values in series]
    across = [_LEFT + (i + 0.5) * step for i in range(len(shared))]
    curves = [
        Curve(name, SERIES[i % len(SERIES)], tuple(zip(across, heights[i], strict=True)), tuple(map(number, series[i])))
        for i, name in enumerate(names)
    ]
    every = max(1, ceil((high - low) / _MOST_POWERS))
    powers = tuple((_TOP + HEIGHT * (high - power) / (high - low), power) for power in range(low, high + 1, every))
    return Figure(tuple(curves), tuple(zip(across, (labels[place] for place in shared), strict=True)), powers)


def _medians(stages: Sequence[StageChange]) -> dict[int | None, tuple[float, float]]:
    """The medians before and after of the stages where both are numbers to be drawn."""
    known = {stage.place.stage: stage.medians for stage in stages if stage.medians is not None}
    return {place: medians for place, medians in known.items() if all(isfinite(m) and m > 0 for m in medians)}


def render_comparison(changes: Sequence[Changes]) -> str:
    """The page. Every text from outside is escaped by the template.

    Args:
        changes: from the first audit to each of the others, at least one.
    """
    from fiberscope.showing.templates import environment

    manifests = _manifests(changes)
    names = audit_names(manifests)
    places = {(layer.place.layer, layer.place.domain_name): layer.label for each in changes for layer in each.layers}
    found = [{(layer.place.layer, layer.place.domain_name): layer for layer in each.layers} for each in changes]
    layers = [(label, _bars([each.get(place) for each in found], names)) for place, label in places.items()]
    folders = [changes[0].pair.before.results.folder, *(each.pair.after.results.folder for each in changes)]
    return (
        environment("report")
        .get_template("comparison.html")
        .render(
            audits=list(zip(names, manifests, folders, strict=True)),
            changes=list(zip(names[1:], changes, strict=True)),
            layers=layers,
            figure=condition_figure(changes, names),
            kinds=KINDS,
            layer_sentences=layer_sentences,
            network_sentence=network_sentence,
            reach_sentences=reach_sentences,
            closing_lines=closing_lines,
            width=WIDTH,
            height=HEIGHT,
            left=_LEFT,
            top=_TOP,
        )
    )


__all__ = ["Bar", "Curve", "Figure", "audit_names", "condition_figure", "render_comparison"]
