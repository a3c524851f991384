"""Newton's method on the log-sum-exp potential: one convex function that decides both ways.

``f(u) = log sum_i exp(a_i u)`` has the gradient ``A^T lambda`` with ``lambda = softmax(A u) > 0``. If the rows are
omnidirectional, f has a minimum and lambda there is the maximum-entropy multiplier vector; if some u has ``A u < 0``,
f has none and the iterates run off along such a u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import Rows, scaled
from fiberscope.preimage.budget import Budget
from fiberscope.preimage.dense import Cholesky, gram

MAX_STEPS, MAX_LARGE_STEPS = 60, 40
"""Generic systems need 2 to 15 steps; where a direction exists but no strict one, no number of steps suffices."""
LARGE = 500
"""Coordinates from which a step takes so long that fewer are waited for."""
GRADIENT_TOLERANCE = 1e-11
"""Unit rows.

Below this the weighted least-squares correction of the multipliers is smaller than any multiplier that is kept.
"""
STRICTNESS = 1e-9
"""A direction counts as strict if every unit row falls by this much per unit length.

Far above the rounding of the products.
"""
REGULARIZATION = 1e-13
"""Added to the Hessian, which is singular wherever ``A v = c 1`` has a solution."""


@dataclass(frozen=True, eq=False)
class Descent:
    """Where Newton's method went: a strict direction, a minimum, or neither.

    Attributes:
        direction: (k,) u with ``A u < 0``, or None.
        multipliers: (l,) positive lambda with ``A^T lambda`` near 0, or None.
        steps: Newton steps taken.
    """

    direction: FloatArray | None
    multipliers: FloatArray | None
    steps: int


def descend(rows: Rows, budget: Budget) -> Descent:
    """Minimise the potential of unit rows (l, k) until a strict direction or a minimum is found."""
    length, k = rows.shape
    u, slopes = np.zeros(k), np.zeros(length)
    steps = MAX_STEPS if k <= LARGE else MAX_LARGE_STEPS
    for step in range(1, steps + 1):
        budget.check("a strict direction was looked for")
        weights, value = _softmax(slopes)
        gradient = rows.T @ weights
        if np.linalg.norm(gradient) < GRADIENT_TOLERANCE:
            return Descent(None, weights, step)
        move = _newton_step(rows, weights, gradient)
        change = rows @ move
        for candidate, slope in ((move, change), (u + move, slopes + change)):
            if slope.max() < -STRICTNESS * np.linalg.norm(candidate):
                return Descent(candidate, None, step)
        scale = _line_search(slopes, change, value, float(gradient @ move))
        if scale == 0.0:
            # no decrease is left in float64: at a minimum, up to rounding
            return Descent(None, weights, step)
        u, slopes = u + scale * move, slopes + scale * change
    return Descent(None, None, steps)


def _newton_step(
    rows: Rows, weights: Float64[FloatArray, " l"], gradient: Float64[FloatArray, " k"]
) -> Float64[FloatArray, " k"]:
    hessian = gram(scaled(rows, np.sqrt(weights))) - np.outer(gradient, gradient)
    regularization = REGULARIZATION + 1e-3 * float(gradient @ gradient)
    diagonal = np.diag_indices(len(gradient))
    for _ in range(20):
        hessian[diagonal] += regularization
        try:
            return -Cholesky(hessian).solve(gradient)
        except LinAlgError:
            regularization *= 100.0
    return -gradient


def _line_search(
    slopes: Float64[FloatArray, " l"], change: Float64[FloatArray, " l"], value: float, derivative: float
) -> float:
    """A step length with sufficient decrease (Armijo, 1e-4): doubled while that pays, halved until it holds.

    0 if none does.
    """

    def decrease(scale: float) -> float:
        return value - _softmax(slopes + scale * change)[1]

    scale = 1.0
    if decrease(scale) >= -1e-4 * derivative:
        while scale < 64.0 and decrease(2.0 * scale) > 1.5 * decrease(scale):
            scale *= 2.0
        return scale
    while scale > 1e-8:
        scale *= 0.5
        if decrease(scale) >= -1e-4 * scale * derivative > 0.0:
            return scale
    return 0.0


def _softmax(slopes: Float64[FloatArray, " l"]) -> tuple[Float64[FloatArray, " l"], float]:
    """softmax(slopes) and log sum exp(slopes)."""
    top = slopes.max()
    powers = np.exp(slopes - top)
    total = powers.sum()
    return powers / total, float(top + np.log(total))
