"""Clips in every format: their layers have the bounds that the model states, and are judged."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import nn

import fiberscope as fs
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.readers.keras import from_keras
from keras_models import K, Later, assert_same, functional, sequential
from readers.onnx_models import model_of, written

ops: Any = Later("keras.ops")
Bounds = tuple[float, float]


def bounds_of(net: Network) -> list[Bounds]:
    """The bounds of every layer, which are the same for all its units."""
    found: list[Bounds] = []
    for layer in net.relu_layers:
        low, high = np.unique(layer.low), np.unique(layer.high)
        assert len(low) == len(high) == 1
        found.append((float(low[0]), float(high[0])))
    return found


# ---- torch


class Called(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(3, 4), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.linear(x))


TORCH: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], Bounds]] = {
    "relu6": (nn.functional.relu6, (0.0, 6.0)),
    "ReLU6": (nn.ReLU6(), (0.0, 6.0)),
    "Hardtanh": (nn.Hardtanh(), (-1.0, 1.0)),
    "hardtanh": (lambda x: nn.functional.hardtanh(x, 0.25, 0.5), (0.25, 0.5)),
    "Hardsigmoid": (nn.Hardsigmoid(), (0.0, 1.0)),
    "clamp": (lambda x: torch.clamp(x, -2, 0.5), (-2.0, 0.5)),
    "clip": (lambda x: x.clip(-0.25, 0.5), (-0.25, 0.5)),
    "min only": (lambda x: torch.clamp(x, min=0.25), (0.25, inf)),
    "max only": (lambda x: torch.clamp(x, max=0.25), (-inf, 0.25)),
    "from 0": (lambda x: torch.clamp(x, min=0), (0.0, inf)),
    "maximum": (lambda x: torch.maximum(x, torch.tensor(-0.25)), (-0.25, inf)),
    "minimum": (lambda x: torch.minimum(x, torch.full((4,), 0.25)), (-inf, 0.25)),
    "threshold": (lambda x: nn.functional.threshold(x, 0.25, 0.25), (0.25, inf)),
    "tensor bounds that are one number": (lambda x: torch.clamp(x, torch.zeros(4), torch.ones(4)), (0.0, 1.0)),
    "one point": (lambda x: torch.clamp(x, 0.5, 0.5), (0.5, 0.5)),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str):
    function, bounds = TORCH[name]
    module = Called(function).eval()
    net = fs.from_torch(module, input_shape=(3,))
    assert bounds_of(net) == [bounds]
    X = torch.randn(20, 3)
    np.testing.assert_allclose(net(X.numpy()), module(X).detach().numpy(), rtol=1e-5, atol=1e-6)
    if name != "Hardsigmoid":  # its slope is folded into the rows
        np.testing.assert_array_equal(net.relu_layers[0].weight, module.linear.weight.detach().double().numpy())  # type: ignore[union-attr]
        assert not net.all_notes
    else:
        assert any("folding rounds to float64" in note for note in net.all_notes)


def test_bounds_that_differ_from_unit_to_unit_are_layers_of_relus():
    module = Called(lambda x: torch.clamp(x, torch.arange(4.0) / 8, torch.ones(4))).eval()
    net = fs.from_torch(module, input_shape=(3,))
    assert bounds_of(net) == [(0.0, inf), (0.0, inf)]
    X = torch.randn(20, 3)
    np.testing.assert_allclose(net(X.numpy()), module(X).detach().numpy(), rtol=1e-5, atol=1e-6)


class Inverted(nn.Module):
    """An inverted residual block of MobileNetV2 [Sandler et al. 2018]: expand, one filter a channel, project."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        expand = [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        self.convolutions = nn.Sequential(
            *(expand if expansion > 1 else []),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.convolutions(x) if self.adds else self.convolutions(x)


def mobile_net() -> nn.Module:
    """MobileNetV2 with all of its blocks, and few channels."""
    plan = [(1, 2, 1, 1), (2, 3, 2, 2), (2, 4, 3, 2), (2, 5, 4, 2), (2, 6, 3, 1), (2, 7, 3, 1), (2, 8, 1, 1)]
    parts: list[nn.Module] = [nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU6()]
    channels = 4
    for expansion, outputs, repeats, stride in plan:
        for i in range(repeats):
            parts.append(Inverted(channels, outputs, stride if i == 0 else 1, expansion))
            channels = outputs
    parts += [nn.Conv2d(channels, 9, 1, bias=False), nn.BatchNorm2d(9), nn.ReLU6()]
    net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 3))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # some units are saturated
            nn.init.uniform_(module.weight, 1.0, 8.0)
            nn.init.uniform_(module.bias, -1.0, 4.0)
    return net.eval()


def test_all_35_layers_of_mobile_net_are_judged(tmp_path: Path):
    """The layer behind a residual sum is judged in the linear region; the sum itself has no activation."""
    module = mobile_net()
    net = fs.from_torch(module, input_shape=(3, 16, 16))
    assert bounds_of(net) == [(0.0, 6.0)] * 35
    assert not net.unjudged_layers
    regions = [i for i, layer in enumerate(net.relu_layers) if isinstance(layer, RegionLayer)]
    assert len(regions) == 10  # as many as there are residual sums
    assert all(net.placed_layers[i].received == (0.0, 6.0) for i in range(1, 35))
    x = np.random.default_rng(0).uniform(size=(1, 3, 16, 16))
    for i in (*regions[:2], regions[-1]):
        placed = net.placed_layers[i]
        local = placed.layer.at(net.layer_input(i, x)[0])  # type: ignore[union-attr]
        z = (local.layer.weight @ local.x + local.layer.bias)[local.layer.definitions :]
        outputs = dict(net.stage_outputs(torch.tensor(x.reshape(1, -1))))
        np.testing.assert_allclose(np.clip(z, 0, 6), outputs[placed.stage][0].numpy(), rtol=1e-10, atol=1e-10)
    net.save(tmp_path / "mobile.safetensors")
    assert bounds_of(fs.load(tmp_path / "mobile.safetensors")) == [(0.0, 6.0)] * 35


