"""The kinds of work that an audit consists of: how a chunk becomes a task, a result, and files, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from fiberscope.audits.effort import process_bytes
from fiberscope.audits.plan import AnyChunk, Plan
from fiberscope.audits.subject import Subject
from fiberscope.memory import available_memory, gigabytes
from fiberscope.network.network import Network

C = TypeVar("C", bound=AnyChunk)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Effort:
    """What the chunks of one kind of work take.

    Attributes:
        processes: how many are worth computing side by side on this machine.
        memory: bytes that each takes, an estimate.
        algebra: how many threads linear algebra uses in each. The last digits depend on it.
    """

    processes: int
    memory: int
    algebra: int = 1


@runtime_checkable
class Work(Protocol[C, T, R]):
    """One kind of work.

    What is computed depends on the network and the task alone, so that a chunk may be computed anywhere, and again.
    """

    @property
    def name(self) -> str:
        """What it computes, in words."""
        ...

    def chunks(self, plan: Plan) -> Iterator[C]:
        """All chunks of this kind."""
        ...

    def effort(self, network: Network, plan: Plan) -> Effort:
        """What the chunks take."""
        ...

    def task(self, subject: Subject, plan: Plan, chunk: C) -> T:
        """A chunk with all that is needed to compute it but the network: what is made anew wherever it is computed."""
        ...

    def compute(self, network: Network, task: T, threads: int) -> R:
        """Compute one chunk. The number of threads changes nothing but the time that it takes."""
        ...

    def failed(self, network: Network, task: T, reason: str) -> R:
        """What stands in the place of a result that could not be computed."""
        ...

    def files(self, task: T, result: R) -> dict[str, bytes]:
        """The files of a chunk, by part of the results folder, in the order in which they are to be written."""
        ...


AnyWork = Work[Any, Any, Any]


@dataclass(frozen=True)
class Capacity:
    """How many chunks of a kind are computed side by side.

    Attributes:
        processes: how many on one machine; None for as many as there are workers.
        note: what is to be said about it; may be empty.
    """

    processes: int | None
    note: str = ""


def local_capacity(work: AnyWork, network: Network, plan: Plan, asked: int | None) -> Capacity:
    """The capacity of this machine.

    Args:
        work: the kind of work.
        network: the network.
        plan: what is to be computed.
        asked: how many processes the caller asks for; None for as many as are worth it.
    """
    chunks = sum(1 for _ in work.chunks(plan))
    if not chunks:
        return Capacity(1)
    effort, free = work.effort(network, plan), available_memory()
    alone = effort.algebra > 1  # then a chunk uses all cores itself
    wanted = min(effort.processes if alone or asked is None else asked, chunks)
    each = effort.memory + process_bytes(network)
    fitting = min(wanted, max(1, free // each))
    have = f"and {gigabytes(free)} are free"
    if effort.memory > free:
        note = f"a chunk of {work.name} takes about {gigabytes(effort.memory)} of memory, {have}"
        return Capacity(fitting, f"{note}; it may fail, and be undecided. Fewer samples per --block take less")
    if fitting < wanted:
        note = f"{fitting} instead of {wanted} processes for {work.name}: each takes about {gigabytes(each)} of memory"
        return Capacity(fitting, f"{note}, {have}")
    return Capacity(fitting)


def cluster_capacity(work: AnyWork, network: Network, plan: Plan, asked: int | None) -> Capacity:
    """The capacity of machines of which nothing is known but how many workers they have."""
    effort = work.effort(network, plan)
    return Capacity(asked if effort.algebra == 1 else effort.processes)


__all__ = ["AnyWork", "Capacity", "Effort", "Work", "cluster_capacity", "local_capacity"]
