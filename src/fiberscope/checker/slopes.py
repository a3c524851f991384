"""How strictly increasing units carry intervals: what they give at a number, and the slopes of their secants.

``(f(z') - f(z)) / (z' - z)`` is a mean of the slopes between z and z', and so lies between the least and the largest of
them. Slopes of a softplus and of the negative part of an ELU rise, those of tanh and of a sigmoid rise up to 0 and fall
behind it: their least and largest are at the ends of an interval, at a kink, or at 0. Balls of arb enclose them.
"""

from __future__ import annotations

import numpy as np
from flint import arb

from fiberscope.checker import inverses
from fiberscope.checker.curves import ELU, LEAKY_RELU, SIGMOID, SOFTPLUS, TANH, Curves
from fiberscope.checker.inverses import Unit, above, below, precisely
from fiberscope.checker.matrices import SMALLEST_NORMAL, FloatArray, NotProvedError

FAR = 512.0
"""``exp(-FAR)`` is a float64; of numbers beyond, it is only said that outputs and slopes lie between that and 0."""


DIGITS = 128
"""Binary digits: nothing is subtracted, so that twice those of float64 leave its rounding alone."""


def images(curves: Curves, z: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(m,) what strictly increasing units give at numbers known up to errors, and bounds on how far that is off.

    Of other units 0, about which nothing is said. NotProvedError where a curve is not known, or a number not finite.
    """
    units = np.flatnonzero(curves.monotone)
    curves.check(units)
    if not (np.isfinite(z[units]) & np.isfinite(error[units])).all():
        raise NotProvedError("a unit receives numbers beyond float64")
    rounded = error > 0
    low = np.where(rounded, np.nextafter(z - error, -np.inf), z)
    high = np.where(rounded, np.nextafter(z + error, np.inf), z)
    least, most = np.zeros(len(z)), np.zeros(len(z))
    with precisely(DIGITS):
        for i, unit in curves.units(units):
            least[i], most[i] = _image(unit, float(low[i]))[0], _image(unit, float(high[i]))[1]
    value = least / 2.0 + most / 2.0
    return value, np.maximum(most - value, value - least) * (1.0 + 2.0**-50) + SMALLEST_NORMAL


def secants(curves: Curves, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(m,) bounds on the slopes of secants of strictly increasing units on ``[low, high]``; of other units 0 and 1.

    Ends may be infinite, and NaN is no end. NotProvedError where a curve is not known.
    """
    units = np.flatnonzero(curves.monotone)
    curves.check(units)
    least, most = np.zeros(len(low)), np.ones(len(low))
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    with precisely(DIGITS):
        for i, unit in curves.units(units):
            slopes = [_slope(unit, end) for end in _extremes(unit, float(low[i]), float(high[i]))]
            least[i], most[i] = min(slope[0] for slope in slopes), max(slope[1] for slope in slopes)
    return least, most


def _image(unit: Unit, z: float) -> tuple[float, float]:
    """Bounds on what a unit gives at a number."""
    least = -FAR / _scale(unit)
    if unit[0] in (SOFTPLUS, SIGMOID) and z < least:
        return 0.0, _image(unit, least)[1]
    if unit[0] == SOFTPLUS and z > -least:  # above z by what it gives at -z
        return z, float(np.nextafter(z + _image(unit, least)[1], np.inf))
    value, doubt = inverses.rounded(unit, z, 0.0)
    return value - doubt, value + doubt


def _extremes(unit: Unit, low: float, high: float) -> list[float]:
    """Where the slopes on an interval are least and largest; -0.0 stands for the left of a kink."""
    curve, _, _ = unit
    if curve in (LEAKY_RELU, ELU):
        return [low, -0.0, 0.0] if low < 0 < high else [low, high or -0.0] if low < 0 else [0.0]
    return [low, high, 0.0] if low < 0 < high else [low, high]


def _scale(unit: Unit) -> float:
    """By what a number is multiplied before its exponential is taken."""
    curve, _, beta = unit
    return 1.0 / beta if curve == ELU else beta if curve == SOFTPLUS else 1.0


def _slope(unit: Unit, z: float) -> tuple[float, float]:
    """Bounds on the slope at a number."""
    curve, alpha, beta = unit
    left, end = bool(np.signbit(z)), FAR / _scale(unit)
    if curve in (LEAKY_RELU, ELU) and not left:
        return 1.0, 1.0
    if curve == LEAKY_RELU:
        return alpha, alpha
    at = min(max(z, -end), end)
    t = arb(at) / beta if curve == ELU else arb(at) * _scale(unit)
    if curve == TANH:
        slope = (1 / t.cosh()) ** 2
    elif curve == ELU:
        slope = t.exp() * alpha / beta
    elif curve == SOFTPLUS:
        slope = 1 / (1 + (-t).exp())
    else:
        slope = 1 / (2 + t.exp() + (-t).exp())
    rising = curve == SOFTPLUS and not left  # to 1; the others fall to 0 on both sides
    return (0.0 if at != z and not rising else below(slope)), (1.0 if at != z and rising else above(slope))


__all__ = ["images", "secants"]
