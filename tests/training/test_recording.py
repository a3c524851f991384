"""What is read off a module while it runs: its layers, in order, each as an affine map."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fiberscope as fs
from fiberscope.errors import InputError
from fiberscope.network.rows import dense as dense_rows
from fiberscope.training import FrameBound
from fiberscope.training.recording import BRANCHES, RecordedLayer, recorded_layers
from fiberscope.training.rows import LayerRows
from penalised import Concatenated, Convolutional, Residual, Twice, batch, deep, dense, seeded

MODULES: dict[str, Callable[[], nn.Module]] = {
    "dense": dense,
    "deep": deep,
    "convolutional": lambda: seeded(Convolutional),
    "twice": lambda: seeded(Twice),
    "concatenated": lambda: seeded(Concatenated),
    "clip": lambda: seeded(lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU6(), nn.Linear(9, 8), nn.Hardtanh(-0.2, 0.1))),
    "pooled": lambda: seeded(
        lambda: nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.AvgPool1d(2), nn.ReLU(), nn.Flatten(),
                              nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Softplus())
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_layers_are_those_of_the_converted_network(name: str):
    module = MODULES[name]()
    x = batch(module)
    found = recorded_layers(module, x)
    network = fs.from_torch(module.eval(), input_shape=tuple(x.shape[1:]))
    assert len(found) == len(network.relu_layers)
    for number, (layer, placed) in enumerate(zip(found, network.placed_layers, strict=True)):
        assert isinstance(layer, RecordedLayer)
        rows = LayerRows(layer)
        expected = dense_rows(placed.layer.weight)
        assert tuple(rows.matrix.shape) == expected.shape
        torch.testing.assert_close(rows.matrix.double(), torch.tensor(expected), rtol=1e-4, atol=1e-5)
        received = torch.tensor(network.layer_input(number, x.numpy()))
        torch.testing.assert_close(layer.source.flatten(1).double(), received, rtol=1e-4, atol=1e-5)
        values = received @ torch.tensor(expected).mT + torch.tensor(placed.layer.bias)
        torch.testing.assert_close(rows.z.double(), values, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(rows.lengths.double(), torch.tensor(expected).norm(dim=1), rtol=1e-4, atol=1e-6)
        U = torch.randn(len(x), rows.outputs)
        torch.testing.assert_close(rows.adjoint(U), U @ rows.matrix, rtol=1e-4, atol=1e-5)


def test_lengths_of_rows_need_no_matrix():
    module = seeded(lambda: nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())).eval()
    module[1].running_var.copy_(torch.tensor([0.5, 2.0, 4.0]))
    layer = recorded_layers(module, torch.rand(2, 1, 24, 24))[0]
    assert isinstance(layer, RecordedLayer)
    rows = LayerRows(layer)
    assert not rows.is_dense
    torch.testing.assert_close(rows.lengths, rows.matrix.norm(dim=1))
    assert "matrix" in vars(rows), "asked for by this test alone"


def test_slopes_are_the_derivative_of_the_activation():
    module = deep().double()
    for layer, f in zip(
        recorded_layers(module, batch(module)), (torch.relu, functional.leaky_relu, torch.tanh), strict=True
    ):
        assert isinstance(layer, RecordedLayer)
        z = layer.values.detach().requires_grad_()
        (expected,) = torch.autograd.grad(f(z).sum(), z)
        torch.testing.assert_close(LayerRows(layer).slopes, expected)


def test_branches_count_and_cannot_be_chosen():
    module = seeded(Residual)
    found = recorded_layers(module, batch(module))
    assert [isinstance(each, str) for each in found] == [False, False, True]
    assert len(fs.from_torch(module.eval(), 6).relu_layers) == 3
    assert torch.isfinite(FrameBound(module)(batch(module)))
    with pytest.raises(InputError, match=BRANCHES):
        FrameBound(module, 2)


@pytest.mark.parametrize("training", [True, False])
def test_the_module_stays_as_it_is(training: bool):
    module = seeded(Convolutional).train(training)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.random.get_rng_state()
    x = batch(module)
    given = x.clone()
    FrameBound(module)(x).backward()
    assert module.training is training
    assert list(module.state_dict()) == list(before)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(random, torch.random.get_rng_state())
    assert torch.equal(x, given)
    for part in module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        assert not part._backward_hooks


def test_dropout_and_batch_statistics_play_no_part():
    module = seeded(Convolutional)
    x = batch(module)
    in_training = FrameBound(module.train())(x)
    assert torch.equal(in_training, FrameBound(module.train())(x))
    assert torch.equal(in_training, FrameBound(module.eval())(x))


def test_parametrized_weights_are_as_the_module_computes_them():
    module = dense()
    torch.nn.utils.parametrizations.spectral_norm(module[0])
    x = batch(module)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    first, second = FrameBound(module.train())(x), FrameBound(module)(x)
    assert torch.equal(first, second)
    first.backward()
    assert module[0].parametrizations.weight.original.grad.abs().sum() > 0
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name])


def without_layers(name: str) -> nn.Module:
    return {
        "linear": nn.Linear(6, 3),
        "two": nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)),
        "only an activation": nn.Sequential(nn.Flatten(), nn.ReLU()),
    }[name]


@pytest.mark.parametrize("name", ["linear", "two", "only an activation"])
def test_a_module_without_layers_is_refused(name: str):
    with pytest.raises(InputError, match="a ReLU, a clip or a strictly monotone activation"):
        FrameBound(without_layers(name))(torch.rand(2, 6))


@pytest.mark.parametrize("layers", [1, -2, [0, 5], "0", 0.5, [], [True]])
def test_bad_layers_are_refused(layers: object, unchecked: None):
    with pytest.raises(InputError, match="layers"):
        FrameBound(dense(), layers)(torch.rand(2, 6))  # type: ignore[arg-type]


def test_bad_batches_are_refused():
    for x in (torch.rand(2, 7), torch.rand(6), torch.rand(0, 6)):
        with pytest.raises(InputError, match="x: expected a batch"):
            FrameBound(dense())(x)


def test_bad_modules_are_refused(unchecked: None):
    with pytest.raises(InputError, match=r"torch\.nn\.Module"):
        FrameBound(lambda x: x)  # type: ignore[arg-type]
    bad: Tensor = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="a batch"):
        FrameBound(dense())(bad)
