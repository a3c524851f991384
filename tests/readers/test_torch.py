"""Converted networks equal the modules they came from; what cannot be converted is refused by name."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import fiberscope as fs
from torch_modules import Function, assert_same, randomised


def linear(inputs: int = 3, outputs: int = 3) -> nn.Linear:
    return nn.Linear(inputs, outputs)


# ---- names, order, notes


def test_stages_and_names_follow_the_model():
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 3), nn.ReLU())).eval()
    network = fs.from_torch(module, input_shape=(1, 2, 3))
    assert [(stage.name, stage.kind) for stage in network.stages] == [
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
    assert network.layer_names == ("first", "linear_1")
    assert_same(module, network, head=lambda out: torch.log_softmax(out, dim=-1))
    assert network.notes == ("log_softmax: the log_softmax at the end is left off; outputs are its inputs",)


def test_the_input_shape_is_that_of_the_part_that_comes_first():
    assert fs.from_torch(randomised(OutOfOrder())).input_shape == (12,)
    assert fs.from_torch(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3)).eval()).input_shape == (2,)


def test_a_module_used_twice_is_two_layers():
    module = Function(lambda m, x: m.relu(m.same(m.relu(m.same(x)))), same=linear(), relu=nn.ReLU())
    network = fs.from_torch(randomised(module))
    assert network.layer_names == ("same", "same#2")
    np.testing.assert_array_equal(network.relu_layers[0].weight, network.relu_layers[1].weight)


class Block(nn.Module):
    """A residual block as in ResNets."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
        self.conv2, self.bn2 = nn.Conv2d(2, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x
        return self.relu(out)


def test_residual_blocks():
    module = randomised(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    network = fs.from_torch(module, (1, 4, 4))
    assert_same(module, network)
    assert [(stage.name, stage.kind) for stage in network.stages] == [
        ("0", "affine"),
        ("1", "relu"),
        ("2.conv1", "affine"),
        ("2.relu", "relu"),
        ("2.conv2", "affine"),
        ("2.add", "affine"),
        ("2.relu#2", "relu"),
        ("3", "affine"),
    ]
    assert len(network.relu_layers) == 3


def test_folding_is_told():
    module = randomised(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3), nn.ReLU()))
    network = fs.from_torch(module)
    assert [stage.name for stage in network.stages] == ["0", "2", "3", "4"]
    assert network.notes == (
        "1: its constants are folded into '0'; folding rounds to float64, and verdicts are about the folded numbers",
        "3: batch norm is written as factors and constants, rounded to float64",
    )
    before = fs.from_torch(randomised(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3), nn.Linear(3, 2), nn.ReLU())))
    assert before.layer_names == ("1 + 2",)
    assert [("batch norm" in note, "composed" in note) for note in before.all_notes] == [(True, False), (False, True)]


def test_concatenated_relus_and_maxima_give_layers():
    twice = Function(lambda m, x: torch.cat([F.relu(m.linear(x)), F.relu(-m.linear(x))], 1), linear=linear())
    assert [layer.outputs for layer in fs.from_torch(randomised(twice)).relu_layers] == [6]
    absolute = Function(lambda m, x: m.linear(x).abs(), linear=linear())
    assert [layer.outputs for layer in fs.from_torch(randomised(absolute)).relu_layers] == [6]
    pooled = randomised(nn.Sequential(nn.Conv1d(1, 2, 3), nn.MaxPool1d(2), nn.ReLU()))
    network = fs.from_torch(pooled, (1, 6))
    assert [stage.kind for stage in network.stages] == ["affine", "relu", "maximum"]
    assert_same(pooled, network)


def test_single_modules():
    assert len(fs.from_torch(nn.Linear(3, 2).eval()).stages) == 1
    relu = fs.from_torch(nn.ReLU().eval(), input_shape=2)
    np.testing.assert_array_equal(relu([[-1, 1]]), [[0, 1]])
    same = fs.from_torch(nn.Identity().eval(), 2)
    np.testing.assert_array_equal(same([[-1, 1]]), [[-1, 1]])
    same = fs.from_torch(nn.Softmax(dim=1).eval(), 2)
    np.testing.assert_array_equal(same([[-1, 1]]), [[-1, 1]])


@pytest.mark.parametrize(
    "end", [nn.Softmax(dim=1), nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Softmax(1), nn.Flatten())]
)
def test_a_softmax_at_the_end_is_left_off(end: nn.Module):
    module = randomised(nn.Sequential(linear(), end))
    network = fs.from_torch(module)
    assert_same(module, network, head=lambda out: torch.softmax(out, 1))
    assert [note for note in network.notes if "left off" in note]


def test_the_agreement_is_told():
    agreement = fs.from_torch(randomised(nn.Sequential(linear(), nn.ReLU(), linear()))).agreement
    assert agreement is not None
    assert (agreement.original, agreement.places) == ("the module", 3)
    assert agreement.inputs >= 10
    assert agreement.units < 100


# ---- the caller's module


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.ReLU(inplace=True), linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2).double()).eval()
    module[3].register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    module[1].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    kept = {name: (id(tensor), tensor.dtype, tensor.requires_grad) for name, tensor in module.named_parameters()}
    hooks, attributes = (
        dict(module[3]._forward_pre_hooks),
        {name: set(vars(part)) for name, part in module.named_modules()},
    )
    state = torch.get_rng_state()
    network = fs.from_torch(module, 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert kept == {name: (id(t), t.dtype, t.requires_grad) for name, t in module.named_parameters()}
    assert all(parameter.grad is None for parameter in module.parameters())
    assert dict(module[3]._forward_pre_hooks) == hooks
    assert {name: set(vars(part)) for name, part in module.named_modules()} == attributes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert not any(part.training for part in module.modules())
    assert network.notes[-1] == "3 has hooks; what they change is part of the network"


def test_parameters_are_taken_exactly():
    module = nn.Sequential(nn.Linear(2, 2).to(torch.bfloat16), nn.ReLU()).eval()
    np.testing.assert_array_equal(
        fs.from_torch(module).relu_layers[0].weight, module[0].weight.detach().float().numpy()
    )
    double = nn.Sequential(nn.Linear(2, 2).double(), nn.ReLU()).eval()
    np.testing.assert_array_equal(fs.from_torch(double).relu_layers[0].weight, double[0].weight.detach().numpy())


def test_shared_parameters():
    module = Function(lambda m, x: m.second(F.relu(m.first(x))), first=linear(), second=linear())
    module.second.weight = module.first.weight
    assert_same(module, fs.from_torch(randomised(module)))


# ---- files


class Touching:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".bin", ".pt2"])
@pytest.mark.parametrize("writer", [torch.save, lambda item, path: path.write_bytes(pickle.dumps(item))])
def test_pickles_are_not_opened(tmp_path: Path, suffix: str, writer: Callable[[Any, Path], object]):
    marker, path = tmp_path / "marker", tmp_path / f"model{suffix}"
    writer(Touching(marker), path)
    with pytest.raises(fs.ModelError, match="can run any code when it is loaded") as caught:
        fs.load(path)
    assert caught.value.unsupported == (suffix,)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Touching(marker)))  # the test could have failed
    assert marker.exists()
