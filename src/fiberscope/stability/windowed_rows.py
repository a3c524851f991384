"""Rows of a local linear map that are zero outside a window of the input, and their Gram matrix.

What a unit behind a few convolutions sees of a picture is a small part of it. Its row of ``J`` is kept as that part and
where it lies. Windows grow from stage to stage; one that has reached the whole picture is a row written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.rows import sparse_rows
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.stability.measured_errors import UNIT, Columns, frobenius, image, lengths
from fiberscope.stability.powers_of_two import exponent_of, times_power

TILE_NUMBERS = 2**25
"""Numbers that a group of rows may hold at a time while a Gram matrix is built."""

TILE_SIDE = 8
"""Pixels within which windows of a group begin, at least: smaller groups are not worth the calls."""

_blas: Any = cast(Any, scipy.linalg).blas


@dataclass(frozen=True, eq=False)
class LocalRows:
    """Rows of an m x n matrix, each of which is zero outside a window of the picture that its columns belong to.

    Attributes:
        outputs: m; rows that are not stored are zero.
        picture: the shape of the input, of d axes; n is its product.
        units: (k,) the numbers of the rows that are stored, in any order.
        start: (k, d) where the window of each begins; all lie within the picture.
        values: (k, *window) what stands there.
        bottleneck: the rank of the matrix is at most this: the fewest rows that it has gone through.
    """

    outputs: int
    picture: tuple[int, ...]
    units: Int64[Tensor, " k"]
    start: Int64[Tensor, "k d"]
    values: Float64[Tensor, "k ..."]
    bottleneck: int

    @property
    def most(self) -> int:
        """The largest rank that the matrix can have."""
        return min(self.bottleneck, len(self.units), self.inputs)

    @property
    def window(self) -> tuple[int, ...]:
        """The size of every window, along the axes of the picture."""
        return tuple(self.values.shape[1:])

    @property
    def inputs(self) -> int:
        """The number n of columns."""
        return prod(self.picture)

    def slots(self) -> Int64[Tensor, " m"]:
        """Where each row is stored; -1 where it is zero."""
        slots = torch.full((self.outputs,), -1, device=self.units.device)
        slots[self.units] = torch.arange(len(self.units), device=self.units.device)
        return slots

    def kept(self, members: Tensor) -> LocalRows:
        """Some of the rows, by a mask or by their places among the stored ones; the others count as zero."""
        units, start, values = self.units[members], self.start[members], self.values[members]
        return LocalRows(self.outputs, self.picture, units, start, values, self.most)

    def rewindowed(self, start: Int64[Tensor, "k d"], window: tuple[int, ...]) -> LocalRows:
        """The same rows in windows that contain their own."""
        values = self.values.new_zeros(len(self.units), prod(window))
        first = flat_places(self.start - start, window)
        offset = flat_places(every_place(self.window, first.device), window)
        values.scatter_(1, first[:, None] + offset, self.values.flatten(1))
        return LocalRows(self.outputs, self.picture, self.units, start, values.reshape(-1, *window), self.most)

    def whole(self) -> Float64[Tensor, "k n"]:
        """The stored rows, written out."""
        if self.window == self.picture:
            return self.values.flatten(1)
        return self.rewindowed(torch.zeros_like(self.start), self.picture).values.flatten(1)

    def sparse(self) -> SparseRows:
        """All m rows in compressed sparse form."""
        row, entry = torch.nonzero(self.values.flatten(1), as_tuple=True)
        place = self.start[row] + every_place(self.window, row.device)[entry]
        column = flat_places(place, self.picture).numpy()
        entries = self.values.flatten(1)[row, entry].numpy()
        return sparse_rows(entries, self.units[row].numpy(), column, (self.outputs, self.inputs))

    def nonzero(self) -> LocalRows:
        """Without the rows that are stored as zeros."""
        members = self.values.flatten(1).any(dim=1)
        return self if bool(members.all()) else self.kept(members)

    def norms(self) -> Float64[Tensor, " m"]:
        """``|J_i|`` of every row."""
        norms = self.values.new_zeros(self.outputs)
        norms[self.units] = lengths_along(self.values.flatten(1), 1)
        return norms

    def exponent(self) -> int:
        """The k for which the largest number lies in [2^k, 2^(k+1)): times ``2^-k``, squares keep within range."""
        return exponent_of(self.values.cpu().numpy())


def gram(rows: LocalRows, exponent: int) -> tuple[Float64[FloatArray, "n n"], BoolArray]:
    """The upper triangle of ``J^T J`` times ``4^-exponent``, zeros below it, and which columns of J are not zero."""
    total = np.zeros((*rows.picture, *rows.picture))
    used = np.zeros(rows.picture, dtype=bool)
    for index, window, matrix in tiles(rows, exponent):
        # of a transposed matrix in Fortran's order, the lower triangle: of the matrix in C's order, the upper one
        square: FloatArray = _blas.dsyrk(1.0, matrix.T, lower=1).T
        total[index + index] += square.reshape(window + window)
        used[index] |= matrix.any(axis=0).reshape(window)
    return total.reshape(rows.inputs, rows.inputs), used.ravel()


def gram_product(rows: LocalRows, exponent: int, W: Columns) -> Columns:
    """``J^T J W`` times ``4^-exponent``, group by group of the rows.

    With M_t a group and w_t the part of w that it sees, ``M_t^T M_t w_t`` is off by at most
    ``gamma |M_t|_F (|M_t|_F |w_t| + |fl(M_t w_t)|)``; a number that is added up from k groups by at most k - 1 units of
    the sizes of its terms.
    """
    k = len(W.error)
    shape = (*rows.picture, k)
    vectors: Any = W.values.reshape(shape)
    total: Any = np.zeros(shape, dtype=np.longdouble)
    sizes, terms = np.zeros(shape), np.zeros(rows.picture)
    error: FloatArray = np.zeros(k)
    for index, window, matrix in tiles(rows, exponent):
        part = Columns(vectors[index].reshape(-1, k), np.zeros(k))
        back = image(matrix.T, image(matrix, part), frobenius(matrix))
        placed = back.values.reshape(*window, k)
        total[index] += placed
        sizes[index] += np.abs(placed).astype(np.float64)
        terms[index] += 1.0
        error += back.error
    added_up = UNIT * lengths((terms[..., None] * sizes).reshape(-1, k))
    return Columns(total.reshape(-1, k), error + added_up)


def tiles(rows: LocalRows, exponent: int) -> Iterator[tuple[tuple[slice, ...], tuple[int, ...], FloatArray]]:
    """Groups of rows whose windows lie close to each other, written out in a window that covers those of the group.

    Windows of a group begin at the same place along the first axis along which they are not the whole picture, and
    within half their size of each other along the others: larger groups would multiply more zeros, smaller ones would
    be added up more often. All in numpy: with tens of thousands of small steps, torch's threads mostly wait.

    Yields:
        The common window as an index of the picture, its size, and the rows there, times ``2^-exponent``.
    """
    start, values = rows.start.cpu().numpy(), rows.values.flatten(1).cpu().numpy()
    sizes = zip(rows.window, rows.picture, strict=True)
    partial = [axis for axis, (size, whole) in enumerate(sizes) if size < whole]
    steps = [1 if axis == partial[0] else max(TILE_SIDE, rows.window[axis] // 2) for axis in partial]
    _, number = np.unique(start[:, partial] // np.array(steps, dtype=np.int64), axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    offset = np.indices(rows.window).reshape(len(rows.window), -1)
    for members in np.split(order, np.cumsum(np.bincount(number.ravel()))[:-1]):
        low = start[members].min(axis=0)
        window = tuple(map(int, start[members].max(axis=0) - low + rows.window))
        index = tuple(slice(first, first + width) for first, width in zip(low.tolist(), window, strict=True))
        inside = np.ravel_multi_index(tuple(offset), window)
        for block in np.array_split(members, -(-len(members) * prod(window) // TILE_NUMBERS)):
            matrix = times_power(values[block], -exponent)
            if rows.window != window:
                first = np.asarray(np.ravel_multi_index(tuple((start[block] - low).T), window))
                part, matrix = matrix, np.zeros((len(block), prod(window)))
                np.put_along_axis(matrix, first[:, None] + inside, part, axis=1)
            yield index, window, matrix


def outer_gram(rows: LocalRows, exponent: int) -> Float64[FloatArray, "k k"]:
    """The upper triangle of ``J J^T`` times ``4^-exponent`` for the stored rows, zeros below it."""
    matrix = times_power(rows.whole().cpu().numpy(), -exponent)
    return np.asarray(_blas.dsyrk(1.0, matrix.T, trans=1, lower=1).T)


def lengths_along(values: Float64[Tensor, "a b"], axis: int) -> Float64[Tensor, " c"]:
    """Euclidean lengths along an axis; what is squared is at most 1, so that no square overflows or vanishes."""
    largest = values.abs().amax(dim=axis, keepdim=True)
    largest = torch.where(largest > 0, largest, 1.0)
    return largest.squeeze(axis) * (values / largest).square().sum(dim=axis).sqrt()


def by_shift(shift: Int64[Tensor, "k d"]) -> Iterator[tuple[tuple[int, ...], Int64[Tensor, " g"]]]:
    """The distinct rows of an array of whole numbers, and where each of them stands."""
    if not shift.numel():
        yield from [(tuple(0 for _ in shift.T), torch.arange(len(shift), device=shift.device))] if len(shift) else []
        return
    distinct, number = cast("tuple[Tensor, Tensor]", cast(Any, shift).unique(dim=0, return_inverse=True))
    if len(distinct) == 1:
        yield tuple(map(int, distinct[0])), torch.arange(len(shift), device=shift.device)
        return
    groups = split(number.argsort(stable=True), cast(Any, number.bincount()).tolist())
    for row, members in zip(distinct, groups, strict=True):
        yield tuple(map(int, row)), members


def split(values: Tensor, sizes: Any) -> tuple[Tensor, ...]:
    """``values.split(sizes)``, which has no types."""
    return cast(Any, values).split(sizes)


def every_place(window: tuple[int, ...], device: torch.device) -> Int64[Tensor, "p d"]:
    """The coordinates of every place of a window, in C order."""
    axes = torch.meshgrid(*(torch.arange(size, device=device) for size in window), indexing="ij")
    return torch.stack(axes, dim=-1).flatten(0, -2)


def flat_places(places: Int64[Tensor, "k d"], shape: tuple[int, ...]) -> Int64[Tensor, " k"]:
    """The places of an array of this shape in C order, from their coordinates."""
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return (places * torch.tensor(strides, device=places.device)).sum(dim=1)


def at_shift(values: Tensor, shift: tuple[int, ...], window: tuple[int, ...]) -> Tensor:
    """The part of windows, the last axes of an array, that smaller windows cover, shifted against them."""
    part = tuple(slice(first, first + size) for first, size in zip(shift, window, strict=True))
    return values[(..., *part)]


__all__ = [
    "LocalRows",
    "at_shift",
    "by_shift",
    "every_place",
    "gram",
    "gram_product",
    "lengths_along",
    "outer_gram",
    "split",
]
