"""Kinds of preimages: over the number of positive outputs, and layer by layer."""

# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.plots.axes import axes_of, no_data
from fiberscope.showing.colours import KINDS, MARK

if TYPE_CHECKING:
    import pyarrow
    from matplotlib.axes import Axes

_BINS = 40
"""Bars at most."""


def kinds_by_positives(
    positives: NDArray[np.int64], kinds: NDArray[Any], inputs: int | None = None, ax: Axes | None = None
) -> Axes:
    """How many samples of each kind there are over the number of positive outputs [figure 3].

    Args:
        positives: (N,) numbers of positive outputs.
        kinds: (N,) kinds.
        inputs: the number of inputs n, to be marked.
        ax: axes of matplotlib; None for new ones.
    """
    axes = axes_of(ax)
    if not len(positives):
        return no_data(axes, "no samples")
    low, high = int(positives.min()), int(positives.max())
    width = max(1, -(-(high - low + 1) // _BINS))
    edges = np.arange(low, high + width + 1, width) - 0.5
    below = np.zeros(len(edges) - 1)
    for kind, colour in KINDS.items():
        counts, _ = np.histogram(positives[kinds == kind], bins=edges)
        if counts.any():
            axes.bar((edges[:-1] + edges[1:]) / 2, counts, width, bottom=below, color=colour, label=kind)
            below = below + counts
    if inputs is not None and inputs <= high + 3 * (high - low + 1):  # farther away it would squeeze the bars
        axes.axvline(inputs, color=MARK, linestyle="--", label=f"n = {inputs} inputs")
    axes.set_xlabel("number of positive outputs")
    axes.set_ylabel("samples")
    axes.legend()
    return axes


def kinds_by_layer(findings: pyarrow.Table, ax: Axes | None = None) -> Axes:
    """The share of the samples of each kind, a bar for each layer, domain and precision.

    Args:
        findings: the findings of an audit, ``AuditResults.findings``.
        ax: axes of matplotlib; None for new ones.
    """
    table: Any = findings
    places = [table[name].to_pylist() for name in ("layer", "domain", "precision")]
    counts: dict[tuple[Any, ...], dict[str, int]] = {}
    for *place, kind in zip(*places, table["kind"].to_pylist(), strict=True):
        at = counts.setdefault(tuple(place), {})
        at[kind] = at.get(kind, 0) + 1
    labels = [f"layer {layer}, {domain}{'' if exact == 'exact' else f' at {exact}'}" for layer, domain, exact in counts]
    return _stacked(axes_of(ax), labels, list(counts.values()))


def _stacked(axes: Any, labels: Sequence[str], counts: Sequence[Mapping[str, int]]) -> Any:
    if not labels:
        return no_data(axes, "no findings")
    left, rows = np.zeros(len(labels)), np.arange(len(labels))
    for kind, colour in KINDS.items():
        share = np.array([each.get(kind, 0) / sum(each.values()) for each in counts])
        if share.any():
            axes.barh(rows, share, left=left, color=colour, label=kind)
            left = left + share
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel("share of the samples")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.15), ncols=len(KINDS), frameon=False)
    return axes


__all__ = ["kinds_by_layer", "kinds_by_positives"]
