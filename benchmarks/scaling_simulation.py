"""How long an audit of resnet_2b takes on many machines, simulated with the costs that scaling.py measured.

    python benchmarks/scaling_simulation.py [--costs costs.json] [--samples 1000000] [--spectra 0] [--machines 1,10,100]
                                            [--cores 16] [--smoke]

Events are simulated one by one, as the audit does them: one process hands out names of chunks, two ahead of each
worker, waits, and keeps the ledger; workers, one on each core, take the chunk that waits longest, compute what its
layer receives, judge, and write. Costs are drawn, with replacement, from those that were measured for chunks of one
size; a chunk of more samples costs what as many of these cost, though it shares more. The start, the death of workers,
and what travels through the network beside the time that it costs both processes are left out. Beside it, for
comparison: what it would be if the one process built and wrote all chunks, all of that one size. Without ``--costs``:
those in scaling_costs.json beside this file, from the machine that docs/scaling.md tells of.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

AHEAD = 2
FILES_OF_A_CHUNK = 3
DRAWN = 4096
"""Costs that are drawn at a time."""


@dataclass(frozen=True)
class Task:
    """What one task costs, in seconds: to build and hand it out, to compute it, and to write what came back."""

    building: float
    computing: float
    writing: float
    bytes: int


@dataclass
class Spent:
    """How long a run took, and on what.

    Attributes:
        seconds: from the first task to the last file.
        computing: of all workers together.
        building: of the one process: the inputs of layers, and handing out.
        waiting: looking who has finished, which takes longer the more tasks are under way.
        writing: files.
        bytes: what was written.
        tasks: how many there were.
    """

    seconds: float = 0.0
    computing: float = 0.0
    building: float = 0.0
    waiting: float = 0.0
    writing: float = 0.0
    bytes: int = 0
    tasks: int = 0


@dataclass(frozen=True)
class Costs:
    """The measured costs, to be drawn from.

    Attributes:
        measured: what scaling.py wrote.
        workers_write: whether workers build and write themselves, chunks of the sizes that audits choose.
    """

    measured: dict[str, Any]
    workers_write: bool

    def tasks(self, samples: int, spectra: int, rng: np.random.Generator) -> Iterator[Task]:
        """All tasks of an audit in their order: layer by layer, then the singular values."""
        resnet = self.measured["resnet"]
        for layer in sorted({row["layer"] for row in resnet["chunks"]}):
            size = self.block(layer)
            share = size / resnet["block"]
            rows = [row for row in resnet["chunks"] if row["layer"] == layer]
            costs = [
                (share * row["building"], share * row["judging"], int(share * sum(row["bytes"].values())))
                for row in rows
            ]
            yield from self._drawn(costs, -(-samples // size), FILES_OF_A_CHUNK, rng)
        rows = [(0.0, row["computing"], row["bytes"]) for row in resnet["spectra"]]
        yield from self._drawn(rows, spectra, 1, rng)

    def block(self, layer: int) -> int:
        """Samples of a chunk."""
        resnet = self.measured["resnet"]
        return resnet["blocks"][str(layer)] if self.workers_write else resnet["block"]

    def _drawn(
        self, rows: list[tuple[float, float, int]], count: int, files: int, rng: np.random.Generator
    ) -> Iterator[Task]:
        handing = self.measured["overheads"]["dask"]
        naming = [seconds for each in self.measured["store"]["small"] for seconds in each["writing"]]
        rate = self.measured["store"]["bytes_per_second"]
        for start in range(0, count, DRAWN):
            size = min(DRAWN, count - start)
            handed, named = rng.choice(handing, size), rng.choice(naming, size) * files / FILES_OF_A_CHUNK
            for row, hand, name in zip(rng.integers(len(rows), size=size), handed, named, strict=True):
                building, computing, length = rows[row]
                writing = float(name) + length / rate
                if self.workers_write:
                    yield Task(float(hand), building + computing + writing, 0.0, length)
                else:
                    yield Task(building + float(hand), computing, writing, length)


@dataclass
class Workers:
    """Workers and the tasks that wait for them; ``finished`` are those whose results nobody has taken yet."""

    idle: int
    waiting: deque[Task] = field(default_factory=deque[Task])
    running: list[tuple[float, int, Task]] = field(default_factory=list[tuple[float, int, Task]])
    finished: list[Task] = field(default_factory=list[Task])
    started: int = 0

    def take(self, task: Task, now: float) -> None:
        """Hand out a task."""
        if self.idle:
            self.idle -= 1
            self._start(task, now)
        else:
            self.waiting.append(task)

    def until(self, now: float) -> None:
        """Let everything happen that happens before a moment."""
        while self.running and self.running[0][0] <= now:
            ended, _, task = heapq.heappop(self.running)
            self.finished.append(task)
            if self.waiting:
                self._start(self.waiting.popleft(), ended)
            else:
                self.idle += 1

    def _start(self, task: Task, now: float) -> None:
        self.started += 1
        heapq.heappush(self.running, (now + task.computing, self.started, task))


def simulate(tasks: Iterator[Task], count: int, looking: float) -> Spent:
    """Run an audit.

    Args:
        tasks: all tasks.
        count: how many workers there are.
        looking: seconds for each task that is under way, whenever the process looks who has finished.
    """
    spent, workers, now, under_way = Spent(), Workers(count), 0.0, 0
    while True:
        for task in islice(tasks, AHEAD * count - under_way):
            now += task.building
            spent.building += task.building
            workers.until(now)
            workers.take(task, now)
            under_way += 1
        if not under_way:
            spent.seconds = now
            return spent
        now += looking * under_way
        spent.waiting += looking * under_way
        workers.until(now)
        if not workers.finished:
            now = workers.running[0][0]
            workers.until(now)
        taken, workers.finished = workers.finished, []
        for task in taken:
            now += task.writing
            spent.writing += task.writing
            spent.computing += task.computing
            spent.bytes += task.bytes
            spent.tasks += 1
        under_way -= len(taken)


def main() -> None:
    """Print a line for every number of machines, as it is and as it would be with one writer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--costs", type=Path, default=Path(__file__).with_name("scaling_costs.json"))
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--spectra", type=int, default=0, help="samples at which singular values are computed")
    parser.add_argument("--machines", default="1,3,10,30,100,300,1000")
    parser.add_argument("--cores", type=int, default=16, help="of each machine")
    parser.add_argument("--smoke", action="store_true", help="12,000 samples on 1 and 10 machines")
    options = parser.parse_args()
    if options.smoke:
        options.samples, options.machines = 12_000, "1,10"
    measured = json.loads(options.costs.read_text())
    for workers_write in (True, False):
        print("as it is:" if workers_write else "if the one process built and wrote all chunks:")
        for machines in map(int, options.machines.split(",")):
            tasks = Costs(measured, workers_write).tasks(options.samples, options.spectra, np.random.default_rng(0))
            workers = machines * options.cores
            report(machines, workers, simulate(tasks, workers, measured["overheads"]["looking"]))
    afterwards(measured, options.samples, options.spectra)


