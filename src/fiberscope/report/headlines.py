"""The findings of an audit that matter most, in plain words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiberscope.preimage.kind import Kind
from fiberscope.report.summary import LayerSummary, share
from fiberscope.report.survey import ReachSummary
from fiberscope.stability.stage_medians import StageMedians

SHOWN = 3
"""How many are told."""

_READABLE = 1e9
"""Numbers up to which digits are written out."""


@dataclass(frozen=True)
class Headline:
    """One finding.

    Attributes:
        figure: the number that it is about, or a word.
        claim: what the number says, in one sentence.
        detail: what follows, or what to compare it with.
    """

    figure: str
    claim: str
    detail: str


def headlines(
    summaries: Sequence[LayerSummary],
    stages: Sequence[StageMedians],
    survey: Sequence[ReachSummary],
    reasons: Sequence[tuple[str, int]],
) -> list[Headline]:
    """The first ``SHOWN`` of what can be said, the most important first.

    What is not proved comes first, where there is any: it limits all that follows. Then whether inputs can be
    recovered; where the inverse becomes unstable, and how far one can go unnoticed, if that was computed; whether the
    layers are blind to arbitrarily large changes; and last, that everything is proved.

    Args:
        summaries: of all layers and domains, layer by layer, the smallest domain of a layer last.
        stages: the singular values by stage.
        survey: how far invariance reaches, by layer.
        reasons: why findings are undecided, the most frequent first, with their numbers.
    """
    smallest = [list(group)[-1] for _, group in itertools.groupby(summaries, key=lambda summary: summary.layer)]
    told = (
        _not_proved(summaries, reasons),
        _recoverable(smallest),
        _unstable(stages),
        _reach(survey),
        _blind(summaries, smallest),
        _proved(summaries),
    )
    return [headline for headline in told if headline is not None][:SHOWN]


def _not_proved(summaries: Sequence[LayerSummary], reasons: Sequence[tuple[str, int]]) -> Headline | None:
    undecided, findings = _total(summaries, Kind.UNDECIDED), sum(summary.samples for summary in summaries)
    if not undecided:
        return None
    return Headline(
        f"{undecided:,} of {findings:,}",
        "verdicts could not be settled and count as nothing else.",
        f"Most often: {reasons[0][0]}." if reasons else "",
    )


def _recoverable(smallest: Sequence[LayerSummary]) -> Headline:
    first, last = smallest[0], smallest[-1]
    found = first.counts[Kind.SINGLETON]
    detail = f"For the median sample, {_directions(first)} can change without this layer noticing. "
    if first.median_dimension == 0:
        detail = "The median sample is the only one with its output. "
    if last is not first:
        detail += (
            f"Of the inputs of the last layer, {last.label}, {last.counts[Kind.SINGLETON]:,} can be computed back."
        )
    return Headline(
        f"{found:,} of {first.samples:,}",
        f"inputs can be computed back from the output of layer {first.label}, {_within(first)}.",
        detail.strip(),
    )


def _directions(summary: LayerSummary) -> str:
    if summary.median_dimension is None:
        return "an unknown number of input directions"
    return f"{summary.median_dimension:,.6g} of {summary.inputs:,} input directions"


def _within(summary: LayerSummary) -> str:
    return "whatever numbers may come in" if summary.domain == "R^n" else f"on the domain {summary.domain}"


def _unstable(stages: Sequence[StageMedians]) -> Headline | None:
    known = [stage for stage in stages if not np.isnan(stage.condition_number)]
    if not known:
        return None
    worst = max(known, key=lambda stage: stage.condition_number)
    detail = f"This is the median condition number at {worst.samples} samples."
    steps = [(after.condition_number / before.condition_number, after) for before, after in itertools.pairwise(known)]
    if steps:
        factor, stage = max(steps, key=lambda step: step[0])
        if factor > 1:
            detail += f" It rises most, by a factor of {factor:.3g}, at stage {stage.label}."
    return Headline(
        f"{_rounded(worst.condition_number)} times",
        f"is how much more strongly one change of the input may be felt than another of the same size, up to stage "
        f"{worst.label}; errors grow as much when the features are inverted.",
        detail,
    )


def _rounded(value: float) -> str:
    """Two digits, written out as far as such a number can be read."""
    short = float(f"{value:.2g}")
    return f"{short:,.10g}" if short < _READABLE else f"{short:.1e}"


def _reach(survey: Sequence[ReachSummary]) -> Headline | None:
    known = [layer for layer in survey if layer.samples]
    if not known:
        return None
    farthest = max(known, key=lambda layer: (layer.past_half, layer.median_reached))
    target = "another sample" if np.isnan(farthest.classes) else "a sample of another class"
    return Headline(
        share(farthest.past_half),
        f"of the searches got more than half of the way to {target} without any feature of layer {farthest.label} "
        "changing.",
        f"The median search there got {farthest.median_reached:.0%} of the way, from {farthest.samples} samples.",
    )


def _blind(summaries: Sequence[LayerSummary], smallest: Sequence[LayerSummary]) -> Headline | None:
    unbounded, findings = _total(smallest, Kind.UNBOUNDED), sum(summary.samples for summary in smallest)
    if unbounded:
        return Headline(
            f"{unbounded:,} of {findings:,}",
            "preimages are unbounded even within the smallest domain judged: the layer is blind to arbitrarily large "
            "changes of its input.",
            "Their layers: " + ", ".join(summary.label for summary in smallest if summary.counts[Kind.UNBOUNDED]) + ".",
        )
    without = [summary for summary in summaries if summary not in smallest]
    if not _total(without, Kind.UNBOUNDED):
        return None
    return Headline(
        f"{_total(without, Kind.UNBOUNDED):,} of {sum(summary.samples for summary in without):,}",
        "preimages are unbounded if inputs may be any numbers whatever; with the bounds that are known, none is.",
        "What keeps the inputs apart is what is known about them beforehand, not what the layers compute.",
    )


def _proved(summaries: Sequence[LayerSummary]) -> Headline | None:
    if _total(summaries, Kind.UNDECIDED):
        return None
    return Headline(
        f"all {sum(summary.samples for summary in summaries):,}",
        "verdicts are proved.",
        "Each has a certificate that fiberscope verify checks again.",
    )


def _total(summaries: Sequence[LayerSummary], kind: Kind) -> int:
    return sum(summary.counts[kind] for summary in summaries)


__all__ = ["Headline", "headlines"]
