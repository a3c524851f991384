"""Walks across activation regions against the best of all regions, by one linear program of scipy per pattern."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from all_regions import best_of_all_regions, cases
from fiberscope.data.datasets import load_data
from fiberscope.invariance.across_regions import problem
from fiberscope.invariance.crossing import crossed, crossings
from fiberscope.invariance.mixed_integer import optimal_over_regions
from fiberscope.invariance.proof import prove
from fiberscope.invariance.region_search import Ending, Outcome
from fiberscope.invariance.vertex import vertex
from fiberscope.invariance.walk import walk_regions


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
def test_walks_reach_the_mixed_integer_optimum_of_deeper_networks():
    reached, gains = 0, []
    for _, net, x, c in cases(6, (8, 10, 10, 3, 2)):
        walk = walk_regions(net, x, c, 2, fs.Box(0, 1), max_plateau=60)
        best = optimal_over_regions(net, x, c, 2, fs.Box(0, 1))
        assert best.optimal
        assert walk.in_region - 1e-9 <= walk.value <= best.bound + 1e-6
        reached += walk.value >= best.value - 1e-6
        if best.value > walk.in_region + 1e-6:
            gains.append((walk.value - walk.in_region) / (best.value - walk.in_region))
    assert reached >= 5  # of six
    assert len(gains) >= 4
    assert np.mean(gains) >= 0.9


@pytest.mark.exhaustive
def test_promises_tell_what_lies_behind_a_facet():
    """Where nothing is promised, multipliers prove that nothing behind is better; else an optimum is mostly left."""
    promised, kept, idle = 0, 0, 0
    for _, net, x, c in cases(10, (8, 10, 4, 2)):
        asked = problem(net, x, c, 1, fs.Box(0, 1), objective="inner_product", arithmetic=None)
        program = asked.program(asked.pieces(), x)
        found = program.maximize(c)
        optimum = vertex(program, found, c)
        assert optimum is not None
        facets = crossings(program.region, optimum, 100)
        for facet in (*facets.here, *facets.elsewhere):
            behind = asked.program(crossed(asked.pieces(), (facet.flip,)), x).maximize(c)
            if facet.promise <= 0:
                assert not behind.optimal or behind.value <= found.value + 1e-7
                idle += 1
        for facet in facets.here:
            if facet.promise > 1e-6:
                promised += 1
                kept += asked.program(crossed(asked.pieces(), (facet.flip,)), x).maximize(c).value > found.value + 1e-9
    assert idle >= 40
    assert promised >= 5
    assert kept == promised  # the optima of random networks have one set of multipliers


@pytest.mark.exhaustive
def test_corners_lie_in_neighbouring_regions_and_each_region_is_no_worse_than_its_entry():
    crossings_made = 0
    for _, net, x, c in cases(4, (8, 10, 4, 2)):
        walk = walk_regions(net, x, c, 1, fs.Box(0, 1), max_plateau=40)
        for visit in walk.visits:
            assert visit.value >= float(c @ visit.entry) - 1e-12
            assert visit.outcome in (Outcome.BETTER, Outcome.EQUAL, Outcome.WORSE)
        # on every part of the way, no unit of the first layer changes its sign but at the ends
        z = [net.stages[0].maps[0].rows() @ corner + net.stages[0].maps[0].bias.numpy() for corner in walk.corners]
        for one, other in pairwise(z):
            assert (one * other >= -1e-9).all()
        crossings_made += len(walk.route) - 1
    assert crossings_made >= 4


@pytest.mark.exhaustive(every=0)
@pytest.mark.parametrize("activation", [nn.LeakyReLU(0.2), nn.Hardtanh(-0.5, 0.5), nn.ReLU6()])
def test_other_activations_reach_their_mixed_integer_optima(activation):
    further = 0
    for seed in range(3):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(6, 6), activation, nn.Linear(6, 3), nn.ReLU()).double().eval()
        net = fs.from_torch(module)
        generator = np.random.default_rng(seed)
        x, c = generator.uniform(-1, 1, size=6), generator.standard_normal(6)
        walk = walk_regions(net, x, c, -1, fs.Box(-3, 3), max_plateau=60)
        best = optimal_over_regions(net, x, c, -1, fs.Box(-3, 3))
        assert best.value - 1e-6 <= walk.value <= best.bound + 1e-6
        with torch.no_grad():
            there, at_x = (module(torch.tensor(points)).numpy() for points in (walk.path(50), x[None]))
        np.testing.assert_allclose(there, np.broadcast_to(at_x, there.shape), atol=1e-12)
        further += walk.value > walk.in_region + 1e-6
    assert further >= 1


@pytest.mark.exhaustive
def test_room_is_kept_by_the_units_that_the_features_cut_off():
    for module, net, x, c in cases(4):
        walk = walk_regions(net, x, c, 1, fs.Box(0, 1), arithmetic="float32")
        with torch.no_grad():
            z, z_at_x = (module[:3](torch.tensor(points)).numpy() for points in (walk.path(50), x[None]))
        off = z_at_x[0] < -1e-3
        assert (z[:, off] < -1e-8).all()
        assert walk.value <= walk_regions(net, x, c, 1, fs.Box(0, 1)).value + 1e-9


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


def test_where_a_walk_ends_is_proved_to_have_the_features():
    across = 0
    for _, net, x, c in cases(5, (8, 10, 10, 3, 2)):
        walk = walk_regions(net, x, c, 2, fs.Box(0, 1), max_regions=12)
        verification = walk.verify()
        assert verification, verification.reason
        across += not walk.in_one_region
    assert across >= 4


def test_where_a_walk_ends_is_not_proved_if_the_features_are_others():
    rejected = 0
    for module, net, x, c in cases(5, (8, 10, 4, 2)):
        walk = walk_regions(net, x, c, 1, fs.Box(0, 1), max_regions=6)
        steepest = np.prod([np.linalg.norm(part.weight.detach().numpy(), 2) for part in (module[0], module[2])])
        generator = np.random.default_rng(0)
        for size in np.geomspace(1e-6, 1e-1, 12):
            x_moved = np.clip(walk.x + size * generator.standard_normal(8), 0, 1)
            moved = replace(walk, x=x_moved)
            # an input with the features of x is at least so far away
            away = np.abs(net_features(module, x_moved) - net_features(module, x)).max() / steepest
            if away > 1e-7 * np.abs(x_moved - x).max():
                assert not moved.verify()
                assert not prove(moved._statement()).proved
                rejected += 1
    assert rejected >= 25


def net_features(module, x):
    with torch.no_grad():
        return module[:4](torch.tensor(x[None])).numpy()[0]


def test_a_way_with_other_features_is_found_out():
    _, net, x, c = next(cases(1))
    walk = walk_regions(net, x, c, 1, fs.Box(0, 1))
    assert "differs from that of the source" in replace(walk, x=np.clip(x + 0.3, 0, 1)).compare().failure
    entry = replace(walk.visits[walk.route[-1]], entry=np.clip(x + 0.3, 0, 1))
    changed = replace(walk, visits=(walk.visits[0], entry), route=(0, 1))
    assert "differs from that of the source" in changed.compare().failure


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


def test_a_trained_network_on_digits_is_walked_with_its_original(external):
    net = fs.load(external / "models" / "mnist-net_256x2.onnx")
    X = load_data("mnist-5k").x.reshape(-1, *net.input_shape)[[0, 900]].astype(np.float64)
    walk = walk_regions(net, X[0], X[1], 1, fs.Box(0, 1), objective="towards", arithmetic="float32", max_regions=4)
    assert walk.value >= walk.in_region - 1e-9
    verification = walk.verify(points=10)
    assert verification, verification.reason
    assert verification.reason == ""  # onnxruntime was asked, too


def test_a_trained_convolutional_network_is_walked_with_its_original(external):
    net = fs.load(external / "models" / "cifar_base_kw.onnx")
    with np.load(external / "data" / "cifar10_test_83.npz") as data:
        X = (data["x"][:2] / 255.0 - np.array([0.485, 0.456, 0.406])[:, None, None]) / 0.225
    low, high = np.full(X[0].size, X.min()), np.full(X[0].size, X.max())
    walk = walk_regions(net, X[0], X[1], 1, fs.Box(low, high), objective="towards", arithmetic="float32", max_regions=2)
    assert not walk.in_one_region or walk.value == pytest.approx(walk.in_region)
    assert walk.feature_units < 1
    verification = walk.verify(points=5)
    assert verification, verification.reason
