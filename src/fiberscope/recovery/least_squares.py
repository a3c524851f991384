"""Projected Levenberg-Marquardt for many samples at once: ``min 1/2 |r(F(x))|^2`` over a box.

A step minimises ``1/2 |J d + r|^2 + t/2 d D d`` over the steps that stay in the box, J being the Jacobian of the
residuals and D the diagonal of ``J^T J``, so that neither units nor pixels have a scale of their own
(K. Levenberg 1944, D. Marquardt 1963). The damping t falls where the step did what the model promised, and grows where
it did not (J. J. More, The Levenberg-Marquardt algorithm, 1978). A step that is cut off at the box afterwards, instead
of being found in it, takes ten times as many.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from time import perf_counter

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fiberscope.recovery.box_steps import EXACT, steps_of
from fiberscope.recovery.linearized import Model
from fiberscope.recovery.targets import Targets

MAX_STEPS = 200
"""Linearizations of one descent; about ten are usual, and where more are needed, another start helps more."""

MAX_TRIALS = 12
"""Dampings that are tried at one point: eight to the power of that is beyond float64's resolution."""

FIRST_DAMPING, LEAST_DAMPING, HIGHEST_DAMPING = 1e-3, 1e-12, 1e8
"""Relative to the diagonal; the least keeps a singular matrix factorizable in float64."""

STALLED = 1e-7
"""A relative decrease of the objective below which another step is not worth its time, twice in a row."""

SLOW = 2.0**-6
"""The same once the features are met: of what rounding to a precision left open, a valley's floor tells little."""

ENOUGH = 2.0**-10
"""The share of what intervals leave open, a thirtieth of their half widths, below which another step tells nothing."""

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
    at_once = max(1, BATCH_NUMBERS // (model.inputs * max(model.inputs, targets.low.shape[1])))
    parts = [
        _Descents(model, targets[rows], start[rows], low, high).run(until)
        for rows in (torch.arange(first, min(first + at_once, len(start))) for first in range(0, len(start), at_once))
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
        self.known = targets.left_open / 2

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
        linearized = self.model.linearized(x)
        slopes = targets.slopes(linearized.values)
        fall = -linearized.adjoint(slopes * targets.residuals(linearized.values))
        before = self.objective[going]
        held = ((x <= self.low) & (fall < 0)) | ((x >= self.high) & (fall > 0))
        rounding = EXACT * EXACT * linearized.values.square().sum(dim=1)
        live = (before > torch.maximum(rounding, ENOUGH * self.known[going])) & ((fall != 0) & ~held).any(dim=1)
        self.steps[going[live]] += 1
        steps, waiting = steps_of(linearized, slopes), live.clone()
        for _ in range(MAX_TRIALS):
            rows = torch.nonzero(waiting)[:, 0]
            if not len(rows):
                break
            room = self.low - x[rows], self.high - x[rows]
            d, promised = steps.solve(rows, fall[rows], self.damping[going[rows]], *room)
            point = torch.minimum(torch.maximum(x[rows] + d, self.low), self.high)
            reached = _objective(targets[rows].residuals(self.model.values(point)))
            taken = reached < before[rows]
            self._damp(going[rows], (before[rows] - reached) / promised, taken)
            self.x[going[rows[taken]]], self.objective[going[rows[taken]]] = point[taken], reached[taken]
            waiting[rows[taken]] = False
        share = torch.where(self.objective[going] <= self.known[going], SLOW, STALLED)
        slow = before - self.objective[going] <= share * before
        self.stalls[going] = torch.where(slow, self.stalls[going] + 1, 0)
        return live & ~waiting & (self.stalls[going] < 2)

    def _damp(self, samples: Tensor, gain: Tensor, taken: Tensor) -> None:
        factor = torch.where(taken & (gain > 0.75), 0.125, torch.where(taken & (gain > 0.25), 1.0, 8.0))
        self.damping[samples] = (self.damping[samples] * factor).clamp(LEAST_DAMPING, HIGHEST_DAMPING)


def _objective(residuals: Tensor) -> Float64[Tensor, " N"]:
    return residuals.square().sum(dim=1) / 2


__all__ = ["Fit", "fit"]
