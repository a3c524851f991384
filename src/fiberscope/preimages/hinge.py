"""Newton's method on the squared hinge: a strict direction of a cone or multipliers, for many cones at a time.

For a cone ``{d : H d = 0, W d <= 0}`` with unit rows, minimise over null(H)

    f(d) = 1/2 sum_i max(0, w_i d + 1)^2,    gradient  W^T lambda  with  lambda_i = max(0, w_i d + 1) >= 0.

If some d has ``W d < 0``, a multiple of it makes f vanish. If none has, f has a minimum, and the lambda there satisfy
``H^T mu + W^T lambda = 0``: they are the multipliers that show it, on few rows, and correct to rounding, because f is
quadratic around its minimum (O. L. Mangasarian, A finite Newton method for classification, 2002). Only the rows with
lambda > 0 enter a step, a few hundred of thousands, so that a step costs little beside one product with all rows; those
products are made for all cones together.

What is found is a guess until it is proved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.dense import independent_rows
from fiberscope.preimages.null_space import DependentRowsError, NullSpace
from fiberscope.preimages.row_pool import RowPool
from fiberscope.preimages.tensors import cholesky, cholesky_solve, gram, norm, numbers, product

MAX_STEPS = {torch.float32: 25, torch.float64: 60}
"""Generic cones take 5 to 20 steps; near the border, where float64 is used, some take 50."""
STRICT_ENOUGH = 0.1
"""A direction is taken as soon as all slopes are below minus this; where f vanishes they are below -1."""
STRICTNESS = 1e-9
"""What must be left of that, per unit length, in float64."""
VANISHING = 1e-11
"""Slopes of unit rows along a random vector of unit length, in float64, that are rounding: the rows depend on H."""
FIRST_ROWS = 1.5
"""The start is scaled so that this many rows per coordinate count in the first step."""
GRADIENT_TOLERANCE = 1e-11
"""Relative to lambda, in float64: then the correction of the multipliers is smaller than any of them."""
RIDGE = {torch.float32: 3e-5, torch.float64: 1e-11}
"""Added to the Hessian, relative to its mean diagonal: it is singular while fewer rows than coordinates count."""
SHORT, LONG = 0.01, 0.2
"""A step that ends before SHORT of its length went astray in a nearly singular Hessian: the ridge grows. After LONG it
shrinks again (Levenberg and Marquardt)."""
RIDGE_GROWTH = 30.0
MAX_RIDGE = 1e-4
LENGTHS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0, 8.0, 16.0, 64.0)
"""Step lengths between which the zero of the derivative along a step is looked for."""
PARTS = 8
"""Parts of the interval between two of them that holds it; it is linear in between."""
REFINEMENTS = 2
"""Corrections of a direction; each gains what the precision of the search has."""
KEPT_MULTIPLIERS = (1e-3, 1e-6, 0.0)
"""Rows with a multiplier above this share of the largest are kept; what the others added is corrected."""

INVERSE_ITERATIONS = 6


@dataclass(frozen=True, eq=False)
class Cone:
    """``{d : H d = 0, W d <= 0}``, by places in a pool of rows.

    Attributes:
        held: the places of H.
        inequalities: the places of W; None for all that are not held.
        lower: the places of the rows that belong to W with the other sign.
    """

    held: IntArray
    inequalities: IntArray | None = None
    lower: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the search found: a direction, multipliers, or neither.

    Attributes:
        direction: (n,) with ``H d = 0`` up to rounding and ``W d < 0``, or None.
        places: the places of the rows that have multipliers, H first.
        multipliers: of the unit rows, with their signs in W, positive there; empty where there are none.
        margin: the smallest slack of the direction per unit length, or the smallest multiplier on W relative to the
            largest, times the smallest singular value of these rows on null(H); 0 of degenerate cones.
        held: independent rows that span H; of those only that were asked to be looked for.
        vanishing: the places of the rows of W that lie in their span, likewise.
        dependence: with a direction: weights of ``held`` and ``vanishing``, positive there, that cancel.
    """

    direction: FloatArray | None = None
    places: IntArray | None = None
    multipliers: FloatArray | None = None
    margin: float = 0.0
    held: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    vanishing: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    dependence: FloatArray | None = None


NOTHING = Outcome()


