"""Inputs with the same features that are far from each other, beside all points of a grid and all corners."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import fiberscope as fs
from feature_networks import inputs, network, one_layer
from fiberscope.errors import InputError

BOX = fs.Box(0, 1)


def nearest(point: np.ndarray, others: list[np.ndarray]) -> float:
    return min(float(np.linalg.norm(point - other)) for other in others)


def plane(seed: int, exponent: int = 0) -> tuple[fs.Network, np.ndarray, np.ndarray, float]:
    """A layer whose features leave a plane through x, and a fine grid of it within the box."""
    rng, unit = np.random.default_rng(seed), 2.0**exponent
    A, x = rng.standard_normal((2, 4)), rng.uniform(0.3, 0.7, size=4)
    A *= np.sign(A @ x)[:, None]
    free = np.linalg.svd(A)[2][2:]
    ticks = np.linspace(-2, 2, 401)
    grid = x + np.array(list(product(ticks, ticks))) @ free
    inside = grid[((grid >= 0) & (grid <= 1)).all(axis=1)]
    return one_layer(A, np.zeros(2)), unit * x, unit * inside, unit


@pytest.mark.parametrize("exponent", [0, -30, 20])
@pytest.mark.parametrize("seed", range(3))
def test_each_is_as_far_from_those_before_as_any_point_of_a_fine_grid(seed, exponent):
    net, x, grid, unit = plane(seed, exponent)
    examples = fs.far_apart_examples(net, x, 4, 0, fs.Box(0, unit), starts=8)
    before = [x]
    for e in examples:
        best = max(nearest(point, before) for point in grid)
        assert nearest(e.x, before) >= 0.99 * best  # the grid's own spacing is a hundredth
        assert e.verify(), e.verify().reason
        assert e.objective == pytest.approx(np.linalg.norm(e.x - x), rel=1e-12)
        assert not replace(e, x=e.x + 0.01 * unit).verify()
        before.append(e.x)
    assert len(examples) == 4


@pytest.mark.parametrize("name", ["dense", "residual"])
@pytest.mark.parametrize("within", [0.0, 0.01])
def test_networks_with_several_layers_and_features_that_may_differ(name, within):
    net = network(name)
    x, _ = inputs(net.input_shape, 2, seed=1)
    exact = fs.far_apart_examples(net, x, 2, 0, BOX)
    examples = fs.far_apart_examples(net, x, 2, 0, BOX, within=within)
    for e in examples:
        assert e.verify(), e.verify().reason
        assert 0 <= e.x.min() <= e.x.max() <= 1
    assert examples[0].objective >= exact[0].objective * (1 - 1e-9)
    farthest = fs.invariance_example(net, x, None, 0, BOX, objective="farthest_l2")
    assert examples[0].objective >= 0.9 * farthest.objective


def test_where_only_x_has_the_features_there_is_none_and_a_segment_has_two_ends():
    x = np.array([0.25, 0.5])
    assert fs.far_apart_examples(one_layer(np.eye(2), np.zeros(2)), x, 3, 0, BOX) == []
    segment = fs.far_apart_examples(one_layer(np.eye(2)[:1], np.zeros(1)), x, 3, 0, BOX)
    assert sorted(e.x[1] for e in segment[:2]) == pytest.approx([0, 1], abs=1e-6)
    assert segment[2].x[1] == pytest.approx(0.25, abs=1e-3) or segment[2].x[1] == pytest.approx(0.75, abs=1e-3)


def test_pixels_that_are_kept_stay_and_bad_input_is_refused():
    net, x, _, _ = plane(0)
    for e in fs.far_apart_examples(net, x, 2, 0, BOX, keep=[1]):
        assert e.x[1] == x[1]
        assert e.verify()
    with pytest.raises(InputError, match="count: expected"):
        fs.far_apart_examples(net, x, 0, 0, BOX)
    with pytest.raises(InputError, match="domain: expected one that bounds"):
        fs.far_apart_examples(net, x, 1)
    with pytest.raises(InputError, match="within: expected"):
        fs.far_apart_examples(net, x, 1, 0, BOX, within=-1.0)
