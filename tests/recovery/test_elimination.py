"""The polyhedron without what its equations give is the same: points, bounds and multipliers carry over."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.checker.relaxation import Known, Step, narrowed, relaxed
from fiberscope.network.affine import Dense
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.preimages.budget import Budget
from fiberscope.recovery.elimination import Eliminated
from fiberscope.recovery.proof import stages_of
from fiberscope.recovery.tightening import tighten

sys.path.insert(0, str(Path(__file__).parent))

from networks import as_network, outputs, random_chain


def residual(generator: np.random.Generator) -> fs.Network:
    def dense(inputs: int, outputs: int) -> Dense:
        weight = generator.standard_normal((outputs, inputs)) / np.sqrt(inputs)
        return Dense(weight, 0.3 * generator.standard_normal(outputs))

    stages = (
        affine_stage("a", dense(4, 6)), relu_stage("ra", 6), affine_stage("b", dense(6, 5)), relu_stage("rb", 5),
        Stage("sum", (dense(5, 20), dense(6, 20)), sources=(3, 1)), relu_stage("rs", 20),
    )  # fmt: skip
    return fs.Network(stages, (4,))


def question(seed: int) -> tuple[fs.Network, np.ndarray, Known]:
    """A network with clips or with branches, an input, and its features within 0.01."""
    generator = np.random.default_rng(seed)
    net = residual(generator) if seed % 2 else as_network(random_chain(generator, (4, 12, 20)))
    x = generator.uniform(size=4)
    y, stage = net(x[None])[0], len(net.stages) - 1
    return net, x, Known(stage, y - 0.01, y + 0.01)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_computed_of_an_input_lies_in_it(seed: int) -> None:
    net, x, known = question(seed)
    stages = stages_of(net)
    around, at = relaxed(stages, np.zeros(4), np.ones(4), known), relaxed(stages, x, x, known)
    reduced = Eliminated.of(around)
    assert reduced is not None
    assert len(reduced.defined) > 0
    v = at.box[0]
    np.testing.assert_allclose(reduced.T @ v[reduced.free] + reduced.t, v[reduced.defined], atol=1e-12)
    left = reduced.polytope(v[reduced.free])
    assert (left.low <= 1e-12).all()
    assert (left.high >= -1e-12).all()
    assert (left.below <= 0).all()
    assert (left.above >= 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_multipliers_prove_the_same_of_all_coordinates(seed: int) -> None:
    """Weak duality, written down for the rows that are left, against the checker's for all rows."""
    net, x, known = question(seed)
    around = relaxed(stages_of(net), np.zeros(4), np.ones(4), known)
    reduced = Eliminated.of(around)
    assert reduced is not None
    left = reduced.polytope(np.zeros(len(reduced.free)))
    w = np.random.default_rng(seed).standard_normal((4, len(left.rows))) / len(left.rows)
    c = np.eye(4, len(reduced.free))
    rest = c - w @ left.rows
    bound = (np.where(w > 0, left.high, left.low) * w).sum(axis=1)
    bound += np.maximum(rest * left.below, rest * left.above).sum(axis=1)
    all_rows = reduced.multipliers(w)
    _, high = narrowed(around, Step(np.arange(4), (np.zeros_like(all_rows), all_rows)))
    assert (x <= high).all()
    loose = bound < 1.0
    np.testing.assert_allclose(high[loose], bound[loose], atol=1e-9)
    assert (high[~loose] <= 1.0).all()


def test_features_to_float32_tell_an_image_behind_two_layers_everywhere() -> None:
    """Too many numbers for programs at first, so that the ascent has to find the way."""
    generator = np.random.default_rng(0)
    chain = random_chain(generator, (20, 120, 160), clips=0.0)
    net, x = as_network(chain), generator.integers(0, 17, 20) / 16
    y = outputs(chain, x)
    eps = 2.0**-20 * float(y.max())
    r = fs.recover(net, y + eps * generator.uniform(-0.9, 0.9, len(y)), layer=1, within=eps, grid=1 / 16)
    assert isinstance(r, fs.Recovery)
    assert r.scope == "domain"
    assert r.exact
    assert np.array_equal(r.x, x)
    assert r.verify()
    narrower = {"low": r.low + 1e-3 * (r.high - r.low), "high": r.high - 1e-3 * (r.high - r.low)}
    other = {
        "features": r.features + 2 * eps,
        "within": 2 * r.within,
        "domain": fs.Box(-1, 1),
        "distance": 0.9 * r.distance,
    }
    for name, value in {**narrower, **other, "proof": replace(r.proof, steps=r.proof.steps[1:])}.items():
        assert not replace(r, **{name: value}).verify(), name


def test_no_bounds_are_searched_of_a_large_layer_that_leaves_dimensions_open() -> None:
    generator = np.random.default_rng(1)
    layer = fs.ReLULayer(generator.standard_normal((400, 300)))
    x = generator.uniform(size=300)
    r = fs.recover(layer, layer(x[None])[0], within=1e-6)
    assert isinstance(r, fs.Recovery)
    assert r.scope == "none"
    assert "of 300 dimensions" in r.reason
    assert "seconds=" in r.reason


@pytest.mark.parametrize("power", [-30, 30])
def test_units_of_inputs_and_features_mean_nothing(power: int) -> None:
    generator, factor = np.random.default_rng(3), 2.0**power
    chain, x = random_chain(generator, (5, 24, 30), clips=0.0), generator.uniform(size=5)
    (A, a, *_), (B, b, *_) = chain
    found = []
    for inward, outward in ((1.0, 1.0), (factor, 1.0), (1.0, factor)):
        # inputs times inward, features times outward
        net = as_network([(A / inward, a, 0.0, np.inf), (B * outward, b * outward, 0.0, np.inf)])
        y = outputs(chain, x) * outward
        known = Known(3, y - 1e-3 * outward, y + 1e-3 * outward)
        box = np.zeros(5), np.full(5, inward)
        out = tighten(stages_of(net), *box, known, Budget.of(60), x * inward)
        found.append((out.low / inward, out.high / inward))
    for low, high in found[1:]:
        np.testing.assert_allclose(low, found[0][0], atol=1e-9)
        np.testing.assert_allclose(high, found[0][1], atol=1e-9)
    assert (found[0][1] - found[0][0]).max() < 0.5
