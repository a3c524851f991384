"""The audit itself: a generator of findings, chunk by chunk, that reads and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.audit.findings import Finding, certificate_id
from fiberscope.audit.plan import Chunk, NamedDomain, Plan
from fiberscope.audit.task import ChunkResult, Task
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Domain, written_out
from fiberscope.network.layer import Layer
from fiberscope.network.network import Network
from fiberscope.preimage.classify import Classification, classify
from fiberscope.preimage.geometry import positive_neurons
from fiberscope.preimage.kind import Kind
from fiberscope.threads import cores, one_thread

Execute = Callable[[Iterable[Task]], Iterable[tuple[Task, ChunkResult]]]
"""Judges tasks, here or elsewhere, and gives them back with their results in any order."""


def audit(
    network: Network, x: NDArray[Any], plan: Plan, *, done: Collection[Chunk] = (), execute: Execute | None = None
) -> Generator[tuple[Task, ChunkResult]]:
    """Judge the preimage of every planned layer's output at every planned sample.

    Args:
        network: the network.
        x: (N, *input_shape) samples.
        plan: which layers, samples and domains.
        done: chunks to leave out.
        execute: who judges; by default this process.

    Yields:
        A task and its result, as soon as it is there.
    """
    todo = [chunk for chunk in plan.chunks() if chunk not in done]
    tasks = (build_task(network, x, plan, chunk) for chunk in todo)
    yield from (execute or in_process(network))(tasks)


def build_task(network: Network, x: NDArray[Any], plan: Plan, chunk: Chunk) -> Task:
    """Compute what the layer receives for the chunk's samples."""
    with one_thread():
        inputs = network.layer_input(chunk.layer, x[chunk.start : chunk.stop])
    return Task(chunk, np.ascontiguousarray(inputs, dtype=np.float64), plan.domains(chunk.layer))


def in_process(network: Network) -> Execute:
    """Judge in this process, one task after the other, each on all cores."""

    def execute(tasks: Iterable[Task]) -> Iterator[tuple[Task, ChunkResult]]:
        for task in tasks:
            yield task, judge(network.relu_layers[task.chunk.layer], task, threads=cores())

    return execute


def judge(layer: Layer, task: Task, threads: int = 1) -> ChunkResult:
    """Judge one chunk.

    Args:
        layer: the layer that the chunk is about.
        task: the chunk.
        threads: how many threads work on it.
    """
    findings: list[Finding] = []
    certificates: dict[str, bytes] = {}
    for named in task.domains:
        findings.extend(_judge_on(layer, task, named, certificates, threads))
    return ChunkResult(task.chunk, tuple(findings), certificates)


def _judge_on(
    layer: Layer, task: Task, named: NamedDomain, certificates: dict[str, bytes], threads: int
) -> Iterator[Finding]:
    inside = _inside(task.inputs, named.domain)
    judged = classify(layer, task.inputs[inside], domain=named.domain, threads=threads) if inside.any() else None
    identities = [] if judged is None else _stored(judged, certificates)
    position = np.cumsum(inside) - 1
    for row, sample in enumerate(task.chunk.samples):
        if judged is not None and inside[row]:
            i = int(position[row])
            p = judged[i]
            yield Finding(
                sample=sample,
                layer=task.chunk.layer,
                domain=named.name,
                positives=int(judged.positives[i]),
                kind=p.kind,
                dimension=p.dimension,
                margin=float(p.margin),
                certificate=identities[i],
                reason=p.reason,
            )
        else:
            yield _outside(layer, task.inputs[row], sample, task.chunk.layer, named)


def _stored(judged: Classification, certificates: dict[str, bytes]) -> list[str]:
    """Write down every certificate once; returns the identity of each sample's, empty where there is none."""
    known: dict[int, str] = {}
    for p in judged:
        if p.kind is not Kind.UNDECIDED and id(p.certificate) not in known:
            data = p.certificate.to_bytes()
            known[id(p.certificate)] = certificate_id(data)
            certificates[known[id(p.certificate)]] = data
    return [known.get(id(p.certificate), "") for p in judged]


def _outside(layer: Layer, x: FloatArray, sample: int, position: int, named: NamedDomain) -> Finding:
    reason = f"the layer's input does not lie in {named.name}: what comes before the layer lets other numbers through"
    positives = positive_neurons(layer, x)
    return Finding(sample, position, named.name, positives, Kind.UNDECIDED, None, float("nan"), "", reason)


def _inside(inputs: FloatArray, domain: Domain | None) -> BoolArray:
    polyhedron = written_out(domain, inputs.shape[1])
    return np.asarray(((inputs >= polyhedron.low) & (inputs <= polyhedron.high)).all(axis=1))


__all__ = ["Execute", "audit", "build_task", "in_process", "judge"]
