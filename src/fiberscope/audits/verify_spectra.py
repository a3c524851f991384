"""Checking stored singular values again, from the model and the samples; ``fiberscope.checker.spectra`` does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch

from fiberscope.audits.checks import Check, Failure, Rechecked, checked
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


def verify_spectra(results: Results, *, workers: int | None = None) -> Iterator[Rechecked]:
    """Check the singular values of an audit again.

    Args:
        results: the folder.
        workers: the number of processes; None to choose.

    Yields:
        What was found at each sample, stage by stage. Of those that are proved, either every value was "recomputed" and
        agrees, or the values were "tested" by what J does to random vectors; those that the audit "left out" say
        nothing; of some "balls", the modulus was proved again.

    Raises:
        ResultsError: the folder is not an audit's, or is damaged.
    """
    plan = results.manifest().plan
    if not plan.spectra:
        return
    subject = results.subject()
    processes = workers or sensible_spectra_workers(subject.network, plan.spectra)
    yield from checked(_verified, results, subject, plan.spectra_chunks(), processes)


def _verified(network: Network, check: Check[SpectraChunk]) -> Rechecked:
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
        Failure(
            f"singular values, stage {stage} {claimed[stage]['name']}, sample {chunk.sample}",
            reason,
            (stage, chunk.sample),
        )
        for stage, reason in reasons.items()
        if reason
    )
    confirmed = len(claimed) - len(failures)
    how, left = "recomputed" if full else "tested", len(rows) - len(claimed)
    others = Counter({how: confirmed, "left out": left, "balls": balls})
    return Rechecked(confirmed, failures, () if unchanged else (path,), others, chunk)


@lru_cache(maxsize=1)
def _written_out(model: ModelFile) -> Written:
    """The network in the checker's own reading: all samples ask for it."""
    return Written(read_stages(model.path))


@lru_cache(maxsize=1)
def _layers(model: ModelFile) -> StoredNetwork:
    """The layers of the network in the checker's own reading, read where a row claims a ball."""
    return read_network(model.path)


__all__ = ["verify_spectra"]