def search(
    pool: RowPool,
    cones: Sequence[Cone],
    precision: torch.dtype,
    *,
    degenerate: bool = False,
    budget: Budget = NO_LIMIT,
) -> list[Outcome]:
    """Search all cones in step. In float32 only directions are found: multipliers need float64.

    Args:
        pool: the rows.
        cones: by their places.
        precision: float32, or float64.
        degenerate: look for rows of H that depend on each other, and for those of W that depend on H: directions vanish
            on these, and are strict on the others.
        budget: when it is spent, what is not found by then is not.
    """
    layer_too = any(c.inequalities is None or len(c.lower) or (c.inequalities < pool.layer_rows).any() for c in cones)
    paths = [_Path.of(pool, cone, precision, degenerate=degenerate) for cone in cones]
    walking = [(path, path.start()) for path in paths if path is not None]
    for _ in range(MAX_STEPS[precision]):
        walking = [(path, move) for path, move in walking if not path.done]
        if not walking or budget.is_over:
            break
        slopes = pool.slopes(torch.stack([move for _, move in walking], dim=1), layer_too=layer_too).T.contiguous()
        for i, (path, _) in enumerate(walking):
            path.go(slopes[i])
        walking = [(path, path.step()) for path, _ in walking if not path.done]
    ended = [path for path in paths if path is not None]
    _finish_directions(pool, [path for path in ended if path.found == "direction"], layer_too)
    for path in ended:
        if path.found == "multipliers":
            path.outcome = path.multipliers()
    return [NOTHING if path is None else path.outcome for path in paths]


def _finish_directions(pool: RowPool, paths: list[_Path], layer_too: bool) -> None:
    """Correct directions in float64, until they are zero up to its rounding on the rows that hold them."""
    if not paths:
        return
    directions = torch.stack([(product(path.space.basis, path.u)).to(torch.float64) for path in paths], dim=1)
    for _ in range(REFINEMENTS):
        slopes = pool.slopes(directions)
        for i, path in enumerate(paths):
            directions[:, i] -= path.space.correction(slopes[path.held, i])
    slopes = pool.slopes(directions, layer_too=layer_too).T.contiguous()
    for i, path in enumerate(paths):
        path.outcome = path.direction(directions[:, i], slopes[i])


