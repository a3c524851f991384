"""Features that are the same up to given numbers: what is proved holds in rational numbers, also on the way."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fuzz_features import KINDS, features, stages_of

from exact_stages import read
from feature_networks import NAMES, inputs, network
from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.near_features import Case, Claim

SHARES = (Fraction(1, 3), Fraction(1, 2), Fraction(5, 7), Fraction(1, 97), Fraction(1))


def box(n: int, size: float = 8.0) -> Domain:
    return Domain(np.full(n, -size), np.full(n, size), np.zeros((0, n)), np.zeros(0), np.zeros(n, bool))


def random_claim(rng: np.random.Generator) -> tuple[Any, tuple[int, Any], Claim]:
    """A small network of whole numbers with many kinks, and a way of up to three pieces."""
    n, depth = 3, int(rng.integers(1, 4))
    sizes, layers = [n], []
    for _ in range(depth):
        kind, m = str(rng.choice(KINDS, p=[0.4, 0.2, 0.2, 0.15, 0.05])), int(rng.integers(2, 4))
        layers.append((rng.integers(-2, 3, (m, sizes[-1])).astype(float), rng.integers(-1, 2, m).astype(float), kind))
        sizes.append(m - (kind == "maximum"))
    points = rng.integers(0, 5, (int(rng.integers(2, 5)), n)) / 4.0
    if rng.random() < 0.5:
        points = points[:1] + (points - points[:1]) * 2.0**-30
    claim = Claim(2 * depth - 1, points, box(n), np.zeros(sizes[-1]), way=True)
    return layers, (n, stages_of(layers)), claim


def differences(layers: Any, claim: Claim, shares: tuple[Fraction, ...]) -> list[Fraction]:
    """Of every feature, the largest difference at these shares of all pieces, in rational numbers."""
    points = [[Fraction(v) for v in point] for point in claim.points.tolist()]
    wanted = features(layers, points[0])
    there = [
        [a + share * (b - a) for a, b in zip(first, second, strict=True)]
        for first, second in pairwise(points)
        for share in shares
    ]
    values = [features(layers, point) for point in there]
    return [max(abs(each[i] - wanted[i]) for each in values) for i in range(len(wanted))]


def proves(given: Case) -> bool:
    try:
        given.prove()
    except NotProvedError:
        return False
    return True


@pytest.mark.parametrize("seed", range(40))
def test_bounds_hold_at_all_corners_and_between_them(seed: int) -> None:
    layers, net, claim = random_claim(np.random.default_rng(seed))
    case = Case(net, claim)
    for bound in (case.in_floats(), case.exactly()):
        for difference, most in zip(differences(layers, claim, SHARES), bound.tolist(), strict=True):
            assert difference <= Fraction(most)


@pytest.mark.parametrize("seed", range(15))
def test_at_points_alone_what_is_proved_is_what_they_differ_by(seed: int) -> None:
    layers, net, claim = random_claim(np.random.default_rng(seed))
    true = np.array([float(each) for each in differences(layers, claim, SHARES[-1:])])  # few digits: these are exact
    alone = replace(claim, within=true, way=False)
    assert proves(Case(net, alone))
    assert np.allclose(Case(net, alone).exactly(), true, rtol=1e-14, atol=0.0)
    for unit in np.flatnonzero(true):
        assert not proves(Case(net, replace(alone, within=np.where(np.arange(len(true)) == unit, true * 0.999, true))))
    assert proves(Case(net, replace(claim, within=Case(net, claim).exactly())))


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exponent", [0, -40, 30])
def test_networks_of_all_shapes_in_all_units(name: str, exponent: int) -> None:
    net, unit = network(name), 2.0**exponent
    points = unit * inputs(net.input_shape, 3, seed=4).reshape(3, -1)
    stage = len(net.stages) - 1
    values = net(points.reshape(3, *net.input_shape)).reshape(3, -1)
    apart = np.abs(values - values[0]).max(axis=0)
    enough = 1.001 * apart + 1e-15  # and what rounding does to these numbers
    claim = Claim(stage, points, box(net.inputs, 2.0 * unit), enough, way=False)
    method = Case(read(net), claim).prove()
    assert method == "float" or exponent < 0  # where biases hide what is small
    assert proves(Case(read(net), replace(claim, within=0.999 * apart))) == (not apart.any())
    near = points[:1] + 2.0**-60 * (points - points[:1])  # float64 cannot tell these apart
    case = Case(read(net), replace(claim, points=near, within=2.0**-40 * apart))
    assert (case.exactly() <= case.in_floats()).all()


def test_false_claims_are_refused() -> None:
    layers, net, claim = random_claim(np.random.default_rng(3))
    plenty = replace(claim, within=np.full_like(claim.within, 1e6))
    assert proves(Case(net, plenty))
    for changes in (
        {"within": np.full_like(claim.within, np.nan)},
        {"within": np.full_like(claim.within, np.inf)},
        {"within": -plenty.within},
        {"within": plenty.within[:-1]},
        {"stage": 99},
        {"stage": -1},
        {"points": claim.points * np.nan},
        {"points": claim.points[:, :-1]},
        {"domain": replace(claim.domain, high=np.full(3, -1.0))},
        {"domain": replace(claim.domain, kept=np.ones(3, bool))},
        {"domain": replace(claim.domain, G=np.ones((1, 3)), h=np.array([-1.0]))},
    ):
        with pytest.raises(NotProvedError):
            Case(net, replace(plenty, **changes)).prove()
    assert layers
