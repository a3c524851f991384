"""Whether rows of a convolution are injective on all inputs: in strips of the grid, by bands.

The places of outputs are cut into strips. If the rows of each strip are injective on what they read, and together they
read all inputs, then all rows are: ``|A x|^2 = sum_k |A_k x_k|^2 > s^2 sum_k |x_k|^2 >= s^2 |x|^2``, x_k the part of x
that strip k reads; parts may overlap. Line by line, the columns of a strip of width w with c channels have a Gram
matrix in a band of as many lines h as a filter is high, so that a factor costs ``(h w c)^2`` for each column. It is
formed place by place, of products of the filters that are on there: every entry is the sum of its products in some
order.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from fiberscope.checker import matrices
from fiberscope.checker.bands import Layout
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray

MAX_BAND = 2**27
"""Numbers of a band: a gigabyte."""
NARROW = 8
"""Places across a strip, at first; where these are not injective, twice as many, and so on."""


def columns_exceed(rows: Convolution, numbers: IntArray, size: float, s: float) -> bool:
    """Whether some rows are proved to have as many singular values above s as there are inputs; False says nothing.

    Args:
        rows: of all of them, over a grid with two axes, in one group of channels.
        numbers: of rows; one that is named twice counts once.
        size: at least the root of the sum of all squares of their entries.
        s: at least 0.
    """
    if rows.weight.ndim != 4 or rows.groups != 1 or not 0.0 <= s < np.inf:
        return False
    held = np.zeros(rows.shape[0], dtype=np.bool_)
    held[numbers] = True
    strips, count = _Strips(rows, held.reshape(len(rows.weight), -1), size, s), NARROW
    while True:
        found = strips.all_definite(count)
        if found or found is None or count >= strips.across:
            return bool(found)
        count *= 2


class _Strips:
    """Rows, and how their places stand on the grid."""

    def __init__(self, rows: Convolution, held: BoolArray, size: float, s: float) -> None:
        self.rows, self.held, self.size, self.s = rows, held, size, s
        self.channels, self.height, self.width = rows.input_shape
        self.inside = rows.index < self.height * self.width
        # (channels, taps, inputs): what a row reads at a tap, of each of the inputs there
        self.filters = rows.weight.reshape(*rows.weight.shape[:2], -1).swapaxes(1, 2)
        places = self.width + sum(rows.padding[1]) - rows.dilation[1] * (rows.weight.shape[3] - 1) - 1
        self.across = places // rows.stride[1] + 1

    def all_definite(self, count: int) -> bool | None:
        """Whether strips of so many places prove it; None where a band is too large."""
        read = np.zeros(self.width, dtype=np.bool_)
        for first in range(0, self.across, count):
            column = np.arange(len(self.held[0])) % self.across
            places = np.flatnonzero((column >= first) & (column < first + count))
            columns = self.rows.index[places][self.inside[places]] % self.width
            start, stop = int(columns.min(initial=self.width)), int(columns.max(initial=-1)) + 1
            found = self._is_definite(places, start, stop) if stop > start else True
            if not found:
                return found
            read[start:stop] = True
        return bool(read.all())

    def _is_definite(self, places: IntArray, start: int, stop: int) -> bool | None:
        """Whether the rows at some places are injective on the columns of the grid from start to stop."""
        lines = min(1 + self.rows.dilation[0] * (self.rows.weight.shape[2] - 1), self.height)
        order, band = self.height * (stop - start) * self.channels, lines * (stop - start) * self.channels
        if order * band > MAX_BAND:
            return None
        if int(self.held[:, places].sum()) < order:
            return False
        square = Layout(np.arange(order), band - 1).gram(self._by_places(places, start, stop))
        terms = len(self.filters) * prod(self.rows.weight.shape[2:])  # each tap of each filter reads a number once
        return matrices.is_definite(square, self.size, terms, self.s)

    def _by_places(self, places: IntArray, start: int, stop: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """What the rows at each place read of these columns of the grid, and the numbers of theirs there."""
        used = np.asarray(self.held.any(axis=0) & self.inside.any(axis=1))
        for place in places[used[places]].tolist():
            taps = self.inside[place]
            line, column = np.divmod(self.rows.index[place, taps], self.width)
            at = (
                ((line * (stop - start) + column - start) * self.channels)[:, None] + np.arange(self.channels)
            ).ravel()
            yield at, self.filters[self.held[:, place]][:, taps].reshape(-1, len(at))


__all__ = ["columns_exceed"]
