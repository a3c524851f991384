"""An audit that is ready to run: what is missing is computed and written, chunk by chunk, and then the manifest."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fiberscope.audits.compute import Orders, Threads, Written, write_chunk, write_chunk_from_file, write_failed
from fiberscope.audits.dask_workers import DaskWorkers
from fiberscope.audits.examples import ExampleRequest, furthest_pairs, make_examples
from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.leakage import Leakage
from fiberscope.audits.ledger import Entry, OpenLedger
from fiberscope.audits.manifest import Manifest, Run
from fiberscope.audits.network_table import count_verdicts, read_network, write_network
from fiberscope.audits.plan import AnyChunk, Chunk, SpectraChunk, SurveyChunk
from fiberscope.audits.pool import Here, Pool, spread
from fiberscope.audits.spectra import COUNTED, Spectra, count_stages
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.survey import Survey
from fiberscope.audits.verdicts import Verdicts
from fiberscope.audits.work import AnyWork
from fiberscope.audits.workers import local_pool
from fiberscope.invariance.objective import Objective
from fiberscope.network.network import Network
from fiberscope.recovery.judging import Told, untold
from fiberscope.threads import cores

KINDS: tuple[AnyWork, ...] = (Verdicts(), Spectra(), Survey(), Leakage())
"""All kinds of work, in the order in which an audit does them."""


@dataclass(frozen=True, eq=False)
class Job:
    """An audit that is ready to run.

    Attributes:
        results: the folder.
        manifest: what is audited.
        subject: the network and data, as read back from the folder.
        given: the network as the caller gave it, which may still run its original.
        done: the chunks that an earlier run finished, each with its entry in the ledger.
        processes: how many chunks are computed side by side on one machine, for each of ``KINDS``; None for as many as
            there are workers.
        scheduler: the dask scheduler whose workers compute; empty for processes of this machine.
        notes: what the caller should know before the work begins.
    """

    results: Results
    manifest: Manifest
    subject: Subject
    given: Network
    done: Mapping[AnyChunk, Entry]
    processes: tuple[int | None, ...]
    scheduler: str = ""
    notes: tuple[str, ...] = ()

    @property
    def chunks(self) -> tuple[AnyChunk, ...]:
        """All chunks, whether they are done or not."""
        return tuple(self.manifest.plan.every_chunk())

    def open_pool(self) -> Pool:
        """The workers that the job asks for; whoever opens them closes them.

        Raises:
            InputError: there is no such dask scheduler, or its workers cannot be used.
        """
        workers = max(processes or 1 for processes in self.processes)
        return DaskWorkers(self.scheduler, workers) if self.scheduler else local_pool(workers)

    def run(self, pool: Pool | None = None, told: Told = untold) -> Iterator[Written]:
        """Compute and write what is missing, then complete the manifest.

        Args:
            pool: who computes; None for ``open_pool``, if there is anything to compute.
            told: of how far proofs through several layers are, behind the last chunk.

        Yields:
            Each chunk once its files are written.
        """
        todo = len(self.chunks) - len(self.done)
        if pool is not None:
            yield from self._run(pool, todo, told)
            return
        with closing(self.open_pool() if todo else Here()) as own:
            yield from self._run(own, todo, told)

    def _run(self, pool: Pool, todo: int, told: Told) -> Iterator[Written]:
        started, clock, spent = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter(), _Spent()
        manifest = replace(self.manifest, status="running", shards={}, digests="", examples=(), **_NO_COUNTS)
        entries = dict(self.done)
        if todo:
            self.results.write_manifest(manifest)  # before the ledger, whose digest that of a complete audit has
            self.results.ledger.rewrite(entries.values())
        try:
            with closing(OpenLedger(self.results.ledger)) as ledger, closing(self._all_written(pool)) as all_written:
                for written in all_written:
                    ledger.append(written.entry)
                    entries[written.chunk] = written.entry
                    spent.on(written.chunk)
                    yield written
        finally:
            run = Run(
                started=started,
                seconds=round(time.perf_counter() - clock, 3),
                chunks=spent.chunks[Chunk],
                workers=self._at_once(pool, self.processes[0]),
                spectra=spent.chunks[SpectraChunk],
                spectra_seconds=round(spent.seconds[SpectraChunk], 3),
                spectra_workers=self._at_once(pool, self.processes[1]) if spent.chunks[SpectraChunk] else 0,
                surveyed=spent.chunks[SurveyChunk],
                survey_seconds=round(spent.seconds[SurveyChunk], 3),
            )
            finished = spent.chunks.total()
            manifest = replace(manifest, runs=(*manifest.runs, run)) if finished else manifest
            if finished == todo:
                self._finish(manifest, entries, told)
            elif finished:
                self.results.write_manifest(manifest)

    def _at_once(self, pool: Pool, processes: int | None) -> int:
        return pool.workers if processes is None else min(pool.workers, pool.machines * processes)

    def _all_written(self, pool: Pool) -> Generator[Written]:
        """Compute and write what is missing; closing it ends worker processes whatever happens."""
        for work, processes in zip(KINDS, self.processes, strict=True):
            todo = [chunk for chunk in work.chunks(self.manifest.plan) if chunk not in self.done]
            if todo:
                at_once = min(self._at_once(pool, processes), len(todo))
                with closing(self._written(work, todo, at_once, pool)) as all_written:
                    yield from all_written

    def _written(self, work: AnyWork, todo: list[AnyChunk], at_once: int, pool: Pool) -> Generator[Written]:
        """Compute and write chunks of one kind."""
        network, plan = self.subject.network, self.manifest.plan
        threads = Threads(items=max(1, cores() // at_once), algebra=work.effort(network, plan).algebra)
        bare = replace(self.manifest, shards={}, digests="", status="running")
        orders = Orders(work, threads, Results(self.results.folder.resolve()), bare)
        if at_once == 1 and not self.scheduler:
            pool, function = Here(), partial(write_chunk, orders, self.subject)
        else:
            function = partial(write_chunk_from_file, orders)
        instead = partial(write_failed, orders, self.subject)
        with closing(spread(function, todo, pool, at_once=at_once, instead=instead)) as computed:
            for _, written in computed:
                yield written

    def _finish(self, manifest: Manifest, entries: Mapping[AnyChunk, Entry], told: Told) -> None:
        ordered = [entries[chunk] for chunk in self.chunks]
        if manifest.leakage:
            self.results.write_manifest(manifest.finished((), (), self._digests(manifest, ordered), ()))
            return
        examples = self._write_examples(manifest)
        counts = count_findings(self.results.findings(manifest))
        spectra_counts = count_stages(self.results.spectra_table(manifest, COUNTED))
        ordered.append(write_network(self.results, manifest, self.subject, ordered, told))
        network_counts = count_verdicts(read_network(self.results, manifest))
        digests = self._digests(manifest, ordered)
        self.results.write_manifest(manifest.finished(counts, spectra_counts, digests, examples, network_counts))

    def _digests(self, manifest: Manifest, ordered: list[Entry]) -> str:
        """Write the ledger in order, unless it is; a complete audit is none while its ledger changes."""
        if self.manifest.complete:
            if self.results.ledger.is_as(ordered):
                return self.manifest.digests
            self.results.write_manifest(manifest)
        return self.results.ledger.rewrite(ordered)

    def _write_examples(self, manifest: Manifest) -> tuple[str, ...]:
        """Of every layer the pair in which invariance reaches furthest, unless it is there; returns their files."""
        if manifest.domain is None or not manifest.invariance:
            return ()
        names: list[str] = []
        subject = replace(self.subject, network=self.given)
        for layer, pair in furthest_pairs(self.results.survey_table(manifest)).items():
            if not self.results.examples.is_whole(str(layer), pair.source, pair.target):
                wanted = ExampleRequest(layer, pair.source, pair.target, manifest.domain, Objective.TOWARDS)
                for example in make_examples(subject, wanted):
                    self.results.examples.write(example)
            names.append(self.results.examples.path(str(layer), pair.source, pair.target).name)
        return tuple(names)


_NO_COUNTS: dict[str, Any] = {"counts": (), "network_counts": (), "spectra_counts": ()}


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


def count_findings(table: FindingsTable) -> tuple[dict[str, Any], ...]:
    """The number of findings of each kind by layer and domain, as plain data."""
    return tuple(
        {"layer": layer, "domain": domain, "precision": precision, "kinds": dict(sorted(kinds.items()))}
        for layer, domain, precision in table.groups()
        for kinds in [Counter(map(str, table.at(layer, domain, precision).kind))]
    )


__all__ = ["KINDS", "Job", "Written", "count_findings"]
