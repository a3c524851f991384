"""The rows of a layer and its domain, and the intervals that outputs put them in.

Rows are numbered as in certificates: the layer's (i < m), coordinates (m + j), half-spaces (m + n + k).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from fiberscope.checker import exact
from fiberscope.checker.arithmetic import Arithmetic, Rational
from fiberscope.checker.matrices import (
    BoolArray,
    FloatArray,
    IntArray,
    Matrix,
    NotProvedError,
    entries,
    is_dense,
    norm_above,
    product_error,
    row_norms_above,
    scaled,
    scaled_exactly,
    stacked,
)


@dataclass(frozen=True, eq=False)
class System:
    """A layer ``clip(A x + b, low, high)`` on a domain ``box_low <= x <= box_high, G x <= h``, in float64 numbers.

    Attributes:
        weight: A, (m, n): an array, or scipy's compressed sparse rows.
        bias: b, (m,).
        low: (m,) the smallest output of each unit, -inf for none; 0 for a ReLU.
        high: (m,) the largest output of each unit, inf for none.
        monotone: (m,) units whose activation is strictly monotone instead.
        box_low: (n,).
        box_high: (n,).
        G: (q, n).
        h: (q,).
    """

    weight: Matrix
    bias: FloatArray
    low: FloatArray
    high: FloatArray
    monotone: BoolArray
    box_low: FloatArray
    box_high: FloatArray
    G: Matrix
    h: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """m, n and q."""
        return (*self.weight.shape, self.G.shape[0])

    def check(self) -> None:
        """NotProvedError where this is no system."""
        (m, n), q = self.weight.shape, self.G.shape[0]
        for matrix, shape in ((self.weight, (m, n)), (self.G, (q, n))):
            well = matrix.shape == shape and entries(matrix).dtype == np.float64 and n > 0
            if not well or not np.isfinite(entries(matrix)).all() or not (is_dense(matrix) or _is_well_formed(matrix)):
                raise NotProvedError("a matrix is not made of finite float64 numbers, or has another shape")
        for values, length in ((self.bias, m), (self.h, q)):
            if values.dtype != np.float64 or values.shape != (length,) or not np.isfinite(values).all():
                raise NotProvedError("the bias or the half-spaces are not made of finite float64 numbers")
        for low, high, length in ((self.low, self.high, m), (self.box_low, self.box_high, n)):
            for bound in (low, high):
                if bound.dtype != np.float64 or bound.shape != (length,) or np.isnan(bound).any():
                    raise NotProvedError("bounds are not made of float64 numbers")
            if not ((low < np.inf) & (high > -np.inf)).all():
                raise NotProvedError("there is a bound that no number meets")
        if self.monotone.dtype != np.bool_ or self.monotone.shape != (m,) or not (self.low <= self.high).all():
            raise NotProvedError("the units' activations are not given")

    def scaled(self, exponents: tuple[IntArray, IntArray] | None) -> System:
        """The system of rows ``2**-r_i R_i`` in coordinates ``2**-c_j x_j``; NotProvedError where a number changes."""
        if exponents is None:
            return self
        (rows, columns), m = exponents, self.weight.shape[0]
        by_unit = -rows[:m]
        return System(
            scaled(self.weight, rows[:m], columns),
            scaled_exactly(self.bias, by_unit),
            scaled_exactly(self.low, by_unit),
            scaled_exactly(self.high, by_unit),
            self.monotone,
            scaled_exactly(self.box_low, -columns),
            scaled_exactly(self.box_high, -columns),
            scaled(self.G, rows[m:], columns),
            scaled_exactly(self.h, -rows[m:]),
        )


def _is_well_formed(matrix: Any) -> bool:
    """Whether compressed sparse rows are what they should be, with no place stored twice."""
    indptr, indices = matrix.indptr, matrix.indices
    if len(indptr) != matrix.shape[0] + 1 or indptr[0] != 0 or indptr[-1] != len(indices):
        return False
    if (np.diff(indptr) < 0).any() or len(matrix.data) != len(indices):
        return False
    if len(indices) and not (indices.min() >= 0 and indices.max() < matrix.shape[1]):
        return False
    rising = np.diff(indices.astype(np.int64)) > 0
    rising[indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < len(indices))] - 1] = True
    return bool(rising.all())


@dataclass(frozen=True, eq=False)
class Cone:
    """``{d : R_i d = 0 (equal), R_i d <= 0 (upper), R_i d >= 0 (lower)}`` for N samples, (N, M) truth values each."""

    equal: BoolArray
    upper: BoolArray
    lower: BoolArray

    def __getitem__(self, samples: Any) -> Cone:
        return Cone(self.equal[samples], self.upper[samples], self.lower[samples])

    @property
    def one_sided(self) -> BoolArray:
        """Which rows have one condition."""
        return self.upper | self.lower


class Rows:
    """The rows of a system, what they measure, and where numbers lie beside them."""

    def __init__(self, system: System, arithmetic: Arithmetic) -> None:
        self.system, self.arithmetic = system, arithmetic
        self.m, self.n, self.q = system.shape
        self.count = self.m + self.n + self.q
        self.coordinates = slice(self.m, self.m + self.n)
        self.stack = stacked(system.weight, system.G)
        self.places = np.concatenate([np.arange(self.m), self.m + self.n + np.arange(self.q)])

    @cached_property
    def norms(self) -> FloatArray:
        """(m + q,) upper bounds on the lengths of the stack's rows; exactly 0 for zero rows."""
        return row_norms_above(self.stack)

    @cached_property
    def nonzero(self) -> BoolArray:
        """(M,) the rows that are not zero."""
        out = np.ones(self.count, dtype=np.bool_)
        out[self.places] = self.norms > 0
        return out

    def mask(self, numbers: IntArray) -> BoolArray:
        """(M,) the rows with these numbers."""
        out = np.zeros(self.count, dtype=np.bool_)
        out[numbers] = True
        return out

    def in_stack(self, numbers: IntArray) -> IntArray:
        """Where these rows, none of which is a coordinate's, stand in the stack."""
        return np.where(numbers < self.m, numbers, numbers - self.n)

    def signs(self, X: FloatArray, products: FloatArray, terms: list[FloatArray]) -> IntArray:
        """(N, k) the exact signs of ``R_i x + t_i`` for the first k rows of the stack, and sums t of terms.

        Args:
            X: (N, n) inputs.
            products: (N, m + q) ``R_i x`` as float64 gives it.
            terms: (k,) each; of those of one row, one may be infinite.
        """
        k = len(terms[0])
        beyond = sum((np.where(np.isinf(term), np.sign(term), 0.0) for term in terms), np.zeros(k)).astype(np.int64)
        finite = [np.where(beyond != 0, 0.0, term) for term in terms]
        with np.errstate(all="ignore"):
            value = products[:, :k] + sum(finite)
            size, length = self.norms[:k] + sum(np.abs(term) for term in finite), np.array([norm_above(x) for x in X])
            sign = np.sign(value).astype(np.int64)
            certain = np.abs(value) > product_error(size, (length + 1.0)[:, None], self.n + 2 + len(terms))
        certain &= not isinstance(self.arithmetic, Rational)
        sign, certain = np.where(beyond, beyond, sign), certain | (beyond != 0) | (size == 0)
        for j in np.flatnonzero(~certain.all(axis=1)):
            rows = np.flatnonzero(~certain[j])
            for i, product in zip(rows, exact.products(self.stack[rows], X[j]), strict=True):
                number = product + exact.total([float(term[i]) for term in finite])
                sign[j, i] = (number > 0) - (number < 0)
        return sign

    def cones_at(self, X: FloatArray, within: FloatArray) -> tuple[Cone, Cone, BoolArray]:
        """The tangent and recession cones at N inputs whose outputs are known up to ``within``; who is inside.

        ``within`` is (m,), or (2, m) below and above: then both are 0, or neither is.
        """
        s, N = self.system, len(X)
        with np.errstate(all="ignore"):
            products = X @ self.stack.T if is_dense(self.stack) else (self.stack @ X.T).T
        lower, upper, at_low, at_high = self._sides_at(X, products, within)
        half = self.signs(X, products, [np.concatenate([np.zeros(self.m), -s.h])])[:, self.m :]
        inside = ~(np.less(X, s.box_low).any(axis=1) | np.greater(X, s.box_high).any(axis=1) | (half > 0).any(axis=1))
        below, above, pinned = np.isfinite(s.box_low), np.isfinite(s.box_high), s.box_low == s.box_high
        every, none = np.ones((N, self.q), dtype=np.bool_), np.zeros((N, self.q), dtype=np.bool_)

        def rows(units: BoolArray, box: BoolArray, spaces: BoolArray) -> BoolArray:
            return self.nonzero & np.concatenate([units, np.broadcast_to(box, (N, self.n)), spaces], axis=1)

        tangent = Cone(
            rows(lower & upper & ~_apart(within, self.m).any(axis=0), pinned, none),
            rows(at_low, (s.box_high == X) & ~pinned, half == 0),
            rows(at_high, (s.box_low == X) & ~pinned, none),
        )
        recession = Cone(
            rows(lower & upper, below & above, none),
            rows(upper & ~lower, above & ~below, every),
            rows(lower & ~upper, below & ~above, none),
        )
        return tangent, recession, np.asarray(inside)

    def _sides_at(
        self, X: FloatArray, products: FloatArray, within: FloatArray
    ) -> tuple[BoolArray, BoolArray, BoolArray, BoolArray]:
        """(N, m): which units have a lower side, and an upper one; and which are tight at the bottom, and at the top.

        With ``z = a_i x + b_i``: lower iff ``min(z, high) - below > low``, upper iff ``max(z, low) + above < high``.
        """
        s, mono = self.system, self.system.monotone
        both = _apart(within, self.m)
        (minus, plus), (limited, bounded) = np.where(both < np.inf, both, 0.0), both < np.inf
        low, high = (self.signs(X, products, [s.bias, -bound]) for bound in (s.low, s.high))
        wide, loose = s.low < s.high, both.any(axis=0)
        lower, upper = (low > 0) & wide, (high < 0) & wide
        at_low, at_high = (low == 0) & upper, (high == 0) & lower
        if loose.any():
            if (mono & loose).any():
                raise NotProvedError("outputs of strictly monotone activations must be known exactly")
            above, below = (self.signs(X, products, [s.bias, -p, d]) for p, d in ((s.low, -minus), (s.high, plus)))
            room, head = (
                np.array([_compare(q, -e, p) > 0 for p, q, e in zip(s.low, s.high, slack, strict=True)])
                for slack in (minus, plus)
            )
            lower = np.where(loose, (above > 0) & room & limited, lower)
            upper = np.where(loose, (below < 0) & head & bounded, upper)
        return lower | mono, upper | mono, at_low & ~mono & ~loose, at_high & ~mono & ~loose


