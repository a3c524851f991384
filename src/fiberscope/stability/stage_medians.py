"""Singular values, stage by stage: medians over the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
from jaxtyping import Float64

from fiberscope.labels import label
from fiberscope.network.arrays import FloatArray

pa: Any = pyarrow  # these have no types
pc: Any = pyarrow.compute


@dataclass(frozen=True, eq=False)
class StageMedians:
    """The singular values of the local linear maps up to one stage.

    Medians over samples are taken index by index after sorting, as in the paper.

    Attributes:
        stage: the number of the stage, from 0.
        name: what the model calls it.
        outputs: the number of its outputs.
        samples: the number of samples at which the values were computed.
        left_out: the number of samples at which they were not.
        reason: why they were not; empty where none was left out.
        rank: the median number of values above their error bound; NaN where there are no samples.
        condition_number: the median of the largest over the smallest such value; NaN where there is none.
        largest: the median of the largest value; NaN where there are no samples.
        smallest_nonzero: the median of the smallest value above its error bound; NaN where there is none.
        values: (r,) the medians of the values, descending.
        error_bound: (r,) the medians of their error bounds.
        region_distance: the median distance to the end of the linear region; NaN where it is not known.
        stability_radius: the median radius of a ball with a proved modulus, 0 where there is none; NaN likewise.
        modulus: the median modulus on these balls; NaN where there are none.
        with_radius: the number of samples with such a ball.
        radius_reason: why there is none, of the first sample without; empty where there is none such.
    """

    stage: int
    name: str
    outputs: int
    samples: int
    left_out: int
    reason: str
    rank: float
    condition_number: float
    largest: float
    smallest_nonzero: float
    values: Float64[FloatArray, " r"]
    error_bound: Float64[FloatArray, " r"]
    region_distance: float = float("nan")
    stability_radius: float = float("nan")
    modulus: float = float("nan")
    with_radius: int = 0
    radius_reason: str = ""

    @property
    def label(self) -> str:
        """The stage by number and name; a name that is itself a number stands in quotes."""
        return label(self.stage, self.name)

    @property
    def resolved(self) -> Float64[FloatArray, " k"]:
        """The medians that lie above the median of their error bounds; the others cannot be told from zero."""
        return self.values[self.values > self.error_bound]


def stage_medians(table: Any) -> list[StageMedians]:
    """Medians over the samples, stage by stage, in the order of the stages.

    Args:
        table: as ``spectra`` makes it; where it has a column ``reason``, rows with a reason have no values.
    """
    if "reason" not in table.column_names:
        table = table.append_column("reason", pa.nulls(len(table), pa.string()).fill_null(""))
    stages = sorted(table["stage"].unique().to_pylist())
    return [_of_stage(table.filter(pc.equal(table["stage"], stage))) for stage in stages]


def _of_stage(rows: Any) -> StageMedians:
    """The medians of some rows, all of one stage and at least one."""
    first = {name: rows[name][0].as_py() for name in ("stage", "name", "outputs")}
    reasons = [reason for reason in rows["reason"].to_pylist() if reason]
    computed = rows.filter(pc.equal(rows["reason"], ""))
    return StageMedians(
        **first,
        samples=len(computed),
        left_out=len(reasons),
        reason=reasons[0] if reasons else "",
        rank=_median(computed["rank"]),
        condition_number=_median(computed["condition_number"]),
        largest=_median(computed["largest"]),
        smallest_nonzero=_median(computed["smallest_nonzero"]),
        values=_medians(computed["values"]),
        error_bound=_medians(computed["error_bound"]),
        **(_radii(computed) if "stability_radius" in rows.column_names else {}),
    )


def _radii(computed: Any) -> dict[str, Any]:
    """The medians of what an audit adds to the columns of ``spectra``."""
    proved = computed.filter(pc.greater(computed["stability_radius"], 0.0))
    return {
        "region_distance": _median(computed["region_distance"]),
        "stability_radius": _median(computed["stability_radius"]),
        "modulus": _median(proved["modulus"]),
        "with_radius": len(proved),
        "radius_reason": next((reason for reason in computed["radius_reason"].to_pylist() if reason), ""),
    }


def _median(column: Any) -> float:
    """Of the numbers in a column; NaN where it holds none."""
    values = column.to_numpy().astype(np.float64)
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _medians(lists: Any) -> FloatArray:
    """Of lists of the same length, index by index; none of no lists."""
    if not len(lists):
        return np.zeros(0)
    numbers: FloatArray = lists.combine_chunks().flatten().to_numpy()
    return np.median(numbers.reshape(len(lists), -1), axis=0)


__all__ = ["StageMedians", "stage_medians"]
