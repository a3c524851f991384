"""Which cones in an orthant are {0}: 1 is projected onto all of them at a time, by products alone.

Where every coordinate has a bound, the recession cone is ``K = {d >= 0 : H d = 0, W d <= 0}``, after signs. With
``mu`` free on the rows of H and at least 0 on those of W, minimise

    f(mu) = 1/2 |max(0, 1 - R^T mu)|^2,    gradient  -R h(mu)  with  h(mu) = max(0, 1 - R^T mu).

At the minimum h is the projection of the vector of ones onto K, and ``1 - h`` lies in the polar cone (J. J. Moreau,
1962). If it is 0, ``c = R^T mu >= 1`` says that ``0 < c d <= 0`` for every other d of K: there is none, and no rank is
asked for. If it is not, it is a ray. Accelerated gradients with restarts (A. Beck & M. Teboulle, 2009; B. O'Donoghue &
E. Candes, 2015) need products with the rows and their transpose, which all cones share; float32 is enough, since signs
are all that multipliers need, and rays are corrected afterwards. Both are guesses until they are proved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, is_sparse, scaled, stacked
from fiberscope.network.signs import row_norms
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.polishing import ray_near

MAX_STEPS = 1_000
"""Generic cones take 25 to 200 steps; after more, another method is tried."""
CHECKED = 25
"""Steps after which answers are looked at; those that are there leave the batch."""
POWER_STEPS = 30
SAFETY = 1.1
"""What power steps may leave of the largest singular value, which steps must not exceed the inverse of."""
CLEAR = 0.01
"""Where the smallest entry of c is at least this, of the 1 that is aimed at, the search ends early."""
SMALL_RESIDUALS = (1e-3, 1e-5, 1e-7)
"""What rows leave of a unit direction when it is tried as a ray; float32 reaches about the last."""
ROUNDING = 2.0**-40
"""Relative to its terms, a sum in float64 that is surely positive; what is proved is checked elsewhere."""
BATCH_MEMORY = 2**28
"""Bytes that the vectors of one batch may take."""
VECTORS = 32
"""Bytes per row or coordinate of one cone."""

_Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OrthantRows:
    """The rows of a layer and of half-spaces, and the bounds of coordinates; zero rows are left out.

    Attributes:
        unit: (L, n) of unit length.
        scales: (L,) what they were divided by.
        upper: (L,) their numbers in candidates.
        lower: (L,) the numbers of their lower sides; of half-spaces -1.
        low: (n,) the numbers of the rows ``-d_j <= 0``, -1 where there is none.
        high: (n,) the numbers of the rows ``d_j <= 0``, -1 where there is none.
    """

    unit: Rows
    scales: FloatArray
    upper: IntArray
    lower: IntArray
    low: IntArray
    high: IntArray

    @classmethod
    def of(cls, layer: ReLULayer, domain: Polyhedron) -> OrthantRows:
        """Scale the rows, and number them."""
        m, n, q = layer.outputs, layer.inputs, len(domain.h)
        low, high = np.isfinite(domain.low), np.isfinite(domain.high)
        rows = stacked(layer.weight, domain.G) if q else layer.weight
        norms = row_norms(rows)
        live = np.flatnonzero(norms > 0)
        numbers = np.where(live < m, live, live + 2 * n)
        places = np.arange(n)
        return cls(
            scaled(rows[live], 1.0 / norms[live]),
            norms[live],
            numbers,
            np.where(live < m, m + 2 * n + q + live, -1),
            np.where(low, m + places, -1),
            np.where(high, m + n + places, -1),
        )

    @property
    def bounds_all(self) -> bool:
        """Whether every coordinate has a bound: then the cones lie in an orthant."""
        return bool(((self.low >= 0) | (self.high >= 0)).all())

    @property
    def signs(self) -> Float64[FloatArray, " n"]:
        """1 where a coordinate has a lower bound only, -1 where it has an upper one only, 0 where it has both."""
        return np.where(self.low >= 0, 1.0, 0.0) - np.where(self.high >= 0, 1.0, 0.0)

    def pinned(self, coordinates: Bool[BoolArray, " n"]) -> OrthantRows:
        """The same, but that some coordinates are held at zero: their bound counts on both sides."""
        bound = np.maximum(self.low, self.high)
        low, high = (np.where(coordinates, bound, numbers) for numbers in (self.low, self.high))
        return replace(self, low=low, high=high)


@dataclass(frozen=True, eq=False)
class OrthantCones:
    """B cones ``{d : H d = 0, W d <= 0}`` within the orthant, by the rows that they have.

    Attributes:
        equal: (B, L) the rows H.
        upper: (B, L) rows that W has, none of H.
        lower: (B, L) rows of which W has minus the row, none of H.
    """

    equal: BoolArray
    upper: BoolArray
    lower: BoolArray

    def __len__(self) -> int:
        return len(self.equal)

    def chosen(self, index: IntArray) -> OrthantCones:
        """Some of the cones."""
        return OrthantCones(self.equal[index], self.upper[index], self.lower[index])

    def smallest(self) -> OrthantCones:
        """A cone within all of them: its rays are rays of each."""
        upper, lower = _any(self.upper), _any(self.lower)
        equal = _any(self.equal) | (upper & lower)
        return OrthantCones(equal, upper & ~equal, lower & ~equal)

    def largest(self) -> OrthantCones:
        """A cone that holds all of them: its multipliers are multipliers of each."""
        equal = ~_any(~self.equal)
        upper, lower = (~_any(~(self.equal | part)) & ~equal for part in (self.upper, self.lower))
        return OrthantCones(equal, upper, lower)

    @classmethod
    def joined(cls, parts: list[OrthantCones]) -> OrthantCones:
        """The cones of several, one after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("equal", "upper", "lower")))


