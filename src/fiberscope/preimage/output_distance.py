"""Why an output has no input, in words: how far it is from an output that has one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import dense
from fiberscope.preimage.dense import least_squares
from fiberscope.preimage.exact_face import as_fractions
from fiberscope.preimage.rounded import nearest_float
from fiberscope.preimage.system import MixedSystem

REFINEMENTS = 3
NO_INPUT = "no input of the domain has this output"
ROUNDING = 1e-10
"""Relative to the output's size: below this a person should think of rounding, not of a wrong output."""


def describe_empty(system: MixedSystem) -> str:
    """Say how far y is from the range of the positive rows, or that the inequalities are what fails."""
    assert system.y is not None
    distance = _distance_to_range(system)
    size = float(np.linalg.norm(system.y))
    if distance == 0.0:
        return f"{NO_INPUT}: inputs meet its positive entries, but all of them violate an inequality row or the domain"
    if not np.isfinite(distance):
        return f"{NO_INPUT}: it is beyond what float64 can measure away from one"
    text = f"{NO_INPUT}: y is {distance:.1g} away from an output (Euclidean, on its positive entries)"
    if distance < ROUNDING * size:
        text += (
            "; that is rounding: y was computed in floating point from more rows than fix an input. Give x instead of y"
        )
    return text


def _distance_to_range(system: MixedSystem) -> float:
    """``min |A_P x - rhs|``; inf where float64 cannot measure it.

    Least squares, refined with residuals computed exactly, so that distances near rounding are right.
    """
    H = dense(system.rows(system.positive))
    if len(H) == 0:
        return 0.0
    exact_rows, sides = as_fractions(H), system.right_hand_sides(system.positive)
    x = [Fraction(0)] * H.shape[1]
    residual = _residual(exact_rows, sides, x)
    for _ in range(REFINEMENTS):
        step = least_squares(H, residual) if np.isfinite(residual).all() else residual
        if not np.isfinite(step).all():
            return np.inf
        x = [entry + Fraction(change) for entry, change in zip(x, step.tolist(), strict=True)]
        residual = _residual(exact_rows, sides, x)
    # the refined solution keeps a rounding of its own; what is not clearly above it is no distance
    size = float(np.linalg.norm(H)) * float(np.linalg.norm([nearest_float(v) for v in x]))
    distance = float(np.linalg.norm(residual))
    return 0.0 if distance <= 1e3 * np.finfo(np.float64).eps ** 2 * size else distance


def _residual(rows: list[list[Fraction]], sides: list[Fraction], x: list[Fraction]) -> FloatArray:
    exact = (side - sum(a * v for a, v in zip(row, x, strict=True)) for row, side in zip(rows, sides, strict=True))
    return np.array([nearest_float(value) for value in exact])
