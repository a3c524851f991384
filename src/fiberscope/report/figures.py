"""The report's figures, as data that plotly.js draws; colours of text and background are left to the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fiberscope.audits.findings import FindingsTable
from fiberscope.preimages.kind import Kind
from fiberscope.report.summary import SHOWN_KINDS, LayerSummary
from fiberscope.showing import colours

Figure = dict[str, Any]

_BINS = 40

_GAP = 5
"""Pixels between a mark and its text."""

_FAR = 3
"""How many times as far from the counts as these reach, a mark on their axis would squeeze them into a corner."""


def kinds_by_positives(findings: FindingsTable, summary: LayerSummary) -> Figure:
    """The paper's figure 3: how many samples of each kind there are over the number of positive outputs.

    Of clips, saturated outputs are left out: they are no equations.
    """
    equations = findings.positives - findings.saturated
    counted = "positive, unsaturated outputs" if findings.saturated.any() else "positive outputs"
    edges = _edges(equations)
    data = _histograms(findings, summary, equations.astype(np.float64), edges, f"{counted} %{{x}}")
    far = summary.inputs > edges[-1] + _FAR * (edges[-1] - edges[0])
    beyond = f"<br>(n = {summary.inputs} inputs: far to the right)" if far else ""
    layout = {
        "barmode": "stack",
        "bargap": 0,
        "xaxis": {"title": {"text": f"number of {counted}{beyond}"}},
        "yaxis": {"title": {"text": "samples"}, "rangemode": "tozero"},
        **({} if far else _marked_at(summary.inputs, f"n = {summary.inputs} inputs", edges)),
    }
    return {"data": data, "layout": layout}


def _marked_at(x: int, text: str, edges: Any) -> Figure:
    """The parts of a layout that mark a place on the x axis with a dashed line and a text where there is room."""
    right = x < (edges[0] + edges[-1]) / 2
    line = {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": {"dash": "dash", "width": 1.5}}
    side = {"xanchor": "left", "xshift": _GAP} if right else {"xanchor": "right", "xshift": -_GAP}
    label = {"x": x, "y": 1, "yref": "paper", "yanchor": "top", "text": text, "showarrow": False, **side}
    return {"shapes": [line], "annotations": [label]}


def margins(findings: FindingsTable, summary: LayerSummary) -> Figure:
    """How far the verdicts are from the opposite ones, on a logarithmic axis."""
    shown = findings.where(np.isfinite(findings.margin) & (findings.margin > 0))
    logarithms = np.log10(shown.margin)
    low, high = (np.floor(logarithms.min()), np.ceil(logarithms.max())) if len(shown) else (-1.0, 0.0)
    edges = np.linspace(low, max(high, low + 1), _BINS + 1)
    zeros = int((findings.margin == 0).sum())
    title = f"margin ({zeros} verdicts with margin 0 are not drawn)" if zeros else "margin"
    layout = {
        "barmode": "stack",
        "bargap": 0,
        "xaxis": {"title": {"text": title}, "dtick": 1, "tickprefix": "10<sup>", "ticksuffix": "</sup>"},
        "yaxis": {"title": {"text": "samples"}, "rangemode": "tozero"},
    }
    return {"data": _histograms(shown, summary, logarithms, edges, "margin 10^%{x:.1f}"), "layout": layout}


def _histograms(findings: FindingsTable, summary: LayerSummary, values: Any, edges: Any, hover: str) -> list[Figure]:
    centres, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    traces: list[Figure] = []
    for kind in _occurring([summary]):
        counts, _ = np.histogram(values[findings.kind == kind], bins=edges)
        traces.append(
            {
                "type": "bar",
                "name": str(kind),
                "x": centres.tolist(),
                "y": counts.tolist(),
                "width": width,
                "hovertemplate": f"{hover}: %{{y}} samples<extra>{kind}</extra>",
                "marker": {"color": colours.KINDS[kind]},
            }
        )
    return traces


def _edges(values: Any) -> Any:
    """Edges of bins of a whole width around integers."""
    low, high = int(values.min()), int(values.max())
    width = max(1, -(-(high - low + 1) // _BINS))
    return np.arange(low, high + width + 1, width) - 0.5


def _occurring(summaries: Sequence[LayerSummary]) -> list[Kind]:
    return [kind for kind in SHOWN_KINDS if any(s.counts[kind] for s in summaries)]


__all__ = ["Figure", "kinds_by_positives", "margins"]
