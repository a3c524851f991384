"""Which samples have more told about them than the verdicts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fiberscope.audits.findings import FindingsTable
from fiberscope.report.summary import LayerSummary

MOST = 24
"""How many are chosen at most: their pictures would soon outweigh everything else in the page."""


@dataclass(frozen=True)
class ChosenSample:
    """A sample, and why it was chosen."""

    sample: int
    why: tuple[str, ...]


def choose_samples(
    findings: FindingsTable,
    summaries: Sequence[LayerSummary],
    *,
    examples: Collection[int],
    surveyed: Collection[int],
    conditions: dict[int, dict[int, float]],
) -> list[ChosenSample]:
    """Up to ``MOST`` samples, in ascending order.

    Those with invariance examples come first, then extremes of every layer's verdicts and condition numbers, then those
    from which the reach of invariance was computed, and those with singular values.

    Args:
        findings: the findings.
        summaries: of all layers and domains.
        examples: the samples that have invariance examples.
        surveyed: the samples from which it was computed how far invariance reaches.
        conditions: by layer and sample, the condition number up to the layer, where it is known.
    """
    decomposed = sorted({sample for by_sample in conditions.values() for sample in by_sample})
    reasons: dict[int, list[str]] = {}
    for sample, reason in (
        *((sample, "has invariance examples") for sample in sorted(examples)),
        *_extremes(findings, summaries),
        *_worst_conditioned(conditions, summaries),
        *((sample, "was searched for how far invariance reaches") for sample in sorted(surveyed)),
        *((sample, "has singular values") for sample in decomposed),
    ):
        if sample in reasons or len(reasons) < MOST:
            reasons.setdefault(sample, []).append(reason)
    return [ChosenSample(sample, tuple(why)) for sample, why in sorted(reasons.items())]


def _extremes(findings: FindingsTable, summaries: Sequence[LayerSummary]) -> Iterator[tuple[int, str]]:
    """Where the layers' preimages have the least and the largest dimension; the first sample of equal ones.

    Of each layer the last domain is looked at, the smallest; where all dimensions are alike, nothing is extreme.
    """
    for summary in {summary.layer: summary for summary in summaries if summary.is_exact}.values():
        found = findings.at(summary.layer, summary.domain)
        known = found.where(found.has_dimension)
        if not len(known) or known.dimension.min() == known.dimension.max():
            continue
        for place, words in ((known.dimension.argmin(), "least"), (known.dimension.argmax(), "most")):
            yield int(known.sample[place]), f"leaves {words} of the input of layer {summary.label} open"


def _worst_conditioned(
    conditions: dict[int, dict[int, float]], summaries: Sequence[LayerSummary]
) -> Iterator[tuple[int, str]]:
    """Where the condition number up to the last layer that has one is largest."""
    if conditions:
        layer = max(conditions)
        samples, values = zip(*conditions[layer].items(), strict=True)
        label = next(summary.label for summary in summaries if summary.layer == layer)
        yield samples[int(np.argmax(values))], f"is worst conditioned up to layer {label}"


__all__ = ["MOST", "ChosenSample", "choose_samples"]
