"""Invariance examples whose features may differ by given numbers: never worse than exact ones, and proved."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import all_regions
import fiberscope as fs
from feature_networks import inputs, network, one_layer
from fiberscope.errors import InputError
from fiberscope.network.affine import Dense
from fiberscope.network.stage import affine_stage, relu_stage

BOX = fs.Box(0, 1)
OBJECTIVES = (
    "inner_product", "towards", "nearest_l1", "nearest_l2", "nearest_linf", "farthest_l2", "farthest_linf",
    "smallest_change_l2",
)  # fmt: skip


def gain(e: fs.InvarianceExample) -> float:
    return e.objective if e.asked.is_maximum else -e.objective


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("name", ["dense", "conv", "residual", "maxpool", "leaky", "clip"])
@pytest.mark.parametrize("layer", [0, "output"])
@pytest.mark.parametrize("objective", ["towards", "nearest_l2", "farthest_l2"])
def test_an_answer_is_never_worse_than_with_the_same_features_and_is_proved(name, layer, objective):
    net = network(name)
    x, target = inputs(net.input_shape, 2, seed=1)
    exact = fs.invariance_example(net, x, target, layer, BOX, objective=objective)
    for within in (1e-9, "float32", 0.05):
        e = fs.invariance_example(net, x, target, layer, BOX, objective=objective, within=within)
        assert gain(e) >= gain(exact)
        assert e.verify(), e.verify().reason
        assert e.feature_bound <= np.max(e.within)
        assert e.feature_residual <= np.max(e.within) * (1 + 1e-9) + 1e-13


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_zero_is_what_the_exact_search_finds_and_more_is_more(objective):
    net = network("dense")
    x, target = inputs(net.input_shape, 2, seed=1)
    options = {"objective": objective, "fraction": 0.01}
    exact, zero, loose = (
        fs.invariance_example(net, x, target, 0, BOX, within=within, **options) for within in (0.0, np.zeros(6), 0.1)
    )
    assert (exact.x == zero.x).all()
    assert (exact.objective, exact.bound) == (zero.objective, zero.bound)
    assert gain(loose) >= gain(exact)
    assert loose.verify()


@pytest.mark.parametrize("exponent", [0, 20, -30])
def test_one_layer_is_the_polytope_of_its_bands_in_all_units(exponent):
    rng, unit = np.random.default_rng(5), 2.0**exponent
    A, b = rng.standard_normal((6, 10)), rng.standard_normal(6)
    x, c = rng.uniform(size=(2, 10))
    within = rng.uniform(0.01, 0.2, size=6)
    net = fs.Network((affine_stage("a", Dense(A, unit * b)), relu_stage("r", 6)), (10,))
    e = fs.invariance_example(
        net, unit * x, unit * c, 0, fs.Box(0, unit), objective="inner_product", within=unit * within
    )
    z = A @ x + b
    y = np.maximum(z, 0)
    least = y - within > 0
    rows, sides = np.vstack([A, -A[least]]), np.concatenate([y + within - b, (b - y + within)[least]])
    best = -linprog(-c, rows, sides, bounds=(0, 1)).fun
    assert e.objective == pytest.approx(unit**2 * best, rel=1e-7)
    assert e.is_optimal
    assert e.verify()
    assert not replace(e, within=0.9 * e.within).verify(), "it lies on a side"


def test_each_feature_has_its_own_number():
    net = one_layer(np.eye(3), np.zeros(3))
    x, target = np.full(3, 0.5), np.ones(3)
    e = fs.invariance_example(net, x, target, 0, BOX, within=[0.0, 0.25, 0.125])
    assert e.x == pytest.approx([0.5, 0.75, 0.625], abs=1e-9)
    assert e.verify()


@pytest.mark.usefixtures("unchecked")
def test_changed_claims_are_not_proved():
    net = network("dense")
    x, target = inputs(net.input_shape, 2, seed=1)
    e = fs.invariance_example(net, x, target, 0, BOX, within=0.05)
    assert e.verify()
    assert replace(e, within=0.06).verify()
    moved = np.clip(e.x + 0.02 * np.sign(target - e.x), 0, 1)
    deeper = fs.invariance_example(net, x, target, "output", BOX, within=0.05)
    first = net.placed_layers[0].stage
    for changed in (
        replace(e, within=0.04),
        replace(e, within=0.0),
        replace(e, x=moved),
        replace(e, x=e.x + np.nan),
        replace(deeper, stage=first, within=0.01),
        replace(e, source=np.clip(x + 0.1, 0, 1)),
        *(replace(e, within=bad) for bad in (-1.0, np.nan, np.inf, np.ones(5), "float32", None)),
    ):
        verification = changed.verify()
        assert not verification
        assert verification.reason


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("seed", range(4))
def test_walks_and_mixed_integer_programs_beside_all_regions(seed):
    module, net, x, c = next(case for i, case in enumerate(all_regions.cases(seed + 1)) if i == seed)
    eps = 0.05
    best = all_regions.best_of_all_regions(module, x, c, within=eps)
    exact, walk = (fs.walk_regions(net, x, c, 1, BOX, within=within) for within in (0.0, eps))
    assert exact.value <= walk.value <= best + 1e-7
    assert walk.verify(), walk.verify().reason
    assert not replace(walk, within=1e-3).verify() or walk.feature_bound <= 1e-3
    optimum = fs.optimal_over_regions(net, x, c, 1, BOX, within=eps)
    assert optimum.value == pytest.approx(best, abs=1e-6)
    assert optimum.value >= walk.value - 1e-7
    assert optimum.verify()


def test_what_cannot_be_proved_of_the_same_features_is_proved_at_the_rounding_of_float32():
    torch.manual_seed(0)
    layers = [part for _ in range(8) for part in (torch.nn.Linear(20, 20), torch.nn.ReLU())]
    net = fs.from_torch(torch.nn.Sequential(*layers).eval())
    x, c = np.random.default_rng(0).random((2, 20))
    for layer in (5, 7):
        e = fs.invariance_example(net, x, c, layer, BOX, within="float32")
        assert e.verify()
        assert 0 < np.max(e.within) < 1e-3
        assert e.feature_bound <= np.max(e.within)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("exponent", [0, -30])
def test_a_walk_through_eight_layers_is_proved_at_the_rounding_of_float32(seed, exponent):
    torch.manual_seed(seed)
    widths, unit = [16, *[12] * 8], 2.0**exponent
    layers = [part for a, b in pairwise(widths) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    module = torch.nn.Sequential(*layers).double().eval()
    for linear in layers[::2]:
        linear.weight.data *= 3.0  # features of about the same size in all layers
        linear.bias.data = unit * linear.bias.data.abs()
    x, c = unit * np.random.default_rng(seed).uniform(size=(2, 16))
    walk = fs.walk_regions(
        fs.from_torch(module), x, c, 7, fs.Box(0, unit), objective="towards", within="float32", max_regions=4
    )
    assert len(walk.route) > 1
    assert walk.value > walk.in_region
    assert walk.verify(), walk.verify().reason
    assert not replace(walk, within=np.asarray(walk.within) * 0.9).verify()


@pytest.mark.parametrize("wrong", [-1e-9, np.nan, np.inf, [0.1, 0.2], "float8", "exact"])
def test_what_is_no_precision_is_refused(wrong):
    net = one_layer(np.eye(3), np.zeros(3))
    asked = (net, np.full(3, 0.5), np.ones(3), 0, BOX)
    for ask in (fs.invariance_example, fs.walk_regions, fs.optimal_over_regions):
        with pytest.raises(InputError, match="within: expected"):
            ask(*asked, within=wrong)
    with pytest.raises(InputError, match="within: expected"):
        fs.invariance_survey(net, np.full((2, 3), 0.5), domain=BOX, within=wrong)