def _apart(within: FloatArray, m: int) -> FloatArray:
    """(2, m) by how much outputs may lie below, and above."""
    return np.broadcast_to(within, (2, m))


@dataclass(frozen=True, eq=False)
class Sides:
    """Where an output that is known to intervals puts every row: exact sums of floats.

    Attributes:
        low: terms (M,) of lower sides.
        high: terms (M,) of upper sides.
        has_low: (M,).
        has_high: (M,).
        equal: (M,) where both are the same number.
        contradiction: whether one row's interval is empty.
    """

    low: list[FloatArray]
    high: list[FloatArray]
    has_low: BoolArray
    has_high: BoolArray
    equal: BoolArray
    contradiction: bool

    def cones(self, nonzero: BoolArray) -> tuple[Cone, Cone]:
        """The homogenised system, without zero rows that say ``0 <= 0``, and the recession cone; of one sample."""
        quiet_low, quiet_high = (self._is_zero(upper, ~nonzero) for upper in (False, True))
        upper, lower = self.has_high & ~self.equal & ~quiet_high, self.has_low & ~self.equal & ~quiet_low
        both = self.has_low & self.has_high & nonzero
        equal = self.equal & ~(quiet_low & quiet_high)
        return Cone(equal[None], upper[None], lower[None]), Cone(
            both[None], (self.has_high & ~both & nonzero)[None], (self.has_low & ~both & nonzero)[None]
        )

    def _is_zero(self, upper: bool, among: BoolArray) -> BoolArray:
        """Which sides of some rows are 0."""
        return np.array([asked and self.exactly(i, upper) == 0 for i, asked in enumerate(among)], dtype=np.bool_)

    def exactly(self, row: int, upper: bool) -> Fraction:
        """One side."""
        return exact.total([float(term[row]) for term in (self.high if upper else self.low)])


