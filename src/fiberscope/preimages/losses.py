"""At which precisions the rows of a sample lose a side: how far an output is from an end of what it can be.

Of a clip to [p, q] that is ``y - p`` and ``q - y``, rational numbers. A tanh never gives 1:
``1 - tanh(z) = 2 / (1 + exp(2 z))`` lies between two float64, like what is left of other exponential functions, and
decimal numbers tell which.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.network.layer import Layer
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.activated import pre_activation_exactly, room_exactly
from fiberscope.preimages.precision import pre_activations


class Losses:
    """The numbers at which the rows of one sample lose a side: how far outputs are from an end, positive ones.

    Attributes:
        above: (k,) numbers that are certainly not smaller.
    """

    def __init__(self, layer: ReLULayer, x: FloatArray) -> None:
        self.layer, self.x = layer, x
        z, wrong = (part[0] for part in pre_activations(layer, x[None]))
        y = np.clip(z, layer.low, layer.high)
        clips = (layer.low < layer.high) & ~layer.injective
        has = clips & (z > layer.low - wrong), clips & (z < layer.high + wrong)
        distances = [np.where(clips, y - layer.low, np.inf), np.where(clips, layer.high - y, np.inf)]
        doubts = [wrong, wrong]
        if layer.monotone is not None:
            has = tuple(side | layer.injective for side in has)
            near = [layer.monotone.room(z + sign * wrong) for sign in (-1.0, 0.0, 1.0)]
            for k in range(2):
                distances[k] = np.where(layer.injective, near[1][k], distances[k])
                with np.errstate(invalid="ignore"):
                    moved = np.maximum(np.abs(near[0][k] - near[1][k]), np.abs(near[2][k] - near[1][k]))
                doubts[k] = np.where(layer.injective, 2.0 * moved + 2.0**-46 * near[1][k], wrong)
        units = [np.flatnonzero(some & np.isfinite(distance)) for some, distance in zip(has, distances, strict=True)]
        self.units, self.is_upper = np.concatenate(units), np.repeat([False, True], [len(some) for some in units])
        self.doubt = np.concatenate([doubt[some] for doubt, some in zip(doubts, units, strict=True)])
        away = np.concatenate([distance[some] for some, distance in zip(units, distances, strict=True)])
        self.above = (away * (1.0 + 2.0**-50) + self.doubt).astype(np.float64)

    def between(self, low: float, high: float) -> FloatArray:
        """Those above low and up to high, exactly, rounded up to float64, ascending."""
        near = (self.above > low) & (self.above * (1.0 - 2.0**-48) - 4.0 * self.doubt <= high)
        found = {_rounded_up(self._exactly(int(k))) for k in np.flatnonzero(near)}
        return np.array(sorted(loss for loss in found if low < loss <= high and loss < np.inf))

    def _exactly(self, k: int) -> Fraction:
        unit = int(self.units[k])
        low, high = self.layer.low[unit], self.layer.high[unit]
        z = pre_activation_exactly(self.layer, unit, self.x)
        if self.layer.injective[unit]:
            assert self.layer.monotone is not None, "nothing is lost where functions are not known"
            return room_exactly(self.layer.monotone, unit, z, upper=bool(self.is_upper[k]))
        if self.is_upper[k]:
            return Fraction(float(high)) - (max(z, Fraction(float(low))) if np.isfinite(low) else z)
        return (min(z, Fraction(float(high))) if np.isfinite(high) else z) - Fraction(float(low))


def output_ends(layer: Layer) -> tuple[Float64[FloatArray, " m"], Float64[FloatArray, " m"]]:
    """Between which numbers outputs lie; strictly between them those of strictly monotone units."""
    if layer.monotone is None:
        low, high = (np.broadcast_to(np.float64(end), layer.injective.shape) for end in (layer.low, layer.high))
        return low, high
    ends = (layer.low, layer.monotone.least), (layer.high, layer.monotone.most)
    low, high = (np.where(layer.injective, smooth, cut) for cut, smooth in ends)
    return low, high


def _rounded_up(number: Fraction) -> float:
    if number > Fraction(float(np.finfo(np.float64).max)):
        return np.inf
    nearest = float(number)
    return nearest if Fraction(nearest) >= number else float(np.nextafter(nearest, np.inf))


__all__ = ["Losses", "output_ends"]
