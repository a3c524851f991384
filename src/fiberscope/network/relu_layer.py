"""One dense ReLU layer y = ReLU(A x + b)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, as_float64


class ReLULayer:
    """The layer ``y = ReLU(A x + b)``.

    Args:
        weight: A, shape (m, n), finite; every entry is taken as the exact number that it stores.
        bias: b, shape (m,); None for zeros.

    Raises:
        InputError: wrong shapes, empty, NaN or infinite entries.
    """

    __slots__ = ("bias", "weight")

    weight: FloatArray
    bias: FloatArray

    def __init__(self, weight: Any, bias: Any = None) -> None:
        self.weight = as_float64(weight, "weight", shape=(None, None))
        m = self.weight.shape[0]
        self.bias = as_float64(np.zeros(m) if bias is None else bias, "bias", shape=(m,))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        """The number m of neurons."""
        return self.weight.shape[0]

    def __call__(self, X: Any) -> FloatArray:
        """Evaluate in float64: X (n,) or (N, n) -> (m,) or (N, m)."""
        inputs = as_float64(X, "x")
        if inputs.shape[-1] != self.inputs or inputs.ndim > 2:
            raise InputError("x", expected=f"shape ({self.inputs},) or (N, {self.inputs})", got=f"shape {inputs.shape}")
        return np.maximum(inputs @ self.weight.T + self.bias, 0.0)

    def __repr__(self) -> str:
        return f"ReLULayer({self.inputs} -> {self.outputs})"


__all__ = ["ReLULayer"]
