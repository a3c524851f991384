"""What an audit will do: which layers, which samples, on which domains, in which chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any, assert_never

from fiberscope.errors import InputError, shown
from fiberscope.network.domains import Box, Domain, NonNegative
from fiberscope.network.layers import PlacedLayer
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.stage import INPUT
from fiberscope.preimages.precision import NAMES, Precision

BLOCK_SAMPLES = 1_000
"""Samples per chunk at most: so many that they share proofs, so few that a killed run loses some seconds of work."""


REACH_EPS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""By how much features may differ where it is computed how far invariance reaches, relative to the largest feature of
the sample: 0, what float16 rounds (5e-4) and 8-bit codes (2e-3) lie between, up to a tenth."""

EXACT = "exact"
"""The precision of verdicts about exact outputs."""


class Reads(StrEnum):
    """What a layer receives."""

    INPUT = "input"
    """The network's input."""
    NONNEGATIVE = "nonnegative"
    """What is never negative: the output of a ReLU, say."""
    CLIPPED = "clipped"
    """What lies in a box: the output of a ReLU6, say."""
    ANYTHING = "anything"
    """Numbers of which nothing is known beforehand."""


@dataclass(frozen=True)
class Place:
    """Where a layer lies in its network, as far as its domains depend on it.

    Attributes:
        reads: what it receives.
        region: whether it is judged within the linear region of each sample.
        bounds: the bounds of what it receives, where that lies in a box; infinite on one side at most.
    """

    reads: Reads
    region: bool = False
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class NamedDomain:
    """A domain and the name that it has in the results; None is all of R^n.

    Attributes:
        name: the domain in the results.
        domain: the domain.
        precision: to which outputs are known, as the results have it.
        within: the same for ``classify``.
    """

    name: str
    domain: Domain | None
    precision: str = EXACT
    within: Any = 0.0

    @property
    def label(self) -> str:
        """Domain and precision in words."""
        return place_label(self.name, self.precision)


def known_precision(text: str) -> str:
    """A precision as results have it: a name, or a positive number as Python writes it; empty for anything else."""
    if text.lower() in NAMES:
        return text.lower()
    try:
        eps = float(text)
    except ValueError:
        return ""
    return repr(eps) if 0.0 < eps < inf else ""


def known_share(text: str) -> str:
    """A share of the largest feature, as a percentage, such as 1%; empty for anything else."""
    try:
        share = float(text.removesuffix("%")) if text.endswith("%") else 0.0
    except ValueError:
        return ""
    return f"{share:g}%" if 0.0 < share < inf else ""


def reach_name(eps: float | None, precision: str) -> str:
    """What features may differ by in a row of a survey: as thresholds name it.

    Args:
        eps: relative to the largest feature; None where it is a precision.
        precision: that of the audit.
    """
    return precision if eps is None else known_share(f"{100.0 * eps:g}%") or EXACT


def checked_precision(value: Any) -> str:
    """The precision that a name or a number means, as results have it.

    Raises:
        InputError: it means none.
    """
    if not (precision := known_precision(str(value))):
        hint = "a number says by how much every output may differ from the exact one"
        expected = f"one of {', '.join(NAMES)}, or a positive number"
        raise InputError("--precision", expected=expected, got=shown(value), hint=hint)
    return precision


def place_label(domain: str, precision: str) -> str:
    """A domain and a precision in words."""
    return domain if precision == EXACT else f"{domain} at {precision}"


@dataclass(frozen=True)
class Chunk:
    """One layer at a block of consecutive samples, ``start <= sample < stop``: what is computed and written as one."""

    layer: int
    block: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The stem of the chunk's files."""
        return f"layer-{self.layer:02d}-block-{self.block:04d}"

    @property
    def samples(self) -> range:
        """The positions of the chunk's samples in the data."""
        return range(self.start, self.stop)


