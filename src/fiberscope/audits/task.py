"""The units of work: one chunk to judge, and what was found in it; one sample to compute singular values at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fiberscope.audits.findings import Finding
from fiberscope.audits.plan import Chunk, NamedDomain, SpectraChunk, SurveyChunk
from fiberscope.invariance.surveyed import SurveyedSample
from fiberscope.network.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Task:
    """A chunk with all that is needed to judge it.

    Attributes:
        chunk: which layer and samples.
        inputs: (chunk's samples, n) what the layer receives; the verdicts are about exactly these numbers.
        domains: the domains to judge on.
        seconds: how long deciding may take, per sample and domain, on average; None for no limit.
    """

    chunk: Chunk
    inputs: FloatArray
    domains: tuple[NamedDomain, ...]
    seconds: float | None = None


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


@dataclass(frozen=True, eq=False)
class SurveyTask:
    """A sample from which it is to be computed how far invariance reaches.

    Attributes:
        chunk: which sample.
        sample: it, and what to go towards.
        layers: positions of the ReLU layers.
        box: bounds of every input.
    """

    chunk: SurveyChunk
    sample: SurveyedSample
    layers: tuple[int, ...]
    box: tuple[float, float]


__all__ = ["ChunkResult", "SpectraTask", "SurveyTask", "Task"]
