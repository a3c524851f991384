"""The rows of a layer and its domain, and the intervals that outputs put them in.

A half-space ``G_k x <= h_k`` says what an output of 0 says of the ReLU ``G_k x - h_k``: to units that are judged such
ones are added, of which the output is 0. Rows are those of all these units, the *stack*, and then the coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from fiberscope.checker import arithmetic, exact, matrices, strips
from fiberscope.checker.blocks import Blocks
from fiberscope.checker.certificates import Scaling
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.matrices import (
    BoolArray,
    FloatArray,
    IntArray,
    Matrix,
    NotProvedError,
    Vector,
)


@dataclass(frozen=True, eq=False)
class System:
    """A layer ``clip(A x + b, low, high)`` on a domain ``box_low <= x <= box_high, G x <= h``, in float64 numbers.

    Attributes:
        weight: A, (m, n): an array, scipy's compressed sparse rows, a convolution, or blocks of such.
        bias: b, (m,).
        low: (m,) the smallest output of each unit, -inf for none; 0 for a ReLU.
        high: (m,) the largest output of each unit, inf for none. Of units with neither, outputs are what they receive.
        box_low: (n,).
        box_high: (n,).
        G: (q, n).
        h: (q,).
    """

    weight: Matrix
    bias: FloatArray
    low: FloatArray
    high: FloatArray
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
        m, n, q = self.shape
        matrices.check_matrix(self.weight)
        matrices.check_matrix(self.G)
        finite = matrices.are_floats(self.bias, m, finite=True) and matrices.are_floats(self.h, q, finite=True)
        sides = (self.low, self.high, m), (self.box_low, self.box_high, n)
        if not finite or not all(matrices.are_floats(v, size, finite=False) for *pair, size in sides for v in pair):
            raise NotProvedError("the bias, the half-spaces or bounds are not made of float64 numbers")
        if not all(((low < np.inf) & (high > -np.inf)).all() for low, high, _ in sides):
            raise NotProvedError("there is a bound that no number meets")
        if not (self.low <= self.high).all():
            raise NotProvedError("the units' activations are not given")

    def scaled(self, scaling: Scaling) -> System:
        """The system of rows ``2**-r_i R_i`` in coordinates ``2**-c_j x_j``; NotProvedError where a number changes."""
        (m, _, q), columns = self.shape, scaling.columns
        units, spaces = scaling.rows[:m], scaling.rows[m : m + q]
        bias, low, high = (matrices.scaled_exactly(side, -units) for side in (self.bias, self.low, self.high))
        box_low, box_high = (matrices.scaled_exactly(side, -columns) for side in (self.box_low, self.box_high))
        weight, G = matrices.scaled(self.weight, units, columns), matrices.scaled(self.G, spaces, columns)
        return System(weight, bias, low, high, box_low, box_high, G, matrices.scaled_exactly(self.h, -spaces))


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


@dataclass(frozen=True, eq=False)
class AtInputs:
    """What is settled at N inputs.

    Attributes:
        tangent: the cone of directions that stay in the preimage of the output there.
        recession: the cone of those that stay in it for ever.
        inside: (N,) which inputs lie in the domain.
        products: (N, M - n) ``R_i x`` of the stack as float64 gives it.
    """

    tangent: Cone
    recession: Cone
    inside: BoolArray
    products: FloatArray

    def __getitem__(self, samples: Any) -> AtInputs:
        return AtInputs(self.tangent[samples], self.recession[samples], self.inside[samples], self.products[samples])


class Rows:
    """The rows of a system, what they measure in an arithmetic, and where numbers lie beside them.

    Attributes:
        height: M - n, the rows of the stack.
        bias: (M - n,) of the units, half-spaces among them, and likewise:
        low: the smallest output.
        high: the largest output.
        known: what was proved of them; parts that several certificates share are proved once.
    """

    def __init__(self, system: System, *, rational: bool) -> None:
        self.system, self.rational = system, rational
        self.m, self.n, q = system.shape
        self.height, self.count = self.m + q, self.m + q + self.n
        self.coordinates = slice(self.height, self.count)
        unwritten = rational and not matrices.is_written(system.weight)  # products are formed in floats alone
        self.stack = matrices.stacked(system.weight[np.arange(self.m)] if unwritten else system.weight, system.G)
        self.bias = np.append(system.bias, -system.h)
        self.low, self.high = self.beside(system.low), np.append(system.high, np.full(q, np.inf))
        self.known: dict[object, Any] = {}

    @cached_property
    def norms(self) -> FloatArray:
        """(M - n,) upper bounds on the lengths of the stack's rows; exactly 0 for zero rows."""
        return matrices.row_norms_above(self.stack)

    @cached_property
    def nonzero(self) -> BoolArray:
        """(M,) the rows that are not zero."""
        return self.whole(self.norms > 0, True)

    def beside(self, units: Any) -> Any:
        """(..., M - n) values of the layer's units, and zeros for half-spaces."""
        return np.concatenate([units, np.zeros((*units.shape[:-1], len(self.system.h)), dtype=units.dtype)], axis=-1)

    def whole(self, stack: Any, box: Any) -> Any:
        """(..., M) values of all rows."""
        out = np.empty((*stack.shape[:-1], self.count), dtype=stack.dtype)
        out[..., : self.height], out[..., self.coordinates] = stack, box
        return out

    def mask(self, numbers: IntArray) -> BoolArray:
        """(M,) the rows with these numbers."""
        out = np.zeros(self.count, dtype=np.bool_)
        out[numbers] = True
        return out

    def live(self, numbers: IntArray, columns: BoolArray) -> BoolArray:
        """Which of these rows of the stack are not zero on some columns."""
        if columns.all():
            return self.norms[numbers] > 0
        if not matrices.is_written(self.stack):
            return self.stack.reads(columns)[numbers]
        return matrices.row_sizes(self.block(numbers, columns)) > 0

    def block(self, numbers: IntArray, columns: BoolArray) -> Matrix:
        """Some rows of the stack, on some columns."""
        return matrices.block(self.stack, numbers, columns)

    def exceed(self, numbers: IntArray, columns: BoolArray, s: float) -> bool:
        """Whether rows of the stack, on some columns, are proved to have min(q, n) singular values above s."""
        if s == 0 and isinstance(self.stack, Blocks) and self.stack.is_echelon(numbers, columns):
            return True
        if self.rational:
            B = self.block(numbers, columns)
            return 0 in B.shape or exact.singular_values_exceed(B, s)
        if isinstance(self.stack, Convolution) and len(numbers) >= self.n:  # what is injective is so on fewer columns
            size = matrices.norm_above(self.norms[numbers])
            if strips.columns_exceed(self.stack, numbers, size, s):
                return True
            if self.n > matrices.MAX_GRAM:  # nothing else is tried: no rows are written out in vain
                return False
        return matrices.singular_values_exceed(self.block(numbers, columns), s)

    def vector(self, vector: Vector) -> Vector:
        """A vector that products can be formed with."""
        if vector.dtype == object and not self.rational:
            raise NotProvedError("the certificate is rational: it needs exact arithmetic")
        return vector

    def products(self, vector: Vector, numbers: IntArray | slice = slice(None)) -> tuple[Any, FloatArray]:
        """``R_i v`` of rows of the stack, and bounds on their errors."""
        whole = isinstance(numbers, slice) and not matrices.is_written(self.stack)
        rows = self.stack if whole else self.stack[numbers]
        return arithmetic.products(rows, vector, self.norms[numbers], rational=self.rational)

    def signs(self, X: FloatArray, products: FloatArray, lengths: FloatArray, terms: list[FloatArray]) -> IntArray:
        """(N, M - n) the exact signs of ``R_i x + t_i`` for rows of the stack, and sums t of terms.

        Args:
            X: (N, n) inputs.
            products: (N, M - n) ``R_i x`` as float64 gives it.
            lengths: (N,) bounds on those of the inputs.
            terms: (M - n,) or (N, M - n) each; of those of one row, one may be infinite.
        """
        beyond = sum(np.where(np.isinf(term), np.sign(term), 0.0).astype(np.int64) for term in terms)
        if np.all(beyond):
            return np.broadcast_to(beyond, products.shape)
        finite = [np.where(beyond != 0, 0.0, term) for term in terms]
        with np.errstate(all="ignore"):
            value = products + sum(finite)
            size = self.norms + sum(np.abs(term) for term in finite)
            error = matrices.product_error(size, (lengths + 1.0)[:, None], self.n + 2 + len(terms))
            certain = (np.abs(value) > error) & (not self.rational)
        sign = np.where(beyond, beyond, np.sign(value).astype(np.int64))
        certain |= (beyond != 0) | (size == 0)
        for j in np.flatnonzero(~certain.all(axis=1)):
            rows = np.flatnonzero(~certain[j])
            added = [np.broadcast_to(term, value.shape)[j, rows].tolist() for term in finite]
            for i, product, *more in zip(rows, exact.products(self.stack[rows], X[j]), *added, strict=True):
                number = product + exact.total(more)
                sign[j, i] = (number > 0) - (number < 0)
        return sign

    def cones_at(self, X: FloatArray, within: FloatArray) -> AtInputs:
        """What holds at N inputs with outputs known up to ``within`` (N, 2, m): below and above, both 0 or neither.

        With ``z = a_i x + b_i`` a unit has a lower side iff ``min(z, high) - below > low``, an upper one iff
        ``max(z, low) + above < high``.
        """
        s, within = self.system, np.moveaxis(self.beside(within), 1, 0)
        with np.errstate(all="ignore"):
            products = np.asarray(X @ self.stack.T if matrices.is_dense(self.stack) else (self.stack @ X.T).T)
        known, exactly = (X, products, matrices.row_norms_above(X)), ~within.any(axis=0)
        down, up = np.where(within < np.inf, within, 0.0)
        above, below = (self.signs(*known, [self.bias, -p, by]) for p, by in ((self.low, -down), (self.high, up)))
        lower = (above > 0) & (compared(self.high, -down, self.low) > 0) & (within[0] < np.inf)
        upper = (below < 0) & (compared(self.low, up, self.high) < 0) & (within[1] < np.inf)
        at_low, at_high = (above == 0) & upper & exactly, (below == 0) & lower & exactly
        outside = np.less(X, s.box_low).any(axis=1) | np.greater(X, s.box_high).any(axis=1)
        inside = np.asarray(~outside & ~(above[:, self.m :] > 0).any(axis=1))
        at, has_low, has_high = s.box_low == s.box_high, np.isfinite(s.box_low), np.isfinite(s.box_high)
        tangent = (lower & upper & exactly, at), (at_low, (s.box_high == X) & ~at), (at_high, (s.box_low == X) & ~at)
        both = lower & upper, has_low & has_high
        recession = both, (upper & ~lower, has_high & ~has_low), (lower & ~upper, has_low & ~has_high)
        cones = [Cone(*(self.nonzero & self.whole(*sides) for sides in cone)) for cone in (tangent, recession)]
        return AtInputs(cones[0], cones[1], inside, products)


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


