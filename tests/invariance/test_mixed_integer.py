"""The best input over all regions by a mixed-integer program, against one program of scipy per activation pattern."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from all_regions import best_of_all_regions, cases
from fiberscope.invariance.across_regions import problem
from fiberscope.invariance.bound_tightening import tightened
from fiberscope.invariance.milp_encoding import milp_encoding
from fiberscope.invariance.mixed_integer import Ended, optimal_over_regions
from fiberscope.invariance.stage_bounds import box_of, interval_bounds


@pytest.mark.exhaustive
@pytest.mark.parametrize(("widths", "layer"), [((6, 5, 3, 2), 1), ((5, 4, 3, 2, 2), 2), ((7, 6, 2, 2), 1)])
def test_the_optimum_is_that_of_all_patterns(widths, layer):
    beyond = 0
    for module, net, x, c in cases(6, widths):
        found = optimal_over_regions(net, x, c, layer, fs.Box(0, 1))
        best = best_of_all_regions(module, x, c, layer)
        assert found.status is Ended.OPTIMAL
        assert found.value == pytest.approx(best, abs=1e-6)
        assert found.value <= found.bound <= found.value + 1e-5
        in_region = fs.invariance_example(net, x, c, layer, fs.Box(0, 1)).objective
        beyond += best > in_region + 1e-6
        with torch.no_grad():
            values = [module[: 2 * layer + 2](torch.tensor(point)).numpy() for point in (x, found.x)]
        np.testing.assert_allclose(values[1], values[0], atol=1e-12)
        assert found.verify(), found.verify().reason
        assert found.distance == pytest.approx(float(np.linalg.norm(found.x - x)))
    assert beyond >= 1  # else the region of x would do


def test_leaky_units_clips_maxima_and_residual_sums():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(3, 2)

        def forward(self, x):
            x = nn.functional.leaky_relu(self.first(x), 0.2)
            x = torch.clamp(self.inner(x) + x, -0.6, 0.7)
            return torch.relu(self.last(torch.nn.functional.max_pool1d(x[:, None], 2).flatten(1)))

    for seed in range(3):
        torch.manual_seed(seed)
        module = Block().double().eval()
        net = fs.from_torch(module, input_shape=(6,))
        generator = np.random.default_rng(seed)
        x, c = generator.uniform(-1, 1, size=6), generator.standard_normal(6)
        found = optimal_over_regions(net, x, c, -1, fs.Box(-2, 2))
        assert found.optimal
        with torch.no_grad():
            values = module(torch.tensor(np.stack([x, found.x]))).numpy()
            # nothing random is better: points of the box whose features happen to be the same, if they are all cut off
            points = generator.uniform(-2, 2, size=(20_000, 6))
            same = (module(torch.tensor(points)).numpy() == values[0]).all(axis=1)
        np.testing.assert_allclose(values[1], values[0], atol=1e-12)
        assert float((points[same] @ c).max(initial=-np.inf)) <= found.bound + 1e-9
        assert found.value >= fs.invariance_example(net, x, c, -1, fs.Box(-2, 2)).objective - 1e-7


def test_bounds_hold_for_all_inputs_with_the_features():
    """Tightened bounds contain what every stage gives on ways with the same features, and are no wider than before."""
    for _, net, x, c in cases(4, (6, 8, 8, 3, 2)):
        asked = problem(net, x, c, 2, fs.Box(0, 1), objective="inner_product", arithmetic=None)
        wide = interval_bounds(asked, {-1: box_of(asked.polyhedron)})
        bounds = tightened(asked, wide)
        points = torch.tensor(np.stack([x, optimal_over_regions(net, x, c, 2, fs.Box(0, 1)).x]))
        for number, values in net.stage_outputs(points):
            if number in bounds:
                low, high = bounds[number]
                assert (values.numpy() >= low - 1e-9).all()
                assert (values.numpy() <= high + 1e-9).all()
                assert (high - low <= wide[number].high - wide[number].low + 1e-12).all()
        assert len(milp_encoding(asked, bounds).choices) < len(milp_encoding(asked, wide).choices)


def test_a_limit_leaves_a_bound_that_holds():
    module, net, x, c = list(cases(3, (12, 16, 16, 3, 2)))[1]
    full = optimal_over_regions(net, x, c, 2, fs.Box(0, 1))
    assert full.optimal
    assert full.nodes > 1
    cut = optimal_over_regions(net, x, c, 2, fs.Box(0, 1), max_nodes=0)
    assert cut.status is Ended.NODES
    assert cut.value <= full.value + 1e-6
    assert cut.bound >= full.value - 1e-6
    assert cut.gap > full.gap
    with torch.no_grad():
        values = [module[:6](torch.tensor(point)).numpy() for point in (x, cut.x)]
    np.testing.assert_allclose(values[1], values[0], atol=1e-12)
    timed = optimal_over_regions(net, x, c, 2, fs.Box(0, 1), seconds=1e-3)
    assert timed.status is Ended.TIME
    assert timed.bound >= full.value - 1e-6


def test_the_output_and_half_spaces():
    for module, net, x, c in cases(3):
        half = fs.HalfSpaces(np.ones((1, 6)), [float(x.sum()) + 0.1])
        found = optimal_over_regions(net, x, c, "output", fs.Box(0, 1) & half)
        assert found.optimal
        assert found.x.sum() <= x.sum() + 0.1 + 1e-9
        with torch.no_grad():
            values = [module(torch.tensor(point)).numpy() for point in (x, found.x)]
        np.testing.assert_allclose(values[1], values[0], atol=1e-12)
        assert c @ x - 1e-9 <= found.value <= optimal_over_regions(net, x, c, "output", fs.Box(0, 1)).bound + 1e-6


def test_half_spaces_can_bound_a_domain():
    _, net, x, c = next(cases(1))
    triangle = fs.NonNegative() & fs.HalfSpaces(np.ones((1, 6)), [6.0])
    found = optimal_over_regions(net, x, c, 1, triangle)
    assert found.optimal
    assert found.value >= optimal_over_regions(net, x, c, 1, triangle & fs.Box(0, 1)).value - 1e-6


def test_bad_input():
    _, net, x, c = next(cases(1))
    with pytest.raises(fs.InputError, match="no upper bound for input 0"):
        optimal_over_regions(net, x, c, 1, fs.NonNegative())
    with pytest.raises(fs.InputError, match="no lower bound for input 0"):
        optimal_over_regions(net, x, c, 1)
    with pytest.raises(fs.InputError, match="linear"):
        optimal_over_regions(net, x, c, 1, fs.Box(0, 1), objective="nearest_l2")
    with pytest.raises(fs.InputError, match="max_nodes"):
        optimal_over_regions(net, x, c, 1, fs.Box(0, 1), max_nodes=-1)
    with pytest.raises(fs.InputError, match="x"):
        optimal_over_regions(net, x + 2, c, 1, fs.Box(0, 1))


def test_a_smooth_activation_is_refused():
    torch.manual_seed(0)
    net = fs.from_torch(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.ReLU()).double().eval())
    with pytest.raises(fs.ModelError, match="smooth"):
        optimal_over_regions(net, np.full(3, 0.5), np.ones(3), -1, fs.Box(0, 1))
