"""Rows in blocks, as the checker has them, against the same rows written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from fiberscope.checker.blocks import Block, Blocks
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.matrices import NotProvedError

CONVOLUTIONS = {
    "padding": ((3, 2, 3, 3), (2, 4, 4), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "strides and groups": ((4, 1, 3, 3), (2, 5, 4), (2, 1), ((0, 1), (1, 1)), (1, 1), 2),
    "dilation": ((2, 2, 2, 2), (2, 5, 5), (1, 2), ((1, 0), (0, 1)), (2, 1), 1),
}


def blocks_of(name: str) -> Blocks:
    """``[A B, -1; S, 0; 0, C]`` with a convolution A of integers, one of whose filters is 0."""
    rng = np.random.default_rng(len(name))
    shape, *rest = CONVOLUTIONS[name]
    weight = rng.integers(-3, 4, shape).astype(np.float64)
    weight[-1] = 0.0
    conv = Convolution(weight, *rest)
    m, n = conv.shape
    signs = rng.choice([-1.0, 0.0, 1.0], n)
    B = sparse.csr_array(sparse.diags_array(signs))
    B.eliminate_zeros()
    S = sparse.csr_array(np.where(rng.random((5, n)) < 0.3, rng.integers(1, 4, (5, n)), 0).astype(np.float64))
    C = sparse.csr_array(np.arange(2.0 * m).reshape(2, m))
    minus = sparse.csr_array(sparse.diags_array(-np.ones(m)))
    parts = (Block(0, 0, conv, B), Block(0, 1, minus, None), Block(1, 0, S, None), Block(2, 1, C, None))
    return Blocks(parts, (m, 5, 2), (n, m))


def written(blocks: Blocks) -> np.ndarray:
    """All entries, by products with unit vectors."""
    out = np.zeros(blocks.shape)
    rows, columns = np.cumsum((0, *blocks.heights)), np.cumsum((0, *blocks.widths))
    for block in blocks.blocks:
        outer = block.outer[np.arange(block.outer.shape[0])].toarray()
        inner = np.eye(outer.shape[1]) if block.inner is None else block.inner.toarray()
        part = slice(rows[block.row], rows[block.row + 1]), slice(columns[block.column], columns[block.column + 1])
        out[part] += outer @ inner
    return out


@pytest.mark.parametrize("name", list(CONVOLUTIONS))
def test_products_lengths_and_rows_are_those_of_the_matrix(name: str):
    blocks = blocks_of(name)
    blocks.check()
    A, rng = written(blocks), np.random.default_rng(1)
    m, n = blocks.shape
    x, w = rng.integers(-9, 9, n).astype(float), rng.integers(-9, 9, m).astype(float)  # no product is rounded
    assert np.array_equal(blocks @ x, A @ x)
    assert np.array_equal(blocks @ np.stack([x, -x], axis=1), A @ np.stack([x, -x], axis=1))
    assert np.array_equal(blocks.across(w), A.T @ w)
    assert np.array_equal(blocks.squares(), np.square(A).sum(axis=1))
    assert np.array_equal(blocks.squares_across(), np.square(A).sum(axis=0))
    columns = rng.random(n) < 0.2
    assert np.array_equal(blocks.reads(columns), A[:, columns].any(axis=1))
    assert np.array_equal(blocks.is_read(), A.any(axis=0))
    numbers = rng.permutation(m)[: m // 2]
    assert np.array_equal(blocks[numbers].toarray(), A[numbers])


def test_an_echelon_of_blocks_is_one_and_nothing_else_is():
    blocks = blocks_of("padding")
    height, n = blocks.heights[0], blocks.shape[1]
    every = np.ones(n, dtype=np.bool_)
    assert blocks.is_echelon(np.arange(height), every)
    assert blocks.is_echelon(np.arange(3), every)
    assert not blocks.is_echelon(np.array([0, 0]), every), "a row twice"
    assert not blocks.is_echelon(np.arange(height + 1), every), "rows without a diagonal"
    assert not blocks.is_echelon(np.array([0, height + 5]), every), "a row that reads the diagonal's columns"
    fewer = every.copy()
    fewer[-1] = False
    assert not blocks.is_echelon(np.arange(height), fewer), "a column is missing"
    holes = blocks.blocks[1].outer.copy()
    holes.data[0] = 0.0
    broken = replace(blocks, blocks=(blocks.blocks[0], replace(blocks.blocks[1], outer=holes)))
    assert not broken.is_echelon(np.arange(height), every), "a zero on the diagonal"
    unit = sparse.csr_array(np.eye(2))
    alike = Blocks((Block(0, 0, unit, None), Block(1, 0, unit, None)), (2, 2), (2,))
    assert not alike.is_echelon(np.array([0, 2]), np.ones(2, dtype=np.bool_)), "two diagonals on the same columns"
    for entries in ([[0.0, 1.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]):
        full = Blocks((Block(0, 0, sparse.csr_array(np.array(entries)), None),), (2,), (2,))
        assert not full.is_echelon(np.arange(2), np.ones(2, dtype=np.bool_)), "entries off the diagonal"


def test_what_is_no_matrix_in_blocks_is_refused():
    blocks = blocks_of("padding")
    first, *others = blocks.blocks
    twice = sparse.csr_array(2.0 * first.inner)
    wide = sparse.csr_array(np.ones(first.inner.shape))
    longer = sparse.csr_array(sparse.vstack([first.inner, sparse.csr_array((1, first.inner.shape[1]))]))
    for wrong in (
        replace(blocks, blocks=(replace(first, inner=longer), *others)),
        replace(blocks, blocks=(replace(first, inner=twice), *others)),
        replace(blocks, blocks=(replace(first, inner=wide), *others)),
        replace(blocks, blocks=(first, *others, others[0])),
        replace(blocks, blocks=(replace(first, column=1), *others)),
        replace(blocks, blocks=(replace(first, row=7), *others)),
        replace(blocks, heights=(1, 5, 2)),
        replace(blocks, widths=(0, *blocks.widths)),
        replace(blocks, widths=(*blocks.widths, 0)),
    ):
        with pytest.raises(NotProvedError):
            wrong.check()
