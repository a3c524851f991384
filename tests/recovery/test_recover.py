"""What is recovered from features: against exhaustive search on grids, and never beside the input that was encoded."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.convolution import Convolution
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.recovery.grid import Grid
from fiberscope.recovery.proof import Proof
from fiberscope.recovery.recovery import Scope

sys.path.insert(0, str(Path(__file__).parent))

from networks import as_network, outputs, random_chain


def left_on_grid(chain, y, eps, values):
    """All inputs of a grid whose output is within eps of y, one after the other."""
    n = chain[0][0].shape[1]
    X = np.array(list(product(values, repeat=n)), dtype=np.float64)
    return X[(np.abs(outputs(chain, X) - y) <= eps).all(axis=1)]


def test_exact_is_what_exhaustive_search_leaves_of_binary_inputs():
    generator, exact = np.random.default_rng(0), 0
    for _ in range(60):
        chain = random_chain(generator, (6, 18))
        x, eps = generator.integers(0, 2, 6) * 1.0, float(10.0 ** generator.uniform(-6, 0.3))
        y = outputs(chain, x)
        A, b, low, high = chain[0]
        r = fs.recover(fs.ReLULayer(A, b, low=low, high=high), y, within=eps, grid=1.0)
        assert not r.contradiction
        if r.exact:
            (only,) = left_on_grid(chain, y, eps, (0.0, 1.0))
            np.testing.assert_array_equal(r.x, only)
            assert r.verify()
        exact += r.exact
        assert ((r.low <= x) & (x <= r.high)).all()
    assert 10 < exact < 60


def test_exact_is_what_exhaustive_search_leaves_of_8_bit_inputs():
    generator, stored, exact = np.random.default_rng(1), (np.arange(256) / 255).astype(np.float32), 0
    for _ in range(20):
        chain = random_chain(generator, (2, 7), clips=0.0)
        x, eps = generator.choice(stored, 2).astype(np.float64), float(10.0 ** generator.uniform(-6, -1))
        y = outputs(chain, x) + eps * generator.uniform(-1, 1, 7)
        r = fs.recover(as_network(chain), y, within=eps, grid=1 / 255)
        assert ((r.low <= x) & (x <= r.high)).all()
        if r.exact:
            (only,) = left_on_grid(chain, y, eps, stored.astype(np.float64))
            np.testing.assert_array_equal(r.x, only)
        exact += r.exact
    assert 3 < exact < 20


def test_a_grid_holds_the_numbers_that_float32_stores():
    low, high = np.zeros(2), np.ones(2)
    grid = Grid.of(1 / 255, low, high)
    stored = (np.arange(256) / 255).astype(np.float32).astype(np.float64)
    assert set(stored) <= set(grid.values)
    counts, first = grid.counts(stored[[3, 254]], stored[[3, 255]])
    assert counts.tolist() == [1, 2]
    np.testing.assert_array_equal(grid.values[first], stored[[3, 254]])
    between = (stored[3] + stored[4]) / 2
    assert grid.counts(np.array([between] * 2), np.array([between] * 2))[0].tolist() == [0, 0]
    assert Grid.of([0.5, 0.25], low, high).values.tolist() == [0.25, 0.5]


def test_an_input_off_the_grid_contradicts_it():
    # z = x + 1: the features say x = 0.5, which is no number of the grid
    layer = fs.ReLULayer(np.eye(2), np.ones(2))
    r = fs.recover(layer, [1.5, 1.0], within=1e-3, grid=1.0)
    assert r.contradiction
    assert r.verify()
    assert "grid" in r.reason
    assert not replace(r, contradiction=False).verify()
    assert not replace(r, grid=0.5).verify()


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_inputs_that_were_encoded_lie_within_what_is_proved(seed):
    generator, proved = np.random.default_rng(seed), 0
    for _ in range(3):
        n = int(generator.integers(2, 6))
        chain = random_chain(generator, (n, 6 * n, 8 * n))
        net, X = as_network(chain), generator.uniform(size=(10, n))
        for within in (1e-6, 1e-4):
            Y = outputs(chain, X)
            Y = Y + within * generator.uniform(-0.99, 0.99, Y.shape)
            for x, r in zip(X, fs.recover(net, Y, layer=1, within=within), strict=True):
                assert not r.contradiction
                if r.scope == Scope.DOMAIN or (r.scope == Scope.BALL and np.linalg.norm(x - r.x) <= r.radius):
                    assert ((r.low <= x) & (x <= r.high)).all()
                    assert np.linalg.norm(x - r.x) <= r.distance
                    proved += 1
    assert proved > 25


def convolutional() -> tuple[nn.Sequential, fs.Network]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 20, 3, 2, padding=1), nn.ReLU6())
    pad = ((1, 1), (1, 1))
    first, second = (
        Convolution(part.weight.detach(), shape, part.bias.detach(), stride, pad)
        for part, shape, stride in ((module[0], (1, 6, 6), (1, 1)), (module[2], (6, 6, 6), (2, 2)))
    )
    clip = Pointwise(PointwiseKind.CLIP, second.outputs, 0.0, 6.0)
    stages = affine_stage("1", first), relu_stage("2", first.outputs), affine_stage("3", second)
    return module, fs.Network((*stages, Stage("4", activation=clip)), (1, 6, 6))


@pytest.mark.exhaustive
def test_images_come_back_from_a_convolutional_network_in_their_shape():
    module, net = convolutional()
    images = torch.rand(4, 1, 6, 6)
    for layer, depth, count in ((0, 2, 4), (1, 4, 1)):  # an image behind two layers takes seconds
        features = module[:depth](images[:count]).detach()
        recovered = fs.recover(net, features, layer, within=1e-5)
        for image, r in zip(images[:count].double().numpy(), recovered, strict=True):
            assert r.x.shape == r.low.shape == r.high.shape == (1, 6, 6)
            np.testing.assert_allclose(r.x, image, atol=1e-3)
            assert ((r.low <= image) & (image <= r.high)).all()
            assert r.scope == (Scope.DOMAIN if layer == 0 else r.scope)
            assert r.verify() or r.scope == Scope.NONE


def changed(r, **claims):
    return replace(r, **claims)


def test_changed_claims_are_not_proved(unchecked):
    generator = np.random.default_rng(3)
    chain = random_chain(generator, (3, 18, 24), clips=0.0)
    net, x = as_network(chain), generator.uniform(size=3)
    other = as_network(random_chain(generator, (3, 18, 24), clips=0.0))
    r = fs.recover(net, outputs(chain, x), layer=1, within=1e-6, domain=None)
    assert r.scope == Scope.BALL
    assert r.verify()
    middle = (r.low + r.high) / 2
    ball = r.proof.ball
    assert ball is not None
    false = {
        "narrower": changed(r, low=middle),
        "narrower in one": changed(r, high=np.where(np.arange(3) == 1, r.high - 1e-3 * (r.high - r.low), r.high)),
        "nearer": changed(r, distance=r.distance * 0.999),
        "a larger ball": changed(r, radius=r.radius * 2),
        "everywhere": changed(r, scope=Scope.DOMAIN, radius=np.inf),
        "everywhere in that ball": changed(r, scope=Scope.DOMAIN),
        "another layer": changed(r, layer=0),
        "no such layer": changed(r, layer=7),
        "another network": changed(r, source=other),
        "no network": changed(r, source="net"),
        "other features": changed(r, features=r.features * 1.5),
        "features to less": changed(r, within=r.within * 1e4),
        "a negative precision": changed(r, within=-r.within),
        "another guess": changed(r, x=r.x + 1e-9),
        "exact": changed(r, exact=True),
        "exact on a grid": changed(r, exact=True, grid=1 / 255),
        "nothing": changed(r, contradiction=True),
        "no proof": changed(r, proof=Proof()),
        "another proof": changed(r, proof=Proof(replace(ball, radius=np.inf))),
        "another ball": changed(r, proof=Proof(replace(ball, center=ball.center + 1.0))),
        "no scope": changed(r, scope=Scope.NONE),
        "no number": changed(r, low=r.low * np.nan),
        "another shape": changed(r, low=r.low[:2]),
        "no array": changed(r, low="low"),
        "nobody's proof": changed(r, proof=None),
    }
    assert [what for what, claim in false.items() if claim.verify()] == []
    assert changed(r, low=r.low - 1, radius=r.radius / 2, distance=r.distance * 2).verify()  # says less
    with pytest.raises(AttributeError):
        r.low = middle


@pytest.mark.parametrize("power", [-20, 20])
def test_scaling_by_powers_of_two_scales_what_is_proved(power):
    generator, scale = np.random.default_rng(4), 2.0**power
    chain = random_chain(generator, (3, 18, 24), clips=0.0)
    y = outputs(chain, generator.uniform(size=3))
    (A, b, *_), (B, c, *_) = chain
    moved = as_network([(A / scale, b, 0.0, np.inf), (B * scale, c * scale, 0.0, np.inf)])
    r = fs.recover(as_network(chain), y, layer=1, within=1e-6)
    s = fs.recover(moved, y * scale, layer=1, within=1e-6 * scale, domain=fs.Box(0, scale))
    assert (r.scope, s.scope) == (Scope.DOMAIN, Scope.DOMAIN)
    np.testing.assert_allclose(s.high / scale, r.high, rtol=1e-6)
    near = fs.recover(as_network(chain), y, layer=1, within=1e-6, domain=None)
    small = fs.recover(moved, y * scale, layer=1, within=1e-6 * scale, domain=None)
    assert (near.scope, small.scope) == (Scope.BALL, Scope.BALL)
    assert small.radius / scale == pytest.approx(near.radius, rel=1e-6)


def test_changed_claims_about_the_whole_domain_are_not_proved(unchecked):
    generator = np.random.default_rng(3)
    chain, another = (random_chain(generator, (3, 18, 24), clips=0.0) for _ in range(2))
    net, x = as_network(chain), generator.uniform(size=3)
    r = fs.recover(net, outputs(chain, x), layer=1, within=0.01)
    assert r.scope == Scope.DOMAIN
    assert r.verify()
    assert ((r.low <= x) & (x <= r.high)).all()
    assert (r.high - r.low < 0.5).all()
    steps = r.proof.steps
    assert steps
    false = {
        "narrower": changed(r, low=(r.low + r.high) / 2),
        "nearer": changed(r, distance=r.distance * 0.99),
        "another layer": changed(r, layer=0),
        "another network": changed(r, source=as_network(another)),
        "other features": changed(r, features=r.features * 1.5),
        "features to less": changed(r, within=r.within * 10),
        "a larger domain": changed(r, domain=fs.Box(-1, 2)),
        "no domain": changed(r, domain=None),
        "no steps": changed(r, proof=replace(r.proof, steps=())),
        "fewer steps": changed(r, proof=replace(r.proof, steps=steps[:1])),
        "nobody's steps": changed(r, proof=replace(r.proof, steps=(None,))),
        "nothing": changed(r, contradiction=True),
        "a ball": changed(r, scope=Scope.BALL, radius=1.0),
        "exact": changed(r, exact=True, grid=1 / 255),
    }
    assert [what for what, claim in false.items() if claim.verify()] == []
    assert changed(r, low=r.low - 1, distance=r.distance * 2).verify()  # says less


@pytest.mark.exhaustive
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_encoded_input_is_inside_of_what_is_proved_everywhere(layer):
    generator = np.random.default_rng(7)
    chain = random_chain(generator, (4, 12, 14, 16))
    net = as_network(chain)
    for x in generator.uniform(size=(6, 4)):
        y = outputs(chain[: layer + 1], x)
        step = max(float(y.max()), 1.0) / 255.0
        codes = np.rint(y / step) * step
        r = fs.recover(net, codes, layer=layer, within=step / 2 * (1 + 1e-9))
        assert layer == 2 or r.scope == Scope.DOMAIN
        if r.scope == Scope.DOMAIN:
            assert ((r.low <= x) & (x <= r.high)).all()
            assert np.linalg.norm(x - r.x) <= r.distance
            assert r.verify()


def test_features_that_no_input_has_are_a_contradiction_through_layers():
    chain = random_chain(np.random.default_rng(8), (3, 12, 14), clips=0.0)
    net, y = as_network(chain), outputs(chain, np.full(3, 0.5))
    r = fs.recover(net, y + 3.0, layer=1, within=0.01)
    assert r.contradiction
    assert "grid" not in r.reason
    assert "features" in r.reason or "contradict" in r.reason
    assert r.verify()
    assert not changed(r, within=np.full(14, 4.0)).verify()


def test_features_that_no_input_has_say_how_far_an_output_is():
    layer = fs.ReLULayer(np.array([[1.0], [1.0], [0.0]]), np.array([0.0, 0.0, 1.0]))
    apart = fs.recover(layer, [0.25, 0.75, 1.0], within=0.1)
    assert apart.contradiction
    assert apart.verify()
    assert "0.15" in apart.reason  # the nearest output is 0.5 in both, 0.25 away where 0.1 is allowed
    assert not changed(apart, within=np.full(3, 0.3)).verify()
    assert not changed(apart, contradiction=False, scope=Scope.DOMAIN, radius=np.inf).verify()
    below = fs.recover(as_network([(np.eye(2), np.zeros(2), 0.0, np.inf)] * 2), [-1.0, 0.5], layer=1, within=0.25)
    assert below.contradiction
    assert below.verify()
    assert "0.75" in below.reason


def behind(kind: PointwiseKind) -> fs.Network:
    """Eight units of a curve behind three inputs, and nine ReLUs."""
    generator = np.random.default_rng(5)
    first, second = Dense(generator.standard_normal((8, 3))), Dense(generator.standard_normal((9, 8)), np.full(9, 4.0))
    curve = Stage("2", activation=Pointwise(kind, 8))
    return fs.Network((affine_stage("1", first), curve, affine_stage("3", second), relu_stage("4", 9)), (3,))


@pytest.mark.parametrize("kind", [PointwiseKind.TANH, PointwiseKind.SIGMOID, PointwiseKind.SOFTPLUS])
def test_nothing_else_near_is_proved_behind_strictly_increasing_units(kind):
    net, x = behind(kind), np.full(3, 0.25)
    for layer in (0, 1):
        r = fs.recover(net, net.evaluated(x[None], 2 * layer + 1)[0], layer, within=1e-9)
        assert r.scope is not Scope.NONE
        assert r.verify()
        assert np.linalg.norm(x - r.x) <= r.distance < 1e-5
        assert ((r.low <= x) & (x <= r.high)).all()
        assert not changed(r, distance=r.distance / 2, low=np.maximum(r.low, r.x - 1e-15)).verify()
    other = behind(PointwiseKind.TANH if kind != PointwiseKind.TANH else PointwiseKind.SIGMOID)
    assert not changed(r, source=other).verify()


def test_what_proves_nothing_is_a_guess_and_says_why():
    wide = as_network(random_chain(np.random.default_rng(5), (6, 4, 5)))
    y = wide(np.full((1, 6), 0.5))[0]
    r = fs.recover(wide, y, layer=1)
    assert r.scope == Scope.NONE
    assert r.reason
    assert not r.verify()
    assert (r.low == 0).all()
    assert (r.high == 1).all()
    assert r.residual < 1e-8
    assert "guess" in repr(r)
    unbounded = fs.recover(wide, y, layer=1, domain=None)
    assert np.isinf(unbounded.low).all()


def test_bad_input_is_one_clear_error(unchecked):
    net = as_network(random_chain(np.random.default_rng(6), (3, 8, 9)))
    y = net(np.zeros((1, 3)))[0]
    for message, arguments in {
        "features: expected 9 numbers, the output of layer 1": {"features": y[:8], "layer": 1},
        "features: expected 8 numbers, the output of layer 0": {"features": y, "layer": 0},
        "features: expected finite numbers": {"features": y * np.nan, "layer": 1},
        "layer: expected a number from 0 to 1": {"features": y, "layer": 2},
        "within: expected finite numbers of at least 0": {"features": y, "layer": 1, "within": -1e-3},
        "within: expected a number, or 9 of them": {"features": y, "layer": 1, "within": [0.1, 0.2]},
        "grid: expected a step above 0": {"features": y, "layer": 1, "grid": 0.0},
        "grid: expected a bounded domain": {"features": y, "layer": 1, "grid": 1 / 255, "domain": None},
        "grid: expected at most": {"features": y, "layer": 1, "grid": 1e-12},
        "seconds: expected a positive number": {"features": y, "layer": 1, "seconds": 0},
        "domain: expected Box": {"features": y, "layer": 1, "domain": (0, 1)},
    }.items():
        with pytest.raises(fs.InputError, match=message):
            fs.recover(net, **arguments)
    with pytest.raises(fs.InputError, match="layer: expected a ReLULayer"):
        fs.recover(nn.Linear(3, 4), y)
    with pytest.raises(fs.InputError, match="layer: expected a number from 0 to 0"):
        fs.recover(fs.ReLULayer(np.eye(2)), [1.0, 1.0], layer=1)


def test_what_time_is_over_for_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer whose outputs tell too few numbers for a ball: without time its guess is a guess, and says why."""
    rng = np.random.default_rng(0)
    layer = fs.ReLULayer(rng.standard_normal((12, 10)), rng.standard_normal(12))
    y = layer(rng.random(10))
    assert (y > 0).sum() < 10
    plenty = fs.recover(layer, y, within=1e-6)
    assert plenty.scope is Scope.DOMAIN

    def begun(*_: object, **__: object) -> None:
        raise AssertionError("a search began after the time was over")

    for name in ("free_duals", "near_outputs"):
        monkeypatch.setattr(f"fiberscope.recovery.recover.{name}", begun)
    found = fs.recover(layer, y, within=1e-6, seconds=1e-9)
    assert found.scope is Scope.NONE
    assert "more seconds" in found.reason


def test_what_takes_far_longer_than_a_guess_is_begun_where_seconds_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = random_chain(np.random.default_rng(7), (4, 12, 14))
    net, x = as_network(chain), np.full(4, 0.5)
    y = outputs(chain, x) + 1e-3
    monkeypatch.setattr("fiberscope.recovery.tightening.SMALL", 10)
    unasked = fs.recover(net, y, layer=1, within=0.01)
    assert unasked.scope is not Scope.DOMAIN
    assert "seconds=" in unasked.reason
    asked = fs.recover(net, y, layer=1, within=0.01, seconds=60)
    assert asked.scope is Scope.DOMAIN
    assert ((asked.low <= x) & (x <= asked.high)).all()
