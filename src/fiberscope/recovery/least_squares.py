"""Projected Levenberg-Marquardt for many samples at once: ``min 1/2 |r(F(x))|^2`` over a box.

A step solves ``(J^T J + t D) d = -J^T r`` on the coordinates that are not held by the box, J being the Jacobian of the
residuals that count and D the diagonal of ``J^T J``, so that neither units nor pixels have a scale of their own
(K. Levenberg 1944, D. Marquardt 1963). What leaves the box is put back. The damping t falls where the step did what the
model promised, and grows where it did not (J. J. More, The Levenberg-Marquardt algorithm, 1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import perf_counter

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fiberscope.recovery.linearized import Linearized, Model
from fiberscope.recovery.targets import Targets

MAX_STEPS = 200
"""Linearizations of one descent; about ten are usual, and where more are needed, another start helps more."""

MAX_TRIALS = 12
"""Dampings that are tried at one point: eight to the power of that is beyond float64's resolution."""

FIRST_DAMPING, LEAST_DAMPING, HIGHEST_DAMPING = 1e-3, 1e-12, 1e8
"""Relative to the diagonal; the least keeps a singular matrix factorizable in float64."""

STALLED = 1e-7
"""A relative decrease of the objective below which another step is not worth its time, twice in a row."""

EXACT = 2.0**-48
"""Residuals of that share of the numbers' size are rounding."""

DENSE_INPUTS = 2_000
"""Up to so many coordinates ``J^T J`` is written out; beyond, steps are found by conjugate gradients on products."""

CONJUGATE_STEPS, CONJUGATE_SHARE = 200, 0.05
"""When conjugate gradients end: an inexact step that leaves a twentieth of the gradient serves as well."""

BATCH_NUMBERS = 2**24
"""Numbers that the Jacobians of a batch may hold."""


@dataclass(frozen=True, eq=False)
class Fit:
    """Where descents ended.

    Attributes:
        x: (N, n) points of the box.
        objective: (N,) half the squared residuals there.
        steps: (N,) how often each was linearized.
    """

    x: Float64[Tensor, "N n"]
    objective: Float64[Tensor, " N"]
    steps: Int64[Tensor, " N"]


