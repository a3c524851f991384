"""The findings of an audit about layers by themselves that matter most, in plain words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiberscope.preimages.kind import Kind
from fiberscope.report.counting import counted, middle, number
from fiberscope.report.summary import LayerSummary, share
from fiberscope.report.survey import ReachSummary
from fiberscope.stability.stage_medians import StageMedians

SHOWN = 3
"""How many are told."""


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


@dataclass(frozen=True, eq=False)
class LayerSpectra:
    """The singular values of the network up to and with one audited layer.

    Attributes:
        layer: its position.
        label: the layer by position and name.
        medians: over the samples.
    """

    layer: int
    label: str
    medians: StageMedians


def headlines(
    summaries: Sequence[LayerSummary],
    spectra: Sequence[LayerSpectra],
    inputs: int,
    survey: Sequence[ReachSummary],
    reasons: Sequence[tuple[str, int]],
) -> list[Headline]:
    """The first ``SHOWN`` of what can be said, the most important first.

    What is not proved comes first, where there is any: it limits all that follows. Then whether inputs can be
    recovered; where the inverse becomes unstable, and how far one can go unnoticed, if that was computed; whether the
    layers are blind to arbitrarily large changes; and last, that everything is proved.

    Args:
        summaries: of all layers and domains, layer by layer, the smallest domain of a layer last.
        spectra: the singular values of the network up to every audited layer that has some, in their order.
        inputs: the number of inputs of the network.
        survey: how far invariance reaches, by layer.
        reasons: why findings are undecided, the most frequent first, with their numbers.
    """
    exact = [summary for summary in summaries if summary.is_exact]
    smallest = [list(group)[-1] for _, group in itertools.groupby(exact, key=lambda summary: summary.layer)]
    told = (
        _not_proved(summaries, reasons),
        _recoverable(smallest),
        _unstable(spectra, inputs),
        _reach(survey),
        _blind(exact, smallest),
        _proved(summaries),
    )
    return [headline for headline in told if headline is not None][:SHOWN]


def _not_proved(summaries: Sequence[LayerSummary], reasons: Sequence[tuple[str, int]]) -> Headline | None:
    undecided, findings = _total(summaries, Kind.UNDECIDED), _samples(summaries)
    if not undecided:
        return None
    return Headline(
        f"{undecided:,} of {findings:,}",
        "verdicts could not be settled; they count as nothing else.",
        f"Most often: {reasons[0][0]}." if reasons else "",
    )


def _recoverable(smallest: Sequence[LayerSummary]) -> Headline | None:
    """Of the first audited layer, whose inputs are nearest to the data, and in the detail of the last one."""
    first, last = smallest[0], smallest[-1]
    undecided = first.counts[Kind.UNDECIDED]
    if undecided == first.samples:
        return None
    sentences = [f"Of {counted(undecided, 'input')} this is not settled."] if undecided else []
    sentences.append(_open_directions(first))
    if last is not first and last.counts[Kind.UNDECIDED] < last.samples:
        sentences.append(
            f"Of what the last audited layer, {last.label}, receives, {_singletons(last)} can; that says nothing about "
            "the network’s input."
        )
    return Headline(
        _singletons(first),
        f"inputs of layer {first.label}, by itself, can be computed back from its output, {_within(first)}.",
        " ".join(filter(None, sentences)),
    )


def _singletons(summary: LayerSummary) -> str:
    """How many there are of all; a range where some are not settled, for each of those may be one."""
    found, undecided = summary.counts[Kind.SINGLETON], summary.counts[Kind.UNDECIDED]
    upper = f" to {found + undecided:,}" if undecided else ""
    return f"{found:,}{upper} of {summary.samples:,}"


def _open_directions(summary: LayerSummary) -> str:
    if summary.median_dimension is None:
        return ""
    among = "settled sample" if summary.counts[Kind.UNDECIDED] else "sample"
    if summary.median_dimension == 0:
        return f"At the median {among}, no other input of the layer has the same output."
    return (
        f"At the median {among}, the layer’s input can change in {middle(summary.median_dimension)} of its "
        f"{counted(summary.inputs, 'dimension')} without the layer noticing."
    )


def _within(summary: LayerSummary) -> str:
    return "whatever numbers may come in" if summary.domain == "R^n" else f"on the domain {summary.domain}"


def _unstable(spectra: Sequence[LayerSpectra], inputs: int) -> Headline | None:
    """Of audited layers alone: those are the ones that the tables are about."""
    known = [layer for layer in spectra if not np.isnan(layer.medians.condition_number)]
    if not known:
        return None
    worst = max(known, key=lambda layer: layer.medians.condition_number)
    ratio = number(worst.medians.condition_number)
    if ratio == "1":
        return None
    detail = (
        f"This is the median condition number at {counted(worst.medians.samples, 'sample')}; "
        f"{middle(worst.medians.rank)} of {counted(inputs, 'direction')} of the input are felt there at all, in the "
        "median."
    )
    steps = [
        (after.medians.condition_number / before.medians.condition_number, after)
        for before, after in itertools.pairwise(known)
        if after.layer == before.layer + 1
    ]
    if steps:
        factor, layer = max(steps, key=lambda step: step[0])
        if factor > 1:
            detail += f" The number rises most, by a factor of {number(factor)}, at layer {layer.label}."
    return Headline(
        f"{ratio} times",
        "is how much more strongly one change of the network’s input may be felt than another of the same size that is "
        f"felt, too, up to layer {worst.label}; errors can grow as much when the features are inverted.",
        detail,
    )


def _reach(survey: Sequence[ReachSummary]) -> Headline | None:
    known = [layer for layer in survey if layer.samples]
    if not known:
        return None
    farthest = max(known, key=lambda layer: (layer.past_half, layer.median_reached))
    target = "a sample of another class" if farthest.by_class else "another sample"
    where, origin = f"any feature of layer {farthest.label} changing", f"from {counted(farthest.samples, 'sample')}"
    if not farthest.past_half:
        return Headline(
            share(max(farthest.median_reached, 0.0)),
            f"of the way to {target} is how far the median search got without {where}.",
            f"No search got past half of the way, {origin}.",
        )
    return Headline(
        share(farthest.past_half),
        f"of the searches got more than half of the way to {target} without {where}.",
        f"The median search there got {share(farthest.median_reached)} of the way, {origin}.",
    )


def _blind(summaries: Sequence[LayerSummary], smallest: Sequence[LayerSummary]) -> Headline | None:
    unbounded = _total(smallest, Kind.UNBOUNDED)
    if unbounded:
        where = [f"{summary.label} ({summary.domain})" for summary in smallest if summary.counts[Kind.UNBOUNDED]]
        at_least = "at least " if _total(smallest, Kind.UNDECIDED) else ""
        return Headline(
            f"{at_least}{unbounded:,} of {_samples(smallest):,}",
            f"preimages {_are(unbounded)} unbounded, on the smallest domain judged of each layer: the layer is blind "
            "there to arbitrarily large changes of its input.",
            f"Their layers and domains: {', '.join(where)}.",
        )
    without = [summary for summary in summaries if summary not in smallest]
    unbounded = _total(without, Kind.UNBOUNDED)
    if not unbounded or _total(summaries, Kind.UNDECIDED):  # "none is" must be proved
        return None
    return Headline(
        f"{unbounded:,} of {_samples(without):,}",
        f"preimages {_are(unbounded)} unbounded if inputs may be any numbers whatever; within the bounds that are "
        "known, none is.",
        "How far inputs with the same output can lie apart is then limited by what is known about them beforehand, not "
        "by what the layers compute.",
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _proved(summaries: Sequence[LayerSummary]) -> Headline | None:
    if _total(summaries, Kind.UNDECIDED):
        return None
    return Headline(
        f"{_samples(summaries):,} of {_samples(summaries):,}",
        "verdicts are proved.",
        "Each has a certificate that fiberscope verify checks again.",
    )


def _samples(summaries: Sequence[LayerSummary]) -> int:
    return sum(summary.samples for summary in summaries)


def _total(summaries: Sequence[LayerSummary], kind: Kind) -> int:
    return sum(summary.counts[kind] for summary in summaries)


__all__ = ["Headline", "LayerSpectra", "headlines"]
