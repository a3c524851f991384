"""Bounds on inverses of activations, against decimal arithmetic with 400 digits."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.monotone import LEAKY_RELU, SIGMOID, TANH, Curves, _distance, _inverse

ADDED = Decimal(2) ** -30
"""Exactly a float64."""


def value(curve: int, slope: float, z: Decimal) -> Decimal:
    """The activation."""
    if curve == LEAKY_RELU:
        return z if z > 0 else z * Decimal(slope)
    e = (z * (2 if curve == TANH else 1)).exp()
    return (e - 1) / (e + 1) if curve == TANH else e / (1 + e)


@pytest.mark.parametrize(("curve", "slope"), [(LEAKY_RELU, 0.1), (LEAKY_RELU, 3.0), (TANH, 1.0), (SIGMOID, 1.0)])
def test_bounds_enclose_the_inverse_tightly(curve: int, slope: float) -> None:
    with localcontext() as context:
        context.prec = 400
        for y in (0.9999999, 0.6, 0.3, 1e-3, 1e-300):
            for end in (y, -y) if curve != SIGMOID else (y,):
                low, high = _inverse(curve, slope, end, 2.0**-30)
                exact = Decimal(end) + ADDED
                assert value(curve, slope, Decimal(low)) <= exact <= value(curve, slope, Decimal(high))
                assert high - low <= 1e-12 * max(abs(low), 1e-3)


@pytest.mark.parametrize(("curve", "slope"), [(LEAKY_RELU, 0.1), (LEAKY_RELU, 3.0), (TANH, 1.0), (SIGMOID, 1.0)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_distances_are_from_above_and_near(curve: int, slope: float, sign: int) -> None:
    bottom = {LEAKY_RELU: -np.inf, TANH: -1.0, SIGMOID: 0.0}[curve]
    with localcontext() as context:
        context.prec = 400
        for z in (-30.0, -5.0, -0.1, 0.0, 0.1, 5.0, 30.0):
            for eps in (1e-14, 1e-3, 0.5, 1.9):
                distance = _distance(curve, slope, Fraction(z), eps, sign)
                aim = value(curve, slope, Decimal(z)) + sign * Decimal(eps)
                if not (curve == LEAKY_RELU or Decimal(bottom) < aim < 1):
                    assert distance == np.inf
                    continue
                assert distance < np.inf
                for share, beyond in ((1.0, True), (1.0 - 1e-6, False)):
                    moved = value(curve, slope, Decimal(z) + sign * Decimal(distance) * Decimal(share))
                    assert (sign * (moved - aim) >= 0) == beyond


def test_ends_of_ranges_are_open() -> None:
    assert _inverse(TANH, 1.0, 1.0, 0.0) == _inverse(SIGMOID, 1.0, 0.5, 0.5) == (np.inf, np.inf)
    assert _inverse(TANH, 1.0, -0.5, -0.5) == _inverse(SIGMOID, 1.0, -2.0, 0.0) == (-np.inf, -np.inf)
    assert _inverse(TANH, 1.0, 0.0, 0.0) == _inverse(SIGMOID, 1.0, 0.5, 0.0) == (0.0, 0.0)
    assert _inverse(LEAKY_RELU, 0.25, -1.0, 0.0) == (-4.0, -4.0)


@pytest.mark.parametrize("curves", [(0, 1.0), (4, 1.0), (LEAKY_RELU, 0.0), (LEAKY_RELU, -1.0), (LEAKY_RELU, np.nan)])
def test_units_that_are_not_known_prove_nothing(curves: tuple[int, float]) -> None:
    given = Curves(np.array([curves[0]], dtype=np.int64), np.array([curves[1]]))
    with pytest.raises(NotProvedError):
        given.check(np.array([0]))
