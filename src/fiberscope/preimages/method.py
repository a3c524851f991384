"""How the preimage of one sample of a layer is decided, and about how long that takes: known before any work."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from fiberscope.network.affine import AffineMap
from fiberscope.network.convolution import Convolution
from fiberscope.network.layer import Layer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import SMALL, SPARSE_BELOW
from fiberscope.preimages.decide_many import MAX_SEARCHED

PRODUCTS = 120
"""Products with a layer's rows, or their transpose, that a projection takes as a rule, its proof included."""
PRODUCTS_OF_CONVOLUTIONS = 40
"""The same of convolutions too large to be written out: most of these cones are settled in a few steps."""
PRODUCTS_ELSE = 12
"""Where nothing is projected: signs, counts, and proofs."""
FACTORIZATIONS = 6
RATE_OF_CONVOLUTIONS, RATE_OF_SPARSE_ROWS, RATE_OF_FACTORS = 1.5e10, 5e8, 1.5e10
"""Operations a second on one core, as measured on one of 2020; that of other cores differs by a small factor."""

SECONDS_OF_PLACE, SECONDS_OF_ENTRY = 5e-5, 1e-8
"""That a place of a strip takes, and an entry of the products of what is read there; measured so."""


@dataclass(frozen=True)
class Method:
    """A method, in words, and seconds on one core, of one sample; None where no plain model serves."""

    name: str
    seconds: float | None


def method_of(layer: Layer, maps: list[AffineMap], received: tuple[float, float]) -> Method:
    """How a layer is judged on the domain that the activation before it gives.

    Args:
        layer: the layer.
        maps: the affine maps that it is made of.
        received: the bounds of every number that it receives.
    """
    if not isinstance(layer, ReLULayer):
        products = sum(one.terms * one.outputs for one in maps)
        seconds = 2.0 * PRODUCTS * products / RATE_OF_CONVOLUTIONS
        return Method(*(("products of the region", seconds) if layer.is_large else ("sparse rows of the region", None)))
    entries = min(max((one.terms * one.outputs for one in maps), default=0), layer.inputs * layer.outputs)
    bounds = int(np.isfinite(received[0])) + int(np.isfinite(received[1]))
    if layer.is_large:
        name = ("counting, strips and windows", "projection by convolutions", "windows, in a box")[bounds]
        products = PRODUCTS_OF_CONVOLUTIONS if bounds == 1 else PRODUCTS_ELSE
        seconds = 2.0 * products * entries / RATE_OF_CONVOLUTIONS
        return Method(name, seconds + (0.0 if bounds else _of_strips(layer)))
    size = min(layer.inputs, layer.outputs)
    factored = FACTORIZATIONS * 2.0 * size**2 * max(layer.inputs, layer.outputs) / RATE_OF_FACTORS
    written = layer.inputs * layer.outputs
    if written <= SMALL or entries >= SPARSE_BELOW * written:
        return Method("dense", factored)
    if bounds == 1 or layer.inputs > MAX_SEARCHED:
        return Method("projection by sparse rows", 2.0 * PRODUCTS * entries / RATE_OF_SPARSE_ROWS + factored)
    return Method("sparse rows", factored)


def _of_strips(layer: ReLULayer) -> float:
    """Of a proof that the rows of a convolution are injective, which is tried where they may be: place by place."""
    o = layer.operator
    if not isinstance(o, Convolution) or layer.outputs < 2 * layer.inputs:
        return 0.0  # about half of the units are on
    return prod(o.output_shape[1:]) * (SECONDS_OF_PLACE + SECONDS_OF_ENTRY * (o.terms - 1) ** 2)


__all__ = ["Method", "method_of"]