class _Path:
    """The way of one cone: where it is, and the step that it is about to take."""

    def __init__(self, pool: RowPool, cone: Cone, held: Tensor, space: NullSpace, precision: torch.dtype) -> None:
        device = pool.device
        self.pool, self.space, self.precision, self.held = pool, space, precision, held
        self.ignored = torch.ones(len(pool), dtype=torch.bool, device=device)
        if cone.inequalities is None:
            self.ignored[:] = False
            self.ignored[torch.from_numpy(cone.held).to(device)] = True
        else:
            self.ignored[torch.from_numpy(cone.inequalities).to(device)] = False
        self.lower = torch.from_numpy(cone.lower).to(device)
        self.ignored[self.lower] = False
        self.signs = torch.ones(len(pool), dtype=precision, device=device)
        self.signs[self.lower] = -1.0
        self.u = torch.zeros(space.basis.shape[1], dtype=precision, device=device)
        self.slopes: Tensor | None = None
        self.move = self.u
        self.active = self.vanishing = self.held[:0]
        self.weights = self.u[:0]
        self.rows = torch.empty((0, len(self.u)), dtype=precision, device=device)
        self.place = torch.full((len(pool),), -1, device=device)
        self.ridge = RIDGE[precision]
        self.done = self.degenerate = False
        self.found: Literal["direction", "multipliers"] | None = None
        self.outcome = NOTHING

    @classmethod
    def of(cls, pool: RowPool, cone: Cone, precision: torch.dtype, *, degenerate: bool) -> _Path | None:
        """Prepare; None where the rows of H are not clearly independent, or leave nothing."""
        held = torch.from_numpy(cone.held).to(pool.device)
        space = _null_space(pool.rows(held, precision))
        if space is None and degenerate:
            independent = independent_rows(pool.rows(held, precision).cpu().numpy())
            held = held[torch.from_numpy(independent).to(pool.device)]
            space = _null_space(pool.rows(held, precision))
        if space is None:
            return None
        path = cls(pool, cone, held, space, precision)
        path.degenerate = degenerate
        if degenerate:
            path.set_aside()
        return path

    def set_aside(self) -> None:
        """Leave out the rows of W that vanish wherever those of H do, as a vector of the null space shows."""
        generator = torch.Generator().manual_seed(0)
        u = torch.randn(len(self.u), dtype=self.precision, generator=generator).to(self.pool.device)
        d = product(self.space.basis, u)
        near = self.pool.slopes(d[:, None])[:, 0].abs() <= VANISHING * norm(d)
        self.vanishing = torch.nonzero(near & ~self.ignored)[:, 0]
        self.ignored[self.vanishing] = True

    def start(self) -> Float[Tensor, " n"]:
        """Minus the sum of the rows of W, projected onto the null space."""
        if bool(self.ignored.all()):  # no inequality: any direction of the null space will do
            self.u[0] = 1.0
            self.done, self.found = True, "direction"
            return product(self.space.basis, self.u)
        total = self.pool.total(torch.where(self.ignored, 0.0, self.signs))
        factor = cholesky(self.space.metric())
        if factor is None:  # numbers that overflow
            self.done = True
            return total
        self.move = -cholesky_solve(factor, product(self.space.basis.T, total))
        return product(self.space.basis, self.move)

    def go(self, change: Float[Tensor, " L"]) -> None:
        """Take the step, whose change of all slopes is known now, and see whether that is the end."""
        change = self._signed(change)
        if self.slopes is None:
            self._begin(change)
        else:
            change = torch.where(self.ignored, 0.0, change)
            length = self._length(change)
            if length < SHORT:
                self.ridge = min(self.ridge * RIDGE_GROWTH, MAX_RIDGE)
            elif length > LONG:
                self.ridge = max(self.ridge / RIDGE_GROWTH, RIDGE[self.precision])
            self.u = self.u + length * self.move
            self.slopes = self.slopes + length * change
            self.done = length == 0.0
        assert self.slopes is not None
        if float(self.slopes.max()) < -STRICT_ENOUGH:
            self.done, self.found = True, "direction"

    def _signed(self, slopes: Float[Tensor, " L"]) -> Float[Tensor, " L"]:
        """The slopes of W's rows, given those of the pool's."""
        return slopes * self.signs.to(slopes.dtype) if len(self.lower) else slopes

    def _begin(self, slopes: Float[Tensor, " L"]) -> None:
        slopes = torch.where(self.ignored, -torch.inf, slopes)
        count = int((~self.ignored).sum())
        chosen = min(max(int(FIRST_ROWS * len(self.u)), 1), count)
        threshold = float(torch.topk(slopes, chosen).values[-1])
        scale = 1.0 / abs(threshold) if threshold else 1.0
        self.u, self.slopes = self.move * scale, slopes * scale

    def step(self) -> Float[Tensor, " n"]:
        """The next step: Newton's, on the rows whose hinge is open."""
        assert self.slopes is not None
        hinge = torch.clamp(self.slopes + 1.0, min=0.0)
        self.active = torch.nonzero(hinge)[:, 0]
        self.weights = hinge[self.active]
        rows = self._reduced(self.active)
        gradient = product(rows.T, self.weights)
        if self.precision == torch.float64 and norm(gradient) < GRADIENT_TOLERANCE * norm(self.weights):
            self.done, self.found = True, "multipliers"
            return gradient
        factor = _regularised(gram(rows), self.ridge)
        if factor is None:
            self.done = True
            return product(self.space.basis, self.move)
        self.move = -cholesky_solve(factor, gradient)
        return product(self.space.basis, self.move)

    def _reduced(self, places: Tensor) -> Float[Tensor, "p k"]:
        """Rows in coordinates of the null space; each is computed when it first counts."""
        new = places[self.place[places] < 0]
        if len(new):
            self.place[new] = torch.arange(len(self.rows), len(self.rows) + len(new), device=new.device)
            rows = self.pool.reduced(new, self.space.basis)
            self.rows = torch.cat([self.rows, self.signs[new, None] * rows if len(self.lower) else rows])
        return self.rows[self.place[places]]

    def _length(self, change: Float[Tensor, " L"]) -> float:
        """The zero of f's derivative along the step, which is piecewise linear and grows."""
        assert self.slopes is not None
        near = torch.nonzero((self.slopes > -1.0) | (change > 0.0))[:, 0]
        slope, rate = self.slopes[near] + 1.0, change[near]

        def bracket(lengths: Sequence[float]) -> tuple[list[float], list[float]]:
            """The neighbouring lengths between which the derivative becomes positive, and its values there."""
            at = torch.tensor(lengths, dtype=slope.dtype, device=slope.device)
            derivative = numbers(product(torch.clamp(slope[:, None] + rate[:, None] * at, min=0.0).T, rate))
            after = next((i for i, value in enumerate(derivative) if value >= 0.0), len(lengths))
            span = slice(max(after - 1, 0), after + 1)
            return list(lengths[span]), derivative[span]

        ends, values = bracket(LENGTHS)
        if len(ends) == 2:
            ends, values = bracket(np.linspace(ends[0], ends[1], PARTS + 1).tolist())
        if len(ends) < 2:
            return ends[0]
        return ends[0] + (ends[1] - ends[0]) * values[0] / (values[0] - values[1])

    def direction(self, d: Float[Tensor, " n"], slopes: Float[Tensor, " L"]) -> Outcome:
        """What a direction is worth, given all its slopes."""
        slopes = self._signed(slopes)[~self.ignored]
        slack = -float(slopes.max()) / norm(d) if len(slopes) else 1.0
        if not slack > STRICTNESS:
            return NOTHING
        held, vanishing = (places.cpu().numpy() for places in (self.held, self.vanishing))
        weights = self._dependence() if len(vanishing) else None
        return Outcome(d.cpu().numpy(), None, None, min(slack, 1.0), held, vanishing, weights)

    def _dependence(self) -> FloatArray:
        """Multiplier 1 on every row of W that depends on H, and what cancels them on H."""
        ones = torch.ones(len(self.vanishing), dtype=torch.float64, device=self.pool.device)
        H = self.pool.rows(self.held, torch.float64)
        total = self.pool.combination(self.vanishing, ones * self.signs[self.vanishing])
        return torch.cat([self.space.multipliers(H, total), ones]).cpu().numpy()

    def multipliers(self) -> Outcome:
        """The multipliers at the minimum, on as few rows as will do."""
        for share in KEPT_MULTIPLIERS:
            kept = self.weights > share * self.weights.max()
            places, weights = self.active[kept], self.weights[kept]
            weights = _corrected(self._reduced(places), weights)
            if weights is not None and float(weights.min()) > 0.0:
                H = self.pool.rows(self.held, torch.float64)
                mu = self.space.multipliers(H, self.pool.combination(places, weights * self.signs[places]))
                both = torch.cat([self.held, places])
                margin = 0.0
                if not self.degenerate:
                    smallest = float(weights.min() / weights.max())
                    margin = smallest * _smallest_stretch(self._reduced(places), self.space.metric())
                values, held = torch.cat([mu, weights]).cpu().numpy(), self.held.cpu().numpy()
                return Outcome(None, both.cpu().numpy(), values, margin, held)
        return NOTHING


