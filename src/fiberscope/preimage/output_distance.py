"""Why an output has no input, in words: how far it is from an output that has one."""

from __future__ import annotations

from math import fsum

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import dense
from fiberscope.preimage.candidate import Candidate, Multipliers
from fiberscope.preimage.dense import least_squares
from fiberscope.preimage.rounded import nearest_float, unit_floats
from fiberscope.preimage.system import MixedSystem

REFINEMENTS = 3
NO_INPUT = "no input of the domain has this output"
ROUNDING = {"float64": 1e-10, "float32": 1e-6}
"""Relative to the output's size: below this a person should think of rounding, not of a wrong output."""


def describe_empty(system: MixedSystem, proof: Candidate) -> str:
    """Say how far y is from the range of the positive rows, or from the outputs that the inequalities leave."""
    assert system.y is not None
    distance = _distance_to_range(system)
    if distance == 0.0:
        text = f"{NO_INPUT}: inputs meet its positive entries, but all of them violate an inequality row or the domain"
        distance = _proved_distance(system, proof)
        if distance > 0:
            text += f"; y is at least {distance:.1g} away from an output (Euclidean)"
    elif not np.isfinite(distance):
        return f"{NO_INPUT}: it is beyond what float64 can measure away from one"
    else:
        text = f"{NO_INPUT}: y is {distance:.1g} away from an output (Euclidean, on its positive entries)"
    size = float(np.linalg.norm(system.y))
    for precision, share in ROUNDING.items():
        if 0 < distance < share * size:
            return text + f"; that is rounding: y was computed in {precision} or so. Give x instead of y"
    return text


def _proved_distance(system: MixedSystem, proof: Candidate) -> float:
    """What Farkas multipliers say of the distance of y from an output: their sum over the length of y's own.

    Any output y' of the domain satisfies ``weights . (y' - y) >= -sum``.
    """
    part = proof.infeasible
    if not isinstance(part, Multipliers):
        return 0.0
    values = unit_floats(part.values)
    sides = [nearest_float(side) for side in system.right_hand_sides(part.rows)]
    length = float(np.linalg.norm(values[part.rows < system.layer.outputs]))
    return max(0.0, -fsum(values * np.array(sides)) / length) if length > 0 else 0.0


def _distance_to_range(system: MixedSystem) -> float:
    """``min |A_P x - rhs|``; inf where float64 cannot measure it.

    Least squares, refined with residuals of twice float64's precision, so that distances near rounding are right.
    """
    assert system.y is not None
    P = system.positive
    H, sides = dense(system.rows(P)), np.stack([system.y[P], -system.layer.bias[P]])
    if len(H) == 0:
        return 0.0
    x, rest = np.zeros((2, H.shape[1]))
    residual = _residual(H, sides, x, rest)
    for _ in range(REFINEMENTS):
        step = least_squares(H, residual) if np.isfinite(residual).all() else residual
        if not np.isfinite(step).all():
            return np.inf
        # x + rest + step in two numbers again
        total = x + step
        rest = rest + ((x - (total - (back := total - x))) + (step - back))
        x = total
        residual = _residual(H, sides, x, rest)
    # the refined solution keeps a rounding of its own; what is not clearly above it is no distance
    size = float(np.linalg.norm(H)) * float(np.linalg.norm(x))
    distance = float(np.linalg.norm(residual))
    return 0.0 if distance <= 1e3 * np.finfo(np.float64).eps ** 2 * size else distance


def _residual(
    H: Float64[FloatArray, "p n"], sides: Float64[FloatArray, "2 p"], x: Float64[FloatArray, " n"], rest: FloatArray
) -> Float64[FloatArray, " p"]:
    """``sides - H (x + rest)``: products of x in two parts each, sums exact [Dekker, 1971]."""
    product = H * x
    low = H * rest + _product_errors(H, x, product)
    return np.array([fsum([*s, *(-p), *(-q)]) for s, p, q in zip(sides.T, product, low, strict=True)])


def _product_errors(H: FloatArray, x: FloatArray, product: FloatArray) -> FloatArray:
    """What rounding takes from the products."""
    (a, b), (c, d) = _halves(H), _halves(x)
    return ((a * c - product) + a * d + b * c) + b * d


def _halves(v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two summands of at most 26 bits [Veltkamp, 1968]; NaN for numbers near the largest."""
    scaled = v * (2.0**27 + 1.0)
    upper = scaled - (scaled - v)
    return upper, v - upper
