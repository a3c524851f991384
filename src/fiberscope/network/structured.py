"""Affine maps that move, scale, or sum few numbers: padding, slices, constants, pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fiberscope.errors import InputError
from fiberscope.network.affine import AffineMap, constant_part
from fiberscope.network.arrays import IntArray, as_tensor
from fiberscope.network.rows import Rows, sparse_rows

NOTHING = -1
"""In an index: no input, which counts as zero."""


@dataclass(frozen=True, eq=False, repr=False)
class Rearrangement(AffineMap):
    """``y_j = x_{index_j} + b_j``, or b_j where the index is -1: transposing, slicing, padding, repeating.

    Args:
        index: (m,) positions in the input, -1 for none.
        input_size: the number n of input coordinates.
        bias: b, shape (m,): what padding puts in; None for zeros.
    """

    kind: ClassVar[str] = "rearrangement"
    light: ClassVar[bool] = True

    index: Any
    input_size: int
    bias: Any = None

    def __post_init__(self) -> None:
        index = as_index(self.index, self.input_size)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "bias", constant_part(self.bias, len(index)))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return self.input_size

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return len(self.index)

    @property
    def terms(self) -> int:
        """One number and a constant."""
        return 2

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return (
            self.outputs == self.inputs
            and bool((self.index == torch.arange(self.inputs, device=self.index.device)).all())
            and not bool(self.bias.any())
        )

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Move the numbers of each row x of X: (N, n) -> (N, m)."""
        moved = X[:, self.index.clamp(min=0).to(X.device)]
        return moved * (self.index >= 0).to(X)

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Add every entry of u to the input that it came from: (N, m) -> (N, n)."""
        out = U.new_zeros(U.shape[0], self.inputs)
        inside = self.index >= 0
        return out.index_add_(1, self.index[inside].to(U.device), U[:, inside.to(U.device)])

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of A: unit vectors and zero rows, sparse."""
        index = self.index.cpu().numpy() if indices is None else self.index.cpu().numpy()[indices]
        row = np.flatnonzero(index >= 0)
        return sparse_rows(np.ones(len(row)), row, index[row], (len(index), self.inputs))

    def absolute(self) -> Rearrangement:
        """The map with ``|b|``."""
        return Rearrangement(self.index, self.inputs, self.bias.abs())


@dataclass(frozen=True, eq=False, repr=False)
class Diagonal(AffineMap):
    """``y_j = f_j x_j + b_j``: scaling, adding constants, batch normalisation in evaluation mode.

    Args:
        factor: f, shape (n,).
        bias: b, shape (n,); None for zeros.
    """

    kind: ClassVar[str] = "diagonal"
    light: ClassVar[bool] = True

    factor: Any
    bias: Any = None

    def __post_init__(self) -> None:
        factor = as_tensor(self.factor, "factor", shape=(None,))
        object.__setattr__(self, "factor", factor)
        object.__setattr__(self, "bias", constant_part(self.bias, factor.shape[0]))

    @property
    def inputs(self) -> int:
        """The number n of coordinates."""
        return int(self.factor.shape[0])

    @property
    def outputs(self) -> int:
        """As many as inputs."""
        return self.inputs

    @property
    def terms(self) -> int:
        """One number and a constant."""
        return 2

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return 2 * self.inputs

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate ``f x`` for each row x of X: (N, n) -> (N, n)."""
        return X * self.factor.to(X)

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Evaluate ``f u``: the matrix is its own transpose."""
        return U * self.factor.to(U)

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of A: multiples of unit vectors, sparse."""
        numbers = np.arange(self.inputs) if indices is None else indices
        return sparse_rows(
            self.factor.cpu().numpy()[numbers], np.arange(len(numbers)), numbers, (len(numbers), self.inputs)
        )

    def absolute(self) -> Diagonal:
        """The map ``x -> |f| x + |b|``."""
        return Diagonal(self.factor.abs(), self.bias.abs())


@dataclass(frozen=True, eq=False, repr=False)
class WeightedSums(AffineMap):
    """``y_j = b_j + sum_t w_{jt} x_{index_{jt}}``: average pooling, sums and means over axes, repeated matrices.

    Args:
        index: (m, t) positions in the input, -1 for none.
        weights: w, shape (m, t).
        input_size: the number n of input coordinates.
        bias: b, shape (m,); None for zeros.
    """

    kind: ClassVar[str] = "weighted_sums"

    index: Any
    weights: Any
    input_size: int
    bias: Any = None

    def __post_init__(self) -> None:
        index = as_index(self.index, self.input_size, axes=2)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "weights", as_tensor(self.weights, "weights", shape=tuple(index.shape)))
        object.__setattr__(self, "bias", constant_part(self.bias, index.shape[0]))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return self.input_size

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return int(self.index.shape[0])

    @property
    def terms(self) -> int:
        """The numbers of one sum, and the constant."""
        return int(self.index.shape[1]) + 1

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return int(self.weights.numel())

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate the sums for each row x of X: (N, n) -> (N, m)."""
        out = X.new_zeros(X.shape[0], self.outputs)
        for index, weights in self._columns(X):
            out = torch.addcmul(out, X[:, index], weights)
        return out

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Evaluate ``A^T u`` for each row u of U: (N, m) -> (N, n)."""
        out = U.new_zeros(U.shape[0], self.inputs)
        for index, weights in self._columns(U):
            out.index_add_(1, index, U * weights)
        return out

    def _columns(self, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The t-th index and weight of every sum, with weight 0 where there is none."""
        weights = torch.where(self.index >= 0, self.weights, 0.0).to(like)
        index = self.index.clamp(min=0).to(like.device)
        return [(index[:, t], weights[:, t]) for t in range(index.shape[1])]

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of A, sparse."""
        index, weights = self.index.cpu().numpy(), self.weights.cpu().numpy()
        if indices is not None:
            index, weights = index[indices], weights[indices]
        kept = (index >= 0) & (weights != 0)
        row = np.nonzero(kept)[0]
        return sparse_rows(weights[kept], row.astype(np.int64), index[kept], (index.shape[0], self.inputs))

    def absolute(self) -> WeightedSums:
        """The map with ``|w|`` and ``|b|``."""
        return WeightedSums(self.index, self.weights.abs(), self.inputs, self.bias.abs())


def as_index(value: Any, inputs: int, axes: int = 1) -> Int64[Tensor, ...]:
    """Positions in an input of this many coordinates, -1 for none.

    Raises:
        InputError: another number of axes, nothing, not whole numbers, or positions outside.
    """
    index = value.detach() if isinstance(value, Tensor) else torch.tensor(np.array(value))
    if index.ndim != axes or index.numel() == 0 or index.dtype.is_floating_point:
        raise InputError("index", expected=f"whole numbers with {axes} axes", got=f"{index.dtype} {tuple(index.shape)}")
    index = index.to(torch.int64).clone()
    if int(index.min()) < NOTHING or int(index.max()) >= inputs:
        raise InputError(
            "index", expected=f"positions from -1 to {inputs - 1}", got=f"{int(index.min())} to {int(index.max())}"
        )
    return index


__all__ = ["NOTHING", "Diagonal", "Rearrangement", "WeightedSums", "as_index"]
