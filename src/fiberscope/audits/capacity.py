"""How many chunks of a kind are computed side by side on one machine: what is asked for, as far as memory allows."""

from __future__ import annotations

from dataclasses import dataclass

from fiberscope.audits.footprint import process_bytes
from fiberscope.audits.plan import Plan
from fiberscope.audits.work import AnyWork
from fiberscope.memory import available_memory, gigabytes
from fiberscope.network.network import Network


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


__all__ = ["Capacity", "cluster_capacity", "local_capacity"]
