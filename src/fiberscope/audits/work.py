"""The kinds of work that an audit consists of: how a chunk of each becomes a task, a result, and files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

from fiberscope.audits.effort import Effort
from fiberscope.audits.plan import AnyChunk, Plan
from fiberscope.audits.subject import Subject
from fiberscope.network.network import Network

C = TypeVar("C", bound=AnyChunk)
T = TypeVar("T")
R = TypeVar("R")


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

__all__ = ["AnyWork", "Work"]
