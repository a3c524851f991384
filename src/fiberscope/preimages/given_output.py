"""Outputs of a layer as users give them: checked, as vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray
from fiberscope.network.layer import Layer, flat_output
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.activated import opaque_units
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.precision import Precision
from fiberscope.preimages.sides import checked_within


def checked_output(layer: Layer, y: Any, within: Any) -> tuple[FloatArray | Interval, FloatArray]:
    """The output (m,), or the intervals in which it lies, and by how much it may be off, (m,).

    Raises:
        InputError: a layer of which no output can be given, or an output, intervals or a precision that do not fit.
    """
    if isinstance(within, str | Precision):
        hint = "what a runtime rounds depends on the input: give x, or the intervals that its output says"
        raise InputError("within", expected="a number, or one for each unit, beside y", got=shown(within), hint=hint)
    precision: FloatArray = checked_within(layer, within)[0]
    if isinstance(layer, RegionLayer):
        got = "a layer that is one only around a sample"
        raise InputError("y", expected="an output of one affine map", got=got, hint="give x instead")
    if opaque_units(layer).any():
        expected, got = "an output of units whose functions are known", "strictly monotone units without a function"
        raise InputError("y", expected=expected, got=got, hint="give x instead")
    given = _intervals(layer, y, precision) if isinstance(y, Interval) else flat_output(layer, y, "y")
    low, high = (given.low, given.high) if isinstance(given, Interval) else (given, given)
    _check_rational(layer, low, high, precision)
    return given, precision


def _intervals(layer: ReLULayer, y: Interval, within: FloatArray) -> Interval:
    """As vectors (m,)."""
    if within.any():
        hint = "widen the intervals by it, or give the output itself as y"
        raise InputError("within", expected="0 beside y=Interval(...)", got="another number", hint=hint)
    shape = y.low.shape
    if shape not in ((), (layer.outputs,), layer.output_shape):
        expected = f"intervals of shape {' or '.join(map(str, dict.fromkeys([(layer.outputs,), layer.output_shape])))}"
        raise InputError("y", expected=expected, got=f"shape {shape}", hint="one interval per unit, or one for all")
    return Interval(*(np.broadcast_to(side.ravel() if shape else side, (layer.outputs,)) for side in (y.low, y.high)))


def _check_rational(layer: ReLULayer, low: FloatArray, high: FloatArray, within: FloatArray) -> None:
    """InputError where an output is known exactly and its pre-activation is no float64."""
    if layer.monotone is None:
        return
    units = np.flatnonzero(layer.injective & (low == high) & (within == 0) & ~layer.monotone.rational(low))
    if len(units):
        raise InputError(
            "y",
            expected="outputs of strictly monotone units to a precision, or intervals",
            got=f"exactly {low[units[0]]:.17g} at unit {int(units[0])}, which no float64 pre-activation gives",
            hint="give within= or y=Interval(...) that holds what rounding did to y, or x instead",
        )


__all__ = ["checked_output"]
