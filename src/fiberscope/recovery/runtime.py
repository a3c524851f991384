"""The features that a runtime may give at a sample, through several layers.

A runtime's layer l receives what its layers before gave, ``|h' - h| <= e`` off, unit by unit. Its products are those of
``h'``, so that what it gives is within ``|A_l| e + r_l`` of the exact features: r_l is the bound of
``fiberscope.preimages.precision`` for inputs of size ``|h| + e``. 8-bit codes are those of the layer in question alone:
the layers before compute as exactly as float64 does. A code at either end stands for all that is beyond it as well,
which is as far as features of inputs of the domain reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import absolute
from fiberscope.network.stage import INPUT
from fiberscope.preimages.activated import Activated
from fiberscope.preimages.losses import output_ends
from fiberscope.preimages.precision import FLOAT_TYPES, Precision
from fiberscope.preimages.sides import checked_within
from fiberscope.recovery.reach import reach

EVALUATED = 2.0**-40
"""A share of the largest feature, for what float64 rounds in evaluating a network; float32 rounds by 2^-24 and more."""


@dataclass(frozen=True, eq=False)
class Features:
    """What is known of N samples' features: each lies in ``[low, high]``.

    Attributes:
        low: (N, m) around the numbers that are given, which are rounded as the precision says.
        high: (N, m)
        eps: (N,) half the width of the widest interval that has two ends of the precision's own.
    """

    low: Float64[FloatArray, "N m"]
    high: Float64[FloatArray, "N m"]
    eps: Float64[FloatArray, " N"]

    @property
    def middle(self) -> Float64[FloatArray, "N m"]:
        """Features y."""
        return self.low / 2.0 + self.high / 2.0

    @property
    def within(self) -> Float64[FloatArray, "N m"]:
        """By how much they may differ from y, rounded up."""
        y = self.middle
        return np.nextafter(np.maximum(self.high - y, y - self.low), np.inf)


def runtime_features(
    net: Network, layer: int, X: Float64[FloatArray, "N ..."], precision: str | float | Precision, domain: Domain
) -> Features:
    """The features of a layer at samples, as far as a precision tells them.

    Args:
        net: the network.
        layer: the number of the ReLU layer.
        X: (N, *net.input_shape) samples.
        precision: a name, beside which codes may have their step, or by how much every feature may differ.
        domain: where inputs lie; a bounded one.

    Raises:
        InputError: a precision that is not defined for the layer.
    """
    precision = Precision(precision) if isinstance(precision, str) else precision
    placed = net.placed_layers[layer]
    least, most = output_ends(placed.layer)
    exact = net.evaluated(net.flat(X), placed.stage)
    slack = _slack(net, layer, X, precision)
    given = _given(exact, precision)
    if isinstance(precision, Precision):
        slack = slack + np.abs(given - exact)[:, None]
    below, above = given - slack[:, 0], given + slack[:, 1]
    told = (below > least) & (above < most)
    widths: FloatArray = np.where(told & np.isfinite(above - below), slack.sum(axis=1) / 2.0, 0.0).max(axis=1)
    finite: FloatArray = np.where(np.isfinite(slack), slack, 0.0).max(axis=(1, 2))
    eps: FloatArray = np.maximum(widths, finite * (widths == 0.0))
    rounding = EVALUATED * np.abs(exact).max(axis=1, keepdims=True)
    box = as_polyhedron(domain, net.inputs)
    lowest, highest = reach(net, placed.stage, box.low, box.high)
    low = np.maximum(np.maximum(below - rounding, least), np.where(np.isinf(below), lowest, -np.inf))
    high = np.minimum(np.minimum(above + rounding, most), np.where(np.isinf(above), highest, np.inf))
    if not (np.isfinite(low) & np.isfinite(high)).all():
        hint = "give a number, by how much every feature may differ"
        raise InputError("precision", expected="features with proved bounds", got=f"none at layer {layer}", hint=hint)
    return Features(low, high, eps)


def _given(exact: FloatArray, precision: float | Precision) -> Float64[FloatArray, "N m"]:
    """The numbers that are given: rounded to the float type, or to multiples of twice what they may be off.

    The exact features themselves would tell whoever attacks more than the precision does. Of codes, the middles of
    their cells follow.
    """
    if isinstance(precision, Precision):
        kind = FLOAT_TYPES.get(precision.name)
        return exact if kind is None else exact.astype(kind.dtype).astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = np.rint(exact / 2.0 / precision) * precision * 2.0
    return np.where(np.abs(rounded - exact) <= precision, rounded, exact)


def _slack(net: Network, layer: int, X: FloatArray, precision: float | Precision) -> Float64[FloatArray, "N 2 m"]:
    """How far below and above the exact features the numbers lie that say the same; inf where a code saturates."""
    here = net.placed_layers[layer].layer
    if not isinstance(precision, Precision):
        slack = checked_within(here, precision)
        return np.broadcast_to(slack, (len(X), *slack.shape))
    if precision.name in FLOAT_TYPES:
        return accumulated(net, layer, [np.abs(net.layer_input(k, X)) for k in range(layer + 1)], precision)
    return precision.within(here, net.layer_input(layer, X))


def accumulated(
    net: Network, layer: int, sizes: Sequence[Float64[FloatArray, "N _n"]], precision: Precision
) -> Float64[FloatArray, "N 2 m"]:
    """What a runtime of a float type may be off after all layers up to one.

    Args:
        net: the network.
        layer: the number of the layer.
        sizes: bounds on the absolute values of what each layer receives.
        precision: the float type.

    Raises:
        InputError: layers that do not follow each other, or numbers that the type does not hold.
    """
    source, off = INPUT, np.zeros_like(sizes[0])
    for number in range(layer + 1):
        placed = net.placed_layers[number]
        if placed.source != source or not isinstance(placed.layer, ReLULayer):
            got = f"layer {layer} behind branches that meet, or behind something other than layers"
            hint = "give a number, by how much every feature may differ, or int8"
            raise InputError("precision", expected="layers one after the other", got=got, hint=hint)
        received = sizes[number] + off
        own = precision.within(placed.layer, received)[:, 0]
        carried = np.asarray(absolute(placed.layer.weight) @ off.T).T * Activated.of(placed.layer).steepest
        source, off = placed.stage, (own + carried) * (1.0 + EVALUATED)
    return np.repeat(off[:, None], 2, axis=1)


__all__ = ["Features", "accumulated", "runtime_features"]
