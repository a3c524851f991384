"""Features that torch gives in float32 and float16, and codes, lie in the intervals that a runtime may give."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.recovery.attack import attack
from fiberscope.recovery.runtime import runtime_features


def dense_model() -> nn.Sequential:
    """Three layers of ReLUs, the last with clips."""
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 5), nn.ReLU6())


def conv_model() -> nn.Sequential:
    """Two convolutions and a dense layer."""
    parts = (nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(16, 6), nn.ReLU())


MODELS = {"dense": (dense_model, (6,)), "conv": (conv_model, (1, 4, 4))}


def given(model: nn.Sequential, X: np.ndarray, name: str, layers: int) -> list[np.ndarray]:
    """What torch gives after each activation."""
    kind = torch.float16 if name == "float16" else torch.float32
    run, found = model.to(kind), []
    values = torch.tensor(X, dtype=kind)
    with torch.no_grad():
        for part in run:
            values = part(values)
            if isinstance(part, nn.ReLU | nn.ReLU6):
                found.append(values.double().flatten(1).numpy())
    assert len(found) == layers
    return found


@pytest.mark.parametrize("scale", [1.0, 2.0**-9, 1000.0])
@pytest.mark.parametrize("name", ["float32", "float16"])
@pytest.mark.parametrize("which", MODELS)
def test_what_torch_gives_lies_in_the_intervals(which: str, name: str, scale: float) -> None:
    torch.manual_seed(0)
    build, shape = MODELS[which]
    model = build().eval()
    with torch.no_grad():
        model[0].bias.mul_(scale)
    X = scale * np.random.default_rng(0).random((20, *shape)).astype(np.float32).astype(np.float64)
    net = fs.from_torch(model, shape)
    for layer, values in enumerate(given(model, X, name, 3)):
        known = runtime_features(net, layer, X, name, fs.Box(0, scale))
        assert ((known.low <= values) & (values <= known.high)).all()
        assert ((known.middle - known.within <= known.low) & (known.high <= known.middle + known.within)).all()
        exact = net.evaluated(net.flat(X), net.placed_layers[layer].stage)
        assert ((known.low <= exact) & (exact <= known.high)).all()
        used = known.high - known.low
        assert (used < 2e-2 * np.abs(exact).max() + 2e-2 * scale).all(), "the intervals say something"


def test_codes_are_counted_by_hand() -> None:
    """Outputs 0, 0.3, 0.5 and 1 of step 1/255; the last code stands for all up to what the domain reaches."""
    weight = np.array([[-1.0], [0.3], [0.5], [1.0], [2.0]])
    net = Network((affine_stage("a", Dense(weight, np.zeros(5))), relu_stage("r", 5)), (1,))
    known = runtime_features(net, 0, np.array([[1.0]]), "int8", fs.Box(0, 3))
    step = 2.0 / 255
    middles = np.round(np.array([0.3, 0.5, 1.0]) / step) * step
    np.testing.assert_allclose(known.low[0], [0.0, *(middles - step / 2), 254.5 * step], rtol=1e-5)
    np.testing.assert_allclose(known.high[0], [step / 2, *(middles + step / 2), 6.0], rtol=1e-5)
    np.testing.assert_allclose(known.eps, step / 2, rtol=1e-5)


def test_the_last_code_hides_what_lies_beyond() -> None:
    """An input whose features are three times as large has the same code, and is not ruled out."""
    net = Network((affine_stage("a", Dense(np.eye(2), np.zeros(2))), relu_stage("r", 2)), (2,))
    known = runtime_features(net, 0, np.array([[0.25, 0.25]]), "int8", fs.Box(0, 1))
    r = fs.recover(net, known.middle[0], 0, known.within[0], fs.Box(0, 1))
    assert (known.low > 0.249).all()
    assert ((r.low <= 0.25) & (r.high == 1.0)).all()


def test_the_attack_is_not_drawn_to_the_middle_of_the_last_code() -> None:
    """One unit of three saturates; the other two tell the input."""
    weight = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    net = Network((affine_stage("a", Dense(weight, np.zeros(3))), relu_stage("r", 3)), (2,))
    x = np.array([[0.25, 0.125]])
    known = runtime_features(net, 0, x, "int8", fs.Box(0, 1))
    guess = attack(net, 0, known.middle, fs.Box(0, 1), within=known.within[0])
    np.testing.assert_allclose(guess.x, x, atol=0.375 / 255)


@pytest.mark.parametrize("k", [-20, 20])
@pytest.mark.parametrize("precision", ["float32", "int8", 0.01])
def test_scaling_the_inputs_scales_the_intervals(k: int, precision: str | float) -> None:
    rng = np.random.default_rng(3)
    A, B, X = rng.standard_normal((5, 4)), rng.standard_normal((4, 5)), rng.random((3, 4))

    def intervals(scale: float) -> list[np.ndarray]:
        stages = (affine_stage("a", Dense(A, np.zeros(5))), relu_stage("r", 5))
        net = Network((*stages, affine_stage("b", Dense(B, np.zeros(4))), relu_stage("s", 4)), (4,))
        at = precision if isinstance(precision, str) else precision * scale
        known = runtime_features(net, 1, X * scale, at, fs.Box(0, scale))
        return [known.low / scale, known.high / scale, known.eps / scale]

    for one, other in zip(intervals(1.0), intervals(2.0**k), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_numbers_are_within_eps_of_what_is_given() -> None:
    net = Network((affine_stage("a", Dense(np.eye(2), np.zeros(2))), relu_stage("r", 2)), (2,))
    x = np.array([[0.123, 0.9]])
    known = runtime_features(net, 0, x, 0.05, fs.Box(0, 1))
    assert ((known.low <= x) & (x <= known.high)).all()
    np.testing.assert_allclose(known.middle, [[0.1, 0.9]])
    np.testing.assert_allclose(known.high - known.low, 0.1)
    exact = runtime_features(net, 0, x, 0.0, fs.Box(0, 1))
    assert (exact.within < 1e-11).all()
    with pytest.raises(fs.InputError, match="proved bounds"):
        runtime_features(net, 0, x, "int8", fs.Box(0, inf))
