"""Figure 4: output units, number of singular values and condition number over the stages [section 3.2]."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from fiberscope.paper.reproduction.context import Context
from fiberscope.paper.reproduction.drawing import BLUE, RED, new_figure
from fiberscope.paper.reproduction.kept_spectra import as_facts
from fiberscope.paper.reproduction.outcome import Claim, Outcome
from fiberscope.paper.reproduction.spectra_subjects import Subject, thin, wide
from fiberscope.stability.stage_medians import StageMedians


def figure4(context: Context) -> Outcome:
    """The three curves of WideCIFAR and ThinCIFAR, or of one network that the user names."""
    subjects = [wide(context)] if context.model is not None else [wide(context), thin(context)]
    first = subjects[0]
    title = f"Stability over the stages {first.data.where}"
    figure, axes = new_figure(6.0, 7.5, rows=3)
    figure.suptitle(title, fontsize=10)
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
    """What section 3.2 says."""
    found = [_tied(subject) for subject in subjects]
    if len(subjects) == 2:
        found.append(thin_loses_values(subjects[1]))
    return tuple(found)


def thin_loses_values(subject: Subject) -> Claim:
    """ThinCIFAR, layer 5: stages 8 to 10."""
    before, _, after = (subject.medians[number] for number in (7, 8, 9))
    falls, better = after.rank < before.rank, after.condition_number < before.condition_number
    good = bool(falls and better)
    return Claim(
        "ThinCIFAR: the number of singular values decreases in layer 5, which lowers the condition number",
        f"from layer 4 to layer 5: {before.rank:g} to {after.rank:g} nonzero values, condition number "
        f"{before.condition_number:.4g} to {after.condition_number:.4g}",
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
        f"{subject.label}: where singular values become zero, the smallest are cut off, and the condition number falls",
        f"stages that lose values: {_named(losses)}; the condition number falls at {lower} of {len(losses)}",
        good,
        "" if good else "no stage loses any" if good is None else subject.why_other,
    )


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


__all__ = ["claims", "figure4", "thin_loses_values"]
