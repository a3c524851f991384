"""The units of work: one chunk to judge, and what was found in it; one sample to compute singular values at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fiberscope.audit.findings import Finding
from fiberscope.audit.plan import Chunk, NamedDomain, SpectraChunk
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


@dataclass(frozen=True, eq=False)
class SpectraTask:
    """A sample at which singular values are to be computed.

    Attributes:
        chunk: which sample.
        x: (*input_shape,) the sample.
    """

    chunk: SpectraChunk
    x: NDArray[Any]


__all__ = ["ChunkResult", "SpectraTask", "Task"]
