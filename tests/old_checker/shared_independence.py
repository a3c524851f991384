"""Verified independence of many sets of rows by few factorizations.

Rows that are independent stay so when some are left out, and ``sigma_min`` only grows; rows that span the space still
do when more are added, and ``sigma_min`` only grows. So one proof about the union of many sets, or about what they have
in common, serves all of them. What is merged depends on the sets alone, not on their order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from old_checker.independence import MAX_GRAM, gram_exceeds
from old_checker.rounding import flushes_subnormal_numbers, norm_above
from old_checker.row_table import RowTable

MAX_TABLE = 6000
"""Rows of a table whose Gram matrix is kept: 300 megabytes."""

NEIGHBOURS = 128
"""Sets that are looked at when one is merged with others: those that add the least to it."""


if TYPE_CHECKING:
    PackedSets: TypeAlias = NDArray[np.uint64]
else:  # what jaxtyping can put a shape on
    PackedSets = np.ndarray
"""Sets of rows as bits, (T, words), or one of them: a set of five thousand rows takes 632 bytes."""


def packed(sets: Bool[BoolArray, "T K"]) -> UInt64[PackedSets, "T W"]:
    """Sets of rows as bits, in at least one word."""
    padded = np.pad(sets, ((0, 0), (0, 64 - sets.shape[1] % 64)))
    return np.packbits(padded, axis=1).view(np.uint64)


def prove_independent(
    table: RowTable, sets: UInt64[PackedSets, "T W"], level: float, executor: Executor
) -> Bool[BoolArray, " T"]:
    """For which packed sets of rows, at most n in each, ``sigma_min > level`` is proved; (T,)."""
    distinct, place = _distinct(sets)
    fitting = np.flatnonzero(_sizes(distinct) <= min(table.n, MAX_GRAM))
    # some rows fewer than n: close to a square matrix the smallest singular value falls quickly
    merged = _merge(distinct[fitting], table.n - table.n // 64, lambda size: float(size) ** 3)
    clusters = [fitting[members] for members in merged]
    unions = _joined(np.bitwise_or, distinct, clusters)
    products = _products(table, unions)

    def holds(rows: IntArray) -> bool:
        if not len(rows):
            return True
        return gram_exceeds(products(rows), norm_above(table.norms[rows]), table.n, level)

    return _Proving(len(table.rows), distinct, holds, executor).proved(clusters, unions)[place]


def _products(table: RowTable, sets: UInt64[PackedSets, "C W"]) -> Callable[[IntArray], Float64[FloatArray, "q q"]]:
    """What gives ``B B^T`` of rows B of the sets, in an order of its own; looked up where they ask for most of it."""
    uses = np.zeros(len(table.rows), dtype=np.int64)
    for bits in sets:
        uses[_rows(bits, len(table.rows))] += 1
    used = np.flatnonzero(uses)
    count = len(used)
    if count > MAX_TABLE or int((_sizes(sets) ** 2).sum()) <= count**2:
        return lambda rows: _gram(table.rows[rows])
    # the rows that most sets hold beside each other: what is looked up then lies in fewer places of the memory
    used = used[np.argsort(-uses[used], kind="stable")]
    place = np.full(len(table.rows), count)  # a row that is not there would be an IndexError
    place[used] = np.arange(count)
    whole = _gram(table.rows[used]).ravel()

    def look_up(rows: IntArray) -> Float64[FloatArray, "q q"]:
        places = np.sort(place[rows])
        return whole.take(places[:, None] * count + places)

    return look_up


def _gram(rows: Float64[FloatArray, "q n"]) -> Float64[FloatArray, "q q"]:
    return rows @ rows.T  # of one array: numpy then computes one triangle only


def prove_spanning(
    table: RowTable, sets: UInt64[PackedSets, "T W"], level: float, executor: Executor
) -> Bool[BoolArray, " T"]:
    """For which packed sets of rows, at least n in each, ``sigma_min > level`` is proved; (T,)."""
    n, count = table.n, len(table.rows)
    distinct, place = _distinct(sets)
    enough = np.flatnonzero((_sizes(distinct) >= n) & (n <= MAX_GRAM))
    # what sets have in common is all but the union of what they lack; some rows more than n, as above
    lacking = distinct[enough] ^ packed(np.ones((1, count), dtype=np.bool_))
    merged = _merge(lacking, count - (n + n // 32), lambda size: 0.0)
    clusters = [enough[members] for members in merged]

    def holds(rows: IntArray) -> bool:
        tall = table.rows[rows]
        return gram_exceeds(tall.T @ tall, norm_above(table.norms[rows]), len(rows), level)

    common = _joined(np.bitwise_and, distinct, clusters)
    return _Proving(count, distinct, holds, executor).proved(clusters, common)[place]


def _distinct(sets: UInt64[PackedSets, "T W"]) -> tuple[UInt64[PackedSets, "U W"], IntArray]:
    """The different sets, in an order of their own, and which of them each one is."""
    lines = np.ascontiguousarray(sets).view(np.dtype((np.void, sets.shape[1] * sets.itemsize))).reshape(-1)
    _, first, place = np.unique(lines, return_index=True, return_inverse=True)
    return sets[first], place.reshape(-1)


def _sizes(sets: UInt64[PackedSets, "T W"]) -> Int64[IntArray, " T"]:
    return np.bitwise_count(sets).sum(axis=1, dtype=np.int64)


def _rows(bits: UInt64[PackedSets, " W"], count: int) -> IntArray:
    """The members of one set."""
    return np.flatnonzero(np.unpackbits(bits.view(np.uint8), count=count))


def _joined(
    operation: np.ufunc, sets: UInt64[PackedSets, "U W"], clusters: list[IntArray]
) -> UInt64[PackedSets, "C W"]:
    """The union of each cluster's sets, or what they have in common."""
    out = np.zeros((len(clusters), sets.shape[1]), dtype=np.uint64)
    for k, members in enumerate(clusters):
        out[k] = operation.reduce(sets[members], axis=0)
    return out


