"""The rows of a convolution, which are never written out: products with them, their lengths, and some of them.

Row ``(c, o)`` has the entries ``w[c, i, t]`` at the places ``x[i, o * stride - low + t * dilation]`` of the grid, i
over the input channels of c's group. A product adds, tap by tap, the products of a matrix of weights with a part of the
grid: sums of the same terms as those of written rows, and of zeros, so that the bounds of ``matrices`` hold for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

import numpy as np
from scipy import sparse

from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, NotProvedError

MAX_WRITTEN = 2**26
"""Entries of rows that are written out: they take a gigabyte."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """A matrix (m, n), as its weights and where they stand.

    Attributes:
        weight: (channels, channels in / groups, *kernel).
        input_shape: (channels in, *grid).
        stride: one number per axis of the grid.
        padding: zeros before and after each axis.
        dilation: one number per axis.
        groups: blocks of channels that are convolved on their own.
    """

    weight: FloatArray
    input_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    def check(self) -> None:
        """NotProvedError where this is no convolution."""
        numbers = (
            *self.input_shape,
            *self.stride,
            *self.dilation,
            self.groups,
            *(p for pair in self.padding for p in pair),
        )
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise NotProvedError("a convolution is not described by whole numbers")
        axes, shape = len(self.input_shape) - 1, self.weight.shape
        per_axis = axes >= 1 and len(self.stride) == len(self.dilation) == len(self.padding) == axes
        steps = (*self.input_shape, *self.stride, *self.dilation, self.groups)
        if not per_axis or len(shape) != axes + 2 or min(*steps, *shape) < 1:
            raise NotProvedError("the parts of a convolution do not fit each other")
        if shape[1] * self.groups != self.input_shape[0] or shape[0] % self.groups or min(self.places) < 1:
            raise NotProvedError("the parts of a convolution do not fit each other")

    @property
    def places(self) -> tuple[int, ...]:
        """The grid of the outputs."""
        return tuple(
            (size + sum(pair) - step * (taps - 1) - 1) // stride + 1
            for size, pair, step, taps, stride in zip(
                self.input_shape[1:], self.padding, self.dilation, self.weight.shape[2:], self.stride, strict=True
            )
        )

    @property
    def shape(self) -> tuple[int, int]:
        """M and n."""
        return self.weight.shape[0] * prod(self.places), prod(self.input_shape)

    @property
    def filter_size(self) -> int:
        """The entries of one row at most."""
        return prod(self.weight.shape[1:])

    @property
    def data(self) -> FloatArray:
        """The stored numbers, each once."""
        return self.weight

    def __matmul__(self, X: FloatArray) -> FloatArray:
        """``A X`` for X of shape (n,) or (n, N)."""
        if X.ndim == 2:
            return np.stack([self @ np.ascontiguousarray(x) for x in X.T], axis=1)
        grid, out = self._padded(X), np.zeros((self.groups, self.weight.shape[0] // self.groups, prod(self.places)))
        for weights, part in self._taps():
            out += weights @ grid[(slice(None), slice(None), *part)].reshape(self.groups, self.weight.shape[1], -1)
        return out.ravel()

    def across(self, w: FloatArray) -> FloatArray:
        """``A^T w`` for w of shape (m,)."""
        shape = (self.groups, self.weight.shape[1], *self.places)
        values, grid = w.reshape(self.groups, self.weight.shape[0] // self.groups, -1), self._padded(None)
        for weights, part in self._taps():
            grid[(slice(None), slice(None), *part)] += (weights.swapaxes(1, 2) @ values).reshape(shape)
        return np.ascontiguousarray(grid[(slice(None), slice(None), *self._inside())]).ravel()

    def _padded(self, X: FloatArray | None) -> FloatArray:
        sizes = [size + sum(pair) for size, pair in zip(self.input_shape[1:], self.padding, strict=True)]
        grid = np.zeros((self.groups, self.weight.shape[1], *sizes))
        if X is not None:
            grid[(slice(None), slice(None), *self._inside())] = X.reshape(*grid.shape[:2], *self.input_shape[1:])
        return grid

    def _inside(self) -> tuple[slice, ...]:
        return tuple(slice(low, low + size) for size, (low, _) in zip(self.input_shape[1:], self.padding, strict=True))

    def _taps(self) -> Iterator[tuple[FloatArray, tuple[slice, ...]]]:
        """For each tap its weights (groups, channels, channels in), and what it reads of the padded grid."""
        by_group = self.weight.reshape(self.groups, -1, *self.weight.shape[1:])
        for tap in np.ndindex(*self.weight.shape[2:]):
            part = tuple(
                slice(t * step, t * step + stride * (count - 1) + 1, stride)
                for t, step, stride, count in zip(tap, self.dilation, self.stride, self.places, strict=True)
            )
            yield np.ascontiguousarray(by_group[(..., *tap)]), part

    def entrywise(self, change: Callable[[FloatArray], FloatArray]) -> Convolution:
        """The matrix of changed absolute values of entries, of a change that leaves zeros."""
        return replace(self, weight=change(np.abs(self.weight)))

    def reads(self, columns: BoolArray) -> BoolArray:
        """(m,) which rows have an entry that is not zero on some columns: counts are exact in float64."""
        return (self.entrywise(_ones) @ columns.astype(np.float64)) > 0

    def is_read(self) -> BoolArray:
        """(n,) which columns have an entry that is not zero."""
        return self.entrywise(_ones).across(np.ones(self.shape[0])) > 0

    def squares(self) -> FloatArray:
        """(m,) the sums of the squares of each row, up to rounding; sums of n terms at most."""
        return self.entrywise(np.square) @ np.ones(self.shape[1])

    def squares_across(self) -> FloatArray:
        """(n,) the same of columns; sums of m terms at most."""
        return self.entrywise(np.square).across(np.ones(self.shape[0]))

    def __getitem__(self, numbers: IntArray) -> Any:
        """Some rows, written out as compressed sparse rows."""
        shape: tuple[int, ...] = self.weight.shape
        channels, width, kernel = shape[0], shape[1], shape[2:]
        if len(numbers) * width * prod(kernel) > MAX_WRITTEN:
            raise NotProvedError(f"{len(numbers)} rows of a convolution are too many to be written out")
        channel, place = np.divmod(np.asarray(numbers, dtype=np.int64), prod(self.places))
        sizes = self.input_shape[1:]
        position, inside = np.zeros((len(numbers), 1), dtype=np.int64), np.ones((len(numbers), 1), dtype=np.bool_)
        at: IntArray = np.stack(np.unravel_index(place, self.places))
        for axis, size in enumerate(sizes):
            taps = np.arange(kernel[axis]) * self.dilation[axis]
            count = position.shape[1] * kernel[axis]
            seen = at[axis][:, None] * self.stride[axis] - self.padding[axis][0] + taps
            position = (position[:, :, None] * size + np.clip(seen, 0, size - 1)[:, None, :]).reshape(
                len(numbers), count
            )
            inside = (inside[:, :, None] & ((seen >= 0) & (seen < size))[:, None, :]).reshape(len(numbers), count)
        first = (channel // (channels // self.groups))[:, None] * width + np.arange(width)
        columns = first[:, :, None] * prod(sizes) + position[:, None, :]
        values = self.weight.reshape(channels, width, -1)[channel]
        kept = inside[:, None, :] & (values != 0)
        starts = np.concatenate([[0], np.cumsum(kept.sum(axis=(1, 2)))])
        # columns ascend: channels, then places, as taps do
        return cast(Any, sparse).csr_array((values[kept], columns[kept], starts), shape=(len(numbers), self.shape[1]))


def _ones(sizes: FloatArray) -> FloatArray:
    """1 where a size is not 0."""
    return (sizes != 0).astype(np.float64)
