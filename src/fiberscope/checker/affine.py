"""Affine maps written out as numbers: A as an array or in compressed sparse rows, and b.

Where maps are composed or added up, numbers are rounded, and verdicts are about the rounded ones. So the order is part
of what is stored: every product is rounded, then added to those before it, in ascending order of the coordinate that
they meet in; the first map is multiplied by the second, what comes out by the third; sums go from left to right.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
import scipy.sparse

from fiberscope.checker.stored import NOTHING, Array, FloatArray, Map

csr_array: Any = cast(Any, scipy.sparse).csr_array
Matrix: TypeAlias = Any
"""(m, n) numbers in float64: an array, or a ``csr_array`` with sorted columns and without stored zeros."""

DENSE_FROM, SMALL = 0.2, 40_000
"""The share of entries that are not zero from which, and the size up to which, arrays are faster: no number depends on
it."""

AT_ONCE = 20_000_000
"""Products that are held in memory at a time."""


def is_sparse(matrix: Matrix) -> bool:
    """Whether it is kept in compressed sparse rows."""
    return not isinstance(matrix, np.ndarray)


def sparse(matrix: Matrix) -> Matrix:
    """It in compressed sparse rows."""
    return matrix if is_sparse(matrix) else gathered(*entries(matrix), matrix.shape)


def dense(matrix: Matrix) -> FloatArray:
    """It as an array."""
    return matrix.toarray() if is_sparse(matrix) else matrix


def suited(matrix: Matrix) -> Matrix:
    """It in the form that is faster to work with."""
    m, n = matrix.shape
    filled = matrix.nnz if is_sparse(matrix) else np.count_nonzero(matrix)
    return sparse(matrix) if m * n > SMALL and filled < DENSE_FROM * m * n else dense(matrix)


def entries(matrix: Matrix) -> tuple[Array, Array, FloatArray]:
    """Row, column and value of every entry that is not zero, row by row; scipy makes integers of none."""
    if is_sparse(matrix):
        counts: Array = np.diff(matrix.indptr)
        values = np.asarray(matrix.data, dtype=np.float64)
        return np.repeat(np.arange(len(counts)), counts), matrix.indices.astype(np.int64), values
    row, column = np.nonzero(matrix)
    return row, column, np.asarray(matrix[row, column], dtype=np.float64)


def gathered(row: Array, column: Array, value: FloatArray, shape: tuple[int, int]) -> Matrix:
    """A sparse matrix from entries; those at one place are added in the order in which they come."""
    place: Array = row * np.int64(shape[1]) + column
    if not bool((place[1:] > place[:-1]).all()):
        place, number = np.unique(place, return_inverse=True)
        value = np.asarray(np.bincount(number.ravel(), weights=value), dtype=np.float64)  # adds one after the other
    kept = value != 0
    row, column = np.divmod(place[kept], np.int64(shape[1]))
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))])
    return csr_array((value[kept], column, starts), shape=shape)


def unit(values: FloatArray) -> Matrix:
    """The diagonal matrix of these values."""
    places = np.arange(len(values))
    return gathered(places, places, values, (len(values), len(values)))


def product(outer: Matrix, inner: Matrix) -> Matrix:
    """``outer inner``, rounded as said above; sparse if both are."""
    if is_sparse(outer) or is_sparse(inner):
        blocks = list(_products(outer, sparse(inner), is_sparse(outer) and is_sparse(inner)))
        return cast(Any, scipy.sparse).vstack(blocks, format="csr") if is_sparse(blocks[0]) else np.concatenate(blocks)
    total = np.zeros((outer.shape[0], inner.shape[1]))
    for k in range(len(inner)):
        total += outer[:, k, None] * inner[k]
    return total


def _products(outer: Matrix, inner: Matrix, stays_sparse: bool) -> Iterator[Matrix]:
    """The product with a sparse matrix, some rows at a time."""
    n, lengths = inner.shape[1], np.diff(inner.indptr).astype(np.int64)
    row, middle, _ = entries(outer)
    work = np.bincount(row, weights=lengths[middle], minlength=outer.shape[0]) + (0 if stays_sparse else n)
    block = (np.cumsum(work) // AT_ONCE).astype(np.int64)
    for number in np.unique(block):
        rows = np.flatnonzero(block == number)
        row, middle, factor = entries(outer[rows[0] : rows[-1] + 1])
        count = lengths[middle]
        first = np.repeat(inner.indptr[middle] - np.cumsum(count) + count, count)
        place = np.arange(int(count.sum())) + first
        value, row = np.repeat(factor, count) * inner.data[place], np.repeat(row, count)
        column, shape = inner.indices[place].astype(np.int64), (len(rows), n)
        if stays_sparse:
            yield gathered(row, column, value, shape)
        else:  # bincount adds one after the other
            yield np.bincount(row * n + column, weights=value, minlength=len(rows) * n).reshape(shape)


def added(left: Matrix, right: Matrix) -> Matrix:
    """``left + right``; sparse if both are."""
    if is_sparse(left) and is_sparse(right):
        row, column, value = (np.concatenate(pair) for pair in zip(entries(left), entries(right), strict=True))
        return gathered(row, column, value, left.shape)
    return dense(left) + dense(right)


def as_matrix(affine: Map) -> tuple[Matrix, FloatArray]:
    """A and b of a stored map."""
    if affine.kind == "composition":
        return composed([as_matrix(part) for part in affine.parts])
    if affine.kind == "sum":
        (matrix, bias), *others = [as_matrix(part) for part in affine.parts]
        for more, constant in others:
            matrix, bias = added(matrix, more), bias + constant
        return matrix, bias
    return matrix_of(affine), affine.bias


def composed(factors: list[tuple[Matrix, FloatArray]]) -> tuple[Matrix, FloatArray]:
    """One affine map after the other as one, the first to be applied first."""
    (matrix, bias), *others = factors
    for outer, constant in others:
        bias = product(outer, bias[:, None])[:, 0] + constant
        matrix = product(outer, matrix)
    return matrix, bias


def changes_nothing(affine: Map) -> bool:
    """Whether a map moves numbers to where they are."""
    if affine.kind != "rearrangement" or affine.bias.any():
        return False
    return np.array_equal(affine.arrays["index"], np.arange(affine.inputs))


def matrix_of(affine: Map) -> Matrix:
    """A of a map that is not made of others."""
    arrays, shape = affine.arrays, (affine.outputs, affine.inputs)
    match affine.kind:
        case "dense":
            return arrays["weight"]
        case "convolution":
            return _convolution(affine)
        case "transposed":
            row, column, value = entries(_convolution(affine.parts[0]))
            return gathered(column, row, value, shape)
        case "diagonal":
            return unit(arrays["factor"])
        case _:  # a rearrangement or weighted sums: y_j = sum_t w_jt x_(index_jt)
            index = arrays["index"].reshape(len(arrays["index"]), -1)
            kept = index != NOTHING
            weights = arrays["weights"].reshape(index.shape)
            return gathered(np.nonzero(kept)[0], index[kept], weights[kept], shape)


def _convolution(affine: Map) -> Matrix:
    """``A[(c, o), (i, o * stride - padding + q * dilation)] = w[c, i, q]``, i in c's group, inside the grid alone."""
    weight, grid = affine.arrays["weight"], affine.grid
    channels, width, *kernel = weight.shape
    sizes: tuple[int, ...] = grid["input_shape"][1:]
    out: tuple[int, ...] = grid["output_grid"]
    place: Array = np.indices(out).reshape(len(sizes), -1, 1)
    tap: Array = np.indices(kernel).reshape(len(sizes), 1, -1)
    position: Array = np.zeros((place.shape[1], tap.shape[2]), dtype=np.int64)
    inside = position == 0
    for a, size in enumerate(sizes):
        along = place[a] * grid["stride"][a] - grid["padding"][a][0] + tap[a] * grid["dilation"][a]
        inside, position = inside & (along >= 0) & (along < size), position * size + along
    places, cells, group = len(position), prod(sizes), channels // grid["groups"]
    found: list[tuple[Array, Array, FloatArray]] = []
    for c in range(channels):
        w = weight[c].reshape(1, width, -1)
        o, i, q = np.nonzero(inside[:, None, :] & (w != 0))
        first = (c // group * width + i) * cells
        found.append((c * places + o, first + position[o, q], w[0, i, q]))
    row, column, value = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return gathered(row, column, value, (affine.outputs, affine.inputs))


__all__ = [
    "Matrix",
    "added",
    "as_matrix",
    "changes_nothing",
    "composed",
    "csr_array",
    "dense",
    "entries",
    "gathered",
    "is_sparse",
    "matrix_of",
    "product",
    "sparse",
    "suited",
    "unit",
]  # fmt: skip
