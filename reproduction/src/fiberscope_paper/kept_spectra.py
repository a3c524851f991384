"""The singular values of some stages at some samples: computed once and kept; and their medians as data."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
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
from fiberscope.stability.linearization import checked_stage
from fiberscope.stability.spectra import SCHEMA, spectra  # pyright: ignore[reportUnknownVariableType] - pyarrow has no types
from fiberscope.stability.stage_medians import StageMedians
from fiberscope_paper.context import Context

_arrow: Any = pa  # these have no types
_UNREADABLE: tuple[type[Exception], ...] = (cast(Any, pa).ArrowException, OSError, ValueError)
_parquet: Any = pq


def kept_spectra(
    context: Context, network: Network, X: Float64[FloatArray, "N n"], stages: Sequence[int], task: str
) -> Any:
    """The singular values at some stages, as ``spectra`` gives them.

    Those at each sample are kept beside the trained networks, because several figures show the same ones, and an
    interrupted run continues with those that are there.

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
    tables: list[Any] = []
    for number, x in enumerate(X):
        identity = {"network": digest, "sample": hashlib.sha256(x.tobytes()).hexdigest(), "stages": list(stages)}
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        report = partial(_report, context, task, number, len(X))
        tables.append(_kept_or_computed(context.networks / f"spectra-{name}.parquet", network, x, stages, report))
    return _arrow.concat_tables(tables)


def _report(context: Context, task: str, number: int, samples: int, done: int, total: int) -> None:
    """Of one sample's work ``done`` of ``total``."""
    context.progress(task, number * total + done, samples * total)


def _kept_or_computed(
    path: Path, network: Network, x: FloatArray, stages: Sequence[int], progress: Callable[[int, int], None]
) -> Any:
    if path.is_file():
        return _kept(path, network, stages)
    table = cast(Any, spectra)(network, x.reshape(1, *network.input_shape), stages, progress=progress)
    buffer = io.BytesIO()
    _parquet.write_table(table, buffer, write_page_checksum=True)
    write_file(path, buffer.getvalue())
    return table


def _kept(path: Path, network: Network, stages: Sequence[int]) -> Any:
    """What a file holds, if that is the singular values at these stages, each once."""
    try:
        file = _parquet.ParquetFile(io.BytesIO(read_file(path)), page_checksum_verification=True)
        table = file.read(use_threads=False)  # its threads abort a process that ends while they start
    except _UNREADABLE as error:
        raise _refused(path, f"it is damaged ({error})") from error
    if not table.schema.equals(SCHEMA):
        raise _refused(path, f"expected the columns {', '.join(SCHEMA.names)}, got {', '.join(table.schema.names)}")
    wanted, have = sorted({checked_stage(network, stage) for stage in stages}), table["stage"].to_pylist()
    if have != wanted:
        raise _refused(path, f"expected a row for each of the stages {wanted}, got {have}")
    return table


def _refused(path: Path, why: str) -> ResultsError:
    return ResultsError(f"{path} does not hold the singular values: {why}; remove it to compute again", path=str(path))


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
            "smallest_nonzero": _or_none(each.smallest_nonzero),
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
        columns["resolved"] += [i < len(each.resolved) for i in range(count)]
    return columns


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


__all__ = ["as_facts", "as_numbers", "kept_spectra"]
