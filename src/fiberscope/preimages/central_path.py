"""Which of a cone in an orthant and its polar has an interior: one path of interior points that ends in an answer.

After signs and with slacks the cone is ``{x >= 0 : M x = 0}``. From ``x = 1`` on, with ``r = M 1``, follow

    minimise rho   subject to   M x = rho r,   sum_j x_j + rho = n + 1,   x >= 0,   rho >= 0

and its dual, to ``s = -M^T y - lambda >= 0`` with the largest lambda. Both have an interior point to start at, x = 1
and rho = 1, or y = 0 and lambda = -1. Where the cone is {0}, lambda becomes positive, and then ``-M^T y >= lambda > 0``
are multipliers. Where it is not, rho tends to 0, and x to the middle of the smallest face that holds the cone: what of
it tends to 0 vanishes on all of the cone [A. J. Goldman & A. W. Tucker, 1956; O. Gueler & Y. Ye, 1993]. Steps are those
of S. Mehrotra (1992). Each factors ``M D M^T``, as large as there are rows. Cones near the border, on which a
projection by products takes thousands of steps, take 10 to 25 of these. What is found is a guess until it is proved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.errors import MemoryLimitError
from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, is_sparse, scaled, sparse_rows, weighted_columns
from fiberscope.network.signs import row_norms
from fiberscope.network.sparse_rows import side_by_side
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.cholesky import Cholesky, narrow_order, raised, square_of
from fiberscope.preimages.cone_projection import OrthantCones, OrthantRows, Projected, multipliers_of, written_ray

MAX_STEPS = 40
BACK = 0.99
"""The share of the way to the boundary that a step takes at most."""
RIDGE = 1e-13
"""Relative to the diagonal, for rows that depend on each other."""
REFINEMENTS = 1
CORRECTIONS = 4
ATTEMPTS = 8
UNCLEAR = 0.25
"""The share of a face's coordinates that turn out not to move beyond which the path has to be followed further."""
STRICT = 1e-9
"""What entries of a ray exceed, relative to the largest."""
RESIDUAL = 1e-13
"""What rows of unit length may leave of a ray, per length."""
SEPARATED = 1e-6
"""Of the largest coordinate and the largest slack, the products of pairs at which faces are told apart; a face that is
too small is a ray as well."""
RESOLVED = 1e-16
"""Products of pairs below this share are rounding noise."""


def follow(rows: OrthantRows, cone: OrthantCones, budget: Budget = NO_LIMIT) -> Projected | None:
    """A ray of a cone in the orthant, or multipliers that show that it is {0}; None where the path ends without either.

    Args:
        rows: of which every coordinate has a bound.
        cone: one cone.
        budget: when to end.
    """
    system = _System.of(rows, cone)
    if not len(system.coordinates):
        return None  # nothing may move
    try:
        check_matrix("a Gram matrix of rows", system.M.shape[0], system.M.shape[0])
        return Path(system).run(budget)
    except (LinAlgError, MemoryLimitError):
        return None


class Cone(ABC):
    """``{x >= 0 : M x = 0}``, and what is written of an answer.

    Attributes:
        M: (q, n) rows of unit length.
        separated: the gap at which the path tells faces apart.
    """

    M: Rows
    separated = SEPARATED

    @abstractmethod
    def multipliers(self, weights: Float64[FloatArray, " q"]) -> Projected | None:
        """What weights with ``M^T weights > 0`` show."""

    @abstractmethod
    def written(self, z: Float64[FloatArray, " n"]) -> Projected | None:
        """What z >= 0 is, on which the rows vanish; None where they do not, or it says nothing."""

    def ray(self, x: Float64[FloatArray, " n"]) -> Projected | None:
        """The ray near x >= 0 with the same zeros, and zeros where no positive number is near; None where many are not.

        Near is meant by weights 1 / x^2, so that small entries move little.
        """
        for _ in range(ATTEMPTS):
            z = self.corrected(x)
            small = (x > 0) & ~(z > STRICT * z.max())
            if not z.max() > 0 or small.sum() > UNCLEAR * np.count_nonzero(x):
                return None
            if not small.any():
                missed = np.abs(self.M @ z).max(initial=0.0) > RESIDUAL * float(np.linalg.norm(z))
                return None if missed else self.written(z / z.max())
            x = np.where(small, 0.0, x)
        return None

    def corrected(self, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, " n"]:
        """The vector next to x on which the rows vanish, with the same zeros; it may have other signs."""
        moving = np.flatnonzero(x)
        part = cast(Rows, cast(Any, self.M)[:, moving])
        part, z = part[np.flatnonzero(row_norms(part) > 0)], x[moving]
        weighted = weighted_columns(part, z)
        factor = _factored(weighted)
        for _ in range(CORRECTIONS):
            z = z - x[moving] * cast(FloatArray, weighted.T @ factor.solve(part @ z))
        out = np.zeros(len(x))
        out[moving] = z
        return out


