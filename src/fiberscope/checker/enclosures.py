"""How far a preimage reaches along directions: weak duality, from multipliers that nobody vouches for.

Let d lead from an anchor to a point of the preimage, so that ``low_i <= R_i d <= high_i`` on the layer's rows and the
half-spaces, and ``below_j <= d_j <= above_j``. For every w that is positive only where there is an upper side, and
negative only where there is a lower one,

    c d  <=  sum_i (w_i > 0 ? high_i : low_i) w_i  +  sum_j max(r_j below_j, r_j above_j),    r = c - R^T w.

Bounds on coordinates that follow so are a box to begin again with: what is left of r counts for less in it. All is
evaluated in float64 and rounded outwards. Errors are bounded entry by entry, by the sums of absolute values, so that
units of rows and of coordinates mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.checker import exact
from fiberscope.checker.arithmetic import Float
from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    BoolArray,
    FloatArray,
    IntArray,
    Matrix,
    NotProvedError,
    flushes_subnormal_numbers,
    is_dense,
    norm_above,
    relative_error,
)
from fiberscope.checker.system import Rows, System, sides_of

AT_ONCE = 2**22
"""Numbers of a block of multipliers, 32 megabytes."""
TIGHTENINGS = 16
"""How often bounds on coordinates become the box at most: any number is sound, and gains shrink geometrically."""


@dataclass(frozen=True, eq=False)
class Question:
    """Which inputs are meant: those with the output at x, or with one between two, up to ``within``; and an anchor.

    Attributes:
        x: (n,) or None.
        output_low: (m,) or None.
        output_high: (m,) or None.
        within: (m,) at least 0.
        anchor: (n,) x itself, or any point where outputs are given.
        reach: a proved bound on how far the inputs are from the anchor; inf for none.
    """

    x: FloatArray | None
    output_low: FloatArray | None
    output_high: FloatArray | None
    within: FloatArray
    anchor: FloatArray
    reach: float


@dataclass(frozen=True, eq=False)
class Claim:
    """What is said of k directions.

    Attributes:
        directions: (k, n).
        multipliers: two of (k, m + q), for ``-directions`` and for ``directions``: of the layer's rows and half-spaces.
        low: (k,) no point gives less.
        high: (k,) no point gives more.
        points: two of (k, n): points that give little, and much; NaN for none.
        reached_low: (k,) the first give at most that; inf for none.
        reached_high: (k,) the second give at least that; -inf for none.
        center: (n,)
        radius: no point is farther from the center.
    """

    directions: FloatArray
    multipliers: tuple[Any, Any]
    low: FloatArray
    high: FloatArray
    points: tuple[FloatArray, FloatArray]
    reached_low: FloatArray
    reached_high: FloatArray
    center: FloatArray
    radius: float


@dataclass(frozen=True, eq=False)
class Bounds:
    """What multipliers prove, from the anchor: ``-low <= c d <= high`` up to nothing; both include ``error``.

    Attributes:
        low: (k,) upper bounds on ``-c d``.
        high: (k,) upper bounds on ``c d``.
        error: two of (k,): how much of these is rounding.
        below: (n,) ``d_j >= below_j``, by these where they are about coordinates, and by the domain.
        above: (n,) ``d_j <= above_j``, likewise.
    """

    low: FloatArray
    high: FloatArray
    error: tuple[FloatArray, FloatArray]
    below: FloatArray
    above: FloatArray

    def widened(self, times: float, directions: FloatArray) -> Bounds:
        """Less than what was proved, by a multiple of what is rounded."""
        low, high = (side + times * error for side, error in zip((self.low, self.high), self.error, strict=True))
        column, unit = _single(directions)
        free = np.zeros(len(self.below), dtype=np.bool_)
        free[column[column >= 0]] = True
        below, above = _tightened(
            np.where(free, -np.inf, self.below), np.where(free, np.inf, self.above), column, unit, low, high
        )
        return Bounds(low, high, self.error, below, above)


@dataclass(frozen=True, eq=False)
class Gaps:
    """``low <= R d <= high`` on the preimage, (m + q,), rounded outwards; infinite where there is no side."""

    low: FloatArray
    high: FloatArray


def prove(system: System, question: Question, claim: Claim) -> str:
    """Why a claim is not proved; empty where it is."""
    try:
        with np.errstate(all="ignore"):
            return _Proof(system, question).reason(claim)
    except NotProvedError as failure:
        return str(failure)
    except Exception as error:  # garbage may fail anywhere
        return f"the enclosure is malformed: {type(error).__name__}: {error}"


def bounds(system: System, question: Question, directions: FloatArray, multipliers: tuple[Any, Any]) -> Bounds:
    """What multipliers prove of directions.

    Raises:
        NotProvedError: the question says nothing.
    """
    with np.errstate(all="ignore"):
        return _Proof(system, question).bounds(directions, multipliers)


def inside(system: System, question: Question, points: FloatArray) -> BoolArray:
    """(N,) which points (N, n) are inputs that are meant, exactly."""
    with np.errstate(all="ignore"):
        return _Proof(system, question).inside(points)


def gaps(system: System, question: Question) -> Gaps:
    """Where rows lie beside the anchor."""
    with np.errstate(all="ignore"):
        return _Proof(system, question).gaps


def radius_of(bounds: Bounds, question: Question, center: FloatArray) -> float:
    """How far points of the preimage can be from a center: by the box of bounds, or by the question's reach."""
    anchor = question.anchor
    with np.errstate(all="ignore"):
        apart = center - anchor
        rounding = 2.0**-50 * (np.abs(center) + np.abs(anchor))
        farthest = np.maximum(np.abs(bounds.above - apart), np.abs(bounds.below - apart)) * ROUNDING + rounding
        by_box = norm_above(farthest) if not np.isnan(farthest).any() else np.inf
        away = norm_above(np.abs(apart) + rounding) if apart.any() else 0.0
        return float(min(by_box, (away + question.reach) * ROUNDING if away else question.reach))


