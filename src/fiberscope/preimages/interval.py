"""Outputs that are known to intervals, unit by unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.showing.shown import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Interval(Shown):
    """Outputs ``low <= y <= high`` of a layer, unit by unit.

    Args:
        low: a number for all units, or (m,), or the layer's output shape; -inf for no lower side.
        high: likewise; inf for no upper side.

    Raises:
        InputError: NaN, ``low > high`` somewhere, or shapes that do not agree.
    """

    low: Any
    high: Any

    def __post_init__(self) -> None:
        sides = [
            as_float64(side, f"Interval {name}", finite=False)
            for name, side in (("low", self.low), ("high", self.high))
        ]
        try:
            low, high = np.broadcast_arrays(*sides)
        except ValueError as error:
            got = f"shapes {sides[0].shape} and {sides[1].shape}"
            raise InputError("Interval", expected="low and high of one shape", got=got) from error
        wrong = ~((low <= high) & (low < np.inf) & (high > -np.inf))
        if wrong.any():
            unit = int(np.argmax(wrong))
            raise InputError(
                "Interval",
                expected="low <= high in every unit, low below inf and high above -inf",
                got=f"low = {low.flat[unit]:g} and high = {high.flat[unit]:g} at unit {unit}",
            )
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def _line(self) -> str:
        return f"{self.low.size} units, low {_span(self.low)}, high {_span(self.high)}"


def _span(side: FloatArray) -> str:
    return f"{side.min():.4g} to {side.max():.4g}" if side.size else "of none"


__all__ = ["Interval"]
