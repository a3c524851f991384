"""The attack: steps inside a box against scipy's, and inputs that are found again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

import fiberscope as fs
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.convolution import Convolution
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.network.structured import Rearrangement
from fiberscope.recovery import box_steps
from fiberscope.recovery.attack import attack
from fiberscope.recovery.linearized import AffineModel, NetworkModel
from fiberscope.recovery.starts import Start

sys.path.insert(0, str(Path(__file__).parent))

from networks import as_network, outputs, random_chain


def residual_net() -> fs.Network:
    """A residual block, max pooling and a clip."""
    generator, pad = np.random.default_rng(0), ((1, 1), (1, 1))
    first = Convolution(generator.standard_normal((3, 1, 3, 3)), (1, 6, 6), padding=pad)
    inner = Convolution(generator.standard_normal((3, 3, 3, 3)) / 3, (3, 6, 6), padding=pad)
    places = np.arange(108).reshape(3, 3, 2, 3, 2).transpose(0, 1, 3, 2, 4).reshape(27, 4)
    last = Dense(generator.standard_normal((12, 27)) / 5, generator.standard_normal(12))
    return fs.Network(
        (
            affine_stage("first", first),
            relu_stage("relu", 108),
            Stage("sum", (inner, Rearrangement(np.arange(108), 108)), sources=(1, 1)),
            relu_stage("relu of the sum", 108),
            Stage("pooling", activation=Maximum(places, 108)),
            affine_stage("last", last),
            Stage("clip", activation=Pointwise(PointwiseKind.CLIP, 12, 0.0, 6.0)),
        ),
        (1, 6, 6),
    )


@pytest.mark.parametrize("cheaper", ["factored", "conjugate gradients"])
def test_steps_are_the_best_ones_of_the_box(cheaper, monkeypatch):
    monkeypatch.setattr(box_steps, "FASTER", 1e9 if cheaper == "factored" else 1e-9)
    monkeypatch.setattr(box_steps, "CONJUGATE_SHARE", 1e-12)
    generator = np.random.default_rng(0)
    for _ in range(20):
        n, m, N = 6, 15, 3
        A, r = generator.standard_normal((m, n)), generator.standard_normal((N, m))
        slopes = generator.choice([0.0, 0.5, 1.0], size=(N, m), p=[0.2, 0.2, 0.6])
        low, high = -generator.random((N, n)) * (generator.random((N, n)) < 0.8), generator.random((N, n))
        around = AffineModel(torch.tensor(A), torch.zeros(m).double()).linearized(torch.zeros(N, n).double())
        steps = box_steps.steps_of(around, torch.tensor(slopes))
        b = torch.tensor(-(r * slopes) @ A)
        d, promised = steps.solve(
            torch.arange(N), b, torch.full((N,), 1e-12).double(), torch.tensor(low), torch.tensor(high)
        )
        for k in range(N):
            rows, left = slopes[k][:, None] * A, r[k] * (slopes[k] > 0)
            best = lsq_linear(rows, -left, bounds=(low[k] - 1e-15, high[k]), tol=1e-14).x
            np.testing.assert_allclose(d[k], best, atol=1e-6)
            gained = np.sum(left**2) / 2 - np.sum((rows @ best + left) ** 2) / 2
            assert float(promised[k]) == pytest.approx(gained, rel=1e-6)


def test_products_and_jacobians_are_those_of_torch():
    net = residual_net()
    model = NetworkModel(net, net.placed_layers[-1].stage - 1)
    X = torch.tensor(np.random.default_rng(0).uniform(size=(4, 36)))
    around = model.linearized(X)
    exact = torch.stack([torch.autograd.functional.jacobian(lambda x: model.values(x[None])[0], x) for x in X])
    V, U = torch.randn(4, 36).double(), torch.randn(4, around.values.shape[1]).double()
    torch.testing.assert_close(around.jacobian(), exact)
    torch.testing.assert_close(around.forward(V), (exact @ V[..., None])[..., 0])
    torch.testing.assert_close(around.adjoint(U), (exact.transpose(1, 2) @ U[..., None])[..., 0])


def test_inputs_are_found_again_from_features_of_every_layer():
    generator = np.random.default_rng(1)
    chain = random_chain(generator, (8, 40, 40, 30))
    net, X = as_network(chain), generator.uniform(size=(20, 8))
    for layer in range(3):
        Y = outputs(chain[: layer + 1], X).astype(np.float32).astype(np.float64)
        guess = attack(net, layer, Y, fs.Box(0, 1))
        found = np.abs(guess.x - X).max(axis=1) < 1e-5
        assert found.sum() >= 18, repr(guess)
        assert (guess.residual[found] < 1e-5).all()
        assert ((guess.x >= 0) & (guess.x <= 1)).all()


def test_branches_and_pooling_are_attacked_as_well():
    net = residual_net()
    X = np.random.default_rng(2).uniform(size=(3, 1, 6, 6))
    last = len(net.relu_layers) - 1
    Y = net(X).reshape(3, -1)
    guess = attack(net, last, Y, fs.Box(0, 1))
    assert guess.residual.max() < 1e-9  # 12 numbers of 36 pixels: some input is found, not X
    np.testing.assert_allclose(net(guess.x.reshape(X.shape)), Y, atol=1e-9)


@pytest.mark.parametrize("start", list(Start))
def test_every_start_finds_the_input_of_an_injective_layer(start):
    generator = np.random.default_rng(3)
    chain = random_chain(generator, (4, 30, 40), clips=0.0)
    X = generator.uniform(size=(5, 4))
    guess = attack(as_network(chain), 1, outputs(chain, X), fs.Box(0, 1), starts=(start,))
    assert set(guess.start) == {start}
    assert np.sum(np.abs(guess.x - X).max(axis=1) < 1e-9) >= 4


def test_units_that_are_off_or_saturated_only_bound_the_input():
    # z = x: off at 0 says x <= 0, saturated at 6 says x >= 6, whatever the start
    net = as_network([(np.eye(3), np.zeros(3), 0.0, 6.0)])
    guess = attack(net, 0, np.array([[0.0, 6.0, 2.5]]), fs.Box(-10, 10), starts=("random",), seed=3)
    assert guess.residual[0] == 0
    assert guess.x[0, 0] <= 0
    assert guess.x[0, 1] >= 6
    assert guess.x[0, 2] == pytest.approx(2.5)


@pytest.mark.parametrize("slope", [1.0, 0.25, 0.01])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_what_is_known_to_half_the_precision_counts_half(slope, spread):
    """Units that let less through, or are told to a wider interval: the least-squares fit in the intervals' units."""
    generator = np.random.default_rng(0)
    weight, x = generator.standard_normal((14, 5)), generator.standard_normal(5)
    module = torch.nn.Sequential(torch.nn.Linear(5, 14, bias=False), torch.nn.LeakyReLU(slope)).double().eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor(weight))
    within = 1e-6 * np.geomspace(1.0, spread, 14)
    z = weight @ x
    factors = np.where(z >= 0, 1.0, slope)
    sent = factors * z + within * generator.uniform(-1.0, 1.0, 14)
    assert ((sent >= 0) == (z >= 0)).all(), "no unit changes its side, so that the fit is linear"
    units = factors / within
    expected = np.linalg.lstsq(units[:, None] * weight, sent / within, rcond=None)[0]
    guess = attack(fs.from_torch(module), 0, sent[None], None, within=within)
    np.testing.assert_allclose(guess.x[0], expected, atol=1e-7)


