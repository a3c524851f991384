"""Inputs on a grid, such as 8-bit images: which stored values a coordinate may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray, IntArray, as_float64

MAX_VALUES = 2**24
"""Values of a grid; float32 has as many whole numbers."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The values that every coordinate is one of.

    ``1/255`` means the numbers that a float32 array of ``k / 255`` stores, which are not those of float64. So values
    are written out and compared as they are stored; no interval is divided by the step.

    Attributes:
        values: (k,) in ascending order.
    """

    values: Float64[FloatArray, " k"]

    @classmethod
    def of(cls, given: Any, low: Float64[FloatArray, " n"], high: Float64[FloatArray, " n"]) -> Grid:
        """The grid of a step, within bounds, or of values that are listed.

        Raises:
            InputError: a step that is not positive, or too small; bounds that are not finite; no values.
        """
        array = as_float64(given, "grid")
        if array.ndim == 1:
            return cls(np.unique(array))
        step = float(array) if array.ndim == 0 else 0.0
        if not step > 0:
            raise InputError("grid", expected="a step above 0, such as 1/255, or a list of values", got=shown(given))
        least, most = float(low.min()), float(high.max())
        if not (np.isfinite(least) and np.isfinite(most)):
            hint = "pass a domain such as Box(0, 1), or list the values"
            raise InputError("grid", expected="a bounded domain", got="one without bounds", hint=hint)
        if most / step - least / step > MAX_VALUES:
            raise InputError("grid", expected=f"at most {MAX_VALUES} values in the domain", got=f"a step of {step:g}")
        first, last = int(np.floor(least / step)) - 1, int(np.ceil(most / step)) + 1
        k = first + np.cumsum(np.ones(last - first + 1)) - 1.0
        whole = np.rint(1.0 / step)
        exact = k / whole if whole > 0 and 1.0 / whole == step else k * step
        return cls(np.unique(exact.astype(np.float32).astype(np.float64)))

    def counts(
        self, low: Float64[FloatArray, " n"], high: Float64[FloatArray, " n"]
    ) -> tuple[Int64[IntArray, " n"], Int64[IntArray, " n"]]:
        """How many values lie in each interval, ends included, and the place of the first."""
        first = np.searchsorted(self.values, low, side="left")
        return np.maximum(np.searchsorted(self.values, high, side="right") - first, 0), first


__all__ = ["Grid"]
