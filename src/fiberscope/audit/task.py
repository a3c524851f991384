"""The unit of work: one chunk to judge, and what was found in it."""

from __future__ import annotations

from dataclasses import dataclass

from fiberscope.audit.findings import Finding
from fiberscope.audit.plan import Chunk, NamedDomain
from fiberscope.network.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Task:
    """A chunk with all that is needed to judge it.

    Attributes:
        chunk: which layer and samples.
        inputs: (chunk's samples, n) what the layer receives; the verdicts are about exactly these numbers.
        domains: the domains to judge on.
    """

    chunk: Chunk
    inputs: FloatArray
    domains: tuple[NamedDomain, ...]


@dataclass(frozen=True, eq=False)
class ChunkResult:
    """What was found in one chunk.

    Attributes:
        chunk: which layer and samples.
        findings: one per domain and sample, in the order of ``Plan.rows``.
        certificates: every certificate that a finding names, once.
    """

    chunk: Chunk
    findings: tuple[Finding, ...]
    certificates: dict[str, bytes]


__all__ = ["ChunkResult", "Task"]
