"""Which of a set of rows are independent, and how all others follow from them.

Real layers hold rows that depend on each other for three simple reasons. Rows are *parallel*: copies of units, up to a
power of two. Rows *fix coordinates*: F vanish outside columns J and are independent there, so that ``F d = 0`` says
``d_J = 0``, and F may be more rows than J has columns: convolutions seen through pixels that are known to be zero. And
rows obey *relations* that the weights bring along. J is read off a maximum matching of rows and columns [A. L. Dulmage
and N. S. Mendelsohn, Coverings of bipartite graphs, 1958]: the columns that no alternating path reaches from an
unmatched one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import csgraph

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from fiberscope.preimage.blocks import chosen, entries, exceeds, row_maxima, with_entries
from fiberscope.preimage.candidate import Dependencies

Relation = tuple[tuple[int, ...], tuple[float, ...]]
"""Places of rows and coefficients; the first row is the one that follows from the others."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows that are independent on some columns, if what is guessed is right.

    Attributes:
        rows: their places.
        columns: (n,) the columns.
        fixed: the columns that the other rows fix at zero.
        relations: from which the rows follow that are left out.
    """

    rows: IntArray
    columns: BoolArray
    fixed: IntArray
    relations: tuple[Relation, ...]


def selections(
    body: Rows, rows: Int64[IntArray, " k"], columns: Bool[BoolArray, " n"], known: tuple[Relation, ...]
) -> Iterator[Selection]:
    """Ways to read rows as independent ones on some columns, simple ones first.

    Args:
        body: (b, n) all rows, scaled.
        rows: the places of those that are asked about.
        columns: on which.
        known: relations that hold exactly.
    """
    block = chosen(body, rows, columns)
    live = row_maxima(block) > 0
    rows, block = rows[live], block[np.flatnonzero(live)]
    first, relations = _distinct(block, rows)
    rows, block = rows[first], block[first]
    plain = Selection(rows, columns, np.zeros(0, dtype=np.int64), relations)
    yield plain
    if not len(rows) or 0 in block.shape:
        return
    for selection in (_without_fixed(block, plain), plain):
        if selection is None:
            continue
        if selection is not plain:
            yield selection
        related = _without_related(selection, known)
        if related is not None:
            yield related


def _distinct(block: Rows, rows: IntArray) -> tuple[IntArray, tuple[Relation, ...]]:
    """One row of each class of rows that are equal up to a signed power of two; relations for the others."""
    normal, scale = _normalized(block)
    first: dict[bytes, int] = {}
    kept: list[int] = []
    relations: list[Relation] = []
    for i in range(len(scale)):
        leader = first.setdefault(_key(normal, i), i)
        if leader == i:
            kept.append(i)
        else:
            factor = float(scale[i] / scale[leader])
            relations.append(((int(rows[i]), int(rows[leader])), (1.0, -factor)))
    return np.array(kept, dtype=np.int64), tuple(relations)


def _normalized(block: Rows) -> tuple[Rows, Float64[FloatArray, " q"]]:
    """Rows over a signed power of two that makes their largest entry near one and their first entry positive."""
    exponent = np.frexp(row_maxima(block))[1]
    exponent = np.where(np.abs(exponent) <= 500, exponent, 0)
    if isinstance(block, SparseRows):
        row = row_numbers(block)
        live = np.flatnonzero(block.data)
        negative = np.zeros(block.shape[0], dtype=np.bool_)
        found, place = np.unique(row[live], return_index=True)
        negative[found] = block.data[live[place]] < 0
        sign = np.where(negative, -1.0, 1.0)
        values = np.ldexp(block.data, -exponent[row]) * sign[row]
    else:
        leading = block[np.arange(len(block)), np.argmax(block != 0, axis=1)] if block.size else np.zeros(len(block))
        sign = np.where(leading < 0, -1.0, 1.0)
        values = np.ldexp(block, -exponent[:, None]) * sign[:, None]
    return with_entries(block, values + 0.0), np.ldexp(sign, exponent)  # + 0.0 turns -0.0 into 0.0


def _key(rows: Rows, i: int) -> bytes:
    if not isinstance(rows, SparseRows):
        return rows[i].tobytes()
    span = slice(rows.indptr[i], rows.indptr[i + 1])
    live = rows.data[span] != 0
    return rows.indices[span][live].tobytes() + rows.data[span][live].tobytes()


def _without_fixed(block: Rows, plain: Selection) -> Selection | None:
    """The same without rows that fix coordinates, where some do; None where none does."""
    columns = np.flatnonzero(plain.columns)
    part = fixed_part(block)
    if not part.any_fixed or not exceeds(block[part.fixing][:, part.fixed], 0.0):
        return None
    free = plain.columns.copy()
    free[columns[part.fixed]] = False
    return replace(plain, rows=plain.rows[part.others], columns=free, fixed=columns[part.fixed])


def _without_related(selection: Selection, known: tuple[Relation, ...]) -> Selection | None:
    """The same without rows that follow from others by relations; None where no relation serves."""
    held = set(selection.rows.tolist())
    serving = [relation for relation in known if held.issuperset(relation[0])]
    ordered = in_order(serving)
    if not ordered:
        return None
    left_out = {rows[0] for rows, _ in ordered}
    rows = np.array([row for row in selection.rows.tolist() if row not in left_out], dtype=np.int64)
    return replace(selection, rows=rows, relations=(*selection.relations, *ordered))


def in_order(relations: list[Relation]) -> list[Relation]:
    """Relations, each with a row in front that no later one names; those are left out for which there is none."""
    uses: dict[int, set[int]] = {}
    for k, (rows, _) in enumerate(relations):
        for row in rows:
            uses.setdefault(row, set()).add(k)
    ready = [row for row, users in uses.items() if len(users) == 1]
    ordered: list[Relation] = []
    while ready:
        row = ready.pop()
        if len(uses[row]) != 1:
            continue
        (k,) = uses[row]
        rows, values = relations[k]
        front = rows.index(row)
        ordered.append(
            ((row, *rows[:front], *rows[front + 1 :]), (values[front], *values[:front], *values[front + 1 :]))
        )
        for other in rows:
            uses[other].discard(k)
            if len(uses[other]) == 1:
                ready.append(other)
    return ordered


def known_relations(part: Dependencies | None) -> tuple[Relation, ...]:
    """The relations that deciding found, one by one."""
    if part is None:
        return ()
    spans = [slice(start, stop) for start, stop in zip(part.starts[:-1].tolist(), part.starts[1:].tolist(), strict=True)]
    return tuple((tuple(part.rows[span].tolist()), tuple(part.values[span].tolist())) for span in spans)


@dataclass(frozen=True, eq=False)
class FixedPart:
    """Rows and columns of a matrix in two blocks: the rows ``fixing`` vanish outside the columns ``fixed``."""

    fixing: IntArray
    fixed: IntArray
    others: IntArray
    free: IntArray

    @property
    def any_fixed(self) -> bool:
        """Whether there is such a block at all."""
        return len(self.fixed) > 0


def fixed_part(matrix: Rows) -> FixedPart:
    """The rows that fix coordinates, as their zeros suggest, of a matrix without zero rows."""
    q, n = matrix.shape
    live = np.asarray(abs(matrix).sum(axis=0) > 0).ravel()
    if np.count_nonzero(entries(matrix)) == q * n:  # no pattern: whichever side is longer
        return _in_blocks(np.full(q, q >= n), np.full(n, q >= n))
    pattern = cast(Any, SparseRows(matrix, dtype=np.bool_))
    pattern.eliminate_zeros()
    reached = _reached(pattern, q, n) | ~live
    touched = np.zeros(q, dtype=np.bool_)
    row, column = pattern.nonzero()
    touched[row[reached[column]]] = True
    return _in_blocks(~touched, ~reached)


def _in_blocks(fixing: BoolArray, fixed: BoolArray) -> FixedPart:
    return FixedPart(*(np.flatnonzero(flags) for flags in (fixing, fixed, ~fixing, ~fixed)))


def _reached(pattern: Any, q: int, n: int) -> BoolArray:
    """The columns that alternating paths reach from those that a maximum matching leaves out."""
    partner = cast(IntArray, cast(Any, csgraph).maximum_bipartite_matching(pattern, perm_type="column"))
    by_column = pattern.tocsc()
    reached = np.ones(n, dtype=np.bool_)
    reached[partner[partner >= 0]] = False
    seen = np.zeros(q, dtype=np.bool_)
    front = np.flatnonzero(reached)
    while len(front):
        rows = np.unique(by_column[:, front].indices)
        rows = rows[~seen[rows]]
        seen[rows] = True
        front = partner[rows]  # each has one: else the matching could be made larger
        front = front[front >= 0]
        front = front[~reached[front]]
        reached[front] = True
    return reached


__all__ = ["FixedPart", "Relation", "Selection", "fixed_part", "in_order", "known_relations", "selections"]