# ---- ONNX

NODES: dict[str, tuple[Any, dict[str, Any], int, Bounds]] = {
    "attributes": (helper.make_node("Clip", ["h"], ["y"], min=0.0, max=6.0), {}, 7, (0.0, 6.0)),
    "attributes, opset 10": (helper.make_node("Clip", ["h"], ["y"], max=0.5), {}, 10, (-inf, 0.5)),
    "inputs": (helper.make_node("Clip", ["h", "l", "u"], ["y"]), {"l": -1.0, "u": 0.5}, 11, (-1.0, 0.5)),
    "inputs, opset 13": (helper.make_node("Clip", ["h", "", "u"], ["y"]), {"u": 0.5}, 13, (-inf, 0.5)),
    "no bounds that count": (
        helper.make_node("Clip", ["h", "l", "u"], ["y"]),
        {"l": 0.25, "u": float(np.finfo(np.float32).max)}, 13, (0.25, inf),
    ),
    "infinite bounds": (helper.make_node("Clip", ["h", "l", "u"], ["y"]), {"l": 0.0, "u": inf}, 13, (0.0, inf)),
    "a ReLU": (helper.make_node("Clip", ["h", "l"], ["y"]), {"l": 0.0}, 13, (0.0, inf)),
    "one point": (helper.make_node("Clip", ["h", "l", "l"], ["y"]), {"l": 0.5}, 13, (0.5, 0.5)),
    "max": (helper.make_node("Max", ["h", "l"], ["y"]), {"l": 0.25}, 13, (0.25, inf)),
    "min": (helper.make_node("Min", ["h", "u"], ["y"]), {"u": 0.25}, 8, (-inf, 0.25)),
    "hard sigmoid": (helper.make_node("HardSigmoid", ["h"], ["y"], alpha=0.25, beta=0.5), {}, 7, (0.0, 1.0)),
    "hard sigmoid of 22": (helper.make_node("HardSigmoid", ["h"], ["y"]), {}, 22, (0.0, 1.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_onnx(name: str, tmp_path: Path):
    node, constants, opset, bounds = NODES[name]
    rng = np.random.default_rng(0)
    arrays = {key: np.array(value, dtype=np.float32) for key, value in constants.items()}
    arrays |= {"A": rng.standard_normal((4, 3)).astype(np.float32), "b": rng.standard_normal(4).astype(np.float32)}
    gemm = helper.make_node("Gemm", ["x", "A", "b"], ["h"], "first", transB=1)
    model = model_of([gemm, node], (1, 3), arrays, opset=opset)
    net = fs.load(written(model, tmp_path / "m.onnx"))
    assert bounds_of(net) == [bounds]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for x in rng.standard_normal((10, 1, 3)).astype(np.float32):
        np.testing.assert_allclose(net(x)[0], session.run(None, {"x": x})[0][0], rtol=1e-5, atol=1e-6)


# ---- Keras

KERAS: dict[str, tuple[Callable[[Any], Any], Bounds]] = {
    "relu6": (lambda x: K.Activation("relu6")(x), (0.0, 6.0)),
    "max_value": (lambda x: K.ReLU(max_value=0.5)(x), (0.0, 0.5)),
    "hard_tanh": (lambda x: K.Activation("hard_tanh")(x), (-1.0, 1.0)),
    "hard_sigmoid": (lambda x: K.Activation("hard_sigmoid")(x), (0.0, 1.0)),
    "ops.clip": (lambda x: ops.clip(x, -0.25, 0.5), (-0.25, 0.5)),
    "ops.clip from 0": (lambda x: ops.clip(x, 0.0, np.inf), (0.0, inf)),
    "ops.maximum": (lambda x: ops.maximum(x, 0.25), (0.25, inf)),
    "ops.minimum": (lambda x: ops.minimum(0.5, x), (-inf, 0.5)),
}


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("name", KERAS)
def test_keras(name: str):
    function, bounds = KERAS[name]
    x = K.Input((3,))
    model = functional(x, function(K.Dense(4, bias_initializer="normal")(x)))
    net = from_keras(model)
    assert bounds_of(net) == [bounds]
    assert_same(net, model)


def test_keras_activations_within_layers():
    model = sequential((3,), K.Dense(4, activation="relu6"), K.Dense(3, activation="hard_tanh"))
    assert bounds_of(from_keras(model)) == [(0.0, 6.0), (-1.0, 1.0)]


def test_keras_bounds_that_are_no_numbers_are_refused():
    x = K.Input((3,))
    for make, reason in (
        (lambda: ops.clip(x, np.zeros((1, 3), "float32"), 1.0), "its bounds are not one number each"),
        (lambda: ops.clip(x, 2.0, 1.0), "its bounds 2 and 1 are not in order"),
        (lambda: ops.maximum(x, np.ones((1, 3), "float32")), "one operand is a constant tensor"),
    ):
        with pytest.raises(fs.ModelError, match=reason):
            from_keras(functional(x, K.Dense(2)(make())))
