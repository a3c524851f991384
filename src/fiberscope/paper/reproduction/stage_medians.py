"""The singular values of some stages at some samples: computed once and kept, and their medians."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from fiberscope.errors import ResultsError
from fiberscope.files import read_file, write_file
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.paper.reproduction.context import Context
from fiberscope.stability.spectra import spectra

_arrow: Any = pa  # these have no types
_UNREADABLE: tuple[type[Exception], ...] = (cast(Any, pa).ArrowException, OSError, ValueError)
_parquet: Any = pq


@dataclass(frozen=True, eq=False)
class StageMedians:
    """The singular values up to one stage: medians over samples, index by index after sorting.

    Attributes:
        stage: its number, from 0; the paper counts from 1.
        name: what the model calls it.
        affine: whether it is an affine map; else an activation.
        outputs: the number of its outputs.
        rank: the median number of values above their error bounds.
        condition_number: the median of the largest over the smallest of these; NaN where no sample has any.
        largest: the median of the largest value.
        smallest: the median of the smallest value above its error bound; NaN where no sample has any.
        values: (k,) the medians, descending.
        resolved: how many of them lie above the median of their error bounds.
    """

    stage: int
    name: str
    affine: bool
    outputs: int
    rank: float
    condition_number: float
    largest: float
    smallest: float
    values: Float64[FloatArray, " k"]
    resolved: int


def stage_medians(
    context: Context, network: Network, X: Float64[FloatArray, "N n"], stages: Sequence[int], task: str
) -> list[StageMedians]:
    """The medians over X at some stages.

    The singular values at each sample are kept beside the trained networks, because several figures show the same
    ones, and an interrupted run continues with those that are there.

    Args:
        context: where they are kept, and who is told how far the work is.
        network: the network.
        X: samples.
        stages: numbers of stages.
        task: what the progress report calls the work.

    Raises:
        ResultsError: what is kept is damaged, or cannot be written.
    """
    digest = network.digest()
    rows: list[dict[str, Any]] = []
    for number, x in enumerate(X):
        identity = {"network": digest, "sample": hashlib.sha256(x.tobytes()).hexdigest(), "stages": list(stages)}
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        report = partial(_report, context, task, number, len(X))
        rows += _kept_or_computed(context.networks / f"spectra-{name}.parquet", network, x, stages, report).to_pylist()
    return [_medians(network, stage, [row for row in rows if row["stage"] == stage]) for stage in stages]


def _report(context: Context, task: str, number: int, samples: int, done: int, total: int) -> None:
    """Of one sample's work ``done`` of ``total``."""
    context.progress(task, number * total + done, samples * total)


def _kept_or_computed(
    path: Path, network: Network, x: FloatArray, stages: Sequence[int], progress: Callable[[int, int], None]
) -> Any:
    if path.is_file():
        try:
            return _parquet.read_table(io.BytesIO(read_file(path)), page_checksum_verification=True)
        except _UNREADABLE as error:
            raise ResultsError(f"{path} is damaged ({error}); remove it to compute again", path=str(path)) from error
    table = spectra(network, x.reshape(1, *network.input_shape), stages, progress=progress)
    buffer = io.BytesIO()
    _parquet.write_table(table, buffer, write_page_checksum=True)
    write_file(path, buffer.getvalue())
    return table


def _medians(network: Network, stage: int, rows: Sequence[dict[str, Any]]) -> StageMedians:
    """Of the rows of one stage, at least one."""
    values, bounds = (np.median(np.array([row[name] for row in rows]), axis=0) for name in ("values", "error_bound"))
    some = [row for row in rows if row["rank"]]
    return StageMedians(
        stage=stage,
        name=rows[0]["name"],
        affine=network.stages[stage].activation is None,
        outputs=rows[0]["outputs"],
        rank=float(np.median([row["rank"] for row in rows])),
        condition_number=_median_of(some, "condition_number"),
        largest=_median_of(rows, "largest"),
        smallest=_median_of(some, "smallest_nonzero"),
        values=values,
        resolved=int((values > bounds).sum()),
    )


def _median_of(rows: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.median([row[name] for row in rows])) if rows else float("nan")


def as_facts(medians: Sequence[StageMedians]) -> list[dict[str, Any]]:
    """A dictionary per stage, as JSON data, NaN as null. Stages are counted from 1, as in the paper."""
    return [
        {
            "stage": each.stage + 1,
            "name": each.name,
            "outputs": each.outputs,
            "nonzero_values": each.rank,
            "condition_number": _or_none(each.condition_number),
            "largest": each.largest,
            "smallest_nonzero": _or_none(each.smallest),
        }
        for each in medians
    ]


def as_numbers(curves: Sequence[tuple[str, StageMedians]]) -> dict[str, Any]:
    """All values of some stages as columns of equal length; stages and indices are counted from 1."""
    columns: dict[str, list[Any]] = {"network": [], "stage": [], "index": [], "value": [], "resolved": []}
    for network, each in curves:
        count = len(each.values)
        columns["network"] += [network] * count
        columns["stage"] += [each.stage + 1] * count
        columns["index"] += range(1, count + 1)
        columns["value"] += each.values.tolist()
        columns["resolved"] += [i < each.resolved for i in range(count)]
    return columns


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


__all__ = ["StageMedians", "as_facts", "as_numbers", "stage_medians"]
