"""Affine maps x -> A x + b: what every one of them supplies, and the dense one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, IntArray, as_float64


@runtime_checkable
class AffineMap(Protocol):
    """The map ``x -> A x + b`` on flat vectors, A of shape (m, n).

    A map supplies the few operations below in whatever way is cheap for it; nobody else asks for A as a whole.
    """

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        ...

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        ...

    @property
    def bias(self) -> Float64[FloatArray, " m"]:
        """The constant part b, shape (m,)."""
        ...

    def apply(self, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N m"]:
        """Evaluate ``A x + b`` for each row x of X: (N, n) -> (N, m)."""
        ...

    def adjoint(self, U: Float64[FloatArray, "N m"]) -> Float64[FloatArray, "N n"]:
        """Evaluate ``A^T u`` for each row u of U: (N, m) -> (N, n)."""
        ...

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Float64[FloatArray, "k n"]:
        """Write out the rows of A with these indices, or all of them: shape (k, n)."""
        ...


@dataclass(frozen=True, eq=False)
class Dense:
    """The affine map whose matrix is written out.

    Args:
        weight: A, shape (m, n), finite.
        bias: b, shape (m,); None for zeros.

    Raises:
        InputError: wrong shapes, empty, NaN or infinite entries.
    """

    weight: Any
    bias: Any = None

    def __post_init__(self) -> None:
        weight = as_float64(self.weight, "weight", shape=(None, None))
        bias = np.zeros(weight.shape[0]) if self.bias is None else self.bias
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", as_float64(bias, "bias", shape=(weight.shape[0],)))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return int(self.weight.shape[0])

    def apply(self, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N m"]:
        """Evaluate ``A x + b`` for each row x of X: (N, n) -> (N, m)."""
        return X @ self.weight.T + self.bias

    def adjoint(self, U: Float64[FloatArray, "N m"]) -> Float64[FloatArray, "N n"]:
        """Evaluate ``A^T u`` for each row u of U: (N, m) -> (N, n)."""
        return U @ self.weight

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Float64[FloatArray, "k n"]:
        """Write out the rows of A with these indices, or all of them: shape (k, n)."""
        return self.weight if indices is None else self.weight[indices]

    def __repr__(self) -> str:
        return f"Dense({self.inputs} -> {self.outputs})"


def composed(first: AffineMap, second: AffineMap) -> Dense:
    """The affine map ``x -> A2 (A1 x + b1) + b2`` as one dense map, ``A = A2 A1`` and ``b = A2 b1 + b2``.

    The products are rounded to float64: what is proved about the result holds for the rounded numbers. They are summed
    one after the other, without BLAS, so that they are the same numbers on every machine.

    Raises:
        InputError: the sizes do not fit.
    """
    if first.outputs != second.inputs:
        raise InputError(
            "composition", expected=f"a second map of {first.outputs} inputs", got=f"{second.inputs} inputs"
        )
    inner, outer = np.column_stack([first.rows(), first.bias]), second.rows()
    total = np.column_stack([np.zeros((second.outputs, first.inputs)), second.bias])
    for k in range(second.inputs):
        total += outer[:, k, None] * inner[k]
    return Dense(total[:, :-1], total[:, -1])


__all__ = ["AffineMap", "Dense", "composed"]
