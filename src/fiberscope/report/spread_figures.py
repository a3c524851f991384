"""The singular values up to one layer, with what lies between the samples, as data that plotly.js draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute
from jaxtyping import Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.report.figures import Figure
from fiberscope.report.spectra_figures import powers_of_ten
from fiberscope.showing.colours import MAIN
from fiberscope.stability.stage_medians import StageMedians

pc: Any = pyarrow.compute  # has no types

BAND = (0.1, 0.9)
"""The shares of the samples below the lower and below the upper end of the band."""

_POINTS = 300
"""Points of a curve; of longer ones some are left out, evenly."""

_FLOOR = 10.0
"""The band ends this many times below the smallest median: on a logarithmic axis, zero lies nowhere."""

_SHADE = "rgba(0, 114, 178, 0.35)"


def spread(summary: StageMedians, table: Any) -> Figure:
    """The median of each singular value, and the band in which most of the samples have it.

    What cannot be told from zero is cut off, as in figure 5.

    Args:
        summary: the medians of a stage, at least one of them not zero.
        table: a table of ``SPECTRA_SCHEMA`` with the stage at every sample.
    """
    computed = table.filter(pc.and_(pc.equal(table["stage"], summary.stage), pc.equal(table["reason"], "")))
    values: FloatArray = computed["values"].combine_chunks().flatten().to_numpy().reshape(len(computed), -1)
    shown = _thinned(len(summary.resolved))
    floor = summary.resolved.min() / _FLOOR
    low, high = np.maximum(np.quantile(values, BAND, axis=0), floor)[:, shown]
    fill: Figure = {"fill": "tonexty", "fillcolor": _SHADE}
    edge: Figure = {"line": {"width": 0, "color": _SHADE}, "hoverinfo": "skip", "showlegend": False}
    hover: Figure = {"hovertemplate": "value %{x}: %{y:.3g}<extra>median</extra>"}
    data = [
        _curve("", shown, high, edge),
        _curve("10 to 90 per cent of the samples", shown, low, edge | fill | {"showlegend": True}),
        _curve("median", shown, summary.values[shown], hover | {"line": {"width": 2, "color": MAIN}}),
    ]
    extremes = [float(low[0]), float(low[-1]), float(high[0])]
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "index, largest value first"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "singular value"}, "automargin": True, **powers_of_ten(extremes)},
    }
    return {"data": data, "layout": layout}


def _curve(name: str, places: Int64[IntArray, " k"], values: FloatArray, style: Figure) -> Figure:
    numbers = [float(f"{value:.4g}") for value in values]
    mode = "lines" if len(numbers) > 1 else "lines+markers"
    return {"type": "scatter", "mode": mode, "name": name, "x": (places + 1).tolist(), "y": numbers, **style}


def _thinned(count: int) -> Int64[IntArray, " k"]:
    """Up to ``_POINTS`` places among ``count``, the first and the last with them."""
    return np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(np.int64))


__all__ = ["spread"]
