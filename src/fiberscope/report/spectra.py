"""Medians of singular values as a table, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table

from fiberscope.report.counting import counted, middle, number
from fiberscope.report.terminal_tables import plain_table
from fiberscope.stability.stage_medians import StageMedians

_EXPLAINED = (
    "nonzero values: input directions that the network feels up to the stage; condition number: how many times as "
    "strongly it feels one of them as another, which is by how much inverting can magnify errors"
)
_RADII_EXPLAINED = (
    "; region distance: how far the sample is from where a unit turns on or off; stability radius: of a ball on which "
    "it is proved that features tell inputs apart"
)


def spectra_table(stages: Sequence[StageMedians]) -> Table:
    """Lay the medians out as a table for a terminal of 80 columns."""
    title = f"Singular values at {counted(max(stage.samples for stage in stages), 'sample')}, by stage"
    has_radii = any(not np.isnan(stage.stability_radius) for stage in stages)
    table = plain_table(title, _EXPLAINED + (_RADII_EXPLAINED if has_radii else ""))
    table.add_column("stage", overflow="fold")
    headings = ["outputs", "median\nnonzero\nvalues", "median\ncondition\nnumber"]
    headings += ["median\nregion\ndistance", "median\nstability\nradius"] if has_radii else []
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in stages:
        numbers = [stage.condition_number]
        numbers += [stage.region_distance, stage.stability_radius] if has_radii else []
        table.add_row(escape(stage.label), f"{stage.outputs:,}", middle(stage.rank), *map(number, numbers))
    return table


def radius_lines(stages: Sequence[StageMedians]) -> list[str]:
    """At how many samples of which stages a ball with a modulus is proved; why at none, where that is so everywhere."""
    known = [stage for stage in stages if stage.samples and not np.isnan(stage.stability_radius)]
    proved = [stage for stage in known if stage.with_radius]
    if known and not proved:
        return [f"stability radius: 0 up to every stage, for instance since {known[0].radius_reason}"]
    return [
        f"stage {stage.label}: a ball on which the features tell inputs apart is proved around {stage.with_radius} of "
        f"{counted(stage.samples, 'sample')}{_at_least(stage)}"
        for stage in proved
    ]


def _at_least(stage: StageMedians) -> str:
    return f", with a modulus of {number(stage.modulus)} (median)"


def left_out_lines(stages: Sequence[StageMedians]) -> list[str]:
    """Which stages were left out, and why."""
    return [
        f"stage {stage.label}: singular values left out at {counted(stage.left_out, 'sample')}: {stage.reason}"
        for stage in stages
        if stage.left_out
    ]


__all__ = ["left_out_lines", "radius_lines", "spectra_table"]