def values(directions: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``c x`` for each direction and its point, (k, n) both, and bounds on what is rounded; 0 for signed units."""
    terms = directions * points
    single = ((directions != 0).sum(axis=1) <= 1) & ((directions == 0) | (np.abs(directions) == 1)).all(axis=1)
    error = relative_error(terms.shape[1]) * np.abs(terms).sum(axis=1) + 4.0 * terms.shape[1] * SMALLEST_NORMAL
    return terms.sum(axis=1), np.where(single, 0.0, error)


class _Proof:
    """One question about one system."""

    def __init__(self, system: System, question: Question) -> None:
        if flushes_subnormal_numbers():
            raise NotProvedError("this thread flushes subnormal numbers to zero, so no error bound holds")
        system.check()
        self.system, self.question = system, question
        self.rows = Rows(system, Float())
        _check(question, self.rows)
        self.has_low, self.has_high = self._sides()
        self.gaps = self._gaps()

    def _sides(self) -> tuple[BoolArray, BoolArray]:
        """(m + q,) which rows of the stack have a lower side, and an upper one."""
        rows, known = self.rows, self.question
        if known.x is not None:
            _, recession, within_domain = rows.cones_at(known.x[None], known.within)
            if not within_domain[0]:
                raise NotProvedError("x lies outside the domain")
        else:
            assert known.output_low is not None, "a question has an input or outputs"
            assert known.output_high is not None, "both sides are given"
            _, recession = sides_of(rows, known.output_low, known.output_high, known.within).cones(rows.nonzero)
        low, high = (recession.equal | side for side in (recession.lower, recession.upper))
        return low[0, rows.places], high[0, rows.places]

    def _gaps(self) -> Gaps:
        s, m, known = self.system, self.rows.m, self.question
        constant = np.concatenate([s.bias, -s.h])
        size = np.abs(self.rows.stack) @ np.abs(known.anchor) + np.abs(constant)
        value = self.rows.stack @ known.anchor + constant
        error = relative_error(self.rows.n + 1) * size + 4.0 * (self.rows.n + 2) * SMALLEST_NORMAL
        least, most = value - error, value + error  # their rounding is within the error's
        if known.x is not None:  # the output at x itself: there, clip(z) - z falls as z grows
            up, down = self._cut(least[:m]), self._cut(most[:m])
        else:
            assert known.output_low is not None, "a question has an input or outputs"
            assert known.output_high is not None, "both sides are given"
            up, down = known.output_high - least[:m], known.output_low - most[:m]
        none = np.zeros(self.rows.q)
        up, down = np.concatenate([up, -least[m:]]), np.concatenate([down, none])
        slack = np.concatenate([known.within, none])
        high = np.where(up == 0, slack, up + slack + 2.0**-50 * (np.abs(up) + slack))
        low = np.where(down == 0, -slack, down - slack - 2.0**-50 * (np.abs(down) + slack))
        return Gaps(np.where(self.has_low, low, -np.inf), np.where(self.has_high, high, np.inf))

    def _cut(self, z: FloatArray) -> FloatArray:
        """``clip(z) - z``; nothing is known of strictly monotone units but that they tell all inputs apart."""
        s = self.system
        return np.where(s.monotone, 0.0, np.maximum(s.low - z, 0.0) - np.maximum(z - s.high, 0.0))

    # ---- bounds

    def bounds(self, directions: FloatArray, multipliers: tuple[Any, Any]) -> Bounds:
        s, known = self.system, self.question
        if directions.dtype != np.float64 or directions.ndim != 2 or directions.shape[1] != self.rows.n:
            raise NotProvedError(f"directions are not made of {self.rows.n} float64 numbers each")
        if not np.isfinite(directions).all():
            raise NotProvedError("directions are not finite")
        below, above = s.box_low - known.anchor, s.box_high - known.anchor
        below = np.maximum(below - 2.0**-52 * np.abs(below), -known.reach)
        above = np.minimum(above + 2.0**-52 * np.abs(above), known.reach)
        parts = [
            self._residuals(sign * directions, w, below, above) for sign, w in zip((-1, 1), multipliers, strict=True)
        ]
        column, unit = _single(directions)
        for _ in range(TIGHTENINGS):
            found = [part.largest(below, above, known.reach) for part in parts]
            tighter = _tightened(below, above, column, unit, found[0][0], found[1][0])
            if all(np.array_equal(new, old) for new, old in zip(tighter, (below, above), strict=True)):
                break
            below, above = tighter
        (low, low_error), (high, high_error) = (part.largest(below, above, known.reach) for part in parts)
        below, above = _tightened(below, above, column, unit, low, high)
        return Bounds(low, high, (low_error, high_error), below, above)

    def _residuals(self, directions: FloatArray, multipliers: Any, below: FloatArray, above: FloatArray) -> _Residuals:
        """What multipliers leave of directions."""
        stack, (count, n) = self.rows.stack, directions.shape
        if not isinstance(multipliers, np.ndarray) or multipliers.dtype not in (np.float32, np.float64):
            raise NotProvedError("multipliers are no float numbers")
        if multipliers.shape != (count, stack.shape[0]):
            raise NotProvedError(f"there are not {stack.shape[0]} multipliers for each of {count} directions")
        sizes, infinite = np.abs(stack), np.flatnonzero(np.isinf(below) | np.isinf(above))
        out = _Residuals(np.zeros(count), np.zeros(count), np.zeros((count, n)), np.zeros((count, n)))
        for some in _blocks(count, max(n, stack.shape[0])):
            w, c = multipliers[some].astype(np.float64), directions[some]
            out.cost[some], out.cost_error[some] = self._costs(w)
            size = _product(np.abs(w), sizes)
            residual = c - _product(w, stack)
            error = relative_error(stack.shape[0] + 1) * (np.abs(c) + size)
            error += 4.0 * (stack.shape[0] + 1) * SMALLEST_NORMAL
            error[~w.any(axis=1)] = 0.0
            if len(infinite):
                self._settle(residual, error, c, w, infinite)
            finite = np.isfinite(residual).all(axis=1) & np.isfinite(error).all(axis=1)
            out.cost[some] = np.where(finite, out.cost[some], np.inf)
            out.residual[some], out.error[some] = residual, error
        return out

    def _costs(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``sum_i (w_i > 0 ? high_i : low_i) w_i``, inf where a side is not there, and bounds on what is rounded."""
        up, down = np.where(w > 0, w, 0.0), np.where(w < 0, w, 0.0)
        high, low = (np.where(np.isfinite(side), side, 0.0) for side in (self.gaps.high, self.gaps.low))
        cost = up @ high + down @ low
        size = up @ np.abs(high) - down @ np.abs(low)
        wrong = ((w > 0) & ~np.isfinite(self.gaps.high)) | ((w < 0) & ~np.isfinite(self.gaps.low)) | ~np.isfinite(w)
        terms = 2 * w.shape[1]
        error = relative_error(terms) * size + np.where(w.any(axis=1), 4.0 * terms * SMALLEST_NORMAL, 0.0)
        return np.where(wrong.any(axis=1), np.inf, cost), error

    def _settle(self, residual: FloatArray, error: FloatArray, c: FloatArray, w: FloatArray, columns: IntArray) -> None:
        """Make residuals exact in columns without an end, where the sign of what may be 0 decides all."""
        part = self.rows.stack[:, columns]
        met = _product((w != 0).astype(np.float64), (part != 0).astype(np.float64)) > 0
        error[:, columns] = np.where(met, error[:, columns], 0.0)
        doubtful = (np.abs(residual[:, columns]) <= error[:, columns]) & (error[:, columns] > 0)
        asked = np.flatnonzero(doubtful.any(axis=1) & np.isfinite(w).all(axis=1))
        if len(asked) * len(columns) * w.shape[1] > exact.MAX_ENTRIES:
            return
        for k in asked:
            here = columns[doubtful[k]]
            across = self.rows.stack[:, here]
            across = np.ascontiguousarray(across.T) if is_dense(across) else across.T.tocsr()
            for j, number in zip(here, exact.products(across, w[k]), strict=True):
                left = exact.total([float(c[k, j])]) - number
                residual[k, j] = float(left)
                error[k, j] = abs(float(left)) * 2.0**-50 + SMALLEST_NORMAL if left else 0.0

    # ---- points

    def inside(self, points: FloatArray) -> BoolArray:
        """Which points are meant, exactly; NaN is none."""
        s, rows, known = self.system, self.rows, self.question
        ok = np.isfinite(points).all(axis=1)
        X = np.where(ok[:, None], points, known.anchor)
        ok &= ~(np.less(X, s.box_low).any(axis=1) | np.greater(X, s.box_high).any(axis=1))
        chosen = np.flatnonzero(ok)
        for some in _blocks(len(chosen), max(rows.n, rows.stack.shape[0])):
            ok[chosen[some]] = self._inside_rows(X[chosen[some]])
        return ok

    def _inside_rows(self, X: FloatArray) -> BoolArray:
        s, rows, known, none = self.system, self.rows, self.question, np.zeros(self.rows.q)
        products = _product_of_points(X, rows.stack)
        constant, within = np.concatenate([s.bias, -s.h]), np.concatenate([known.within, none])
        high, low, moving = self._outputs()
        above = rows.signs(X, products, [constant, -np.concatenate([high, none]), -within])
        below = rows.signs(X, products, [constant, -np.concatenate([low, none]), within])
        still = ~np.concatenate([moving, np.zeros(rows.q, dtype=np.bool_)])
        wrong = ((above > 0) & self.has_high & still) | ((below < 0) & self.has_low & still)
        out = ~wrong.any(axis=1)
        if moving.any():
            out &= self._moves_little(X, products, np.flatnonzero(moving))
        return out

    def _outputs(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        """(m,) the known outputs, and which move with x, for which these say nothing."""
        s, rows, known = self.system, self.rows, self.question
        if known.x is None:
            assert known.output_low is not None, "a question has an input or outputs"
            assert known.output_high is not None, "both sides are given"
            return known.output_high, known.output_low, np.zeros(rows.m, dtype=np.bool_)
        products = _product_of_points(known.x[None], rows.stack)
        above_low, above_high = (rows.signs(known.x[None], products, [s.bias, -side])[0] for side in (s.low, s.high))
        moving = ((above_low > 0) & (above_high < 0)) | s.monotone
        value = np.where(moving, 0.0, np.where(above_low <= 0, s.low, s.high))
        return value, value, moving

    def _moves_little(self, X: FloatArray, products: FloatArray, units: IntArray) -> BoolArray:
        """Whether ``R_i (x' - x)`` lies between ``-within_i`` and ``within_i``, where there are such sides, exactly."""
        known, rows = self.question, self.rows
        assert known.x is not None, "only the output at an input moves with it"
        matrix, most = rows.stack[units], np.where(self.has_high[units], known.within[units], np.inf)
        least = np.where(self.has_low[units], -known.within[units], -np.inf)
        size = _product_of_points(np.abs(X) + np.abs(known.x), np.abs(matrix))
        moved = products[:, units] - matrix @ known.x
        error = relative_error(rows.n + 1) * size + 4.0 * (rows.n + 2) * SMALLEST_NORMAL  # and that of comparing
        certain = (moved + error <= most) & (moved - error >= least)
        out = certain.all(axis=1) | (known.x == X).all(axis=1)
        possible = ~((moved - error > most) | (moved + error < least)).any(axis=1)
        for j in np.flatnonzero(possible & ~out):
            left = np.flatnonzero(~certain[j])
            there, here = exact.products(matrix[left], X[j]), exact.products(matrix[left], known.x)
            ends = zip(least[left].tolist(), most[left].tolist(), strict=True)
            out[j] = all(low <= a - b <= high for a, b, (low, high) in zip(there, here, ends, strict=True))
        return out

    # ---- claims

    def reason(self, claim: Claim) -> str:
        """Why a claim is not proved; empty where it is."""
        k, n = claim.directions.shape
        for array, shape in (
            (claim.low, (k,)), (claim.high, (k,)), (claim.reached_low, (k,)), (claim.reached_high, (k,)),
            (claim.points[0], (k, n)), (claim.points[1], (k, n)), (claim.center, (n,)),
        ):  # fmt: skip
            if array.dtype != np.float64 or array.shape != shape:
                raise NotProvedError("bounds, points or the center have another shape, or are no float64 numbers")
        found = self.bounds(claim.directions, claim.multipliers)
        low, high = ends(found, self.question, claim.directions)
        if not (claim.low <= low).all():
            return f"{_first(~(claim.low <= low))} is not bounded from below as claimed"
        if not (claim.high >= high).all():
            return f"{_first(~(claim.high >= high))} is not bounded from above as claimed"
        if not claim.radius >= radius_of(found, self.question, claim.center):
            return "the radius is not proved"
        for points, reached, sign, none in (
            (claim.points[0], claim.reached_low, -1.0, np.inf), (claim.points[1], claim.reached_high, 1.0, -np.inf)
        ):  # fmt: skip
            asked = np.flatnonzero(reached != none)
            value, error = values(claim.directions[asked], points[asked])
            attained = sign * value - error >= sign * reached[asked]
            if not attained.all():
                return f"{_first(~attained, asked)} is not reached as claimed"
            hit = self.inside(points[asked])
            if not hit.all():
                return f"the point that is to reach {_first(~hit, asked)} is none of the preimage"
        return ""


@dataclass(frozen=True, eq=False)
class _Residuals:
    """What is left of directions c: costs (k,) of multipliers, ``r = c - R^T w`` (k, n), and bounds on their errors."""

    cost: FloatArray
    cost_error: FloatArray
    residual: FloatArray
    error: FloatArray

    def largest(self, below: FloatArray, above: FloatArray, reach: float) -> tuple[FloatArray, FloatArray]:
        """Upper bounds on ``c d`` over a box and a ball, and how much of them is rounding, which they include."""
        value, error = np.empty(len(self.cost)), np.empty(len(self.cost))
        for some in _blocks(len(value), len(below)):
            r, e = self.residual[some], self.error[some]
            terms = _most(r, e, below, above)
            plain = _most(r, np.zeros_like(e), below, above)
            total, size = terms.sum(axis=1), np.abs(terms).sum(axis=1)
            rounding = relative_error(len(below) + 2) * (size + np.abs(self.cost[some])) + self.cost_error[some]
            rounding += np.where((r != 0).any(axis=1), 8.0 * len(below) * SMALLEST_NORMAL, 0.0)
            value[some] = self.cost[some] + total + rounding
            error[some] = rounding + np.abs(total - plain.sum(axis=1))
            if reach < np.inf:  # the ball alone
                length = np.array([norm_above(each) for each in np.abs(r) + e]) * reach * ROUNDING
                by_ball = self.cost[some] + length
                by_ball += 2.0**-50 * (np.abs(self.cost[some]) + length) + self.cost_error[some]
                nearer = by_ball < value[some]
                value[some] = np.where(nearer, by_ball, value[some])
                error[some] = np.where(nearer, by_ball * 2.0**-44 + self.cost_error[some], error[some])
        value = np.where(np.isnan(value), np.inf, value)
        return value, np.where(np.isfinite(value), error, 0.0)


def ends(found: Bounds, question: Question, directions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(k,) what ``c x`` is at least, and at most: bounds from the anchor, and what is rounded when they are moved."""
    with np.errstate(all="ignore"):
        value, error = values(directions, np.broadcast_to(question.anchor, directions.shape))
        out = [
            sign * value + side + np.where(side == 0, error, error + 2.0**-50 * (np.abs(value) + np.abs(side)))
            for sign, side in ((-1.0, found.low), (1.0, found.high))
        ]
        return -out[0], out[1]


def _most(r: FloatArray, e: FloatArray, below: FloatArray, above: FloatArray) -> FloatArray:
    """The largest ``s d`` for ``|s - r| <= e`` and d between two ends, which may be infinite: 0 times these is 0."""
    up, down = r + e * ROUNDING, r - e * ROUNDING
    corners = [factor * end for factor in (up, down) for end in (below, above)]
    return np.max([np.where(np.isnan(corner), 0.0, corner) for corner in corners], axis=0)


def _tightened(
    below: FloatArray, above: FloatArray, column: IntArray, unit: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The box with what is proved of directions ``unit e_column``; column -1 for others."""
    some = np.flatnonzero(column >= 0)
    at, up = column[some], unit[some] > 0
    most, least = np.where(up, high[some], low[some]), -np.where(up, low[some], high[some])
    below, above = below.copy(), above.copy()
    np.minimum.at(above, at, most)
    np.maximum.at(below, at, least)
    return below, above


def _single(directions: FloatArray) -> tuple[IntArray, FloatArray]:
    """Which directions are coordinates or their negatives: the coordinate, or -1; and the sign."""
    single = ((directions != 0).sum(axis=1) == 1) & (np.abs(directions).sum(axis=1) == 1)
    column = np.where(single, np.abs(directions).argmax(axis=1), -1)
    return column, np.where(single, directions.sum(axis=1), 0.0)


def _check(question: Question, rows: Rows) -> None:
    m, n = rows.m, rows.n
    for array, length in ((question.x, n), (question.within, m), (question.anchor, n)):
        if array is not None and (
            array.dtype != np.float64 or array.shape != (length,) or not np.isfinite(array).all()
        ):
            raise NotProvedError(f"an input or a precision is not made of {length} finite float64 numbers")
    for side in (question.output_low, question.output_high):
        if side is not None and (side.dtype != np.float64 or side.shape != (m,) or np.isnan(side).any()):
            raise NotProvedError(f"an output is not made of {m} float64 numbers")
    given = question.x is None, question.output_low is None, question.output_high is None
    if given not in ((False, True, True), (True, False, False)) or (question.within < 0).any():
        raise NotProvedError(
            "exactly one of an input and an output must be given, and a precision that is not negative"
        )
    if question.x is not None and not np.array_equal(question.x, question.anchor):
        raise NotProvedError("the anchor is not x")
    if not question.reach >= 0:
        raise NotProvedError("the reach is no distance")


def _blocks(count: int, width: int) -> Iterator[slice]:
    step = max(1, AT_ONCE // max(1, width))
    return (slice(start, start + step) for start in range(0, count, step))


def _product(w: FloatArray, matrix: Matrix) -> FloatArray:
    """``w A`` for rows w."""
    return w @ matrix if is_dense(matrix) else np.asarray((matrix.T @ w.T).T)


def _product_of_points(X: FloatArray, matrix: Matrix) -> FloatArray:
    """``A x`` for rows x."""
    return X @ matrix.T if is_dense(matrix) else np.asarray((matrix @ X.T).T)


def _first(wrong: BoolArray, numbers: IntArray | None = None) -> str:
    first = int(np.argmax(wrong))
    return f"direction {first if numbers is None else int(numbers[first])}"


__all__ = ["Bounds", "Claim", "Gaps", "Question", "bounds", "ends", "gaps", "inside", "prove", "radius_of", "values"]
