"""Bounds on inverses of activations, against decimal arithmetic with 400 digits."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from fiberscope.checker.curves import ELU, LEAKY_RELU, SIGMOID, SOFTPLUS, TANH, Curves
from fiberscope.checker.inverses import ball, inverse, moved, precisely
from fiberscope.checker.matrices import NotProvedError

UNITS = [(LEAKY_RELU, 0.1, 1.0), (LEAKY_RELU, 3.0, 1.0), (ELU, 1.0, 1.0), (ELU, 1.7, 0.5), (SOFTPLUS, 1.0, 2.0),
         (TANH, 1.0, 1.0), (SIGMOID, 1.0, 1.0)]  # fmt: skip
"""A curve with its parameters."""
ADDED = Decimal(2) ** -30
"""Exactly a float64."""


def value(unit: tuple[int, float, float], z: Decimal) -> Decimal:
    """The activation."""
    curve, alpha, beta = unit[0], Decimal(unit[1]), Decimal(unit[2])
    if curve == LEAKY_RELU:
        return z if z > 0 else z * alpha
    if curve == ELU:
        return z if z > 0 else alpha * ((z / beta).exp() - 1)
    if curve == SOFTPLUS:
        return (1 + (beta * z).exp()).ln() / beta
    e = (z * (2 if curve == TANH else 1)).exp()
    return (e - 1) / (e + 1) if curve == TANH else e / (1 + e)


def ends(unit: tuple[int, float, float]) -> tuple[float, float]:
    """Of the range."""
    curve, alpha, _ = unit
    bottom = {LEAKY_RELU: -np.inf, ELU: -alpha, SOFTPLUS: 0.0, TANH: -1.0, SIGMOID: 0.0}[curve]
    return bottom, 1.0 if curve in (TANH, SIGMOID) else np.inf


@pytest.mark.parametrize("unit", UNITS)
def test_bounds_enclose_the_inverse_tightly(unit: tuple[int, float, float]) -> None:
    bottom, top = ends(unit)
    with localcontext() as context, precisely():
        context.prec = 400
        for y in (0.9999999, 0.6, 0.3, 1e-3, 1e-300):
            for end in (y, -y):
                if not bottom < end + 2.0**-30 < top:
                    continue
                low, high = inverse(unit, end, 2.0**-30)
                exact = Decimal(end) + ADDED
                assert value(unit, Decimal(low)) <= exact <= value(unit, Decimal(high))
                assert high - low <= 1e-12 * max(abs(low), 1e-3)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_distances_are_bounded_from_both_sides_and_closely(unit: tuple[int, float, float], sign: int) -> None:
    bottom, top = ends(unit)
    with localcontext() as context, precisely():
        context.prec = 400
        for z in (-30.0, -5.0, -0.1, 0.0, 0.1, 5.0, 30.0):
            for eps in (1e-14, 1e-3, 0.5, 1.9):
                below, above = moved(unit, ball(Fraction(z)), eps, sign)
                aim = value(unit, Decimal(z)) + sign * Decimal(eps)
                if not Decimal(bottom) < aim < Decimal(top):
                    assert below == above == np.inf
                    continue
                assert 0 <= below <= above < np.inf
                reached = [value(unit, Decimal(z) + sign * Decimal(end)) for end in (below, above)]
                assert sign * (reached[0] - aim) <= 0 <= sign * (reached[1] - aim)
                assert above - below <= 1e-12 * above


def test_ends_of_ranges_are_open() -> None:
    tanh, sigmoid, elu, softplus = (TANH, 1.0, 1.0), (SIGMOID, 1.0, 1.0), (ELU, 0.5, 1.0), (SOFTPLUS, 1.0, 1.0)
    with precisely():
        assert inverse(tanh, 1.0, 0.0) == inverse(sigmoid, 0.5, 0.5) == (np.inf, np.inf)
        assert inverse(tanh, -0.5, -0.5) == inverse(sigmoid, -2.0, 0.0) == (-np.inf, -np.inf)
        assert inverse(elu, -0.5, 0.0) == inverse(softplus, 0.0, 0.0) == (-np.inf, -np.inf)
        assert inverse(tanh, 0.0, 0.0) == inverse(sigmoid, 0.5, 0.0) == (0.0, 0.0)
        assert inverse((LEAKY_RELU, 0.25, 1.0), -1.0, 0.0) == (-4.0, -4.0)
        assert inverse(elu, 3.0, 0.0) == (3.0, 3.0)


@pytest.mark.parametrize(
    "unit", [(0, 1.0, 1.0), (-1, 1.0, 1.0), (6, 1.0, 1.0), (LEAKY_RELU, 0.0, 1.0), (LEAKY_RELU, -1.0, 1.0),
             (LEAKY_RELU, np.nan, 1.0), (ELU, 0.0, 1.0), (ELU, 1.0, 0.0), (SOFTPLUS, 1.0, np.inf)],
)  # fmt: skip
def test_units_that_are_not_known_prove_nothing(unit: tuple[int, float, float]) -> None:
    given = Curves(np.array([unit[0]], dtype=np.int64), np.array([unit[1]]), np.array([unit[2]]))
    with pytest.raises(NotProvedError):
        given.check(np.array([0]))
