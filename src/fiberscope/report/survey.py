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
from fiberscope.report.spectra_figures import mixed
from fiberscope.report.summary import share
from fiberscope.report.terminal_tables import plain_table
from fiberscope.showing.colours import MAIN

pc: Any = pyarrow.compute  # has no types

SHORTEST = 0.01
"""Below it, eps is written with a power of ten."""

HALF = 0.5
"""The share of the way to a target past which an input counts as reaching its class."""

_EXPLAINED = (
    "dimension: directions in which an input can change and no feature does; reach: how far such inputs get on the way "
    "to a sample of another class, 1 being there; at most: what none can exceed, in whatever region; reach at: where "
    "features may differ by that share of the largest; past half: the share that gets further than half of the way"
)


@dataclass(frozen=True)
class ReachPoint:
    """How far inputs reach whose features may differ by so much, at one layer.

    Attributes:
        eps: by how much, relative to the largest feature of the sample; None for a precision.
        reached: the median of how far they go on the way to a target.
        past_half: the share of the pairs in which more than half of the way is gone.
        bound: the median of what none can exceed, in whatever region it lies.
    """

    eps: float | None
    reached: float
    past_half: float
    bound: float

    @property
    def label(self) -> str:
        """Eps in short: 0, 1e-4, 0.1; empty for a precision."""
        if self.eps is None:
            return ""
        return f"{self.eps:g}" if not self.eps or self.eps >= SHORTEST else f"{self.eps:.0e}".replace("e-0", "e-")


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
        bound: the median of what no input with the same features can exceed, in whatever region it lies.
        classes: the median number of classes that are reached from a sample; NaN where classes are not known.
        curve: how far where features may differ, for every eps, 0 first; of the pairs that are there at each.
        precise: how far where they may differ by the audit's precision; None where it has none.
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
    bound: float
    classes: float
    curve: tuple[ReachPoint, ...] = ()
    precise: ReachPoint | None = None

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
        return _past_half(self.reached)

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
    answered = [row for row in records if not row["reason"]]
    found = [row for row in answered if row["eps"] == 0.0]
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
        bound=_median([row["bound"] for row in found]),
        curve=_curve([row for row in answered if row["eps"] is not None]),
        precise=_point(None, answered) if any(row["eps"] is None for row in answered) else None,
    )


def _curve(rows: Sequence[dict[str, Any]]) -> tuple[ReachPoint, ...]:
    """Of the pairs that are there at every eps, so that points do not differ by their pairs."""
    pairs: dict[float, set[tuple[int, int]]] = {}
    for row in rows:
        pairs.setdefault(row["eps"], set()).add((row["sample"], row["target"]))
    kept = [row for row in rows if all((row["sample"], row["target"]) in each for each in pairs.values())]
    return tuple(_point(eps, kept) for eps in sorted(pairs))


def _point(eps: float | None, rows: Sequence[dict[str, Any]]) -> ReachPoint:
    own = [row for row in rows if row["eps"] == eps]
    reached = np.array([row["reached"] for row in own], dtype=np.float64)
    return ReachPoint(eps, _median(reached), _past_half(reached), _median([row["bound"] for row in own]))


def _past_half(reached: Float64[FloatArray, " k"]) -> float:
    return float((reached > HALF).mean()) if len(reached) else float("nan")


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


def survey_table(layers: Sequence[ReachSummary], precision: str = "") -> Table:
    """Lay the summary out as a table for a terminal of 80 columns; with the precision of the audit, if it has one."""
    samples = max(layer.samples for layer in layers)
    title = f"How far inputs with the same features reach, from {counted(samples, 'sample')}"
    table = plain_table(title, _EXPLAINED)
    table.add_column("layer", overflow="fold")
    loose = _loose(layers)
    at_precision = any(layer.precise for layer in layers)
    headings = (
        "median\ndimension",
        "median\nreach",
        "at\nmost",
        f"reach\nat {loose}",
        *((f"reach at\n{precision}",) if at_precision else ()),
        "past\nhalf",
        "classes\nreached",
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in layers:
        cells = [middle(layer.dimension), number(layer.median_reached), number(layer.bound), _at(layer, loose)]
        if at_precision:
            cells.append(number(layer.precise.reached) if layer.precise else "-")
        past = "-" if np.isnan(layer.past_half) else share(layer.past_half)
        table.add_row(escape(layer.label), *cells, past, middle(layer.classes))
    return table


def _loose(layers: Sequence[ReachSummary]) -> str:
    """The eps that the terminal has room for, the last but one; empty where there is none."""
    labels = next(([point.label for point in layer.curve] for layer in layers if layer.curve), ["0"])
    return labels[-2:][0]


def _at(layer: ReachSummary, eps: str) -> str:
    return next((number(point.reached) for point in layer.curve if point.label == eps), "-")


def reach_against_eps(layers: Sequence[ReachSummary]) -> Figure:
    """The median of how far they go against eps, a line per layer."""
    drawn = [layer for layer in layers if layer.curve]
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": str(layer.layer),
            "x": [point.label for point in layer.curve],
            "y": [float(f"{point.reached:.4g}") if np.isfinite(point.reached) else None for point in layer.curve],
            "line": {"color": mixed(place / max(1, len(drawn) - 1)), "width": 2},
            "hovertemplate": f"layer {layer.layer} at %{{x}}: %{{y:.3g}}<extra></extra>",
        }
        for place, layer in enumerate(drawn)
    ]
    layout = {
        "height": 380,
        "showlegend": True,
        "legend": {"title": {"text": "layer"}},
        "xaxis": {"title": {"text": "features may differ by, relative to the largest"}, "type": "category"},
        "yaxis": {"title": {"text": "median share of the way"}, "rangemode": "tozero"},
    }
    return {"data": data, "layout": layout}


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


__all__ = [
    "HALF",
    "ReachPoint",
    "ReachSummary",
    "reach_against_eps",
    "reach_by_layer",
    "summarise_survey",
    "survey_table",
]
