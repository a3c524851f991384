"""Every affine map against its own matrix, against torch, and the rules that all of them obey."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from fiberscope.errors import InputError
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.combination import Composition, Sum, as_rows, composed, is_exact
from fiberscope.network.convolution import Convolution, Transposed
from fiberscope.network.rows import dense
from fiberscope.network.structured import Diagonal, Rearrangement, WeightedSums

RNG = np.random.default_rng(0)


def _numbers(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.integers(-8, 9, size=shape) / 4.0


STRIDED = Convolution(
    _numbers(6, 2, 3, 2), (4, 7, 6), _numbers(6), (2, 3), ((1, 2), (0, 1)), (2, 1), groups=2
)  # fmt: skip
CROPPED = Convolution(_numbers(3, 2, 2), (2, 9), _numbers(3 * 3), (2,), ((-1, -2),))
SOLID = Convolution(_numbers(2, 1, 2, 1, 2), (1, 3, 2, 4), padding=((1, 0), (0, 0), (0, 1)))
MAPS: dict[str, AffineMap] = {
    "dense": Dense(_numbers(5, 3), _numbers(5)),
    "strided, dilated, padded, grouped": STRIDED,
    "one axis, cut off, a constant per output": CROPPED,
    "three axes": SOLID,
    "transposed": Transposed(STRIDED, _numbers(4)),
    "rearrangement": Rearrangement([2, -1, 0, 2, 1], 4, _numbers(5)),
    "diagonal": Diagonal(_numbers(6), _numbers(6)),
    "weighted sums": WeightedSums([[0, 3], [-1, 1], [2, 2]], _numbers(3, 2), 4, _numbers(3)),
    "composition": Composition((Rearrangement([2, -1, 0, 2, 1], 4, _numbers(5)), Dense(_numbers(3, 5), _numbers(3)))),
    "sum": Sum((Dense(_numbers(3, 4), _numbers(3)), Rearrangement([3, -1, 0], 4), Diagonal(_numbers(4)))[:2]),
    "sparse composition": composed(Diagonal(_numbers(168), _numbers(168)), STRIDED),
}
by_name = pytest.mark.parametrize("affine", MAPS.values(), ids=MAPS.keys())


@by_name
def test_products_are_those_of_the_matrix(affine: AffineMap):
    A, b = dense(affine.rows()), affine.bias.numpy()
    assert A.shape == (affine.outputs, affine.inputs)
    assert b.shape == (affine.outputs,)
    X, U = torch.tensor(_numbers(4, affine.inputs)), torch.tensor(_numbers(4, affine.outputs))
    # all numbers are small multiples of a power of two: every product and sum is exact
    np.testing.assert_array_equal(affine.apply(X), X.numpy() @ A.T + b)
    np.testing.assert_array_equal(affine.linear(X), X.numpy() @ A.T)
    np.testing.assert_array_equal(affine.adjoint(U), U.numpy() @ A)


@by_name
def test_adjoint_passes_the_dot_product_test(affine: AffineMap):
    rng = np.random.default_rng(1)
    x, u = (torch.tensor(rng.standard_normal((1, size))) for size in (affine.inputs, affine.outputs))
    left, right = float((affine.linear(x) * u).sum()), float((x * affine.adjoint(u)).sum())
    assert left == pytest.approx(right, rel=1e-13, abs=1e-12)


@by_name
def test_single_rows_are_those_of_all(affine: AffineMap):
    chosen = np.array([affine.outputs - 1, 0, 0])
    np.testing.assert_array_equal(dense(affine.rows(chosen)), dense(affine.rows())[chosen])
    rows, bias = as_rows(affine)
    np.testing.assert_array_equal(dense(rows), dense(affine.rows()))
    np.testing.assert_array_equal(bias, affine.bias)


@by_name
def test_absolute_maps_bound_the_terms(affine: AffineMap):
    X = torch.tensor(_numbers(3, affine.inputs))
    assert bool((affine.absolute().apply(X.abs()) >= affine.apply(X).abs()).all())
    if not isinstance(affine, Composition | Sum):
        np.testing.assert_array_equal(dense(affine.absolute().rows()), abs(dense(affine.rows())))


@by_name
def test_no_output_is_a_sum_of_more_terms_than_said(affine: AffineMap):
    longest = int((dense(affine.rows()) != 0).sum(axis=1).max())
    assert affine.terms >= longest


@by_name
def test_works_in_the_precision_of_its_input_and_on_its_device(affine: AffineMap):
    X = torch.tensor(_numbers(2, affine.inputs), dtype=torch.float32)
    assert affine.apply(X).dtype == torch.float32
    np.testing.assert_allclose(affine.apply(X), affine.apply(X.double()), rtol=1e-5, atol=1e-4)
    meta = affine.moved("meta")
    assert meta.apply(torch.empty(2, affine.inputs, device="meta")).shape == (2, affine.outputs)
    assert affine.apply(X).device.type == "cpu"


grids = st.integers(1, 6)


@given(st.data())
def test_convolutions_are_those_of_torch(data: st.DataObject):
    axes = data.draw(st.integers(1, 2))
    groups, width, height = (data.draw(st.integers(1, 3)) for _ in range(3))

    def per_axis(low: int, high: int) -> list[int]:
        return [data.draw(st.integers(low, high)) for _ in range(axes)]

    kernel, stride, dilation, padding = per_axis(1, 3), per_axis(1, 3), per_axis(1, 2), per_axis(0, 2)
    grid = [(k - 1) * d + data.draw(st.integers(1, 4)) for k, d in zip(kernel, dilation, strict=True)]
    weight, bias = _numbers(groups * height, width, *kernel), _numbers(groups * height)
    shape = (groups * width, *grid)
    pads = tuple((p, p) for p in padding)
    ours = Convolution(weight, shape, bias, tuple(stride), pads, tuple(dilation), groups)
    X = torch.tensor(_numbers(2, *shape))
    theirs = (F.conv1d, F.conv2d)[axes - 1](
        X, torch.tensor(weight), torch.tensor(bias), stride, padding, dilation, groups
    )
    np.testing.assert_array_equal(ours.apply(X.reshape(2, -1)), theirs.reshape(2, -1))
    assert ours.output_shape == tuple(theirs.shape[1:])


def test_zero_padding_and_dead_channels_leave_no_entries():
    weight = np.zeros((2, 1, 3))
    weight[0] = 1.0
    rows: Any = Convolution(weight, (1, 4), padding=((1, 1),)).rows()
    assert rows.nnz == 2 + 3 + 3 + 2
    np.testing.assert_array_equal(rows.toarray()[4:], 0.0)


def test_composition_applies_one_after_the_other():
    first, second = Dense([[1, 2, 3], [4, 5, 6]], [10, 20]), Dense([[1, -1], [0, 2], [3, 0]], [1, 2, 3])
    rows, bias = as_rows(composed(first, second))
    np.testing.assert_array_equal(dense(rows), [[-3, -3, -3], [8, 10, 12], [3, 6, 9]])
    np.testing.assert_array_equal(bias, [-9, 42, 33])
    with pytest.raises(InputError, match="2 inputs, got 3 inputs"):
        composed(first, first)


def test_composed_matrices_are_rounded_after_every_operation():
    # 1 + 2**-60 rounds to 1; in another order, or fused, the sum would keep the small part
    first, second = Dense([[1.0], [2.0**-60], [-1.0]]), Dense([[1.0, 1.0, 1.0]])
    assert float(dense(composed(first, second).rows())[0, 0]) == 0.0
    sparse_first = Rearrangement([0, 0, 0], 1)
    sparse_second = WeightedSums([[0, 1, 2]], [[1.0, 2.0**-60, -1.0]], 3)
    assert float(dense(composed(sparse_first, sparse_second).rows())[0, 0]) == 0.0


@given(st.integers(0, 10_000))
def test_sparse_and_dense_compositions_agree(seed: int):
    rng = np.random.default_rng(seed)
    left, right = (np.where(rng.uniform(size=s) < 0.4, rng.integers(-9, 10, s) / 8.0, 0.0) for s in ((5, 7), (7, 4)))
    expected = left @ right
    from fiberscope.network.rows import product, sparse

    for outer in (left, sparse(left)):
        for inner in (right, sparse(right)):
            np.testing.assert_array_equal(dense(product(outer, inner)), expected)


def test_weighting_columns_leaves_the_rows_as_they_are():
    from fiberscope.network.rows import sparse, weighted_columns

    full = _numbers(6, 5) + 3.0
    rows, factor = sparse(full), np.array([1.0, 0.0, 2.0, 0.0, 0.5])
    for form in (full, rows):
        np.testing.assert_array_equal(dense(weighted_columns(form, factor)), full * factor)
    np.testing.assert_array_equal(dense(rows), full)


def test_movements_join_and_identities_vanish():
    moved = composed(Rearrangement([2, 0, -1], 3, [0, 0, 5.0]), Rearrangement([2, 1, -1, 0], 3, [0, 0, 7.0, 0]))
    assert isinstance(moved, Rearrangement)
    np.testing.assert_array_equal(moved.index, [-1, 0, -1, 2])
    np.testing.assert_array_equal(moved.bias, [5, 0, 7, 0])
    weight = Dense(_numbers(2, 3))
    assert composed(Rearrangement([0, 1, 2], 3), weight) is weight


def test_what_rounds_when_it_is_written_out():
    weight = Dense(_numbers(2, 3), _numbers(2))
    assert is_exact(composed(Rearrangement([2, 0, 1], 3), weight))
    assert is_exact(composed(Diagonal([2.0, 0.5, 1.0]), weight))
    assert not is_exact(composed(Diagonal([3.0, 0.5, 1.0]), weight))
    assert not is_exact(composed(weight, Dense(_numbers(2, 2))))


def test_padding_that_repeats_numbers_adds_weights():
    tiny = Dense([[1.0, 2.0**-60, -1.0]])
    assert not is_exact(composed(Rearrangement([0, 0, 0], 1), tiny))
    assert not is_exact(WeightedSums([[0, 0, 1]], [[1.0, 2.0**-60, 1.0]], 2))
    assert is_exact(composed(Rearrangement([0, -1, 1], 2), tiny))
    assert is_exact(composed(tiny, Rearrangement([0, 0], 1)))
    assert is_exact(WeightedSums([[0, -1, 1], [1, 1, -1]], [[1.0, 3.0, 1.0], [1.0, 0.0, 0.0]], 2))


def test_powers_of_two_that_leave_the_range_of_float64():
    assert not is_exact(composed(Diagonal([2.0**-600, 1.0]), Dense([[2.0**-600, 1.0]])))
    assert not is_exact(composed(Dense([[1.0]], [2.0**-600]), Diagonal([2.0**-600])))
    assert not is_exact(composed(Diagonal([2.0**600]), Diagonal([2.0**600])))
    assert is_exact(composed(Diagonal([2.0**-300, 1.0]), Dense([[2.0**-300, 1.0]])))


def test_bad_numbers_are_refused():
    assert not Dense([[1.0], [2.0]]).bias.any()
    for make in (
        lambda: Dense(np.ones((2, 3)), np.ones(3)),
        lambda: Dense([[np.inf]]),
        lambda: Convolution(np.ones((2, 2, 3)), (3, 5)),
        lambda: Convolution(np.ones((1, 1, 9)), (1, 5)),
        lambda: Convolution(np.ones((1, 1, 2)), (1, 5), stride=(0,)),
        lambda: Rearrangement([0, 4], 4),
        lambda: Rearrangement([0.5], 4),
        lambda: WeightedSums([[0, 1]], [[1.0]], 2),
        lambda: Sum((Dense(np.ones((2, 3))), Dense(np.ones((3, 3))))),
    ):
        with pytest.raises(InputError, match=r"expected .* got"):
            make()


def test_numbers_cannot_be_changed_behind_its_back():
    weight = np.ones((2, 2))
    affine = Dense(weight)
    weight[0, 0] = 5
    assert affine.weight[0, 0] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        affine.weight = torch.zeros(2, 2)  # type: ignore[misc]
