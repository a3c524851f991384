"""How far invariance reaches, layer by layer: a summary, a table of it, and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute
from jaxtyping import Float64
from rich.markup import escape
from rich.table import Table

from fiberscope.labels import label
from fiberscope.network.arrays import FloatArray
from fiberscope.report.counting import counted, middle, number
from fiberscope.report.figures import Figure
from fiberscope.report.summary import share
from fiberscope.report.terminal_tables import plain_table
from fiberscope.showing.colours import MAIN

pc: Any = pyarrow.compute  # has no types

HALF = 0.5
"""The share of the way to a target past which an input counts as reaching its class."""

_EXPLAINED = (
    "dimension: directions in which an input can change and no feature does; reach: how far such inputs get on the way "
    "to a sample of another class, 1 being there; past half: the share that gets further than half of the way"
)


@dataclass(frozen=True, eq=False)
class ReachSummary:
    """How far inputs with the same features reach, at one layer.

    Attributes:
        layer: its position.
        name: what the model calls it.
        samples: the number of samples from which it was computed.
        left_out: the number of samples from which it was not.
        reason: why it was not; empty where none was left out.
        positives: the median number of positive outputs; NaN where there are no samples, as below.
        dimension: the median dimension of the inputs with the same features in the region of the sample.
        width: their median width along the way to a target.
        reached: (pairs,) how far they go on the way to the target, 1 being the target itself.
        classes: the median number of classes that are reached from a sample; NaN where classes are not known.
    """

    layer: int
    name: str
    samples: int
    left_out: int
    reason: str
    positives: float
    dimension: float
    width: float
    reached: Float64[FloatArray, " k"]
    classes: float

    @property
    def label(self) -> str:
        """The layer by position and name."""
        return label(self.layer, self.name)

    @property
    def by_class(self) -> bool:
        """Whether the targets are samples of other classes; otherwise they are any other samples."""
        return not np.isnan(self.classes)

    @property
    def past_half(self) -> float:
        """The share of the pairs in which more than half of the way is gone."""
        return float((self.reached > HALF).mean()) if len(self.reached) else np.nan

    @property
    def median_reached(self) -> float:
        """The median of how far they go."""
        return _median(self.reached)


def summarise_survey(table: Any) -> list[ReachSummary]:
    """A summary of every layer of a table of ``SURVEY_SCHEMA``."""
    return [
        _summary(table.filter(pc.equal(table["layer"], layer))) for layer in sorted(table["layer"].unique().to_pylist())
    ]


def _summary(rows: Any) -> ReachSummary:
    """Of some rows, all of one layer and at least one."""
    records: list[dict[str, Any]] = rows.to_pylist()
    found = [row for row in records if not row["reason"]]
    of_sample = {row["sample"]: row for row in found}
    reasons = [row["reason"] for row in records if row["reason"]]
    return ReachSummary(
        layer=records[0]["layer"],
        name=records[0]["name"],
        samples=len(of_sample),
        left_out=len(reasons),
        reason=reasons[0] if reasons else "",
        positives=_median([row["positives"] for row in of_sample.values()]),
        dimension=_median([row["dimension"] for row in of_sample.values()]),
        width=_median([row["width"] for row in found]),
        reached=np.array([row["reached"] for row in found], dtype=np.float64),
        classes=_classes(found),
    )


def _classes(rows: Sequence[dict[str, Any]]) -> float:
    reached: dict[int, set[int]] = {}
    for row in rows:
        if row["target_class"] is None:
            return float("nan")
        seen = reached.setdefault(row["sample"], set())
        if row["reached"] > HALF:
            seen.add(row["target_class"])
    return _median([len(classes) for classes in reached.values()])


def _median(values: Any) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def survey_table(layers: Sequence[ReachSummary]) -> Table:
    """Lay the summary out as a table for a terminal of 80 columns."""
    samples = max(layer.samples for layer in layers)
    title = f"How far inputs with the same features reach, from {counted(samples, 'sample')}"
    table = plain_table(title, _EXPLAINED)
    table.add_column("layer", overflow="fold")
    headings = ("median\npositives", "median\ndimension", "median\nreach", "past\nhalf", "classes\nreached")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in layers:
        cells = middle(layer.positives), middle(layer.dimension), number(layer.median_reached)
        past = "-" if np.isnan(layer.past_half) else share(layer.past_half)
        table.add_row(escape(layer.label), *cells, past, middle(layer.classes))
    return table


def reach_by_layer(layers: Sequence[ReachSummary]) -> Figure:
    """The distribution of how far inputs with the same features go, a box per layer."""
    drawn = [layer for layer in layers if len(layer.reached)]
    data = [
        {
            "type": "box",
            "name": str(layer.layer),
            "y": [float(f"{value:.4g}") for value in layer.reached if np.isfinite(value)],
            "marker": {"color": MAIN},
            "boxpoints": "outliers",
            "hovertemplate": f"layer {layer.layer}: %{{y:.3g}}<extra></extra>",
        }
        for layer in drawn
    ]
    layout = {
        "height": 380,
        "showlegend": False,
        "xaxis": {"title": {"text": "layer"}, "type": "category"},
        "yaxis": {"title": {"text": "share of the way to the target"}, "rangemode": "tozero"},
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": 1,
                "y1": 1,
                "line": {"dash": "dash", "width": 1, "color": "#888888"},
            }
        ],
    }
    return {"data": data, "layout": layout}


__all__ = ["HALF", "ReachSummary", "reach_by_layer", "summarise_survey", "survey_table"]
