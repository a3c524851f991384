"""The features that a runtime may give at a sample, through several layers.

A runtime's layer l receives what its layers before gave, ``|h' - h| <= e`` off, unit by unit. Its products are those of
``h'``, so that what it gives is within ``|A_l| e + r_l`` of the exact features: r_l is the bound of
``fiberscope.preimage.precision`` for inputs of size ``|h| + e``. 8-bit codes are those of the layer in question alone:
the layers before compute as exactly as float64 does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.network.stage import INPUT
from fiberscope.preimage.precision import FLOAT_TYPES, Precision
from fiberscope.preimage.sides import checked_within

EVALUATED = 2.0**-40
"""A share of features that covers what float64 rounds when it evaluates a network; float32 rounds by 2^-24 and more."""


@dataclass(frozen=True, eq=False)
class Features:
    """What is known of N samples' features: each lies in ``[low, high]``.

    Attributes:
        low: (N, m)
        high: (N, m)
    """

    low: Float64[FloatArray, "N m"]
    high: Float64[FloatArray, "N m"]

    @property
    def middle(self) -> Float64[FloatArray, "N m"]:
        """Features y."""
        return self.low / 2.0 + self.high / 2.0

    @property
    def within(self) -> Float64[FloatArray, "N m"]:
        """By how much they may differ from y, rounded up."""
        y = self.middle
        return np.nextafter(np.maximum(self.high - y, y - self.low), np.inf)

    def eps(self, layer: ReLULayer) -> Float64[FloatArray, " N"]:
        """By how much a feature that tells its number may differ, at most: not those at the ends of their clip."""
        told = (self.low > layer.low) & (self.high < layer.high)
        return np.where(told, self.within, 0.0).max(axis=1)


def runtime_features(
    net: Network, layer: int, X: Float64[FloatArray, "N ..."], precision: str | float | int
) -> Features:
    """The features of a layer at samples, as far as a precision tells them.

    Raises:
        InputError: no such precision, or one that is not defined for the layer.
    """
    here = net.placed_layers[layer].layer
    received = net.layer_input(layer, X)
    if not isinstance(here, ReLULayer):
        raise InputError("layers", expected="layers of one affine map", got=f"layer {layer}, in which branches meet")
    exact = np.clip((here.weight @ received.T).T + here.bias, here.low, here.high)
    if isinstance(precision, str) and precision in FLOAT_TYPES:
        slack = _accumulated(net, layer, X, precision)
    elif isinstance(precision, str):
        slack = Precision(precision).within(here, received)
    else:
        slack = np.broadcast_to(checked_within(here, precision), (len(X), 2, here.outputs))
    below, above = exact - slack[:, 0], exact + slack[:, 1]
    rounding = EVALUATED * np.abs(exact)
    return Features(np.maximum(below - rounding, here.low), np.minimum(above + rounding, _ends(here, exact, above)))


def _accumulated(net: Network, layer: int, X: FloatArray, precision: str) -> Float64[FloatArray, "N 2 m"]:
    """What a runtime of a float type may be off after all layers up to one."""
    source, off = INPUT, np.zeros_like(net.layer_input(0, X))
    for number in range(layer + 1):
        placed = net.placed_layers[number]
        if placed.source != source or not isinstance(placed.layer, ReLULayer):
            got = f"layer {layer} behind branches that meet"
            hint = "give a number, by how much every feature may differ, or int8"
            raise InputError("precision", expected="layers one after the other", got=got, hint=hint)
        received = np.abs(net.layer_input(number, X)) + off
        own = Precision(precision).within(placed.layer, received)[:, 0]
        carried = np.asarray(_sizes(placed.layer.weight) @ off.T).T
        source, off = placed.stage, (own + carried) * (1.0 + EVALUATED)
    return np.repeat(off[:, None], 2, axis=1)


def _sizes(rows: Rows) -> Rows:
    if isinstance(rows, SparseRows):
        return SparseRows((np.abs(rows.data), rows.indices, rows.indptr), shape=rows.shape)
    return np.abs(rows)


def _ends(layer: ReLULayer, exact: FloatArray, above: FloatArray) -> FloatArray:
    """Where outputs end: at the clip, or, above the last code, at twice the largest that there is."""
    largest = 2.0 * np.abs(exact).max() + 1.0
    return np.where(np.isinf(above), np.minimum(layer.high, largest), layer.high)


__all__ = ["Features", "runtime_features"]
