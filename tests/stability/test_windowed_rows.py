"""Rows in windows against products with unit vectors, which take another way through the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.stability import row_propagation, windowed_rows
from fiberscope.stability.windowed_rows import gram, outer_gram
from known_spectra import truth


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3)

    def forward(self, x):  # (N, height, width, channels)
        x = torch.relu(self.first(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        return torch.relu(self.second(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 5, padding=2)
        self.short = nn.Conv2d(4, 6, 1, stride=2)
        self.long = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = torch.relu(self.inner(x) + x)
        return torch.relu(self.short(x) + self.long(x))


def sequence(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(*parts)


CASES = {
    "strides": (
        sequence(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(),
                 nn.Conv2d(4, 3, 3, stride=(1, 2)), nn.ReLU()), (2, 14, 13)),
    "padding on one side, as Keras pads": (
        sequence(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(2, 3, 3, stride=2), nn.ReLU(), nn.ZeroPad2d(1),
                 nn.Conv2d(3, 3, 3), nn.ReLU()), (2, 12, 12)),
    "dilation and groups": (
        sequence(nn.Conv2d(4, 4, 3, dilation=2, groups=2), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=4, padding=1),
                 nn.ReLU()), (4, 11, 10)),
    "maximum and average pooling": (
        sequence(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 3, 3, padding=1),
                 nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 2, 2), nn.ReLU()), (2, 16, 16)),
    "batch normalisation and a dense layer": (
        sequence(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(108, 7), nn.ReLU(),
                 nn.Linear(7, 3)), (2, 8, 8)),
    "transposed": (
        sequence(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.ConvTranspose2d(3, 2, 3, stride=2), nn.Tanh(),
                 nn.Conv2d(2, 2, 3)), (2, 6, 6)),
    "one axis": (
        sequence(nn.Conv1d(2, 3, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(3, 4, 3), nn.ReLU()), (2, 30)),
    "three axes": (
        sequence(nn.Conv3d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv3d(2, 2, 2, stride=2), nn.ReLU()), (1, 5, 6, 6)),
    "channels last": (ChannelsLast(), (9, 8, 2)),
    "branches": (Branches(), (2, 12, 12)),
    "flat": (sequence(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 5)), (9,)),
}  # fmt: skip


@pytest.fixture(params=sorted(CASES), name="case")
def _case(request):
    module, shape = CASES[request.param]
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return (
        fs.from_torch(module.double().eval(), input_shape=shape),
        np.random.default_rng(1).standard_normal(shape),
    )


def written_out(rows) -> np.ndarray:
    out = np.zeros((rows.outputs, rows.inputs))
    out[rows.units.numpy()] = rows.whole().numpy()
    return out


def symmetric(upper: np.ndarray) -> np.ndarray:
    return upper + np.triu(upper, 1).T


def agree(rows, A: np.ndarray) -> None:
    size = np.abs(A).max(initial=1e-300)
    np.testing.assert_allclose(written_out(rows), A, atol=1e-14 * size)
    total, used = gram(rows, 0)
    np.testing.assert_allclose(symmetric(total), A.T @ A, atol=1e-13 * size**2)
    np.testing.assert_array_equal(used, A.any(axis=0))
    kept = A[rows.units.numpy()]
    np.testing.assert_allclose(symmetric(outer_gram(rows, 1)), kept @ kept.T / 4, atol=1e-13 * size**2)
    np.testing.assert_allclose(rows.norms().numpy(), np.linalg.norm(A, axis=1), atol=1e-13 * size)
    assert np.linalg.matrix_rank(A) <= rows.most
    assert bool((rows.start >= 0).all())
    assert bool((rows.start + torch.tensor(rows.window) <= torch.tensor(rows.picture)).all())


@pytest.mark.exhaustive(every=3)
def test_rows_and_gram_matrices_of_every_stage(case):
    net, x = case
    for stage in range(len(net.stages)):
        J = fs.linearize(net, x, stage)
        agree(J.rows(), J @ np.eye(net.inputs))


@pytest.mark.exhaustive(every=3)
def test_windows_of_the_input(case):
    net, x = case
    if len(net.input_shape) < 3:
        pytest.skip("no picture to cut a window from")
    for stage in range(len(net.stages)):
        J = fs.linearize(net, x, stage).window(np.s_[:, 2:6, 1:5])
        agree(J.rows(), J @ np.eye(J.shape[1]))


@pytest.mark.exhaustive
def test_small_blocks_change_nothing(case, monkeypatch):
    net, x = case
    J = fs.linearize(net, x)
    whole = J.rows()
    monkeypatch.setattr(row_propagation, "BLOCK_NUMBERS", 2_000)
    monkeypatch.setattr(windowed_rows, "TILE_NUMBERS", 100)
    blocks = J.rows()
    np.testing.assert_allclose(written_out(blocks), written_out(whole), atol=1e-14 * float(whole.values.abs().max()))
    agree(blocks, J @ np.eye(net.inputs))


def test_rows_of_convolutions_stay_small():
    module, shape = CASES["strides"]
    net = fs.from_torch(module.double().eval(), input_shape=shape)
    windows = [fs.linearize(net, np.ones(shape), stage).rows().window for stage in (0, 2, 4)]
    assert windows == [(2, 3, 3), (2, 5, 5), (2, 9, 9)]


def test_nothing_active_leaves_no_rows():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.AvgPool2d(2), nn.Flatten())
    module.append(nn.Linear(2, 3))
    nn.init.constant_(module[0].weight, -1.0)
    net = fs.from_torch(module.double().eval(), input_shape=(1, 6, 6))
    for stage in range(1, len(net.stages)):
        J = fs.linearize(net, np.full((1, 6, 6), 10.0), stage)
        assert not written_out(J.rows()).any()
        spectrum = fs.singular_values(J)
        assert (spectrum.rank, len(spectrum.values)) == (0, min(J.shape))


def test_rows_that_take_too_much_are_refused_by_the_name_of_their_stage():
    net = fs.from_torch(CASES["strides"][0].double().eval(), input_shape=(2, 14, 13))
    J = fs.linearize(net, np.ones((2, 14, 13)))
    with pytest.raises(fs.InputError, match="stage '0': expected at most"):
        J.rows(max_bytes=50_000)


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("method", ["auto", "gram", "qr", "svd"])
def test_singular_values_from_rows(method, monkeypatch):
    monkeypatch.setattr("fiberscope.stability.singular_values.SMALL", 4)
    module, shape = CASES["strides"]
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    net = fs.from_torch(module.double().eval(), input_shape=shape)
    x = np.random.default_rng(2).standard_normal(shape)
    for stage in range(len(net.stages)):
        J = fs.linearize(net, x, stage)
        spectrum, oracle = fs.singular_values(J, method), truth(J @ np.eye(net.inputs))
        assert spectrum.shape == J.shape
        assert len(spectrum.values) == min(J.shape)
        # an exact zero has no error of its own, but gesvd's has
        allowed = spectrum.error_bound + 4 * np.finfo(float).eps * oracle[0] * np.sqrt(min(J.shape))
        assert (np.abs(spectrum.values - oracle) <= allowed).all()
        assert spectrum.error_bound[0] < 1e-9 * oracle[0]


def test_an_error_of_the_rows_shows_in_the_bound(monkeypatch):
    monkeypatch.setattr("fiberscope.stability.singular_values.SMALL", 4)
    net = fs.from_torch(CASES["strides"][0].double().eval(), input_shape=(2, 14, 13))
    J = fs.linearize(net, np.ones((2, 14, 13)), 4)
    honest = fs.singular_values(J, "gram")
    original = windowed_rows.by_shift

    def shifted(shift):
        for first, members in original(shift):
            yield tuple(0 for _ in first), members

    monkeypatch.setattr(row_propagation, "by_shift", shifted)
    found = fs.singular_values(J, "gram")
    oracle = truth(J @ np.eye(net.inputs))
    assert np.abs(found.values - oracle).max() > 1e-3 * oracle[0]
    assert (np.abs(found.values - oracle) <= found.error_bound).all()
    assert found.tolerance > 1e3 * honest.tolerance


def test_a_bottleneck_leaves_zeros_that_are_known_exactly(monkeypatch):
    monkeypatch.setattr("fiberscope.stability.singular_values.SMALL", 4)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 7), nn.LeakyReLU(0.5), nn.Linear(7, 40), nn.LeakyReLU(0.5), nn.Linear(40, 20))
    net = fs.from_torch(module.double().eval())
    spectrum = fs.singular_values(fs.linearize(net, np.ones(30)))
    assert (spectrum.method, spectrum.rank) == ("gram", 7)
    assert not spectrum.values[7:].any()
    assert not spectrum.error_bound[7:].any()
    assert (spectrum.error_bound[:7] > 0).all()
