"""Singular values: of one map with their bounds, and of many samples over the stages."""

# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fiberscope.errors import InputError
from fiberscope.labels import label
from fiberscope.network.arrays import FloatArray
from fiberscope.plots.axes import axes_of, no_data
from fiberscope.showing.colours import MAIN, MARK, SERIES

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes

BAND = (0.1, 0.9)
"""The shares of the samples below the lower and the upper end of the band."""


def spectrum(values: FloatArray, error_bound: FloatArray, tolerance: float, ax: Axes | None = None) -> Axes:
    """All singular values with the intervals that they lie in; those that cannot be told from zero are hollow.

    Args:
        values: (r,) descending.
        error_bound: (r,) how far each may be from the true one.
        tolerance: up to which values cannot be told from zero by the method used.
        ax: axes of matplotlib; None for new ones.
    """
    axes = axes_of(ax)
    known = values > error_bound
    if not known.any():
        return no_data(axes, "all singular values may be zero")
    index, floor = np.arange(1, len(values) + 1), float((values - error_bound)[known].min())
    low, high = np.maximum(values - error_bound, 0.1 * floor), values + error_bound
    axes.fill_between(index[known], low[known], high[known], color=MAIN, alpha=0.25, linewidth=0, label="error bounds")
    axes.plot(index[known], values[known], ".-", color=MAIN, label="singular values")
    hollow = ~known & (values > 0)
    if hollow.any():
        axes.plot(index[hollow], values[hollow], "o", color=MARK, fillstyle="none", label="not told from zero")
    if tolerance > 0.1 * floor:
        axes.axhline(tolerance, color=MARK, linestyle="--", label="tolerance")
    axes.set_yscale("log")
    axes.set_xlabel("index, largest value first")
    axes.set_ylabel("singular value")
    axes.legend()
    return axes


def condition_numbers(spectra: pyarrow.Table, ax: Axes | None = None) -> Axes:
    """The median condition number up to each stage, and the band that 80% of the samples lie in [figure 4].

    Args:
        spectra: what ``fiberscope.spectra`` gives, or ``AuditResults.spectra``.
        ax: axes of matplotlib; None for new ones.
    """
    axes = axes_of(ax)
    columns = _columns(spectra, "condition_number")
    stages = {stage: np.array(column, dtype=np.float64) for stage, (_, column) in columns.items() if column}
    stages = {stage: values[np.isfinite(values)] for stage, values in stages.items() if np.isfinite(values).any()}
    if not stages:
        return no_data(axes, "no condition numbers")
    places, names = list(stages), [columns[stage][0] for stage in stages]
    low, high = (np.array([np.quantile(values, share) for values in stages.values()]) for share in BAND)
    axes.fill_between(places, low, high, color=MAIN, alpha=0.25, linewidth=0, label="10 to 90% of the samples")
    axes.plot(places, [np.median(values) for values in stages.values()], "o-", color=MAIN, label="median")
    axes.set_yscale("log")
    axes.set_xticks(
        places, [label(place, name) for place, name in zip(places, names, strict=True)], rotation=45, ha="right"
    )
    axes.set_ylabel("condition number")
    axes.legend()
    return axes


def decay(spectra: pyarrow.Table, stages: Sequence[int] | None = None, ax: Axes | None = None) -> Axes:
    """The median of each singular value over the samples, a curve for every stage [figure 5].

    Args:
        spectra: what ``fiberscope.spectra`` gives, or ``AuditResults.spectra``.
        stages: numbers of the stages to draw; None for all.
        ax: axes of matplotlib; None for new ones.

    Raises:
        InputError: a stage that the table does not have.
    """
    axes = axes_of(ax)
    columns = _columns(spectra, "values")
    chosen = list(columns) if stages is None else list(stages)
    for stage in chosen:
        if stage not in columns:
            raise InputError("stages", expected=f"some of {', '.join(map(str, columns))}", got=str(stage))
    curves = {stage: np.median(np.array(columns[stage][1]), axis=0) for stage in chosen if columns[stage][1]}
    curves = {stage: values for stage, values in curves.items() if (values > 0).any()}
    if not curves:
        return no_data(axes, "no singular values")
    for colour, (stage, values) in zip(_colours(len(curves)), curves.items(), strict=True):
        positive = values[values > 0]
        index = np.arange(1, len(positive) + 1)
        axes.plot(index, positive, color=colour, label=label(stage, columns[stage][0]))
    axes.set_yscale("log")
    axes.set_xlabel("index, largest value first")
    axes.set_ylabel("singular value, median")
    axes.legend(fontsize="small")
    return axes


def _columns(spectra: Any, name: str) -> dict[int, tuple[str, list[Any]]]:
    """By stage its name, and a column without what is null."""
    found: dict[int, tuple[str, list[Any]]] = {}
    columns = (spectra[each].to_pylist() for each in ("stage", "name", name))
    for stage, words, value in zip(*columns, strict=True):
        found.setdefault(stage, (words, []))
        if value is not None:
            found[stage][1].append(value)
    return dict(sorted(found.items()))


def _colours(count: int) -> list[Any]:
    """Colours for so many curves; of many, along a scale that readers with any colour vision can follow."""
    if count <= len(SERIES):
        return list(SERIES[:count])
    import matplotlib

    scale: Any = matplotlib.colormaps["cividis"]
    return list(scale(np.linspace(0.0, 0.95, count)))


__all__ = ["condition_numbers", "decay", "spectrum"]
