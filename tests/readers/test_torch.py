"""Converted networks equal the modules they came from; what cannot be converted is refused by name."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

import fiberscope as fs


def module_in_float64(module: nn.Module, X: np.ndarray) -> np.ndarray:
    """The module itself, run in float64 on a copy of its numbers."""
    copies = {name: tensor.double() for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    with torch.no_grad():
        return torch.func.functional_call(module, copies, (torch.as_tensor(X),)).numpy()


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Random parameters and statistics, and evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            if name.endswith("running_var"):
                tensor.abs_().add_(0.1)
    return module.eval()


@st.composite
def chains(draw: st.DrawFn) -> tuple[nn.Module, int]:
    """A random chain of supported modules, some of them nested, and its number of inputs."""
    inputs = size = draw(st.integers(1, 5))
    parts: list[nn.Module] = []
    for kind in draw(
        st.lists(st.sampled_from(["linear", "relu", "batchnorm", "dropout", "flatten", "nested"]), max_size=7)
    ):
        match kind:
            case "linear":
                following = draw(st.integers(1, 5))
                parts.append(nn.Linear(size, following, bias=draw(st.booleans())))
                size = following
            case "relu":
                parts.append(nn.ReLU(inplace=draw(st.booleans())))
            case "batchnorm":
                parts.append(nn.BatchNorm1d(size, affine=draw(st.booleans())))
            case "dropout":
                parts.append(nn.Dropout())
            case "flatten":
                parts.append(nn.Flatten())
            case _:
                parts.append(nn.Sequential(nn.Identity(), nn.Linear(size, size), nn.ReLU()))
    if draw(st.booleans()):
        parts.append(nn.Softmax(dim=1) if draw(st.booleans()) else nn.LogSoftmax(dim=-1))
    return randomised(nn.Sequential(nn.Linear(inputs, inputs), *parts), draw(st.integers(0, 2**31))), inputs


@settings(max_examples=60)
@given(chains())
def test_a_random_chain_equals_its_module(case: tuple[nn.Module, int]):
    module, inputs = case
    network = fs.from_torch(module)
    X = np.random.default_rng(1).standard_normal((20, inputs))
    ours = network(X)
    if any("left off" in note for note in network.notes):
        ours = getattr(torch, "softmax" if isinstance(module[-1], nn.Softmax) else "log_softmax")(
            torch.as_tensor(ours), dim=1
        ).numpy()
    np.testing.assert_allclose(ours, module_in_float64(module, X), rtol=1e-9, atol=1e-9)
    assert len(network.relu_layers) == len(network.layer_names)
    for i, layer in enumerate(network.relu_layers):
        assert network.layer_input(i, X).shape == (20, layer.inputs)


def test_stages_and_names_follow_the_model():
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 3), nn.ReLU())).eval()
    network = fs.from_torch(module, input_shape=(1, 2, 3))
    assert [(stage.name, str(stage.kind)) for stage in network.stages] == [
        ("1", "affine"),
        ("2", "relu"),
        ("3.0", "affine"),
        ("3.1", "relu"),
    ]
    assert network.input_shape == (1, 2, 3)
    assert network.layer_names == ("1", "3.0")
    np.testing.assert_array_equal(network.relu_layers[0].weight, module[1].weight.detach().numpy().astype(np.float64))
    assert network.notes == ()


class OutOfOrder(nn.Module):
    """Its parts are made in another order than they are used, partly through functions."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 2)
        self.drop = nn.Dropout()
        self.first = nn.Linear(12, 3)

    def forward(self, x):
        x = x.view(x.size(0), -1)
        x = F.dropout(F.relu(self.first(x)), 0.5, self.training)
        return torch.log_softmax(self.drop(F.linear(x, self.last.weight, self.last.bias).relu()), dim=-1)


def test_the_order_is_that_of_forward():
    module = randomised(OutOfOrder(), 0)
    network = fs.from_torch(module, input_shape=(3, 4))
    X = np.random.default_rng(0).standard_normal((5, 3, 4))
    assert network.layer_names == ("first", "linear")
    expected = torch.log_softmax(torch.as_tensor(network(X)), dim=-1).numpy()
    np.testing.assert_allclose(module_in_float64(module, X), expected, rtol=1e-12, atol=1e-12)
    assert any("log_softmax" in note for note in network.notes)


class Reused(nn.Module):
    """One linear module used twice."""

    def __init__(self):
        super().__init__()
        self.same = nn.Linear(3, 3)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.same(self.relu(self.same(x)))).reshape(-1, 3).reshape(x.shape[0], 3)


