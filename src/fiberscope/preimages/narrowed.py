"""Large layers where the domain fixes most coordinates: the units that read the others, in these coordinates alone.

A unit that reads fixed coordinates only has the output that it has at x, whatever the others are. What other units read
of fixed coordinates is a number, ``sum_j a_ij x_j``; it is kept exactly, as a sum of few floats, each in a column of
its own beside a coordinate that is fixed at 1. So the narrow question is the wide one, and not a rounded one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import Box, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import beside, sparse, suited
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from fiberscope.preimages.certificate import Certificate, Direction, Face, Multipliers, Rational, Scaling
from fiberscope.preimages.large_cones import pattern_of
from fiberscope.preimages.verdict import Verdict

MAX_ENTRIES = 2**24
"""Entries of rows that are written out for it; the checker has the same limit (``System.seen``)."""
MAX_COORDINATES = 2**14
"""Coordinates that may change, of which a Gram matrix is factored."""


@dataclass(frozen=True, eq=False)
class Narrowed:
    """The narrow question, and how the wide one follows.

    Attributes:
        question: the narrow one: k units, and c coordinates that may change with e that stand for the others.
        units: (k,) the units of the layer.
        columns: (c,) the coordinates.
        inputs: n, of the layer.
    """

    question: Verdict
    units: IntArray
    columns: IntArray
    inputs: int

    def beside_fixed(self, v: Float64[FloatArray, " n"], fixed: float) -> FloatArray:
        """A vector of the wide question in the coordinates of the narrow one."""
        return np.concatenate([v[self.columns], np.full(self.question.layer.inputs - len(self.columns), fixed)])

    def widened(self, v: Float64[FloatArray, " c"], fixed: Float64[FloatArray, " n"]) -> Float64[FloatArray, " n"]:
        """The other way round, with the numbers of ``fixed`` at fixed coordinates."""
        out = fixed.copy()
        out[self.columns] = v[: len(self.columns)]
        return out

    def certificate(self, narrow: Certificate) -> Certificate:
        """A certificate of the wide question; rows are numbered among the units, as the checker has them."""
        return replace(
            narrow,
            tangent=self._face(narrow.tangent),
            recession=self._face(narrow.recession),
            zero=None if narrow.zero is None else self.columns[narrow.zero],
            counted=None if narrow.counted is None else self.columns[narrow.counted],
            scaling=None if narrow.scaling is None else self._scaling(narrow.scaling),
        )

    def _face(self, face: Face | None) -> Face | None:
        if face is None:
            return None
        weights, way = face.multipliers, face.direction
        if weights is not None:
            rows, kept = self._rows(weights.rows)
            weights = Multipliers(rows, None if weights.values is None else _some(weights.values, kept), weights.sigma)
        if way is not None:
            fixed = np.ones(self.inputs, dtype=np.bool_)
            fixed[self.columns] = False
            held = np.concatenate([self._rows(way.held)[0], len(self.units) + np.flatnonzero(fixed)])
            way = Direction(held, self._values(way.values), way.sigma, way.basis)
        return Face(weights, way)

    def _rows(self, numbers: IntArray) -> tuple[IntArray, IntArray]:
        """The wide numbers of rows, without coordinates that stand for fixed ones; and where these were."""
        k, c = len(self.units), len(self.columns)
        kept = np.flatnonzero(numbers < k + c)
        numbers = numbers[kept]
        out = numbers.copy()
        out[numbers >= k] = k + self.columns[numbers[numbers >= k] - k]
        return out, kept

    def _values(self, values: FloatArray | Rational) -> FloatArray | Rational:
        if isinstance(values, np.ndarray):
            return self.widened(values, np.zeros(self.inputs))
        numerators: list[int] = [0] * self.inputs
        for j, number in zip(self.columns.tolist(), values.numerators, strict=False):
            numerators[j] = number
        return Rational(tuple(numerators), values.denominator)

    def _scaling(self, scaling: Scaling) -> Scaling:
        columns = np.zeros(self.inputs, dtype=np.int64)
        columns[self.columns] = scaling.columns[: len(self.columns)]
        return Scaling(scaling.rows, columns)


def _some(values: FloatArray | Rational, kept: IntArray) -> FloatArray | Rational:
    if isinstance(values, np.ndarray):
        return values[kept]
    numbers: list[int] = kept.tolist()
    return Rational(tuple(values.numerators[i] for i in numbers), values.denominator)


def narrowed(question: Verdict) -> Narrowed | None:
    """The narrow question of one about a large layer; None where too few coordinates are fixed, or no floats say it."""
    layer, x = question.layer, question.x
    if x is None or not layer.is_large or not isinstance(layer.operator, Convolution):
        return None
    domain = as_polyhedron(question.domain, layer.inputs)
    fixed = domain.low == domain.high
    columns = np.flatnonzero(~fixed)
    if not fixed.any() or len(domain.h) or not 0 < len(columns) <= MAX_COORDINATES:
        return None
    units = np.flatnonzero(pattern_of(layer.operator).linear(_as_batch(~fixed))[0].numpy() > 0.5)
    if len(units) * (layer.operator.terms - 1) > MAX_ENTRIES or not len(units):
        return None
    rows = sparse(layer.operator.rows(units))
    constants = _exact_sums(rows, np.where(fixed, x, 0.0))
    if constants is None:
        return None
    inside = suited(rows[:, columns] if len(columns) < layer.inputs else rows)
    weight = beside(inside, constants) if constants.shape[1] else inside
    ones = np.ones(constants.shape[1])
    narrow = ReLULayer(
        weight,
        layer.constants[units],
        layer.injective[units],
        low=layer.low[units],
        high=layer.high[units],
        monotone=None if layer.monotone is None else layer.monotone.of(units),
    )
    box = Box(np.concatenate([domain.low[columns], ones]), np.concatenate([domain.high[columns], ones]))
    within = np.asarray(question.within)
    known = float(within) if within.ndim == 0 else within[..., units]
    asked = replace(question, layer=narrow, domain=box, x=np.concatenate([x[columns], ones]), within=known)
    return Narrowed(asked, units, columns, layer.inputs)


def _as_batch(columns: Any) -> Any:
    import torch

    return torch.tensor(columns[None], dtype=torch.float32)


def _exact_sums(rows: SparseRows, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, "k e"] | None:
    """``sum_j a_ij x_j`` of every row, exactly, as a sum of e floats; None where no floats sum to it."""
    used = (x[rows.indices] != 0) & (rows.data != 0)
    row, left, right = row_numbers(rows)[used], rows.data[used], x[rows.indices[used]]
    starts = np.searchsorted(row, np.arange(rows.shape[0] + 1))
    counts = np.diff(starts)
    parts = np.zeros((rows.shape[0], 0))
    for k in range(int(counts.max(initial=0))):
        longer = np.flatnonzero(counts > k)
        at = starts[longer] + k
        for term in _product(left[at], right[at]):
            parts = _added(parts, longer, term)
    if np.isfinite(parts).all() and _is_exact(left, right):
        return parts[:, parts.any(axis=0)]
    return _rational_sums(row, left, right, rows.shape[0])


def _is_exact(left: FloatArray, right: FloatArray) -> bool:
    """Whether products, and what they lose, are far from the ends of float64."""
    size = np.abs(left * right)
    return bool(((size > 2.0**-900) & (size < 2.0**900) & (np.abs(left) < 2.0**900) & (np.abs(right) < 2.0**900)).all())


def _product(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``a b`` as a sum of two floats (T. J. Dekker, 1971)."""
    high, (a1, a2), (b1, b2) = a * b, _halves(a), _halves(b)
    return high, a2 * b2 - (((high - a1 * b1) - a2 * b1) - a1 * b2)


