"""Figure 4: output units, number of singular values and condition number over the stages [section 3.2]."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fiberscope.network.arrays import FloatArray
from fiberscope.stability.stage_medians import StageMedians
from fiberscope_paper.context import Context
from fiberscope_paper.drawing import BLUE, RED, new_figure
from fiberscope_paper.kept_spectra import as_facts
from fiberscope_paper.outcome import Claim, Outcome
from fiberscope_paper.spectra_subjects import Subject, thin, wide


def figure4(context: Context) -> Outcome:
    """The three curves of WideCIFAR and ThinCIFAR, or of one network that the user names."""
    subjects = [wide(context)] if context.model is not None else [wide(context), thin(context)]
    first = subjects[0]
    title = f"Stability over the stages {first.data.where}"
    figure, axes = new_figure(6.0, 7.5, title, rows=3)
    for subject, colour in zip(subjects, (BLUE, RED), strict=False):
        _draw(axes, subject, colour)
    axes[0].legend(fontsize=8)
    axes[-1].set_xlabel("stage: every affine map and every activation is one")
    return Outcome(
        title,
        " ".join(subject.caption for subject in subjects),
        {subject.label: as_facts(subject.medians) for subject in subjects},
        claims(subjects),
        figure=figure,
        numbers=_numbers(subjects),
        data=first.data,
        network=first.used,
        other_networks=tuple(subject.used for subject in subjects[1:]),
        samples=len(first.X),
    )


def _draw(axes: Sequence[Axes], subject: Subject, colour: str) -> None:
    stages = [each.stage + 1 for each in subject.medians]
    curves = (
        ("output units", [float(each.outputs) for each in subject.medians]),
        ("nonzero singular values", [each.rank for each in subject.medians]),
        ("condition number", [each.condition_number for each in subject.medians]),
    )
    for place, (name, values) in zip(axes, curves, strict=True):
        place.plot(stages, values, "o-", color=colour, label=subject.label, markersize=3.5, linewidth=1.2)
        place.set_ylabel(name)
        place.set_xticks(stages)
    axes[2].set_yscale("log")


def claims(subjects: Sequence[Subject]) -> tuple[Claim, ...]:
    """What section 3.2 and appendix A5 say of ThinCIFAR, or of a network in its place."""
    if len(subjects) == 1:
        return (_tied(subjects[0]),)
    wide, thin = subjects
    return thin_loses_values(thin), _tied(thin), more_invariance(wide, thin), stronger_effect(wide, thin)


def thin_loses_values(subject: Subject) -> Claim:
    """In layer 5: the sixth stage of figure 4, which counts from 0, or the ReLU behind the fifth convolution."""
    steps = (("as figure 4 counts", 4, 5), ("as figures 7 and 9 count", 8, 9))
    pairs = [(words, subject.medians[first], subject.medians[last]) for words, first, last in steps]
    good = any(b.rank < a.rank and b.condition_number < a.condition_number for _, a, b in pairs)
    told = "; ".join(
        f"{words}, from stage {a.stage + 1} to {b.stage + 1}: {a.rank:g} to {b.rank:g} nonzero values, condition "
        f"number {a.condition_number:.4g} to {b.condition_number:.4g}"
        for words, a, b in pairs
    )
    return Claim(
        "ThinCIFAR: the number of singular values decreases in layer 5, which lowers the condition number",
        told,
        good,
        "" if good else subject.why_other,
    )


def _tied(subject: Subject) -> Claim:
    """Where values are lost, the condition number falls."""
    steps = list(pairwise(subject.medians))
    losses = [(a, b) for a, b in steps if b.rank < a.rank]
    lower = sum(bool(b.condition_number < a.condition_number) for a, b in losses)
    good = None if not losses else lower == len(losses)
    return Claim(
        "ThinCIFAR: where singular values become zero, the smallest are cut off, and the condition number falls",
        f"stages that lose values: {_named(losses)}; the condition number falls at {lower} of {len(losses)}",
        good,
        "" if good else "no stage loses any" if good is None else subject.why_other,
    )


def more_invariance(wide: Subject, thin: Subject) -> Claim:
    """Directions that the linear region does not feel, stage by stage."""
    inputs = wide.used.network.inputs
    pairs = [(a, b) for a, b in zip(wide.medians, thin.medians, strict=True) if a.rank != b.rank]
    told = ", ".join(f"stage {a.stage + 1}: {inputs - a.rank:g} and {inputs - b.rank:g}" for a, b in pairs)
    good = all(b.rank < a.rank for a, b in pairs) if pairs else None
    return Claim(
        "ThinCIFAR has more invariance directions within the linear region",
        f"of WideCIFAR and ThinCIFAR, where they differ: {told or 'nowhere'}",
        good,
        "" if good else "neither loses any" if good is None else thin.why_other,
    )


def stronger_effect(wide: Subject, thin: Subject) -> Claim:
    """What is left of the singular values behind the ReLU of layer 2: the median of the quotients at equal places."""
    left = [float(np.median(_quotients(*subject.medians[2:4]))) for subject in (wide, thin)]
    good = left[1] < left[0]
    return Claim(
        "the effect of ReLU in layer 2 is stronger for ThinCIFAR, which has fewer remaining rows (appendix A5)",
        f"by the median, it multiplies a singular value by {left[0]:.3g} in WideCIFAR, by {left[1]:.3g} in ThinCIFAR",
        good,
        "" if good else thin.why_other,
    )


def _quotients(before: StageMedians, after: StageMedians) -> FloatArray:
    count = min(len(before.resolved), len(after.values))
    return after.values[:count] / before.values[:count]


def _named(losses: Sequence[tuple[StageMedians, StageMedians]]) -> str:
    told = [f"{b.stage + 1} ({a.rank:g} to {b.rank:g})" for a, b in losses]
    return ", ".join(told) or "none"


def _numbers(subjects: Sequence[Subject]) -> dict[str, Any]:
    rows = [(subject.label, each) for subject in subjects for each in subject.medians]
    return {
        "network": [label for label, _ in rows],
        "stage": [each.stage + 1 for _, each in rows],
        "name": [each.name for _, each in rows],
        "outputs": [each.outputs for _, each in rows],
        "nonzero_values": np.array([each.rank for _, each in rows]),
        "condition_number": np.array([each.condition_number for _, each in rows]),
    }


__all__ = ["claims", "figure4", "more_invariance", "stronger_effect", "thin_loses_values"]