@dataclass(frozen=True, eq=False)
class _System(Cone):
    """``{x >= 0 : M x = 0}``, and what it stands for.

    Attributes:
        rows: of all cones.
        cone: the cone.
        M: (q, n) the signed rows that the cone has, of unit length, on coordinates with one bound; then their slacks.
        places: (q,) of these rows.
        factors: (q,) what they were multiplied by.
        coordinates: those with one bound.
        sided: the places in ``places`` of rows with a slack.
    """

    rows: OrthantRows
    cone: OrthantCones
    M: Rows
    places: IntArray
    factors: FloatArray
    coordinates: IntArray
    sided: IntArray

    @classmethod
    def of(cls, rows: OrthantRows, cone: OrthantCones) -> _System:
        """Those of the rows that read a coordinate which may move."""
        (equal,), (upper,), (lower,) = cone.equal, cone.upper, cone.lower
        signs = rows.signs
        coordinates = np.flatnonzero(signs)
        named = np.flatnonzero(equal | upper | lower)
        part = cast(Rows, cast(Any, weighted_columns(rows.unit[named], signs))[:, coordinates])
        norms = row_norms(part)
        live = np.flatnonzero(norms > 0)
        if is_sparse(part):  # every step factors a Gram matrix of these rows
            live = live[narrow_order(square_of(part[live]))]
        places = named[live]
        factors = np.where(lower[places], -1.0, 1.0) / norms[live]
        sided = np.flatnonzero((upper | lower)[places])
        M = _with_slacks(scaled(part[live], factors), sided)
        return cls(rows, cone, M, places, factors, coordinates, sided)

    def multipliers(self, weights: Float64[FloatArray, " q"]) -> Projected | None:
        """What weights with ``M^T weights > 0`` show."""
        out = np.zeros(len(self.rows.upper))
        out[self.places] = weights * self.factors
        return multipliers_of(self.rows, self.cone.equal[0], out)

    def written(self, z: Float64[FloatArray, " n"]) -> Projected | None:
        """The ray that z is; None where nothing but slacks is left."""
        count = len(self.coordinates)
        d, held = np.zeros(len(self.rows.signs)), self.cone.equal[0].copy()
        d[self.coordinates] = self.rows.signs[self.coordinates] * z[:count]
        held[self.places[self.sided]] = z[count:] == 0
        return written_ray(self.rows, self.cone, d, held) if d.any() else None


def _with_slacks(part: Rows, sided: IntArray) -> Rows:
    """The rows, and behind them a column of the unit matrix for each of those that are named."""
    q, count = part.shape[0], len(sided)
    if is_sparse(part):
        return side_by_side([part, sparse_rows(np.ones(count), sided, np.arange(count), (q, count))])
    return np.hstack([cast(FloatArray, part), np.eye(q)[:, sided]])


def _factored(rows: Rows) -> Cholesky:
    """Of ``A A^T``, with a diagonal a little larger, for rows that depend on each other."""
    square = square_of(rows)
    return Cholesky(raised(square, RIDGE * square.diagonal()))


class Path:
    """Where the path has got to: x and rho, y and lambda, and the slacks of the latter."""

    def __init__(self, system: Cone) -> None:
        self.system, self.M = system, system.M
        self.across: Any = cast(Any, self.M).T.tocsr() if is_sparse(self.M) else cast(FloatArray, self.M).T
        self.x: FloatArray = np.ones(self.M.shape[1])
        self.y: FloatArray = np.zeros(self.M.shape[0])
        self.rho: float = 1.0
        self.height: float = -1.0
        self.r: FloatArray = self.M @ self.x
        self.before: tuple[FloatArray, FloatArray] = self.x, self.x

    def run(self, budget: Budget) -> Projected | None:
        """Follow it until there is an answer."""
        for _ in range(MAX_STEPS):
            if budget.is_over:
                return None
            if self.height > 0:
                found = self.system.multipliers(-self.y)
                if found is not None:
                    return found
            step = _Step(self)
            found = self._ray(step)
            if found is not None or step.gap < RESOLVED:
                return found
            self._move(step)
        return None

    def _ray(self, step: _Step) -> Projected | None:
        """The ray that x leads to: one inside of all bounds, or one of the face that the path tends to."""
        inside = self.x - self.rho * step.towards(step.of_r)
        if (inside > STRICT * inside.max()).all():
            return self.system.ray(inside)
        if step.gap > self.system.separated:
            return None
        moving = self.x * self.before[1] > step.s * self.before[0]
        return self.system.ray(np.where(moving, self.x, 0.0))

    def _move(self, step: _Step) -> None:
        """A predictor, and a corrector towards the middle by as much as the predictor left [Mehrotra, 1992]."""
        s, last = step.s, step.last
        first = step.newton(-self.x * s, -self.rho * last)
        mean = step.mean(first, *step.reach(first, 1.0))
        aim = step.mean() * (mean / step.mean()) ** 3
        second = step.newton(aim - self.x * s - first.x * first.s, aim - self.rho * last - first.rho * first.last)
        primal, dual = step.reach(second, BACK)
        self.before = self.x, s
        self.x, self.rho = self.x + primal * second.x, self.rho + primal * second.rho
        self.y, self.height = self.y + dual * second.y, self.height + dual * second.height


