"""Rows that are made of convolutions and are not written out: layers in which branches meet, around a sample.

The matrix has blocks of rows and of columns. A block is zero, sparse rows, or ``A B`` with a convolution A and a matrix
B of entries 1 and -1, at most one in each row and column: which units pass on what they receive. So every entry is a
number of a filter, and products are those of the factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fiberscope.network.affine import AffineMap
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.convolution import Convolution
from fiberscope.network.rows import Rows, absolute, no_entries, sparse, stacked
from fiberscope.network.sparse_rows import SparseRows, side_by_side


@dataclass(frozen=True, eq=False)
class Product:
    """``A B``.

    Attributes:
        outer: A.
        inner: B, sparse, with entries 1 and -1, at most one in each row and column.
    """

    outer: Convolution
    inner: SparseRows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.outer.outputs, self.inner.shape[1]

    def __matmul__(self, v: FloatArray) -> FloatArray:
        return self.outer.linear(torch.from_numpy(self.inner @ v)[None])[0].numpy()


Block: TypeAlias = SparseRows | Product


def selects(rows: Rows) -> bool:
    """Whether all entries are 1 or -1, at most one in each row and column."""
    own = sparse(rows)
    alone = len(np.unique(own.indices)) == own.nnz and bool((np.diff(own.indptr) <= 1).all())
    return alone and bool((np.abs(own.data) == 1).all())


@dataclass(frozen=True, eq=False, repr=False)
class Blocks(AffineMap):
    """The map ``x -> A x + b`` with A in blocks.

    Args:
        blocks: by block row and block column; zeros elsewhere.
        heights: of block rows.
        widths: of block columns.
        bias: b, (m,).
    """

    kind: ClassVar[str] = "blocks"

    blocks: Mapping[tuple[int, int], Block]
    heights: tuple[int, ...]
    widths: tuple[int, ...]
    bias: Any

    @classmethod
    def of(cls, expressions: Sequence[Mapping[int, Rows | Product]], widths: Sequence[int], bias: FloatArray) -> Blocks:
        """Functions of several vectors of coordinates, one below the other."""
        blocks = {
            (r, c): block if isinstance(block, Product) else sparse(block)
            for r, expression in enumerate(expressions)
            for c, block in expression.items()
        }
        heights = tuple(next(iter(expression.values())).shape[0] for expression in expressions)
        return cls(blocks, heights, tuple(widths), torch.tensor(bias))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return sum(self.widths)

    @property
    def outputs(self) -> int:
        """The number m of rows."""
        return sum(self.heights)

    @property
    def terms(self) -> int:
        """The entries of a row at most, and the constant."""
        longest = np.zeros(len(self.heights), dtype=np.int64)
        for (r, _), block in self.blocks.items():
            longest[r] += block.outer.terms - 1 if isinstance(block, Product) else np.diff(block.indptr).max(initial=0)
        return int(longest.max()) + 1

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate ``A x`` for each row x of X."""
        parts = _split(X, self.widths)
        out = [X.new_zeros(len(X), height) for height in self.heights]
        for (r, c), block in self.blocks.items():
            if isinstance(block, Product):
                out[r] = out[r] + block.outer.linear(_times(block.inner, parts[c]))
            else:
                out[r] = out[r] + _times(block, parts[c])
        return torch.cat(out, dim=1)

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Evaluate ``A^T u`` for each row u of U."""
        parts = _split(U, self.heights)
        out = [U.new_zeros(len(U), width) for width in self.widths]
        for (r, c), block in self.blocks.items():
            if isinstance(block, Product):
                out[c] = out[c] + _times(block.inner.T, block.outer.adjoint(parts[r]))
            else:
                out[c] = out[c] + _times(block.T, parts[r])
        return torch.cat(out, dim=1)

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of A with these indices, or all of them, sparse."""
        every = np.arange(self.outputs) if indices is None else indices
        starts = np.cumsum((0, *self.heights))
        order = np.argsort(every, kind="stable")
        cuts = np.searchsorted(every[order], starts)
        parts = [self._rows(r, every[order[a:b]] - starts[r]) for r, (a, b) in enumerate(pairwise(cuts))]
        out = sparse(stacked(*parts))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return out[back]

    def _rows(self, r: int, numbers: IntArray) -> SparseRows:
        """Some rows of one block row."""
        parts = [no_entries(len(numbers), width) for width in self.widths]
        for (row, c), block in self.blocks.items():
            if row == r and len(numbers):
                written = block.outer.rows(numbers) if isinstance(block, Product) else block[numbers]
                parts[c] = sparse(written) @ block.inner if isinstance(block, Product) else sparse(written)
        out = side_by_side(parts)
        out.sort_indices()
        return out

    def entrywise(self, change: Callable[[Tensor], Tensor]) -> Blocks:
        """The matrix of changed absolute values of entries, of a change that leaves zeros; without constants."""

        def changed(block: Block) -> Block:
            if isinstance(block, Product):
                return Product(block.outer.entrywise(change), sparse(absolute(block.inner)))
            data = change(torch.from_numpy(np.abs(block.data))).numpy()
            return SparseRows((data, block.indices, block.indptr), shape=block.shape)

        blocks = {place: changed(block) for place, block in self.blocks.items()}
        return Blocks(blocks, self.heights, self.widths, torch.zeros_like(self.bias))

    def absolute(self) -> Blocks:
        """The map ``x -> |A| x + |b|``."""
        out = self.entrywise(torch.abs)
        return Blocks(out.blocks, out.heights, out.widths, self.bias.abs())


def _split(X: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """Some columns after the others."""
    return [X[:, stop - size : stop] for size, stop in zip(sizes, np.cumsum(sizes).tolist(), strict=True)]


def _times(rows: Any, X: Tensor) -> Tensor:
    """``rows x`` for each row x of X, in its precision."""
    return torch.from_numpy(np.ascontiguousarray((rows @ X.numpy().T).T)).to(X)


__all__ = ["Block", "Blocks", "Product", "selects"]
