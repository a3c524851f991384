"""The stability radius of every stage at one sample, where it is not too much work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from math import inf

import torch
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.preimages.verification import stored
from fiberscope.stability.local_network import LocalNetwork, local_network
from fiberscope.stability.modulus import radius_of
from fiberscope.stability.region import boundaries

MAX_PRODUCT = 2**33
"""Multiplications of one Gram matrix up to which a radius is looked for: about a second, and it takes a dozen."""


@dataclass(frozen=True)
class StageRadius:
    """How far what a stage says of inputs holds beyond the linear region of a sample.

    Attributes:
        region_distance: the distance to the end of the region; inf where nothing bends.
        radius: of a ball on which the modulus is proved; 0 where none was found.
        modulus: for all x', x'' of the ball, ``|F(x') - F(x'')| >= modulus |x' - x''|``; 0 where there is none.
        reason: why none was found; empty where one was.
    """

    region_distance: float
    radius: float
    modulus: float
    reason: str


def stage_radii(network: Network, x: Float64[FloatArray, " n"], max_product: int = MAX_PRODUCT) -> list[StageRadius]:
    """The radius of every stage at one sample, as ``stability_radius`` finds it.

    Args:
        network: the network.
        x: (n,) the sample.
        max_product: multiplications of one Gram matrix beyond which no radius is looked for.

    Returns:
        One for each stage.
    """
    local = local_network(network, torch.tensor(x), len(network.stages) - 1)
    ends = boundaries(local, len(network.stages) - 1)

    read = cache(partial(stored, network))

    def of_stage(number: int) -> StageRadius:
        needed = network.needed_for(number)
        distance = min((ends[bend].distance for bend in needed if bend in ends), default=inf)
        reason = _why_none(local, number, max_product)
        if reason:
            return StageRadius(distance, 0.0, 0.0, reason)
        found = radius_of(network, x, number, 0.0, distance, read)
        return StageRadius(distance, found.radius, found.lower, found.reason)

    return [of_stage(number) for number in range(len(network.stages))]


def _why_none(local: LocalNetwork, number: int, max_product: int) -> str:
    """Why there is no radius, or none is looked for, as far as counts say."""
    network, n = local.network, local.network.inputs
    needed = network.needed_for(number)
    if any(len(network.sources(each)) > 1 for each in needed):
        return "branches meet: a radius is looked for where layers follow each other"
    widest = max(network.stages[each].outputs for each in needed)
    narrow = min(network.stages[each].outputs for each in needed)
    if narrow < n:
        return f"a stage has {narrow} outputs, fewer than the {n} inputs: some differ with equal features"
    for bend in (each for each in needed if each in local.before):
        kept = int((local.maps[bend][0].apply(torch.ones_like(local.before[bend])[None]) != 0).sum())
        if kept < n:
            return f"{kept} units of stage {bend} are on at the sample, fewer than the {n} inputs"
    if n * n * widest > max_product:
        return f"layers of {n} inputs and {widest} outputs are too large for an audit; fs.stability_radius takes them"
    return ""


__all__ = ["StageRadius", "stage_radii"]
