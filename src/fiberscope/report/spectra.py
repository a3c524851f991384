"""Singular values, stage by stage: medians over the samples, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute
from jaxtyping import Float64
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fiberscope.audit.labels import label
from fiberscope.network.arrays import FloatArray

pc: Any = pyarrow.compute  # has no types


@dataclass(frozen=True, eq=False)
class StageSummary:
    """The singular values of the local linear maps up to one stage.

    Medians over samples are taken index by index after sorting, as in the paper.

    Attributes:
        stage: the number of the stage.
        name: what the model calls it.
        outputs: the number of its outputs.
        samples: the number of samples at which the values were computed.
        left_out: the number of samples at which they were not.
        reason: why they were not; empty where none was left out.
        rank: the median number of values above their error bound; NaN where there are no samples.
        condition_number: the median of the largest over the smallest such value; NaN where there is none.
        values: (r,) the medians of the values, descending.
        error_bound: (r,) the medians of their error bounds.
    """

    stage: int
    name: str
    outputs: int
    samples: int
    left_out: int
    reason: str
    rank: float
    condition_number: float
    values: Float64[FloatArray, " r"]
    error_bound: Float64[FloatArray, " r"]

    @property
    def label(self) -> str:
        """The stage by number and name; a name that is itself a number stands in quotes."""
        return label(self.stage, self.name)

    @property
    def resolved(self) -> Float64[FloatArray, " k"]:
        """The medians that lie above the median of their error bounds; the others cannot be told from zero."""
        return self.values[self.values > self.error_bound]


def summarise_spectra(table: Any) -> list[StageSummary]:
    """Medians over the samples, for every stage of a table of ``SPECTRA_SCHEMA``."""
    return [
        _summary(table.filter(pc.equal(table["stage"], stage))) for stage in sorted(table["stage"].unique().to_pylist())
    ]


def _summary(rows: Any) -> StageSummary:
    """The medians of some rows, all of one stage and at least one."""
    first = {name: rows[name][0].as_py() for name in ("stage", "name", "outputs")}
    reasons = [reason for reason in rows["reason"].to_pylist() if reason]
    computed = rows.filter(pc.equal(rows["reason"], ""))
    condition_number = computed["condition_number"].to_numpy()
    return StageSummary(
        **first,
        samples=len(computed),
        left_out=len(reasons),
        reason=reasons[0] if reasons else "",
        rank=_median(computed["rank"].to_numpy()),
        condition_number=_median(condition_number[~np.isnan(condition_number)]),
        values=_medians(computed["values"]),
        error_bound=_medians(computed["error_bound"]),
    )


def _median(values: NDArray[Any]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _medians(lists: Any) -> FloatArray:
    """Of lists of the same length, index by index; none of no lists."""
    if not len(lists):
        return np.zeros(0)
    numbers: FloatArray = lists.combine_chunks().flatten().to_numpy()
    return np.median(numbers.reshape(len(lists), -1), axis=0)


def spectra_table(stages: Sequence[StageSummary]) -> Table:
    """Lay the medians out as a table for a terminal of 80 columns."""
    title = f"Singular values at {max(stage.samples for stage in stages)} samples, by stage"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("stage", overflow="fold")
    for heading in ("outputs", "median\nnonzero\nvalues", "median\ncondition\nnumber"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in stages:
        table.add_row(escape(stage.label), str(stage.outputs), number(stage.rank), number(stage.condition_number))
    return table


def left_out_lines(stages: Sequence[StageSummary]) -> list[str]:
    """Which stages were left out, and why."""
    return [
        f"stage {stage.label}: singular values left out at {stage.left_out} samples: {stage.reason}"
        for stage in stages
        if stage.left_out
    ]


def number(value: float) -> str:
    """A number for a table; a dash where there is none."""
    if np.isnan(value):
        return "-"
    return f"{value:.2e}" if value >= 1e5 else f"{value:.5g}"


__all__ = ["StageSummary", "left_out_lines", "number", "spectra_table", "summarise_spectra"]
