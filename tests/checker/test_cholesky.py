"""Factors of symmetric matrices against numpy's: what is definite, what a band leaves out, and the estimates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from fiberscope.checker.cholesky import factor
from fiberscope.checker.estimates import least_eigenvalue
from fiberscope.checker.matrices import is_definite, less_diagonal


def neighbours(side, generator):
    """Rows that see 3 x 3 pixels of a picture, shuffled."""
    grid = np.arange(side * side).reshape(side, side)
    rows = []
    for i in range(side - 2):
        for j in range(side - 2):
            for _ in range(3):
                row = np.zeros(side * side)
                row[grid[i : i + 3, j : j + 3].ravel()] = generator.standard_normal(9)
                rows.append(row)
    shuffled = np.array(rows)[:, generator.permutation(side * side)]
    return sparse.csr_array(shuffled.T @ shuffled)


@pytest.mark.parametrize("side", [5, 20])
@pytest.mark.parametrize("power", [-300, 0, 250])
def test_a_sparse_matrix_is_definite_where_the_dense_one_is(side, power):
    square = neighbours(side, np.random.default_rng(side)) * 2.0**power
    values = np.linalg.eigvalsh(square.toarray())
    for shift, definite in ((0.999 * values[0], True), (1.001 * values[0], False), (1.01 * values[-1], False)):
        for matrix in (square, square.toarray()):
            found = factor(less_diagonal(matrix.copy(), float(shift)))
            assert (found is not None) is definite
            assert found is None or (found[1] is None) is isinstance(matrix, np.ndarray)
    banded = factor(square)
    assert banded is not None
    diagonals, order = banded
    assert order is not None
    assert len(diagonals) <= (side * side if side == 5 else side * side // 4)
    assert least_eigenvalue(square) == pytest.approx(values[0], rel=1e-3)


@pytest.mark.parametrize("n", [3, 90])
def test_the_least_eigenvalue_of_some_coordinates(n):
    generator = np.random.default_rng(n)
    B = generator.standard_normal((3 * n, n))
    square = B.T @ B
    assert least_eigenvalue(square) == pytest.approx(np.linalg.eigvalsh(square)[0], rel=1e-3)
    half = np.arange(n) < n // 2 + 1
    # what remains of these coordinates where the others are chosen best
    left = square[np.ix_(half, half)] - square[np.ix_(half, ~half)] @ np.linalg.solve(
        square[np.ix_(~half, ~half)], square[np.ix_(~half, half)]
    )
    assert least_eigenvalue(square, half) == pytest.approx(np.linalg.eigvalsh(left)[0], rel=1e-3)


def test_what_is_no_number_has_no_factor():
    for value in (np.nan, np.inf):
        assert factor(np.array([[1.0, 0.0], [0.0, value]])) is None
        assert factor(sparse.csr_array(np.array([[1.0, 0.0], [0.0, value]]))) is None
    assert factor(np.array([[1.0, 2.0], [2.0, 1.0]])) is None


def test_rounding_is_never_taken_for_definiteness():
    # singular matrices of rank n - 1: what is left of 0 is rounding
    generator = np.random.default_rng(0)
    for n in (4, 30):
        B = generator.standard_normal((2 * n, n - 1)) @ generator.standard_normal((n - 1, n))
        for matrix in (B.T @ B, sparse.csr_array(B.T @ B)):
            assert not is_definite(matrix, float(np.linalg.norm(B)), 2 * n, 0.0)
