"""How the preimage of one sample of a layer is decided, and about how long that takes: known before any work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.network.affine import AffineMap
from fiberscope.network.layer import Layer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import SMALL, SPARSE_BELOW
from fiberscope.preimages.decide_many import MAX_SEARCHED

PRODUCTS = 120
"""Products with a layer's rows, or their transpose, that a projection takes as a rule, its proof included."""
PRODUCTS_ELSE = 12
"""Where nothing is projected: signs, counts, and proofs."""
FACTORIZATIONS = 6
RATE_OF_CONVOLUTIONS, RATE_OF_SPARSE_ROWS, RATE_OF_FACTORS = 1.5e10, 5e8, 1.5e10
"""Operations a second on one core, as measured on one of 2020; that of other cores differs by a small factor."""


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
        name = ("counting and windows", "projection by convolutions", "windows, in a box")[bounds]
        products = PRODUCTS if bounds == 1 else PRODUCTS_ELSE
        return Method(name, 2.0 * products * entries / RATE_OF_CONVOLUTIONS)
    size = min(layer.inputs, layer.outputs)
    factored = FACTORIZATIONS * 2.0 * size**2 * max(layer.inputs, layer.outputs) / RATE_OF_FACTORS
    written = layer.inputs * layer.outputs
    if written <= SMALL or entries >= SPARSE_BELOW * written:
        return Method("dense", factored)
    if bounds == 1 or layer.inputs > MAX_SEARCHED:
        return Method("projection by sparse rows", 2.0 * PRODUCTS * entries / RATE_OF_SPARSE_ROWS + factored)
    return Method("sparse rows", factored)


__all__ = ["Method", "method_of"]
