"""Branches that are off at a sample give no rows at all: J is what the others make of it, against torch's autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

import fiberscope as fs
from known_spectra import truth


class Net(nn.Module):
    def __init__(self, function: Callable, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def off(part):
    """A part whose outputs are all far below zero."""
    nn.init.constant_(part.bias, -50.0)
    return part


relu, dense, conv = torch.relu, nn.Linear, nn.Conv2d


def same(inputs: int, outputs: int) -> nn.Conv2d:
    return conv(inputs, outputs, 3, padding=1)


VECTOR, PICTURE = (4,), (2, 6, 6)
CASES = {
    "residual": (lambda: Net(lambda s, x: x + relu(s.a(x)), a=off(dense(4, 4))), VECTOR),
    "concatenation": (lambda: Net(lambda s, x: torch.cat([relu(s.a(x)), x], 1), a=off(dense(4, 3))), VECTOR),
    "in the middle": (
        lambda: Net(lambda s, x: s.c(relu(s.b(x)) + relu(s.a(relu(s.b(x))))), a=off(dense(5, 5)), b=dense(4, 5),
                    c=dense(5, 3)), VECTOR),
    "everything": (lambda: Net(lambda s, x: s.b(relu(s.a(x))), a=off(dense(4, 3)), b=dense(3, 2)), VECTOR),
    "alive again, by its bias": (
        lambda: Net(lambda s, x: x[:, :2] + s.c(relu(s.b(relu(s.a(x))))), a=off(dense(4, 3)), b=dense(3, 5),
                    c=dense(5, 2)), VECTOR),
    "two that are summed": (
        lambda: Net(lambda s, x: relu(s.a(x)) + relu(s.b(x)), a=off(dense(4, 3)), b=off(dense(4, 3))), VECTOR),
    "two beside an identity": (
        lambda: Net(lambda s, x: relu(s.a(x)) + x + relu(s.b(x)), a=off(dense(4, 4)), b=off(dense(4, 4))), VECTOR),
    "convolution": (
        lambda: Net(lambda s, x: s.c(x) + s.b(relu(s.a(x))), a=off(same(2, 3)), b=same(3, 3), c=conv(2, 3, 1)),
        PICTURE),
    "concatenated channels": (
        lambda: Net(lambda s, x: s.b(torch.cat([x, relu(s.a(x))], 1)), a=off(same(2, 3)), b=conv(5, 3, 3)), PICTURE),
    "pooling": (
        lambda: Net(lambda s, x: avg_pool2d(x, 2) + max_pool2d(relu(s.a(x)), 2) + avg_pool2d(relu(s.b(x)), 2),
                    a=off(same(2, 2)), b=off(same(2, 2))), PICTURE),
    "normalised, scaled up, flattened": (
        lambda: Net(lambda s, x: s.c((x + interpolate(s.n(relu(s.a(x))), scale_factor=2)).flatten(1)),
                    a=off(conv(2, 2, 2, stride=2)), n=nn.BatchNorm2d(2), c=dense(72, 5)), PICTURE),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    build, shape = CASES[request.param]
    module = build().double().eval()
    x = np.random.default_rng(1).uniform(0.1, 1, shape)
    jacobian = torch.autograd.functional.jacobian(lambda v: module(v[None])[0].flatten(), torch.tensor(x))
    return fs.from_torch(module, input_shape=shape), x, jacobian.reshape(-1, x.size).numpy()


def agrees(spectrum, A) -> bool:
    oracle = truth(A)
    return bool((np.abs(spectrum.values - oracle) <= spectrum.error_bound + 1e-14 * oracle.max()).all())


@pytest.mark.exhaustive(every=3)
def test_rows_and_values_are_those_of_the_branches_that_are_on(case):
    net, x, A = case
    J = fs.linearize(net, x)
    np.testing.assert_allclose(J.matrix(), A, atol=1e-13)
    assert all(agrees(fs.singular_values(J, method), A) for method in ("auto", "gram", "qr"))
    table = fs.spectra(net, x[None], method="gram").to_pylist()
    assert len(table) == len(net.stages)
    np.testing.assert_allclose(table[-1]["values"], truth(A), atol=1e-7)


def test_windows_and_products(case):
    net, x, A = case
    J, v, u = fs.linearize(net, x), np.ones(x.size), np.ones(len(A))
    np.testing.assert_allclose(J @ v, A @ v, atol=1e-12)
    np.testing.assert_allclose(J.T @ u, u @ A, atol=1e-12)
    part = np.s_[1:3] if x.ndim == 1 else np.s_[:, 1:4, 2:5]
    columns = np.arange(x.size).reshape(x.shape)[part].ravel()
    window = J.window(part)
    np.testing.assert_allclose(window.matrix(), A[:, columns], atol=1e-13)
    assert agrees(fs.singular_values(window), A[:, columns])


def test_what_is_derived_from_them(case):
    net, x, A = case
    J, oracle = fs.linearize(net, x), truth(A)
    found = fs.inverse_stability(net, x)
    assert found.largest == pytest.approx(oracle[0], rel=1e-12)
    assert found.rank == np.linalg.matrix_rank(A)
    assert found.invariant_dimension == x.size - found.rank
    extreme = fs.extreme_singular_values(J, 1)
    assert extreme.values[0] == pytest.approx(oracle[0], rel=1e-8, abs=1e-300)
    total, error = fs.spectral_density(J, probes=30, steps=2).moment(1)
    assert abs(total - np.square(A).sum()) <= 6 * error + 1e-12
    assert all(0 <= part.inactive[0] <= 1 for part in fs.saturation(net, x))


def test_the_region_ends_where_a_dead_branch_wakes_up():
    a = dense(2, 2).double()
    with torch.no_grad():
        a.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    net = fs.from_torch(Net(lambda s, x: x + relu(s.a(x)), a=off(a)).eval(), input_shape=(2,))
    J = fs.linearize(net, [0.5, 0.5])
    assert fs.singular_values(J).values.tolist() == [1, 1]
    assert J.region_distance == pytest.approx((50 - 3.5) / 5)
