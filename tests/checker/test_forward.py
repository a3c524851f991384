"""Bounds on what stages give for a box of inputs hold every value, and are tight where they can be."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from exact_stages import by_hand, read
from feature_networks import NAMES, inputs, network
from fiberscope.checker.forward import bounds
from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.stage import Stage, affine_stage, relu_stage


def exact(net: fs.Network, x: Any) -> dict[int, list[Fraction]]:
    found = {-1: [Fraction(v) for v in x.ravel().tolist()]}
    for number, part in enumerate(net.stages):
        found[number] = by_hand(part, [found[source] for source in net.sources(number)])
    return found


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0.0, 1e-9, 0.3])
def test_every_value_is_inside(name: str, width: float) -> None:
    net, rng = network(name), np.random.default_rng(0)
    x = inputs(net.input_shape, 1)[0].ravel()
    low, high = x - width, x + width
    found = bounds(read(net), low, high)
    corners = (low, high, np.where(rng.random(len(x)) < 0.5, low, high), np.clip(rng.uniform(low, high), low, high))
    for point in corners:
        for number, values in exact(net, point).items():
            if number >= 0:
                below, above = found[number]
                assert all(Fraction(a) <= v <= Fraction(b) for a, v, b in zip(below, values, above, strict=True))
    widths = [float((above - below).max()) for below, above in found.values()]
    assert max(widths) <= 200 * width + 1e-13


@pytest.mark.parametrize("power", [-300, -20, 20, 300])
def test_scaled_networks_have_scaled_bounds(power: int) -> None:
    rng = np.random.default_rng(1)
    W, V, b = rng.standard_normal((5, 4)), rng.standard_normal((3, 5)), rng.standard_normal(5)
    ends = []
    for k in (0, power):
        stages = (affine_stage("a", Dense(W, b * 2.0**k)), relu_stage("r", 5), affine_stage("b", Dense(V)))
        ends.append(bounds(read(fs.Network(stages, (4,))), np.full(4, -(2.0**k)), np.full(4, 2.0**k), 2)[2])
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(other / 2.0**power, one, rtol=1e-13)


@pytest.mark.parametrize("kind", list(PointwiseKind))
@pytest.mark.parametrize("alpha", [1.5, -0.5])
def test_activations_of_all_kinds_are_bounded(kind: PointwiseKind, alpha: float) -> None:
    rng = np.random.default_rng(2)
    slope = rng.choice([-0.5, 0.0, 0.1, 2.0], 400) if kind is PointwiseKind.LEAKY_RELU else None
    activation = Pointwise(kind, 400, alpha=min(alpha, 0.5) if kind is PointwiseKind.CLIP else alpha, slope=slope)
    low = rng.normal(scale=3.0, size=400) * rng.choice([0.0, 1.0, 10.0], 400)
    high = low + rng.exponential(size=400) * rng.choice([0.0, 1.0, 10.0], 400)
    net = fs.Network((Stage("s", activation=activation),), (400,))
    below, above = bounds(read(net), low, high)[0]
    for share in np.linspace(0.0, 1.0, 41):
        values = net((low + share * (high - low))[None])[0]
        slack = 1e-15 * (1.0 + np.abs(values))  # what evaluating in float64 may be off
        assert (below - slack <= values).all()
        assert (values <= above + slack).all()


def test_overflow_is_no_bound() -> None:
    stages = (affine_stage("a", Dense([[1e308, 1e308], [1e308, -1e308]])), relu_stage("r", 2))
    found = bounds(read(fs.Network(stages, (2,))), np.full(2, 1.0), np.full(2, 2.0))
    assert found[0][1][0] == np.inf
    assert found[1][1][0] == np.inf
    assert list(bounds(read(network("residual")), np.zeros(12), np.ones(12), 1)) == [0, 1]
