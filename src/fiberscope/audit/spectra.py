"""The singular values of every stage at one sample: of the stages that fit, and for the others why they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from fiberscope.audit.effort import has_large_matrices
from fiberscope.audit.shards import SPECTRA_SCHEMA
from fiberscope.audit.task import SpectraTask
from fiberscope.errors import InputError
from fiberscope.network.network import Network
from fiberscope.stability.spectra import spectra
from fiberscope.threads import one_thread

pa: Any = pyarrow  # has no types

ExecuteSpectra = Callable[[Iterable[SpectraTask]], Iterable[tuple[SpectraTask, Any]]]
"""Computes singular values, here or elsewhere, and gives tasks back with their tables in any order."""


def spectra_here(network: Network) -> ExecuteSpectra:
    """Compute in this process, one sample after the other.

    Large matrices are worth all cores. Small ones get one thread, so that the numbers are the same, bit for bit,
    whatever the machine has.
    """

    def execute(tasks: Iterable[SpectraTask]) -> Iterator[tuple[SpectraTask, Any]]:
        for task in tasks:
            with nullcontext() if has_large_matrices(network) else one_thread():
                table = spectra_at(network, task)
            yield task, table

    return execute


def spectra_at(network: Network, task: SpectraTask) -> Any:
    """All singular values of the local linear map up to every stage, at one sample.

    A stage is left out if its matrix, or what must be held on the way to it, takes too much memory.

    Returns:
        A table of ``SPECTRA_SCHEMA`` with a row per stage. Of a stage that was left out, it has the reason.
    """
    rows = _rows(network, np.asarray(task.x)[None], list(range(len(network.stages))))
    at_sample = [row | {"sample": task.chunk.sample} for row in rows]
    return pa.Table.from_pylist(at_sample, schema=SPECTRA_SCHEMA)


def _rows(network: Network, x: NDArray[Any], stages: list[int]) -> list[dict[str, Any]]:
    """The rows of some stages: of all together, as far as none is refused for its size."""
    if not stages:
        return []
    finished = 0

    def count(done: int, _: int) -> None:
        nonlocal finished
        finished = done

    try:
        return [row | {"reason": ""} for row in spectra(network, x, stages, progress=count).to_pylist()]
    except InputError as error:
        if len(stages) == 1:
            return [_left_out(network, stages[0], error)]
    before, refused, after = stages[:finished], stages[finished : finished + 1], stages[finished + 1 :]
    return [row for part in (before, refused, after) for row in _rows(network, x, part)]


def _left_out(network: Network, number: int, error: InputError) -> dict[str, Any]:
    stage = network.stages[number]
    reason = f"{error.what}: expected {error.expected}, got {error.got}"  # the hint is for callers in Python
    return {"stage": number, "name": stage.name, "outputs": stage.outputs, "method": "", "reason": reason}


def count_stages(table: Any) -> tuple[dict[str, Any], ...]:
    """The number of samples by stage, computed and left out, with the reason, as plain data."""
    counts: dict[int, dict[str, Any]] = {}
    columns = [table[name].to_pylist() for name in ("stage", "name", "reason")]
    for stage, name, reason in zip(*columns, strict=True):
        entry = counts.setdefault(stage, {"stage": stage, "name": name, "computed": 0, "left_out": 0, "reason": ""})
        entry["left_out" if reason else "computed"] += 1
        entry["reason"] = entry["reason"] or reason
    return tuple(counts[stage] for stage in sorted(counts))


__all__ = ["ExecuteSpectra", "count_stages", "spectra_at", "spectra_here"]