@dataclass(frozen=True)
class SampleChunk:
    """What is computed at one sample and written as one.

    A sample of a network for pictures takes seconds to minutes, so that no more than one is lost; and that chunks do
    not depend on how many samples are asked for lets an audit be continued with more.
    """

    sample: int

    @property
    def name(self) -> str:
        """The stem of the chunk's file."""
        return f"sample-{self.sample:06d}"


@dataclass(frozen=True)
class SpectraChunk(SampleChunk):
    """The singular values of every stage at one sample."""


@dataclass(frozen=True)
class SurveyChunk(SampleChunk):
    """How far invariance reaches from one sample, layer by layer."""


@dataclass(frozen=True)
class LeakChunk(SampleChunk):
    """What the features of one layer give away of one sample."""

    layer: int

    @property
    def name(self) -> str:
        """The stem of the chunk's files."""
        return f"layer-{self.layer:02d}-{super().name}"


AnyChunk = Chunk | SpectraChunk | SurveyChunk | LeakChunk


@dataclass(frozen=True)
class Plan:
    """What an audit will do.

    Attributes:
        layers: positions of the ReLU layers to audit, ascending.
        samples: the number of samples, the first ones of the data.
        box: the bounds of the network's input coordinates, where known.
        blocks: samples per chunk, of each of ``layers``; ``BLOCK_SAMPLES`` where not given.
        places: where each layer of the network lies; if not given, they follow each other: the first receives the
            input, the others what a ReLU let through.
        spectra: the number of samples, the first ones, at which singular values are computed.
        invariance: the number of samples, the first ones, at which it is computed how far invariance reaches.
        seconds: how long deciding may take, per sample, layer and domain, on average over a chunk; None for no limit.
        precision: a precision to which outputs are known, at which is judged as well; ``EXACT`` for none.
        steps: of 8-bit codes, the step in each of ``layers``; empty for other precisions.
        leakage: the precisions at which it is asked what features give away; then nothing else is.
    """

    layers: tuple[int, ...]
    samples: int
    box: tuple[float, float] | None = None
    blocks: tuple[int, ...] = ()
    places: tuple[Place, ...] = ()
    spectra: int = 0
    invariance: int = 0
    seconds: float | None = None
    precision: str = EXACT
    steps: tuple[float, ...] = ()
    leakage: tuple[str, ...] = ()

    def domains(self, layer: int) -> tuple[NamedDomain, ...]:
        """The domains that a layer is judged on.

        Always all of R^n. A layer that receives the network's input is also judged on the box where one is given; one
        that receives what a ReLU let through, also on the nonnegative orthant; one behind a clip, also on the box of
        the clip's bounds. Where branches meet, all of them are narrowed to the linear region of each sample. Where
        outputs are known to a precision, too, the same domains follow once more.
        """
        place = self.place(layer)
        domains = [NamedDomain("R^n", None)]
        match place.reads:
            case Reads.NONNEGATIVE:
                domains.append(NamedDomain("x >= 0", NonNegative()))
            case Reads.INPUT if self.box is not None:
                domains.append(_box(*self.box))
            case Reads.CLIPPED if place.bounds is not None:
                domains.append(_box(*place.bounds))
            case Reads.INPUT | Reads.ANYTHING | Reads.CLIPPED:
                pass
            case _:
                assert_never(place.reads)
        suffix = ", linear region" if place.region else ""
        exact = [NamedDomain(named.name + suffix, named.domain) for named in domains]
        if self.precision == EXACT:
            return tuple(exact)
        within = self.within(layer)
        return (*exact, *(NamedDomain(named.name, named.domain, self.precision, within) for named in exact))

    def within(self, layer: int) -> Precision | float:
        """The precision for ``classify``, where there is one."""
        if self.precision not in NAMES:
            return float(self.precision)
        return Precision(self.precision, self.step(layer))

    def step(self, layer: int) -> float | None:
        """The step of a layer's 8-bit codes, where it is judged at them."""
        return self.steps[self.layers.index(layer)] if self.steps else None

    def block(self, layer: int) -> int:
        """How many samples of a layer a chunk has."""
        return self.blocks[self.layers.index(layer)] if self.blocks else BLOCK_SAMPLES

    def place(self, layer: int) -> Place:
        """Where a layer lies."""
        if self.places:
            return self.places[layer]
        return Place(Reads.INPUT if layer == 0 else Reads.NONNEGATIVE)

    def chunks(self) -> Iterator[Chunk]:
        """All chunks of verdicts, layer by layer."""
        for layer in () if self.leakage else self.layers:
            size = self.block(layer)
            for block, start in enumerate(range(0, self.samples, size)):
                yield Chunk(layer, block, start, min(start + size, self.samples))

    def spectra_chunks(self) -> Iterator[SpectraChunk]:
        """All chunks of singular values, sample by sample."""
        return map(SpectraChunk, range(self.spectra))

    def reach_names(self) -> tuple[str, ...]:
        """What features may differ by in a survey, as thresholds name it."""
        names = tuple(reach_name(eps, EXACT) for eps in REACH_EPS)
        return names if self.precision == EXACT else (*names, self.precision)

    def survey_chunks(self) -> Iterator[SurveyChunk]:
        """All chunks of the survey of invariance, sample by sample."""
        return map(SurveyChunk, range(self.invariance))

    def leak_chunks(self) -> Iterator[LeakChunk]:
        """All chunks of what features give away, layer by layer."""
        for layer in self.layers if self.leakage else ():
            yield from (LeakChunk(sample, layer) for sample in range(self.samples))

    def every_chunk(self) -> Iterator[AnyChunk]:
        """All chunks of all kinds."""
        yield from self.chunks()
        yield from self.spectra_chunks()
        yield from self.survey_chunks()
        yield from self.leak_chunks()

    def rows(self, chunk: Chunk) -> list[tuple[int, str, str]]:
        """Sample, domain and precision of a chunk's findings, in the order in which they are stored."""
        domains = self.domains(chunk.layer)
        return [(sample, named.name, named.precision) for named in domains for sample in chunk.samples]


