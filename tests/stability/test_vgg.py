"""VGG-16 on images of ImageNet's size, with a thirty-second of its channels: far too large a matrix, and its values.

The full network takes minutes and is measured in ``benchmarks/matrix_free.py``. Torch's automatic differentiation is
the oracle for products and for small windows.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.stability.density import spectral_density
from fiberscope.stability.extreme import extreme_singular_values
from known_spectra import truth

CHANNELS = (2, 2, "pool", 4, 4, "pool", 8, 8, 8, "pool", 16, 16, 16, "pool", 16, 16, 16)
SIDE = 5
WINDOW = np.s_[:, 98 : 98 + SIDE, 102 : 102 + SIDE]


def vgg() -> nn.Sequential:
    layers: list[nn.Module] = []
    before, generator = 3, torch.Generator().manual_seed(0)
    for width in CHANNELS:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2))
            continue
        convolution = nn.Conv2d(before, width, 3, padding=1)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(convolution.bias)
        layers += [convolution, nn.ReLU()]
        before = width
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


@pytest.fixture(name="module", scope="module")
def _module():
    return vgg()


@pytest.fixture(name="net", scope="module")
def _net(module):
    return fs.from_torch(module, input_shape=(3, 224, 224))


X = np.random.default_rng(0).uniform(size=(3, 224, 224))


@pytest.mark.exhaustive
def test_ten_largest_values_and_the_density_of_the_last_convolution(net, module):
    J = fs.linearize(net, X, stage=-2)
    assert J.shape == (16 * 14 * 14, 3 * 224 * 224)
    found = extreme_singular_values(J, 10)
    assert found.converged.all()

    def up_to(p):
        return module[:-1](p[None]).flatten()

    point = torch.tensor(X)
    _, pull = torch.func.vjp(up_to, point)
    for value, bound, right, left in zip(found.values, found.error_bound, found.right.T, found.left.T, strict=True):
        image = torch.func.jvp(up_to, (point,), (torch.tensor(right.reshape(X.shape)),))[1].numpy()
        back = pull(torch.tensor(left))[0].numpy().ravel()
        assert np.linalg.norm(image - value * left) + np.linalg.norm(back - value * right) <= 2 * bound + 1e-9 * value
    density = spectral_density(J, probes=6, steps=15, seed=1)
    total, error = density.moment(1)
    vectors = np.random.default_rng(2).choice([-1.0, 1.0], size=(15, J.shape[0]))
    sums = np.array([float(pull(torch.tensor(u))[0].square().sum()) for u in vectors])
    assert abs(total - sums.mean()) <= 4 * np.hypot(error, sums.std(ddof=1) / np.sqrt(len(sums)))
    count, error = density.rank(found.values[-1] * (1 - 1e-6))
    assert 10 - 4 * error - 1 <= count <= 10 + 4 * error + 40


@pytest.mark.exhaustive
def test_all_values_in_a_window_up_to_the_first_the_fourth_and_the_seventh_convolution(net, module):
    numbers = [number for number, stage in enumerate(net.stages) if stage.maps][:7:3]
    parts = [place for place, part in enumerate(module) if isinstance(part, nn.Conv2d)][:7:3]
    point = torch.tensor(X)

    def windowed(values, place):
        image = point.clone()
        image[WINDOW] = values
        return module[: place + 1](image[None]).flatten()

    for number, place in zip(numbers, parts, strict=True):
        J = fs.linearize(net, X, number).window(WINDOW)
        spectrum = fs.singular_values(J, "gram")
        tangents = torch.eye(3 * SIDE**2, dtype=torch.float64).reshape(-1, 3, SIDE, SIDE)

        def push(v, place=place):
            return torch.func.jvp(lambda w: windowed(w, place), (point[WINDOW],), (v,))[1]

        columns = np.array([push(v).numpy() for v in tangents])
        oracle = truth(columns[:, columns.any(axis=0)])
        assert (np.abs(spectrum.values - oracle) <= spectrum.error_bound + 1e-15 * oracle[0]).all()
        assert spectrum.rank == np.linalg.matrix_rank(columns, tol=spectrum.tolerance)
        assert spectrum.error_bound.max() < 1e-6 * oracle[0]
