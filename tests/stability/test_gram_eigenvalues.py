"""Eigenvalues of Gram matrices: counting against matrices whose eigenvalues are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from fiberscope import FiberscopeError
from fiberscope.stability import gram_eigenvalues as module
from fiberscope.stability.gram_eigenvalues import counts, gram_eigenvalues, proved_error
from fiberscope.stability.measured_errors import image
from known_spectra import with_spectrum

EPS = float(np.finfo(float).eps)


def second_differences(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diagonal, entries beside it, and eigenvalues ``2 - 2 cos(k pi / (n + 1))``."""
    return np.full(n, 2.0), np.full(n - 1, -1.0), 2 - 2 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))


def test_negative_pivots_count_eigenvalues():
    diagonal, beside, eigenvalues = second_differences(50)
    between = (eigenvalues[1:] + eigenvalues[:-1]) / 2
    points = np.concatenate([[-1.0], between, [5.0]])
    np.testing.assert_array_equal(counts(diagonal, beside, points), np.arange(51))


def test_pivots_of_zero_count():
    # at 0 the pivots are 0, then minus infinity, then 0: eigenvalues -1, 0 and 1 times the square root of 2
    below = counts(np.zeros(3), np.ones(2), np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    assert below[[0, 1, 3, 4]].tolist() == [0, 1, 2, 3]
    assert below[2] in (1, 2)


@pytest.mark.parametrize("n", [2, 3, 100])
def test_eigenvalues_that_are_right_are_proved_to_rounding(n):
    diagonal, beside, eigenvalues = second_differences(n)
    bound = proved_error(diagonal, beside, eigenvalues)
    assert 0 < bound <= 64 * EPS * 4


@pytest.mark.parametrize("error", [1e-12, 1e-9, 1e-6])
@pytest.mark.parametrize("place", [0, 17, 99])
def test_the_bound_covers_an_error_in_one_eigenvalue(error, place):
    diagonal, beside, eigenvalues = second_differences(100)
    moved = eigenvalues.copy()
    moved[place] += error
    assert error <= proved_error(diagonal, beside, np.sort(moved)) <= 3 * error + 64 * EPS


def test_numbers_that_are_no_eigenvalues_are_an_error():
    diagonal, beside, eigenvalues = second_differences(20)
    with pytest.raises(FiberscopeError, match="further than"):
        proved_error(diagonal, beside, eigenvalues + 1.0)


def test_blocks_without_a_connection():
    diagonal = np.array([3.0, 1.0, 1.0, 2.0])
    assert proved_error(diagonal, np.zeros(3), np.sort(diagonal)) <= 128 * EPS
    assert proved_error(np.zeros(4), np.zeros(3), np.zeros(4)) < 1e-110


def product_with(A):
    return lambda W: image(A.T, image(A, W))


def test_the_bound_measures_against_the_map_and_not_the_gram_matrix():
    A = with_spectrum(np.geomspace(1, 1e-3, 30), 50, 30)
    honest = gram_eigenvalues(A.T @ A, product_with(A), np.random.default_rng(0))
    assert (np.abs(honest.values - np.geomspace(1, 1e-3, 30) ** 2) <= honest.error_bound).all()
    assert honest.error_bound.max() <= 1e-13
    other = A.T @ A
    other[3, 5] += 1e-6
    wrong = gram_eigenvalues(other, product_with(A), np.random.default_rng(0))
    assert np.abs(wrong.values - honest.values).max() > 1e-9
    assert 1e-6 <= wrong.error_bound.max() < 1e-4


def test_an_orthogonal_factor_that_is_none_shows_in_the_bound(monkeypatch):
    """The measured defect of Q moves every eigenvalue by a part of itself, beside what is measured of the product."""
    A = with_spectrum(np.geomspace(1, 1e-3, 30), 50, 30)
    factor = module._orthogonal_factor
    monkeypatch.setattr(module, "_orthogonal_factor", lambda *found: factor(*found) * (1 + 1e-6))
    found = gram_eigenvalues(A.T @ A, product_with(A), np.random.default_rng(0))
    assert (np.abs(found.values - np.geomspace(1, 1e-3, 30) ** 2) <= found.error_bound).all()
    assert 2e-6 <= found.error_bound[0] <= 1e-3


def test_one_value():
    found = gram_eigenvalues(np.array([[4.0]]), product_with(np.array([[2.0]])), np.random.default_rng(0))
    assert found.values.tolist() == [4.0]
    assert 0 < found.error_bound[0] < 1e-14
