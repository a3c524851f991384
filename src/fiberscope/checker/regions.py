"""The coordinates in which branches that meet are affine around a sample, without a rounded number.

The values of all stages between the common ancestor and the layer are written as ``sum_k E_k z_k + c``: z_0 = x is what
the ancestor gives, and every other z_k a vector of coordinates of its own, defined by ``sum_j E_j z_j - z_k = const``.
Its numbers at the sample are those that float64 gives. New coordinates stand

- for the numbers that a ReLU, a leaky one or a clip receives; the region keeps them on their piece (z > 0, or else
  z <= 0; of a clip z <= low, or else z >= high, or else between), and behind it stands z times the slope there; where
  a clip is constant, and not 0, its bound is a coordinate, too, defined by ``-z_k = const``;
- for the numbers of windows that a maximum is taken over, if they are not each a coordinate, its negative, or 0: behind
  it stands the largest of each window, of several the first, and the region keeps all others of the window below it;
- for what an affine map receives, and for what is added to a sum, where numbers would have to be rounded otherwise;
- for 1, where a sum would have to add two constants: one coordinate, of which the second is a multiple. Nothing defines
  it but its bounds, which are both 1. The map from x to all coordinates stays one to one, and affine.

By products nothing is multiplied out: an E_k is a matrix, or a convolution behind a matrix of entries 1 and -1, at most
one in each row and column. What a map receives, and what is added to a convolution, becomes coordinates otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from fiberscope.checker.affine import (
    Matrix,
    added,
    changes_nothing,
    csr_array,
    entries,
    gathered,
    matrix_of,
    product,
    sparse,
    suited,
    unit,
)
from fiberscope.checker.blocks import Block, Blocks
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.stored import NOTHING, Activation, Array, FloatArray, Map, Stage
from fiberscope.errors import ModelError

FACTORS = ("convolution", "rearrangement", "diagonal")
"""Kinds of maps that can stay factors."""

_Terms: TypeAlias = dict[int, Matrix]
"""The matrices E_k by number."""

_Value: TypeAlias = tuple[_Terms, FloatArray]
"""E and c."""


class Region:
    """The coordinates around one sample, collected stage by stage.

    Args:
        stages: the stages of the network.
        source: the number of the common ancestor.
        x: what it gives at the sample.
        by_products: whether convolutions stay factors.

    Attributes:
        blocks: z_0, z_1, ... at the sample.
    """

    def __init__(self, stages: tuple[Stage, ...], source: int, x: FloatArray, *, by_products: bool = False) -> None:
        self.blocks: list[FloatArray] = [x]
        self._stages, self._by_products = stages, by_products
        self._definitions: list[_Terms] = []
        self._bounds = [(np.full(len(x), -np.inf), np.full(len(x), np.inf))]
        self._rivals: list[_Terms] = []
        self._values: dict[int, _Value] = {source: ({0: unit(np.ones(len(x)))}, np.zeros(len(x)))}

    def add(self, number: int) -> None:
        """Write the next stage as a value."""
        stage = self._stages[number]
        values = [self._values[source] for source in stage.sources]
        activation = stage.activation
        if activation is None:
            mapped = [self._mapped(affine, value) for affine, value in zip(stage.maps, values, strict=True)]
            self._values[number] = self._sum(mapped)
        elif activation.index is not None:
            if self._by_products:
                raise ModelError("a maximum over windows is no factor of rows by products")
            self._values[number] = self._largest(activation.index, values[0])
        else:
            self._values[number] = self._bent(activation, values[0])

    def _named(self, value: _Value) -> _Value:
        """The value as coordinates of their own."""
        terms, constant = value
        z = constant + self._at_sample(terms)
        number = len(self.blocks)
        self._definitions.append({**terms, number: unit(np.full(len(z), -1.0))})
        self.blocks.append(z)
        self._bounds.append((np.full(len(z), -np.inf), np.full(len(z), np.inf)))
        return {number: unit(np.ones(len(z)))}, np.zeros(len(z))

    def _times_one(self, constant: FloatArray) -> _Terms:
        """The constant as a multiple of a coordinate that is 1: ``c = c z_k`` wherever ``1 <= z_k <= 1``."""
        number, units = len(self.blocks), np.flatnonzero(constant)
        self.blocks.append(np.ones(1))
        self._bounds.append((np.ones(1), np.ones(1)))
        return {number: gathered(units, np.zeros_like(units), constant[units], (len(constant), 1))}

    def _at_sample(self, terms: _Terms) -> Any:
        return sum(matrix @ self.blocks[k] for k, matrix in terms.items())

    def _bent(self, activation: Activation, value: _Value) -> _Value:
        terms, _ = self._named(value)
        z, clip = self.blocks[-1], activation.kind == "clip"
        low, high = (activation.alpha, activation.beta) if clip else (0.0, np.inf)
        below = z <= low
        above = ~below & (z >= high)
        if low < high:  # a constant has no kink
            self._bounds[-1] = _three(below, -np.inf, above, high, low), _three(below, low, above, np.inf, high)
        slope = np.zeros(len(z)) if activation.slope is None else activation.slope
        bent = {k: unit(np.where(below, slope, np.where(above, 0.0, 1.0))) for k in terms}
        held = _three(below, low, above, high, 0.0)
        units = np.flatnonzero(held)
        if len(units):
            ((k, _),) = self._named(({}, held[units]))[0].items()
            bent[k] = gathered(units, np.arange(len(units)), np.ones(len(units)), (len(z), len(units)))
        return bent, np.zeros(len(z))

    def _largest(self, index: Array, value: _Value) -> _Value:
        terms, constant = value
        counts = np.zeros(len(constant), dtype=np.int64)
        for matrix in terms.values():
            counts += np.bincount(entries(matrix)[0], minlength=len(constant))
        if constant.any() or (counts > 1).any() or not all(_of_ones(matrix) for matrix in terms.values()):
            terms, constant = self._named(value)
        v = self._at_sample(terms)
        place = np.where(index == NOTHING, -np.inf, v[index]).argmax(axis=1)
        winner = np.take_along_axis(index, place[:, None], axis=1)
        row, column = np.nonzero((index != NOTHING) & (index != winner))
        pairs = np.unique(np.stack([index[row, column], winner[row, 0]], axis=1), axis=0)
        if len(pairs):
            below, above = pairs.T
            self._rivals.append({k: added(matrix[below], -matrix[above]) for k, matrix in terms.items()})
        return {k: matrix[winner[:, 0]] for k, matrix in terms.items()}, np.zeros(len(winner))

    def _mapped(self, affine: Map, value: _Value) -> _Value:
        if affine.kind == "composition":
            for part in affine.parts:
                value = self._mapped(part, value)
            return value
        if affine.kind == "sum":
            return self._sum([self._mapped(part, value) for part in affine.parts])
        if self._by_products:
            return self._multiplied(affine, value)
        matrix = matrix_of(affine)
        if not _rounds_nothing(matrix, affine.bias, value):
            value = self._named(value)
        terms, constant = value
        return {k: product(matrix, inner) for k, inner in terms.items()}, matrix @ constant + affine.bias

    def _multiplied(self, affine: Map, value: _Value) -> _Value:
        if affine.kind not in FACTORS:
            raise ModelError(f"a map of kind {affine.kind} is no factor of rows by products")
        if changes_nothing(affine):
            return value
        terms, constant = value
        if constant.any() or not all(_selects(inner) for inner in terms.values()):
            terms, _ = self._named(value)
        if affine.kind != "convolution":
            matrix = matrix_of(affine)
            return {k: product(matrix, inner) for k, inner in terms.items()}, affine.bias
        grid = {name: affine.grid[name] for name in ("input_shape", "stride", "padding", "dilation", "groups")}
        if any(side < 0 for pair in grid["padding"] for side in pair):
            raise ModelError("a convolution that cuts its input is no factor of rows by products")
        outer = Convolution(affine.arrays["weight"], **grid)
        return {k: Block(0, k, outer, sparse(inner)) for k, inner in terms.items()}, affine.bias

    def _sum(self, values: list[_Value]) -> _Value:
        (total, constant), *others = values
        for value in others:
            terms, more = value
            if any(_overlap(total[k], terms[k]) for k in total.keys() & terms.keys()):
                terms, more = self._named(value)
            elif ((constant != 0) & (more != 0)).any():
                terms, more = {**terms, **self._times_one(more)}, np.zeros(len(more))
            both = {k: added(total[k], terms[k]) for k in terms if k in total}
            total, constant = {**total, **terms, **both}, constant + more
        return total, constant

    def as_matrix(self, number: int) -> tuple[Matrix, FloatArray]:
        """The rows that define the coordinates, those of a stage below them, and the constants of the latter."""
        terms, constant = self._values[number]
        return suited(self._below([*self._definitions, terms])), constant

    def as_blocks(self, number: int) -> tuple[Blocks, FloatArray]:
        """The same by products."""
        terms, constant = self._values[number]
        rows = [*self._definitions, terms]
        blocks = tuple(
            replace(matrix, row=r) if isinstance(matrix, Block) else Block(r, k, sparse(matrix), None)
            for r, row in enumerate(rows)
            for k, matrix in sorted(row.items())
        )
        heights = tuple(next(iter(row.values())).shape[0] for row in rows)
        return Blocks(blocks, heights, tuple(map(len, self.blocks))), constant

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds of all coordinates; of x there are none."""
        low, high = zip(*self._bounds, strict=True)
        return np.concatenate(low), np.concatenate(high)

    def half_spaces(self) -> Matrix:
        """The rows of half-spaces ``G z <= 0``; those without entries are left out."""
        rows = self._below(self._rivals)
        return suited(rows[np.diff(rows.indptr) > 0])

    def _below(self, blocks: list[_Terms]) -> Matrix:
        """Functions of all coordinates as the rows of one matrix, block below block, sparse."""
        starts = np.cumsum([0, *map(len, self.blocks)])
        height, parts = 0, [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))]
        for terms in blocks:
            for k, matrix in sorted(terms.items()):
                row, column, value = entries(matrix)
                parts.append((row + height, column + starts[k], value))
            height += next(iter(terms.values())).shape[0]
        row, column, value = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.lexsort([column, row])
        return gathered(row[order], column[order], value[order], (height, int(starts[-1])))


