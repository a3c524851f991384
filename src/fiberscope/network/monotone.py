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

    OTHER = -1
    """Something whose inverse is not known here: outputs must be known exactly."""
    LEAKY_RELU = 1
    """``z`` for z > 0 and ``alpha z`` else."""
    ELU = 2
    """``z`` for z > 0 and ``alpha (exp(z / beta) - 1)`` else, with values above ``-alpha``."""
    SOFTPLUS = 3
    """``log(1 + exp(beta z)) / beta``, with values above 0."""
    TANH = 4
    """The hyperbolic tangent, with values between -1 and 1."""
    SIGMOID = 5
    """``1 / (1 + exp(-z))``, with values between 0 and 1."""


@dataclass(frozen=True, eq=False)
class Monotone:
    """The functions of m units; of units that are not strictly monotone it says nothing.

    Args:
        curve: (m,) numbers of ``Curve``, or one of all units.
        alpha: (m,) slopes of leaky ReLUs for negative numbers, or scales of the negative part of ELUs, or one of all
            units; at least 0.
        beta: (m,) widths of the negative part of ELUs, or the sharpness of softplus, or one of all units; above 0.

    Raises:
        InputError: a number that names no curve, or a parameter that is negative, NaN or infinite.
    """

    curve: Any
    alpha: Any = 1.0
    beta: Any = 1.0

    def __post_init__(self) -> None:
        alpha, beta, curve = as_float64(self.alpha, "alpha"), as_float64(self.beta, "beta"), np.asarray(self.curve)
        if not np.isin(curve, list(Curve)).all():
            raise InputError("curve", expected="numbers of Curve", got=f"{curve.dtype} numbers of another meaning")
        if (alpha < 0).any():
            raise InputError("alpha", expected="numbers of at least 0", got=f"{alpha.min():g}")
        if not (beta > 0).all():
            raise InputError("beta", expected="numbers above 0", got=f"{beta.min():g}")
        parts = np.broadcast_arrays(curve.astype(np.int64), alpha, beta)
        for name, part in zip(("curve", "alpha", "beta"), parts, strict=True):
            object.__setattr__(self, name, part)

    def of(self, units: IntArray) -> Monotone:
        """Those of some units."""
        return Monotone(self.curve[units], self.alpha[units], self.beta[units])

    def behind(self, definitions: int, outputs: int) -> Monotone:
        """With rows in front that are no units."""
        curve, alpha, beta = (np.broadcast_to(part, (outputs,)) for part in (self.curve, self.alpha, self.beta))
        ones = np.ones(definitions)
        fixed = np.full(definitions, Curve.OTHER, dtype=np.int64)
        return Monotone(np.concatenate([fixed, curve]), np.append(ones, alpha), np.append(ones, beta))

    def invertible(self, units: BoolArray) -> BoolArray:
        """(m,) which of some units have an inverse that is known."""
        return units & (self.curve != Curve.OTHER)

    @property
    def least(self) -> FloatArray:
        """(m,) the lower end of what each gives, which it never does; -inf for none."""
        bottoms = {Curve.ELU: -self.alpha, Curve.SOFTPLUS: 0.0, Curve.TANH: -1.0, Curve.SIGMOID: 0.0}
        return np.select([self.curve == curve for curve in bottoms], list(bottoms.values()), -np.inf)

    @property
    def most(self) -> FloatArray:
        """(m,) the upper end; inf for none."""
        return np.where((self.curve == Curve.TANH) | (self.curve == Curve.SIGMOID), 1.0, np.inf)

    def rational(self, y: Float64[FloatArray, " m"]) -> BoolArray:
        """(m,) where an output is that of a float64, or of nothing: of others the pre-activation is no float64."""
        known = (y <= self.least) | (y >= self.most) | (y == np.where(self.curve == Curve.SIGMOID, 0.5, 0.0))
        straight = np.isin(self.curve, (Curve.LEAKY_RELU, Curve.ELU)) & (y >= 0)
        with np.errstate(all="ignore"):
            inverse = y / self.alpha
        for i in np.flatnonzero((self.curve == Curve.LEAKY_RELU) & ~straight & np.isfinite(inverse)):
            straight[i] = Fraction(float(inverse[i])) * Fraction(float(self.alpha[i])) == Fraction(float(y[i]))
        return (known & (self.curve != Curve.SOFTPLUS)) | straight | (y <= self.least)

    def value(self, z: ArrayLike) -> FloatArray:
        """(..., m) outputs at pre-activations; what is no such unit keeps its number."""
        given = np.asarray(z, dtype=np.float64)
        with np.errstate(all="ignore"):
            below = np.minimum(given, 0.0)
            return self._chosen(
                np.where(given > 0, given, self.alpha * below),
                np.where(given > 0, given, self.alpha * np.expm1(below / self.beta)),
                np.logaddexp(self.beta * given, 0.0) / self.beta,
                np.tanh(given),
                np.exp(-np.logaddexp(-given, 0.0)),
                given,
            )

    def room(self, z: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """(..., m) how far outputs are from the ends of what there is, below and above; inf where there is no end."""
        given = np.asarray(z, dtype=np.float64)
        endless = np.full(given.shape, np.inf)
        with np.errstate(all="ignore"):
            negative: FloatArray = np.asarray(self.alpha * np.exp(np.minimum(given, 0.0) / self.beta))
            elu = np.where(given > 0, np.asarray(given + self.alpha), negative)
            softplus = np.logaddexp(self.beta * given, 0.0) / self.beta
            ways = [
                (2.0 / (1.0 + np.exp(-2.0 * sign * given)), 1.0 / (1.0 + np.exp(-sign * given))) for sign in (1, -1)
            ]
        (below, sigmoid_below), (above, sigmoid_above) = ways
        low = self._chosen(endless, elu, softplus, below, sigmoid_below, endless)
        return low, self._chosen(endless, endless, endless, above, sigmoid_above, endless)

    def inverse(self, y: ArrayLike) -> FloatArray:
        """(..., m) pre-activations of outputs; -inf and inf at the ends of the range and beyond them."""
        values = np.asarray(y, dtype=np.float64)
        with np.errstate(all="ignore"):
            below, share = np.minimum(values, 0.0), np.clip(values, 0.0, 1.0)
            large = self.beta * np.maximum(values, 0.0)
            return self._chosen(
                np.where(values < 0, values / self.alpha, values),
                np.where(values < 0, self.beta * np.log1p(np.maximum(below / self.alpha, -1.0)), values),
                (large + np.log(-np.expm1(-large))) / self.beta,
                np.arctanh(np.clip(values, -1.0, 1.0)),
                # of a small number the quotient keeps all digits, near 1 the difference does
                np.log(share / (1.0 - share)),
                np.full(values.shape, np.nan),
            )

    def distances(self, z: Float64[FloatArray, "N m"], eps: FloatArray, *, upward: bool) -> Float64[FloatArray, "N m"]:
        """How far z moves until the output has moved by eps, in one direction; inf where it never does.

        Of smooth functions as formulas that cancel nothing: with s = sigmoid(z) and c = 1 - s it is
        ``log(1 + eps / s) - log(1 - eps / c)`` that solves ``sigmoid(z + d) = s + eps``; a tanh is a sigmoid in other
        units, and exponential functions grow by factors.
        """
        sign = 1.0 if upward else -1.0
        with np.errstate(all="ignore"):
            moved = np.where(z < 0, z * self.alpha, z) + sign * eps
            leaky = sign * (np.where(moved < 0, moved / self.alpha, moved) - z)
            leaky = np.where((moved < 0) == (z < 0), np.where(z < 0, eps / self.alpha, eps), leaky)
            unit = np.where(self.curve == Curve.SIGMOID, 1.0, 2.0)
            at, share = sign * unit * z, eps / unit
            behind, ahead = -np.logaddexp(-at, 0.0), -np.logaddexp(at, 0.0)  # logarithms of s and c
            over = share * np.exp(-behind)
            grown = np.where(over < 1.0, np.log1p(over), np.logaddexp(0.0, np.log(share) - behind))
            smooth = (grown - np.log1p(-np.minimum(share * np.exp(-ahead), 1.0))) / unit
            return np.maximum(
                self._chosen(
                    leaky, self._elu_moved(z, eps, sign), self._softplus_moved(z, eps, sign), smooth, smooth, eps
                ),
                np.finfo(np.float64).tiny,
            )

    def _elu_moved(self, z: FloatArray, eps: FloatArray, sign: float) -> FloatArray:
        below = np.minimum(z, 0.0)
        # within the negative part, exp((z +- d) / beta) = exp(z / beta) +- eps / alpha
        inside = sign * self.beta * np.log1p(np.maximum(sign * eps / self.alpha * np.exp(-below / self.beta), -1.0))
        output = np.where(z > 0, z, self.alpha * np.expm1(below / self.beta)) + sign * eps
        crossing = sign * (self.inverse(output) - z)
        return np.select([(z > 0) & (output > 0), (z <= 0) & (output <= 0)], [eps + 0.0 * z, inside], crossing)

    def _softplus_moved(self, z: FloatArray, eps: FloatArray, sign: float) -> FloatArray:
        # exp(beta (z +- d)) = exp(beta z) exp(+- beta eps) + (exp(+- beta eps) - 1)
        grown = np.expm1(sign * self.beta * eps)
        more = np.maximum(grown * (1.0 + np.exp(-self.beta * z)), -1.0)
        far = sign * (self.inverse(np.logaddexp(self.beta * z, 0.0) / self.beta + sign * eps) - z)
        return np.where(np.isfinite(more), sign * np.log1p(more) / self.beta, far)

    def _chosen(self, *each: FloatArray) -> FloatArray:
        """Of each unit what its curve says: in the order of ``Curve``, and last what is none of them."""
        curves = (Curve.LEAKY_RELU, Curve.ELU, Curve.SOFTPLUS, Curve.TANH, Curve.SIGMOID)
        return np.select([np.broadcast_to(self.curve == c, each[0].shape) for c in curves], list(each[:5]), each[5])


__all__ = ["Curve", "Monotone"]
