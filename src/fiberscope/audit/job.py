"""An audit into a folder: begun or continued, and finished."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fiberscope.audit.effort import (
    sensible_block,
    sensible_spectra_workers,
    sensible_survey_workers,
    sensible_workers,
)
from fiberscope.audit.examples import Wanted, furthest_pairs, make_examples
from fiberscope.audit.findings import FindingsTable
from fiberscope.audit.manifest import Manifest, Run, new_manifest
from fiberscope.audit.plan import Chunk, Plan, SpectraChunk, SurveyChunk, chosen_layers, places_of
from fiberscope.audit.run import audit, in_process, judge
from fiberscope.audit.spectra import count_stages, spectra_at, spectra_here
from fiberscope.audit.store import Results
from fiberscope.audit.subject import Subject, check_box, first_samples, fitted
from fiberscope.audit.survey import survey_at, survey_here, survey_tasks
from fiberscope.audit.task import ChunkResult, SpectraTask, SurveyTask, Task
from fiberscope.audit.workers import spread
from fiberscope.errors import InputError, ModelError, ResultsError
from fiberscope.invariance.objective import Objective
from fiberscope.network.network import Network
from fiberscope.readers.files import load
from fiberscope.threads import one_thread


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
        spectra: at how many of the first samples to compute singular values.
        invariance: at how many of the first samples to compute how far invariance reaches; needs a domain.
    """

    layers: tuple[int, ...] | None = None
    samples: int | None = None
    domain: tuple[float, float] | None = None
    workers: int | None = None
    resume: bool = False
    block: int | None = None
    spectra: int = 0
    invariance: int = 0


AnyChunk = Chunk | SpectraChunk | SurveyChunk


@dataclass(frozen=True, eq=False)
class Job:
    """An audit that is ready to run.

    Attributes:
        results: the folder.
        manifest: what is audited.
        subject: the network and data, as read back from the folder.
        given: the network as the caller gave it, which may still run its original.
        done: the chunks that an earlier run finished.
        workers: the number of processes that judge.
        spectra_workers: the number of processes that compute singular values.
        survey_workers: the number of processes that compute how far invariance reaches.
    """

    results: Results
    manifest: Manifest
    subject: Subject
    given: Network
    done: frozenset[AnyChunk]
    workers: int
    spectra_workers: int
    survey_workers: int

    @property
    def chunks(self) -> tuple[AnyChunk, ...]:
        """All chunks, whether they are done or not."""
        plan = self.manifest.plan
        return *plan.chunks(), *plan.spectra_chunks(), *plan.survey_chunks()

    def run(self) -> Iterator[AnyChunk]:
        """Compute and write what is missing, then complete the manifest.

        Yields:
            Each chunk once its files are written.
        """
        started, clock, spent = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter(), _Spent()
        manifest = replace(self.manifest, status="running", shards={}, counts=(), spectra_counts=())
        todo = len(self.chunks) - len(self.done)
        if todo:
            self.results.write_manifest(manifest)
        try:
            with closing(self._written()) as written:
                for chunk in written:
                    spent.on(chunk)
                    yield chunk
        finally:
            verdicts, spectra, surveyed = (spent.chunks[kind] for kind in (Chunk, SpectraChunk, SurveyChunk))
            run = Run(
                started=started,
                seconds=round(time.perf_counter() - clock, 3),
                chunks=verdicts,
                workers=self.workers,
                spectra=spectra,
                spectra_seconds=round(spent.seconds[SpectraChunk], 3),
                spectra_workers=self.spectra_workers if spectra else 0,
                surveyed=surveyed,
                survey_seconds=round(spent.seconds[SurveyChunk], 3),
            )
            written = spent.chunks.total()
            manifest = replace(manifest, runs=(*manifest.runs, run)) if written else manifest
            if written == todo:
                self._finish(manifest)
            elif written:
                self.results.write_manifest(manifest)

    def _written(self) -> Generator[AnyChunk]:
        """Compute and write what is missing; closing it ends worker processes whatever happens."""
        with closing(self._judged()) as judged:
            for task, result in judged:
                self.results.write_chunk(task, result)
                yield result.chunk
        with closing(self._decomposed()) as decomposed:
            for task, table in decomposed:
                self.results.spectra.write(task.chunk, table)
                yield task.chunk
        with closing(self._surveyed()) as surveyed:
            for task, table in surveyed:
                self.results.survey.write(task.chunk, table)
                yield task.chunk

    def _judged(self) -> Generator[tuple[Task, ChunkResult]]:
        plan = self.manifest.plan
        done = {chunk for chunk in self.done if isinstance(chunk, Chunk)}
        workers = min(self.workers, sum(1 for _ in plan.chunks()) - len(done))
        elsewhere = partial(spread, partial(judge_with_model, self.results.model_path), workers=workers)
        execute = elsewhere if workers > 1 else in_process(self.subject.network)
        return audit(self.subject.network, self.subject.x, plan, done=done, execute=execute)

    def _decomposed(self) -> Generator[tuple[SpectraTask, Any]]:
        todo = [chunk for chunk in self.manifest.plan.spectra_chunks() if chunk not in self.done]
        tasks = (SpectraTask(chunk, self.subject.x[chunk.sample]) for chunk in todo)
        workers = min(self.spectra_workers, len(todo))
        if workers > 1:
            yield from spread(partial(spectra_with_model, self.results.model_path), tasks, workers)
        else:
            yield from spectra_here(self.subject.network)(tasks)

    def _surveyed(self) -> Generator[tuple[SurveyTask, Any]]:
        plan = self.manifest.plan
        todo = [chunk for chunk in plan.survey_chunks() if chunk not in self.done]
        if not todo:
            return
        tasks, workers = survey_tasks(self.subject, plan, todo), min(self.survey_workers, len(todo))
        if workers > 1:
            yield from spread(partial(survey_with_model, self.results.model_path), tasks, workers)
        else:
            yield from survey_here(self.subject.network)(tasks)

    def _finish(self, manifest: Manifest) -> None:
        self._write_examples(manifest)
        counts = count_findings(self.results.findings(manifest))
        spectra_counts = count_stages(self.results.spectra_table(manifest))
        digests = {chunk.name: self.results.digests(chunk) for chunk in manifest.plan.chunks()}
        for chunk in manifest.plan.spectra_chunks():
            digests.setdefault(chunk.name, {}).update(self.results.spectra.digest(chunk))
        for chunk in manifest.plan.survey_chunks():
            digests.setdefault(chunk.name, {}).update(self.results.survey.digest(chunk))
        self.results.write_manifest(manifest.finished(counts, spectra_counts, digests))

    def _write_examples(self, manifest: Manifest) -> None:
        """Of every layer the pair in which invariance reaches furthest, unless it is there."""
        if manifest.domain is None or not manifest.invariance:
            return
        subject = replace(self.subject, network=self.given)
        for layer, pair in furthest_pairs(self.results.survey_table(manifest)).items():
            if not self.results.examples.is_whole(str(layer), pair.source, pair.target):
                wanted = Wanted(layer, pair.source, pair.target, manifest.domain, Objective.TOWARDS)
                for example in make_examples(subject, wanted):
                    self.results.examples.write(example)


