"""Numbers that vanish in float64 are not 0: of residuals, corrections, weights, relations and units."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from fiberscope.checker import matrices
from fiberscope.checker.verdicts import prove
from plain_claims import certificate, claim, direction, floats, multipliers, proved, radius, relations, scaling, system

REFUSED = (False, False)
ONES = np.ones(2)


def test_a_relation_whose_terms_vanish() -> None:
    """Two independent rows, said to be parallel by factors that make float64 zeros of both."""
    layer = system([[0.25, 0.25], [0.25, 0.125]], [1.0, 1.0])
    line = direction([0, 1], [1.0, -1.0], 0.01, [0])
    said = certificate(
        "unbounded", 1, tangent=(None, line), recession=(None, line), relations=relations(([1, 0], [5e-324, -5e-324]))
    )
    assert proved(layer, claim("unbounded", 1, said, x=[0.0, 0.0], m=2)) == REFUSED


@pytest.mark.parametrize(("held", "row"), [(1000, 0), (100, -520), (600, -520)])
def test_a_correction_that_vanishes(held: int, row: int) -> None:
    """A direction off the equality x_2 = 0 by less than float64 has, on whose correct side only 0 is."""
    layer = system([[0.0, 2.0**held], [2.0**row, 2.0**row], [-(2.0**row), 2.0**row]], [1.0, 0.0, 0.0])
    off = direction([0], ([0, -1], 2**5000), 2.0 ** (held - 1))
    for kind, domain in (("unbounded", layer), ("bounded", replace(layer, box_low=-ONES, box_high=ONES))):
        said = certificate(kind, 1, tangent=(None, off), recession=(None, off))
        assert proved(domain, claim(kind, 1, said, x=[0.0, 0.0], m=3)) == REFUSED


def test_a_correction_of_weights_that_vanishes() -> None:
    """Weights that leave a residual cannot be told from 0, whatever they are divided by."""
    layer = system([[2.0**1000], [2.0**1001]], [0.0, 0.0])  # x <= 0 twice: a ray
    weights = multipliers([0, 1], ([1, 1], 2**9000), 2.0**999)
    said = certificate("singleton", 0, tangent=(weights, None))
    assert proved(layer, claim("singleton", 0, said, x=[0.0], m=2)) == REFUSED


def test_a_radius_of_weights_whose_products_vanish() -> None:
    """-0.45 <= x <= 0.1; every product of such a weight with a side is 0 in float64."""
    layer = system([[1.0], [-1.0]], [-0.1, -0.45])
    tiny = multipliers([0, 1], [5e-324, 5e-324], 1.41)
    said = claim("bounded", 1, certificate("bounded", 1, recession=(tiny, None)), x=[0.0], m=2)
    assert proved(layer, said) == (False, True)
    assert radius(layer, said, floats([0.0])) >= 0.45


@pytest.mark.parametrize("by_output", [True, False])
def test_a_radius_in_units_that_are_none_in_float64(by_output: bool) -> None:
    """-2**-100 <= x <= 2**-100, proved with a coordinate in units of 2**-1100."""
    layer = system([[2.0**200], [-(2.0**200)]], [2.0**101, 2.0**101])
    units = scaling([0, 0], [-1100])
    weights = multipliers([0, 1], [1.0, 1.0], 2.0**-901)
    strict = direction([], [0.0])
    said = certificate("bounded", 1, tangent=(None, strict), recession=(weights, None), scaling=units)
    asked = {"y": [2.0**101, 2.0**101]} if by_output else {"x": [0.0], "m": 2}
    bounded = claim("bounded", 1, said, within=2.0**100, **asked)
    assert any(proved(layer, bounded))
    assert radius(layer, bounded, floats([0.0])) >= 2.0**-100


def test_a_distance_in_units_that_are_none_in_float64() -> None:
    layer = system([[2.0**200]], [1.0])
    said = certificate("singleton", 0, scaling=scaling([0], [-1100]))
    point = claim("singleton", 0, said, x=[0.0], m=1)
    assert any(proved(layer, point))
    assert radius(layer, point, floats([2.0**-100])) >= 2.0**-100


def test_a_distance_that_vanishes() -> None:
    """In units of 2**-600, the center is 2**-590 beside the input."""
    layer = system([[2.0**700]], [1.0])
    said = certificate("singleton", 0, scaling=scaling([0], [-600]))
    point = claim("singleton", 0, said, x=[0.0], m=1)
    assert any(proved(layer, point))
    assert radius(layer, point, floats([0.0])) == 0
    assert radius(layer, point, floats([2.0**-1000])) >= 2.0**-1000
    assert radius(layer, point, floats([2.0**-1022 * 2.0**-40])) > 0


def test_a_radius_around_another_center_than_the_input() -> None:
    layer = system([[1.0], [-1.0]], [-1.0, -1.0])
    said = claim(
        "bounded", 1, certificate("bounded", 1, recession=(multipliers([0, 1], [1.0, 1.0], 1.0), None)), x=[0.0], m=2
    )
    assert 1 <= radius(layer, said, floats([0.0])) < 1.5
    assert radius(layer, said, floats([9.0])) >= 10


@pytest.mark.parametrize("bounds", [(0, 0), (3, 5), (-1, 5), (-1, 0)])
def test_an_empty_preimage_has_no_dimension(bounds: tuple[int, int]) -> None:
    layer = system([[1.0]])
    said = certificate("empty")
    assert proved(layer, claim("empty", None, said, y=[-1.0])) == (True, True)
    assert proved(layer, claim("empty", None, said, y=[-1.0], bounds=bounds)) == REFUSED
    assert proved(layer, claim("empty", None, said, y=[-1.0], bounds=(-1, -1))) == (True, True)


def test_exponents_that_are_no_exponents() -> None:
    layer = system([[0.0]], [-1.0])
    least = -(2**63)
    for rows, columns in (([least], [0]), ([0], [least]), ([4201], [0]), ([0], [-4201])):
        said = certificate("unbounded", 1, counted=[0], scaling=scaling(rows, columns))
        reasons = prove(layer, [claim("unbounded", 1, said, x=[0.0], m=1)])
        assert "range" in reasons[0]


@pytest.mark.parametrize("exact", [False, True])
def test_a_claim_that_fails_takes_no_other_with_it(exact: bool) -> None:
    """Samples share a certificate, which holds two coordinates at 0 where one of them lies, and only there."""
    layer = system([[1.0, 1.0, 0.0]], box=(0.0, np.inf))
    ray, weights = direction([0, 1, 2], [0.0, 0.0, 1.0]), multipliers([0, 1, 2], [1.0, 0.0, 0.0])
    for units in (None, scaling([0], [0, 0, 1000])):
        said = certificate("unbounded", 1, tangent=(weights, ray), recession=(None, ray), scaling=units)
        inputs = ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0**-1000], [0.0, 0.0, 3.0])
        claims = [claim("unbounded", 1, said, x=x, m=1) for x in inputs]
        alone = [prove(layer, [each], exact=exact)[0] == "" for each in claims]
        assert alone == [True, False, units is None, True]
        assert [reason == "" for reason in prove(layer, claims, exact=exact)] == alone
        assert [reason == "" for reason in prove(layer, claims[::-1], exact=exact)] == alone[::-1]


def test_bounds_that_underflow_stay_bounds() -> None:
    for low in range(-560, -480, 7):
        for part in (1.0, 1.1, 1.9):
            row, distance, large = part * 2.0**low, part * 2.0 ** (-1064 - low), part * 2.0 ** (600 + low)
            shift = matrices.shift_above(np.array([row]), distance)[0]
            assert Fraction(float(shift)) >= Fraction(row) * Fraction(distance)
            assert Fraction(matrices.distance_above(2.0**-900 * part, large)) * Fraction(large) >= Fraction(
                2.0**-900 * part
            )
            assert Fraction(matrices.distance_above(2.0**-1020, 2.0**900 * part)) > 0
