"""Proofs that one layer ``y = relu(A x + b)`` is injective on a whole polyhedron D, with a modulus.

A tree covers D by closed pieces. The root's piece is D. A node knows rows J with ``z_j >= 0`` on its piece, and rows N
with ``z_k <= 0``. It is one of

- a leaf, with a number below the smallest singular value of A_J on the coordinates that D does not fix;
- a cover: rows i_1, ..., i_k with lambda_i > 0, and other multipliers, at least 0, with

      sum lambda_i z_i - sum mu_j z_j + sum nu_k z_k - sum gamma_g (h_g - G_g x) >= 0   for all x between D's bounds,

  so that everywhere on the piece, where the other terms are at most 0, some ``z_i`` is at least 0. Its children are the
  pieces on which z is at least 0 at i_1, at i_2 but at most 0 at i_1, and so on;
- nothing, where such a sum without lambda is above 0.

If x' and x'' have the same features, so has the segment between them (preimages are convex); some stretch of it lies in
one leaf, where A_J (x'' - x') = 0. As to the modulus, let c be the smallest ``sigma^2 |x'' - x'|^2`` of the leaves. At
each point of the segment the rows that are on have ``sum (a_i d)^2 >= c``; a row is on along a share theta_i of the
segment, at one of its ends. With G(s) the sum over rows on at the first end for a share of s or more, and H(s) that for
the other end, ``G(s) + H(1 - s) >= c``, so that ``|F(x'') - F(x')|^2 = sum theta_i^2 (a_i d)^2`` is
``int_0^1 2 s G(s) + 2 (1 - s) H(1 - s) ds >= int_0^1 2 min(s, 1 - s) c ds = c / 2``: the modulus is at least the
smallest sigma over sqrt(2).

Covers are evaluated exactly: multipliers are integers, since only the sign of a sum counts, and stored numbers are
integers times a power of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiberscope.checker.exact import as_integers
from fiberscope.checker.matrices import ROUNDING, FloatArray, IntArray, NotProvedError, singular_values_exceed

Terms = tuple[tuple[int, int], ...]
"""Numbers of rows, with multipliers."""


@dataclass(frozen=True)
class Node:
    """A node of the tree; nodes stand in the order: parent, first child with all of its, second child, ...

    Attributes:
        sigma: of a leaf; None of other nodes.
        cover: rows i with lambda; one child for each.
        on: rows of J with mu.
        off: rows of N with nu.
        half_spaces: rows of G with gamma.
    """

    sigma: float | None
    cover: Terms = ()
    on: Terms = ()
    off: Terms = ()
    half_spaces: Terms = ()


@dataclass(frozen=True, eq=False)
class Question:
    """The layer and the domain.

    Attributes:
        weight: (m, n) A.
        bias: (m,) b.
        low: (n,) lower bounds; -inf for none.
        high: (n,) upper bounds.
        G: (g, n) rows of ``G x <= h``.
        h: (g,)
    """

    weight: FloatArray
    bias: FloatArray
    low: FloatArray
    high: FloatArray
    G: FloatArray
    h: FloatArray

    def __post_init__(self) -> None:
        (m, n), g = self.weight.shape, len(self.h)
        sizes = self.bias.shape == (m,) and self.low.shape == self.high.shape == (n,) and self.G.shape == (g, n)
        finite = all(np.isfinite(part).all() for part in (self.weight, self.bias, self.G, self.h))
        if not sizes or not finite or not (self.low <= self.high).all():
            raise NotProvedError("expected a layer of finite numbers and a domain that fits it")
        if (self.low == np.inf).any() or (self.high == -np.inf).any():
            raise NotProvedError("the domain is empty")


class Exact:
    """The numbers of a question as integers, each times one power of two for all rows, and one for all bounds.

    Attributes:
        rows: (m + g) lists of n + 1 integers: ``a_i`` with ``b_i``, and then ``-G_g`` with ``h_g``.
        ends: (n) pairs of integers for the domain's bounds; None where there is none.
        one: the integer that stands for 1 among the bounds.
    """

    def __init__(self, question: Question) -> None:
        m, n = question.weight.shape
        slopes = np.concatenate([question.weight, -question.G])
        table = np.concatenate([slopes, np.concatenate([question.bias, question.h])[:, None]], axis=1)
        numbers, _ = as_integers(table)
        self.units, self.rows = m, [numbers[k : k + n + 1] for k in range(0, len(numbers), n + 1)]
        bounds = np.stack([question.low, question.high])
        ends, _ = as_integers(np.append(np.where(np.isfinite(bounds), bounds, 0.0), 1.0))
        pairs = [list(pair) for pair in zip(ends[:n], ends[n : 2 * n], strict=True)]
        finite = np.isfinite(bounds).T.tolist()
        self.ends = [
            tuple(end if known else None for end, known in zip(pair, knows, strict=True))
            for pair, knows in zip(pairs, finite, strict=True)
        ]
        self.one = ends[-1]

    def remainder(self, node: Node, on: frozenset[int], off: frozenset[int]) -> int:
        """The smallest value of a cover's sum between the domain's bounds, times a power of two.

        Raises:
            NotProvedError: it is unbounded, or a multiplier is negative or of a row that may not have one.
        """
        m, n = self.units, len(self.ends)
        half_spaces = (node.half_spaces, -1, range(len(self.rows) - m), m)
        parts = ((node.cover, 1, range(m), 0), (node.on, -1, on, 0), (node.off, 1, off, 0), half_spaces)
        total = [0] * (n + 1)
        for terms, sign, allowed, first in parts:
            for number, multiplier in terms:
                if type(number) is not int or type(multiplier) is not int or multiplier < 0 or number not in allowed:
                    raise NotProvedError("a multiplier is negative, or of a row that may not have one")
                factor = sign * multiplier
                total = [value + factor * entry for value, entry in zip(total, self.rows[first + number], strict=True)]
        *slope, constant = total
        value = constant * self.one
        for entry, (low, high) in zip(slope, self.ends, strict=True):
            end = low if entry > 0 else high
            if not entry:
                continue
            if end is None:
                raise NotProvedError("the sum of a cover has no smallest value on the domain")
            value += entry * end
        return value


def least_sigma(question: Question, nodes: Sequence[Node]) -> float:
    """The smallest sigma of a tree that is proved; inf where D is one point or has none.

    Raises:
        NotProvedError: it is no such tree.
    """
    free = question.low < question.high
    if not free.any():
        return np.inf
    exact, least, place = Exact(question), np.inf, 0
    waiting: list[tuple[frozenset[int], frozenset[int]]] = [(frozenset(), frozenset())]
    while waiting:
        on, off = waiting.pop()
        if place == len(nodes):
            raise NotProvedError("the tree has fewer nodes than its covers ask for")
        node, place = nodes[place], place + 1
        if node.sigma is not None:
            rows = np.array(sorted(on), dtype=np.int64)
            B = np.ascontiguousarray(question.weight[rows][:, free])
            if len(rows) < B.shape[1] or not node.sigma > 0 or not singular_values_exceed(B, float(node.sigma)):
                raise NotProvedError("the rows of a leaf do not have the singular values that it claims")
            least = min(least, float(node.sigma))
            continue
        covers = [row for row, _ in node.cover]
        is_sound = len(set(covers)) == len(covers) and all(multiplier > 0 for _, multiplier in node.cover)
        if not set(covers).isdisjoint(on) or not is_sound:
            raise NotProvedError("a cover has a row twice, or without a multiplier, or one that is known to be on")
        value = exact.remainder(node, on, off)
        if value < 0 or (not covers and value == 0):
            raise NotProvedError("some point of the piece is not covered")
        waiting.extend(reversed([(on | {row}, off.union(covers[:k])) for k, row in enumerate(covers)]))
    if place != len(nodes):
        raise NotProvedError("the tree has nodes that no cover asks for")
    return least


@dataclass(frozen=True, eq=False)
class Window:
    """Some rows that see some inputs only, and a tree that proves them injective on these.

    Attributes:
        rows: their numbers.
        columns: those of the inputs.
        tree: as for ``least_sigma``, of the rows on these columns, between the domain's bounds.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    tree: tuple[Node, ...]


