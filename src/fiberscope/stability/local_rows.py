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

STRIP_NUMBERS = 2**25
"""Numbers that a strip of rows may hold at a time while a Gram matrix is built."""

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
        values = self.values.new_zeros(1, len(self.units), *window)
        for shift, members in by_shift(self.start - start):
            at_shift(values, shift, self.window)[:, members] = self.values[None, members]
        return LocalRows(self.outputs, self.picture, self.units, start, values[0], self.most)

    def whole(self) -> Float64[Tensor, "k n"]:
        """The stored rows, written out."""
        if self.window == self.picture:
            return self.values.flatten(1)
        return self.rewindowed(torch.zeros_like(self.start), self.picture).values.flatten(1)

    def sparse(self) -> SparseRows:
        """All m rows in compressed sparse form."""
        offset = torch.stack(torch.meshgrid(*map(torch.arange, self.window), indexing="ij"), dim=-1).flatten(0, -2)
        row, entry = torch.nonzero(self.values.flatten(1), as_tuple=True)
        place = (self.start[row] + offset[entry]).T.numpy()
        column = np.ravel_multi_index(tuple(place), self.picture)
        entries = self.values.flatten(1)[row, entry].numpy()
        return sparse_rows(entries, self.units[row].numpy(), np.asarray(column), (self.outputs, self.inputs))

    def nonzero(self) -> LocalRows:
        """Without the rows that are stored as zeros."""
        members = self.values.flatten(1).any(dim=1)
        return self if bool(members.all()) else self.kept(members)

    def squared_norms(self) -> Float64[Tensor, " m"]:
        """``|J_i|^2`` of every row."""
        squares = self.values.new_zeros(self.outputs)
        squares[self.units] = self.values.flatten(1).square().sum(dim=1)
        return squares

    def scale(self) -> float:
        """A power of two near the largest number: divided by it, squares neither overflow nor vanish."""
        largest = float(self.values.abs().max()) if self.values.numel() else 0.0
        return float(2.0 ** np.floor(np.log2(largest))) if largest > 0 else 1.0

    def strips(self) -> Iterator[tuple[tuple[slice, ...], LocalRows]]:
        """Groups of rows whose windows lie in one strip of the picture, widened to that strip.

        A strip is a window along one axis and the whole picture along the others.

        Yields:
            The strip as an index of the picture, and the rows.
        """
        partial = [
            axis for axis, (size, whole) in enumerate(zip(self.window, self.picture, strict=True)) if size < whole
        ]
        strip = list(self.picture)
        along = torch.zeros(len(self.units), 1, dtype=torch.int64, device=self.units.device)
        if partial:
            strip[partial[0]] = self.window[partial[0]]
            along = self.start[:, partial[:1]]
        most = max(1, STRIP_NUMBERS // prod(strip))
        for (first,), members in by_shift(along):
            index = [slice(0, size) for size in self.picture]
            if partial:
                index[partial[0]] = slice(first, first + strip[partial[0]])
            for block in split(members, most):
                rows = self.kept(block)
                start = torch.zeros_like(rows.start)
                if partial:
                    start[:, partial[0]] = first
                yield tuple(index), rows if rows.window == tuple(strip) else rows.rewindowed(start, tuple(strip))


def gram(rows: LocalRows, scale: float) -> tuple[Float64[FloatArray, "n n"], BoolArray]:
    """The upper triangle of ``J^T J / scale^2``, zeros below it, and which columns of J are not zero."""
    total = np.zeros((*rows.picture, *rows.picture))
    used = np.zeros(rows.picture, dtype=bool)
    for index, strip in rows.strips():
        matrix = (strip.values / scale).flatten(1).cpu().numpy()
        # of a transposed matrix in Fortran's order, the lower triangle: of the matrix in C's order, the upper one
        square: FloatArray = _blas.dsyrk(1.0, matrix.T, lower=1).T
        total[index + index] += square.reshape(strip.window + strip.window)
        used[index] |= matrix.any(axis=0).reshape(strip.window)
    return total.reshape(rows.inputs, rows.inputs), used.ravel()


def outer_gram(rows: LocalRows, scale: float) -> Float64[FloatArray, "k k"]:
    """The upper triangle of ``J J^T / scale^2`` for the stored rows, zeros below it."""
    matrix = (rows.whole() / scale).cpu().numpy()
    return np.asarray(_blas.dsyrk(1.0, matrix.T, trans=1, lower=1).T)


def by_shift(shift: Int64[Tensor, "k d"]) -> Iterator[tuple[tuple[int, ...], Int64[Tensor, " g"]]]:
    """The distinct rows of an array of whole numbers, and where each of them stands."""
    if not len(shift):
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


def at_shift(values: Tensor, shift: tuple[int, ...], window: tuple[int, ...]) -> Tensor:
    """The part of windows, the last axes of an array, that smaller windows cover, shifted against them."""
    part = tuple(slice(first, first + size) for first, size in zip(shift, window, strict=True))
    return values[(..., *part)]


__all__ = ["LocalRows", "at_shift", "by_shift", "gram", "outer_gram", "split"]
