"""A false claim of same features for each condition: what only that condition refuses.

In most of them a pixel u ends near the domain's side, so that it is not moved, and nothing but x could make up for its
change of 1.5 r, where x cannot, or not without another feature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from exact_stages import read
from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.same_features import Case, Claim, Finding
from fiberscope.network.activations import Maximum
from fiberscope.network.affine import Dense
from fiberscope.network.stage import Stage, affine_stage, relu_stage

R = 2.0**-20
"""The radius."""


def line(*rows: Any) -> fs.Network:
    """One affine map."""
    return fs.Network((affine_stage("a", Dense(np.array(rows, dtype=np.float64))),), (len(rows[0]),))


def proved(net: fs.Network, x: Any, there: Any, radius: float = R, segment: bool = True, **changes: Any) -> bool:
    n, last = net.inputs, len(net.stages) - 1
    points = [np.asarray(point, dtype=np.float64) for point in (x, there)]
    free = np.zeros((0, n)), np.zeros(0), np.zeros(n, dtype=np.bool_)
    claim = Claim(last, *points, replace(Domain(np.zeros(n), np.ones(n), *free), **changes), radius, segment)
    try:
        Case(read(net), claim).prove(Finding(last, radius))
    except NotProvedError:
        return False
    return True


SUM = line([1.0, 0.5])
"""x + u / 2."""
X, THERE = (0.5, 1.5 * R), (0.5, 0.0)


def test_what_x_can_make_up_for_is_proved() -> None:
    assert proved(SUM, X, THERE)
    assert proved(SUM, (0.5, 1.0 - 1.5 * R), (0.5, 1.0))


def test_x_is_kept() -> None:
    assert not proved(SUM, X, THERE, kept=np.array([True, False]))


def test_a_kept_pixel_that_nothing_sees_has_changed() -> None:
    unseen = line([1.0, 0.0])
    assert proved(unseen, (0.5, 0.25), (0.5, 0.75), 0.0)
    assert not proved(unseen, (0.5, 0.25), (0.5, 0.75), 0.0, kept=np.array([False, True]))


def test_points_outside_of_a_half_space_are_none() -> None:
    unseen, G = line([1.0, 0.0]), np.array([[0.0, 1.0]])
    for x, there in (((0.5, 0.25), (0.5, 0.75)), ((0.5, 0.75), (0.5, 0.25))):
        assert proved(unseen, x, there, 0.0, G=G, h=np.array([0.75]))
        assert not proved(unseen, x, there, 0.0, G=G, h=np.array([0.5]))


@pytest.mark.parametrize("side", [0.0, 1.0])
def test_x_is_at_its_bound(side: float) -> None:
    """u moves by r and makes up for two thirds, x would have to leave the domain for the rest."""
    out = 1.5 * R if side == 0 else 1.0 - 1.5 * R
    assert not proved(SUM, (side, side), (side, out))


def test_x_is_at_a_half_space() -> None:
    G, h = np.array([[1.0, 0.0]]), np.array([0.5])
    assert not proved(SUM, X, THERE, G=G, h=h)
    assert proved(SUM, X, THERE, G=G, h=h + 2.0 * R)


def test_x_would_have_to_move_further() -> None:
    assert not proved(line([0.25, 0.5]), X, THERE)


def test_features_ask_for_opposite_changes_of_x() -> None:
    """By equal rows, and by rows that are multiples of each other."""
    assert not proved(line([1.0, 0.5], [1.0, -0.5]), X, THERE)
    assert not proved(line([1.0, 0.5], [2.0, -0.5]), X, THERE)


def test_rows_that_are_equal_but_for_their_rounding() -> None:
    """x, and (1 + 2^-60) x - 2^-61 u, in which u is off by as much as x is: both hold at the source alone."""
    first, second = np.array([[1.0, 0.0], [2.0**-60, -(2.0**-61)]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    net = fs.Network((affine_stage("a", Dense(first)), affine_stage("b", Dense(second))), (2,))
    assert not proved(net, (0.5 + 0.75 * R, 1.5 * R), (0.5, 0.0))


def test_rows_that_cancel_but_for_their_rounding() -> None:
    """``2^60 (1 + 2^-54 + ... + 2^-54 - (1 + 2^-46)) x + u``: the first part is 0, exactly, and is not in float64."""
    tiny, seen = np.full(256, 2.0**-54), 0
    for seed in range(5):
        terms = np.random.default_rng(seed).permutation(np.concatenate([[1.0], tiny, [-1.0 - 2.0**-46]]))
        first = np.block([[terms[:, None], np.zeros((len(terms), 1))], [np.zeros((1, 1)), np.full((1, 1), 2.0**-60)]])
        second = np.full((1, len(first)), 2.0**60)
        seen += bool((second @ first)[0, 0])
        net = fs.Network((affine_stage("a", Dense(first)), affine_stage("b", Dense(second))), (2,))
        assert not proved(net, X, THERE)
    assert seen >= 1


def with_u(*units: Stage, factor: float) -> fs.Network:
    """``factor h - u`` of what the last of these stages gives."""
    both = Stage("sum", (Dense(np.array([[factor]])), Dense(np.array([[0.0, -1.0]]))), sources=(len(units) - 1, -1))
    return fs.Network((*units, both), (2,))


RELU = with_u(affine_stage("a", Dense([[1.0, 0.0]], [-0.5])), relu_stage("r", 1), factor=4.0)
LARGER = with_u(
    affine_stage("a", Dense([[1.0, 0.0], [0.0, 0.0]], [-0.5, 0.0])),
    Stage("max", activation=Maximum(np.array([[0, 1]]), 2)),
    factor=4.0,
)


@pytest.mark.parametrize("net", [RELU, LARGER])
def test_a_unit_ends_before_x_has_made_up_for_it(net: fs.Network) -> None:
    """``4 relu(x - 1/2) - u``: 3/64 further down the features would be as small as at the source, but for the kink."""
    there = (0.5 + 2.0**-6, 0.0)
    assert not proved(net, (0.4, 0.125), there, 0.05, segment=False)
    assert proved(net, (0.5 + 2.0**-7, 0.0), there, 0.009, segment=False)


PIECES = affine_stage("a", Dense([[1.0], [-1.0]], [-0.5, 0.5]))
DISTANCE = {
    "sum": fs.Network((PIECES, relu_stage("r", 2), affine_stage("sum", Dense([[1.0, 1.0]]))), (1,)),
    "maximum": fs.Network(
        (PIECES, Stage("max", activation=Maximum(np.array([[0, 1]]), 2)), affine_stage("b", Dense([[2.0]]))), (1,)
    ),
}


@pytest.mark.parametrize("name", DISTANCE)
def test_features_that_are_the_same_at_both_ends_alone(name: str) -> None:
    """|x - 1/2| at 1/4 and at 3/4."""
    assert proved(DISTANCE[name], [0.25], [0.75], 0.0, segment=False)
    assert not proved(DISTANCE[name], [0.25], [0.75], 0.0)


def test_no_bound_holds_where_small_numbers_are_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fiberscope.checker.same_features.flushes_subnormal_numbers", lambda: True)
    assert not proved(SUM, X, THERE)
