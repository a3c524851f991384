"""The search for a tree that proves a layer injective, best first: see ``fiberscope.checker.injectivity``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from time import perf_counter

import numpy as np
from flint import fmpz_mat
from jaxtyping import Float64
from scipy.sparse import csr_array

from fiberscope.checker.injectivity import Exact, Node, Question, Terms
from fiberscope.checker.matrices import NotProvedError, singular_values_exceed
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.linear_program import LinearProgram, Solver, Status

SHARES = (0.5, 0.2, 0.0)
"""Rows take part in a cover if d moves them by that share of what it moves any row by: large ones give large sigma."""

BELOW = 1.0 - 2.0**-20
"""By how much less than an estimated singular value is claimed."""

USED = 2.0**-30
"""Multipliers above that share of the largest are taken for nonzero; the exact ones decide."""

BITS = 60
"""Of the integers that multipliers are rounded to."""

TIES = 2.0**-26
"""How negative the optimum of a program may be, its rows being normalised, where a cover is tried nevertheless."""


@dataclass(eq=False)
class Piece:
    """A node while the tree grows.

    Attributes:
        on: the rows J.
        off: the rows N.
        sigma: the smallest singular value of A_J on the free coordinates, as floats say; 0 below full rank.
        weakest: (n,) a unit vector on these that A_J shrinks most; of several, the one that A shrinks most.
        node: what it became: a cover, or empty; None of leaves.
        children: one for each row of the cover.
        is_final: no cover makes it better.
    """

    on: frozenset[int]
    off: frozenset[int]
    sigma: float
    weakest: Float64[FloatArray, " n"]
    node: Node | None = None
    children: list[Piece] = field(default_factory=list["Piece"])
    is_final: bool = False


class CoverSearch:
    """A tree that grows.

    Args:
        question: the layer and the domain.

    Attributes:
        root: the tree.
        count: its nodes.
        points: points (n,) of the domain at which no row that a weak direction moves is on.
    """

    def __init__(self, question: Question) -> None:
        self.question, self._numbers = question, Exact(question)
        self.free = question.low < question.high
        self._whole = question.weight[:, self.free]
        self.norms = np.linalg.norm(question.weight, axis=1)
        self._scale = _scale(question, self.norms)
        self._solver = Solver(_program(question, self.norms, self._scale))
        self._sides = np.full(2 * len(self.norms), np.inf)
        self.root = self._piece(frozenset(), frozenset())
        self.count, self._final, self._order = 1, np.inf, count()
        self.points: list[FloatArray] = []
        self._waiting: list[tuple[float, int, int, Piece]] = []
        self._wait(self.root)

    @property
    def smallest(self) -> float:
        """The smallest sigma of the leaves that wait; 0 while the tree proves nothing, inf where nothing waits."""
        return self._waiting[0][0] if self._waiting else self._final

    def grow(self, until: float) -> Iterator[Piece]:
        """Expand the leaf with the smallest sigma, one after the other; yields each of them."""
        while self._waiting and perf_counter() < until:
            *_, piece = heappop(self._waiting)
            self._expand(piece, until)
            if piece.is_final:
                self._final = piece.sigma
                heappush(self._waiting, (piece.sigma, 0, next(self._order), piece))
            yield piece
            if piece.is_final:  # the others cannot raise the smallest any more
                return

    def certificate(self) -> tuple[Node, ...]:
        """The nodes in the order of the checker."""
        out: list[Node] = []
        waiting = [self.root]
        while waiting:
            piece = waiting.pop()
            out.append(Node(self._claimed(piece)) if piece.node is None else piece.node)
            waiting.extend(reversed(piece.children))
        return tuple(out)

    def _claimed(self, piece: Piece) -> float:
        B = self._matrix(piece.on)
        shares = (BELOW, 0.5, 0.5 / np.sqrt(B.shape[1]))
        return next((s for share in shares if singular_values_exceed(B, s := share * piece.sigma)), piece.sigma)

    def _matrix(self, on: frozenset[int]) -> FloatArray:
        return np.ascontiguousarray(self.question.weight[sorted(on)][:, self.free])

    def _piece(self, on: frozenset[int], off: frozenset[int]) -> Piece:
        B = self._matrix(on)
        p, n = B.shape
        vectors, rank, least, d = np.eye(n), 0, 0.0, np.zeros(len(self.free))
        if p:
            _, values, vectors = np.linalg.svd(B, full_matrices=p < n)
            rank = int((values > values[0] * p * np.finfo(np.float64).eps).sum())
            least = float(values[-1]) if rank == n else 0.0
        if rank < n:  # of the directions that are lost
            null = vectors[rank:].T
            *_, inner = np.linalg.svd(self._whole @ null)
            d[self.free] = null @ inner[-1]
        else:
            d[self.free] = vectors[-1]
        return Piece(on, off, least, d)

    def _wait(self, piece: Piece) -> None:
        heappush(self._waiting, (piece.sigma, -len(piece.on), next(self._order), piece))

    def _expand(self, piece: Piece, until: float) -> None:
        d = piece.weakest
        moved = np.abs(self.question.weight @ d)
        moved[sorted(piece.on)] = 0.0
        noise = np.finfo(np.float64).eps * len(d) * float(self.norms.max(initial=0.0))
        for share in SHARES:
            rows = np.flatnonzero(moved > max(share * float(moved.max(initial=0.0)), noise))
            node = self._cover(piece, rows, piece.off, until) if len(rows) else None
            if node is None and len(rows) and piece.off:
                node = self._cover(piece, rows, frozenset(), until)
            if node is not None:
                self._branch(piece, node)
                return
        piece.is_final = True

    def _branch(self, piece: Piece, node: Node) -> None:
        piece.node = node
        covers = [row for row, _ in node.cover]
        for k, row in enumerate(covers):
            child = self._piece(piece.on | {row}, piece.off.union(covers[:k]))
            piece.children.append(child)
            self.count += 1
            self._wait(child)

    def _cover(self, piece: Piece, rows: IntArray, off: frozenset[int], until: float) -> Node | None:
        """A cover by these rows, or an empty piece; None where there is none, or none is found."""
        m, solver = len(self.norms), self._solver
        plus, minus = sorted({*rows.tolist(), *off}), sorted(piece.on)
        sides = np.full(2 * m, np.inf)
        sides[plus] = -self._constants(plus)
        sides[[m + row for row in minus]] = self._constants(minus)
        for row in np.flatnonzero(sides != self._sides):
            solver.bound_row(int(row), -np.inf, float(sides[row]))
        self._sides = sides
        status = solver.run(max(until - perf_counter(), 1e-3))
        if status is not Status.OPTIMAL:
            return None
        point = solver.point
        if point[-1] < -TIES * self._scale:
            self.points.append(np.clip(point[:-1], self.question.low, self.question.high))
            return None
        dual = np.abs(solver.row_dual)
        return self._exact(piece, off, dual, point)

    def _constants(self, rows: list[int]) -> FloatArray:
        return self.question.bias[rows] / _sizes(self.norms)[rows]

    def _exact(self, piece: Piece, off: frozenset[int], dual: FloatArray, point: FloatArray) -> Node | None:
        m, sizes = len(self.norms), _sizes(self.norms)
        used = np.flatnonzero(dual > USED * dual.max(initial=0.0))
        plus, minus = [int(k) for k in used if k < m], [int(k) - m for k in used if m <= k < 2 * m]
        half = [int(k) - 2 * m for k in used if k >= 2 * m]
        weights = np.concatenate([dual[plus] / sizes[plus], dual[[m + row for row in minus]] / sizes[minus]])
        weights = np.concatenate([weights, dual[[2 * m + g for g in half]]])
        order = [*plus, *minus, *(m + g for g in half)]
        signs = [1] * len(plus) + [-1] * (len(minus) + len(half))
        touching = self._touching(point[:-1], weights, order, signs)
        for multipliers in self._candidates(order, signs, weights, touching):
            above, below, beyond = np.split(np.array(multipliers, dtype=object), [len(plus), len(plus) + len(minus)])
            cover, known = (
                _terms(row for row in zip(plus, above, strict=True) if (row[0] in off) is is_known)
                for is_known in (False, True)
            )
            others = (_terms(zip(rows, part, strict=True)) for rows, part in ((minus, below), (half, beyond)))
            on, half_spaces = others
            node = Node(None, cover, on, known, half_spaces)
            if self._holds(node, piece, off):
                return self._ordered(node)
        return None

    def _candidates(
        self, order: list[int], signs: list[int], weights: FloatArray, touching: BoolArray
    ) -> Iterator[list[int]]:
        """Integers near multiples of some floats, and those with which the sum slopes only where it may."""
        near = np.rint(np.ldexp(weights / weights.sum(), BITS)).astype(np.int64).tolist()
        if np.isfinite(self.question.low).all() and np.isfinite(self.question.high).all():
            yield near
        rows = [self._numbers.rows[row] for row in order]
        equations = [[sign * row[k] for row, sign in zip(rows, signs, strict=True)] for k in np.flatnonzero(~touching)]
        exact = _solved([*equations, [1] * len(order)], near)
        if exact is not None:
            yield exact

    def _holds(self, node: Node, piece: Piece, off: frozenset[int]) -> bool:
        try:
            value = self._numbers.remainder(node, piece.on, off)
        except NotProvedError:
            return False
        return value > 0 or (value == 0 and bool(node.cover))

    def _touching(self, x: FloatArray, weights: FloatArray, order: list[int], signs: list[int]) -> BoolArray:
        """Coordinates in which the sum may slope: at a bound that it is smallest at."""
        stacked = np.concatenate([self.question.weight, -self.question.G])
        slope = (np.array(signs) * weights) @ stacked[order] if order else np.zeros(len(x))
        size = np.abs(weights) @ np.abs(stacked[order]) if order else np.zeros(len(x))
        end = np.where(slope > 0, self.question.low, self.question.high)
        return np.isfinite(end) & (np.abs(slope) > USED * size)

    def _ordered(self, node: Node) -> Node:
        """Rows with large multipliers first: what comes later knows that they are off."""
        return Node(None, tuple(sorted(node.cover, key=lambda term: -term[1])), node.on, node.off, node.half_spaces)


def _sizes(norms: FloatArray) -> FloatArray:
    """Lengths of the rows, 1 for rows of zeros."""
    return np.where(norms > 0, norms, 1.0)


def _scale(question: Question, norms: FloatArray) -> float:
    """A length of the question: how far rows or bounds are from the origin; 1 where all pass it."""
    ends = np.concatenate([question.low, question.high, question.bias / _sizes(norms)])
    return float(np.abs(ends[np.isfinite(ends)]).max(initial=0.0)) or 1.0


def _program(question: Question, norms: FloatArray, scale: float) -> LinearProgram:
    """Minimise t over x in the domain: ``z_i <= t`` for some rows, ``-z_j <= t`` for others; no side is there yet."""
    m, n = question.weight.shape
    A = question.weight / _sizes(norms)[:, None]
    column = np.full((m, 1), -1.0)
    G = np.concatenate([question.G, np.zeros((len(question.h), 1))], axis=1)
    matrix = np.concatenate([np.concatenate([A, column], axis=1), np.concatenate([-A, column], axis=1), G])
    free = np.full(2 * m, np.inf)
    return LinearProgram(
        -np.eye(n + 1)[-1],
        csr_array(matrix),
        np.full(len(matrix), -np.inf),
        np.concatenate([free, question.h]),
        np.append(question.low, -scale),
        np.append(question.high, np.inf),
    )


def _terms(values: Iterable[tuple[int, int]]) -> Terms:
    return tuple((row, value) for row, value in values if value)


def _solved(rows: list[list[int]], near: list[int]) -> list[int] | None:
    """A multiple of a v that all rows but the last map to 0, and the last to its value at ``near``.

    Unknowns that the rows leave free are those of ``near``. None where there is no such v.
    """
    k = len(near)
    sides = [0] * (len(rows) - 1) + [sum(factor * value for factor, value in zip(rows[-1], near, strict=True))]
    reduced, scale, rank = fmpz_mat([[*row, side] for row, side in zip(rows, sides, strict=True)]).rref()
    leading = [next(j for j in range(k + 1) if reduced[i, j] != 0) for i in range(rank)]
    if k in leading:
        return None
    others = [j for j in range(k) if j not in leading]
    out = [int(scale) * value for value in near]
    for i, j in enumerate(leading):
        out[j] = int(reduced[i, k]) - sum(int(reduced[i, other]) * near[other] for other in others)
    return out if int(scale) > 0 else [-value for value in out]


__all__ = ["CoverSearch", "Piece"]
