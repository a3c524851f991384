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
from heapq import heapify, heappop, heappush
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float64, Int64
from scipy.sparse import csgraph

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from fiberscope.preimages.blocks import chosen, entries, exceeds, row_maxima, with_entries
from fiberscope.preimages.candidate import Dependencies
from fiberscope.preimages.scalings import Units

MARKED = 8
"""Columns by which rows are told apart before all of them are compared."""

NO_ROWS = np.zeros(0, dtype=np.int64)
NEAR_ZERO = 1e-7
"""Unit rows with a smaller part outside the span of others are guessed to lie in it."""
MAX_PIVOTING = 10_000_000_000
"""Multiplications of a factorization that looks for independent rows: some seconds."""

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
    units: Units,
    rows: Int64[IntArray, " k"],
    columns: Bool[BoolArray, " n"],
    known: tuple[Relation, ...],
    kept: Bool[BoolArray, " b"],
) -> Iterator[Selection]:
    """Ways to read rows as independent ones on some columns, simple ones first.

    Args:
        units: of all rows (b, n).
        rows: the places of those that are asked about.
        columns: on which.
        known: relations that hold exactly.
        kept: (b,) rows that are better kept than left out.
    """
    rows = rows[np.argsort(~kept[rows], kind="stable")]
    rows, body = rows[units.live(rows, columns)], units.body
    first, relations = _distinct(body, rows, columns)
    rows = rows[first]
    plain = Selection(rows, columns, np.zeros(0, dtype=np.int64), relations)
    yield plain
    if not len(rows) or not columns.any():
        return
    for selection in (_without_fixed(chosen(body, rows, columns), plain), plain):
        if selection is None:
            continue
        if selection is not plain:
            yield selection
        if known:
            yield _spanned(body, selection, known, kept)
            yield _without_related(selection, known)


def _distinct(body: Rows, rows: IntArray, columns: BoolArray) -> tuple[IntArray, tuple[Relation, ...]]:
    """One row of each class of rows that are equal up to a signed power of two; relations for the others."""
    alike = _candidates(body, rows, columns)
    if not len(alike):
        return np.arange(len(rows)), ()
    normal, scale = _normalized(chosen(body, rows[alike], columns))
    first: dict[bytes, int] = {}
    left_out = np.zeros(len(rows), dtype=np.bool_)
    relations: list[Relation] = []
    for k, i in enumerate(alike.tolist()):
        leader = first.setdefault(_key(normal, k), k)
        if leader != k:
            left_out[i] = True
            relations.append(((int(rows[i]), int(rows[alike[leader]])), (1.0, -float(scale[k] / scale[leader]))))
    return np.flatnonzero(~left_out), tuple(relations)


def _candidates(body: Rows, rows: IntArray, columns: BoolArray) -> IntArray:
    """The rows that share their mantissas in some columns with another one: few of those that real layers have."""
    some = columns if isinstance(body, SparseRows) else np.flatnonzero(columns)[:MARKED]
    block = body[rows[:, None], some] if isinstance(body, np.ndarray) else chosen(body, rows, some)
    if isinstance(block, SparseRows):
        mantissas = np.abs(np.frexp(block.data)[0]) * (1.0 + block.indices)
        marks = np.bincount(row_numbers(block), weights=mantissas, minlength=block.shape[0])[:, None]
    else:
        marks = np.abs(np.frexp(block)[0])
    if not marks.size:
        return NO_ROWS
    lines = np.ascontiguousarray(marks).view(np.dtype((np.void, marks.shape[1] * marks.itemsize))).reshape(-1)
    _, place, count = np.unique(lines, return_inverse=True, return_counts=True)
    return np.flatnonzero(count[place] > 1)


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


def _without_related(selection: Selection, known: tuple[Relation, ...]) -> Selection:
    """The same without rows that follow from others of them by relations."""
    position = {row: k for k, row in enumerate(selection.rows.tolist())}
    serving = [relation for relation in known if position.keys() >= set(relation[0])]
    ordered = in_order(serving, position, [False] * len(serving))
    left_out = {rows[0] for rows, _ in ordered}
    rows = np.array([row for row in selection.rows.tolist() if row not in left_out], dtype=np.int64)
    return replace(selection, rows=rows, relations=(*selection.relations, *ordered))


