"""What an output says of the pre-activations of a layer: which rows it bounds, on which side.

A unit computes ``clip(z, p, q)`` of ``z = a x + b``. That its output lies in [u, v] says ``z <= v`` where ``v < q``,
and ``z >= u`` where ``u > p``; it is impossible where ``v < p`` or ``u > q``. A strictly monotone activation fixes z
where its output is known exactly. Else it says that z lies in an interval, as an output of a unit that computes z
itself would; that interval is found in float64, and proofs bound it anew. All other comparisons are exact.
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
from fiberscope.network.signs import exact_signs_of_many, row_entries, signs_against, signs_of_map
from fiberscope.preimages.activated import opaque_units, pre_activation_at, pre_activation_exactly, room_exactly

DOUBT = 2.0**-30
"""The share of what is left to an end of the outputs within which exact numbers tell whether a precision reaches it."""


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
        within: (m,), or (2, m) of what is below and above; of strictly monotone units about their pre-activations, as
            low and high are.
        x: (n,) an input, or None.
        moving: (m,) units whose output at x is the pre-activation, instead of low and high.
    """

    low: FloatArray
    high: FloatArray
    within: FloatArray
    x: FloatArray | None = None
    moving: Any = False

    def _slack(self, *, upper: bool) -> FloatArray:
        """(m,) what is added to an upper, or a lower, side."""
        below, above = np.broadcast_to(self.within, (2, len(self.low)))
        return above if upper else -below

    def is_exact(self) -> bool:
        """Whether each output is known exactly."""
        return not self.within.any() and np.array_equal(self.low, self.high)

    def side(self, layer: ReLULayer, i: int, *, upper: bool) -> Fraction:
        """The exact upper or lower side of row i."""
        within = Fraction(float(self._slack(upper=upper)[i]))
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
        sign, shift = 1.0 if upper else -1.0, -self._slack(upper=upper)
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


def sides_at_inputs(layer: ReLULayer, X: Float64[FloatArray, "N n"], within: Float64[FloatArray, "... m"]) -> Sides:
    """The sides of the outputs at N inputs, each known up to ``within``: below and above, (2, m) or (N, 2, m); or (m,).

    Both numbers are zero, or neither is.
    """
    within = _of_pre_activations(layer, X, within)
    limited = np.isfinite(np.broadcast_to(within, np.broadcast_shapes(within.shape, (2, layer.outputs))))
    slack = np.where(limited, within, 0.0)
    below, above = slack[..., 0, :], slack[..., 1, :]
    known = limited.all(axis=-2) & (below == 0) & (above == 0)
    above_low, above_high = _signs_at(layer, X, layer.low, below), _signs_at(layer, X, layer.high, -above)
    has_lower = (above_low > 0) & limited[..., 0, :] & (signs_against(layer.high, -below, layer.low) > 0)
    has_upper = (above_high < 0) & limited[..., 1, :] & (signs_against(layer.low, above, layer.high) < 0)
    sides = _classed(layer, has_lower, has_upper, known)
    upper, lower = sides.upper & known & (above_low == 0), sides.lower & known & (above_high == 0)
    return Sides(sides.equal, sides.both, sides.upper, sides.lower, upper, lower)


def sides_of_outputs(layer: ReLULayer, outputs: Outputs) -> Sides:
    """The sides of outputs that are known beforehand."""
    below, above = np.broadcast_to(outputs.within, (2, layer.outputs))
    has_lower = signs_against(outputs.low, -below, layer.low) > 0
    has_upper = signs_against(outputs.high, above, layer.high) < 0
    return _classed(layer, has_lower, has_upper, (below == 0) & (above == 0) & (outputs.low == outputs.high))


def impossible_units(layer: ReLULayer, outputs: Outputs) -> Bool[BoolArray, " m"]:
    """The units that give none of the outputs that are possible, wherever the input is."""
    below, above = np.broadcast_to(outputs.within, (2, layer.outputs))
    beneath = signs_against(outputs.high, above, layer.low) < 0
    nowhere = np.isposinf(outputs.low) | np.isneginf(outputs.high)  # beyond the range of a strictly monotone unit
    return beneath | (signs_against(outputs.low, -below, layer.high) > 0) | nowhere


def outputs_at_input(
    layer: ReLULayer, x: Float64[FloatArray, " n"], within: Float64[FloatArray, "*sides m"]
) -> Outputs:
    """The output at x, known up to ``within``."""
    nothing = np.zeros(layer.outputs)
    above_low = _signs_at(layer, x[None], layer.low, nothing)[0]
    above_high = _signs_at(layer, x[None], layer.high, nothing)[0]
    value = np.where(above_low <= 0, layer.low, layer.high)
    moving = ((above_low > 0) & (above_high < 0)) | layer.injective
    return Outputs(value, value, _of_pre_activations(layer, x[None], within[None])[0], x, moving)


def _computed(layer: ReLULayer, X: FloatArray) -> FloatArray:
    """(N, m) pre-activations as float64 gives them."""
    if not layer.is_large:
        return np.asarray((layer.weight @ X.T).T) + layer.bias
    import torch

    return layer.operator.apply(torch.from_numpy(np.ascontiguousarray(X))).numpy()


def outputs_between(layer: ReLULayer, low: FloatArray, high: FloatArray, within: Float64[FloatArray, " m"]) -> Outputs:
    """Outputs from ``low - within`` to ``high + within``, which are (m,)."""
    if not layer.injective.any():
        return Outputs(low, high, within)
    assert layer.monotone is not None, "such outputs are refused where functions are not known"
    ends = layer.monotone.inverse(low - within), layer.monotone.inverse(high + within)
    low, high = (np.where(layer.injective, end, side) for end, side in zip(ends, (low, high), strict=True))
    return Outputs(low, high, np.where(layer.injective, 0.0, within))


