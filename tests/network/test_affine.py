from __future__ import annotations

import numpy as np
import pytest

from fiberscope.errors import InputError
from fiberscope.network.affine import AffineMap, Dense, composed


@pytest.fixture
def dense() -> Dense:
    return Dense([[1, 2, 3], [4, 5, 6]], [10, 20])


def test_operations_agree_with_the_matrix(dense: Dense):
    X = np.array([[1.0, 0.0, -1.0], [2.0, 2.0, 2.0]])
    assert isinstance(dense, AffineMap)
    assert (dense.inputs, dense.outputs) == (3, 2)
    np.testing.assert_array_equal(dense.apply(X), [[8, 18], [22, 50]])
    np.testing.assert_array_equal(dense.adjoint(np.array([[1.0, -1.0]])), [[-3, -3, -3]])
    np.testing.assert_array_equal(dense.rows(np.array([1])), [[4, 5, 6]])
    np.testing.assert_array_equal(dense.rows(), [[1, 2, 3], [4, 5, 6]])


def test_missing_bias_is_zero():
    np.testing.assert_array_equal(Dense([[1.0], [2.0]]).bias, [0, 0])


def test_composition_applies_one_after_the_other(dense: Dense):
    second = Dense([[1, -1], [0, 2], [3, 0]], [1, 2, 3])
    both = composed(dense, second)
    np.testing.assert_array_equal(both.rows(), [[-3, -3, -3], [8, 10, 12], [3, 6, 9]])
    np.testing.assert_array_equal(both.bias, [-9, 42, 33])


def test_composition_checks_sizes(dense: Dense):
    with pytest.raises(InputError, match="2 inputs, got 3 inputs"):
        composed(dense, dense)


def test_wrong_bias_is_refused():
    with pytest.raises(InputError, match=r"bias.*\(2,\)"):
        Dense(np.ones((2, 3)), np.ones(3))


def test_numbers_cannot_be_changed_behind_its_back():
    weight = np.ones((2, 2))
    dense = Dense(weight)
    weight[0, 0] = 5
    assert dense.weight[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        dense.weight[0, 0] = 5
