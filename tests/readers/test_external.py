"""A network that was trained elsewhere: the paper's 784-3500-784-10 MLP on Fashion-MNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope_paper.architectures import table2


@pytest.fixture(scope="module")
def weights(external: Path) -> dict[str, np.ndarray]:
    return load_file(external / "models" / "fashion_mlp_3500_784.safetensors")


@pytest.fixture(scope="module")
def network(weights: dict[str, np.ndarray]) -> fs.Network:
    module = table2()
    for number, part in ((0, module.hidden1), (2, module.hidden2), (4, module.logits)):
        part.load_state_dict({name: torch.as_tensor(weights[f"{number}.{name}"]) for name in ("weight", "bias")})
    return fs.from_torch(module.eval())


def test_layers_are_those_of_the_file(weights: dict[str, np.ndarray], network: fs.Network):
    X = np.random.default_rng(0).uniform(size=(3, 784))
    A, B, C = (weights[f"{number}.weight"].astype(np.float64) for number in (0, 2, 4))
    a, b, c = (weights[f"{number}.bias"].astype(np.float64) for number in (0, 2, 4))
    first = np.maximum(X @ A.T + a, 0)
    second = np.maximum(first @ B.T + b, 0)
    np.testing.assert_allclose(network.layer_input(1, X), first, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(network(X), second @ C.T + c, rtol=1e-12, atol=1e-12)


def test_weights_alone_are_no_network(external: Path):
    with pytest.raises(fs.ModelError, match="without the description of a network"):
        fs.load(external / "models" / "fashion_mlp_3500_784.safetensors")


def test_positive_outputs_are_those_that_were_counted_when_it_was_trained(network: fs.Network):
    try:
        data = load_data("fashion-mnist")
    except fs.InputError as error:
        pytest.skip(f"no Fashion-MNIST here: {error}")
    positives = (network.relu_layers[0](network.layer_input(0, data.x)) > 0).sum(axis=1)
    assert (positives.min(), positives.max()) == (129, 938)
    assert np.median(positives) == pytest.approx(356, abs=0.5)
    assert np.mean(network(data.x[:2000]).argmax(axis=1) == data.y[:2000]) == pytest.approx(0.90, abs=0.02)
