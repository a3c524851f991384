"""Checking results again, from the model, the stored inputs and the certificates alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from fiberscope.audit.checks import Check, checked
from fiberscope.audit.effort import sensible_workers
from fiberscope.audit.findings import Finding, certificate_id
from fiberscope.audit.plan import Chunk, NamedDomain
from fiberscope.audit.store import INPUTS, ChunkData, Results
from fiberscope.audit.unit_counts import counts_at, unit_counts
from fiberscope.errors import FiberscopeError, ResultsError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.layer import Layer, around
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimage.certificate import Certificate
from fiberscope.preimage.checker import verify, verify_many
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
    """Check every certificate of an audit again; of one that is not complete, those that are there.

    Args:
        results: the folder.
        exact: whether to use rational arithmetic only.
        workers: the number of processes; None to choose.

    Yields:
        One verification per chunk.

    Raises:
        ResultsError: the folder is not an audit's, or is damaged.
    """
    manifest, subject = results.manifest(), results.subject()
    processes = workers or sensible_workers(subject.network, manifest.plan)
    yield from checked(partial(_verified, exact=exact), results, subject, manifest.plan.chunks(), processes)


def _verified(network: Network, check: Check[Chunk], *, exact: bool) -> ChunkVerification:
    """Check the certificates of one chunk."""
    chunk, data = check.chunk, check.results.read_chunk(check.manifest, check.chunk)
    with one_thread():
        _check_inputs(network, check, data)
        layer = network.relu_layers[chunk.layer]
        domains = {named.name: named for named in check.manifest.plan.domains(chunk.layer)}
        decided = [finding for finding in data.findings.rows() if finding.kind is not Kind.UNDECIDED]
        reasons = _why_not_proved(decided, layer, data, domains, exact=exact)
    failures = tuple(Failure(finding, reason) for finding, reason in zip(decided, reasons, strict=True) if reason)
    undecided = len(data.findings) - len(decided)
    return ChunkVerification(chunk, len(decided) - len(failures), undecided, failures, data.changed)


def _why_not_proved(
    decided: list[Finding], layer: Layer, data: ChunkData, domains: dict[str, NamedDomain], *, exact: bool
) -> list[str]:
    """Why each verdict is not proved; empty if it is."""
    if not decided:
        return []
    read = {identity: _certificate(identity, data) for identity in {finding.certificate for finding in decided}}
    claims = [_claim(finding, layer, data, domains[finding.domain], read[finding.certificate]) for finding in decided]
    together = [claim for claim in claims if isinstance(claim, Preimage)]
    proved = [False] * len(together) if exact else verify_many(together).tolist()
    counts = _counts(layer, data.inputs)
    closed = {id(claim) for claim, proof in zip(together, proved, strict=True) if proof}

    def reason(finding: Finding, claim: Preimage | str) -> str:
        if isinstance(claim, str):
            return claim
        if id(claim) not in closed:
            verification = verify(claim, exact=True)  # in float64 it was tried already
            if not verification.proved:
                return verification.reason or "the certificate does not prove it"
        row = finding.sample - data.chunk.start
        return _miscounted(finding, unit_counts(layer, data.inputs[row]) if counts is None else counts[row])

    return [reason(finding, claim) for finding, claim in zip(decided, claims, strict=True)]


def _certificate(identity: str, chunk_data: ChunkData) -> Certificate | str:
    """A stored certificate, or why there is none."""
    data = chunk_data.certificates.get(identity)
    if data is None:
        return "its certificate is missing"
    if certificate_id(data) != identity:
        return "its certificate is not the one that was stored under this id"
    try:
        return Certificate.from_bytes(data)
    except FiberscopeError as error:
        return str(error)


def _claim(
    finding: Finding, layer: Layer, data: ChunkData, named: NamedDomain, certificate: Certificate | str
) -> Preimage | str:
    """What the finding says, or why it says nothing."""
    if isinstance(certificate, str):
        return certificate
    try:
        local, domain, point = around(layer, named.domain, data.inputs[finding.sample - data.chunk.start])
    except FiberscopeError as error:
        return str(error)
    return Preimage(local, domain, point, None, finding.kind, finding.dimension, finding.margin, certificate)


def _counts(layer: Layer, inputs: FloatArray) -> list[tuple[int, int]] | None:
    """The numbers of positive and saturated outputs at each input, of a dense layer; None of another."""
    if not isinstance(layer, ReLULayer) or not isinstance(layer.weight, np.ndarray):
        return None
    positives, saturated = counts_at(layer, inputs)
    return list(zip(positives.tolist(), saturated.tolist(), strict=True))


def _miscounted(finding: Finding, counts: tuple[int, int]) -> str:
    """Which number of outputs is not what is stored; empty if both are."""
    stored_counts = (finding.positives, finding.saturated)
    for name, stored, have in zip(("positive", "saturated"), stored_counts, counts, strict=True):
        if stored != have:
            return f"{stored} {name} outputs are stored, there are {have}"
    return ""


def _check_inputs(network: Network, check: Check[Chunk], data: ChunkData) -> None:
    """Check that the stored inputs are, up to rounding, what the network hands to the layer.

    Where that is NaN or infinite nothing can be decided.
    """
    layer = check.chunk.layer
    recomputed = network.layer_input(layer, check.x)
    finite = np.isfinite(recomputed)
    allowed = INPUT_AGREEMENT * float(np.abs(recomputed[finite]).max(initial=0.0))
    agree = np.allclose(data.inputs, recomputed, rtol=0.0, atol=allowed, equal_nan=True)
    if not agree or (not finite.all() and (data.findings.kind != Kind.UNDECIDED).any()):
        path = str(check.results.path(INPUTS, check.chunk))
        raise ResultsError(f"{path} is damaged: it is not what the network hands to layer {layer}", path=path)


__all__ = ["INPUT_AGREEMENT", "ChunkVerification", "Failure", "verify_results"]
