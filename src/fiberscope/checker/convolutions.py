"""The rows of a convolution, which are never written out: products with them, their lengths, and some of them.

Row ``(c, o)`` has the entries ``w[c, i, t]`` at the places ``x[i, o * stride - low + t * dilation]`` of the grid, i
over the input channels of c's group. A product adds, tap by tap, the products of a matrix of weights with a part of the
grid: sums of the same terms as those of written rows, and of zeros, so that the bounds of ``matrices`` hold for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from fiberscope.checker.matrices import FloatArray, IntArray, NotProvedError, are_floats, sparse
from fiberscope.checker.unwritten import Unwritten

MAX_WRITTEN = 2**26
"""Entries of rows that are written out: they take a gigabyte."""


@dataclass(frozen=True, eq=False)
class Convolution(Unwritten):
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
        axes, shape = len(self.input_shape) - 1, self.weight.shape
        sizes = (*self.input_shape, *self.stride, *self.dilation, self.groups, *shape)
        added = [number for pair in self.padding for number in pair]
        whole = all(type(size) is int and size >= 1 for size in sizes) and all(type(p) is int and p >= 0 for p in added)
        per_axis = axes >= 1 and len(self.stride) == len(self.dilation) == len(self.padding) == len(shape) - 2 == axes
        if not (whole and per_axis and len(added) == 2 * axes and are_floats(self.weight, *shape, finite=True)):
            raise NotProvedError("a convolution is not made of floats and whole numbers, as many as there are axes")
        grouped = shape[1] * self.groups == self.input_shape[0] and shape[0] % self.groups == 0
        padded = (size + sum(pair) for size, pair in zip(self.input_shape[1:], self.padding, strict=True))
        if not grouped or any(reach > size for reach, size in zip(self._reach(), padded, strict=True)):
            raise NotProvedError("the parts of a convolution do not fit each other")

    def _reach(self) -> tuple[int, ...]:
        """How much of each axis a row reads."""
        return tuple(step * (taps - 1) + 1 for step, taps in zip(self.dilation, self.weight.shape[2:], strict=True))

    def _padded(self, X: Any, beside: int) -> Any:
        """(groups, channels in, *grid) the numbers of the grid, and what stands beside them."""
        grid = X.reshape(-1, self.weight.shape[1], *self.input_shape[1:])
        return np.pad(grid, [(0, 0), (0, 0), *self.padding], constant_values=beside)

    def _windows(self, padded: Any) -> Any:
        """(groups, channels in, *places, *kernel) what each tap of each output reads, without a copy."""
        axes = tuple(range(2, padded.ndim))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self._reach(), axes, writeable=True)
        steps = (slice(None, None, step) for step in (*self.stride, *self.dilation))
        return windows[(slice(None), slice(None), *steps)]

    @cached_property
    def index(self) -> IntArray:
        """(places, taps) which number of a channel each tap of an output reads; one after the last where it is none."""
        size = prod(self.input_shape[1:])
        numbers = np.broadcast_to(np.arange(size), (self.weight.shape[1], size))
        return self._windows(self._padded(numbers, size))[0, 0].reshape(-1, prod(self.weight.shape[2:]))

    @property
    def shape(self) -> tuple[int, int]:
        """M and n."""
        return self.weight.shape[0] * len(self.index), prod(self.input_shape)

    def times(self, x: FloatArray) -> FloatArray:
        """``A x`` for x of shape (n,)."""
        read = self._windows(self._padded(x, 0))
        out = np.zeros((self.groups, self.weight.shape[0] // self.groups, len(self.index)))
        for tap, weights in self._taps():
            out += weights @ read[(..., *tap)].reshape(*read.shape[:2], -1)
        return out.ravel()

    def across(self, w: FloatArray) -> FloatArray:
        """``A^T w`` for w of shape (m,)."""
        padded = self._padded(np.zeros(self.shape[1]), 0)
        read, values = self._windows(padded), w.reshape(self.groups, -1, len(self.index))
        for tap, weights in self._taps():
            part = read[(..., *tap)]
            part += (weights.swapaxes(1, 2) @ values).reshape(part.shape)
        inside = (slice(low, low + size) for size, (low, _) in zip(self.input_shape[1:], self.padding, strict=True))
        return padded[(slice(None), slice(None), *inside)].ravel()

    def _taps(self) -> Iterator[tuple[tuple[int, ...], FloatArray]]:
        """Each tap, and its weights (groups, channels, channels in)."""
        by_group = self.weight.reshape(self.groups, -1, *self.weight.shape[1:])
        return ((tap, np.ascontiguousarray(by_group[(..., *tap)])) for tap in np.ndindex(*self.weight.shape[2:]))

    def entrywise(self, change: Callable[[FloatArray], FloatArray]) -> Convolution:
        """The matrix of changed absolute values of entries, of a change that leaves zeros."""
        return replace(self, weight=change(np.abs(self.weight)))

    def __getitem__(self, numbers: IntArray) -> Any:
        """Some rows, written out as compressed sparse rows."""
        shape: tuple[int, ...] = self.weight.shape
        channels, width, taps = shape[0], shape[1], self.index.shape[1]
        if len(numbers) * width * taps > MAX_WRITTEN:
            raise NotProvedError(f"{len(numbers)} rows of a convolution are too many to write out, as exact proofs do")
        channel, place = np.divmod(np.asarray(numbers, dtype=np.int64), len(self.index))
        size, read = prod(self.input_shape[1:]), self.index[place][:, None, :]
        inputs: IntArray = (channel // (channels // self.groups))[:, None] * width + np.arange(width)
        values = self.weight.reshape(channels, width, taps)[channel]
        kept = (read < size) & (values != 0)
        # columns ascend: channels, then places, as taps do
        columns: IntArray = (inputs[:, :, None] * size + read)[kept]
        starts = np.concatenate([[0], np.cumsum(kept.sum(axis=(1, 2)))])
        return sparse.csr_array((values[kept], columns, starts), shape=(len(numbers), self.shape[1]))