class _Spent:
    """Counts chunks and the time from one to the next, for each kind of chunk."""

    def __init__(self) -> None:
        self.chunks: Counter[type] = Counter()
        self.seconds: defaultdict[type, float] = defaultdict(float)
        self._last = time.perf_counter()

    def on(self, chunk: AnyChunk) -> None:
        now = time.perf_counter()
        self.chunks[type(chunk)] += 1
        self.seconds[type(chunk)] += now - self._last
        self._last = now


def judge_with_model(model: Path, task: Task) -> ChunkResult:
    """Read the model and judge one chunk: what a worker process does."""
    return judge(load(model).relu_layers[task.chunk.layer], task)


def spectra_with_model(model: Path, task: SpectraTask) -> Any:
    """Read the model and compute the singular values at one sample: what a worker process does."""
    with one_thread():
        return spectra_at(load(model), task)


def survey_with_model(model: Path, task: SurveyTask) -> Any:
    """Read the model and compute how far invariance reaches from one sample: what a worker process does."""
    return survey_at(load(model), task)


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
    for name, value in (("spectra", options.spectra), ("invariance", options.invariance)):
        if value < 0:
            raise InputError(f"--{name}", expected="a number of at least 0", got=str(value))
    if options.invariance and options.domain is None:
        raise InputError("--domain", expected="LOW,HIGH, within which inputs with the same features lie", got="none")


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
    places = places_of(subject.network)
    plan = Plan(layers, subject.samples, options.domain, block, places, options.spectra, options.invariance)
    for name, value in (("spectra", options.spectra), ("invariance", options.invariance)):
        if value > subject.samples:
            expected = f"at most {subject.samples}, as many samples as are audited"
            raise InputError(f"--{name}", expected=expected, got=str(value))
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
    judged = {chunk for chunk in plan.chunks() if results.is_whole(manifest, chunk)}
    decomposed = {chunk for chunk in plan.spectra_chunks() if results.spectra.is_whole(manifest, chunk)}
    surveyed = {chunk for chunk in plan.survey_chunks() if results.survey.is_whole(manifest, chunk)}
    return Job(
        results,
        manifest,
        stored,
        subject.network,
        frozenset(judged | decomposed | surveyed),
        workers=options.workers or sensible_workers(stored.network, plan),
        spectra_workers=options.workers or sensible_spectra_workers(stored.network, max(1, plan.spectra)),
        survey_workers=options.workers or sensible_survey_workers(plan),
    )


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
    return replace(
        manifest, spectra=asked.spectra, invariance=asked.invariance
    )  # more than the folder was begun with, or as many


def count_findings(table: FindingsTable) -> tuple[dict[str, Any], ...]:
    """The number of findings of each kind by layer and domain, as plain data."""
    groups = [(layer, domain, Counter(map(str, table.at(layer, domain).kind))) for layer, domain in table.groups()]
    return tuple(
        {"layer": layer, "domain": domain, "kinds": dict(sorted(kinds.items()))} for layer, domain, kinds in groups
    )


__all__ = ["Job", "Options", "build_job", "build_subject", "check_options", "count_findings", "open_folder"]
