"""Saturation: how much the activations flatten out at some samples [section 3.1, injective activations]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.arrays import BoolArray, FloatArray, as_float64
from fiberscope.network.network import BATCH_NUMBERS, Network
from fiberscope.showing.shown import Shown
from fiberscope.stability.devices import checked_device
from fiberscope.stability.linearization import checked_stage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FLAT = 1e-2
"""The share of the activation's steepest slope up to which a unit counts as saturated.

Of a tanh that is beyond 3.0, of a sigmoid beyond 6.0, where the output is within 0.25% of its range of the end. Such a
unit takes two digits from what passes through it.
"""

STEEPEST_SIGMOID = 0.25
"""The slope of a sigmoid at 0."""


@dataclass(frozen=True, eq=False, repr=False)
class Saturation(Shown):
    """The derivatives d of the units of one activation at N samples, in absolute value.

    With ``D = diag(d)`` at a sample, A the local map before it, and sigma_r the smallest nonzero singular value,

        min |d| sigma_r(A) <= sigma_r(D A)   and   sigma_1(D A) <= max |d| sigma_1(A),

    as long as no d is 0: rank and null space then stay as they are, too. Where some are 0, as of a ReLU, the lower
    bound is lost; ``interlacing_bound`` bounds what is left from above.

    Attributes:
        stage: the number of the activation.
        name: its name in the model.
        kind: what it computes.
        units: how many there are.
        smallest: (N,) the smallest derivative.
        median: (N,) the median.
        largest: (N,) the largest.
        saturated: (N,) the share of units with a derivative of at most 1% of the steepest slope that they can have:
            1 for tanh, softplus, ReLU and clip, 1/4 for sigmoid, for ELU and leaky ReLU the larger of 1 and the slope
            on the left of 0.
        inactive: (N,) the share of units with derivative 0: ReLUs that are off, clips outside of their bounds.
        always_inactive: (units,) whether a unit has derivative 0 at all N samples.
    """

    stage: int
    name: str
    kind: str
    units: int
    smallest: Float64[FloatArray, " N"]
    median: Float64[FloatArray, " N"]
    largest: Float64[FloatArray, " N"]
    saturated: Float64[FloatArray, " N"]
    inactive: Float64[FloatArray, " N"]
    always_inactive: BoolArray

    @property
    def condition_factor(self) -> Float64[FloatArray, " N"]:
        """(N,) ``max |d| / min |d|``: how much larger D makes the condition number at most; infinite where d is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.smallest > 0, self.largest / self.smallest, np.inf)

    def _line(self) -> str:
        return (
            f"stage {self.stage}, {self.units} units of {self.kind} at {len(self.median)} samples, "
            f"{self.saturated.mean():.1%} saturated, derivatives {self.smallest.min():.3g} to {self.largest.max():.3g}"
        )


def saturation(
    network: Network, x: Tensor | ArrayLike, stage: int | None = None, *, device: str = "cpu"
) -> tuple[Saturation, ...]:
    """How flat every pointwise activation of a network is at one sample or at many.

    Args:
        network: the network.
        x: one sample, of the network's input shape or flat, or many, (N, *input_shape).
        stage: the number of the stage up to which and with which; negative numbers count from the end, None is the
            last.
        device: where the network is evaluated.

    Returns:
        One result per pointwise activation that the stage depends on, in order. Maxima select units and flatten none;
        they are left out.

    Raises:
        InputError: there is no such stage, or x does not fit or is not finite.

    Source:
        Section 3.1: the derivatives are the factors D of the local linear map; for diagonal D, Horn & Johnson, Topics
        in matrix analysis, theorem 3.3.16.
    """
    number = checked_stage(network, -1 if stage is None else stage)
    needed = network.needed_for(number)
    where, values = checked_device(device), as_float64(x, "x")
    one = values.shape in (network.input_shape, (network.inputs,))
    samples = values.reshape(1, -1) if one else network.flat(values)
    numbers = [number for number in needed if isinstance(network.stages[number].activation, Pointwise)]
    parts: dict[int, list[tuple[FloatArray, BoolArray]]] = {number: [] for number in numbers}
    for batch in _batches(network, samples, needed):
        for number, measured in _measured(network, torch.tensor(batch, device=where), needed):
            parts[number].append(measured)
    return tuple(_gathered(network, number, parts[number]) for number in numbers)


def _batches(network: Network, samples: FloatArray, needed: tuple[int, ...]) -> Iterator[FloatArray]:
    widest = max(network.inputs, *(network.stages[number].outputs for number in needed))
    size = max(1, BATCH_NUMBERS // widest)
    yield from (samples[start : start + size] for start in range(0, len(samples), size))


def _measured(
    network: Network, X: Tensor, needed: tuple[int, ...]
) -> Iterator[tuple[int, tuple[FloatArray, BoolArray]]]:
    """Of each activation the five numbers per sample, (N, 5), and which units are inactive at all samples, (m,)."""
    found: dict[int, tuple[FloatArray, BoolArray]] = {}

    def compute(number: int, inputs: list[Tensor]) -> Tensor:
        activation = network.stages[number].activation
        if isinstance(activation, Pointwise):
            steepest = _steepest(activation).to(X.device)
            numbers = np.empty((len(X), 5))
            always = torch.ones(activation.size, dtype=torch.bool, device=X.device)
            for row, before in zip(numbers, inputs[0], strict=True):
                slopes = activation.derivative(before).factor.abs()
                always &= slopes == 0
                row[:] = _five_numbers(slopes, steepest)
            found[number] = numbers, always.cpu().numpy()
        return network.stages[number].apply(*inputs)

    for number, _ in network.walk(X, needed, compute):
        if number in found:
            yield number, found.pop(number)


def _five_numbers(slopes: Float64[Tensor, " m"], steepest: Float64[Tensor, " m"]) -> list[float]:
    """The smallest, the median, the largest, and the shares of saturated and of inactive units."""
    ordered = slopes.sort().values
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    saturated, inactive = (slopes <= FLAT * steepest).double().mean(), (slopes == 0).double().mean()
    return [float(number) for number in (ordered[0], middle, ordered[-1], saturated, inactive)]


def _gathered(network: Network, number: int, parts: list[tuple[FloatArray, BoolArray]]) -> Saturation:
    stage, columns = network.stages[number], np.concatenate([numbers for numbers, _ in parts]).T.copy()
    always = np.logical_and.reduce([inactive for _, inactive in parts])
    return Saturation(number, stage.name, stage.kind, stage.outputs, *columns, always_inactive=always)


def _steepest(activation: Pointwise) -> Float64[Tensor, " m"]:
    """The largest derivative that each unit can have, in absolute value."""
    ones = torch.ones(activation.size, dtype=torch.float64)
    match activation.function:
        case PointwiseKind.RELU | PointwiseKind.SOFTPLUS | PointwiseKind.TANH | PointwiseKind.CLIP:
            return ones
        case PointwiseKind.LEAKY_RELU:
            return activation.slope.cpu().double().abs().clamp(min=1.0)
        case PointwiseKind.ELU:
            return ones * max(1.0, abs(activation.alpha) / activation.beta)
        case PointwiseKind.SIGMOID:
            return ones * STEEPEST_SIGMOID
        case _:
            assert_never(activation.function)


__all__ = ["FLAT", "Saturation", "saturation"]
