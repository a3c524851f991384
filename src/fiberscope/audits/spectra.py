"""Singular values and stability radii of every stage at a sample: of the stages that fit; of others why they do not."""

# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyarrow has no types

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from fiberscope.audits import shards
from fiberscope.audits.effort import has_large_matrices, sensible_spectra_workers, spectra_bytes
from fiberscope.audits.plan import Plan, SpectraChunk
from fiberscope.audits.shards import SPECTRA_SCHEMA
from fiberscope.audits.store import SPECTRA
from fiberscope.audits.subject import Subject
from fiberscope.audits.work import Effort
from fiberscope.errors import InputError
from fiberscope.network.network import Network
from fiberscope.stability.radii import StageRadius, stage_radii
from fiberscope.stability.spectra import spectra
from fiberscope.threads import cores

pa: Any = pyarrow  # has no types


@dataclass(frozen=True, eq=False)
class SpectraTask:
    """A sample at which singular values are to be computed.

    Attributes:
        chunk: which sample.
        x: (*input_shape,) the sample.
    """

    chunk: SpectraChunk
    x: NDArray[Any]


class Spectra:
    """The kind of work that computes singular values; see ``Work``."""

    name = "singular values"

    def chunks(self, plan: Plan) -> Iterator[SpectraChunk]:
        """All samples at which there are to be some."""
        return plan.spectra_chunks()

    def effort(self, network: Network, plan: Plan) -> Effort:
        """Processes where there are many small matrices. Large ones are worth all cores, one sample after the other."""
        processes = sensible_spectra_workers(network, max(1, plan.spectra))
        algebra = cores() if has_large_matrices(network) else 1
        return Effort(processes=processes, memory=spectra_bytes(network), algebra=algebra)

    def task(self, subject: Subject, plan: Plan, chunk: SpectraChunk) -> SpectraTask:
        """The sample."""
        del plan  # every stage is computed
        return SpectraTask(chunk, subject.x[chunk.sample])

    def compute(self, network: Network, task: SpectraTask, threads: int) -> Any:
        """All stages, one after the other."""
        del threads  # a stage needs what the one before it has
        return spectra_at(network, task)

    def failed(self, network: Network, task: SpectraTask, reason: str) -> Any:
        """Rows without numbers, of every stage."""
        rows = [_left_out(network, number, reason) for number in range(len(network.stages))]
        return _table(task, rows)

    def files(self, task: SpectraTask, result: Any) -> dict[str, bytes]:
        """The table."""
        del task
        return {SPECTRA: shards.table_to_bytes(result)}


def spectra_at(network: Network, task: SpectraTask) -> Any:
    """All singular values of the local linear map up to every stage, at one sample, and how far beyond it that holds.

    A stage is left out if its matrix, or what must be held on the way to it, takes too much memory.

    Returns:
        A table of ``SPECTRA_SCHEMA`` with a row per stage. Of a stage that was left out, it has the reason.
    """
    x = network.flat_sample(task.x)
    rows = _rows(network, np.asarray(task.x)[None], list(range(len(network.stages))))
    radii = stage_radii(network, x)
    return _table(task, [row if row["reason"] else row | _columns(radii[int(row["stage"])]) for row in rows])


def _columns(found: StageRadius) -> dict[str, Any]:
    return {
        "region_distance": found.region_distance,
        "stability_radius": found.radius,
        "modulus": found.modulus,
        "radius_reason": found.reason,
    }


def _table(task: SpectraTask, rows: list[dict[str, Any]]) -> Any:
    return pa.Table.from_pylist([row | {"sample": task.chunk.sample} for row in rows], schema=SPECTRA_SCHEMA)


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
            reason = f"{error.what}: expected {error.expected}, got {error.got}"  # the hint is for callers in Python
            return [_left_out(network, stages[0], reason)]
    before, refused, after = stages[:finished], stages[finished : finished + 1], stages[finished + 1 :]
    return [row for part in (before, refused, after) for row in _rows(network, x, part)]


def _left_out(network: Network, number: int, reason: str) -> dict[str, Any]:
    stage = network.stages[number]
    named = {"stage": number, "name": stage.name, "outputs": stage.outputs}
    return {**named, "method": "", "radius_reason": "", "reason": reason}


COUNTED = ("stage", "name", "reason")
"""The columns that ``count_stages`` needs: without the values, which are nearly all of a table."""


def count_stages(table: Any) -> tuple[dict[str, Any], ...]:
    """The number of samples by stage, computed and left out, with the reason, as plain data."""
    counts: dict[int, dict[str, Any]] = {}
    columns = [table[name].to_pylist() for name in COUNTED]
    for stage, name, reason in zip(*columns, strict=True):
        entry = counts.setdefault(stage, {"stage": stage, "name": name, "computed": 0, "left_out": 0, "reason": ""})
        entry["left_out" if reason else "computed"] += 1
        entry["reason"] = entry["reason"] or reason
    return tuple(counts[stage] for stage in sorted(counts))


__all__ = ["COUNTED", "Spectra", "count_stages", "spectra_at"]
