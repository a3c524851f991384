"""A stage as a layer of its own: what it receives is exact, and only its own sums are rounded."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64

from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.arrays import FloatArray
from fiberscope.network.combination import as_rows
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, beside
from fiberscope.network.stage import INPUT
from fiberscope.preimages.precision import FLOAT_TYPES, Precision


def rounding_of_own_layer(
    network: Network, stage: int, x: Float64[FloatArray, " n"], precision: Precision
) -> Float64[FloatArray, " m"]:
    """How far a float type may move a stage's outputs at x: the sums before its activation, and the activation.

    Of numbers that are handed on, or of which the largest are taken, what their own type rounds.

    Args:
        network: the network.
        stage: the number of the stage, affine or an activation.
        x: the input.
        precision: a float type.

    Raises:
        InputError: see ``Precision.within``.
    """
    activation = network.stages[stage].activation
    last = stage if activation is None else network.sources(stage)[0]
    roundoff = FLOAT_TYPES[precision.name].roundoff
    if last == INPUT or network.stages[last].activation is not None:  # nothing is summed up
        return roundoff * np.abs(network.evaluated(x[None], stage)[0])
    rows, bias, inputs = _side_by_side(network, last, x)
    if isinstance(activation, Pointwise) and (injective := activation.injective()) is not None:
        (low, high), monotone = activation.cut, activation.monotone()
        layer = ReLULayer(rows, bias, injective.cpu().numpy(), low=low, high=high, monotone=monotone)
        return precision.within(layer, inputs[None])[0].max(axis=0)
    moved = precision.within(ReLULayer(rows, bias, low=-np.inf), inputs[None])[0].max(axis=0)
    if isinstance(activation, Maximum):
        return activation.apply(torch.tensor(moved[None]))[0].numpy()  # it moves by no more than its arguments
    if activation is None:
        return moved
    assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
    assert activation.slope is not None, "what falls somewhere is a leaky ReLU"
    steepest: FloatArray = activation.slope.abs().clamp(min=1.0).double().cpu().numpy()
    return moved * steepest + roundoff * np.abs(network.evaluated(x[None], stage)[0])


def _side_by_side(network: Network, last: int, x: FloatArray) -> tuple[Rows, FloatArray, FloatArray]:
    """The rows and the bias of an affine stage, of all branches that it adds, and what it receives."""
    parts = [as_rows(affine) for affine in network.stages[last].maps]
    (rows, bias), *others = parts
    for more, constant in others:
        rows, bias = beside(rows, more), bias + constant
    before = [x if source == INPUT else network.evaluated(x[None], source)[0] for source in network.sources(last)]
    return rows, bias, np.concatenate(before)


__all__ = ["rounding_of_own_layer"]