def _any(members: BoolArray) -> BoolArray:
    """(B, L) -> (1, L)."""
    return cast(BoolArray, np.logical_or.reduce(members, axis=0, keepdims=True))


@dataclass(frozen=True, eq=False)
class Projected:
    """What the projection onto one cone says.

    Attributes:
        part: a ray with the rows that hold it, or multipliers that show that the cone is {0}.
        margin: the smallest slope or entry of the ray, per length, of what does not vanish; or the smallest entry of
            c, relative to the largest multiplier.
    """

    part: Direction | Multipliers
    margin: float


def project(
    rows: OrthantRows, cones: OrthantCones, budget: Budget = NO_LIMIT, steps: int = MAX_STEPS
) -> list[Projected | None]:
    """Project the ones onto each cone; None where that takes too many steps, or what it ends in does not hold."""
    L, n = rows.unit.shape
    size = max(1, BATCH_MEMORY // (VECTORS * (L + n)))
    operator = _Operator.of(rows)
    out: list[Projected | None] = []
    for start in range(0, len(cones), size):
        part = cones.chosen(np.arange(start, min(start + size, len(cones))))
        out += _Descent(rows, operator, part).run(budget, steps)
    return out


@dataclass(frozen=True, eq=False)
class _Operator:
    """Products with the rows, in float32 and with the signs of the coordinates."""

    apply: Callable[[_Singles], _Singles]
    adjoint: Callable[[_Singles], _Singles]
    step: float

    @classmethod
    def of(cls, rows: OrthantRows) -> _Operator:
        unit: Any = cast(Any, rows.unit).astype(np.float32)
        across: Any = unit.T.tocsr() if is_sparse(rows.unit) else unit.T
        signs = rows.signs.astype(np.float32)[:, None]

        def apply(d: _Singles) -> _Singles:
            return unit @ (signs * d)

        def adjoint(mu: _Singles) -> _Singles:
            return signs * (across @ mu)

        v = np.random.default_rng(0).standard_normal((len(rows.low), 1)).astype(np.float32)
        largest = 0.0
        for _ in range(POWER_STEPS):
            v = adjoint(apply(v / max(float(np.linalg.norm(v)), float(np.finfo(np.float32).tiny))))
            largest = max(largest, float(np.linalg.norm(v)))
        return cls(apply, adjoint, 1.0 / (SAFETY * largest) if largest > 0 else 1.0)


class _Descent:
    """Accelerated gradients for a batch of cones, of which those leave that have an answer."""

    def __init__(self, rows: OrthantRows, operator: _Operator, cones: OrthantCones) -> None:
        self.rows, self.operator, self.cones = rows, operator, cones
        self.found: list[Projected | None] = [None] * len(cones)
        self.active = np.arange(len(cones))
        self.least, self.most = (
            np.where(cones.equal, sign * np.inf, np.where(part, sign * np.inf, 0.0)).T.astype(np.float32)
            for part, sign in ((cones.lower, -1.0), (cones.upper, 1.0))
        )
        self.mu: _Singles = np.zeros(self.least.shape, dtype=np.float32)
        self.ahead, self.momentum = self.mu, np.ones(len(cones), dtype=np.float32)
        self.tried = np.zeros(len(cones), dtype=np.int64)
        self.ones = np.abs(rows.signs).astype(np.float32)[:, None]

    def run(self, budget: Budget, steps: int) -> list[Projected | None]:
        """Descend until all cones are settled, or the steps or the time are spent."""
        for step in range(1, steps + 1):
            self._step()
            if step % CHECKED == 0:
                self._settle(budget, last=step == steps)
                if not len(self.active) or budget.is_over:
                    break
        return self.found

    def _direction(self, mu: _Singles) -> _Singles:
        return np.maximum(self.ones - self.operator.adjoint(mu), np.float32(0.0))

    def _step(self) -> None:
        gain = self.operator.apply(self._direction(self.ahead))
        new = np.minimum(np.maximum(self.ahead + np.float32(self.operator.step) * gain, self.least), self.most)
        change = new - self.mu
        uphill = np.einsum("lb,lb->b", self.ahead - new, change) > 0
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * self.momentum**2))
        carried = np.where(uphill, 0.0, (self.momentum - 1.0) / following).astype(np.float32)
        self.momentum = np.where(uphill, 1.0, following).astype(np.float32)
        self.ahead, self.mu = new + carried * change, new

    def _settle(self, budget: Budget, *, last: bool) -> None:
        c = self.operator.adjoint(self.mu)
        h = np.maximum(self.ones - c, np.float32(0.0))
        smallest = np.where(self.ones > 0, c, np.inf).min(axis=0)
        residuals = self._residuals(h)
        kept = np.ones(len(self.active), dtype=np.bool_)
        for k, number in enumerate(self.active.tolist()):
            found = None
            if smallest[k] > (0.0 if last else CLEAR):
                found = multipliers_of(self.rows, self.cones.equal[number], self.mu[:, k].astype(np.float64))
            elif self.tried[k] < len(SMALL_RESIDUALS) and residuals[k] < SMALL_RESIDUALS[self.tried[k]]:
                self.tried[k] += 1
                cone = self.cones.chosen(np.array([number]))
                h_k, mu_k = h[:, k].astype(np.float64), self.mu[:, k].astype(np.float64)
                found = _ray(self.rows, cone, h_k, mu_k, budget)
            if found is not None:
                self.found[number], kept[k] = found, False
        if not kept.all():
            self._keep(np.flatnonzero(kept))

    def _residuals(self, h: _Singles) -> Float32[_Singles, " B"]:
        """What the rows of each cone leave of its direction, per length; infinite of a direction that is 0."""
        slopes = self.operator.apply(h)
        missed = np.maximum(np.where(self.most > 0, slopes, 0.0), np.where(self.least < 0, -slopes, 0.0))
        length = np.sqrt(np.einsum("nb,nb->b", h, h))
        size = missed.max(axis=0, initial=0.0)
        return np.where(length > 0, size / np.where(length > 0, length, 1.0), np.inf).astype(np.float32)

    def _keep(self, kept: IntArray) -> None:
        self.active, self.tried, self.momentum = self.active[kept], self.tried[kept], self.momentum[kept]
        self.mu, self.ahead, self.least, self.most = (
            np.ascontiguousarray(part[:, kept]) for part in (self.mu, self.ahead, self.least, self.most)
        )


