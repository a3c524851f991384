"""Why an output has no input, in words: how far it is from an output that has one."""

from __future__ import annotations

from math import fsum

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.preimages.candidate import Candidate, Multipliers
from fiberscope.preimages.dense import least_squares
from fiberscope.preimages.rounded import nearest_float, unit_floats
from fiberscope.preimages.sides import Outputs
from fiberscope.preimages.system import MixedSystem

REFINEMENTS = 3
NO_INPUT = "no input of the domain has this output"
NO_INPUT_IN_INTERVALS = "no input of the domain has an output in these intervals"
ROUNDING = {"float64": 1e-10, "float32": 1e-6}
"""Relative to the output's size: below this a person should think of rounding, not of a wrong output."""


def describe_impossible(layer: ReLULayer, outputs: Outputs, units: Int64[IntArray, " k"]) -> tuple[int, str]:
    """The unit whose output is farthest from all that it gives, and what is wrong with it, in words."""
    beyond = units[np.isposinf(outputs.low[units]) | np.isneginf(outputs.high[units])]
    if len(beyond):
        size = "large" if np.isposinf(outputs.low[beyond[0]]) else "small"
        return int(beyond[0]), f"unit {beyond[0]} gives no number that {size}; y is what follows the activation"
    above = outputs.low[units] - outputs.within[units] - layer.high[units]
    below = layer.low[units] - (outputs.high[units] + outputs.within[units])
    unit = int(units[np.argmax(np.maximum(above, below))])
    p, q = float(layer.low[unit]), float(layer.high[unit])
    under = outputs.high[unit] + outputs.within[unit] <= p
    others = (
        f", and {len(units) - 1} more {'below 0' if p == 0 and q == np.inf else 'likewise'}" if len(units) > 1 else ""
    )
    if outputs.is_exact() and p == 0 and q == np.inf:
        text = f"a ReLU gives no negative number, but y is {outputs.low[unit]} at unit {unit}{others}"
        return unit, f"{text}; y is what follows the ReLU"
    known = f"y is {outputs.low[unit]:.17g}"
    if outputs.within[unit] or outputs.low[unit] != outputs.high[unit]:
        end = outputs.high[unit] + outputs.within[unit] if under else outputs.low[unit] - outputs.within[unit]
        known = f"y is at {'most' if under else 'least'} {end:.17g}"
    limit = f"below {p:g}" if under else f"above {q:g}"
    return unit, f"unit {unit} gives no number {limit}, but {known} there{others}; y is what follows the activation"


def describe_empty(system: MixedSystem, proof: Candidate) -> str:
    """Say how far y is from the range of the positive rows, or from the outputs that the inequalities leave."""
    assert system.outputs is not None
    if not system.outputs.is_exact():
        distance = _proved_distance(system, proof)
        more = (
            f": what is known of y is at least {distance:.1g} away from an output (Euclidean)" if distance > 0 else ""
        )
        return NO_INPUT_IN_INTERVALS + more
    distance = _distance_to_range(system, system.outputs)
    if distance == 0.0:
        text = f"{NO_INPUT}: inputs meet its positive entries, but all of them violate an inequality row or the domain"
        distance = _proved_distance(system, proof)
        if distance > 0:
            text += f"; y is at least {distance:.1g} away from an output (Euclidean)"
    elif not np.isfinite(distance):
        return f"{NO_INPUT}: it is beyond what float64 can measure away from one"
    else:
        text = f"{NO_INPUT}: y is {distance:.1g} away from an output (Euclidean, on its positive entries)"
    size = float(np.linalg.norm(system.outputs.low))
    for precision, share in ROUNDING.items():
        if 0 < distance < share * size:
            return text + f"; that is rounding: y was computed in {precision} or so. Give x instead of y, or within="
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
    length = float(np.linalg.norm(values[system.units_of(part.rows) >= 0]))
    return max(0.0, -fsum(values * np.array(sides)) / length) if length > 0 else 0.0


def _distance_to_range(system: MixedSystem, outputs: Outputs) -> float:
    """``min |A_P x - rhs|``; inf where float64 cannot measure it.

    Least squares, refined with residuals of twice float64's precision, so that distances near rounding are right.
    """
    P = system.positive
    H, sides = dense(system.rows(P)), np.stack([outputs.low[P], -system.layer.bias[P]])
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
