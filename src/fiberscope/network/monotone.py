"""Strictly monotone activations, unit by unit: what outputs that are known to intervals say of the pre-activations.

That ``g(z)`` lies in [u, v] says that z lies in ``[g^-1(u), g^-1(v)]``. Beyond the range of g there is no side: a tanh
never gives 1, so that "at most 1" says nothing. Here inverses are computed as float64 gives them; whoever proves a
verdict bounds them anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray, as_float64

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Curve(IntEnum):
    """What a strictly monotone unit computes."""

    OTHER = 0
    """Something whose inverse is not known here: outputs must be known exactly."""
    LEAKY_RELU = 1
    """``z`` for z > 0 and ``slope * z`` else."""
    TANH = 2
    """The hyperbolic tangent, with values between -1 and 1."""
    SIGMOID = 3
    """``1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2``, with values between 0 and 1."""


@dataclass(frozen=True, eq=False)
class Monotone:
    """The functions of m units; of units that are not strictly monotone it says nothing.

    Args:
        curve: (m,) numbers of ``Curve``, or one of all units.
        slope: (m,) of leaky ReLUs for negative numbers, or one of all units; at least 0.

    Raises:
        InputError: a number that names no curve, or a slope that is negative, NaN or infinite.
    """

    curve: Any
    slope: Any = 1.0

    def __post_init__(self) -> None:
        slope, curve = as_float64(self.slope, "slope"), np.asarray(self.curve)
        if not np.isin(curve, list(Curve)).all():
            raise InputError("curve", expected="numbers of Curve", got=f"{curve.dtype} numbers of another meaning")
        if (slope < 0).any():
            raise InputError("slope", expected="numbers of at least 0", got=f"{slope.min():g}")
        curve, slope = np.broadcast_arrays(curve.astype(np.int64), slope)
        object.__setattr__(self, "curve", curve)
        object.__setattr__(self, "slope", slope)

    def of(self, units: IntArray) -> Monotone:
        """Those of some units."""
        return Monotone(self.curve[units], self.slope[units])

    def behind(self, definitions: int, outputs: int) -> Monotone:
        """With rows in front that are no units."""
        curve, slope = (np.broadcast_to(part, (outputs,)) for part in (self.curve, self.slope))
        return Monotone(
            np.concatenate([np.zeros(definitions, dtype=np.int64), curve]), np.append(np.ones(definitions), slope)
        )

    def invertible(self, units: BoolArray) -> BoolArray:
        """(m,) which of some units have an inverse that is known."""
        return units & (self.curve != Curve.OTHER)

    @property
    def saturates(self) -> BoolArray:
        """(m,) which of them have outputs that end somewhere."""
        return self.curve > Curve.LEAKY_RELU

    def rational(self, y: Float64[FloatArray, " m"]) -> BoolArray:
        """(m,) where an output is that of a float64, or of nothing: of others the pre-activation is no float64."""
        centre, top = np.where(self.curve == Curve.SIGMOID, 0.5, 0.0), np.where(self.curve == Curve.OTHER, 0.0, 1.0)
        bottom = np.where(self.curve == Curve.TANH, -1.0, 0.0)
        smooth = (y == centre) | (y <= bottom) | (y >= top)
        straight, inverse = y >= 0, self.inverse(y)
        for i in np.flatnonzero((self.curve == Curve.LEAKY_RELU) & ~straight & np.isfinite(inverse)):
            straight[i] = Fraction(float(inverse[i])) * Fraction(float(self.slope[i])) == Fraction(float(y[i]))
        return np.where(self.curve == Curve.LEAKY_RELU, straight, smooth)

    def inverse(self, y: ArrayLike) -> FloatArray:
        """(..., m) pre-activations of outputs; -inf and inf at the ends of the range and beyond them."""
        values = np.asarray(y, dtype=np.float64)
        curve, slope = np.broadcast_to(self.curve, values.shape), np.broadcast_to(self.slope, values.shape)
        with np.errstate(all="ignore"):
            leaky = np.where(values < 0, values / slope, values)
            tanh = np.arctanh(np.clip(values, -1.0, 1.0))
            # of a small number the quotient keeps all digits, near 1 the difference does
            sigmoid = np.log(np.clip(values, 0.0, 1.0) / (1.0 - np.clip(values, 0.0, 1.0)))
        return np.select([curve == Curve.LEAKY_RELU, curve == Curve.TANH, curve == Curve.SIGMOID],
                         [leaky, tanh, sigmoid], np.nan)  # fmt: skip

    def distances(self, z: Float64[FloatArray, "N m"], eps: FloatArray, *, upward: bool) -> Float64[FloatArray, "N m"]:
        """How far z moves until the output has moved by eps, in one direction; inf where it never does.

        ``tanh(d) = eps / (1 - tanh(z)^2 -+ eps tanh(z))`` solves ``tanh(z +- d) = tanh(z) +- eps``, and cancels little.
        """
        sign = 1.0 if upward else -1.0
        with np.errstate(all="ignore"):
            moved = np.where(z < 0, z * self.slope, z) + sign * eps
            leaky = sign * (np.where(moved < 0, moved / self.slope, moved) - z)
            leaky = np.where((moved < 0) == (z < 0), np.where(z < 0, eps / self.slope, eps), leaky)
            unit = np.where(self.curve == Curve.SIGMOID, 2.0, 1.0)
            t = np.tanh(z / unit)
            room = np.cosh(z / unit) ** -2.0 - sign * unit * eps * t
            share = np.where(unit * eps < room, unit * eps / room, 1.0)
            smooth = unit * np.arctanh(share)
        found = np.where(self.curve == Curve.LEAKY_RELU, leaky, smooth)
        return np.maximum(found, np.finfo(np.float64).tiny)


__all__ = ["Curve", "Monotone"]