def sides_of(rows: Rows, output_low: FloatArray, output_high: FloatArray, within: FloatArray) -> Sides:
    """The sides that ``output_low - within <= y <= output_high + within`` puts on all rows."""
    s, n, q = rows.system, rows.n, rows.q
    if s.monotone.any():
        raise NotProvedError("outputs of activations other than clips are not rational numbers: x must be given")
    above_low, below_low, below_high, above_high = (
        np.array([_compare(y, e, t) * sign > 0 for y, e, t in zip(values, slack, clip, strict=True)], dtype=np.bool_)
        for values, slack, clip, sign in (
            (output_low, -within, s.low, 1),
            (output_high, within, s.low, -1),
            (output_high, within, s.high, -1),
            (output_low, -within, s.high, 1),
        )
    )
    empty = bool(below_low.any() or above_high.any() or (s.box_low > s.box_high).any())
    equal = (within == 0) & (output_low == output_high) & above_low & below_high
    none = np.zeros(n + q)
    finite = [np.where(np.isfinite(t), t, 0.0) for t in (output_low, output_high, s.box_low, s.box_high)]
    return Sides(
        [
            np.concatenate([finite[0], finite[2], np.zeros(q)]),
            np.concatenate([-within, none]),
            np.concatenate([-s.bias, none]),
        ],
        [np.concatenate([finite[1], finite[3], s.h]), np.concatenate([within, none]), np.concatenate([-s.bias, none])],
        np.concatenate([above_low, np.isfinite(s.box_low), np.zeros(q, dtype=np.bool_)]),
        np.concatenate([below_high, np.isfinite(s.box_high), np.ones(q, dtype=np.bool_)]),
        np.concatenate([equal, s.box_low == s.box_high, np.zeros(q, dtype=np.bool_)]),
        empty,
    )


def _compare(y: float, slack: float, threshold: float) -> int:
    """The sign of ``y + slack - threshold``, of which y and the threshold may be infinite."""
    if np.isinf(y) or np.isinf(threshold):
        return int(y > threshold) - int(y < threshold)
    number = exact.total([float(y), float(slack), -float(threshold)])
    return (number > 0) - (number < 0)
