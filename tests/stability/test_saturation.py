"""Derivatives of activations against automatic differentiation, and the bounds that they imply."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from known_spectra import truth

ACTIVATIONS = {
    "relu": (nn.ReLU(), 1.0), "leaky_relu": (nn.LeakyReLU(0.2), 1.0), "elu": (nn.ELU(1.7), 1.7),
    "tanh": (nn.Tanh(), 1.0), "sigmoid": (nn.Sigmoid(), 0.25), "softplus": (nn.Softplus(2.0), 1.0),
    "clip": (nn.Hardtanh(-0.5, 1.5), 1.0),
}  # fmt: skip


def derivatives(module: nn.Module, Z: torch.Tensor) -> np.ndarray:
    """Of a module that acts on every number alone."""
    Z = Z.clone().requires_grad_()
    return torch.autograd.grad(module(Z).sum(), Z)[0].abs().numpy()


@pytest.fixture(params=sorted(ACTIVATIONS), name="kind")
def _kind(request):
    return request.param


def first_layer(kind: str, scale: float = 4.0) -> tuple[nn.Sequential, fs.Network, np.ndarray]:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(6, 15), ACTIVATIONS[kind][0]).double().eval()
    with torch.no_grad():
        module[0].weight *= scale
    return module, fs.from_torch(module, input_shape=(6,)), np.random.default_rng(3).standard_normal((9, 6))


def test_the_numbers_are_those_of_the_derivatives(kind):
    module, net, X = first_layer(kind)
    with torch.no_grad():
        Z = module[0](torch.tensor(X))
    d = derivatives(module[1], Z)
    (found,) = fs.saturation(net, X)
    assert (found.stage, found.kind, found.units) == (1, kind, 15)
    np.testing.assert_allclose(found.smallest, d.min(axis=1), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(found.median, np.median(d, axis=1), rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(found.largest, d.max(axis=1), rtol=1e-10, atol=1e-15)
    flat = 0.01 * ACTIVATIONS[kind][1]
    np.testing.assert_array_equal(found.saturated, (d <= flat).mean(axis=1))
    np.testing.assert_array_equal(found.inactive, (d == 0).mean(axis=1))
    np.testing.assert_array_equal(found.always_inactive, (d == 0).all(axis=0))
    assert (found.saturated > 0).any() == (kind != "leaky_relu")
    assert (found.inactive > 0).any() == (kind in ("relu", "clip"))


def test_saturation_begins_where_it_is_said_to():
    net = fs.from_torch(nn.Sequential(nn.Linear(2, 2, bias=False), nn.Tanh(), nn.Sigmoid()).double().eval())
    object.__setattr__(net.stages[0].maps[0], "weight", torch.eye(2, dtype=torch.float64))
    tanh = fs.saturation(net, [[2.98, 0.0], [3.0, 0.0]])[0]
    np.testing.assert_array_equal(tanh.saturated, [0, 0.5])
    single = fs.from_torch(nn.Sequential(nn.Sigmoid()).eval(), input_shape=(2,))
    (sigmoid,) = fs.saturation(single, [[5.98, 0.0], [-6.0, 0.0]])
    np.testing.assert_array_equal(sigmoid.saturated, [0, 0.5])


@pytest.mark.parametrize("slope", [0.01, 0.011])
def test_a_leaky_relu_of_one_per_cent_counts_as_saturated_and_a_steeper_one_does_not(slope):
    net = fs.from_torch(nn.Sequential(nn.LeakyReLU(slope)).eval(), input_shape=(4,))
    (found,) = fs.saturation(net, [1.0, -1.0, -2.0, 0.0])
    assert found.saturated[0] == (0.75 if slope == 0.01 else 0)
    assert found.inactive[0] == 0
    assert found.condition_factor[0] == pytest.approx(1 / slope)


def test_singular_values_are_kept_up_to_the_derivatives(kind):
    module, net, X = first_layer(kind, scale=1.5)
    A = module[0].weight.detach().numpy()
    for x in X:
        d = derivatives(module[1], module[0](torch.tensor(x)[None]).detach())[0]
        before, after = truth(A), truth(d[:, None] * A)
        (found,) = fs.saturation(net, x)
        assert found.smallest[0] * before[-1] <= after[-1] * (1 + 1e-12)
        assert after[0] <= found.largest[0] * before[0] * (1 + 1e-12)
        ours = fs.singular_values(fs.linearize(net, x))
        np.testing.assert_allclose(ours.values, after, atol=1e-13)
        if found.smallest[0] > 0:
            assert after[0] / after[-1] <= before[0] / before[-1] * found.condition_factor[0] * (1 + 1e-12)
        else:
            assert found.condition_factor[0] == np.inf


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.last = nn.Linear(27, 4)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        x = nn.functional.max_pool2d(torch.relu(self.second(x) + x), 2)
        return torch.sigmoid(self.last(x.flatten(1)))


def test_every_pointwise_activation_of_a_graph_in_order():
    torch.manual_seed(2)
    module = Branches().double().eval()
    net = fs.from_torch(module, input_shape=(1, 6, 6))
    X = np.random.default_rng(0).standard_normal((5, 1, 6, 6))
    found = fs.saturation(net, X)
    assert [part.kind for part in found] == ["tanh", "relu", "sigmoid"]
    assert [part.units for part in found] == [108, 108, 4]
    with torch.no_grad():
        Z = module.first(torch.tensor(X)).flatten(1)
        W = (module.second(torch.tanh(Z.reshape(5, 3, 6, 6))) + torch.tanh(Z.reshape(5, 3, 6, 6))).flatten(1)
    np.testing.assert_allclose(found[0].median, np.median(1 - np.tanh(Z.numpy()) ** 2, axis=1), rtol=1e-10, atol=1e-15)
    np.testing.assert_array_equal(found[1].inactive, (W.numpy() <= 0).mean(axis=1))
    assert [part.stage for part in fs.saturation(net, X, stage=found[1].stage)] == [found[0].stage, found[1].stage]
    alone = [fs.saturation(net, x) for x in X]
    for number, part in enumerate(found):
        np.testing.assert_allclose(part.smallest, [parts[number].smallest[0] for parts in alone], rtol=1e-12)


def test_units_that_are_off_at_all_samples(monkeypatch):
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).double().eval()
    module[0].weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]).double()
    module[0].bias.data = torch.tensor([0.0, 0.0, -1.0]).double()
    net = fs.from_torch(module)
    X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    monkeypatch.setattr("fiberscope.stability.saturation.BATCH_NUMBERS", 3)  # a batch per sample
    (found,) = fs.saturation(net, X)
    np.testing.assert_array_equal(found.always_inactive, [False, False, True])
    np.testing.assert_allclose(found.inactive, [2 / 3, 2 / 3, 1])


def test_a_network_without_activations_has_nothing_to_saturate():
    assert fs.saturation(fs.from_torch(nn.Sequential(nn.Linear(2, 3)).eval()), np.ones(2)) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((np.ones(3),), "shape"), ((np.full(6, np.nan),), "finite"), ((np.ones(6), 7), "stage")],
)
def test_bad_input(arguments, message):
    _, net, _ = first_layer("tanh")
    with pytest.raises(fs.InputError, match=message):
        fs.saturation(net, *arguments)
