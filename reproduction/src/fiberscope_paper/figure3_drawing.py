"""Figure 3 as a drawing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.kind import Kind
from fiberscope_paper.drawing import BLUE, GREY, LIGHT_GREY, RED, new_figure
from fiberscope_paper.figure3_measuring import Measured, Verdicts, strip_of
from fiberscope_paper.null_models import donoho_tanner, wendel

BINS = 60


def draw(measured: Measured, title: str) -> Figure:
    """Counts above, shares of finite preimages in the middle, single points in the box below."""
    figure, axes = new_figure(7.0, 8.2, title, rows=3)
    _counts(axes[0], measured)
    _shares(axes[1], measured)
    _box(axes[2], measured)
    axes[2].set_xlabel("positive outputs")
    return figure


def _counts(axes: Axes, measured: Measured) -> None:
    verdicts, strip = measured.verdicts, strip_of(measured.verdicts)
    edges = _edges(verdicts.positives)
    for chosen, colour, label in (
        (verdicts.finite, BLUE, "finite (bounded or a single point)"),
        (verdicts.has(Kind.UNBOUNDED), RED, "unbounded"),
    ):
        counts, _ = np.histogram(verdicts.positives[chosen], edges)
        axes.stairs(counts, edges, color=colour, label=f"{label}: {int(chosen.sum()):,}", linewidth=1.4)
    single = verdicts.has(Kind.SINGLETON)
    label = f"of the finite, a single point: {int(single.sum()):,}"
    axes.stairs(*np.histogram(verdicts.positives[single], edges), color=BLUE, linestyle=":", label=label)
    if strip.overlaps and strip.smallest_finite is not None and strip.largest_unbounded is not None:
        label = f"both kinds: {strip.smallest_finite} to {strip.largest_unbounded}"
        axes.axvspan(
            strip.smallest_finite - 0.5, strip.largest_unbounded + 0.5, color=GREY, alpha=0.6, zorder=0, label=label
        )
    if edges[-1] > measured.inputs:
        label = f"at least {measured.inputs}: as many equations as inputs"
        axes.axvspan(measured.inputs, edges[-1], color=LIGHT_GREY, alpha=0.6, zorder=0, label=label)
    if measured.printed is not None and len(measured.printed.samples):
        asked = verdicts.positives[measured.printed.samples]
        label = f"Algorithm 1 asked: {int(measured.printed.wrong.sum())} of {len(asked)} answers wrong"
        axes.plot(asked, np.zeros(len(asked)), "|", color="black", markersize=9, label=label, clip_on=False)
    axes.set_ylabel("samples")
    axes.legend(fontsize=7)


def _shares(axes: Axes, measured: Measured) -> None:
    _share(axes, measured.verdicts, measured.verdicts.finite, BLUE, "the network")
    every = measured.verdicts.positives
    if measured.fresh is not None:
        _share(axes, measured.fresh, measured.fresh.finite, GREY, "fresh Glorot weights")
        every = np.concatenate([every, measured.fresh.positives])
    positives: IntArray = np.arange(int(every.min()), int(every.max()) + 1)
    line = wendel(measured.outputs - positives, np.maximum(measured.inputs - positives, 0))
    axes.plot(positives, line, "--", color="black", linewidth=1.0, label="random directions (Wendel)")
    axes.set_ylabel("share of finite preimages")
    axes.legend(fontsize=7)


def _box(axes: Axes, measured: Measured) -> None:
    axes.set_ylabel("share of single points in [0, 1]")
    if measured.boxed is None:
        axes.text(0.5, 0.5, "the inputs do not lie in the box [0, 1]", ha="center", transform=axes.transAxes)
        return
    both = (measured.boxed, BLUE, "the network"), (measured.fresh_boxed, GREY, "fresh Glorot weights")
    for verdicts, colour, name in both:
        if verdicts is None:
            continue
        _share(axes, verdicts, verdicts.has(Kind.SINGLETON), colour, name)
        expected = donoho_tanner(measured.tight, verdicts.positives, measured.inputs)
        centres, means = binned(verdicts.positives, expected)
        axes.plot(centres, means, "--", color=colour, linewidth=1.0, label=f"random rows, as at {name}")
    axes.legend(fontsize=7)


def _share(axes: Axes, verdicts: Verdicts, chosen: BoolArray, colour: str, label: str) -> None:
    centres, means = binned(verdicts.positives, chosen.astype(np.float64))
    axes.plot(centres, means, ".-", color=colour, linewidth=1.0, markersize=3, label=label)
    axes.set_ylim(-0.04, 1.04)


def binned(
    positives: IntArray, values: Float64[FloatArray, " N"]
) -> tuple[Float64[FloatArray, " b"], Float64[FloatArray, " b"]]:
    """The mean number of positives and the mean value in every bin that holds a sample."""
    edges = _edges(positives)
    place = np.digitize(positives, edges)
    kept = np.unique(place)
    centres = [float(positives[place == each].mean()) for each in kept]
    return np.array(centres), np.array([float(values[place == each].mean()) for each in kept])


def _edges(positives: IntArray) -> Float64[FloatArray, " e"]:
    """Borders of bins of a whole number of positives each."""
    low, high = int(positives.min()), int(positives.max())
    width = max(1, -(-(high - low + 1) // BINS))
    return np.arange(low, high + width + 1, width, dtype=np.float64) - 0.5


__all__ = ["binned", "draw"]