def fit(
    model: Model,
    targets: Targets,
    start: Float64[Tensor, "N n"],
    low: Float64[Tensor, " n"],
    high: Float64[Tensor, " n"],
    until: float = inf,
) -> Fit:
    """Descend from N starts, one per sample.

    Args:
        model: F.
        targets: where ``F(x)`` should be.
        start: the first points; put into the box.
        low: the box; -inf for no bound.
        high: likewise.
        until: when to end, on the clock of ``perf_counter``.
    """
    widest = max(model.inputs, targets.low.shape[1])
    at_once = max(1, BATCH_NUMBERS // (widest * (model.inputs if model.inputs <= DENSE_INPUTS else 1)))
    parts = [
        _Descents(model, targets[rows], start[rows], low, high).run(until)
        for rows in torch.arange(len(start)).split(at_once)
    ]
    return Fit(*(torch.cat([getattr(part, name) for part in parts]) for name in ("x", "objective", "steps")))


class _Descents:
    """Descents of a batch: those that have not ended are linearized together."""

    def __init__(self, model: Model, targets: Targets, start: Tensor, low: Tensor, high: Tensor) -> None:
        self.model, self.targets, self.low, self.high = model, targets, low, high
        self.x = torch.minimum(torch.maximum(start, low), high)
        self.objective = torch.full((len(start),), inf, dtype=torch.float64)
        self.damping = torch.full((len(start),), FIRST_DAMPING, dtype=torch.float64)
        self.steps = torch.zeros(len(start), dtype=torch.int64)
        self.stalls = torch.zeros(len(start), dtype=torch.int64)

    def run(self, until: float) -> Fit:
        going = torch.arange(len(self.x))
        self.objective = _objective(self.targets.residuals(self.model.values(self.x)))
        for _ in range(MAX_STEPS):
            if not len(going) or perf_counter() > until:
                break
            going = going[self._step(going)]
        return Fit(self.x, self.objective, self.steps)

    def _step(self, going: Tensor) -> Bool[Tensor, " k"]:
        """One step of some samples; which of them go on."""
        x, targets = self.x[going], self.targets[going]
        around = self.model.linearized(x)
        residuals, counting = targets.residuals(around.values), targets.counting(around.values)
        gradient = around.adjoint(residuals)
        free = ~(((x <= self.low) & (gradient > 0)) | ((x >= self.high) & (gradient < 0)))
        before, steps = self.objective[going], _Steps(around, counting, free)
        live = self._moves(gradient * free, before, around.values)
        self.steps[going[live]] += 1
        waiting, places = live.clone(), torch.arange(len(going))
        for _ in range(MAX_TRIALS):
            rows = places[waiting]
            if not len(rows):
                break
            d, promised = steps.solve(rows, -(gradient * free)[rows], self.damping[going[rows]])
            point = torch.minimum(torch.maximum(x[rows] + d, self.low), self.high)
            reached = _objective(targets[rows].residuals(self.model.values(point)))
            taken = reached < before[rows]
            self._damp(going[rows], (before[rows] - reached) / promised, taken)
            self.x[going[rows[taken]]], self.objective[going[rows[taken]]] = point[taken], reached[taken]
            waiting[rows[taken]] = False
        after = self.objective[going]
        slow = before - after <= STALLED * before
        self.stalls[going] = torch.where(slow, self.stalls[going] + 1, 0)
        return live & ~waiting & (self.stalls[going] < 2)

    def _moves(self, gradient: Tensor, objective: Tensor, values: Tensor) -> Bool[Tensor, " k"]:
        """Whether there is anything left to do: residuals beyond rounding, and a way down."""
        size = values.square().sum(dim=1)
        return (objective > EXACT * EXACT * size) & (gradient != 0).any(dim=1)

    def _damp(self, samples: Tensor, gain: Tensor, taken: Tensor) -> None:
        factor = torch.where(taken & (gain > 0.75), 0.125, torch.where(taken & (gain > 0.25), 1.0, 8.0))
        self.damping[samples] = (self.damping[samples] * factor).clamp(LEAST_DAMPING, HIGHEST_DAMPING)


def _objective(residuals: Tensor) -> Float64[Tensor, " N"]:
    return residuals.square().sum(dim=1) / 2


class _Steps:
    """Steps for some samples of a batch, and the decrease that the linear model promises for them."""

    def __init__(self, around: Linearized, counting: Tensor, free: Tensor) -> None:
        self.around, self.counting, self.free = around, counting.double(), free.double()
        self.gram = self._gram() if free.shape[1] <= DENSE_INPUTS else None

    def _gram(self) -> Float64[Tensor, "N n n"]:
        """``J^T J`` on the free coordinates, of the residuals that count."""
        J, used = self.around.jacobian(), self.counting.any(dim=0)
        J = J[:, used]
        weighted = J * self.counting[:, used, None]
        gram = weighted.transpose(1, 2) @ J
        return gram * self.free[:, None] * self.free[:, :, None]

    def solve(self, rows: Tensor, b: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
        """``(J^T J + t D) d = b``, and ``b d - 1/2 d J^T J d``, which the objective would fall by."""
        d, image = self._by_conjugate_gradients(rows, b, damping) if self.gram is None else self._factored(
            self.gram[rows], b, damping
        )
        return d, (b * d).sum(dim=1) - (d * image).sum(dim=1) / 2

    def _factored(self, gram: Tensor, b: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
        diagonal = gram.diagonal(dim1=1, dim2=2)
        largest = diagonal.amax(dim=1, keepdim=True)
        scale = torch.where(diagonal > EXACT * largest, diagonal, largest)  # of what no residual sees, any
        scale = torch.where(scale > 0, scale, 1.0)
        factor, failed = torch.linalg.cholesky_ex(gram + torch.diag_embed(damping[:, None] * scale))
        d = torch.cholesky_solve(b[..., None], factor)[..., 0]
        d = torch.where((failed == 0)[:, None] & torch.isfinite(d), d, 0.0)
        return d, (gram @ d[..., None])[..., 0]

    def _by_conjugate_gradients(self, rows: Tensor, b: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
        """The same with the curvature along b for D, and not to the end."""

        def product(v: Tensor) -> Tensor:
            whole = torch.zeros_like(self.free)
            whole[rows] = v
            seen = self.around.forward(whole * self.free) * self.counting
            return (self.around.adjoint(seen) * self.free)[rows]

        def along(v: Tensor, w: Tensor) -> Tensor:
            return (v * w).sum(dim=1, keepdim=True)

        length = along(b, b)
        damp = damping[:, None] * along(b, product(b)) / torch.where(length > 0, length, 1.0)
        d, image = torch.zeros_like(b), torch.zeros_like(b)
        rest, direction, square = b, b, length
        for _ in range(CONJUGATE_STEPS):
            if bool((square <= CONJUGATE_SHARE**2 * length).all()):
                break
            moved = product(direction)
            curvature = along(direction, moved) + damp * along(direction, direction)
            share = torch.where(curvature > 0, square / torch.where(curvature > 0, curvature, 1.0), 0.0)
            d, image = d + share * direction, image + share * moved
            rest = rest - share * (moved + damp * direction)
            before, square = square, along(rest, rest)
            direction = rest + torch.where(before > 0, square / torch.where(before > 0, before, 1.0), 0.0) * direction
        return d, image


__all__ = ["Fit", "fit"]
