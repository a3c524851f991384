"""Small Keras models with random weights, and what Keras computes with them. Skips where Keras is not installed."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from fiberscope.network.network import Network

os.environ.setdefault("KERAS_BACKEND", "torch")
if find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)


class Later:
    """A module that is imported when something of it is used: Keras takes seconds, and to collect tests needs none."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name != "__version__":  # asked by pytest, of all that modules hold
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)


keras: Any = Later("keras")
K: Any = Later("keras.layers")


def randomized(model: Any, seed: int = 0) -> Any:
    """The model with random weights, those of batch normalisation included."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if "float" in str(variable.dtype):
            values = rng.standard_normal(variable.shape) / np.sqrt(max(1, np.prod(variable.shape[:-1])))
            is_spread = any(part in variable.path for part in ("variance", "gamma", "alpha"))
            variable.assign(np.abs(values) + 0.1 if is_spread else values)
    for layer in model.layers:
        if isinstance(layer, K.Normalization):
            layer.finalize_state()
    return model


def sequential(shape: tuple[int, ...], *layers: Any, seed: int = 0, **options: Any) -> Any:
    """Layers one after the other, with random weights."""
    return randomized(keras.Sequential([K.Input(shape, **options), *layers]), seed)


def functional(inputs: Any, outputs: Any, seed: int = 0) -> Any:
    """A graph of layers, with random weights."""
    return randomized(keras.Model(inputs, outputs), seed)


def outputs(model: Any, X: np.ndarray) -> np.ndarray:
    """What Keras predicts, in float64."""
    return np.asarray(model.predict_on_batch(X.astype(model.inputs[0].dtype)), dtype=np.float64)


def inputs(shape: tuple[int, ...], count: int = 5, seed: int = 7) -> np.ndarray:
    """Random inputs that float32 holds exactly."""
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32).astype(np.float64)


def softmax(logits: np.ndarray) -> np.ndarray:
    """The softmax along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def assert_same(network: Network, model: Any) -> None:
    """The network gives what Keras predicts, up to rounding in float32, or the inputs of its last softmax."""
    X = inputs(network.input_shape)
    theirs, ours = outputs(model, X), network(X)
    if any("the softmax at the end is left off" in note for note in network.notes):
        ours = softmax(ours)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5 * (1 + np.abs(theirs).max()))
    assert network.agreement is not None
    assert network.agreement.places >= 1
