"""How much work an audit is, and how many processes it is worth."""

from __future__ import annotations

from fiberscope.audit.plan import Plan
from fiberscope.audit.workers import cores
from fiberscope.network.network import Network

LARGE_WORK = 1e8
"""Verdicts times weights from which starting processes costs less than it saves: some seconds of work."""

_LEAST_WEIGHTS = 50_000
"""A verdict about a smaller layer takes as long as one about a layer of this size."""


def sensible_workers(network: Network, plan: Plan) -> int:
    """One process per core where the work is large, otherwise one."""
    layers = network.relu_layers
    weights = {i: max(layers[i].inputs * layers[i].outputs, _LEAST_WEIGHTS) for i in plan.layers}
    work = sum(weights[i] * plan.samples * len(plan.domains(i)) for i in plan.layers)
    chunks = sum(1 for _ in plan.chunks())
    return min(cores(), chunks) if work >= LARGE_WORK else 1


__all__ = ["LARGE_WORK", "sensible_workers"]
