"""Singular values and their bounds on matrices with known spectra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

import fiberscope as fs
from known_spectra import truth, with_spectrum


def built_error(values) -> float:
    """How far the matrix that floating point makes may be from the one that is meant."""
    return 20 * np.finfo(float).eps * float(np.max(values)) * np.sqrt(len(values))


@pytest.mark.parametrize("method", ["auto", "gram", "qr", "svd"])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (300, 300), (700, 300)])
def test_known_spectra_from_large_to_tiny_values(method, shape):
    values = np.geomspace(1e2, 1e-11, min(shape))
    s = fs.singular_values(with_spectrum(values, *shape, seed=1), method=method)
    assert (np.abs(s.values - values) <= s.error_bound + built_error(values)).all()
    assert s.method == ("qr" if shape[1] == 300 else "svd") if method == "auto" else method
    if s.method == "gram":
        assert s.error_bound[0] <= 1e-10 * s.values[0]
        assert 1e-8 < s.tolerance / s.largest < 1e-5
    else:
        assert s.error_bound.max() <= 1e-11 * s.values[0]
        assert s.tolerance <= 2e-12 * s.largest


def test_auto_takes_the_gram_matrix_where_it_resolves_everything():
    values = np.geomspace(10, 1e-3, 300)
    A = with_spectrum(values, 500, 300, seed=2)
    s = fs.singular_values(A)
    assert (s.method, s.rank) == ("gram", 300)
    assert s.condition_number == pytest.approx(1e4, rel=1e-4)
    oracle = truth(A)
    assert (np.abs(s.values - oracle) <= s.error_bound).all()


@pytest.mark.parametrize("method", ["gram", "qr", "svd"])
def test_bounds_hold_in_thousands_of_random_values(method):
    worst, seen = 0.0, 0
    for seed in range(120):
        generator = np.random.default_rng(seed)
        m, n = (int(size) for size in generator.integers(1, 60, 2))
        values = np.sort(10.0 ** generator.uniform(-9, 2, min(m, n)))[::-1]
        A = with_spectrum(values, m, n, seed) if seed % 3 else generator.standard_normal((m, n))
        oracle = truth(A)
        s = fs.singular_values(A, method=method, seed=seed)
        worst = max(worst, float((np.abs(s.values - oracle) / s.error_bound).max()))
        seen += len(oracle)
    assert seen > 2000
    assert worst <= 1


@pytest.mark.parametrize("method", ["gram", "qr", "svd"])
def test_a_deviation_of_the_matrix_is_larger_than_the_bound(method):
    A = with_spectrum(np.geomspace(1, 1e-2, 50), 80, 50, seed=4)
    s, moved = fs.singular_values(A, method=method), fs.singular_values(A * (1 + 1e-9), method=method)
    assert (np.abs(s.values - moved.values) > s.error_bound + moved.error_bound).any()


def test_rank_does_not_count_what_cannot_be_told_from_zero():
    A = with_spectrum(np.geomspace(1, 1e-3, 7), 40, 30, seed=5)
    s = fs.singular_values(A)
    assert s.rank == 7
    assert s.smallest_nonzero == pytest.approx(1e-3, rel=1e-9)
    assert len(s.values) == 30


def test_zero_rows_and_columns_are_zeros_without_error():
    A = np.zeros((9, 6))
    A[2:5, 1:3] = [[3, 0], [0, 4], [0, 0]]
    s = fs.singular_values(A, method="gram")
    np.testing.assert_allclose(s.values, [4, 3, 0, 0, 0, 0], rtol=1e-15)
    assert s.rank == 2
    assert (s.error_bound[2:] == 0).all()


def test_the_zero_map_has_no_nonzero_value():
    s = fs.singular_values(np.zeros((3, 2)))
    assert (s.rank, s.largest) == (0, 0)
    assert np.isnan(s.smallest_nonzero)
    assert np.isnan(s.condition_number)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    values = np.geomspace(1, 1e-3, 20)
    s = fs.singular_values(with_spectrum(values, 30, 20, seed=6) * scale, method="gram")
    np.testing.assert_allclose(s.values / scale, values, rtol=1e-8)


def test_the_linearization_of_a_network_is_taken_as_it_is():
    torch.manual_seed(0)  # at least four units are on; with fewer, zeros are exact, and the product's rounding is not
    net = fs.from_torch(nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)).double().eval(), input_shape=(6,))
    J = fs.linearize(net, np.linspace(-1, 1, 6))
    s = fs.singular_values(J)
    oracle = truth(J.matrix())
    assert (np.abs(s.values - oracle) <= s.error_bound).all()
    assert s.shape == (4, 6)


@pytest.mark.parametrize(
    ("matrix", "arguments", "message"),
    [
        (np.eye(2), {"method": "magic"}, "'auto' or 'gram' or 'qr' or 'svd'"),
        (np.array([[1.0, np.nan]]), {}, "finite"),
        (np.ones(3), {}, "shape"),
    ],
)
def test_bad_input(matrix, arguments, message):
    with pytest.raises(fs.InputError, match=message):
        fs.singular_values(matrix, **arguments)


@pytest.mark.parametrize("method", ["qr", "svd"])
def test_where_divide_and_conquer_does_not_converge_qr_iteration_does(method, monkeypatch):
    """It happens to healthy matrices, rarely: to one of eight random layers of 256 neurons in a dozen."""
    whole, asked = scipy.linalg.svd, []

    def fails(A, lapack_driver="gesdd", **options):
        asked.append(lapack_driver)
        if lapack_driver == "gesdd":
            raise np.linalg.LinAlgError("SVD did not converge")
        return whole(A, lapack_driver=lapack_driver, **options)

    monkeypatch.setattr(scipy.linalg, "svd", fails)
    values = np.geomspace(1e2, 1e-6, 40)
    s = fs.singular_values(with_spectrum(values, 60, 40, seed=1), method=method)
    assert "gesvd" in asked
    assert (np.abs(s.values - values) <= s.error_bound + built_error(values)).all()
