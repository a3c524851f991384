"""Verdicts about the preimages of a layer's outputs at a block of samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fiberscope.audits import shards
from fiberscope.audits.effort import chunk_bytes, sensible_workers
from fiberscope.audits.findings import Finding, certificate_id
from fiberscope.audits.plan import EXACT, Chunk, NamedDomain, Plan
from fiberscope.audits.store import CERTIFICATES, INPUTS, PREIMAGES
from fiberscope.audits.subject import Subject
from fiberscope.audits.task import ChunkResult, Task
from fiberscope.audits.unit_counts import unit_counts
from fiberscope.audits.work import Effort
from fiberscope.errors import InputError, MemoryLimitError
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.layer import Layer
from fiberscope.network.network import Network
from fiberscope.preimages.classify import Classification, classify
from fiberscope.preimages.kind import Kind
from fiberscope.threads import one_thread


class Verdicts:
    """The kind of work that judges; see ``Work``."""

    name = "verdicts"

    def chunks(self, plan: Plan) -> Iterator[Chunk]:
        """All blocks of samples, layer by layer."""
        return plan.chunks()

    def effort(self, network: Network, plan: Plan) -> Effort:
        """Processes where the work is large."""
        return Effort(processes=sensible_workers(network, plan), memory=chunk_bytes(network, plan))

    def task(self, subject: Subject, plan: Plan, chunk: Chunk) -> Task:
        """Compute what the layer receives. Machines may round it differently; what is judged is stored."""
        with one_thread():
            inputs = subject.network.layer_input(chunk.layer, subject.x[chunk.start : chunk.stop])
        return Task(chunk, np.ascontiguousarray(inputs, dtype=np.float64), plan.domains(chunk.layer), plan.seconds)

    def compute(self, network: Network, task: Task, threads: int) -> ChunkResult:
        """Judge, several samples at a time."""
        return judge(network.relu_layers[task.chunk.layer], task, threads)

    def failed(self, network: Network, task: Task, reason: str) -> ChunkResult:
        """Findings that are undecided, of every domain and sample."""
        layer = network.relu_layers[task.chunk.layer]
        findings = tuple(
            _failed(layer, task.inputs[row], sample, task.chunk.layer, named, reason)
            for named in task.domains
            for row, sample in enumerate(task.chunk.samples)
        )
        return ChunkResult(task.chunk, findings, {})

    def files(self, task: Task, result: ChunkResult) -> dict[str, bytes]:
        """Inputs, certificates, and the findings, which vouch for the others."""
        contents = {
            INPUTS: shards.array_to_bytes(task.inputs),
            CERTIFICATES: shards.certificates_to_bytes(result.certificates),
        }
        siblings = {part: shards.sha256(data) for part, data in contents.items()}
        return contents | {PREIMAGES: shards.findings_to_bytes(result.findings, siblings)}


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
    budget = None if task.seconds is None else task.seconds * int(inside.sum())
    try:
        judged = None
        if inside.any():
            samples, within = task.inputs[inside], named.within
            judged = classify(layer, samples, domain=named.domain, within=within, threads=threads, seconds=budget)
    except MemoryLimitError as limit:
        yield from (_uncounted(sample, task.chunk.layer, named, str(limit)) for sample in task.chunk.samples)
        return
    except InputError as error:
        if named.precision == EXACT:
            raise
        reason = f"nothing is known of what {named.precision} says of this layer: {error}"
        for x, sample in zip(task.inputs, task.chunk.samples, strict=True):
            yield _failed(layer, x, sample, task.chunk.layer, named, reason)
        return
    identities = [] if judged is None else _stored(judged, certificates)
    sizes = np.zeros(0) if judged is None else judged.radius
    position = np.cumsum(inside) - 1
    for row, sample in enumerate(task.chunk.samples):
        if judged is None or not inside[row]:
            reason = f"the layer's input does not lie in {named.name}: what comes before the layer lets others through"
            yield _undecided(layer, task.inputs[row], sample, task.chunk.layer, named, reason)
            continue
        i = int(position[row])
        finding = _judged(judged, i, sample, task.chunk.layer, named)
        yield replace(finding, certificate=identities[i], radius=float(sizes[i]))


def _judged(judged: Classification, i: int, sample: int, layer: int, named: NamedDomain) -> Finding:
    p = judged[i]
    return Finding(
        sample=sample,
        layer=layer,
        domain=named.name,
        positives=int(judged.positives[i]),
        saturated=int(judged.saturated[i]),
        kind=p.kind,
        dimension=p.dimension,
        margin=float(p.margin),
        certificate="",
        reason=p.reason,
        dimension_bounds=p.dimension_bounds,
        precision=named.precision,
    )


def _stored(judged: Classification, certificates: dict[str, bytes]) -> list[str]:
    """Write down every certificate once; returns the identity of each sample's, empty where there is none."""
    known: dict[int, str] = {}
    for p in judged:
        if p.kind is not Kind.UNDECIDED and id(p.certificate) not in known:
            data = p.certificate.to_bytes()
            known[id(p.certificate)] = certificate_id(data)
            certificates[known[id(p.certificate)]] = data
    return [known.get(id(p.certificate), "") for p in judged]


def _undecided(layer: Layer, x: FloatArray, sample: int, position: int, named: NamedDomain, reason: str) -> Finding:
    counts = unit_counts(layer, x)
    verdict = (Kind.UNDECIDED, None, float("nan"), "", reason)
    return Finding(sample, position, named.name, *counts, *verdict, precision=named.precision)


def _failed(layer: Layer, x: FloatArray, sample: int, position: int, named: NamedDomain, reason: str) -> Finding:
    """Undecided; and so may be the number of positive outputs, where the layer receives NaN, say."""
    try:
        return _undecided(layer, x, sample, position, named, reason)
    except Exception:
        return _uncounted(sample, position, named, reason)


def _uncounted(sample: int, position: int, named: NamedDomain, reason: str) -> Finding:
    reason += "; nor could the positive outputs be counted, and 0 stands for their number"
    verdict = (Kind.UNDECIDED, None, float("nan"), "", reason)
    return Finding(sample, position, named.name, 0, 0, *verdict, precision=named.precision)


def _inside(inputs: FloatArray, domain: Domain | None) -> BoolArray:
    polyhedron = as_polyhedron(domain, inputs.shape[1])
    return np.asarray(((inputs >= polyhedron.low) & (inputs <= polyhedron.high)).all(axis=1))


__all__ = ["Verdicts", "judge"]
