"""The proof of an invariance example: it closes on true ones, and never on tampered ones."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

import fiberscope as fs
from feature_networks import NAMES, inputs, network, one_layer
from fiberscope.invariance.proof import Statement, prove
from fiberscope.invariance.rounding_bound import rounding_bound
from fiberscope.network.domains import as_polyhedron

BOX = fs.Box(0, 1)


def example(name, layer=0, **options):
    net = network(name)
    x, target = inputs(net.input_shape, 2, seed=1)
    return fs.invariance_example(net, x, target, layer, BOX, **options)


def statement(net, stage, x, example, domain=BOX, kept=()):
    n = net.inputs
    mask = np.zeros(n, dtype=bool)
    mask[list(kept)] = True
    flat = [np.asarray(point, dtype=np.float64).ravel() for point in (x, example)]
    return Statement(net, stage, *flat, as_polyhedron(domain, n), mask)


def features_of(e, X):
    return rounding_bound(e.network, X, e.stage, "float64")[0]


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", [0, -1, "output"])
def test_the_distance_to_an_exact_input_is_tiny(name, layer):
    e = example(name, layer)
    proof = prove(statement(e.network, e.stage, e.source, e.x))
    assert proof.proved, proof.reason
    assert 0 < proof.distance <= 1e-7


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", [0, -1, "output"])
@pytest.mark.parametrize("by", [1e-6, -1e-6, 1e-3, 0.2])
def test_a_moved_pixel_is_rejected(name, layer, by):
    e = example(name, layer)
    flat, n = e.x.ravel(), e.x.size
    moved_one = np.where(
        np.eye(n, dtype=bool), np.where((flat + by >= 0) & (flat + by <= 1), flat + by, flat - by), flat
    )
    features = features_of(e, moved_one)
    worst = int(np.abs(features - features_of(e, flat[None])).max(axis=1).argmax())
    tampered = replace(e, x=moved_one[worst].reshape(e.x.shape))
    verification = tampered.verify()
    assert not verification
    assert "differs from that of the source" in verification.reason
    assert not prove(statement(e.network, e.stage, e.source, tampered.x)).proved


@pytest.mark.parametrize("name", ["dense", "conv", "residual"])
def test_the_proof_alone_rejects_what_the_comparison_rejects(name):
    e = example(name)
    rng = np.random.default_rng(0)
    for size in (1e-6, 1e-4, 1e-2):
        x = np.clip(e.x + size * rng.standard_normal(e.x.shape), 0, 1)
        assert not prove(statement(e.network, e.stage, e.source, x)).proved


def test_another_source_and_another_layer_are_rejected():
    e = example("dense")
    net = e.network
    other = inputs(net.input_shape, 3, seed=5)[2]
    assert not replace(e, source=other).verify()
    deeper = example("dense", layer="output")
    same = net.layer_input(1, np.stack([deeper.source, deeper.x]))
    assert np.abs(same[1] - same[0]).max() > 1e-6, "the first layer tells them apart"
    assert not replace(deeper, stage=net.placed_layers[0].stage).verify()


def test_points_outside_of_the_domain_and_changed_kept_pixels_are_rejected():
    net = one_layer([[1.0, 0.0]], [0.0])
    inside = prove(statement(net, 1, [0.5, 0.5], [0.5, 1.0]))
    assert inside.proved
    outside = prove(statement(net, 1, [0.5, 0.5], [0.5, 1.0 + 1e-15]))
    assert outside[:3] == (False, "the example lies outside of the domain", 0.0)
    assert "the source" in prove(statement(net, 1, [0.5, 1.5], [0.5, 1.0])).reason
    assert "kept" in prove(statement(net, 1, [0.5, 0.5], [0.5, 1.0], kept=[1])).reason
    half = fs.HalfSpaces(np.array([[0.0, 1.0]]), np.array([0.9]))
    assert "half-space" in prove(statement(net, 1, [0.5, 0.5], [0.5, 1.0], domain=half)).reason
    assert "not finite" not in prove(statement(net, 1, [0.5, 0.5], [0.5, np.nan])).reason
    assert not prove(statement(net, 1, [0.5, 0.5], [0.5, np.nan])).proved


def test_a_unit_that_becomes_active_is_rejected_and_one_that_stays_at_zero_is_not():
    net = one_layer([[1.0, -1.0]], [0.0])
    assert prove(statement(net, 1, [0.2, 0.4], [0.3, 0.4])).proved
    assert not prove(statement(net, 1, [0.2, 0.4], [0.3 + 1e-7, 0.3])).proved
    assert prove(statement(net, 1, [0.2, 0.4], [0.3 + 1e-10, 0.3])).distance >= 1e-10  # (0.3, 0.3) is near
    # 0.1 + 0.2 - 0.3 is not 0 in float64, and its exact sign is known
    decimal = one_layer([[1.0, 1.0, -1.0]], [0.0])
    value = Fraction(0.1) + Fraction(0.2) - Fraction(0.3)
    moved_away = prove(statement(decimal, 1, [0.1, 0.2, 0.3], [0.0, 0.2, 0.9]))
    assert moved_away.proved == (value <= 0)


def test_a_unit_may_end_on_its_kink():
    # x0 - x1 goes from 0.5 to 0, and what it gave to the sum comes from x2 then
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1), torch.nn.ReLU()
    ).double()  # fmt: skip
    with torch.no_grad():
        module[0].weight[:] = torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
        module[2].weight[:] = 1.0
        module[0].bias[:] = module[2].bias[:] = 0.0
    net = fs.from_torch(module.eval())
    for x, proved in (([0.4, 0.4, 0.6], True), ([0.4, 0.4, 0.6 + 1e-6], False), ([0.4, 0.5, 0.7], False)):
        assert prove(statement(net, 3, [0.8, 0.3, 0.1], x)).proved == proved
    # beyond the kink the features are the same again, but not between
    beyond = statement(net, 3, [0.8, 0.3, 0.1], [0.4, 0.5, 0.6])
    assert not prove(beyond).proved
    assert prove(replace(beyond, segment=False)).proved


def test_pixels_on_their_bounds_are_enough_where_nothing_is_missing():
    net = one_layer([[1.0, 1.0, 0.0]], [0.0])
    assert prove(statement(net, 1, [0.75, 0.25, 0.0], [0.0, 1.0, 1.0])).proved
    assert not prove(statement(net, 1, [0.75, 0.25 + 2**-50, 0.0], [0.0, 1.0, 1.0])).proved
    # 0.1 + 0.9 is not 1 in real arithmetic, although it is in float64
    assert not prove(statement(net, 1, [0.1, 0.9, 0.0], [0.0, 1.0, 1.0])).proved


def test_equal_rows_that_are_asked_for_different_numbers_are_no_copies():
    # in the region of x both units of the second layer see x0 + x1, in that of x' one of them does not
    module = torch.nn.Sequential(
        torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2), torch.nn.ReLU()
    ).double()  # fmt: skip
    with torch.no_grad():
        module[0].weight[:] = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
        module[0].bias[:] = 0.0
        module[2].weight[:] = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        module[2].bias[:] = 1.0
    net = fs.from_torch(module.eval())
    x, there = [0.75, 0.25], [0.25, 0.75]  # second units: 2 and 2.5, then 2 and 2
    assert not prove(replace(statement(net, 3, x, there), segment=False)).proved
    assert prove(replace(statement(net, 1, x, x), segment=False)).proved
    assert prove(replace(statement(net, 3, there, [0.125, 0.875]), segment=False)).proved


def test_overflow_is_no_proof():
    net = one_layer([[1e308, 1e308, 1.0], [1.0, 1.0, 1.0]], [1e308, 0.0])
    for x in ([0.5, 0.5, 0.4], [1.0, 1.0, 0.5], [0.9, 0.6, 0.5]):
        assert not prove(statement(net, 1, [1.0, 1.0, 0.5], x)).proved or x == [1.0, 1.0, 0.5]
        alone = replace(statement(net, 1, [1.0, 1.0, 0.5], x), segment=False)
        assert not prove(alone).proved or x == [1.0, 1.0, 0.5]
    # no pixel is off its bounds, and what is missing is not a number
    at_bounds = one_layer([[1e308, 1e308, -1e308], [1.0, 1.0, 1.0]], [1e308, 0.0])
    for segment in (True, False):
        given = replace(statement(at_bounds, 1, [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]), segment=segment)
        assert not prove(given).proved


def test_ties_of_a_maximum_are_settled_exactly():
    pool = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 2, bias=True), torch.nn.MaxPool2d(2))
    with torch.no_grad():
        pool[0].weight[:] = torch.tensor([[0.3, -0.7], [0.11, 0.9]])
        pool[0].bias[:] = 0.05
    net = fs.from_torch(pool.eval(), input_shape=(1, 3, 3))
    x = np.full((1, 3, 3), 0.375)
    target = np.ones((1, 3, 3))
    e = fs.invariance_example(net, x, target, "output", BOX)
    verification = e.verify()
    assert verification, verification.reason


def test_dependent_equations_are_not_proved_unless_an_earlier_layer_is_unchanged():
    # behind one active unit, the two outputs are multiples of each other
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    with torch.no_grad():
        module[0].bias[:] = torch.tensor([1.0, -9.0, -9.0])
    net = fs.from_torch(module.eval())
    e = fs.invariance_example(net, np.full(4, 0.5), np.ones(4), "output", BOX)
    assert e.verify()


def test_without_an_original_verify_says_so():
    net = one_layer(np.ones((1, 3)), [0.0])
    e = fs.invariance_example(net, [0.2, 0.4, 0.5], [1.0, 0.0, 0.0], 0, BOX)
    verification = e.verify()
    assert verification
    assert "no original model" in verification.reason


def test_the_original_is_asked_and_may_disagree():
    net = one_layer(np.ones((1, 3)), [0.0])
    e = fs.invariance_example(net, [0.2, 0.4, 0.5], [1.0, 0.0, 0.0], 0, BOX)
    asked = []

    def honest(X):
        asked.append(len(X))
        return np.maximum(X.astype(np.float32).sum(axis=1, keepdims=True), 0)

    assert e.verify(honest, points=7)
    assert asked[-1] == 9
    assert e.verify(lambda X: torch.tensor(X).sum(dim=1, keepdim=True))
    wrong = e.verify(lambda X: X[:, :1].astype(np.float32))
    assert not wrong
    assert "the original, in float32: feature 0 of the example differs" in wrong.reason
    assert "gives 3 features" in e.verify(lambda X: X).reason
    broken = e.verify(fs.network.original.Original("it", "float32", lambda X: {}["no"]))
    assert "it, in float32: cannot be run" in broken.reason
    silent = e.verify(fs.network.original.Original("it", "float32", lambda X: {}))
    assert silent
    assert "does not show" in silent.reason
