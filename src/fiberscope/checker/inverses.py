"""Inverses of strictly increasing activations, enclosed by balls of python-flint's arb.

An activation g is continuous, so that ``g(z)`` lies in [u, v] if z lies between ``g^-1(u)`` and ``g^-1(v)``, and there
is no such end for u at or below its range, or v at or above it. Balls hold exact values whatever their precision is;
its ``DIGITS`` make them narrow where an output is nearer to the end of a range than float64 tells.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from fractions import Fraction
from math import inf, isinf, nextafter
from threading import Lock

from flint import arb, ctx

from fiberscope.checker.curves import ELU, LEAKY_RELU, SIGMOID, SOFTPLUS, TANH
from fiberscope.checker.matrices import NotProvedError

DIGITS = 1280
"""Binary digits: no float64 is smaller than 2^-1074, so that any precision is told from nothing."""

_alone = Lock()

Unit = tuple[int, float, float]
"""The number of a curve, and its parameters."""


@contextmanager
def precisely(digits: int = DIGITS) -> Generator[None]:
    """Balls of so many digits; one thread at a time, since flint has one precision for all."""
    with _alone, ctx.workprec(digits):
        yield


def moved(unit: Unit, z: arb, eps: float, sign: int) -> tuple[float, float]:
    """Bounds on how far z moves, up or down, until the output has moved by eps; both inf if it never does.

    NotProvedError where the ball z does not tell.
    """
    end = _inverse(unit, _value(unit, z) + sign * arb(eps))
    if end is None:
        return inf, inf
    if not end.is_finite():
        raise NotProvedError("a unit saturates too near the output to tell")
    distance = sign * (end - z)
    return max(below(distance), 0.0), above(distance)


def rounded(unit: Unit, z: float, error: float) -> tuple[float, float]:
    """What a unit gives at a number that is known up to an error, and by how much that may be off."""
    value = _value(unit, arb(z, error))
    return float(value.mid()), above(value.rad()) + 2.0**-50 * abs(float(value.mid()))


def output(unit: Unit, z: Fraction) -> Fraction:
    """What a unit gives at z, to some hundred digits."""
    mantissa, exponent = _value(unit, ball(z)).mid().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def inverse(unit: Unit, y: float, eps: float) -> tuple[float, float]:
    """Bounds on the pre-activation of ``y + eps``: both -inf, or both inf, at the ends of the range and beyond."""
    if isinf(y):
        return y, y
    output = ball(Fraction(y) + Fraction(eps))
    end = _inverse(unit, output)
    if end is None:
        beyond = -inf if output <= _ends(unit)[0] else inf
        return beyond, beyond
    if not end.is_finite():
        raise NotProvedError("a pre-activation is out of reach")
    return below(end), above(end)


def _value(unit: Unit, z: arb) -> arb:
    curve, alpha, beta = unit
    if curve == LEAKY_RELU:
        return _on_pieces(z, z * alpha, z)
    if curve == ELU:
        return _on_pieces(z, (z / beta).expm1() * alpha, z)
    if curve == SOFTPLUS:
        return (z * beta).exp().log1p() / beta
    assert curve in (TANH, SIGMOID)
    return z.tanh() if curve == TANH else 1 / (1 + (-z).exp())


def _inverse(unit: Unit, y: arb) -> arb | None:
    """None beyond the range; a ball that is not finite where y does not tell."""
    curve, alpha, beta = unit
    least, most = _ends(unit)
    if y <= least or y >= most:
        return None
    if not (y > least and y < most):
        return arb("nan")
    if curve == LEAKY_RELU:
        return _on_pieces(y, y / alpha, y)
    if curve == ELU:
        return _on_pieces(y, (y / alpha).log1p() * beta, y)
    if curve == SOFTPLUS:
        return (y * beta).expm1().log() / beta
    assert curve in (TANH, SIGMOID)
    return y.atanh() if curve == TANH else (y / (1 - y)).log()


def _ends(unit: Unit) -> tuple[float, float]:
    """The range, without its ends."""
    curve, alpha, _ = unit
    ends = {LEAKY_RELU: (-inf, inf), ELU: (-alpha, inf), SOFTPLUS: (0.0, inf), TANH: (-1.0, 1.0), SIGMOID: (0.0, 1.0)}
    return ends[curve]


def _on_pieces(at: arb, negative: arb, positive: arb) -> arb:
    """One of two images, or what holds both where the sign is not known; they meet in 0."""
    return positive if at >= 0 else negative if at < 0 else negative.union(positive)


def ball(number: Fraction) -> arb:
    """A ball that holds a rational number."""
    return arb(number.numerator) / arb(number.denominator)


def above(number: arb) -> float:
    """A float64 that no number of a finite ball exceeds, and the nearest one as a rule."""
    nearest = float(number.upper())
    for end in (nearest, nextafter(nearest, inf)):  # balls compare exactly, and are asked again after rounding
        if number <= end < inf:
            return end
    raise NotProvedError("a pre-activation is out of reach")


def below(number: arb) -> float:
    """A float64 that exceeds no number of a finite ball."""
    return -above(-number)


__all__ = ["DIGITS", "Unit", "above", "ball", "below", "inverse", "moved", "output", "precisely", "rounded"]