def _of_pre_activations(layer: ReLULayer, X: Float64[FloatArray, "N n"], within: FloatArray) -> FloatArray:
    """The same precision, of strictly monotone units about their pre-activations: (N, 2, m), inf where nothing is said.

    Unchanged where no such unit has one.
    """
    loose = layer.injective & (within > 0)
    if not loose.any():
        return within
    assert layer.monotone is not None, "a precision is refused where functions are not known"
    z = _computed(layer, X)
    within = np.broadcast_to(within, (len(X), 2, layer.outputs))
    moved = np.stack([layer.monotone.distances(z, within[:, side], upward=side == 1) for side in (0, 1)], axis=1)
    room = np.stack(layer.monotone.room(z), axis=1)
    with np.errstate(invalid="ignore"):
        doubtful = loose & np.isfinite(room) & (np.abs(within - room) <= DOUBT * room)
    for sample, side, unit in zip(*np.nonzero(doubtful), strict=True):
        eps = float(within[sample, side, unit])
        moved[sample, side, unit] = _moved_exactly(layer, X[sample], int(unit), eps, upper=bool(side))
    return np.where(loose, moved, within)


def _moved_exactly(layer: ReLULayer, x: FloatArray, unit: int, eps: float, *, upper: bool) -> float:
    """How far the pre-activation moves until the output has moved by eps towards an end; inf if it gets there first."""
    assert layer.monotone is not None
    z = pre_activation_exactly(layer, unit, x)
    left = room_exactly(layer.monotone, unit, z, upper=upper) - Fraction(eps)
    if left <= 0:
        return np.inf
    return abs(pre_activation_at(layer.monotone, unit, left, upper=upper) - float(z))


def _classed(layer: ReLULayer, has_lower: BoolArray, has_upper: BoolArray, exact: BoolArray) -> Sides:
    equal = has_lower & has_upper & exact
    both = has_lower & has_upper & ~equal
    none = np.zeros_like(equal)
    return Sides(equal, both, has_upper & ~has_lower & ~equal, has_lower & ~has_upper & ~equal, none, none)


def _signs_at(layer: ReLULayer, X: FloatArray, limits: FloatArray, shift: FloatArray) -> Any:
    """(N, m) the exact signs of ``z - limits - shift`` for the pre-activations z of inputs X."""
    finite = np.isfinite(limits)
    if not finite.any():
        return np.broadcast_to(-np.sign(limits).astype(np.int8), (len(X), layer.outputs))
    offsets = [layer.constants] + [-part for part in (np.where(finite, limits, 0.0), shift) if part.any()]
    if layer.is_large:
        signs = signs_of_map(layer.operator, X, *offsets)
    else:
        signs = exact_signs_of_many(layer.weight, X, *offsets)
    return np.where(finite, signs, -np.sign(limits)).astype(np.int8)


def checked_within(layer: Layer, within: Any, samples: int | None = None) -> Float64[FloatArray, "*N 2 m"]:
    """How far outputs may be off, below and above: (2, m), or (N, 2, m) for N samples.

    Raises:
        InputError: another shape, NaN, infinite or negative numbers, or a precision of strictly monotone activations.
    """
    m, array = layer.outputs, as_float64(within, "within", finite=False)
    units: list[tuple[int, ...]] = [(m,), *([layer.output_shape] if isinstance(layer, ReLULayer) else [])]
    each: list[tuple[int, ...]] = []
    if samples is not None:
        each = [(samples, 1), *((samples, *shape) for shape in units)]
    if array.shape not in ((), *units, *each):
        many = "" if samples is None else f", or as many for each of {samples} samples"
        raise InputError("within", expected=f"a number, or {m} of them{many}", got=f"shape {array.shape}")
    if not ((array >= 0) & (array < np.inf)).all():
        wrong = array.ravel()[int(np.argmin(((array >= 0) & (array < np.inf)).ravel()))]
        hint = "it is by how much each output may differ; for outputs that are not known at all, give y=Interval(...)"
        raise InputError("within", expected="finite numbers of at least 0", got=f"{wrong:g}", hint=hint)
    if array.shape in units:
        array = array.reshape(m)
    elif array.ndim:
        array = array.reshape(len(array), 1, -1)
    check_loose(layer, (array > 0).any(axis=tuple(range(array.ndim - 1))) if array.ndim else array > 0)
    return np.broadcast_to(array, (2, m) if samples is None else (samples, 2, m))


def check_loose(layer: Layer, loose: Any) -> None:
    """InputError unless all units (m,) with outputs that are known to a precision only can be inverted."""
    if (loose & opaque_units(layer)).any():
        raise InputError(
            "within",
            expected="outputs of units whose functions are known",
            got="strictly monotone units of which nothing else is said",
            hint="give 0 for these, or their functions: ReLULayer(..., monotone=...)",
        )


def as_known(within: Float64[FloatArray, "2 m"]) -> FloatArray | float:
    """The same as briefly as possible: a number for all units, one for each, or (2, m)."""
    below, above = within
    if not np.array_equal(below, above):
        return within
    return float(below[0]) if (below == below[0]).all() else below


__all__ = [
    "Outputs",
    "Sides",
    "as_known",
    "check_loose",
    "checked_within",
    "impossible_units",
    "outputs_at_input",
    "outputs_between",
    "sides_at_inputs",
    "sides_of_outputs",
]