@dataclass(frozen=True, eq=False)
class _Proving:
    """Sets of ``count`` rows, and what proves one of them."""

    count: int
    distinct: PackedSets
    holds: Callable[[IntArray], bool]
    executor: Executor

    def proved(self, clusters: list[IntArray], joined: UInt64[PackedSets, "C W"]) -> Bool[BoolArray, " U"]:
        """Which sets are proved with the others of their cluster, or alone where that fails."""
        proved = np.zeros(len(self.distinct), dtype=np.bool_)
        alone: list[int] = []
        for members, closes in zip(clusters, self.executor.map(self._closes, joined), strict=True):
            proved[members] = closes
            if not closes and len(members) > 1:
                alone.extend(members.tolist())
        proved[alone] = list(self.executor.map(self._closes, self.distinct[alone]))
        return proved

    def _closes(self, bits: UInt64[PackedSets, " W"]) -> bool:
        # a thread of the pool has modes of its own, for subnormal numbers and for warnings
        with np.errstate(all="ignore"):
            return not flushes_subnormal_numbers() and self.holds(_rows(bits, self.count))


def _merge(words: UInt64[PackedSets, "U W"], limit: int, cost: Callable[[int], float]) -> list[IntArray]:
    """Clusters of sets whose union has at most ``limit`` members and costs no more than they do one by one."""
    left = _sizes(words) <= limit
    clusters = [np.array([k]) for k in np.flatnonzero(~left)]
    for seed in range(len(words)):
        if not left[seed]:
            continue
        left[seed] = False
        members = _cluster(words, seed, np.flatnonzero(left), limit, cost)
        left[members] = False
        clusters.append(np.array(members))
    return clusters


def _cluster(
    words: UInt64[PackedSets, "U W"], seed: int, others: IntArray, limit: int, cost: Callable[[int], float]
) -> list[int]:
    """The seed and those others that the smallest additions bring in."""
    members, union = [seed], words[seed].copy()
    spent = cost(int(np.bitwise_count(union).sum()))
    if len(others) > NEIGHBOURS:
        added = np.bitwise_count(words[others] & ~union).sum(axis=1)
        others = others[np.argsort(added, kind="stable")[:NEIGHBOURS]]
    while len(others):
        nearest = int(np.bitwise_count(words[others] & ~union).sum(axis=1).argmin())
        wider = union | words[others[nearest]]
        size = int(np.bitwise_count(wider).sum())
        spent += cost(int(np.bitwise_count(words[others[nearest]]).sum()))
        if size > limit or cost(size) > spent:
            break
        members.append(int(others[nearest]))
        union, spent, others = wider, cost(size), np.delete(others, nearest)
    return members
