"""Baselines against singular values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fiberscope.errors import InputError
from fiberscope.training import (
    SRIP,
    Orthogonality,
    SmoothSailing,
    SpectralClip,
    bound_singular_values,
    parseval_retraction,
)
from penalised import Convolutional, batch, dense, seeded


def sigma_of(weight: torch.Tensor) -> np.ndarray:
    return np.linalg.svd(weight.detach().numpy().reshape(len(weight), -1), compute_uv=False)


@pytest.mark.parametrize("units", [4, 6, 15])
def test_penalties_are_functions_of_singular_values(units: int):
    module = dense(6, units).double()
    x, sigma = batch(module), sigma_of(module[0].weight)
    expected = {
        Orthogonality: np.mean((sigma**2 - 1) ** 2),
        SRIP: np.abs(sigma**2 - 1).max(),
        SpectralClip: np.mean((np.maximum(sigma - 1.5, 0) + np.maximum(0.5 - sigma, 0)) ** 2),
        SmoothSailing: 1 - np.mean(sigma**2) / sigma[0] ** 2,
    }
    for kind, value in expected.items():
        assert kind(module)(x).item() == pytest.approx(value, rel=1e-9), kind


@pytest.mark.parametrize("kind", [Orthogonality, SRIP, SpectralClip, SmoothSailing])
def test_gradients(kind: type[Orthogonality]):
    module = dense(4, 7).double()
    x = batch(dense(4, 7).double(), 2)[:, :4]
    penalty = kind(module)

    def value(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(penalty, {"module.0.weight": weight}, (x,))

    assert torch.autograd.gradcheck(value, (module[0].weight.detach().clone().requires_grad_(),))


@pytest.mark.parametrize("kind", [Orthogonality, SRIP, SpectralClip, SmoothSailing])
def test_a_value_is_the_same_to_the_last_digit_without_a_gradient(kind: type[Orthogonality]):
    """Torch finds singular values in another way where no gradient is asked for."""
    for inputs, units in ((6, 24), (24, 6), (40, 40)):
        module = dense(inputs, units)
        x = torch.rand(3, inputs, generator=torch.Generator().manual_seed(0))
        value = kind(module)(x)
        with torch.no_grad():
            assert torch.equal(kind(module)(x), value)
        for each in module.parameters():
            each.requires_grad_(False)
        assert torch.equal(kind(module)(x), value)


def test_large_weights_by_the_power_method():
    module = seeded(lambda: nn.Sequential(nn.Linear(600, 600), nn.ReLU()))
    sigma = sigma_of(module[0].weight)
    penalty = SRIP(module, steps=60)
    x = torch.rand(1, 600)
    assert penalty(x).item() == pytest.approx(np.abs(sigma**2 - 1).max(), rel=1e-2)
    assert torch.equal(penalty(x), penalty(x))


def test_convolutions_are_matrices_of_filters():
    module = seeded(Convolutional)
    sigma = sigma_of(module.second.weight)
    assert Orthogonality(module, 1)(batch(module)).item() == pytest.approx(np.mean((sigma**2 - 1) ** 2), rel=1e-4)


def test_retractions_change_singular_values_alone():
    for change, expected in (
        (lambda m: parseval_retraction(m, 0.2), lambda s: 1.2 * s - 0.2 * s**3),
        (lambda m: bound_singular_values(m, 0.25), lambda s: np.clip(s, 0.8, 1.25)),
    ):
        module = seeded(Convolutional)
        before = {name: sigma_of(part.weight) for name, part in module.named_modules() if hasattr(part, "kernel_size")}
        change(module)
        for name, sigma in before.items():
            after = sigma_of(module.get_submodule(name).weight)
            np.testing.assert_allclose(after, np.sort(np.abs(expected(sigma)))[::-1], rtol=1e-4, atol=1e-6)


def test_parseval_steps_lead_to_orthonormal_weights():
    module = dense(6, 15)
    for _ in range(300):
        parseval_retraction(module, 0.2)
    assert Orthogonality(module)(batch(module)) < 1e-8


def test_options_are_checked(unchecked: None):
    with pytest.raises(InputError, match="low"):
        SpectralClip(dense(), low=2, high=1)
    with pytest.raises(InputError, match="beta"):
        parseval_retraction(dense(), 0.7)
    with pytest.raises(InputError, match="epsilon"):
        bound_singular_values(dense(), 0)
