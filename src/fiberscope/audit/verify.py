"""Checking results again, from the model, the stored inputs and the certificates alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fiberscope.audit.effort import sensible_workers
from fiberscope.audit.findings import Finding, certificate_id
from fiberscope.audit.plan import Chunk, NamedDomain
from fiberscope.audit.store import INPUTS, ChunkData, Results
from fiberscope.audit.subject import Subject
from fiberscope.audit.workers import spread
from fiberscope.errors import FiberscopeError, ResultsError
from fiberscope.network.layer import Layer, around
from fiberscope.preimage.certificate import Certificate
from fiberscope.preimage.checker import verify
from fiberscope.preimage.checker.pattern import exact_signs
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.preimage import Preimage
from fiberscope.threads import one_thread

INPUT_AGREEMENT = 1e-9
"""How far the stored inputs of a layer may be from recomputed ones, relative to the largest: some thousand roundings.
Matrix products round differently from machine to machine, so they cannot be asked to be equal."""


@dataclass(frozen=True)
class Failure:
    """A verdict that is not proved.

    Attributes:
        finding: the verdict.
        reason: why it is not proved.
    """

    finding: Finding
    reason: str


@dataclass(frozen=True)
class ChunkVerification:
    """What checking one chunk gave.

    Attributes:
        chunk: which layer and samples.
        proved: the number of verdicts proved.
        undecided: the number of findings that claim nothing.
        failures: the verdicts that are not proved.
        changed: the files that are not what the audit wrote.
    """

    chunk: Chunk
    proved: int
    undecided: int
    failures: tuple[Failure, ...]
    changed: tuple[str, ...]


def verify_results(results: Results, *, exact: bool = False, workers: int | None = None) -> Iterator[ChunkVerification]:
    """Check every certificate of an audit again.

    Args:
        results: the folder.
        exact: whether to use rational arithmetic only.
        workers: the number of processes; None to choose.

    Yields:
        One verification per chunk.

    Raises:
        ResultsError: the folder is not an audit's, is damaged, or the audit is not complete.
    """
    manifest = results.manifest()
    processes = workers or sensible_workers(results.subject().network, manifest.plan)
    check = partial(verify_chunk, results.folder, exact=exact)
    for _, verification in spread(check, manifest.plan.chunks(), processes):
        yield verification
    if not manifest.complete:
        raise ResultsError(
            f"the audit in {results.folder} is not complete; continue it with --resume", path=str(results.folder)
        )


def verify_chunk(folder: Path, chunk: Chunk, *, exact: bool) -> ChunkVerification:
    """Check the certificates of one chunk, from the folder alone."""
    results = Results(folder)
    manifest, subject = results.manifest(), results.subject()
    data = results.read_chunk(manifest, chunk)
    with one_thread():
        _check_inputs(results, subject, data)
        layer = subject.network.relu_layers[chunk.layer]
        domains = {named.name: named for named in manifest.plan.domains(chunk.layer)}
        decided = [finding for finding in data.findings.rows() if finding.kind is not Kind.UNDECIDED]
        reasons = [_why_not_proved(finding, layer, data, domains[finding.domain], exact=exact) for finding in decided]
    failures = tuple(Failure(finding, reason) for finding, reason in zip(decided, reasons, strict=True) if reason)
    undecided = len(data.findings) - len(decided)
    return ChunkVerification(chunk, len(decided) - len(failures), undecided, failures, data.changed)


def _why_not_proved(finding: Finding, layer: Layer, chunk_data: ChunkData, named: NamedDomain, *, exact: bool) -> str:
    """Why a verdict is not proved; empty if it is."""
    x = chunk_data.inputs[finding.sample - chunk_data.chunk.start]
    data = chunk_data.certificates.get(finding.certificate)
    if data is None:
        return "its certificate is missing"
    if certificate_id(data) != finding.certificate:
        return "its certificate is not the one that was stored under this id"
    try:
        certificate = Certificate.from_bytes(data)
        local, domain, point = around(layer, named.domain, x)
        claim = Preimage(
            layer=local,
            domain=domain,
            x=point,
            y=None,
            kind=finding.kind,
            dimension=finding.dimension,
            margin=finding.margin,
            certificate=certificate,
            reason="",
        )
    except FiberscopeError as error:
        return str(error)
    verification = verify(claim, exact=exact)
    if not verification.proved:
        return verification.reason or "the certificate does not prove it"
    positive = (exact_signs(local.weight, point, local.bias) > 0) | local.injective
    have = int(positive[local.definitions :].sum())
    return "" if have == finding.positives else f"{finding.positives} positive outputs are stored, there are {have}"


def _check_inputs(results: Results, subject: Subject, data: ChunkData) -> None:
    """Check that the stored inputs are, up to rounding, what the network hands to the layer."""
    chunk = data.chunk
    recomputed = subject.network.layer_input(chunk.layer, subject.x[chunk.start : chunk.stop])
    allowed = INPUT_AGREEMENT * float(np.abs(recomputed).max(initial=0.0))
    if not np.isfinite(data.inputs).all() or (np.abs(recomputed - data.inputs) > allowed).any():
        path = str(results.path(INPUTS, chunk))
        raise ResultsError(f"{path} is damaged: it is not what the network hands to layer {chunk.layer}", path=path)


__all__ = ["INPUT_AGREEMENT", "ChunkVerification", "Failure", "verify_chunk", "verify_results"]
