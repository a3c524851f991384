"""Checking stored singular values again, from the model and the samples; ``fiberscope.checker.spectra`` does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from fiberscope.audits.checks import Check, checked
from fiberscope.audits.compute import ModelFile
from fiberscope.audits.effort import sensible_spectra_workers
from fiberscope.audits.plan import SpectraChunk
from fiberscope.audits.store import Results
from fiberscope.checker.balls import why_no_ball
from fiberscope.checker.reading import StoredNetwork, read_network
from fiberscope.checker.spectra import Written, why_not_confirmed
from fiberscope.checker.stored import read_stages
from fiberscope.errors import ResultsError
from fiberscope.network.network import Network
from fiberscope.threads import one_thread


@dataclass(frozen=True)
class SpectraFailure:
    """Singular values that are not confirmed.

    Attributes:
        sample: the position of the sample in the data.
        stage: the number of the stage.
        name: what the model calls the stage.
        reason: why they are not confirmed.
    """

    sample: int
    stage: int
    name: str
    reason: str


@dataclass(frozen=True)
class SpectraVerification:
    """What checking the singular values at one sample gave.

    Attributes:
        chunk: which sample.
        recomputed: the number of stages of which every value was recomputed and agrees.
        tested: the number of stages whose values agree with what J does to random vectors.
        left_out: the number of stages that the audit left out.
        balls: the number of stages with a ball on which the modulus is proved again.
        failures: the stages whose values are not confirmed.
        changed: the file, if it is not what the audit wrote.
    """

    chunk: SpectraChunk
    recomputed: int
    tested: int
    left_out: int
    balls: int
    failures: tuple[SpectraFailure, ...]
    changed: tuple[str, ...]


def verify_spectra(results: Results, *, workers: int | None = None) -> Iterator[SpectraVerification]:
    """Check the singular values of an audit again.

    Args:
        results: the folder.
        workers: the number of processes; None to choose.

    Yields:
        One verification per sample.

    Raises:
        ResultsError: the folder is not an audit's, or is damaged.
    """
    plan = results.manifest().plan
    if not plan.spectra:
        return
    subject = results.subject()
    processes = workers or sensible_spectra_workers(subject.network, plan.spectra)
    yield from checked(_verified, results, subject, plan.spectra_chunks(), processes)


def _verified(network: Network, check: Check[SpectraChunk]) -> SpectraVerification:
    """Check the singular values at one sample."""
    chunk, spectra = check.chunk, check.results.spectra
    table, unchanged = spectra.read(check.manifest, chunk)
    rows: list[dict[str, Any]] = table.to_pylist()
    path = str(spectra.path(chunk))
    if [(row["name"], row["outputs"]) for row in rows] != [(s.name, s.outputs) for s in network.stages]:
        raise ResultsError(f"{path} is damaged: its rows are not the stages of the network", path=path)
    claimed = {row["stage"]: row for row in rows if not row["reason"]}
    x = network.flat(check.x)
    values = {number: value[0].numpy() for number, value in network.stage_outputs(torch.tensor(x))}
    model = ModelFile(check.results.model_path, check.manifest.model_digest)
    written = _written_out(model)
    with one_thread():
        full, reasons = why_not_confirmed(written, x[0], values, claimed, seed=chunk.sample)
        radii = {number: why_no_ball(lambda: _layers(model), x[0], number, row) for number, row in claimed.items()}
    reasons = {number: reason or radii[number] for number, reason in reasons.items()}
    balls = sum(not radii[number] and row["stability_radius"] > 0 for number, row in claimed.items())
    failures = tuple(
        SpectraFailure(chunk.sample, stage, claimed[stage]["name"], reason)
        for stage, reason in reasons.items()
        if reason
    )
    confirmed = len(claimed) - len(failures)
    return SpectraVerification(
        chunk,
        recomputed=confirmed if full else 0,
        tested=0 if full else confirmed,
        left_out=len(rows) - len(claimed),
        balls=balls,
        failures=failures,
        changed=() if unchanged else (path,),
    )


@lru_cache(maxsize=1)
def _written_out(model: ModelFile) -> Written:
    """The network in the checker's own reading: all samples ask for it."""
    return Written(read_stages(model.path))


@lru_cache(maxsize=1)
def _layers(model: ModelFile) -> StoredNetwork:
    """The layers of the network in the checker's own reading, read where a row claims a ball."""
    return read_network(model.path)


__all__ = ["SpectraFailure", "SpectraVerification", "verify_spectra"]
