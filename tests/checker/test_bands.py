"""Gram matrices within a band against numpy's, whatever rows have in common."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from fiberscope.checker.bands import alike, layout
from fiberscope.checker.cholesky import factor


def written(band):
    """The whole matrix."""
    out, d = np.zeros(band.shape), len(band.order)
    for t in range(band.values.shape[1]):
        first, second = band.order[: d - t], band.order[t:]
        out[first, second] = out[second, first] = band.values[: d - t, t]
    return out


def windows(generator, side, maps):
    """Rows that see 2 x 2 pixels, several at each place, in no order; some pixels are seen by none."""
    grid, rows = generator.permutation(side * side).reshape(side, side), []
    for i in range(side - 2):
        for j in range(side - 1):
            for _ in range(maps):
                row = np.zeros(side * side)
                row[grid[i : i + 2, j : j + 2].ravel()] = generator.standard_normal(4)
                rows.append(row)
    rows += [np.zeros(side * side), generator.standard_normal(side * side) * (generator.random(side * side) < 0.05)]
    return np.array(rows)[generator.permutation(len(rows))]


@pytest.mark.parametrize("maps", [1, 5])
def test_they_are_those_of_the_matrices(maps):
    generator = np.random.default_rng(maps)
    X, Z = windows(generator, 9, maps), windows(generator, 9, 1)[:20]
    rows, others = (alike(sparse.csr_array(each)) for each in (X, Z))
    assert len(rows) <= 7 * 8 + 1  # all maps at one place together
    way = layout([rows, others], X.shape[1])
    units = generator.random(X.shape[1])
    first, second = way.gram(rows), way.gram(others)
    assert np.allclose(written(first), X.T @ X, atol=1e-12)
    assert np.allclose(written(second), Z.T @ Z, atol=1e-12)
    assert np.array_equal(first.diagonal(), np.diagonal(written(first)))
    whole = units[:, None] * (X.T @ X) * units - Z.T @ Z - np.diag(units)
    assert np.allclose(written(first.scaled(units).less(second).less_diagonal(units)), whole, atol=1e-12)


def test_rows_of_other_columns_are_told_apart_even_where_their_sums_are_equal(monkeypatch):
    X = np.random.default_rng(0).standard_normal((12, 9)) * (np.arange(9) < np.arange(12)[:, None])
    X[:, ::2] = 0.0
    X[3:6] = X[3:6, ::-1]
    exact = X.T @ X
    for mixed in (None, 0):  # 0: all sums are equal
        if mixed is not None:
            monkeypatch.setattr("fiberscope.checker.bands.MIXED", mixed)
        rows = alike(sparse.csr_array(X))
        assert np.allclose(written(layout([rows], 9).gram(rows)), exact, atol=1e-12)


def test_the_order_of_entries_and_those_that_stand_twice_do_not_matter():
    X = sparse.csr_array((np.array([1.0, 2.0, 4.0, 8.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), shape=(2, 4))
    rows = alike(X)
    assert np.array_equal(written(layout([rows], 4).gram(rows)), X.toarray().T @ X.toarray())
    assert X.nnz == 4  # as it was


def test_what_is_definite_in_a_band_is_so():
    X = windows(np.random.default_rng(3), 8, 6)
    least = np.linalg.eigvalsh(X.T @ X + np.eye(64))[0]
    for share, definite in ((0.999, True), (1.001, False)):
        rows = alike(sparse.csr_array(np.concatenate([X, np.eye(64)])))
        square = layout([rows], 64).gram(rows).less_diagonal(share * least)
        assert (factor(square) is not None) is definite


def test_no_rows_have_an_empty_band():
    way = layout([alike(sparse.csr_array((0, 3)))], 3)
    assert np.array_equal(written(way.gram([])), np.zeros((3, 3)))
