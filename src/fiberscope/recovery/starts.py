"""Where attacks begin."""

from __future__ import annotations

from enum import StrEnum
from math import inf

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.network.stage import INPUT
from fiberscope.recovery.least_squares import fit
from fiberscope.recovery.linearized import AffineModel
from fiberscope.recovery.targets import Targets

MAX_NUMBERS = 2**22
"""Of a layer's rows, written out, that are inverted for a start."""


class Start(StrEnum):
    """The first guess of an attack."""

    GREY = "grey"
    """The middle of the domain."""
    LAYERS = "layers"
    """Layer by layer: what the last layer may have received, by least squares inside its sides, then the one before."""
    RANDOM = "random"
    """Uniform in the domain."""


def middle(low: Float64[Tensor, " n"], high: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """The middle of a box; of a half-line its end, of a line 0."""
    bounded = torch.isfinite(low) & torch.isfinite(high)
    end = torch.where(torch.isfinite(low), low, torch.where(torch.isfinite(high), high, 0.0))
    return torch.where(bounded, low + (high - low) / 2, end)


def uniform(
    low: Float64[Tensor, " n"], high: Float64[Tensor, " n"], count: int, generator: np.random.Generator
) -> Float64[Tensor, "N n"]:
    """Points of a box; along lines and half-lines, as far from where they begin as the widest of its sides, or 1."""
    width = high - low
    finite = width[torch.isfinite(width)]
    reach = float(finite.max()) if len(finite) and float(finite.max()) > 0 else 1.0
    share = torch.tensor(generator.uniform(size=(count, len(low))))
    below = torch.where(torch.isfinite(low), low, torch.where(torch.isfinite(high), high - reach, -reach))
    above = torch.where(torch.isfinite(high), high, below + reach * torch.where(torch.isfinite(low), 1.0, 2.0))
    return below + share * (above - below)


def layer_by_layer(
    network: Network, position: int, targets: Targets, begin: Float64[Tensor, " n"], until: float = inf
) -> Float64[Tensor, "N n"] | None:
    """Invert the last layer, then the one before, each by least squares from what ``begin`` gives it.

    What a layer received is asked for within the bounds of the activation before it. None where layers do not follow
    each other directly, or have so many numbers that this would take longer than the attack.
    """
    chain = chain_to(network, position)
    if not chain or any(layer.inputs * layer.outputs > MAX_NUMBERS for layer in network.relu_layers[: position + 1]):
        return None
    wanted = targets
    for k in reversed(chain):
        layer, placed = network.relu_layers[k], network.placed_layers[k]
        assert isinstance(layer, ReLULayer), "layers of a chain are the same around all inputs"
        model = AffineModel(torch.tensor(dense(layer.weight)), torch.tensor(layer.bias))
        low, high = (torch.full((layer.inputs,), bound, dtype=torch.float64) for bound in placed.received)
        first = torch.tensor(network.evaluated(begin[None].numpy(), placed.source))
        found = fit(model, wanted, first.expand(len(wanted.low), -1), low, high, until).x
        if placed.source == INPUT:
            return found
        before = network.relu_layers[k - 1]
        assert isinstance(before, ReLULayer)
        wanted = sides(found, found, torch.tensor(before.low), torch.tensor(before.high))
    return None


def chain_to(network: Network, position: int) -> tuple[int, ...]:
    """The layers up to one, each an affine map of what the one before it gives, and a clip; empty if it is not so.

    The last one may end in another activation.
    """
    source, chain = INPUT, range(position + 1)
    for k in chain:
        placed, layer = network.placed_layers[k], network.relu_layers[k]
        is_last = k == position
        if placed.source != source or not isinstance(layer, ReLULayer) or (layer.injective.any() and not is_last):
            return ()
        source = placed.stage
    return tuple(chain)


def sides(
    low: Float64[Tensor, "N m"], high: Float64[Tensor, "N m"], least: Float64[Tensor, " m"], most: Float64[Tensor, " m"]
) -> Targets:
    """What outputs between low and high of clips from ``least`` to ``most`` say of the numbers that are cut off."""
    below = torch.where(low > least, torch.minimum(low, most), -torch.inf)
    above = torch.where(high < most, torch.maximum(high, least), torch.inf)
    return Targets(below, above)


__all__ = ["Start", "chain_to", "layer_by_layer", "middle", "sides", "uniform"]
