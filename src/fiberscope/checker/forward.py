"""Proved bounds on what every stage gives for a box of inputs, by interval arithmetic that rounds outwards.

``A x + b`` for ``|x - c| <= r`` lies within ``|A| r`` of ``A c + b``; ``fiberscope.checker.matrices`` bounds the
rounding. Smooth activations are bounded by what holds of them without evaluating them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TypeAlias

import numpy as np

from fiberscope.checker.affine import entries
from fiberscope.checker.linear import Linear, needed
from fiberscope.checker.matrices import SMALLEST_NORMAL, relative_error
from fiberscope.checker.stored import INPUT, NOTHING, Activation, FloatArray, Stage

Interval: TypeAlias = tuple[FloatArray, FloatArray]

LOG_2 = 0.6931471805599454
"""Above the logarithm of 2."""


def bounds(
    network: tuple[int, tuple[Stage, ...]],
    low: FloatArray,
    high: FloatArray,
    last: int | None = None,
    linear: Mapping[int, tuple[Linear, ...]] | None = None,
) -> dict[int, Interval]:
    """What the stages give for all inputs x with ``low <= x <= high``, up to rounding of the bounds themselves.

    Args:
        network: the number n of inputs, and the stages, as ``fiberscope.checker.stored`` reads them.
        low: (n,) finite.
        high: (n,) finite.
        last: the stage of interest, whose sources are bounded alone; None for all stages.
        linear: the affine maps of these stages as matrices; None to write them out.

    Returns:
        Lower and upper bounds, (m,) each, by the number of the stage; infinite where float64 overflows.
    """
    _, stages = network
    found: dict[int, Interval] = {INPUT: (low, high)}
    for number in range(len(stages)) if last is None else needed(stages, last):
        stage = stages[number]
        before = [found[source] for source in stage.sources]
        with np.errstate(over="ignore", invalid="ignore"):
            if stage.activation is None:
                maps = tuple(map(Linear.of, stage.maps)) if linear is None else linear[number]
                parts = [each.forward(v, mapped, _sum) for each, v in zip(maps, before, strict=True)]
                below, above = reduce(_sum, parts)
            else:
                below, above = activated(stage.activation, *before[0])
        found[number] = np.where(np.isnan(below), -np.inf, below), np.where(np.isnan(above), np.inf, above)
    del found[INPUT]
    return found


def _down(values: FloatArray) -> FloatArray:
    return np.nextafter(values, -np.inf)


def _up(values: FloatArray) -> FloatArray:
    return np.nextafter(values, np.inf)


def _sum(left: Interval, right: Interval) -> Interval:
    return _down(left[0] + right[0]), _up(left[1] + right[1])


def mapped(values: Interval, linear: Linear) -> Interval:
    """Bounds on ``A x + b``, of one matrix."""
    low, high = values
    matrix = linear.matrix
    row, _, numbers = entries(matrix)
    terms = np.bincount(row, minlength=matrix.shape[0])
    if (numbers == 1).all() and terms.max(initial=0) <= 1:  # moves numbers
        below, above = matrix @ low, matrix @ high
        plain = linear.bias == 0
        return (
            np.where(plain, below, _down(below + linear.bias)),
            np.where(plain, above, _up(above + linear.bias)),
        )
    middle = low / 2.0 + high / 2.0
    spread = np.where(low == high, 0.0, _up(np.maximum(_up(high - middle), _up(middle - low))))
    middle = np.where(low == high, low, middle)
    relative = relative_error(int(terms.max(initial=0)))
    # the sum of sizes is computed, too, and may be too small by gamma_n, which 1 + relative covers
    wrong = np.abs(matrix) @ (spread + relative * np.abs(middle)) * (1.0 + relative)
    wrong += 4.0 * (matrix.shape[1] + 1) * SMALLEST_NORMAL
    there = matrix @ middle + linear.bias
    rounded = np.maximum(_up(there) - there, there - _down(there))
    return _down(there - _up(wrong + rounded)), _up(there + _up(wrong + rounded))


def activated(activation: Activation, low: FloatArray, high: FloatArray) -> Interval:
    """Bounds on what an activation gives; of one number, exactly that if it is a ReLU, a clip or a maximum."""
    match activation.kind:
        case "maximum":
            assert activation.index is not None, "a maximum is read with its windows"
            below, above = (
                np.where(activation.index == NOTHING, -np.inf, end[activation.index]).max(axis=1) for end in (low, high)
            )
            return below, above
        case "relu":
            return np.maximum(low, 0.0), np.maximum(high, 0.0)
        case "clip":
            return np.clip(low, activation.alpha, activation.beta), np.clip(high, activation.alpha, activation.beta)
        case "leaky_relu":
            assert activation.slope is not None, "a leaky ReLU is read with its slopes"
            ends = [activation.slope * np.minimum(end, 0.0) for end in (low, high)]
            below, above = np.minimum(*ends), np.maximum(*ends)
            above = np.where(high > 0, np.maximum(high, _up(above)), _up(above))
            return np.where(low >= 0, low, _down(below)), above
        case "elu":
            least, most = min(0.0, -activation.alpha), max(0.0, -activation.alpha)
            return np.where(low >= 0, low, least), np.where(low >= 0, high, np.maximum(high, most))
        case "softplus":
            return np.maximum(low, 0.0), _up(_up(np.maximum(high, 0.0) + LOG_2 / activation.beta))
        case "tanh":
            return np.clip(np.minimum(low, 0.0), -1.0, 0.0), np.clip(np.maximum(high, 0.0), 0.0, 1.0)
        case _:  # the sigmoid function
            return np.zeros_like(low), np.ones_like(high)


__all__ = ["activated", "bounds", "mapped"]
