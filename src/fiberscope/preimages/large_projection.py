"""Whether the recession cone of a large convolutional layer in an orthant is {0}: by products with the convolution.

The projection of the ones onto the cone, as in ``fiberscope.preimages.cone_projection``, for one cone whose rows are
not written out: every step is a convolution and its transpose in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.accelerated import Accelerated, Halving, largest_eigenvalue, length_of
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.large_cones import STEPS_EASY, LargeCones

MAX_STEPS = 400
"""Where steps take longer than milliseconds."""
HALTED = 0.8
"""Of what was left of the ones after half of the steps: with more there is a ray, or next to one. Of cones that steps
showed to be {0}, 0.6 was left at most; one that is {0} by another method ended here."""
CHECKED = 10
"""Steps after which the answer is looked at."""
POWER_STEPS = 15
SAFETY = 1.3
"""What so few power steps may leave of the largest singular value."""
CLEAR = 0.01
"""Where the smallest entry of c is at least this, of the 1 that is aimed at, multipliers are there."""
SURE = 1e-3
"""What it must be in float64, for the multipliers in float32 that are stored."""


@dataclass(frozen=True, eq=False)
class Ended:
    """What the projection ended in.

    Attributes:
        weights: (m,) of the rows, float32 numbers that show that the cone is {0}; None where it did not come to that.
        left: (n,) what is left of the ones: a ray, nearly, where the cone is not {0}.
        least: the smallest entry of c, of the 1 that was aimed at.
        steps: that it took.
    """

    weights: FloatArray | None
    left: FloatArray
    least: float
    steps: int


def project_large(cones: LargeCones, budget: Budget = NO_LIMIT) -> Ended:
    """Project the ones onto the recession cone, every coordinate of which has a bound."""
    most = STEPS_EASY if cones.is_easy else MAX_STEPS
    descent, step, least = _Descent(cones), 0, 0.0
    halving = Halving(HALTED)
    while step < most and not least > CLEAR:
        descent.step()
        step += 1
        if step % CHECKED == 0 or step == most:
            budget.check(f"the ones were projected onto a cone, {step} steps")
            least = descent.least()
        if halving.is_due(step) and halving.stalls(descent.left()):
            break
    return descent.ended(step, least)


class _Descent:
    """Accelerated gradients."""

    def __init__(self, cones: LargeCones) -> None:
        self.cones, self.operator = cones, cones.operator
        o = self.operator
        self.signs = torch.from_numpy(cones.outward.astype(np.float32))[None]
        self.ones = self.signs.abs()
        norms = _norms(o, self.ones)
        self.scale = torch.where(norms > 0, 1.0 / norms.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
        free = torch.from_numpy(cones.far | cones.upper)[None], torch.from_numpy(cones.far | cones.lower)[None]
        self.most, self.least_weight = (
            torch.where(side, sign * torch.inf, 0.0).float() for side, sign in zip(free, (1.0, -1.0), strict=True)
        )
        self.mu = Accelerated(torch.zeros(1, o.outputs))
        self.size = 1.0 / (SAFETY * self._largest())

    def _apply(self, d: Float32[Tensor, "1 n"]) -> Float32[Tensor, "1 m"]:
        return self.operator.linear(self.signs * d) * self.scale

    def _adjoint(self, mu: Float32[Tensor, "1 m"]) -> Float32[Tensor, "1 n"]:
        return self.operator.adjoint(mu * self.scale) * self.signs

    def _largest(self) -> float:
        start = torch.randn(1, self.operator.inputs, generator=torch.Generator().manual_seed(0))
        return largest_eigenvalue(lambda v: self._adjoint(self._apply(v)), start, POWER_STEPS) or 1.0

    def step(self) -> None:
        """One gradient step."""
        h = (self.ones - self._adjoint(self.mu.ahead)).clamp(min=0.0)
        new = self.mu.ahead + self.size * self._apply(h)
        self.mu.move(torch.minimum(torch.maximum(new, self.least_weight), self.most))

    def left(self) -> float:
        """How long what is left of the ones is."""
        return length_of((self.ones - self._adjoint(self.mu.at)).clamp(min=0.0))

    def least(self) -> float:
        """The smallest entry of c where there is one bound."""
        c = self._adjoint(self.mu.at)
        return float(torch.where(self.ones > 0, c, torch.inf).min())

    def ended(self, steps: int, least: float) -> Ended:
        """What is there now."""
        left = (self.ones - self._adjoint(self.mu.at)).clamp(min=0.0)[0].double().numpy()
        weights = (self.mu.at * self.scale)[0]
        c = self._in_double(weights.double()[None])
        sure = least > 0 and bool((c[self.cones.outward != 0] > SURE * CLEAR).all())
        return Ended(weights.double().numpy() if sure else None, left, least, steps)

    def _in_double(self, weights: Tensor) -> Float64[FloatArray, " n"]:
        return self.operator.adjoint(weights)[0].numpy() * self.cones.outward


def _norms(operator: Any, moving: Float32[Tensor, "1 n"]) -> Float32[Tensor, "1 m"]:
    """The lengths of rows on the coordinates that can move: what belongs to others may be of any size."""
    largest = float(operator.entrywise(torch.abs).linear(moving).max())
    if not 0 < largest < np.inf:
        return torch.zeros(1, operator.outputs)

    def squares(sizes: Tensor) -> Tensor:
        return (sizes / largest).square()

    return operator.entrywise(squares).linear(moving).sqrt() * largest


__all__ = ["Ended", "project_large"]
