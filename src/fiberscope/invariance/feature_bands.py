"""Features that are the same up to given numbers: what that says of the numbers that decide about them.

A unit of a ReLU that gives y says ``z <= y + w``, and ``z >= y - w`` where that is positive: an interval, as in
``docs/precision.md``, so that inputs of one region with such features are a polytope. Of a maximum, all arguments are
at most ``y + w``, and the one that is largest at x is at least ``y - w``. Of what is not monotone, or smooth, it asks
more than is needed: that z moves by no more than w over the steepest slope.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fiberscope.errors import InputError, shown
from fiberscope.invariance.linear_pieces import Conditions
from fiberscope.invariance.own_layer import rounding_of_own_layer
from fiberscope.network.activations import Activation, Maximum, Pointwise, PointwiseKind
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.preimages.precision import NAMES, Precision, code_step

Within: TypeAlias = Any
"""By how much features may differ: a number, one for each of them, or a precision or its name."""


def checked_allowance(
    network: Network, stage: int, source: Float64[FloatArray, " n"], within: Any
) -> float | Float64[FloatArray, " m"]:
    """By how much the features of a stage may differ from those of the source, a number or one for each.

    Raises:
        InputError: neither numbers of at least 0, nor a precision that the layer has.
    """
    outputs = network.stages[stage].outputs
    if isinstance(within, Precision) or (isinstance(within, str) and within in NAMES):
        return _at_precision(network, stage, source, Precision(within) if isinstance(within, str) else within)
    if isinstance(within, str):
        expected = f"{', '.join(map(repr, NAMES))}, or numbers of at least 0"
        raise InputError("within", expected=expected, got=shown(within))
    array = as_float64(within, "within", finite=False)
    if array.size != outputs and array.ndim:
        raise InputError("within", expected=f"a number, or {outputs} of them", got=f"shape {array.shape}")
    wrong = array[~((array >= 0) & (array < np.inf))]
    if wrong.size:
        hint = "it is by how much each feature may differ"
        raise InputError("within", expected="finite numbers of at least 0", got=f"{wrong[0]:g}", hint=hint)
    return array.reshape(outputs) + 0.0 if array.ndim else float(array) + 0.0


def _at_precision(
    network: Network, stage: int, source: Float64[FloatArray, " n"], named: Precision
) -> float | Float64[FloatArray, " m"]:
    """What a float type rounds of the layer's own sums, or half a step of codes.

    What layers before have rounded is not counted, whose bounds grow tenfold a layer and would allow anything.
    """
    placed = next((placed for placed in network.placed_layers if placed.stage == stage), None)
    if named.name != "int8" and (placed is None or isinstance(placed.layer, RegionLayer)):
        return rounding_of_own_layer(network, stage, source, named)
    if placed is None:
        raise InputError("within", expected="a float type or numbers, behind no ReLU layer", got=shown(named.name))
    inputs = network.evaluated(source[None], placed.source)
    if named.name == "int8":
        return 0.5 * (code_step(placed.layer, inputs) if named.scale is None else float(named.scale))
    return named.within(placed.layer, inputs)[0].max(axis=0)


class Bands(NamedTuple):
    """What the numbers z that decide about features must satisfy.

    Attributes:
        sides: the conditions.
        widths: (r,) by how much the feature that each is about may differ.
    """

    sides: Conditions
    widths: Float64[Tensor, " r"]


def bands(
    activation: Activation | None,
    z: Float64[Tensor, " n"],
    within: Float64[Tensor, " m"],
    among: Bool[Tensor, " m"],
    piece: Int64[Tensor, " m"],
    *,
    all_ends: bool = False,
) -> Bands:
    """The bands of some features, a mask.

    Args:
        activation: what gives the features; None where z are the features.
        z: (n,) what it receives at the source.
        within: (m,) by how much every feature may differ.
        among: (m,) whose bands are asked for.
        piece: (m,) of a maximum, the argument that is largest.
        all_ends: whether ends that are infinite are among them.
    """
    units = torch.nonzero(among)[:, 0]
    if isinstance(activation, Maximum):
        index = activation.index
        output, tap = torch.nonzero((index >= 0) & among[:, None], as_tuple=True)
        place, winner = index[output, tap], piece[units]
        upper, lower = z[piece[output]] + within[output], z[winner] - within[units]
        return _joined((place, upper, within[output]), (winner, lower, within[units]))
    low, high = _ends(activation, z, within)
    above, below = (units[torch.isfinite(ends[units]) | all_ends] for ends in (high, low))
    return _joined((above, high[above], within[above]), (below, low[below], within[below]))


def _joined(upper: tuple[Tensor, Tensor, Tensor], lower: tuple[Tensor, Tensor, Tensor]) -> Bands:
    """``z <= high`` of some numbers, ``z >= low`` of others; each with its places, its ends and the widths."""
    (above, high, of_high), (below, low, of_low) = upper, lower
    nothing = torch.full_like
    sides = Conditions(
        torch.cat([above, nothing(below, -1)]), torch.cat([nothing(above, -1), below]), torch.cat([high, -low])
    )
    return Bands(sides, torch.cat([of_high, of_low]))


def _ends(activation: Activation | None, z: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    """(m,) between which numbers z may lie; infinite where there is no end."""
    if activation is None:
        return z - within, z + within
    assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
    least, most = -torch.inf, torch.inf
    match activation.function:
        case PointwiseKind.RELU:
            least = 0.0
        case PointwiseKind.CLIP:
            least, most = activation.alpha, activation.beta
        case PointwiseKind.LEAKY_RELU:
            return _of_leaky(activation, z, within)
        case PointwiseKind.ELU:
            steepest = max(1.0, abs(activation.alpha) / activation.beta)
            return z - within / steepest, z + within / steepest
        case PointwiseKind.SOFTPLUS | PointwiseKind.TANH | PointwiseKind.SIGMOID:
            return z - within, z + within
    y = z.clamp(least, most)
    low, high = y - within, y + within
    return torch.where(low > least, low, -torch.inf), torch.where(high < most, high, torch.inf)


def _of_leaky(activation: Pointwise, z: Tensor, within: Tensor) -> tuple[Tensor, Tensor]:
    """Of slopes s for negative numbers: both ends come back through the function, or z stays as near as is enough."""
    slope = activation.slope.to(z)
    y = activation.apply(z[None])[0]
    low, high = y - within, y + within
    back = [torch.where(end > 0, end, end / torch.where(slope > 0, slope, 1.0)) for end in (low, high)]
    low = torch.where((slope == 0) & (low <= 0), -torch.inf, back[0])
    steepest = slope.abs().clamp(min=1.0)
    falls = slope < 0
    return torch.where(falls, z - within / steepest, low), torch.where(falls, z + within / steepest, back[1])


__all__ = ["Bands", "Within", "bands", "checked_allowance"]
