"""Layers whose rows see windows of the input, as those of convolutions do: injective where their windows are.

Rows that see the same inputs are taken together. Those of pixels away from the border are one question, asked once.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import numpy as np

from fiberscope.checker.injectivity import Node, Question, Window
from fiberscope.network.arrays import IntArray
from fiberscope.preimages.cover_search import CoverSearch

TIGHTER = 2.0
"""How much longer than it took to find a proof a better one is looked for."""


def covering_windows(question: Question, until: float) -> tuple[Window, ...]:
    """Windows that see every input, with trees; none where some are not proved to be injective in time."""
    free = question.low < question.high
    trees: dict[tuple[bytes, ...], tuple[Node, ...]] = {}
    found: list[Window] = []
    unseen = free.copy()
    for rows, columns in _groups(question):
        if not unseen[columns].any():
            continue
        part = _part(question, rows, columns)
        key = tuple(each.tobytes() for each in vars(part).values())
        if key not in trees:
            trees[key] = _tree(part, until)
        if not trees[key]:
            return ()
        found.append(Window(tuple(rows.tolist()), tuple(columns.tolist()), trees[key]))
        unseen[columns] = False
    return () if unseen.any() else tuple(found)


def _groups(question: Question) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows with the inputs that they see, those that see most first; nothing where one sees all that may change."""
    seen = question.weight != 0
    if seen[:, question.low < question.high].all(axis=1).any():
        return
    groups: dict[bytes, list[int]] = {}
    for number, line in enumerate(np.packbits(seen, axis=1)):
        groups.setdefault(line.tobytes(), []).append(number)
    sized = sorted(groups.values(), key=lambda rows: -int(seen[rows[0]].sum()))
    for rows in sized:
        columns = np.flatnonzero(seen[rows[0]])
        if len(columns):
            yield np.array(rows, dtype=np.int64), columns


def _part(question: Question, rows: IntArray, columns: IntArray) -> Question:
    weight = np.ascontiguousarray(question.weight[np.ix_(rows, columns)])
    none = np.zeros((0, len(columns)))
    return Question(weight, question.bias[rows], question.low[columns], question.high[columns], none, np.zeros(0))


def _tree(question: Question, until: float) -> tuple[Node, ...]:
    """A tree with a modulus above 0; none where there is no time, or a piece has no cover."""
    if len(question.bias) < int((question.low < question.high).sum()):
        return ()
    search, began = CoverSearch(question), perf_counter()
    for piece in search.grow(until):
        if piece.is_final and piece.sigma == 0:
            return ()
        if search.smallest > 0:
            until = min(until, perf_counter() + TIGHTER * (perf_counter() - began))
            break
    for _ in search.grow(until):
        pass
    return search.certificate() if search.smallest > 0 else ()


__all__ = ["covering_windows"]
