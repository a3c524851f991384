"""What strictly monotone activations do to numbers: in decimal ones, to ``DIGITS``; and what they make of rounding."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from math import expm1, inf, log
from typing import assert_never

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.layer import Layer
from fiberscope.network.monotone import Curve, Monotone
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.signs import exact_sum, row_entries

DIGITS = 60
"""Decimal digits of exponential functions: far more than tell a float64, which has 17, from the next."""
TINY = Fraction(1, 2**1100)
"""What stands for less than any float64: what is left to an end is never 0."""
_DECIMAL, _LONGER = (Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[]) for digits in (DIGITS, 2 * DIGITS))


def opaque_units(layer: Layer) -> BoolArray:
    """(m,) strictly monotone units whose functions are not known, and definitions of coordinates among them."""
    injective = layer.injective
    return injective if layer.monotone is None else injective & ~layer.monotone.invertible(injective)


def pre_activation_exactly(layer: ReLULayer, unit: int, x: Float64[FloatArray, " n"]) -> Fraction:
    """What a unit receives, ``a x + b``."""
    columns, entries = row_entries(layer.weight, unit)
    return exact_sum(entries, x[columns]) + Fraction(float(layer.bias[unit]))


def value_exactly(monotone: Monotone, unit: int, z: Fraction) -> Fraction:
    """An output, to ``DIGITS`` digits; of what is no such unit the number itself."""
    curve, alpha = Curve(int(monotone.curve[unit])), Fraction(float(monotone.alpha[unit]))
    match curve:
        case Curve.OTHER:
            return z
        case Curve.LEAKY_RELU:
            return z if z > 0 else alpha * z
        case Curve.ELU:
            return z if z > 0 else room_exactly(monotone, unit, z, upper=False) - alpha
        case Curve.SOFTPLUS | Curve.SIGMOID:
            return room_exactly(monotone, unit, z, upper=False)
        case Curve.TANH:
            return (
                1 - room_exactly(monotone, unit, z, upper=True)
                if z > 0
                else room_exactly(monotone, unit, z, upper=False) - 1
            )
        case _:
            assert_never(curve)


def room_exactly(monotone: Monotone, unit: int, z: Fraction, *, upper: bool) -> Fraction:
    """How far an output is from an end that it never reaches, to ``DIGITS`` digits."""
    curve, of = Curve(int(monotone.curve[unit])), _DECIMAL
    alpha, beta = (Decimal(float(part[unit])) for part in (monotone.alpha, monotone.beta))
    at = of.divide(Decimal(z.numerator), Decimal(z.denominator))
    if curve in (Curve.TANH, Curve.SIGMOID):
        width = 2 if curve is Curve.TANH else 1
        grown = of.exp(of.multiply(at, width if upper else -width))
        left = of.divide(Decimal(width), of.add(grown, Decimal(1)))
    elif curve is Curve.ELU:
        left = of.multiply(alpha, of.exp(of.divide(at, beta))) if z <= 0 else of.add(at, alpha)
    else:
        assert curve is Curve.SOFTPLUS, "others have no end"
        grown = of.exp(of.multiply(at, beta))
        if grown.is_infinite() or grown < Decimal(10) ** -DIGITS:
            # log(1 + e) is e but for its square, and log(e) but for its inverse: neither is among the digits
            return Fraction(at) if grown.is_infinite() else Fraction(of.divide(grown, beta)) or TINY
        left = of.divide(_LONGER.ln(_LONGER.add(grown, Decimal(1))), beta)
    return Fraction(left) or TINY


def pre_activation_at(monotone: Monotone, unit: int, left: Fraction, *, upper: bool) -> float:
    """What a unit receives where its output is so far, more than 0, from an end that it never reaches."""
    curve, alpha, beta = Curve(int(monotone.curve[unit])), float(monotone.alpha[unit]), float(monotone.beta[unit])
    if curve in (Curve.TANH, Curve.SIGMOID):
        width = 2 if curve is Curve.TANH else 1
        return (1.0 if upper else -1.0) * _logarithm(width / left - 1) / width
    if curve is Curve.ELU:
        return float(left) - alpha if left > alpha else beta * (_logarithm(left) - log(alpha))
    assert curve is Curve.SOFTPLUS, "others have no end"
    grown = beta * float(left)
    # log(exp(e) - 1) is log(e) but for e itself
    return (_logarithm(left) + log(beta) if grown < 2.0**-60 else grown + log(-expm1(-grown))) / beta


def _logarithm(number: Fraction) -> float:
    """Of any size: logarithms of whole numbers know no overflow; -inf of 0."""
    return log(number.numerator) - log(number.denominator) if number > 0 else -inf


@dataclass(frozen=True, eq=False)
class Activated:
    """By how much activations move what sums are off: ``slope |z' - z| + 8 u (fixed + share |z'|) + 2 e``.

    Attributes:
        slope: (m,) the steepest one, a numerator and a denominator.
        fixed: (m,) likewise.
        share: (m,)
        smooth: (m,) units that are no clips, which move no number further.
    """

    slope: tuple[FloatArray, FloatArray]
    fixed: tuple[FloatArray, FloatArray]
    share: FloatArray
    smooth: BoolArray

    @classmethod
    def of(cls, layer: ReLULayer) -> Activated:
        """Those of a layer."""
        m = layer.outputs
        known = Monotone(np.full(m, Curve.OTHER)) if layer.monotone is None else layer.monotone
        curve, ones = np.where(layer.injective, known.curve, Curve.OTHER), np.ones(m)
        leaky, elu, softplus = (curve == each for each in (Curve.LEAKY_RELU, Curve.ELU, Curve.SOFTPLUS))
        steep = np.select(
            [leaky, elu & (known.alpha > known.beta), curve == Curve.SIGMOID],
            [np.maximum(known.alpha, 1.0), known.alpha, 0.25 * ones], ones,
        )  # fmt: skip
        over = np.where(elu & (known.alpha > known.beta), known.beta, 1.0)
        smooth = curve != Curve.OTHER
        fixed = np.select([elu, leaky, ~smooth], [known.alpha, 0.0 * ones, 0.0 * ones], ones)
        share = np.select([leaky, softplus], [known.alpha, ones], 0.0)
        return cls((steep, over), (fixed, np.where(softplus, known.beta, 1.0)), share, smooth)

    @property
    def steepest(self) -> FloatArray:
        """(m,) the steepest slope, rounded up."""
        return self.slope[0] / self.slope[1] * (1.0 + 2.0**-50)

    def moved(self, summed: FloatArray, sizes: FloatArray, roundoff: float, smallest: float) -> FloatArray:
        """Of sums off by so much, of so large terms."""
        along = self.slope[0] / self.slope[1] * summed
        own = 8.0 * roundoff * (self.fixed[0] / self.fixed[1] + self.share * (sizes + summed))
        return np.where(self.smooth, along + own + 2.0 * smallest, along)

    def exactly(self, i: int, summed: Fraction, size: Fraction, roundoff: float, smallest: float) -> Fraction:
        """Of one unit."""
        steep, over, fixed, width, share = (Fraction(float(part[i])) for part in (*self.slope, *self.fixed, self.share))
        if not self.smooth[i]:
            return summed
        own = 8 * Fraction(roundoff) * (fixed / width + share * (size + summed))
        return steep / over * summed + own + 2 * Fraction(smallest)


__all__ = ["Activated", "opaque_units", "pre_activation_at", "pre_activation_exactly", "room_exactly", "value_exactly"]
