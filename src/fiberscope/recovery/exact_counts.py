"""What bounds on exact values settle about a network at some samples: certain rows, tight coordinates, and counts."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.layers import PlacedLayer
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.signs import exact_signs_of_many
from fiberscope.network.stage import INPUT
from fiberscope.recovery.exact_singleton import Certain
from fiberscope.recovery.exact_walk import StageValues, walk_stages
from fiberscope.recovery.second_input import Counts, fewest_equations

BLOCK_NUMBERS = 2**20
"""Numbers that the widest stage may give at a time, of 300 bytes each at the peak: more samples are taken in several
blocks."""


@dataclass(frozen=True, eq=False)
class ExactCounts:
    """Of N samples and the first L layers.

    Attributes:
        certain: by layer, of those whose rows are known and that do not receive the network's input.
        free: (N,) how many input coordinates lie strictly inside their bounds.
        equations: (N, L) the fewest equations of a cut before each layer's end, half-spaces of the domain included.
        cuts: (N, L) the stage where that cut ends.
    """

    certain: dict[int, Certain]
    free: Int64[IntArray, " N"]
    equations: Int64[IntArray, "N L"]
    cuts: Int64[IntArray, "N L"]


def exact_counts(network: Network, X: Float64[FloatArray, "N n"], domain: Polyhedron, last: int) -> ExactCounts:
    """Walk through the network once, with all samples; ``last`` is the number of the last layer."""
    widest = max(network.inputs, *(network.stages[k].outputs for k in _needed(network, last)))
    size = max(1, BLOCK_NUMBERS // widest)
    blocks = [_exact_counts(network, X[start : start + size], domain, last) for start in range(0, len(X), size)]
    certain = {
        layer: Certain(*(np.concatenate([getattr(b.certain[layer], p.name) for b in blocks]) for p in fields(Certain)))
        for layer in blocks[0].certain
    }
    whole = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("free", "equations", "cuts"))
    return ExactCounts(certain, *whole)


def _needed(network: Network, last: int) -> tuple[int, ...]:
    return network.needed_for(*(placed.stage for placed in network.placed_layers[: last + 1]))


def _exact_counts(network: Network, X: FloatArray, domain: Polyhedron, last: int) -> ExactCounts:
    free = np.asarray((domain.low < X) & (domain.high > X))
    layers = network.placed_layers[: last + 1]
    receives = {network.sources(placed.stage)[0] for placed in layers}
    kept: dict[int, StageValues] = {}
    counts: dict[int, Counts] = {}
    certain: dict[int, Certain] = {}
    sources = {placed.source for placed in layers}
    for number, values in walk_stages(network, X, free, _needed(network, last)):
        counts[number] = Counts(values.moving.sum(dim=1), values.held.sum(dim=1), values.bends)
        if number in sources:
            kept[number] = values
        if number in receives:
            for position, placed in enumerate(layers):
                layer = placed.layer
                behind = placed.source != INPUT and network.sources(placed.stage)[0] == number
                if behind and isinstance(layer, ReLULayer):
                    certain[position] = _certain(placed, layer, kept[placed.source], values)
    touching = (exact_signs_of_many(domain.G, X, -domain.h) >= 0).sum(axis=1)
    found = [fewest_equations(network, placed.stage, counts) for placed in layers]
    equations = np.stack([fewest for fewest, _ in found], axis=1)
    equations = np.where(equations < np.iinfo(np.int64).max, equations + touching[:, None], equations)
    return ExactCounts(certain, free.sum(axis=1), equations, np.stack([where for _, where in found], axis=1))


def _certain(placed: PlacedLayer, layer: ReLULayer, before: StageValues, received: StageValues) -> Certain:
    low, high = received.value.low().numpy(), received.value.high().numpy()
    rows = layer.injective | ((low > layer.low) & (high < layer.high))
    least, most = placed.received
    at_low = before.value.high().numpy() <= least
    tight = ~rows & (low == high) & ((low == layer.low) | (low == layer.high))
    return Certain(rows, tight, at_low, before.value.low().numpy() >= most)


__all__ = ["ExactCounts", "exact_counts"]
