"""The door for linear maps: what is refused, and how products are oriented, tested and counted."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

import fiberscope as fs
from fiberscope.stability.linear_map import LinearMap, checked_map


class Bad:
    """A map of shape (4, 3) whose products are what the test wants them to be."""

    def __init__(self, product, shape=(4, 3), adjoint_shape=(3, 4), adjoint=None):
        self.product, self.shape = product, shape
        self.adjoint_shape, self.adjoint = adjoint_shape, adjoint or (lambda u: np.zeros((3, u.shape[1])))

    @property
    def T(self):  # noqa: N802
        return Bad(self.adjoint, self.adjoint_shape, self.shape)

    def __matmul__(self, v):
        return self.product(v)


A_GOOD = np.arange(12.0).reshape(4, 3)

BAD_MAPS = {
    "no map": ([[1.0]], "J", "linear map"),
    "no adjoint": (type("Half", (), {"shape": (2, 2), "__matmul__": lambda self, v: v})(), "J", "linear map"),
    "one axis": (np.ones(3), "J.shape", "(m, n)"),
    "three axes": (np.ones((2, 2, 2)), "J.shape", "(m, n)"),
    "empty": (np.ones((0, 3)), "J.shape", "at least 1"),
    "adjoint of the same shape": (Bad(lambda v: v, adjoint_shape=(4, 3)), "J.T.shape", "(3, 4)"),
    "NaN": (np.array([[1.0, np.nan]]), "J @ v", "finite"),
    "infinite": (np.array([[1.0, np.inf]]), "J @ v", "finite"),
    "overflow": (np.full((3, 300), 1e308), "J @ v", "finite"),
    "complex": (np.eye(2) * 1j, "J @ v", "real"),
    "text": (np.array([["a", "b"]]), "J @ v", "product"),
    "wrong product": (Bad(lambda v: v), "J @ v", "shape (4, 1)"),
    "no batches": (Bad(lambda v: (A_GOOD @ v)[:, 0]), "J @ v", "shape (4, 1)"),
    "adjoint with NaN": (Bad(lambda v: A_GOOD @ v, adjoint=lambda u: A_GOOD.T @ u * np.nan), "J.T @ u", "finite"),
    "wrong adjoint": (Bad(lambda v: A_GOOD @ v, adjoint=lambda u: -(A_GOOD.T @ u)), "J.T", "adjoint"),
    "another adjoint": (
        Bad(lambda v: A_GOOD @ v, adjoint=lambda u: np.ones((3, 4)) @ u),
        "J.T",
        "adjoint",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD_MAPS))
def test_bad_maps_are_refused_with_what_was_expected(name):
    J, what, words = BAD_MAPS[name]
    with pytest.raises(fs.InputError) as caught, np.errstate(all="ignore"):
        checked_map(J)
    assert caught.value.what == what
    assert words in caught.value.expected
    assert caught.value.got


def test_the_door_orients_maps_by_their_smaller_side():
    for A in (A_GOOD, A_GOOD.T):
        checked = checked_map(A)
        assert (checked.smaller, checked.larger) == (3, 4)
        before = checked.products
        up = np.ldexp(checked.up(np.eye(3)), checked.exponent)
        assert np.array_equal(up, A_GOOD)
        assert np.array_equal(np.ldexp(checked.down(np.eye(4)), checked.exponent), A_GOOD.T)
        assert checked.products == before + 7


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_arrays_are_linear_maps(form):
    assert isinstance(form(A_GOOD), LinearMap)
    checked = checked_map(form(A_GOOD))
    assert np.array_equal(np.ldexp(checked.apply(np.eye(3)), checked.exponent), A_GOOD)
    assert not isinstance([A_GOOD], LinearMap)
