"""Verified independence of many sets of rows by few factorizations.

Rows that are independent stay so when some are left out, and ``sigma_min`` only grows; rows that span the space still
do when more are added, and ``sigma_min`` only grows. So one proof about the union of many sets, or about what they have
in common, serves all of them. What is merged depends on the sets alone, not on their order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimage.checker.independence import MAX_GRAM, gram_exceeds
from fiberscope.preimage.checker.rounding import norm_above
from fiberscope.preimage.checker.row_table import RowTable

MAX_TABLE = 6000
"""Rows of a table whose Gram matrix is kept: 300 megabytes."""

NEIGHBOURS = 128
"""Sets that are looked at when one is merged with others: those that add the least to it."""


def prove_independent(
    table: RowTable, sets: Bool[BoolArray, "T K"], level: float, executor: Executor
) -> Bool[BoolArray, " T"]:
    """For which sets of rows, at most n in each, ``sigma_min > level`` is proved; (T,)."""
    distinct, place = _distinct(sets)
    sizes = distinct.sum(axis=1)
    fitting = np.flatnonzero(sizes <= min(table.n, MAX_GRAM))
    # some rows fewer than n: close to a square matrix the smallest singular value falls quickly
    merged = _merge(distinct[fitting], table.n - table.n // 64, lambda size: float(size) ** 3)
    clusters = [fitting[members] for members in merged]
    unions = [np.flatnonzero(distinct[members].any(axis=0)) for members in clusters]
    products = _products(table, unions)

    def holds(rows: IntArray) -> bool:
        if not len(rows):
            return True
        with np.errstate(all="ignore"):  # a thread of the pool does not inherit it
            return gram_exceeds(products(rows), norm_above(table.norms[rows]), table.n, level)

    return _proved(distinct, clusters, unions, holds, executor)[place]


def _products(table: RowTable, sets: list[IntArray]) -> Callable[[IntArray], Float64[FloatArray, "q q"]]:
    """What gives ``B B^T`` of rows B of the sets, in an order of its own; looked up where they ask for most of it."""
    uses = np.bincount(np.concatenate([*sets, np.zeros(0, dtype=np.int64)]), minlength=len(table.rows))
    used = np.flatnonzero(uses)
    count = len(used)
    if count > MAX_TABLE or sum(len(rows) ** 2 for rows in sets) <= count**2:
        return lambda rows: table.rows[rows] @ table.rows[rows].T
    # the rows that most sets hold beside each other: what is looked up then lies in fewer places of the memory
    used = used[np.argsort(-uses[used], kind="stable")]
    place = np.full(len(table.rows), count)  # a row that is not there would be an IndexError
    place[used] = np.arange(count)
    whole = (table.rows[used] @ table.rows[used].T).ravel()

    def look_up(rows: IntArray) -> Float64[FloatArray, "q q"]:
        places = np.sort(place[rows])
        return whole.take(places[:, None] * count + places)

    return look_up


def prove_spanning(
    table: RowTable, sets: Bool[BoolArray, "T K"], level: float, executor: Executor
) -> Bool[BoolArray, " T"]:
    """For which sets of rows, at least n in each, ``sigma_min > level`` is proved; (T,)."""
    n = table.n
    distinct, place = _distinct(sets)
    enough = np.flatnonzero((distinct.sum(axis=1) >= n) & (n <= MAX_GRAM))
    # what sets have in common is all but the union of what they lack; some rows more than n, as above
    merged = _merge(~distinct[enough], len(table.rows) - (n + n // 32), lambda size: 0.0)
    clusters = [enough[members] for members in merged]
    common = [np.flatnonzero(distinct[members].all(axis=0)) for members in clusters]

    def holds(rows: IntArray) -> bool:
        with np.errstate(all="ignore"):
            tall = table.rows[rows]
            return gram_exceeds(tall.T @ tall, norm_above(table.norms[rows]), len(rows), level)

    return _proved(distinct, clusters, common, holds, executor)[place]


def _distinct(sets: Bool[BoolArray, "T K"]) -> tuple[Bool[BoolArray, "U K"], IntArray]:
    """The different sets, in an order of their own, and which of them each one is."""
    packed = np.packbits(np.pad(sets, ((0, 0), (0, 1))), axis=1)  # padded, for a table without rows
    _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return sets[first], place.reshape(-1)


def _proved(
    distinct: Bool[BoolArray, "U K"],
    clusters: list[IntArray],
    shared: list[IntArray],
    holds: Callable[[IntArray], bool],
    executor: Executor,
) -> Bool[BoolArray, " U"]:
    """Which sets are proved with the others of their cluster, or alone where that fails."""
    proved = np.zeros(len(distinct), dtype=np.bool_)
    alone: list[int] = []
    for members, closes in zip(clusters, executor.map(holds, shared), strict=True):
        proved[members] = closes
        if not closes and len(members) > 1:
            alone.extend(members.tolist())
    proved[alone] = list(executor.map(holds, [np.flatnonzero(distinct[k]) for k in alone]))
    return proved


def _merge(sets: Bool[BoolArray, "U K"], limit: int, cost: Callable[[int], float]) -> list[IntArray]:
    """Clusters of sets whose union has at most ``limit`` members and costs no more than they do one by one."""
    words = _packed(sets)
    left = sets.sum(axis=1) <= limit
    clusters = [np.array([k]) for k in np.flatnonzero(~left)]
    for seed in range(len(sets)):
        if not left[seed]:
            continue
        left[seed] = False
        members = _cluster(words, seed, np.flatnonzero(left), limit, cost)
        left[members] = False
        clusters.append(np.array(members))
    return clusters


def _cluster(
    words: NDArray[np.uint64], seed: int, others: IntArray, limit: int, cost: Callable[[int], float]
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


def _packed(sets: Bool[BoolArray, "U K"]) -> NDArray[np.uint64]:
    """The sets as bits, (U, words)."""
    padded = np.pad(sets, ((0, 0), (0, -sets.shape[1] % 64)))
    return np.packbits(padded, axis=1).view(np.uint64)
