"""The paper's figures 4 and 5 for any network, as data that plotly.js draws."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from fiberscope.network.network import Network
from fiberscope.network.stage import AFFINE
from fiberscope.report.figures import Figure
from fiberscope.showing.colours import MAIN, OTHER
from fiberscope.stability.stage_medians import StageMedians

_COLOURS = ("#3b6fd4", "#1a9fb8", "#2fae62", "#b09a1c", "#e0752b", "#d2487e")
"""From the first stage to the last: in between, colours are mixed. All are seen on light and on dark ground."""


_DIGITS = 6
"""Significant digits of a value in the page."""

_LABELLED_POWERS = 5
"""Powers of ten that have a number beside a logarithmic axis, at most, beyond the first."""

_ROOM = 0.03
"""Room beyond the ends of a logarithmic axis, relative to its length, for markers that lie there."""

_LABELLED_STAGES = 24
"""Stages up to which each has a name below the axis."""


def over_the_stages(stages: Sequence[StageMedians], network: Network) -> Figure:
    """Figure 4: output units, nonzero singular values and condition number, over the stages."""
    drawn = [stage for stage in stages if stage.samples]
    panels = (
        ("output units", "y3", [float(stage.outputs) for stage in drawn]),
        ("nonzero singular values", "y2", [stage.rank for stage in drawn]),
        ("condition number", "y", [None if np.isnan(c) else c for c in (stage.condition_number for stage in drawn)]),
    )
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": [stage.stage for stage in drawn],
            "y": values,
            "yaxis": axis,
            "text": [_label(stage) for stage in drawn],
            "hovertemplate": "stage %{text}: %{y:.5~g}<extra>" + name + "</extra>",
            "line": {"color": MAIN, "width": 2},
            "marker": {"color": [MAIN if _is_affine(stage, network) else OTHER for stage in drawn], "size": 8},
        }
        for name, axis, values in panels
    ]
    layout = {
        "height": 760,
        "showlegend": False,
        "xaxis": {"title": {"text": "stage"}, "anchor": "y", "automargin": True, **_stage_ticks(drawn)},
        "yaxis3": {"domain": [0.72, 1.0], "title": {"text": "output units"}, "rangemode": "tozero"},
        "yaxis2": {"domain": [0.36, 0.64], "title": {"text": "nonzero values"}, "rangemode": "tozero"},
        "yaxis": {
            "domain": [0.0, 0.28],
            "title": {"text": "condition number"},
            **powers_of_ten([stage.condition_number for stage in drawn]),
        },
    }
    return {"data": data, "layout": layout}


def decay(stages: Sequence[StageMedians], network: Network) -> Figure:
    """Figure 5: the singular values in descending order, a curve per stage.

    What cannot be told from zero is cut off. Curves of affine stages are dotted.
    """
    drawn = [stage for stage in stages if len(stage.resolved)]
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(stage.resolved) == 1 else "lines",
            "name": _label(stage),
            "x": list(range(1, len(stage.resolved) + 1)),
            "y": [float(f"{value:.{_DIGITS}g}") for value in stage.resolved],
            "hovertemplate": "value %{x}: %{y:.3g}<extra>" + _label(stage) + "</extra>",
            "line": {
                "color": mixed(position / max(1, len(drawn) - 1)),
                "width": 1.5 if _is_affine(stage, network) else 2,
                "dash": "dot" if _is_affine(stage, network) else "solid",
            },
        }
        for position, stage in enumerate(drawn)
    ]
    layout = {
        "height": 560,
        "xaxis": {"title": {"text": "index, largest value first"}, "rangemode": "tozero"},
        "yaxis": {
            "title": {"text": "singular value"},
            "automargin": True,
            **powers_of_ten([value for stage in drawn for value in (stage.resolved[0], stage.resolved[-1])]),
        },
        "legend": {
            "orientation": "v",
            "x": 1.02,
            "y": 1.0,
            "xanchor": "left",
            "yanchor": "top",
            "traceorder": "normal",
        },
    }
    return {"data": data, "layout": layout}


def _is_affine(stage: StageMedians, network: Network) -> bool:
    return network.stages[stage.stage].kind == AFFINE


def _label(stage: StageMedians) -> str:
    """Escaped, because plotly.js reads some tags in labels."""
    return html.escape(stage.label, quote=False)


def _stage_ticks(drawn: Sequence[StageMedians]) -> dict[str, Any]:
    if len(drawn) > _LABELLED_STAGES:
        return {"rangemode": "tozero"}
    return {
        "tickvals": [stage.stage for stage in drawn],
        "ticktext": [_label(stage) for stage in drawn],
        "tickangle": -45,
    }


def powers_of_ten(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis that begins and ends at powers of ten, and is labelled at powers of ten only."""
    exponents = np.log10([value for value in values if not np.isnan(value)] or [1.0])
    low = int(np.floor(exponents.min()))
    high = max(int(np.ceil(exponents.max())), low + 1)
    room = _ROOM * (high - low)
    step = -(-(high - low) // _LABELLED_POWERS)
    return {"type": "log", "exponentformat": "power", "tick0": low, "dtick": step, "range": [low - room, high + room]}


def mixed(share: float) -> str:
    """The colour at a share between 0 and 1 of the way through ``_COLOURS``."""
    place = share * (len(_COLOURS) - 1)
    first = min(int(place), len(_COLOURS) - 2)
    pair = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in _COLOURS[first : first + 2])
    return "#" + "".join(f"{round(a + (place - first) * (b - a)):02x}" for a, b in zip(*pair, strict=True))


__all__ = ["decay", "mixed", "over_the_stages", "powers_of_ten"]