def sides_of(rows: Rows, output: FloatArray, within: FloatArray) -> Sides:
    """The sides that ``output[0] - within[0] <= y <= output[1] + within[1]`` puts on all rows."""
    s, output, slack = rows.system, rows.beside(output), rows.beside(within) * np.array([[-1.0], [1.0]])
    least, most = ([compared(output[i], slack[i], clip) for clip in (rows.low, rows.high)] for i in (0, 1))
    has_low, has_high = least[0] > 0, most[1] < 0
    empty = (most[0] < 0) | (least[1] > 0)
    equal = (slack == 0).all(axis=0) & (output[0] == output[1]) & has_low & has_high
    finite = [np.where(np.isfinite(end), end, 0.0) for end in (*output, s.box_low, s.box_high)]
    bias = rows.whole(-rows.bias, 0.0)
    return Sides(
        [rows.whole(finite[0], finite[2]), rows.whole(slack[0], 0.0), bias],
        [rows.whole(finite[1], finite[3]), rows.whole(slack[1], 0.0), bias],
        rows.whole(has_low, np.isfinite(s.box_low)),
        rows.whole(has_high, np.isfinite(s.box_high)),
        rows.whole(equal, s.box_low == s.box_high),
        bool(empty.any() or (s.box_low > s.box_high).any()),
    )


def compared(y: FloatArray, slack: FloatArray, threshold: FloatArray) -> IntArray:
    """The exact signs of ``y + slack - threshold``, of which y and the threshold may be infinite."""
    y, slack, threshold = np.broadcast_arrays(y, slack, threshold)
    with np.errstate(all="ignore"):
        sums = np.where(np.isinf(threshold), y, y + slack)
    # rounding is monotone, and a finite threshold a float: no sum comes to lie on its other side
    sign = np.greater(sums, threshold).astype(np.int64) - np.less(sums, threshold)
    for place in np.argwhere((sign == 0) & (slack != 0) & np.isfinite(threshold)):
        number = exact.total([float(term[tuple(place)]) for term in (y, slack, -threshold)])
        sign[tuple(place)] = (number > 0) - (number < 0)
    return sign
