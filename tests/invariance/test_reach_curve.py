"""How far inputs reach whose features may differ by more and more, beside a linear program of its own for each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog
from torch import nn

import all_regions
import fiberscope as fs
from feature_networks import inputs, network, region_of, written
from fiberscope.invariance.feature_region import feature_region, features_at, pieces_at
from fiberscope.invariance.reach_curve import reach_curve
from fiberscope.network.domains import as_polyhedron

ALLOWANCES = (1e-3, 0.02, 0.3, 5.0)


def stage_of(net: fs.Network, layer: int | None) -> int:
    return len(net.stages) - 1 if layer is None else net.placed_layers[layer].stage


def alone(net: fs.Network, x: np.ndarray, stage: int, d: np.ndarray, within: float, bounds: tuple[float, float]):
    """``max <d, x' - x>`` of one program of scipy, by the rows of the region as it evaluates them."""
    rows = written(feature_region(net, features_at(net, x, stage, within), pieces_at(net, x, stage)))
    equations = (rows.E, rows.f) if len(rows.f) else (None, None)
    found = linprog(-d, rows.G, rows.h, *equations, bounds=bounds, method="highs-ipm")
    return np.inf if found.status == 3 else -found.fun - d @ x


@pytest.mark.parametrize("name", ["dense", "conv", "residual", "maxpool", "leaky", "clip"])
@pytest.mark.parametrize("layer", [0, None])
def test_every_point_of_a_curve_is_the_optimum_of_a_program_of_its_own(name, layer):
    net = network(name)
    x, *goals = (part.ravel() for part in inputs(net.input_shape, 4, seed=2))
    stage, directions = stage_of(net, layer), [goal - x for goal in goals]
    curve = reach_curve(net, stage, x, as_polyhedron(fs.Box(0, 1), len(x)), directions, ALLOWANCES)
    expected = [[alone(net, x, stage, d, within, (0, 1)) for d in directions] for within in ALLOWANCES]
    np.testing.assert_allclose(curve, expected, rtol=1e-6, atol=1e-7)
    assert (np.diff(curve, axis=0) >= -1e-9).all()
    assert (curve[-1] > curve[0] + 1e-3).any()


@pytest.mark.parametrize("exponent", [-40, 30])
def test_units_do_not_matter(exponent):
    module, net = all_regions.network_of(1, (12, 6, 5, 3))
    x, *goals = inputs(net.input_shape, 3, seed=2)
    directions, scale = [goal - x for goal in goals], 2.0**exponent
    curve = reach_curve(net, 3, x, as_polyhedron(fs.Box(0, 1), 12), directions, ALLOWANCES)
    for part in module:
        if isinstance(part, nn.Linear):
            part.bias.data *= scale
    far = [scale * d for d in directions], [scale * within for within in ALLOWANCES]
    other = reach_curve(fs.from_torch(module), 3, scale * x, as_polyhedron(fs.Box(0, scale), 12), *far)
    np.testing.assert_allclose(other / scale**2, curve, rtol=1e-6, atol=1e-9)


def test_without_a_domain_it_may_go_on_for_ever_at_every_eps():
    net = network("dense")
    x, goal = inputs(net.input_shape, 2, seed=2)
    rows = written(region_of(net, x, 1))
    free = np.linalg.svd(np.vstack([rows.E, rows.G]))[2][-1]  # six units see twelve pixels
    curve = reach_curve(net, 1, x, as_polyhedron(None, 12), [free, goal - x, -free], ALLOWANCES)
    assert np.isinf(curve[:, [0, 2]]).all()
    expected = [alone(net, x, 1, goal - x, within, (None, None)) for within in ALLOWANCES]
    np.testing.assert_allclose(curve[:, 1], expected, rtol=1e-6)


def test_features_that_may_not_differ_give_the_same_at_every_eps():
    net = network("dense")
    x, goal = inputs(net.input_shape, 2, seed=2)
    curve = reach_curve(net, 1, x, as_polyhedron(fs.Box(0, 1), 12), [goal - x], [0.0, 0.0])
    assert curve[0, 0] == curve[1, 0] == pytest.approx(alone(net, x, 1, goal - x, 0.0, (0, 1)), rel=1e-7)
