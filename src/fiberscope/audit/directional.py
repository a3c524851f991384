"""Directional derivatives of a network at a sample, for checking: they share no code with what linearizes networks.

Values and derivatives go through the network's own stages together. The derivative of a pointwise activation comes from
automatic differentiation of what the activation computes, not from the activation's own word on its derivative.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.network.activations import Activation, Maximum, Pointwise, PointwiseKind
from fiberscope.network.network import Network

EPS = torch.finfo(torch.float64).eps


def derivatives(
    network: Network, x: Float64[Tensor, " n"], V: Float64[Tensor, "k n"]
) -> Iterator[tuple[int, Float64[Tensor, "k m"]]]:
    """The derivative at x of every stage in some directions.

    Args:
        network: the network.
        x: the sample.
        V: the directions, as rows.

    Yields:
        The number of a stage, and ``J v`` for each row v of V.
    """

    def compute(number: int, inputs: list[Tensor]) -> Tensor:
        stage = network.stages[number]
        values = stage.apply(*(each[:1] for each in inputs))
        if stage.activation is not None:
            moved = _through(stage.activation, inputs[0][0], inputs[0][1:])
        else:
            first, *others = [a.linear(each[1:]) for a, each in zip(stage.maps, inputs, strict=True)]
            moved = sum(others, first)
        return torch.cat([values, moved])

    for number, rows in network.walk(torch.cat([x[None], V]), range(len(network.stages)), compute):
        yield number, rows[1:]


def _through(activation: Activation, z: Float64[Tensor, " n"], V: Float64[Tensor, "k n"]) -> Float64[Tensor, "k m"]:
    """The derivative of an activation at z in some directions."""
    match activation:
        case Maximum():
            return V[:, _first_largest(activation.index, z)]
        case Pointwise():
            point = _beside_kinks(activation, z)[None]
            _, slopes = cast(Any, torch.func).jvp(activation.apply, (point,), (torch.ones_like(point),))
            return V * slopes
        case _:
            raise AssertionError(f"an activation of type {type(activation).__name__}")


def _first_largest(index: Tensor, z: Float64[Tensor, " n"]) -> Tensor:
    """The position of the largest number of every window, of the first one where several are."""
    largest = z.new_full((len(index),), -torch.inf)
    chosen = torch.zeros(len(index), dtype=torch.int64)
    for candidates in index.T:
        values = torch.where(candidates >= 0, z[candidates.clamp(min=0)], -torch.inf)
        larger = values > largest
        largest, chosen = torch.where(larger, values, largest), torch.where(larger, candidates, chosen)
    return chosen


def _beside_kinks(activation: Pointwise, z: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """The same point, moved off a kink that it lies on exactly, to the constant side of a ReLU or a clip."""
    for kink in activation.kinks() or ():
        side = 1.0 if activation.function is PointwiseKind.CLIP and kink == activation.beta else -1.0
        z = torch.where(z == kink, kink + side * EPS * max(1.0, abs(kink)), z)
    return z


__all__ = ["derivatives"]
