"""What features give away, over the layers."""

# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fiberscope.errors import InputError, shown
from fiberscope.plots.axes import axes_of, no_data
from fiberscope.showing.colours import SERIES

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes

COLUMNS = {
    "pixel_median": "width of a coordinate, proved (median)",
    "pixel_max": "width of the widest coordinate, proved (median)",
    "radius": "distance from the guess, proved (median)",
    "ambiguity_bits": "bits that are left, proved (median)",
    "coarsest_eps": "coarsest precision (median)",
    "cramer_rao": "Cramér-Rao bound (median)",
}
"""What can be drawn, and what the axis says."""


def leakage(table: pyarrow.Table, column: str = "pixel_median", ax: Axes | None = None) -> Axes:
    """The median of a column over the samples, layer by layer, a curve for every precision.

    Where the median is infinite, nothing is proved of half of the samples: there is no point.

    Args:
        table: what ``fiberscope.leakage`` gives.
        column: one of pixel_median, pixel_max, radius, ambiguity_bits, coarsest_eps and cramer_rao.
        ax: axes of matplotlib; None for new ones.

    Raises:
        InputError: another column.
    """
    if column not in COLUMNS:
        raise InputError("column", expected=f"one of {', '.join(COLUMNS)}", got=shown(column))
    axes = axes_of(ax)
    values: dict[str, dict[int, list[float]]] = {}
    rows: Any = table
    for precision, layer, value in zip(
        *(rows[name].to_pylist() for name in ("precision", "layer", column)), strict=True
    ):
        at = values.setdefault(precision, {}).setdefault(layer, [])
        if value is not None:
            at.append(float(value))
    layers = sorted({layer for each in values.values() for layer in each})
    if not layers:
        return no_data(axes, "no rows")
    positive = True
    for i, (precision, by_layer) in enumerate(values.items()):
        medians = [_median(by_layer.get(layer, [])) for layer in layers]
        positive &= all(not median <= 0 for median in medians)
        axes.plot(layers, medians, "o-", color=SERIES[i % len(SERIES)], label=precision)
    axes.set_xticks(layers)
    axes.set_yscale("log" if positive else "linear")
    axes.set_xlabel("layer")
    axes.set_ylabel(COLUMNS[column])
    axes.legend(title="precision")
    return axes


def _median(values: list[float]) -> float:
    """NaN, which is not drawn, for none and for inf."""
    median = float(np.median(values)) if values else float("nan")
    return median if np.isfinite(median) else float("nan")


__all__ = ["COLUMNS", "leakage"]
