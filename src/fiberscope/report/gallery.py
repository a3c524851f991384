"""What the page knows about every sample, as compact columns that a script filters and sorts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.audits.findings import UNDECIDED_DIMENSION, FindingsTable
from fiberscope.network.network import Network
from fiberscope.preimages.kind import Kind
from fiberscope.report.summary import SHOWN_KINDS, LayerSummary

_NOT_JUDGED = "-"
"""Stands for the kind of a sample that the audit has not come to yet."""

_DIGITS = 3
"""Significant digits of a margin and of a condition number in the page."""


def sample_columns(
    summaries: Sequence[LayerSummary],
    findings: FindingsTable,
    samples: int,
    labels: NDArray[np.int64] | None,
    classes: Sequence[str],
    conditions: dict[int, dict[int, float]],
) -> dict[str, Any]:
    """The findings, column by column, ready for JSON.

    Args:
        summaries: of all layers and domains, in the order in which they are shown.
        findings: the findings.
        samples: how many samples there are.
        labels: (N,) their labels, or None.
        classes: what the labels 0, 1, ... are called; may be empty.
        conditions: by layer and sample, the condition number up to the layer, where it is known.
    """
    reasons: dict[str, int] = {}
    groups = [
        _group(summary, findings.at(summary.layer, summary.domain, summary.precision), samples, reasons)
        for summary in summaries
    ]
    return {
        "samples": samples,
        "kinds": [str(kind) for kind in SHOWN_KINDS],
        "labels": None if labels is None else labels.tolist(),
        "classes": list(classes),
        "groups": groups,
        "reasons": list(reasons),
        "conditions": {
            str(layer): [list(by_sample), [_short(value) for value in by_sample.values()]]
            for layer, by_sample in conditions.items()
        },
    }


def _group(summary: LayerSummary, found: FindingsTable, samples: int, reasons: dict[str, int]) -> dict[str, Any]:
    """The columns of one layer and domain; ``reasons`` gains those that are new, each once."""
    kinds = np.full(samples, _NOT_JUDGED)
    for position, kind in enumerate(SHOWN_KINDS):
        kinds[found.sample[found.kind == kind]] = str(position)
    undecided = found.where(found.kind == Kind.UNDECIDED)
    return {
        "key": summary.key,
        "layer": summary.layer,
        "name": summary.label,
        "domain": summary.place,
        "kinds": "".join(kinds.tolist()),
        "dimension": _column(found, found.dimension, samples, UNDECIDED_DIMENSION),
        "positives": _column(found, found.positives, samples, 0),
        **({"saturated": _column(found, found.saturated, samples, 0)} if found.saturated.any() else {}),
        "margin": [_short(value) for value in _column(found, found.margin, samples, np.nan)],
        "reason": {
            str(sample): reasons.setdefault(reason, len(reasons))
            for sample, reason in zip(undecided.sample.tolist(), undecided.reason.tolist(), strict=True)
        },
    }


def _column(found: FindingsTable, values: NDArray[Any], samples: int, missing: int | float) -> list[Any]:
    column = np.full(samples, missing, dtype=values.dtype)
    column[found.sample] = values
    return column.tolist()


def _short(value: float) -> float | None:
    """A number with few digits; None where there is none, for JSON has no NaN and no infinity."""
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


def layer_conditions(spectra: Any, network: Network, layers: Sequence[int]) -> dict[int, dict[int, float]]:
    """By layer and sample, the condition number of the network up to and with that layer, where it is known.

    Args:
        spectra: a table of ``SPECTRA_SCHEMA``.
        network: the network.
        layers: the layers that are audited.
    """
    stages = {network.placed_layers[layer].stage: layer for layer in layers}
    found: dict[int, dict[int, float]] = {layer: {} for layer in layers}
    columns = [spectra[name].to_pylist() for name in ("stage", "sample", "condition_number")]
    for stage, sample, value in zip(*columns, strict=True):
        if stage in stages and value is not None and np.isfinite(value):
            found[stages[stage]][sample] = value
    return {layer: by_sample for layer, by_sample in found.items() if by_sample}


__all__ = ["layer_conditions", "sample_columns"]