def least_of_windows(question: Question, windows: Sequence[Window]) -> float:
    """The smallest sigma of trees for windows that together see every input that D does not fix.

    No row is in two of them, so that ``|F(x'') - F(x')|^2`` is at least the sum of theirs; each input counts in one.

    Raises:
        NotProvedError: they are no such windows, or have no such trees.
    """
    unseen, used, least = question.low < question.high, np.zeros(len(question.bias), dtype=np.bool_), np.inf
    known: dict[tuple[bytes, ...], list[tuple[tuple[Node, ...], float]]] = {}
    for window in windows:
        rows, columns = np.array(window.rows, dtype=np.int64), np.array(window.columns, dtype=np.int64)
        part = _part(question, rows, columns)
        if used[rows].any() or len(set(window.rows)) != len(rows):
            raise NotProvedError("a row is in two windows")
        used[rows], unseen[columns] = True, False
        alike = known.setdefault(tuple(each.tobytes() for each in vars(part).values()), [])
        sigma = next((found for tree, found in alike if tree is window.tree or tree == window.tree), None)
        if sigma is None:
            sigma = least_sigma(part, window.tree)
            alike.append((window.tree, sigma))
        least = min(least, sigma)
    if unseen.any():
        raise NotProvedError("an input is in no window")
    return least


def _part(question: Question, rows: IntArray, columns: IntArray) -> Question:
    m, n = question.weight.shape
    inside = all(len(each) and each.min() >= 0 and each.max() < size for each, size in ((rows, m), (columns, n)))
    if not inside or len(np.unique(columns)) != len(columns):
        raise NotProvedError("a window has rows or inputs that there are not")
    seen = np.zeros(n, dtype=np.bool_)
    seen[columns] = True
    if question.weight[rows][:, ~seen].any():
        raise NotProvedError("a row sees inputs outside its window")
    weight = np.ascontiguousarray(question.weight[np.ix_(rows, columns)])
    low, high = question.low[columns], question.high[columns]
    return Question(weight, question.bias[rows], low, high, np.zeros((0, len(columns))), np.zeros(0))


def modulus_below(sigma: float) -> float:
    """``sigma / sqrt(2)``, rounded down."""
    return sigma * 0.5 * float(np.sqrt(2.0)) / ROUNDING


__all__ = ["Exact", "Node", "Question", "Terms", "Window", "least_of_windows", "least_sigma", "modulus_below"]
