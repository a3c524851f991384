"""How much work an audit is: how many processes it is worth, and in what pieces."""

from __future__ import annotations

from fiberscope.audit.plan import BLOCK_SAMPLES, Plan
from fiberscope.network.network import Network
from fiberscope.threads import cores

LARGE_WORK = 1e8
"""Verdicts times weights from which starting processes costs less than it saves: some seconds of work."""

_LEAST_WEIGHTS = 50_000
"""A verdict about a smaller layer takes as long as one about a layer of this size."""

LARGE_INPUTS = 1_000
"""Inputs of a layer from which a verdict may take seconds."""

LARGE_LAYER_BLOCK = 12
"""Samples per chunk of a network with such a layer."""


def sensible_workers(network: Network, plan: Plan) -> int:
    """One process per core where the work is large, otherwise one."""
    layers = network.relu_layers
    weights = {i: max(layers[i].inputs * layers[i].outputs, _LEAST_WEIGHTS) for i in plan.layers}
    work = sum(weights[i] * plan.samples * len(plan.domains(i)) for i in plan.layers)
    chunks = sum(1 for _ in plan.chunks())
    return min(cores(), chunks) if work >= LARGE_WORK else 1


def sensible_block(network: Network) -> int:
    """Samples per chunk: fewer where a verdict takes seconds, so that processes share them and a kill loses little."""
    largest = max(layer.inputs for layer in network.relu_layers)
    return BLOCK_SAMPLES if largest <= LARGE_INPUTS else LARGE_LAYER_BLOCK


__all__ = ["LARGE_WORK", "sensible_block", "sensible_workers"]