def _spanned(body: Rows, selection: Selection, known: tuple[Relation, ...], kept: BoolArray) -> Selection:
    """As many rows as their rank seems to be, and the relations between rows of their span, of them or not.

    Rows K together with others of their span have no larger rank than there are of them, less the relations. This is
    so for the rows that are better kept, too, and the relations of their own span come last.
    """
    block = _unit_rows(chosen(body, selection.rows, selection.columns))
    if block.shape[0] * block.shape[1] * min(block.shape) > MAX_PIVOTING:
        return selection
    named = np.array(sorted({row for rows, _ in known for row in rows}), dtype=np.int64)
    left, rows, inside = _unit_rows(chosen(body, named, selection.columns)), NO_ROWS, [NO_ROWS, NO_ROWS]
    for stage, members in enumerate((kept[selection.rows], ~kept[selection.rows])):
        basis, pivots = _pivoted(block[members])
        rows = np.concatenate([rows, selection.rows[members][pivots]])
        block, left = (part - (part @ basis) @ basis.T for part in (block, left))
        inside[stage] = named[np.linalg.norm(left, axis=1) <= NEAR_ZERO]
    near, whole = (set(places.tolist()) for places in inside)
    last = {id(relation) for relation in known if near.issuperset(relation[0])}
    serving = [relation for relation in known if whole.issuperset(relation[0])]
    ordered = in_order(serving, {}, [id(relation) in last for relation in serving])
    return replace(selection, rows=np.sort(rows), relations=(*selection.relations, *ordered))


def _pivoted(rows: FloatArray) -> tuple[FloatArray, IntArray]:
    """An orthonormal basis (n, r) of what rows span, and r of them that do."""
    if 0 in rows.shape:
        return np.zeros((rows.shape[1], 0)), NO_ROWS
    basis, triangle, order = cast(Any, scipy.linalg).qr(rows.T, mode="economic", pivoting=True)
    rank = int((np.abs(np.diagonal(triangle)) > NEAR_ZERO).sum())
    return basis[:, :rank], order[:rank]


def _unit_rows(block: Rows) -> FloatArray:
    """Rows over their norms; zero ones as they are."""
    written = block.toarray() if isinstance(block, SparseRows) else block
    lengths = np.linalg.norm(written, axis=1)
    return written / np.where(lengths > 0, lengths, 1.0)[:, None]


def in_order(relations: list[Relation], position: dict[int, int], last: list[bool]) -> list[Relation]:
    """Relations, each with a row in front that no later one names; those are left out for which there is none.

    Args:
        relations: any.
        position: of rows; those at the end come to the front first.
        last: which relations come after the others where that is possible.
    """
    uses: dict[int, set[int]] = {}
    for k, (rows, _) in enumerate(relations):
        for row in rows:
            uses.setdefault(row, set()).add(k)

    def rank(row: int) -> tuple[bool, int, int]:
        return last[min(uses[row])], -position.get(row, 0), row

    ready = [rank(row) for row, users in uses.items() if len(users) == 1]
    heapify(ready)
    ordered: list[Relation] = []
    while ready:
        _, _, row = heappop(ready)
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
                heappush(ready, rank(other))
    return ordered


def known_relations(part: Dependencies | None) -> tuple[Relation, ...]:
    """The relations that deciding found, one by one."""
    if part is None:
        return ()
    spans = [
        slice(start, stop) for start, stop in zip(part.starts[:-1].tolist(), part.starts[1:].tolist(), strict=True)
    ]
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
    if np.count_nonzero(entries(matrix)) == q * n:  # no pattern: whichever side is longer
        return _in_blocks(np.full(q, q >= n), np.full(n, q >= n))
    pattern = cast(Any, SparseRows(matrix, dtype=np.bool_))
    pattern.eliminate_zeros()
    reached, _ = reached_columns(pattern)
    touched = np.zeros(q, dtype=np.bool_)
    row, column = pattern.nonzero()
    touched[row[reached[column]]] = True
    return _in_blocks(~touched, ~reached)


def _in_blocks(fixing: BoolArray, fixed: BoolArray) -> FixedPart:
    return FixedPart(*(np.flatnonzero(flags) for flags in (fixing, fixed, ~fixing, ~fixed)))


def reached_columns(pattern: Any) -> tuple[Bool[BoolArray, " n"], int]:
    """The columns (n,) that alternating paths reach from those that a maximum matching leaves out, and its size.

    Args:
        pattern: (q, n) a sparse matrix; where it is not zero, the row may be matched with the column.
    """
    q, n = pattern.shape
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
    return reached, int((partner >= 0).sum())


__all__ = [
    "FixedPart",
    "Relation",
    "Selection",
    "fixed_part",
    "in_order",
    "known_relations",
    "reached_columns",
    "selections",
]
