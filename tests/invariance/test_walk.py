"""Walks across activation regions against the best of all regions, by one linear program of scipy per pattern."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

import fiberscope as fs
from fiberscope.invariance.region_search import Ending
from fiberscope.invariance.walk import walk_regions

HIDDEN = 5


def network_of(seed: int) -> tuple[nn.Sequential, fs.Network]:
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(6, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3), nn.ReLU(), nn.Linear(3, 2)
    ).double().eval()  # fmt: skip
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module, fs.from_torch(module)


def best_of_all_regions(module: nn.Sequential, x: np.ndarray, c: np.ndarray) -> float:
    """The largest ``<c, x'>`` in the box over all x' with the second layer's output at x, pattern by pattern."""
    W, b, V, d = (parameter.detach().numpy() for parameter in list(module.parameters())[:4])
    y = np.maximum(V @ np.maximum(W @ x + b, 0) + d, 0)
    best = -np.inf
    for pattern in product([0.0, 1.0], repeat=HIDDEN):
        on = np.array(pattern)
        J, constant = V @ (on[:, None] * W), V @ (on * b) + d
        signs = np.where(on > 0, -1.0, 1.0)
        G, h = np.concatenate([signs[:, None] * W, J[y <= 0]]), np.concatenate([-signs * b, -constant[y <= 0]])
        found = linprog(-c, G, h, J[y > 0], (y - constant)[y > 0], bounds=(0, 1))
        if found.status == 0:
            best = max(best, -found.fun)
    return best


def cases(count: int):
    for seed in range(count):
        generator = np.random.default_rng(seed)
        module, net = network_of(seed)
        yield module, net, generator.uniform(size=6), generator.standard_normal(6)


def test_walks_never_exceed_the_best_of_all_regions_and_mostly_reach_it():
    reached, further = 0, 0
    for module, net, x, c in cases(12):
        walk = walk_regions(net, x, c, 1, fs.Box(0, 1))
        best = best_of_all_regions(module, x, c)
        assert walk.in_region - 1e-9 <= walk.value <= best + 1e-7
        reached += walk.value >= best - 1e-6
        further += walk.value > walk.in_region + 1e-6
    assert reached >= 10
    assert further >= 2


def test_features_are_the_same_on_the_whole_way():
    for module, net, x, c in cases(5):
        walk = walk_regions(net, x, c, 1, fs.Box(0, 1))
        with torch.no_grad():
            there = module[:4](torch.tensor(walk.path(50))).numpy()
            at_x = module[:4](torch.tensor(x[None])).numpy()
        np.testing.assert_allclose(there, np.broadcast_to(at_x, there.shape), atol=1e-12)
        assert walk.feature_units <= 1
        assert not walk.compare().failure
        assert ((walk.path(50) >= 0) & (walk.path(50) <= 1)).all()
        np.testing.assert_array_equal(walk.path(2)[0], x)


def test_a_way_with_other_features_is_found_out():
    _, net, x, c = next(cases(1))
    walk = walk_regions(net, x, c, 1, fs.Box(0, 1))
    object.__setattr__(walk, "corners", np.stack([x, np.clip(x + 0.3, 0, 1)]))
    assert "differs from that of the source" in walk.compare().failure


def test_no_pattern_is_visited_twice_and_budgets_hold():
    for _, net, x, c in cases(4):
        walk = walk_regions(net, x, c, 1, fs.Box(0, 1))
        patterns = [visit.pattern for visit in walk.visits]
        assert len(set(patterns)) == len(patterns)
        assert walk.route[0] == 0
        few = walk_regions(net, x, c, 1, fs.Box(0, 1), max_regions=1)
        assert len(few.visits) == 1
        assert few.value == pytest.approx(walk.in_region, abs=1e-9)
        assert few.ended in (Ending.REGIONS, Ending.NOTHING_LEFT)


def test_a_fold_that_must_be_crossed():
    # the second layer's output is ReLU(|x0| - x1) for x1 > 0, and 0 at the source
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.ReLU()).double().eval()
    first = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    module[0].weight.data, module[0].bias.data = first, torch.zeros(3, dtype=torch.float64)
    module[2].weight.data = torch.tensor([[1.0, 1.0, -1.0]], dtype=torch.float64)
    module[2].bias.data = torch.zeros(1, dtype=torch.float64)
    net = fs.from_torch(module)
    walk = walk_regions(net, [0.5, 0.5], [-1.0, 0.25], 1, fs.Box(-1, 1))
    assert walk.value == pytest.approx(1.25, abs=1e-7)
    np.testing.assert_allclose(walk.x, [-1.0, 1.0], atol=1e-7)
    assert walk.in_region == pytest.approx(0.25, abs=1e-7)  # at (0, 1)


def test_the_output_of_the_network():
    for module, net, x, c in cases(4):
        walk = walk_regions(net, x, c, "output", fs.Box(0, 1))
        with torch.no_grad():
            there, at_x = (module(torch.tensor(points)).numpy() for points in (walk.path(30), x[None]))
        np.testing.assert_allclose(there, np.broadcast_to(at_x, there.shape), atol=1e-11)
        assert walk.value >= c @ x - 1e-9


def test_convolutions_maxima_and_residual_sums():
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
            self.last = nn.Linear(8, 3)

        def forward(self, x):
            x = torch.relu(self.first(x))
            x = nn.functional.max_pool2d(torch.relu(self.inner(x) + x), 2)
            return torch.relu(self.last(x.flatten(1)))

    module = Block().double().eval()
    net = fs.from_torch(module, input_shape=(1, 4, 4))
    generator = np.random.default_rng(0)
    x, c = generator.uniform(size=(2, 1, 4, 4))
    walk = walk_regions(net, x, c, -1, fs.Box(0, 1), max_regions=40)
    with torch.no_grad():
        there, at_x = (module(torch.tensor(points)).numpy() for points in (walk.path(40), x[None]))
    np.testing.assert_allclose(there, np.broadcast_to(at_x, there.shape), atol=1e-12)
    assert walk.value > float((c * x).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"max_regions": 0}, "max_regions"), ({"max_plateau": 0}, "max_plateau"), ({"layer": 9}, "layer")],
)
def test_bad_input(change, message):
    _, net, x, c = next(cases(1))
    arguments = {"layer": 1, "domain": fs.Box(0, 1)} | change
    with pytest.raises(fs.InputError, match=message):
        walk_regions(net, x, c, **arguments)
