"""How many images are left of proved bounds: bits, of inputs that are known to be stored with 256 levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Domain, as_polyhedron

LEVELS = 256


@dataclass(frozen=True, eq=False)
class Levels:
    """The 256 values that each coordinate of a box may have: those that float32 stores of ``low + k (high - low)/255``.

    Attributes:
        low: (n,) of the box.
        high: (n,)
        stored: whether samples are made of these values; what is counted is else an interval's width in steps.
    """

    low: Float64[FloatArray, " n"]
    high: Float64[FloatArray, " n"]
    stored: bool

    @classmethod
    def of(cls, domain: Domain, X: Float64[FloatArray, "N n"]) -> Levels:
        """The levels of a domain, and whether samples have them.

        Raises:
            InputError: the domain is not bounded, or a sample lies outside it.
        """
        box = as_polyhedron(domain, X.shape[1])
        if not (np.isfinite(box.low) & np.isfinite(box.high)).all():
            hint = "Box(0, 1) for images"
            raise InputError("domain", expected="a bounded one", got="one without bounds", hint=hint)
        outside = ((box.low > X) | (box.high < X)).any(axis=1) | (np.asarray((box.G @ X.T).T) > box.h).any(axis=1)
        if outside.any():
            got = f"sample {int(np.argmax(outside))} outside"
            raise InputError("domain", expected="one that holds the samples", got=got)
        nearest = _values(box.low, box.high, np.rint((X - box.low) / _steps(box.low, box.high)))
        return cls(box.low, box.high, bool((nearest == X).all()))

    def bits(self, low: Float64[FloatArray, " n"], high: Float64[FloatArray, " n"]) -> float:
        """``sum_j log2 count_j`` of the levels within bounds: 0 where one image is left; what it was is the sample."""
        if not self.stored:
            width = np.maximum(high - low, 0.0) / _steps(self.low, self.high)
            return float(np.log2(1.0 + np.floor(width)).sum())
        first, last = (self._nearest(end, up) for end, up in ((low, True), (high, False)))
        return float(np.log2(np.maximum(last - first + 1.0, 1.0)).sum())

    def _nearest(self, ends: FloatArray, up: bool) -> FloatArray:
        """The number of the first stored level at or above an end, or of the last at or below it."""
        k: FloatArray = np.clip(np.rint((ends - self.low) / _steps(self.low, self.high)), 0, LEVELS - 1)
        value = _values(self.low, self.high, k)
        beyond: BoolArray = value < ends if up else value > ends
        moved: FloatArray = beyond.astype(np.float64)
        return k + moved if up else k - moved


def _steps(low: FloatArray, high: FloatArray) -> FloatArray:
    steps: FloatArray = np.where(high > low, high - low, 1.0) / float(LEVELS - 1)
    return steps


def _values(low: FloatArray, high: FloatArray, k: FloatArray) -> FloatArray:
    return (low + k * (high - low) / (LEVELS - 1)).astype(np.float32).astype(np.float64)


__all__ = ["LEVELS", "Levels"]
