"""What a network computes around inputs in exact real arithmetic, with bounds: values, and what can change at all.

Values are enclosed: exact numbers lie within proved bounds of those in float64. Of every number it is known whether it
may change when the free coordinates of the input change by little enough, *under equations*: some units are *held*,
which means that what they receive shall not change, and each of them is one equation. Under the equations, every other
unit stays on one linear piece, so that all numbers are affine functions of a small change of the input. Held are units
that the bounds do not put strictly inside of a piece (ties are among them), and of a maximum without a certain winner
all numbers that may be the largest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from fiberscope.checker.matrices import UNIT_ROUNDOFF
from fiberscope.network.activations import Activation, Maximum, Pointwise
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT
from fiberscope.recovery.enclosed_values import Enclosure, applied, inflated, touched


@dataclass(frozen=True, eq=False)
class StageValues:
    """What a stage gives at N inputs, and next to them.

    Attributes:
        value: (N, m) bounds on the exact numbers.
        moving: (N, m) what may change under the equations.
        held: (N, k) which of the numbers that an activation receives are held for its sake; of other stages, none.
        bends: (N,) whether something that moves goes through a smooth activation here: what later stages give is then
            no affine function of the change.
    """

    value: Enclosure
    moving: Bool[Tensor, "N m"]
    held: Bool[Tensor, "N k"]
    bends: Bool[Tensor, " N"]


def walk_stages(
    network: Network, X: Float64[FloatArray, "N n"], free: Bool[BoolArray, "N n"], needed: Sequence[int]
) -> Iterator[tuple[int, StageValues]]:
    """What stages give around inputs; the input itself first, as stage -1.

    Args:
        network: the network.
        X: the inputs, exact numbers.
        free: which coordinates may change.
        needed: the numbers of the stages, each after its sources.
    """

    def step(number: int, before: list[StageValues]) -> StageValues:
        stage = network.stages[number]
        if stage.activation is not None:
            return _activated(stage.activation, before[0])
        values = [applied(affine, part.value) for affine, part in zip(stage.maps, before, strict=True)]
        total = values[0]
        for value in values[1:]:
            total = total + value
        moving = torch.stack([touched(a, part.moving) for a, part in zip(stage.maps, before, strict=True)])
        return StageValues(total, moving.any(dim=0), *_nothing(len(moving[0])))

    start = StageValues(Enclosure.exact(torch.tensor(X)), torch.tensor(free), *_nothing(len(X)))
    yield INPUT, start
    yield from network.walk(start, needed, step)


def _nothing(count: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(count, 0, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)


def _activated(activation: Activation, before: StageValues) -> StageValues:
    if isinstance(activation, Maximum):
        return _largest(activation, before)
    assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
    kinks = activation.kinks()
    if kinks is None:
        # nothing is known of the rounding of exponentials
        value = activation.apply(before.value.value)
        unknown = Enclosure(value, torch.full_like(value, torch.inf))
        return StageValues(unknown, before.moving, torch.zeros_like(before.moving), before.moving.any(dim=1))
    low, high = before.value.low(), before.value.high()
    ends = (-torch.inf, *kinks, torch.inf)
    value, error = _bent(activation, before.value)
    strictly, flat = torch.zeros_like(before.moving), torch.zeros_like(before.moving)
    for (slope, constant), lower, upper in zip(activation.lines(), ends[:-1], ends[1:], strict=True):
        inside = (low > lower) & (high < upper)
        constant_here = (slope == 0) & (low >= lower) & (high <= upper)
        value = torch.where(constant_here, constant, value)
        error = torch.where(constant_here, 0.0, error)
        strictly |= inside
        flat |= inside & (slope == 0)
    held = before.moving & ~strictly
    bends = torch.zeros(len(held), dtype=torch.bool)
    return StageValues(Enclosure(value, error), before.moving & strictly & ~flat, held, bends)


def _bent(activation: Pointwise, before: Enclosure) -> tuple[Tensor, Tensor]:
    """What an activation with kinks gives, wherever the bounds lie; only a slope other than 0 and 1 is rounded."""
    value, error = activation.apply(before.value), before.error
    if activation.slope is not None:
        steep = torch.clamp(activation.slope.abs(), min=1.0)
        error = inflated(error * steep + 2.0 * UNIT_ROUNDOFF * value.abs())
    return value, error


def _largest(activation: Maximum, before: StageValues) -> StageValues:
    low, high = before.value.low(), before.value.high()
    index = activation.index
    inside, place = index >= 0, index.clamp(min=0)
    least = torch.where(inside, low[:, place], -torch.inf).amax(dim=2, keepdim=True)
    # of numbers that are not known (NaN), each may be the largest
    possible = inside & ~(high[:, place] < least)
    alone = possible.sum(dim=2) == 1
    moves = possible & before.moving[:, place]
    held = torch.zeros_like(before.moving)
    rows, windows, taps = torch.nonzero(moves & ~alone[:, :, None], as_tuple=True)
    held[rows, place[windows, taps]] = True
    value = activation.apply(before.value.value)
    error = activation.apply(before.value.error)  # a maximum moves by no more than its arguments
    bends = torch.zeros(len(held), dtype=torch.bool)
    return StageValues(Enclosure(value, error), alone & moves.any(dim=2), held, bends)


__all__ = ["StageValues", "walk_stages"]
