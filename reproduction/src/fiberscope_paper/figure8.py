"""Figure 8: how many rows satisfy condition (3) of Lemma 9, against c [appendix A5]."""

from __future__ import annotations

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.stability.correlation import CorrelationCounts, correlation_counts
from fiberscope.stability.linearization import linearize
from fiberscope_paper.context import Context
from fiberscope_paper.drawing import BLUE, GREY, RED, new_figure
from fiberscope_paper.outcome import Claim, Outcome
from fiberscope_paper.spectra_subjects import Subject, wide

CONSTANTS = np.geomspace(1e-2, 1e2, 81)
"""The values of c that are tried; the paper draws 0.01 to 10."""

LAYER = 4
"""The paper's, counted from 1."""


def figure8(context: Context) -> Outcome:
    """Count the kept rows that are weakly correlated with the best removed row, in layer 4 at one sample."""
    subject = wide(context, with_medians=False)
    stage = _affine_stage(subject)
    context.progress("rows of the layer", 0, 1)
    sample, rows, kept = _first_with_both(subject, stage)
    counts = correlation_counts(rows, kept, CONSTANTS)
    context.progress("rows of the layer", 1, 1)
    title = f"Rows that satisfy condition (3), stage {stage + 1} of {subject.label} {subject.data.where}"
    figure, (axes,) = new_figure(6.0, 4.2, title)
    axes.semilogx(
        CONSTANTS, counts.counts, color=BLUE, label="rows that satisfy the condition, for the best removed row"
    )
    axes.axhline(counts.kept, color=RED, linewidth=1.0, label=f"rows that ReLU keeps: {counts.kept:,}")
    for value, label, line in _bounds(counts):
        axes.axvline(value, color=GREY, linestyle=line, linewidth=1.0, label=f"{label}: {value:.3g}")
    axes.set_xlabel("c")
    axes.set_ylabel("rows")
    axes.legend(fontsize=7)
    return Outcome(
        title,
        f"{subject.used.description} One sample, number {sample}, counted from 0, of: "
        f"{subject.data.test.description}. The printed bound is "
        "the smallest c at which all kept rows satisfy the condition, the direct one |D A a_k| / |a_k| for the best "
        "row.",
        _facts(counts, stage),
        claims(counts, subject),
        figure=figure,
        numbers={"c": CONSTANTS, "rows": counts.counts, "removed_row": counts.rows},
        data=subject.data,
        network=subject.used,
        samples=1,
    )


def _first_with_both(subject: Subject, stage: int) -> tuple[int, FloatArray, BoolArray]:
    """The first sample at which the ReLU keeps some rows and removes some that are not zero; the rows, and which stay.

    Raises:
        InputError: there is none.
    """
    network = subject.used.network
    for sample, x in enumerate(subject.X):
        kept: BoolArray = np.asarray(network.evaluated(x[None], stage)[0] > 0)
        if not kept.any() or kept.all():
            continue
        rows = linearize(network, x.reshape(network.input_shape), stage).matrix()
        if rows[~kept].any():
            return sample, rows, kept
    raise InputError(
        "--samples",
        expected="a sample at which the ReLU keeps some rows and removes some that are not zero",
        got=f"none among the first {len(subject.X)}",
        hint="take more",
    )


def _affine_stage(subject: Subject) -> int:
    """The affine map of layer 4, or of the last one where there are fewer."""
    stages = subject.used.network.stages
    layers = [n - 1 for n, stage in enumerate(stages) if n and stage.activation is not None and stages[n - 1].maps]
    if not layers:
        raise InputError("--model", expected="a network with an activation behind an affine map", got="none")
    return layers[min(LAYER, len(layers)) - 1]


def _bounds(counts: CorrelationCounts) -> list[tuple[float, str, str]]:
    measured = counts.best.smallest_nonzero
    found = [(counts.best.printed, "printed bound", "-"), (counts.best_direct.direct, "direct bound", "--")]
    if counts.interlacing.sharpened is not None:
        found.append((counts.interlacing.sharpened, "interlacing bound", "-."))
    return found if measured is None else [*found, (measured, "smallest nonzero value, measured", ":")]


def _facts(counts: CorrelationCounts, stage: int) -> dict[str, object]:
    best, direct = counts.best, counts.best_direct
    return {
        "stage": stage + 1,
        "kept_rows": counts.kept,
        "zero_rows": counts.zero_rows,
        "printed_bound": best.printed,
        "printed_applies": best.applies,
        "direct_bound": direct.direct,
        "direct_applies": direct.applies,
        "projected_bound": direct.projected,
        "smallest_nonzero": best.smallest_nonzero,
        "largest": counts.interlacing.largest_measured,
        "interlacing_bound": counts.interlacing.sharpened,
        "printed_interlacing_bound": counts.interlacing.printed,
    }


def claims(counts: CorrelationCounts, subject: Subject) -> tuple[Claim, ...]:
    """What appendix A5 says."""
    other = subject.why_other
    at_small = float(counts.counts[np.searchsorted(CONSTANTS, 0.5)]) / counts.kept
    best, largest = counts.best, counts.interlacing.largest_measured
    far = best.printed > largest
    return (
        Claim(
            "even for small constants c most rows fulfil condition (3), but not all",
            f"at c = 0.5, {at_small:.1%} of the {counts.kept:,} kept rows",
            0.5 < at_small < 1.0,
            "" if 0.5 < at_small < 1.0 else other,
        ),
        Claim(
            "the bound of Lemma 9 is far off: all rows fulfil the condition at c of about 6 only, and even the largest "
            "singular value after ReLU is smaller",
            f"all do at c = {best.printed:.3g}; largest singular value {largest:.3g}, smallest nonzero "
            f"{best.smallest_nonzero or 0.0:.3g}; the direct bound is {counts.best_direct.direct:.3g}",
            far,
            "" if far else other,
        ),
    )


__all__ = ["CONSTANTS", "claims", "figure8"]