def multipliers_of(rows: OrthantRows, equal: BoolArray, weights: Float64[FloatArray, " L"]) -> Projected | None:
    """The weights and those of the bounds that balance them; None where one has the wrong sign but for rounding."""
    live, signs = np.flatnonzero(weights), rows.signs
    part, w, bounded = cast(Any, rows.unit[live]), weights[live], signs != 0
    c, terms = signs * (part.T @ w), abs(part).T @ np.abs(w)
    if not (c > ROUNDING * terms)[bounded].all():
        return None
    of_row = equal[live] | (w > 0)  # an equality has one number, whatever the sign of its weight
    bounds = np.where(signs > 0, rows.low, rows.high)[bounded]
    numbers = np.concatenate([np.where(of_row, rows.upper[live], rows.lower[live]), bounds])
    values = np.concatenate([np.where(of_row, w, -w) / rows.scales[live], c[bounded]])
    largest = max(float(np.abs(w).max(initial=0.0)), float(c[bounded].max(initial=0.0)))
    margin = float(c[bounded].min()) / largest if bounded.any() and largest > 0 else 1.0
    return Projected(Multipliers(numbers, values), margin)


def _ray(
    rows: OrthantRows,
    cone: OrthantCones,
    h: Float64[FloatArray, " n"],
    mu: Float64[FloatArray, " L"],
    budget: Budget,
) -> Projected | None:
    """The ray near h >= 0, which is one after signs; rows that weigh are held at zero."""
    (equal,), sides = cone.equal, cone.lower[0] * -1.0 + cone.upper[0]
    signs = rows.signs

    def wrong(d: FloatArray) -> BoolArray:
        return ~(signs * d > 0) & (d != 0)

    found = ray_near(rows.unit, equal | ((sides != 0) & (mu != 0.0)), sides, signs * h, wrong, budget)
    return None if found is None else written_ray(rows, cone, *found)


def written_ray(
    rows: OrthantRows, cone: OrthantCones, d: Float64[FloatArray, " n"], held: Bool[BoolArray, " L"]
) -> Projected:
    """A ray with the numbers of the rows that hold it, of which those of the layer and of half-spaces are given."""
    sides = cone.lower[0] * -1.0 + cone.upper[0]
    slopes = (sides * (rows.unit @ d))[(sides != 0) & ~held]
    vanishing = np.concatenate([rows.low[d == 0], rows.high[d == 0]])
    numbers = np.where((cone.lower[0] & held)[held], rows.lower[held], rows.upper[held])
    slack = min(float((-slopes).min(initial=1.0)), float(np.abs(d[d != 0]).min())) / float(np.linalg.norm(d))
    return Projected(Direction(np.concatenate([numbers, vanishing[vanishing >= 0]]), d), slack)


__all__ = ["OrthantCones", "OrthantRows", "Projected", "multipliers_of", "project", "written_ray"]
