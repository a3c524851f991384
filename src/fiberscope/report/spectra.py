"""Medians of singular values as a table, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fiberscope.report.counting import counted
from fiberscope.stability.stage_medians import StageMedians


def spectra_table(stages: Sequence[StageMedians]) -> Table:
    """Lay the medians out as a table for a terminal of 80 columns."""
    title = f"Singular values at {counted(max(stage.samples for stage in stages), 'sample')}, by stage"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stage", overflow="fold")
    for heading in ("outputs", "median\nnonzero\nvalues", "median\ncondition\nnumber"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in stages:
        table.add_row(escape(stage.label), str(stage.outputs), number(stage.rank), number(stage.condition_number))
    return table


def left_out_lines(stages: Sequence[StageMedians]) -> list[str]:
    """Which stages were left out, and why."""
    return [
        f"stage {stage.label}: singular values left out at {counted(stage.left_out, 'sample')}: {stage.reason}"
        for stage in stages
        if stage.left_out
    ]


def number(value: float) -> str:
    """A number for a table; a dash where there is none."""
    if np.isnan(value):
        return "-"
    return f"{value:.2e}" if value >= 1e5 else f"{value:.5g}"


__all__ = ["left_out_lines", "number", "spectra_table"]
