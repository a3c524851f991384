"""How far rounding may move what a network computes, stage by stage.

``y = A x + b`` summed in any order in arithmetic of unit roundoff u is within ``gamma_k (|A| |x| + |b|)`` of its exact
value, with k the number of terms and ``gamma_k = k u / (1 - k u)`` (Higham, Accuracy and Stability of Numerical
Algorithms, section 3.1); what was wrong before a stage goes through ``|A|``.
"""

from __future__ import annotations

from typing import assert_never

import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.original import UNIT_ROUNDOFF, Arithmetic
from fiberscope.network.stage import INPUT, Stage

SMALLEST: dict[Arithmetic, float] = {"float32": 2.0**-126, "float64": 2.0**-1022}
"""Below the smallest normal number, rounding is absolute."""

EXTRA_TERMS = 8
"""Terms that are added to a sum: originals round folded constants as well, and sum in several steps."""

SMOOTH_UNITS = 64.0
"""Units of roundoff that a smooth activation may be off: libraries differ by a few."""


def rounding_bound(
    network: Network, X: Float64[FloatArray, "N n"], stage: int, arithmetic: Arithmetic
) -> tuple[Float64[FloatArray, "N m"], Float64[FloatArray, "N m"]]:
    """What a stage gives for inputs X, in float64, and how far another evaluation may be from the exact values.

    Args:
        network: the network.
        X: inputs; they count as rounded to the arithmetic first.
        stage: the number of the stage.
        arithmetic: of the other evaluation.
    """
    inputs = torch.tensor(X)
    entry = UNIT_ROUNDOFF[arithmetic] * inputs.abs() if arithmetic == "float32" else torch.zeros_like(inputs)
    if stage == INPUT:
        return X, entry.numpy()

    def step(number: int, before: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return _after(network.stages[number], before, arithmetic)

    *_, (_, (values, error)) = network.walk((inputs, entry), network.needed_for(stage), step)
    return values.numpy(), error.numpy()


def _after(stage: Stage, before: list[tuple[Tensor, Tensor]], arithmetic: Arithmetic) -> tuple[Tensor, Tensor]:
    """What a stage gives for values, and how far rounding moves that, with how far it moved them."""
    values, roundoff = stage.apply(*(value for value, _ in before)), UNIT_ROUNDOFF[arithmetic]
    if stage.activation is not None:
        return values, _through_activation(stage, values, before[0], roundoff)
    error = torch.full_like(values, SMALLEST[arithmetic])
    for affine, (value, wrong) in zip(stage.maps, before, strict=True):
        magnitude, terms = affine.absolute(), (affine.terms + EXTRA_TERMS) * roundoff
        error += terms / (1.0 - terms) * magnitude.apply(value.abs() + wrong) + magnitude.linear(wrong)
    return values, error


def _through_activation(stage: Stage, values: Tensor, before: tuple[Tensor, Tensor], roundoff: float) -> Tensor:
    activation, (value, wrong) = stage.activation, before
    match activation:
        case Maximum():
            return activation.apply(wrong)  # a maximum moves by no more than its arguments
        case Pointwise():
            kinks = activation.kinks()
            if activation.slope is not None:
                return wrong * activation.slope.abs().clamp(min=1.0).to(wrong) + roundoff * values.abs()
            own = 0.0 if kinks is not None else SMOOTH_UNITS * roundoff * (values.abs() + value.abs() + 1.0)
            steepest = max(1.0, abs(activation.alpha) / activation.beta if kinks is None and activation.beta else 1.0)
            return wrong * steepest + own
        case None:
            raise AssertionError("only activations come here")
        case _:
            assert_never(activation)  # type: ignore[arg-type]


__all__ = ["rounding_bound"]