def report(machines: int, workers: int, spent: Spent) -> None:
    """One line: how long it takes, and who is busy with what."""
    busy = spent.computing / spent.seconds / workers
    shares = {name: getattr(spent, name) / spent.seconds for name in ("building", "waiting", "writing")}
    alone = sum(shares.values())
    limit = "workers" if busy > alone else "the one process"
    words = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    print(
        f"{machines:>6} machines, {workers:>6} workers: {spent.seconds / 3600:9.2f} h, workers busy {busy:4.0%}, "
        f"the one process {alone:4.0%} ({words}); most busy: {limit}; {spent.bytes / spent.seconds / 1e6:.1f} MB/s"
    )


def afterwards(measured: dict[str, Any], samples: int, spectra: int) -> None:
    """What the one process does before and after: looking at the folder, finishing, the ledger."""
    costs, resnet, ledger = Costs(measured, workers_write=True), measured["resnet"], measured["store"]["ledgers"][-1]
    layers = sorted({row["layer"] for row in resnet["chunks"]})
    chunks = sum(-(-samples // costs.block(layer)) for layer in layers)
    sizes = [sum(row["bytes"].values()) / resnet["block"] for row in resnet["chunks"]]
    length = np.mean(sizes) * samples * len(layers) + spectra * np.mean([row["bytes"] for row in resnet["spectra"]])
    large, share = measured["store"]["large"], chunks / ledger["chunks"]
    print(f"{chunks} chunks in {FILES_OF_A_CHUNK * chunks + spectra} files of {length / 1e9:.0f} GB")
    print(f"--resume looks at the chunks in {chunks * large['looking']:.0f} s, or reads them in ", end="")
    print(f"{chunks * large['reading'] / 60:.0f} min")
    print(f"a ledger of {share * ledger['bytes'] / 1e6:.0f} MB, written in {share * ledger['writing']:.1f} s", end="")
    print(f" and read in {share * ledger['reading']:.1f} s")


if __name__ == "__main__":
    main()
