"""The local linear map against torch's automatic differentiation, and its region against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4 * 3 * 3, 5)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.relu(self.inner(x) + x)
        x = nn.functional.max_pool2d(x, 2)
        return self.last(x.flatten(1))


def smooth() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8),
        nn.Sigmoid(), nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 8), nn.Hardtanh(-0.3, 0.4), nn.Linear(8, 3),
    )  # fmt: skip


MODULES = {"residual": (Residual, (2, 6, 6)), "activations": (smooth, (6,))}


@pytest.fixture(params=sorted(MODULES), name="case")
def _case(request):
    build, shape = MODULES[request.param]
    torch.manual_seed(3)
    module = build().double().eval()
    x = np.random.default_rng(5).standard_normal(shape)
    return module, fs.from_torch(module, input_shape=shape), x


def test_the_matrix_is_the_jacobian_of_torch(case):
    module, net, x = case
    expected = (
        torch.func.jacrev(lambda v: module(v[None])[0])(torch.tensor(x)).reshape(net.outputs, -1).detach().numpy()
    )
    J = fs.linearize(net, x)
    assert J.shape == expected.shape
    np.testing.assert_allclose(J.matrix(), expected, atol=1e-14 * np.abs(expected).max(), rtol=1e-12)


def test_products_at_every_stage_agree_with_the_matrix_and_with_each_other(case):
    _, net, x = case
    generator = np.random.default_rng(0)
    for stage in range(len(net.stages)):
        J = fs.linearize(net, x, stage=stage)
        A = J.matrix()
        v, u = generator.standard_normal((J.shape[1], 3)), generator.standard_normal(J.shape[0])
        np.testing.assert_allclose(J @ v, A @ v, atol=1e-13)
        np.testing.assert_allclose(J @ v[:, 0], A @ v[:, 0], atol=1e-13)
        np.testing.assert_allclose(J.T @ u, A.T @ u, atol=1e-13)
        assert abs((J @ v[:, 0]) @ u - v[:, 0] @ (J.T @ u)) <= 1e-12 * np.linalg.norm(v[:, 0]) * np.linalg.norm(u)
        assert J.T.shape == J.shape[::-1]
        assert J.T.T is J


def test_tensors_come_back_as_tensors(case):
    _, net, x = case
    J = fs.linearize(net, x)
    v = torch.ones(J.shape[1], dtype=torch.float64)
    assert isinstance(J @ v, torch.Tensor)
    np.testing.assert_array_equal((J @ v).numpy(), J @ v.numpy())


def test_a_window_keeps_its_columns():
    torch.manual_seed(3)
    net = fs.from_torch(Residual().double().eval(), input_shape=(2, 6, 6))
    x = np.random.default_rng(5).standard_normal((2, 6, 6))
    J = fs.linearize(net, x, stage=2)
    W = J.window(np.s_[:, 1:4, 2:6])
    columns = np.arange(72).reshape(2, 6, 6)[:, 1:4, 2:6].ravel()
    assert W.window_shape == (2, 3, 4)
    np.testing.assert_array_equal(W.matrix(), J.matrix()[:, columns])
    u = np.random.default_rng(0).standard_normal(J.shape[0])
    np.testing.assert_array_equal(W.T @ u, (J.T @ u)[columns])


def test_the_region_ends_where_it_is_said_to_and_not_before():
    torch.manual_seed(1)
    module = Residual().double().eval()
    net = fs.from_torch(module, input_shape=(2, 6, 6))
    generator = np.random.default_rng(2)
    x = generator.standard_normal(72)
    J = fs.linearize(net, x)
    boundary = J.nearest_boundary
    assert boundary is not None
    assert 0 < boundary.distance == J.region_distance < 1
    A, y = J.matrix(), net(x.reshape(1, 2, 6, 6))[0]
    directions = generator.standard_normal((500, 72))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    inside = x + 0.999 * boundary.distance * directions
    np.testing.assert_allclose(net(inside.reshape(-1, 2, 6, 6)), y + (inside - x) @ A.T, atol=1e-13)
    across = _step_across(net, x, boundary)
    assert _pattern(net, x) == _pattern(net, x + 0.999 * across)
    assert _pattern(net, x) != _pattern(net, x + 1.001 * across)


def _step_across(net, x, boundary):
    """From x to the kink of the neuron that is named, straight along its row."""
    source = net.sources(boundary.stage)[0]
    local = fs.linearize(net, x, stage=source)
    z = dict(net.stage_outputs(torch.tensor(x)[None]))[source][0].numpy()
    activation = net.stages[boundary.stage].activation
    rows = local.matrix()
    if activation.kind == "relu":
        row, gap = rows[boundary.neuron], z[boundary.neuron]
    else:
        window = activation.index[boundary.neuron].numpy()
        first, second = window[np.argsort(-z[window])[:2]]
        row, gap = rows[first] - rows[second], z[first] - z[second]
    step = -gap * row / (row @ row)
    assert np.linalg.norm(step) == pytest.approx(boundary.distance, rel=1e-9)
    return step


def _pattern(net, x):
    local = fs.linearize(net, x).local
    return [tuple(vars(maps[0]).get("factor", vars(maps[0]).get("index")).tolist())
            for number, maps in local.maps.items() if number in local.before]  # fmt: skip


def test_a_sample_on_a_boundary_names_the_neuron_and_takes_the_constant_side():
    net = fs.from_torch(_layer([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [0.0, 1.0, 0.0]), input_shape=(2,))
    J = fs.linearize(net, [0.0, 1.0])
    assert J.region_distance == 0
    assert (J.nearest_boundary.stage, J.nearest_boundary.neuron) == (1, 0)
    np.testing.assert_array_equal(J.matrix(), [[0, 0], [0, 1], [0, 0]])


def test_regions_without_end_and_without_extent():
    affine = fs.from_torch(nn.Sequential(nn.Linear(3, 2)).double().eval(), input_shape=(3,))
    assert fs.linearize(affine, np.zeros(3)).nearest_boundary is None
    assert fs.linearize(affine, np.zeros(3)).region_distance == np.inf
    net = fs.from_torch(nn.Sequential(nn.Linear(3, 2), nn.Tanh()).double().eval(), input_shape=(3,))
    assert fs.linearize(net, np.zeros(3)).region_distance == 0


def _layer(weight, bias):
    linear = nn.Linear(len(weight[0]), len(weight)).double()
    linear.weight.data, linear.bias.data = torch.tensor(weight).double(), torch.tensor(bias).double()
    return nn.Sequential(linear, nn.ReLU()).eval()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: fs.linearize(net, np.zeros(2), stage=2), "expected a number from 0 to 1, got 2"),
        (lambda net: fs.linearize(net, np.zeros(3)), "expected one input of shape"),
        (lambda net: fs.linearize(net, [0.0, np.nan]), "finite"),
        (lambda net: fs.linearize(net, np.ones(2)) @ np.zeros(3), r"shape \(2,\) or \(2, k\)"),
        (lambda net: fs.linearize(net, np.ones(2)).T @ np.full(3, np.inf), "finite"),
        (lambda net: fs.linearize(net, np.ones(2)).matrix(max_bytes=8), "max_bytes"),
        (lambda net: fs.linearize(net, np.ones(2)).window(np.s_[2:]), "at least one"),
        (lambda net: fs.linearize(net, np.ones(2)).window(np.s_[:, 1]), "an index of the input shape"),
    ],
)
def test_bad_input(call, message):
    net = fs.from_torch(_layer([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 1.0, 0.0]), input_shape=(2,))
    with pytest.raises(fs.InputError, match=message):
        call(net)


NORMALISATION = {
    "cifar_base_kw": ([0.485, 0.456, 0.406], [0.225, 0.225, 0.225]),
    "resnet_2b": ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]),
}


@pytest.mark.parametrize("name", sorted(NORMALISATION))
def test_trained_networks_are_their_linearization_up_to_the_end_of_the_region(external, name):
    net = fs.load(external / "models" / f"{name}.onnx")
    mean, deviation = (np.array(numbers)[:, None, None] for numbers in NORMALISATION[name])
    with np.load(external / "data" / "cifar10_test_83.npz") as data:
        x = (data["x"][0] / 255.0 - mean) / deviation
    J = fs.linearize(net, x)
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((20, net.inputs))
    directions *= 0.999 * J.region_distance / np.linalg.norm(directions, axis=1, keepdims=True)
    inside = x + directions.reshape(-1, *x.shape)
    np.testing.assert_allclose(net(inside), net(x[None]) + directions @ J.matrix().T, atol=1e-12)
    assert 0 < J.region_distance < 1
    s = fs.singular_values(J)
    oracle = np.linalg.svd(J.matrix(), compute_uv=False)
    assert (np.abs(s.values - oracle) <= s.error_bound).all()
    assert s.rank == 10


@pytest.mark.parametrize("k", [-600, 600])
@pytest.mark.parametrize("by_columns", [False, True])
def test_the_end_of_the_region_does_not_depend_on_the_scale_of_the_weights(k, by_columns, monkeypatch):
    """Weights times 2^k move no kink; squares of them overflow or vanish."""
    if by_columns:
        monkeypatch.setattr("fiberscope.stability.region.ROW_BYTES", 0)
    distances = []
    for factor in (1.0, 2.0**k):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.MaxPool1d(2)).double().eval()
        with torch.no_grad():
            module[0].weight *= factor
            module[0].bias *= factor
        net = fs.from_torch(module, input_shape=(4,))
        distances.append(fs.linearize(net, [0.3, 0.1, 0.2, 0.7]).region_distance)
    assert 0 < distances[0] < np.inf
    assert distances[1] == pytest.approx(distances[0], rel=1e-14)
