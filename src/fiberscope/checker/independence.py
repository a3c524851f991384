"""That many rows, which are not written out, are independent on some columns: what pairs leave of them, in tiles.

Some rows have a column each, in which they have 1 or -1. Where no other row reads it the row is set aside. The others,
the *pairs*, read each other's columns nowhere, and are eliminated: of

    B = [P Q]      with P = diag(+-1),      N = T - R P Q      is left,
        [R T]

and whatever B has to be corrected by is found on N: for B (u, w) = (p, q) take N w = q - R P p and u = P (p - Q w). So
``|w| <= (|q| + |R| |p|) / sigma_min(N)``, and ``|u| <= |p| + |Q| |w|``; rows that are set aside come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fiberscope.checker import matrices
from fiberscope.checker.certificates import Independence
from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, NotProvedError
from fiberscope.checker.tiles import Columns, Gram, Tile, reduced
from fiberscope.checker.unwritten import Unwritten, ones

if TYPE_CHECKING:
    from fiberscope.checker.system import Rows

MAX_CELL = 1024
"""Rows, or columns, of a cell."""


@dataclass(frozen=True, eq=False)
class _Parts:
    """Rows and columns: those set aside, the pairs, and what is left."""

    alone: tuple[IntArray, IntArray]
    pairs: tuple[IntArray, IntArray]
    left: tuple[IntArray, IntArray]

    @classmethod
    def of(cls, part: Independence) -> _Parts:
        a, k = part.alone, part.paired
        cuts = [(part.rows[at], part.columns[at]) for at in (slice(a), slice(a, k), slice(k, None))]
        return cls(cuts[0], cuts[1], cuts[2])


def correction(rows: Rows, v: FloatArray, numbers: IntArray, moved: BoolArray, part: Independence, s: float) -> float:
    """How far from v a vector is, at most, that vanishes on these rows and differs from v on ``moved`` columns alone.

    Raises:
        NotProvedError: rows are not shown to be independent, to the extent s > 0 of the rows that are left.
    """
    stack = rows.stack
    if not isinstance(stack, Unwritten):
        raise NotProvedError("rows in tiles are proved to be independent in floats alone, not by exact arithmetic")
    if not np.array_equal(np.sort(part.rows), numbers) or not moved[part.columns].all() or not s > 0:
        raise NotProvedError("rows in tiles are not those that are held, or are asked about columns that are")
    if any((np.diff(starts) > MAX_CELL).any() for starts in (part.pair_cells, part.row_cells, part.column_cells)):
        raise NotProvedError("a cell of rows or columns is too large")
    parts = _Parts.of(part)
    signs = _signs(stack, numbers, parts)
    _exceed(rows, signs, parts, part, s)
    value, error = stack.times(v), _errors(stack, v)
    p, q, a = (
        matrices.norm_above(np.abs(value[own]) + error[own]) for own in (parts.pairs[0], parts.left[0], parts.alone[0])
    )
    size = _norm(stack)
    w = matrices.distance_above((q + size * p) * matrices.ROUNDING, s)
    u = (p + size * w) * matrices.ROUNDING
    return (w + u + a + size * (w + u)) * matrices.ROUNDING


def _signs(stack: Unwritten, numbers: IntArray, parts: _Parts) -> FloatArray:
    """(m,) the entries of pairs, and of the rows that are set aside; NotProvedError where they are not as they must be.

    Each product is a sum of one number and zeros, or of numbers of entries and labels: nothing is rounded.
    """
    m, n = stack.shape
    held, pattern = np.zeros(m), stack.entrywise(ones)
    held[numbers] = 1.0
    values, others = np.zeros(m), pattern.across(held)[parts.alone[1]] != 1
    for some, columns in (parts.alone, parts.pairs):
        at, labels = np.zeros(n), np.zeros(n)
        at[columns], labels[columns] = 1.0, np.arange(1.0, len(columns) + 1.0)
        own = ((pattern @ at)[some] == 1) & ((pattern @ labels)[some] == labels[columns])
        if others.any() or not own.all():
            raise NotProvedError("a column that a row is eliminated by is read by other rows")
        values[some] = (stack @ at)[some]
        if not (np.abs(values[some]) == 1).all():
            raise NotProvedError("a row is eliminated by an entry that is not 1 or -1")
    return values


def _exceed(rows: Rows, signs: FloatArray, parts: _Parts, part: Independence, s: float) -> None:
    """NotProvedError unless N is proved to have as many singular values above s as it has rows."""
    (paired, columns), (left, free) = parts.pairs, parts.left
    if len(left) > len(free):
        raise NotProvedError("more rows are left than columns")
    if not len(left):
        return
    n, stack = rows.n, rows.stack
    to_pairs, to_free = Columns(columns, part.pair_cells, n), Columns(free, part.column_cells, n)
    others: dict[int, Tile] = {}
    for cell, (start, stop) in enumerate(pairwise(part.pair_cells.tolist())):
        own = paired[start:stop]
        tile = to_free.written(stack[own])
        others[cell] = Tile(tile.cells, tile.starts, signs[own][:, None] * tile.values)
    tiles: list[Tile] = []
    for start, stop in pairwise(part.row_cells.tolist()):
        own = stack[left[start:stop]]
        tiles.append(reduced(to_free.written(own), to_pairs.written(own), others, to_free))
    gram, (R, Q) = Gram(tiles), (matrices.norm_above(rows.norms[some]) for some in (left, paired))
    # N: gamma_k (|T| + |R| |Q|) entry by entry, k the pairs and T itself, and R stands for T, too
    error = R * (1.0 + Q) * matrices.relative_error(len(paired) + 2)
    error += 4.0 * (len(paired) + 2) * len(left) * len(free) * matrices.SMALLEST_NORMAL
    shift = matrices.shift_of_gram(gram.size, len(left), len(free), (s + error) * matrices.ROUNDING)
    if not np.isfinite(shift) or not gram.is_definite(shift):
        raise NotProvedError("the held rows are not proved to be as independent as the certificate says")


def _errors(stack: Unwritten, v: FloatArray) -> FloatArray:
    """(m,) bounds on the errors of ``A v``: of sums of as many terms as rows have entries, relative to their sizes."""
    terms = int(stack.entrywise(ones).times(np.ones(stack.shape[1])).max(initial=0.0))
    sizes = abs(stack).times(np.abs(v))
    # the sizes are sums of the same kind, and as little off
    return sizes * (1.0 + matrices.relative_error(terms)) * matrices.relative_error(terms) + (
        4.0 * (terms + 1) * matrices.SMALLEST_NORMAL
    )


def _norm(stack: Unwritten) -> float:
    """An upper bound on the norm of the stack, and so on that of its parts: ``|A|^2 <= |A|_1 |A|_inf`` (I. Schur)."""
    sizes = abs(stack)
    across, along = sizes.across(np.ones(stack.shape[0])).max(), sizes.times(np.ones(stack.shape[1])).max()
    return float(across * along) ** 0.5 * (1.0 + matrices.relative_error(sum(stack.shape))) + matrices.SMALLEST_NORMAL


__all__ = ["correction"]
