"""Same features behind clips: what is saturated may grow, what is off may shrink; against scipy and against ReLUs."""

from __future__ import annotations

from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import fiberscope as fs
from fiberscope.network.building import NetworkBuilder
from fiberscope.network.network import Network

Array = np.ndarray[Any, Any]
BOUNDS = [(0.0, 3.0), (-1.0, 2.0), (1.0, inf), (-inf, 1.0)]


def one_layer(A: Array, b: Array, low: float, high: float) -> Network:
    builder = NetworkBuilder((1, A.shape[1]))
    return builder.build(builder.clip("clip", builder.dense("fc", builder.input, A, b), low, high))


def best(A: Array, b: Array, low: float, high: float, x: Array, c: Array) -> float:
    """The largest ``c x'`` in the box [-4, 4] with the same outputs, by the definition."""
    z = A @ x + b
    between, below, above = (z > low) & (z < high), z <= low, z >= high
    inequalities = np.concatenate([A[below], -A[above]])
    sides = np.concatenate([low - b[below], b[above] - high])
    found = linprog(
        -c, A_ub=inequalities, b_ub=sides, A_eq=A[between], b_eq=z[between] - b[between], bounds=[(-4, 4)] * len(x)
    )
    assert found.status == 0
    return -float(found.fun)


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_the_best_input_with_the_outputs_of_a_clip(low: float, high: float):
    further = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        A, b = rng.integers(-2, 3, (5, 6)).astype(np.float64), rng.integers(-2, 3, 5).astype(np.float64)
        x, c = rng.integers(-2, 3, 6).astype(np.float64), rng.standard_normal(6)  # many units lie on a bound exactly
        net = one_layer(A, b, low, high)
        found = fs.invariance_example(net, x, c, 0, fs.Box(-4, 4))
        optimum = best(A, b, low, high, x, c)
        assert found.objective == pytest.approx(optimum, rel=1e-5, abs=1e-7)  # it keeps room for rounding
        assert found.objective <= optimum + 1e-9
        assert found.bound >= optimum - 1e-6
        np.testing.assert_allclose(net(found.x[None]), net(x[None]), rtol=0, atol=1e-12)
        assert found.verify(), found.verify().reason
        further += found.distance > 1e-6
    assert further >= 3


def test_what_is_constant_lets_everything_through():
    """Equal bounds: everything has the same output, and no slope changes anywhere."""
    builder = NetworkBuilder((1, 2))
    first = builder.clip("clip", builder.dense("fc", builder.input, np.array([[1.0, 2.0]])), 2.0, 2.0)
    net = builder.build(builder.relu("out", builder.dense("last", first, np.array([[3.0]]))))
    for layer in (0, 1):
        found = fs.invariance_example(net, np.zeros(2), np.ones(2), layer, fs.Box(-4, 4))
        assert found.objective == pytest.approx(8.0)
        assert found.verify(), found.verify().reason
        assert fs.optimal_over_regions(net, np.zeros(2), np.ones(2), layer, fs.Box(-4, 4)).value == pytest.approx(8.0)
    assert fs.linearize(net, np.array([2.0, 0.0]), 1).region_distance == inf


def two_ways(low: float, high: float) -> tuple[Network, Network]:
    """A clip and a layer behind it; and the same with ``clip(z) = low + relu(z - low) - relu(z - high)``."""
    rng = np.random.default_rng(1)
    A, b, B = rng.integers(-2, 3, (4, 5)) / 2.0, rng.integers(-2, 3, 4) / 2.0, rng.integers(-2, 3, (2, 4)) / 2.0
    nets: list[Network] = []
    for written in (False, True):
        builder = NetworkBuilder((1, 5))
        z = builder.dense("first", builder.input, A, b)
        if written:
            up, down = builder.scaled("up", z, 1.0, -low), builder.scaled("down", z, 1.0, -high)
            down = builder.scaled("minus", builder.relu("upper", down), -1.0)
            cut = builder.scaled("back", builder.add("sum", [builder.relu("lower", up), down]), 1.0, low)
        else:
            cut = builder.clip("clip", z, low, high)
        nets.append(builder.build(builder.relu("out", builder.dense("second", cut, B))))
    return nets[0], nets[1]


@pytest.mark.exhaustive(every=0)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.5, 0.5)])
def test_across_regions_a_clip_is_as_good_as_its_two_relus(low: float, high: float):
    clip, relus = two_ways(low, high)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, c = rng.integers(-2, 3, 5) / 2.0, rng.standard_normal(5)
        found = [fs.optimal_over_regions(net, x, c, -1, fs.Box(-1, 1)) for net in (clip, relus)]
        assert found[0].value == pytest.approx(found[1].value, abs=1e-6)
        assert found[0].verify(), found[0].verify().reason
        walked = fs.walk_regions(clip, x, c, -1, fs.Box(-1, 1))
        assert walked.value <= found[0].bound + 1e-6
        assert walked.verify(), walked.verify().reason
        x = rng.uniform(-1, 1, 5)  # on no kink, where a clip and its ReLUs are on different sides
        inside = [fs.invariance_example(net, x, c, -1, fs.Box(-1, 1)) for net in (clip, relus)]
        assert inside[0].objective == pytest.approx(inside[1].objective, rel=1e-5)  # both keep room


@pytest.mark.parametrize(("low", "high"), BOUNDS)
@pytest.mark.parametrize("unit", [1.0, 2.0**-40, 2.0**40])
def test_the_region_ends_at_the_nearer_bound(low: float, high: float, unit: float):
    rng = np.random.default_rng(3)
    A, b = rng.standard_normal((4, 3)), rng.standard_normal(4)
    net = one_layer(A, b * unit, low * unit, high * unit)
    for x in rng.standard_normal((5, 3)) * unit:
        z = A @ x + b * unit
        gaps = [np.abs(z - bound * unit) for bound in (low, high) if np.isfinite(bound)]
        expected = (np.min(gaps, axis=0) / np.linalg.norm(A, axis=1)).min()
        assert fs.linearize(net, x).region_distance == pytest.approx(expected, rel=1e-9)


def test_units_that_lie_on_a_bound_exactly_are_proved_by_exact_arithmetic():
    """The sum of 0.1, 0.2 and -0.3 as float64 stores them is t > 0, and float64 does not find it."""
    row = np.array([0.1, 0.2, -0.3])
    t = float(sum(map(Fraction, row.tolist()), Fraction(0)))
    assert Fraction(t) == sum(map(Fraction, row.tolist())) != Fraction(row.sum())
    net = one_layer(np.stack([row, -row]), np.zeros(2), -t, t)
    found = fs.invariance_example(net, np.ones(3), np.array([0.0, 0.0, -1.0]), 0, fs.Box(0, 2))
    assert found.x[2] == pytest.approx(0.0)
    assert found.verify(), found.verify().reason