def _three(below: Array, first: float, above: Array, last: float, between: float) -> FloatArray:
    """Of every number what belongs to the piece that it is on."""
    return np.where(below, first, np.where(above, last, between))


def _selects(matrix: Matrix | Block) -> bool:
    """Whether it is written out, with entries 1 and -1 alone, at most one in each row and column."""
    if isinstance(matrix, Block) or not _of_ones(matrix):
        return False
    row, column, _ = entries(matrix)
    return len(np.unique(row)) == len(row) and len(np.unique(column)) == len(column)


def _of_ones(matrix: Matrix) -> bool:
    """Whether no entry is other than 1, -1 or 0."""
    return bool((np.abs(entries(matrix)[2]) == 1).all())


def _pattern(matrix: Matrix) -> Matrix:
    """Ones where a matrix has entries."""
    own = sparse(matrix)
    return csr_array((np.ones(own.nnz), own.indices, own.indptr), shape=own.shape)


def _overlap(left: Matrix, right: Matrix) -> bool:
    """Whether both have an entry at one place; of a convolution that is held to be so."""
    if isinstance(left, Block) or isinstance(right, Block):
        return True
    return _pattern(left).multiply(_pattern(right)).nnz > 0


def _rounds_nothing(matrix: Matrix, bias: FloatArray, value: _Value) -> bool:
    """Whether ``matrix (E z + c) + bias`` has only numbers that are stored already, but for their sign.

    Either there is no c, E has only entries 1 and -1, and no two products meet in one entry; or the matrix itself only
    moves numbers or changes their sign, and no two constants meet.
    """
    terms, constant = value
    if not constant.any() and all(_of_ones(inner) and not _meet(matrix, inner) for inner in terms.values()):
        return True
    row, _, _ = entries(matrix)
    moves = _of_ones(matrix) and not (np.bincount(row, minlength=1) > 1).any()
    return moves and not (constant.any() and ((matrix @ constant != 0) & (bias != 0)).any())


def _meet(outer: Matrix, inner: Matrix) -> bool:
    """Whether two products of entries fall on one entry of ``outer inner``."""
    column = entries(inner)[1]
    if len(np.unique(column)) == len(column):
        return False
    counts = _pattern(outer) @ _pattern(inner)
    return bool((counts.data > 1).any())


__all__ = ["Region"]
