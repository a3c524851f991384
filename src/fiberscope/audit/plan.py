"""What an audit will do: which layers, which samples, on which domains, in which chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fiberscope.errors import InputError
from fiberscope.network.domains import Box, Domain, NonNegative

BLOCK_SAMPLES = 125
"""Samples per chunk: large enough that samples share certificates, small enough that a killed run loses little."""


@dataclass(frozen=True)
class NamedDomain:
    """A domain and the name that it has in the results; None is all of R^n."""

    name: str
    domain: Domain | None


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
class Plan:
    """What an audit will do.

    Attributes:
        layers: positions of the ReLU layers to audit, ascending.
        samples: the number of samples, the first ones of the data.
        box: the bounds of the network's input coordinates, where known.
        block: samples per chunk.
    """

    layers: tuple[int, ...]
    samples: int
    box: tuple[float, float] | None = None
    block: int = BLOCK_SAMPLES

    def domains(self, layer: int) -> tuple[NamedDomain, ...]:
        """The domains that a layer is judged on.

        Always all of R^n. The first layer receives the network's input, so also the box where one is given; the layers
        after it receive what a ReLU let through, so also the nonnegative orthant.
        """
        everything = NamedDomain("R^n", None)
        if layer > 0:
            return (everything, NamedDomain("x >= 0", NonNegative()))
        if self.box is None:
            return (everything,)
        low, high = self.box
        return (everything, NamedDomain(f"box [{_short(low)},{_short(high)}]", Box(low, high)))

    def chunks(self) -> Iterator[Chunk]:
        """All chunks, layer by layer."""
        for layer in self.layers:
            for block, start in enumerate(range(0, self.samples, self.block)):
                yield Chunk(layer, block, start, min(start + self.block, self.samples))

    def rows(self, chunk: Chunk) -> list[tuple[int, str]]:
        """The (sample, domain) pairs of a chunk's findings, in the order in which they are stored."""
        return [(sample, named.name) for named in self.domains(chunk.layer) for sample in chunk.samples]


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


def _short(bound: float) -> str:
    return str(int(bound)) if bound.is_integer() else repr(bound)


__all__ = ["BLOCK_SAMPLES", "Chunk", "NamedDomain", "Plan", "chosen_layers"]