def _halves(a: FloatArray) -> tuple[FloatArray, FloatArray]:
    c = (2.0**27 + 1.0) * a
    high = c - (c - a)
    return high, a - high


def _added(parts: FloatArray, rows: IntArray, term: FloatArray) -> FloatArray:
    """Add a term to the sums of some rows; what the last part loses is one more part."""
    for e in range(parts.shape[1]):
        old = parts[rows, e]
        total = old + term
        shadow = total - old
        term = (old - (total - shadow)) + (term - shadow)  # D. E. Knuth's sum of two floats
        parts[rows, e] = total
    if term.any():
        more = np.zeros((len(parts), 1))
        more[rows, 0] = term
        parts = np.hstack([parts, more])
    return parts


def _rational_sums(row: IntArray, left: FloatArray, right: FloatArray, count: int) -> Float64[FloatArray, "k e"] | None:
    """The same in rational arithmetic: the nearest float, that of what is left, and so on."""
    totals = [Fraction(0)] * count
    for i, a, b in zip(row.tolist(), left.tolist(), right.tolist(), strict=True):
        totals[i] += Fraction(a) * Fraction(b)
    columns: list[FloatArray] = []
    while any(totals):
        column = np.array([float(total) for total in totals])
        if not all(column[i] or not total for i, total in enumerate(totals)):
            return None  # what is left lies below the smallest float
        columns.append(column)
        totals = [total - Fraction(value) for total, value in zip(totals, column.tolist(), strict=True)]
    return np.stack(columns, axis=1) if columns else np.zeros((count, 0))


__all__ = ["Narrowed", "narrowed"]
