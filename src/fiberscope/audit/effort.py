"""How much work an audit is: how many processes it is worth, and in what pieces."""

from __future__ import annotations

import math

from fiberscope.audit.plan import BLOCK_SAMPLES, Plan
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.threads import cores

LARGE_WORK = 1e8
"""Verdicts times weights from which starting processes costs less than it saves: some seconds of work."""

_LEAST_WEIGHTS = 50_000
"""A verdict about a smaller layer takes as long as one about a layer of this size."""

LARGE_INPUTS = 1_000
"""Inputs of a layer from which a verdict may take seconds."""

LARGE_LAYER_BLOCK = 12
"""Samples per chunk of a network with such a layer, or one that is judged within linear regions, where each sample has
a layer of its own."""

PIECES = 4
"""Pieces into which the samples of a layer are cut at least, unless they are few."""

LEAST_BLOCK = 125
"""Samples that are not divided among processes: they share too much."""


def sensible_workers(network: Network, plan: Plan) -> int:
    """One process per core where the work is large, otherwise one."""
    layers = network.relu_layers
    weights = {i: max(layers[i].inputs * layers[i].outputs, _LEAST_WEIGHTS) for i in plan.layers}
    work = sum(weights[i] * plan.samples * len(plan.domains(i)) for i in plan.layers)
    chunks = sum(1 for _ in plan.chunks())
    return min(cores(), chunks) if work >= LARGE_WORK else 1


def sensible_block(network: Network, samples: int) -> int:
    """Samples per chunk: many that share proofs, in some pieces for several processes.

    Few where a verdict may take seconds, so that a kill loses little. The same on every machine, for ``--resume``.
    """
    layers = network.relu_layers
    if max(layer.inputs for layer in layers) > LARGE_INPUTS or any(isinstance(i, RegionLayer) for i in layers):
        return LARGE_LAYER_BLOCK
    return min(max(math.ceil(samples / PIECES), LEAST_BLOCK), BLOCK_SAMPLES)


__all__ = ["LARGE_WORK", "sensible_block", "sensible_workers"]