def places_of(network: Network) -> tuple[Place, ...]:
    """Where each layer of a network lies."""
    return tuple(_place_of(placed) for placed in network.placed_layers)


def _place_of(placed: PlacedLayer) -> Place:
    region = isinstance(placed.layer, RegionLayer)
    if placed.source == INPUT:
        return Place(Reads.INPUT, region)
    low, high = placed.received
    if high == inf and low in (0.0, -inf):
        return Place(Reads.ANYTHING if low else Reads.NONNEGATIVE, region)
    return Place(Reads.CLIPPED, region, placed.received)


def chosen_layers(requested: tuple[int, ...] | None, available: int) -> tuple[int, ...]:
    """Check the positions of the layers to audit; None means all.

    Raises:
        InputError: a layer that the network does not have, or named twice, or none.
    """
    if requested is None:
        return tuple(range(available))
    have = f"the network has {available} ReLU layer{'s' if available != 1 else ''}, numbered 0 to {available - 1}"
    for layer in requested:
        if not 0 <= layer < available:
            raise InputError("layers", expected=f"numbers from 0 to {available - 1}", got=str(layer), hint=have)
    if not requested or len(set(requested)) < len(requested):
        raise InputError("layers", expected="at least one layer, each once", got=str(list(requested)), hint=have)
    return tuple(sorted(requested))


def _box(low: float, high: float) -> NamedDomain:
    return NamedDomain(f"box [{_short(low)},{_short(high)}]", Box(low, high))


def _short(bound: float) -> str:
    return str(int(bound)) if bound.is_integer() else repr(bound)


__all__ = [
    "BLOCK_SAMPLES",
    "EXACT",
    "REACH_EPS",
    "AnyChunk",
    "Chunk",
    "LeakChunk",
    "NamedDomain",
    "Plan",
    "SampleChunk",
    "SpectraChunk",
    "SurveyChunk",
    "checked_precision",
    "chosen_layers",
    "known_precision",
    "known_share",
    "place_label",
    "reach_name",
]
