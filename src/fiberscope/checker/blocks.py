"""Rows in blocks that are not written out: zeros, sparse rows, or convolutions of selected coordinates.

A block ``A B`` has a convolution A and a matrix B of entries 1 and -1, at most one in each row and column. So every
entry is a number of a filter, or its negative, and products are sums of the same terms as those of written rows, and of
zeros: the bounds of ``matrices`` hold for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, Matrix, NotProvedError, check_matrix, sparse
from fiberscope.checker.unwritten import Unwritten


@dataclass(frozen=True, eq=False)
class Block:
    """``A B``, or A where B is None.

    Attributes:
        row: the number of the block row.
        column: the number of the block column.
        outer: A: compressed sparse rows, or a convolution.
        inner: B, compressed sparse rows; None for the identity.
    """

    row: int
    column: int
    outer: Matrix
    inner: Matrix | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.outer.shape[0], (self.outer if self.inner is None else self.inner).shape[1]

    def check(self) -> None:
        """NotProvedError where this is no such block."""
        B = self.inner
        for factor in (self.outer, B) if B is not None else (self.outer,):
            check_matrix(factor)
        if B is None:
            return
        alone = len(np.unique(B.indices)) == len(B.indices) and (np.diff(B.indptr) <= 1).all()
        if B.shape[0] != self.outer.shape[1] or not alone or not (np.abs(B.data) == 1).all():
            raise NotProvedError("a factor of a block does more than select coordinates")

    def of(self, change: Callable[[FloatArray], FloatArray]) -> Block:
        """The block of changed absolute values of entries, of a change that leaves zeros."""
        outer, inner = self.outer, self.inner
        if isinstance(outer, Convolution):
            outer = outer.entrywise(change)
        else:
            outer = sparse.csr_array((change(np.abs(outer.data)), outer.indices, outer.indptr), shape=outer.shape)
        return Block(self.row, self.column, outer, None if inner is None else abs(inner))

    def __matmul__(self, x: FloatArray) -> FloatArray:
        """``A B x``."""
        return self.outer @ (x if self.inner is None else self.inner @ x)

    def across(self, w: FloatArray) -> FloatArray:
        """``B^T A^T w``."""
        back = self.outer.across(w) if isinstance(self.outer, Convolution) else self.outer.T @ w
        return back if self.inner is None else self.inner.T @ back

    def written(self, numbers: IntArray) -> Any:
        """Some rows, as compressed sparse rows."""
        rows = self.outer[numbers]
        return rows if self.inner is None else rows @ self.inner


@dataclass(frozen=True, eq=False)
class Blocks(Unwritten):
    """A matrix (m, n) in blocks.

    Attributes:
        blocks: one for each place at most; zeros elsewhere.
        heights: of block rows.
        widths: of block columns.
    """

    blocks: tuple[Block, ...]
    heights: tuple[int, ...]
    widths: tuple[int, ...]

    def check(self) -> None:
        """NotProvedError where the blocks do not fit each other."""
        places = {(block.row, block.column) for block in self.blocks}
        if len(places) < len(self.blocks) or min((*self.heights, *self.widths, 1)) < 1:
            raise NotProvedError("two blocks stand at one place, or one has no rows")
        for block in self.blocks:
            inside = 0 <= block.row < len(self.heights) and 0 <= block.column < len(self.widths)
            block.check()
            if not inside or block.shape != (self.heights[block.row], self.widths[block.column]):
                raise NotProvedError("a block does not fit its place")

    @property
    def shape(self) -> tuple[int, int]:
        """M and n."""
        return sum(self.heights), sum(self.widths)

    def times(self, x: FloatArray) -> FloatArray:
        """``A x`` for x of shape (n,)."""
        parts, out = _parts(x, self.widths), [np.zeros(height) for height in self.heights]
        for block in self.blocks:
            out[block.row] += block @ parts[block.column]
        return np.concatenate(out)

    def across(self, w: FloatArray) -> FloatArray:
        """``A^T w`` for w of shape (m,)."""
        parts, out = _parts(w, self.heights), [np.zeros(width) for width in self.widths]
        for block in self.blocks:
            out[block.column] += block.across(parts[block.row])
        return np.concatenate(out)

    def entrywise(self, change: Callable[[FloatArray], FloatArray]) -> Blocks:
        """The matrix of changed absolute values of entries, of a change that leaves zeros."""
        return Blocks(tuple(block.of(change) for block in self.blocks), self.heights, self.widths)

    def __getitem__(self, numbers: IntArray) -> Any:
        """Some rows, written out as compressed sparse rows."""
        numbers = np.asarray(numbers, dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        starts = np.cumsum((0, *self.heights))
        cuts = np.searchsorted(numbers[order], starts)
        rows = [self._written(r, numbers[order[a:b]] - starts[r]) for r, (a, b) in enumerate(pairwise(cuts))]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return sparse.vstack(rows, format="csr")[back]

    def _written(self, r: int, numbers: IntArray) -> Any:
        parts: list[Any] = [sparse.csr_array((len(numbers), width)) for width in self.widths]
        for block in self.blocks:
            if block.row == r and len(numbers):
                parts[block.column] = block.written(numbers)
        out = sparse.csr_array(sparse.hstack(parts, format="csr"))
        out.eliminate_zeros()
        out.sort_indices()
        return out

    def is_echelon(self, numbers: IntArray, columns: BoolArray) -> bool:
        """Whether these rows are independent on some columns, as their blocks show without arithmetic.

        The last block of each of their block rows is diagonal, each of another block column, and has their entries of
        the diagonal on columns that are kept: sorted by these, the rows are those of a triangular matrix.
        """
        starts, kept = np.cumsum((0, *self.heights)), _parts(columns, self.widths)
        numbers, count = np.unique(numbers), len(numbers)
        row = np.searchsorted(starts, numbers, side="right") - 1
        pivots: list[int] = []
        for r in np.unique(row).tolist():
            last = max((b for b in self.blocks if b.row == r), key=lambda b: b.column, default=None)
            own = numbers[row == r] - starts[r]
            if last is None or not _is_diagonal(last) or not kept[last.column][own].all():
                return False
            pivots.append(last.column)
        return len(set(pivots)) == len(pivots) and len(numbers) == count


def _is_diagonal(block: Block) -> bool:
    """Whether a block has entries on its diagonal, all of it, and nowhere else."""
    if isinstance(block.outer, Convolution) or block.inner is not None or block.shape[0] != block.shape[1]:
        return False
    return bool(block.outer.diagonal().all() and block.outer.count_nonzero() == block.shape[0])


def _parts(vector: Any, sizes: tuple[int, ...]) -> list[Any]:
    return np.split(vector, np.cumsum(sizes)[:-1])