def test_a_module_used_twice_is_two_layers():
    network = fs.from_torch(randomised(Reused(), 0))
    assert network.layer_names == ("same", "same#2")
    np.testing.assert_array_equal(network.relu_layers[0].weight, network.relu_layers[1].weight)


def test_folding_is_told():
    module = randomised(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3), nn.Linear(3, 2), nn.ReLU()), 0)
    network = fs.from_torch(module)
    assert network.input_shape == (2,)
    assert network.layer_names == ("1 + 2",)
    assert [("folded" in note, "composed" in note) for note in network.notes] == [(True, False), (False, True)]


def test_single_modules_are_chains():
    assert len(fs.from_torch(nn.Linear(3, 2).eval()).stages) == 1
    relu = fs.from_torch(nn.ReLU().eval(), input_shape=2)
    np.testing.assert_array_equal(relu([[-1, 1]]), [[0, 1]])


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.BatchNorm1d(2)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()
    fs.from_torch(module)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in module.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert not module.training


def test_half_precision_numbers_are_taken_exactly():
    module = nn.Linear(2, 2).to(torch.bfloat16).eval()
    np.testing.assert_array_equal(
        fs.from_torch(nn.Sequential(module, nn.ReLU()).eval()).relu_layers[0].weight,
        module.weight.detach().float().numpy(),
    )


def test_training_mode_is_refused():
    with pytest.raises(fs.ModelError, match=r"call module\.eval\(\)"):
        fs.from_torch(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval()
    module[1].train()
    with pytest.raises(fs.ModelError, match="training mode"):
        fs.from_torch(module)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(1, 1, 3)
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        return torch.sigmoid(self.linear(x)) + x


def test_unsupported_operations_are_all_named():
    with pytest.raises(fs.ModelError) as caught:
        fs.from_torch(Residual().eval())
    assert caught.value.unsupported == ("sigmoid (sigmoid)", "add (add)")
    module = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Linear(2, 2), nn.Tanh(), nn.Sequential(nn.GELU())).eval()
    with pytest.raises(fs.ModelError, match="supported are Linear, ReLU") as caught:
        fs.from_torch(module)
    assert caught.value.unsupported == ("0 (Conv2d)", "2 (Tanh)", "3.0 (GELU)")


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        self.a(x)  # computed and thrown away: no part of the result
        return self.b(x), self.a(x)


class ByValue(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class TwoInputs(nn.Module):
    def forward(self, x, z):
        return torch.relu(x + z)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Branching(), "output"),
        (ByValue(), "cannot be traced"),
        (TwoInputs(), "a second input"),
        (nn.Sequential(nn.Softmax(dim=1), nn.Linear(2, 2)), "only at the end"),
        (nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=0)), "Softmax"),
        (nn.Sequential(nn.Linear(2, 2), nn.Flatten(0)), "Flatten"),
        (nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)), "BatchNorm1d"),
        (nn.Sequential(nn.ReLU()), "pass input_shape="),
        (nn.Sequential(), "pass input_shape="),
        (nn.LazyLinear(2), "no values yet"),
        (nn.Linear(2, 2, device="meta"), "no values yet"),
    ],
)
def test_what_is_no_chain_is_refused(module: nn.Module, message: str):
    with pytest.raises(fs.ModelError, match=message):
        fs.from_torch(module.eval())


def test_what_is_no_module_is_refused():
    # in a fresh interpreter, because the tests check the types of all arguments before the function does
    code = "import fiberscope as fs\ntry: fs.from_torch('model.pt')\nexcept fs.InputError as error: print(error)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "module: expected a torch.nn.Module, got str\n"


def test_shapes_that_do_not_fit_are_refused():
    module = nn.Sequential(nn.Linear(4, 2), nn.ReLU()).eval()
    with pytest.raises(fs.ModelError, match=r"put nn\.Flatten\(\) before it"):
        fs.from_torch(module, input_shape=(3, 4))
    with pytest.raises(fs.ModelError, match="check input_shape"):
        fs.from_torch(module, input_shape=5)
    for wrong in ((), (0, 4), (-4,)):
        with pytest.raises(fs.InputError, match="positive integers"):
            fs.from_torch(module, input_shape=wrong)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(bad: float):
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    with torch.no_grad():
        module[0].weight[1, 0] = bad
    with pytest.raises(fs.ModelError, match=r"0\.weight.*finite.*\(1, 0\)"):
        fs.from_torch(module)


def test_a_hook_that_changes_values_is_noticed():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    module[0].register_forward_hook(lambda *args: args[2] + 1e-6)
    with pytest.raises(fs.ModelError, match="differs from the module"):
        fs.from_torch(module)
