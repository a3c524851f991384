"""An audit into a folder: begun or continued, and finished."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fiberscope.audit.effort import sensible_block, sensible_workers
from fiberscope.audit.findings import FindingsTable
from fiberscope.audit.manifest import Manifest, Run, new_manifest
from fiberscope.audit.plan import Chunk, Plan, chosen_layers, places_of
from fiberscope.audit.run import audit, in_process, judge
from fiberscope.audit.store import Results
from fiberscope.audit.subject import Subject, check_box, first_samples, fitted
from fiberscope.audit.task import ChunkResult, Task
from fiberscope.audit.workers import spread
from fiberscope.errors import InputError, ModelError, ResultsError
from fiberscope.readers.files import load


@dataclass(frozen=True)
class Options:
    """What the caller asks for.

    Args:
        layers: positions of the ReLU layers; None for all.
        samples: how many of the first samples; None for all.
        domain: the box that the input is said to lie in, or None.
        workers: the number of processes; None to choose.
        resume: whether to continue what the folder holds.
        block: samples per chunk; None to choose.
    """

    layers: tuple[int, ...] | None = None
    samples: int | None = None
    domain: tuple[float, float] | None = None
    workers: int | None = None
    resume: bool = False
    block: int | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """An audit that is ready to run.

    Attributes:
        results: the folder.
        manifest: what is audited.
        subject: the network and data, as read back from the folder.
        done: the chunks that an earlier run finished.
        workers: the number of processes.
    """

    results: Results
    manifest: Manifest
    subject: Subject
    done: frozenset[Chunk]
    workers: int

    @property
    def chunks(self) -> int:
        """The number of all chunks."""
        return sum(1 for _ in self.manifest.plan.chunks())

    def run(self) -> Iterator[Chunk]:
        """Compute and write what is missing, then complete the manifest.

        Yields:
            Each chunk once its files are written.
        """
        started, clock, written = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter(), 0
        manifest = replace(self.manifest, status="running", shards={}, counts=())
        todo = self.chunks - len(self.done)
        if todo:
            self.results.write_manifest(manifest)
        try:
            with closing(self._judged(manifest.plan, todo)) as judged:  # ends worker processes whatever happens
                for task, result in judged:
                    self.results.write_chunk(task, result)
                    written += 1
                    yield result.chunk
        finally:
            run = Run(started, round(time.perf_counter() - clock, 3), written, self.workers)
            manifest = replace(manifest, runs=(*manifest.runs, run)) if written else manifest
            if written == todo:
                self._finish(manifest)
            elif written:
                self.results.write_manifest(manifest)

    def _judged(self, plan: Plan, todo: int) -> Generator[tuple[Task, ChunkResult]]:
        workers = min(self.workers, todo)
        elsewhere = partial(spread, partial(judge_with_model, self.results.model_path), workers=workers)
        execute = elsewhere if workers > 1 else in_process(self.subject.network)
        return audit(self.subject.network, self.subject.x, plan, done=self.done, execute=execute)

    def _finish(self, manifest: Manifest) -> None:
        counts = count_findings(self.results.findings(manifest))
        digests = {chunk.name: self.results.digests(chunk) for chunk in manifest.plan.chunks()}
        self.results.write_manifest(manifest.finished(counts, digests))


def judge_with_model(model: Path, task: Task) -> ChunkResult:
    """Read the model and judge one chunk: what a worker process does."""
    return judge(load(model).relu_layers[task.chunk.layer], task)


def open_folder(folder: Path, *, resume: bool) -> tuple[Results, bool]:
    """Look at the folder before any work is done.

    Returns:
        The folder, and whether it holds an audit to continue.

    Raises:
        ResultsError: it holds something else, or holds an audit that was not asked to be continued.
    """
    results = Results(folder)
    if folder.exists() and not folder.is_dir():
        raise ResultsError(f"{folder} is a file, not a folder; choose another name", path=str(folder))
    if not resume:
        results.require_empty()
    holds_audit = results.holds_audit()
    results.require_writable()
    return results, holds_audit


def check_options(options: Options) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        InputError: numbers that make no sense.
    """
    for name, value in (("samples", options.samples), ("workers", options.workers), ("block", options.block)):
        if value is not None and value < 1:
            raise InputError(f"--{name}", expected="a number of at least 1", got=str(value))


def build_subject(network: Any, x: Any, y: Any, options: Options, **words: Any) -> Subject:
    """Fit the data to the network.

    Args:
        network: the network.
        x: samples.
        y: labels, or None.
        options: how many samples are asked for.
        **words: the names and descriptions of ``Subject``.

    Raises:
        InputError: the data does not fit.
        ModelError: there is nothing to audit.
    """
    if not network.relu_layers:
        raise ModelError("nothing to audit: the network has no ReLU layer, which is an affine map followed by a ReLU")
    inputs, labels = first_samples(x, y, options.samples)
    return Subject(network=network, x=fitted(inputs, network.input_shape), y=labels, **words)


def build_job(results: Results, subject: Subject, options: Options) -> Job:
    """Begin the audit in its folder, or take it up again.

    Raises:
        InputError: an option does not fit the network or the data.
        ResultsError: the folder holds the audit of something else, or cannot be written.
    """
    layers = chosen_layers(options.layers, len(subject.network.relu_layers))
    block = options.block or sensible_block(subject.network, layers)
    plan = Plan(layers, subject.samples, options.domain, block, places_of(subject.network))
    if options.domain is not None:
        check_box(subject, options.domain)
    asked = new_manifest(subject, plan, options.samples)
    if results.holds_audit():
        manifest = _matching(results, asked)
        results.remove_leftovers()
    else:
        manifest = asked
        results.remove_leftovers()
        results.begin(subject, manifest)
    stored = results.subject()
    done = frozenset(chunk for chunk in plan.chunks() if results.is_whole(manifest, chunk))
    workers = options.workers or sensible_workers(stored.network, plan)
    return Job(results, manifest, stored, done, workers)


def _matching(results: Results, asked: Manifest) -> Manifest:
    manifest = results.manifest()
    differences = manifest.differences(asked)
    if differences:
        raise ResultsError(
            f"{results.folder} holds another audit, of {manifest.model} on {manifest.data}; it differs in "
            + "; ".join(differences)
            + "; ask for the same again, or choose another folder",
            path=str(results.folder),
        )
    return manifest


def count_findings(table: FindingsTable) -> tuple[dict[str, Any], ...]:
    """The number of findings of each kind by layer and domain, as plain data."""
    groups = [(layer, domain, Counter(map(str, table.at(layer, domain).kind))) for layer, domain in table.groups()]
    return tuple(
        {"layer": layer, "domain": domain, "kinds": dict(sorted(kinds.items()))} for layer, domain, kinds in groups
    )


__all__ = ["Job", "Options", "build_job", "build_subject", "check_options", "count_findings", "open_folder"]
