"""What outputs of strictly monotone units say of what these receive: no false claim about outputs is proved."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb

from fiberscope.checker.curves import ELU, LEAKY_RELU, SIGMOID, TANH, Curves
from fiberscope.checker.inverses import ball, inverse, moved, precisely
from fiberscope.checker.monotone import prove_outputs
from fiberscope.checker.verdicts import Claim
from plain_claims import certificate, claim, direction, floats, multipliers, system

ENDS = multipliers([0], [0.0], 0.5)
"""Both sides of the first row hold what it reads."""
AWAY, BACK = direction([], [1.0]), direction([], [-1.0])
UP, DOWN = (certificate("unbounded", 1, recession=(None, way), tangent=(None, way)) for way in (AWAY, BACK))
BOUNDED = certificate("bounded", 1, recession=(ENDS, None))


def curves(*units: int, alpha: float = 1.0, beta: float = 1.0) -> Curves:
    return Curves(np.array(units), np.full(len(units), alpha), np.full(len(units), beta))


def reasons(said: Claim, given: Curves, weight: Any = ((1.0,),)) -> list[str]:
    """Why a claim about such units without biases is not proved: in floats, and in rational numbers."""
    about = system(weight, low=-np.inf)
    return [prove_outputs(about, given, [said], rational=rational)[0][0] for rational in (False, True)]


def proved(said: Claim, given: Curves, weight: Any = ((1.0,),)) -> bool:
    return "" in reasons(said, given, weight)


def near(kind: str, written: Any, x: float, within: Any, weights: int = 1) -> Claim:
    return claim(kind, 1, written, x=[x], within=within, m=weights)


@pytest.mark.parametrize(("unit", "x"), [(TANH, 1.0), (SIGMOID, 1.0), (ELU, 0.5), (LEAKY_RELU, -2.0)])
def test_a_unit_is_bounded_while_its_output_stays_off_the_ends_of_its_range(unit: int, x: float) -> None:
    small = near("bounded", BOUNDED, x, 0.1)
    assert proved(small, curves(unit))
    assert not any(proved(near("unbounded", part, x, 0.1), curves(unit)) for part in (UP, DOWN))
    if unit in (TANH, SIGMOID):
        assert not proved(near("bounded", BOUNDED, x, 0.5), curves(unit)), "no output is above 1"
        assert proved(near("unbounded", UP, x, 0.5), curves(unit))
        assert not proved(near("unbounded", DOWN, x, 0.5), curves(unit))


def test_sides_of_outputs_are_those_of_what_is_received() -> None:
    above = near("unbounded", DOWN, 1.0, [[np.inf], [0.1]])
    assert proved(above, curves(TANH))
    assert not proved(near("unbounded", UP, 1.0, [[np.inf], [0.1]]), curves(TANH))
    assert not proved(near("unbounded", DOWN, 1.0, [[0.1], [np.inf]]), curves(TANH))
    given = claim("unbounded", 1, UP, y=([0.5], [0.75]), within=0.25)
    assert proved(given, curves(TANH)), "1 is no output"
    assert not proved(replace(given, certificate=DOWN.to_bytes()), curves(TANH))
    outside = certificate("unbounded", 1, recession=(None, AWAY), tangent=(None, direction([], [0.0])))
    assert not proved(replace(given, certificate=outside.to_bytes()), curves(TANH)), "tanh 0 is below 1/4"


def test_a_precision_of_one_side_alone_is_none() -> None:
    """Of x and of -x no more than at the sample: it is the only input."""
    said = near("bounded", BOUNDED, 1.0, [[0.0, 0.0], [0.1, 0.1]], 2)
    assert not proved(said, curves(TANH, TANH), ((1.0,), (-1.0,)))
    assert not proved(near("bounded", BOUNDED, 1.0, [[0.1, 0.1]], 2), curves(TANH))


@pytest.mark.parametrize("within", [np.full(1, 0.1), np.full((1, 2, 1), 0.1), np.full((2, 2), 0.1), np.array(0.1)])
def test_precisions_of_another_shape_prove_nothing(within: Any) -> None:
    said = near("bounded", BOUNDED, 1.0, 0.1)
    assert not proved(replace(said, within=within), curves(TANH))
    assert not proved(said, curves(TANH, TANH))


def test_an_output_beyond_the_range_is_that_of_no_input_and_nothing_else() -> None:
    empty = claim("empty", -1, certificate("empty"), y=[1.5])
    assert proved(empty, curves(TANH))
    assert proved(empty, curves(SIGMOID))
    assert not proved(empty, curves(ELU))
    assert not proved(replace(empty, dimensions=(0, 0)), curves(TANH))
    for written in (UP, DOWN):
        assert not proved(claim("unbounded", 1, written, y=[1.5]), curves(TANH))
        assert not proved(claim("unbounded", 1, written, y=[-1.5]), curves(TANH))
        assert not proved(replace(claim("unbounded", 1, written, y=[1.5]), dimensions=(-1, -1)), curves(TANH))
    inside = claim("empty", -1, certificate("empty"), y=[0.75], within=0.5)
    assert not proved(inside, curves(TANH)), "1/2 is the output of some input"


def test_ends_that_are_rounded_are_proved_on_both_sides() -> None:
    """Neighbouring numbers are outputs of different inputs, between which there is one float64."""
    low = 0.5
    high = float(np.nextafter(low, 1.0))
    with precisely():
        unit = (TANH, 1.0, 1.0)
        meet = inverse(unit, low, 0.0)[1]
        assert inverse(unit, high, 0.0)[0] == meet, "the ends rounded outwards meet"
    point = direction([0, 1], ([int(meet * 2**60)], 2**60))
    both = multipliers([0, 1], [1.0, -1.0], 0.0)
    written = certificate("singleton", 0, tangent=(both, point))
    said = claim("singleton", 0, written, y=[low, high])
    assert not proved(said, curves(TANH, TANH), ((1.0,), (1.0,)))
    plain = replace(said, output=np.array([[inverse(unit, low, 0.0)[0], meet], [meet, inverse(unit, high, 0.0)[1]]]))
    assert "" in [
        prove_outputs(system(((1.0,), (1.0,)), low=-np.inf), curves(0, 0), [plain], rational=exact)[0][0]
        for exact in (False, True)
    ], "what is rounded outwards is one point"


def test_an_interval_is_no_point_though_one_float_lies_between_its_ends() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1.0))
    with precisely():
        between = inverse((TANH, 1.0, 1.0), low, 0.0)[1]
    point = direction([0], ([int(between * 2**60)], 2**60))
    written = certificate("singleton", 0, tangent=(multipliers([0], [0.0], 0.5), point))
    assert not proved(claim("singleton", 0, written, y=([low], [high])), curves(TANH))
    plain = claim("singleton", 0, written, y=[between])
    assert proved(plain, curves(0))


def test_empty_is_proved_of_the_ends_rounded_outwards() -> None:
    """Some x has ``tanh x <= y`` and ``3 x >= c``, but no float64 below the end is as large as ``c / 3``."""
    for k in range(1, 200):
        y = 0.5 + k * 2.0**-12
        with precisely():
            exact = arb(y).atanh()
            down = inverse((TANH, 1.0, 1.0), y, 0.0)[0]
            c = float(np.nextafter(3.0 * down, 9.0))
            if Fraction(c) > 3 * Fraction(down) and exact >= ball(Fraction(c) / 3):
                break
    given = Curves(np.array([TANH, LEAKY_RELU]), np.ones(2), np.ones(2))
    weights = multipliers([0, 1], ([3, -1], 1))
    said = claim("empty", -1, certificate("empty", tangent=(weights, None)), y=([-0.5, c], [y, np.inf]))
    assert not proved(said, given, ((1.0,), (3.0,)))
    weights = multipliers([0, 1], ([-3, 1], 1))
    turned = claim("empty", -1, certificate("empty", tangent=(weights, None)), y=([-y, -np.inf], [0.5, -c]))
    assert not proved(turned, given, ((1.0,), (3.0,)))
    assert proved(replace(turned, output=floats([[-y, -np.inf], [0.5, -c - 1e-9]])), given, ((1.0,), (3.0,)))
    assert proved(replace(said, output=floats([[-0.5, c + 1e-9], [y, np.inf]])), given, ((1.0,), (3.0,)))


def test_a_precision_counts_once() -> None:
    """``tanh x >= 1/4`` and ``x <= 1/5`` have no solution; without the precision in what is received, they would."""
    point, ends = direction([], [0.1]), multipliers([0, 1], [-1.0, 1.0])
    written = certificate("bounded", 1, tangent=(None, point), recession=(ends, None))
    known = [[0.25, 0.0], [0.25, 0.0]]
    said = claim("bounded", 1, written, y=([0.5, -np.inf], [0.75, 0.2]), within=known)
    assert not proved(said, curves(TANH, LEAKY_RELU), ((1.0,), (1.0,)))
    inside = certificate("bounded", 1, tangent=(None, direction([], [0.4])), recession=(ends, None))
    wider = claim("bounded", 1, inside, y=([0.5, -np.inf], [0.75, 0.5]), within=known)
    assert proved(wider, curves(TANH, LEAKY_RELU), ((1.0,), (1.0,)))


def test_balls_around_a_kink_hold_both_pieces() -> None:
    with precisely():
        below, above = moved((LEAKY_RELU, 0.125, 1.0), arb(0, 0.25), 1.0, -1)
        # from 1/4 it takes 25/4, and from -1/4 it takes 8
        assert below <= 6.25
        assert above >= 8.0


@pytest.mark.parametrize(
    "changed", [(0, 1.0, 1.0), (-1, 1.0, 1.0), (6, 1.0, 1.0), (LEAKY_RELU, -1.0, 1.0), (ELU, 1.0, np.inf)]
)
def test_units_of_no_known_curve_prove_nothing(changed: tuple[int, float, float]) -> None:
    given = Curves(np.array([changed[0]]), np.array([changed[1]]), np.array([changed[2]]))
    if changed[0]:
        assert not proved(near("bounded", BOUNDED, 1.0, 0.1), given)


def test_how_far_preimages_reach_is_what_is_received() -> None:
    """From 1/2 up to atanh(tanh(1/2) + 1/4), and from there down."""
    written = certificate("bounded", 1, recession=(multipliers([0], [0.0], 0.999), None))
    said, about = near("bounded", written, 0.5, 0.25), system([[1.0]], low=-np.inf)
    ((reason, size),) = prove_outputs(about, curves(TANH), [said], [floats([0.5])])
    assert reason == ""
    assert np.arctanh(np.tanh(0.5) + 0.25) - 0.5 <= size <= 0.4
