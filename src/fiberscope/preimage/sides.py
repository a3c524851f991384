"""What an output says of the pre-activations of a layer: which rows it bounds, on which side.

A unit computes ``clip(z, p, q)`` of ``z = a x + b``. That its output lies in [u, v] says ``z <= v`` where ``v < q``,
and ``z >= u`` where ``u > p``; it is impossible where ``v < p`` or ``u > q``. A strictly monotone activation fixes z.
All comparisons are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, as_float64
from fiberscope.network.layer import Layer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import beside
from fiberscope.network.signs import exact_signs_of_many, row_entries, signs_against


@dataclass(frozen=True, eq=False)
class Sides:
    """Which sides rows have, one row per unit: (m,), or (N, m) for N samples. A row is in one class at most.

    Attributes:
        equal: both sides, which agree.
        both: both sides, which do not.
        upper: an upper one only.
        lower: a lower one only.
        tight_upper: those of ``upper`` that hold with equality at the sample.
        tight_lower: likewise of ``lower``.
    """

    equal: BoolArray
    both: BoolArray
    upper: BoolArray
    lower: BoolArray
    tight_upper: BoolArray
    tight_lower: BoolArray

    def of(self, sample: int) -> Sides:
        """Those of one of N samples."""
        return Sides(*(getattr(self, part.name)[sample] for part in fields(self)))

    @property
    def positive(self) -> BoolArray:
        """Units with a lower side: their output is larger than its smallest value."""
        return self.equal | self.both | self.lower

    def saturated(self, layer: ReLULayer) -> BoolArray:
        """Units without an upper side because the largest value of their output is among those that are possible."""
        return ~(self.equal | self.both | self.upper) & np.isfinite(layer.high)


@dataclass(frozen=True, eq=False)
class Outputs:
    """What is known: unit i gives from ``low_i - within_i`` to ``high_i + within_i``, or what it gives at x.

    Attributes:
        low: (m,) -inf where nothing is known.
        high: (m,) inf where nothing is known.
        within: (m,)
        x: (n,) an input, or None.
        moving: (m,) units whose output at x is the pre-activation, instead of low and high.
    """

    low: FloatArray
    high: FloatArray
    within: FloatArray
    x: FloatArray | None = None
    moving: Any = False

    def is_exact(self) -> bool:
        """Whether each output is known exactly."""
        return not self.within.any() and np.array_equal(self.low, self.high)

    def side(self, layer: ReLULayer, i: int, *, upper: bool) -> Fraction:
        """The exact upper or lower side of row i."""
        within = Fraction(float(self.within[i])) * (1 if upper else -1)
        if self.x is not None and self.moving[i]:
            columns, entries = row_entries(layer.weight, i)
            terms = zip(entries.tolist(), self.x[columns].tolist(), strict=True)
            return sum((Fraction(a) * Fraction(v) for a, v in terms if a and v), within)
        value = float(self.high[i] if upper else self.low[i])
        return Fraction(value) + within - Fraction(float(layer.bias[i]))

    def beyond(
        self, layer: ReLULayer, units: BoolArray, X: Float64[FloatArray, "N n"], *, upper: bool
    ) -> Bool[BoolArray, " N"]:
        """Which of the points X violate the upper, or lower, side of one of some units, exactly."""
        sign = 1.0 if upper else -1.0
        shift = -sign * self.within
        outside = np.zeros(len(X), dtype=np.bool_)
        still, moving = np.flatnonzero(units & ~np.asarray(self.moving)), np.flatnonzero(units & self.moving)
        if len(still):
            value = (self.high if upper else self.low)[still]
            signs = exact_signs_of_many(layer.weight[still], X, layer.bias[still], -value, shift[still])
            outside |= (sign * signs > 0).any(axis=1)
        if len(moving):
            assert self.x is not None, "only the output at an input moves with it"
            rows = layer.weight[moving]
            pairs = np.hstack([X, np.broadcast_to(-self.x, X.shape)])
            outside |= (sign * exact_signs_of_many(beside(rows, rows), pairs, shift[moving]) > 0).any(axis=1)
        return outside


def sides_at_inputs(layer: ReLULayer, X: Float64[FloatArray, "N n"], within: Float64[FloatArray, " m"]) -> Sides:
    """The sides of the outputs at N inputs, each known up to ``within``."""
    above_low, above_high = _signs_at(layer, X, layer.low, within), _signs_at(layer, X, layer.high, -within)
    wide = signs_against(layer.high, -within, layer.low) > 0
    has_lower, has_upper = (above_low > 0) & wide, (above_high < 0) & wide
    sides = _classed(layer, has_lower, has_upper, within == 0)
    known = within == 0
    upper, lower = sides.upper & known & (above_low == 0), sides.lower & known & (above_high == 0)
    return Sides(sides.equal, sides.both, sides.upper, sides.lower, upper, lower)


def sides_of_outputs(layer: ReLULayer, outputs: Outputs) -> Sides:
    """The sides of outputs that are known beforehand."""
    has_lower = signs_against(outputs.low, -outputs.within, layer.low) > 0
    has_upper = signs_against(outputs.high, outputs.within, layer.high) < 0
    return _classed(layer, has_lower, has_upper, (outputs.within == 0) & (outputs.low == outputs.high))


def impossible_units(layer: ReLULayer, outputs: Outputs) -> Bool[BoolArray, " m"]:
    """The units that give none of the outputs that are possible, wherever the input is."""
    below = signs_against(outputs.high, outputs.within, layer.low) < 0
    return below | (signs_against(outputs.low, -outputs.within, layer.high) > 0)


def outputs_at_input(layer: ReLULayer, x: Float64[FloatArray, " n"], within: Float64[FloatArray, " m"]) -> Outputs:
    """The output at x, known up to ``within``."""
    nothing = np.zeros(layer.outputs)
    above_low = _signs_at(layer, x[None], layer.low, nothing)[0]
    above_high = _signs_at(layer, x[None], layer.high, nothing)[0]
    value = np.where(above_low <= 0, layer.low, layer.high)
    moving = ((above_low > 0) & (above_high < 0)) | layer.injective
    return Outputs(value, value, within, x, moving)


def _classed(layer: ReLULayer, has_lower: BoolArray, has_upper: BoolArray, exact: BoolArray) -> Sides:
    equal = (has_lower & has_upper & exact) | layer.injective
    both = has_lower & has_upper & ~equal
    none = np.zeros_like(equal)
    return Sides(equal, both, has_upper & ~has_lower & ~equal, has_lower & ~has_upper & ~equal, none, none)


def _signs_at(layer: ReLULayer, X: FloatArray, limits: FloatArray, shift: FloatArray) -> Any:
    """(N, m) the exact signs of ``z - limits - shift`` for the pre-activations z of inputs X."""
    finite = np.isfinite(limits)
    if not finite.any():
        return np.broadcast_to(-np.sign(limits).astype(np.int8), (len(X), layer.outputs))
    offsets = [layer.bias] + [-part for part in (np.where(finite, limits, 0.0), shift) if part.any()]
    return np.where(finite, exact_signs_of_many(layer.weight, X, *offsets), -np.sign(limits)).astype(np.int8)


def checked_within(layer: Layer, within: Any) -> Float64[FloatArray, " m"]:
    """How far outputs may be off, as a vector (m,).

    Raises:
        InputError: another shape, NaN, infinite or negative numbers, or a precision of strictly monotone activations.
    """
    array = as_float64(within, "within", finite=False)
    shapes = dict.fromkeys([(), (layer.outputs,), *([layer.output_shape] if isinstance(layer, ReLULayer) else [])])
    if array.shape not in shapes:
        raise InputError("within", expected=f"a number, or {layer.outputs} of them", got=f"shape {array.shape}")
    if not ((array >= 0) & (array < np.inf)).all():
        wrong = array.ravel()[int(np.argmin(((array >= 0) & (array < np.inf)).ravel()))]
        hint = "it is by how much each output may differ; for outputs that are not known at all, give y=Interval(...)"
        raise InputError("within", expected="finite numbers of at least 0", got=f"{wrong:g}", hint=hint)
    vector: FloatArray = np.array(np.broadcast_to(array.ravel() if array.ndim else array, (layer.outputs,)))
    if (vector[layer.injective] > 0).any():
        raise InputError(
            "within",
            expected="outputs of ReLUs or clips",
            got="a layer with other activations",
            hint="a precision is supported for ReLU and clip units; give 0 for the others",
        )
    return vector


__all__ = [
    "Outputs",
    "Sides",
    "checked_within",
    "impossible_units",
    "outputs_at_input",
    "sides_at_inputs",
    "sides_of_outputs",
]
