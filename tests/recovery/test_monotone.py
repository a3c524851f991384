"""What is recovered from features of strictly monotone units, and of named precisions."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import fiberscope as fs
from monotone_layers import CURVES, MODULES, layer_of, outputs


def network_of(name: str, seed: int, *before: torch.nn.Module) -> tuple[torch.nn.Module, fs.Network]:
    """A network whose last layer ends in such units."""
    torch.manual_seed(seed)
    module = torch.nn.Sequential(*before, torch.nn.Linear(9 if before else 4, 12), MODULES[name]()).eval()
    return module, fs.from_torch(module, input_shape=(4,))


@pytest.mark.parametrize("name", CURVES)
def test_the_input_lies_within_what_is_proved_from_features_of_a_runtime(name: str) -> None:
    module, net = network_of(name, 0)
    X = torch.rand(2, 4)
    x = X.double().numpy()
    with torch.no_grad():
        y = module(X).double().numpy()
    step = float(np.abs(y).max()) / (255 if name in ("sigmoid", "softplus") else 127)
    given = {"float32": y, "int8": np.rint(y / step) * step}
    widths: list[float] = []
    for precision, features in given.items():
        named = fs.Precision("int8", scale=step) if precision == "int8" else precision
        for source in (net, net.relu_layers[0]):
            found = fs.recover(source, features, within=named)
            assert isinstance(found, list)
            for r, each in zip(found, x, strict=True):
                assert r.scope == "domain"
                assert ((r.low <= each) & (each <= r.high)).all()
                assert r.verify()
            widths.append(float((found[0].high - found[0].low).max()))
    assert widths[0] < 1e-3 < widths[2]
    r = fs.recover(net, y[0], within="float32")
    assert isinstance(r, fs.Recovery)
    for changed in (
        replace(r, low=r.low + 0.1 * (r.high - r.low)),
        replace(r, within=np.full(12, 1e-2)),
        replace(r, features=r.features + 0.01),
        replace(r, contradiction=True),
        replace(r, source=network_of("sigmoid" if name != "sigmoid" else "tanh", 0)[1]),
    ):
        assert not changed.verify()


@pytest.mark.parametrize("name", ["tanh", "elu"])
def test_features_behind_a_relu_layer(name: str) -> None:
    module, net = network_of(name, 1, torch.nn.Linear(4, 9), torch.nn.ReLU())
    X = torch.rand(1, 4)
    with torch.no_grad():
        y = module(X).double().numpy()
    r, x = fs.recover(net, y, layer=1, within="float32", seconds=10), X.double().numpy()
    r = r[0] if isinstance(r, list) else r
    assert not r.contradiction
    assert r.residual < 1e-5
    assert r.scope == "none" or r.verify()
    if r.scope == "domain" or np.linalg.norm(r.x - x) <= r.radius:
        assert ((r.low <= x) & (x <= r.high)).all()


@pytest.mark.parametrize("name", ["tanh", "leaky_relu"])
def test_float16_features(name: str) -> None:
    module, net = network_of(name, 2)
    x, rounded = torch.rand(4), copy.deepcopy(module)
    with torch.no_grad():
        for part in rounded.parameters():
            part.copy_(part.half().float())
        y = rounded(x.half().float()).half().double().numpy()
    r, exact = fs.recover(net, y, within="float16"), x.double().numpy()
    assert isinstance(r, fs.Recovery)
    assert ((r.low <= exact) & (exact <= r.high)).all()
    assert r.verify()


def test_what_a_unit_never_gives_is_a_contradiction() -> None:
    layer = layer_of("tanh", np.eye(2))
    r = fs.recover(layer, [0.25, 1.0])
    assert isinstance(r, fs.Recovery)
    assert r.contradiction
    assert r.verify()
    near = fs.recover(layer, [0.25, 1.0], within=1e-3, domain=fs.Box(0, 10))
    assert isinstance(near, fs.Recovery)
    assert not near.contradiction
    assert near.verify()
    assert near.low[1] <= np.arctanh(1.0 - 1e-3) <= near.low[1] + 1e-6
    assert near.high[1] == 10.0


def test_names_say_for_relus_what_numbers_say() -> None:
    """The bound at the largest absolute values of inputs of the domain, and half a step."""
    A, b = np.random.default_rng(0).normal(size=(9, 3)), np.full(9, 0.5)
    layer, x = fs.ReLULayer(A, b), np.array([0.25, 0.5, 0.75])
    y = layer(x).astype(np.float32).astype(np.float64)
    r = fs.recover(layer, y, within="float32", domain=fs.Box(-1.0, 0.875))
    assert isinstance(r, fs.Recovery)
    np.testing.assert_array_equal(r.within, fs.Precision("float32").within(layer, np.ones((1, 3)))[0, 0])
    assert r.verify()
    assert ((r.low <= x) & (x <= r.high)).all()
    codes = fs.recover(layer, np.rint(y / 0.03125) * 0.03125, within=fs.Precision("int8", scale=0.03125))
    assert isinstance(codes, fs.Recovery)
    np.testing.assert_allclose(codes.within[codes.features > 0.02], 0.015625, rtol=1e-6)
    assert ((codes.low <= x) & (x <= codes.high)).all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"within": "float32", "domain": None}, "domain: expected a bounded one beside float32"),
        ({"within": "float8"}, "precision: expected one of float32, float16, int8"),
        ({"within": "int8", "features": np.zeros(12)}, "precision: expected features that are not all 0"),
        ({"within": -1.0}, "within: expected finite numbers"),
    ],
)
def test_bad_input_has_one_clear_error(asked: dict[str, Any], message: str) -> None:
    _, net = network_of("tanh", 0)
    with pytest.raises(fs.InputError, match=message) as caught:
        fs.recover(net, **({"features": np.full(12, 0.25)} | asked))
    assert "np." not in str(caught.value)


@pytest.mark.parametrize("name", CURVES)
def test_inputs_lie_in_recoveries_of_random_layers(name: str) -> None:
    rng = np.random.default_rng(3)
    A, b, X = rng.normal(size=(10, 3)), 0.3 * rng.normal(size=10), rng.random((10, 3))
    eps = 10.0 ** rng.uniform(-6, -2)
    y = outputs(name, X @ A.T + b) + eps * rng.uniform(-0.99, 0.99, (10, 10))
    found = fs.recover(layer_of(name, A, b), y, within=eps)
    assert isinstance(found, list)
    for r, x in zip(found, X, strict=True):
        assert not r.contradiction
        assert ((r.low <= x) & (x <= r.high)).all()