@pytest.mark.parametrize("power", [-30, 30])
def test_scales_of_inputs_and_features_do_not_matter(power):
    generator, scale = np.random.default_rng(4), 2.0**power
    chain = random_chain(generator, (5, 20, 20), clips=0.0)
    X = generator.uniform(size=(4, 5))
    guess = attack(as_network(chain), 1, outputs(chain, X), fs.Box(0, 1))
    (A, b, *_), (B, c, *_) = chain
    moved = as_network([(A / scale, b, 0.0, np.inf), (B * scale, c * scale, 0.0, np.inf)])
    again = attack(moved, 1, outputs(chain, X) * scale, fs.Box(0, scale))
    np.testing.assert_allclose(again.x / scale, guess.x, atol=1e-9)
    assert again.steps.tolist() == guess.steps.tolist()


def test_a_budget_ends_it_and_no_start_is_refused():
    net = residual_net()
    Y = net(np.random.default_rng(5).uniform(size=(2, 1, 6, 6))).reshape(2, -1)
    assert attack(net, len(net.relu_layers) - 1, Y, fs.Box(0, 1), seconds=1e-9).steps.sum() == 0
    with pytest.raises(fs.InputError, match="starts: expected at least one"):
        attack(net, 0, Y, starts=())


def test_batches_of_a_map_that_is_the_same_everywhere_go_on_sample_by_sample():
    """Samples end at different steps, while one matrix serves all."""
    generator = np.random.default_rng(11)
    net = as_network(random_chain(generator, (4, 30), clips=0.0))
    X = np.vstack([np.full((1, 4), 0.5), generator.random((6, 4))])
    stage = net.placed_layers[0].stage
    guess = attack(net, 0, net.evaluated(X, stage), fs.Box(0, 1))
    np.testing.assert_allclose(guess.x, X, atol=1e-9)
