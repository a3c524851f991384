"""Factors in a band, against numpy's solutions and eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from numpy.linalg import LinAlgError

from fiberscope.network.rows import dense, sparse
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimages.cholesky import Cholesky, is_positive_definite, narrow_order, raised, square_of, transposed


def neighbours(side: int, seed: int) -> SparseRows:
    """Rows that read a pixel and those around it, in random order: only some order has a narrow band."""
    rng = np.random.default_rng(seed)
    near = scipy.sparse.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(side, side))
    pattern = scipy.sparse.kron(near, near).toarray()
    shuffled = rng.permutation(side * side)
    return sparse((pattern * rng.normal(size=pattern.shape))[shuffled])


@pytest.mark.parametrize("power", [0, -200, 200])
@pytest.mark.parametrize("side", [1, 2, 4, 9])
def test_solutions_of_sparse_matrices_are_those_of_dense_ones(side: int, power: int):
    rows = neighbours(side, side)
    rows.data *= 2.0**power
    matrix = raised(square_of(rows), 2.0 ** (2 * power - 3))
    b = np.random.default_rng(0).normal(size=side * side)
    expected = np.linalg.solve(dense(matrix), b)
    for form in (matrix, dense(matrix)):
        found = Cholesky(form).solve(b)
        assert np.allclose(found, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_an_order_makes_the_band_narrow_and_is_one():
    matrix = square_of(neighbours(9, 0))
    order = narrow_order(matrix)
    assert sorted(order.tolist()) == list(range(81))
    row, column = np.nonzero(dense(matrix)[order][:, order])
    assert np.abs(row - column).max() < 40 < np.abs(np.subtract(*np.nonzero(dense(matrix)))).max()
    assert Cholesky(matrix)._order is not None  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("shift", [-1e-6, 1e-6])
def test_definite_is_what_eigenvalues_say(shift: float):
    matrix = square_of(neighbours(6, 1))
    smallest = float(np.linalg.eigvalsh(dense(matrix))[0])
    moved = raised(matrix, shift - smallest)
    assert is_positive_definite(moved) == (shift > 0)
    assert is_positive_definite(dense(moved)) == (shift > 0)
    if shift < 0:
        with pytest.raises(LinAlgError):
            Cholesky(moved)


def test_a_wide_band_an_empty_matrix_and_one_of_zeros():
    full = sparse(np.full((3, 3), 0.5) + np.eye(3))
    assert np.allclose(Cholesky(full).solve(np.ones(3)), np.full(3, 0.4))
    for empty in (sparse(np.zeros((0, 0))), np.zeros((0, 0))):
        assert not len(Cholesky(empty).solve(np.zeros(0)))
    assert not is_positive_definite(sparse(np.zeros((4, 4))))
    assert not is_positive_definite(np.array([[np.inf]]))


def test_products_and_diagonals_keep_the_form():
    rows = neighbours(3, 2)
    for form in (rows, dense(rows)):
        expected = dense(rows) @ dense(rows).T
        assert np.allclose(dense(square_of(form)), expected)
        assert np.allclose(dense(square_of(transposed(form))), dense(rows).T @ dense(rows))
        weights = np.arange(9.0)
        assert np.allclose(dense(raised(square_of(form), weights)), expected + np.diag(weights))
        assert isinstance(square_of(form), type(form))