def _null_space(unit: Float[Tensor, "p n"]) -> NullSpace | None:
    """None where the rows are not clearly independent, or leave nothing."""
    if unit.shape[0] >= unit.shape[1]:
        return None
    try:
        return NullSpace.of(unit)
    except DependentRowsError:
        return None


def _regularised(square: Float[Tensor, "k k"], ridge: float) -> Float[Tensor, "k k"] | None:
    """A Cholesky factor of a semidefinite matrix, shifted as little as is needed; None where its numbers overflow."""
    mean = square.diagonal().mean()
    while ridge < 1.0:
        square.diagonal().add_(ridge * mean)
        factor = cholesky(square)
        if factor is not None:
            return factor
        ridge *= 10.0
    return None


def _corrected(rows: Float[Tensor, "p k"], weights: Float[Tensor, " p"]) -> Float[Tensor, " p"] | None:
    """The change of the weights with the smallest relative size that makes ``rows^T weights`` vanish.

    None where the rows do not span.
    """
    if rows.shape[0] <= rows.shape[1]:
        return None
    weighted = rows * weights[:, None]
    factor = cholesky(gram(weighted))
    if factor is None:
        return None
    for _ in range(2):
        weights = weights - weights * product(weighted, cholesky_solve(factor, product(rows.T, weights)))
    return weights


def _smallest_stretch(rows: Float[Tensor, "p k"], metric: Float[Tensor, "k k"]) -> float:
    """The smallest of ``|rows u| / sqrt(u^T metric u)``, by inverse iteration; 0 where the precision sees none."""
    factor = cholesky(gram(rows))
    if factor is None:
        return 0.0
    u = torch.ones(rows.shape[1], dtype=rows.dtype, device=rows.device)
    square = 0.0
    for _ in range(INVERSE_ITERATIONS):
        image = product(metric, u)
        u = cholesky_solve(factor, image / torch.sqrt(u @ image))
        square = 1.0 / float(torch.sqrt(u @ product(metric, u)))
    return math.sqrt(square) if math.isfinite(square) else 0.0


def smallest_singular_value(rows: Float[Tensor, "p n"]) -> float:
    """An estimate for unit rows, of which there are at least as many as columns; 0 where the precision sees none."""
    return _smallest_stretch(rows, torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device))


__all__ = ["NOTHING", "Cone", "Outcome", "search", "smallest_singular_value"]