@dataclass(frozen=True, eq=False)
class _Change:
    """Of x, rho, y, lambda, and of the slacks s and that of rho."""

    x: FloatArray
    rho: float
    y: FloatArray
    height: float
    s: FloatArray
    last: float


class _Step:
    """The factorization at a point of the path, and what is solved by it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.s: FloatArray = -(path.across @ path.y) - path.height
        self.last = 1.0 + float(path.r @ path.y) - path.height
        if not (min(path.x.min(), path.rho, self.s.min(), self.last) > 0 and self.mean() > 0):
            raise LinAlgError("the path has met a bound: float64 follows it no further")
        self.D, self.weight = path.x / self.s, path.rho / self.last
        self.factor = _factored(weighted_columns(path.M, np.sqrt(self.D)))
        self.ends: FloatArray = path.M @ self.D
        self.of_r, self.of_ends = self.solve(path.r), self.solve(self.ends)

    @property
    def gap(self) -> float:
        """The mean product of pairs, relative to the largest coordinate and the largest slack."""
        return self.mean() / float(self.path.x.max()) / float(self.s.max())

    def solve(self, residual: Float64[FloatArray, " q"]) -> Float64[FloatArray, " q"]:
        """Multiply with the inverse of ``M D M^T``."""
        out = self.factor.solve(residual)
        for _ in range(REFINEMENTS):
            out = out + self.factor.solve(residual - self.path.M @ self.towards(out))
        return out

    def towards(self, v: Float64[FloatArray, " q"]) -> Float64[FloatArray, " n"]:
        """``D M^T v``."""
        return self.D * cast(FloatArray, self.path.across @ v)

    def newton(self, products: Float64[FloatArray, " n"], last: float) -> _Change:
        """The change with ``s dx + x ds = products``, and so for rho, that keeps, or restores, all equations."""
        path, r = self.path, self.path.r
        moved = products / self.s
        g = path.rho * r - path.M @ (path.x + moved) + r * (last / self.last)
        short = len(path.x) + 1.0 - float(path.x.sum() + moved.sum()) - path.rho - last / self.last
        plain = self.solve(g)
        mixed = float(r @ self.of_ends)
        matrix = [
            [1.0 / self.weight + float(r @ self.of_r), 1.0 + mixed],
            [-1.0 - mixed, float(self.D.sum() - self.ends @ self.of_ends)],
        ]
        theta, height = np.linalg.solve(matrix, [float(r @ plain), short - float(self.ends @ plain)]).tolist()
        y = plain - self.of_ends * height - self.of_r * theta
        s = -(path.across @ y) - height
        of_last = float(r @ y) - height
        x = (products - path.x * s) / self.s
        return _Change(x, (last - path.rho * of_last) / self.last, y, height, s, of_last)

    def reach(self, change: _Change, share: float) -> tuple[float, float]:
        """How far x and s may move along a change, of at most the whole way."""
        path = self.path
        pairs = (((path.x, path.rho), (change.x, change.rho)), ((self.s, self.last), (change.s, change.last)))
        limits = [float(np.append(-dv / v, -dw / w).max(initial=0.0)) for (v, w), (dv, dw) in pairs]
        primal, dual = (min(1.0, share / limit) if limit > 0 else 1.0 for limit in limits)
        return primal, dual

    def mean(self, change: _Change | None = None, primal: float = 0.0, dual: float = 0.0) -> float:
        """The mean product of pairs, after some of a change."""
        path = self.path
        x, rho, s, last = path.x, path.rho, self.s, self.last
        if change is not None:
            x, rho = x + primal * change.x, rho + primal * change.rho
            s, last = s + dual * change.s, last + dual * change.last
        return float(x @ s + rho * last) / (len(x) + 1)


__all__ = ["Cone", "Path", "follow"]
