"""Affine maps x -> A x + b: what every one of them supplies, what follows from it, and the dense one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fiberscope.network.arrays import IntArray, as_tensor
from fiberscope.network.rows import Rows


class AffineMap(ABC):
    """The map ``x -> A x + b`` on flat vectors, A of shape (m, n).

    A map supplies products with A and its transpose in whatever way is cheap for it, on the device and in the precision
    of what it is applied to; nobody else asks for A as a whole. The rest is derived.
    """

    kind: ClassVar[str]
    """The name of the map in files and tables."""

    bias: Tensor
    """The constant part b, shape (m,)."""

    light: ClassVar[bool] = False
    """Whether the map only moves or scales numbers: such maps belong to the affine map that follows them."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """The number n of input coordinates."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """The number m of output coordinates."""

    @property
    @abstractmethod
    def terms(self) -> int:
        """The largest number of terms, the constant included, that an output coordinate is a sum of."""

    @abstractmethod
    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate ``A x``, without the constant part, for each row x of X: (N, n) -> (N, m)."""

    @abstractmethod
    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Evaluate ``A^T u`` for each row u of U: (N, m) -> (N, n)."""

    @abstractmethod
    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of A with these indices, or all of them: shape (k, n), sparse where the map is."""

    @abstractmethod
    def absolute(self) -> AffineMap:
        """The map ``x -> |A| x + |b|``; in the map of a composition, of each factor."""

    def moved(self, device: str | torch.device) -> AffineMap:
        """The same map with its numbers on another device."""
        twin = object.__new__(type(self))
        for name, value in vars(self).items():
            object.__setattr__(twin, name, _moved(value, device))
        return twin

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return 0

    def apply(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate ``A x + b`` for each row x of X: (N, n) -> (N, m)."""
        return self.linear(X) + self.bias.to(X)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inputs} -> {self.outputs})"


@dataclass(frozen=True, eq=False, repr=False)
class Dense(AffineMap):
    """The affine map whose matrix is written out.

    Args:
        weight: A, shape (m, n), finite.
        bias: b, shape (m,); None for zeros.

    Raises:
        InputError: wrong shapes, empty, NaN or infinite entries.
    """

    kind: ClassVar[str] = "dense"

    weight: Any
    bias: Any = None

    def __post_init__(self) -> None:
        weight = as_tensor(self.weight, "weight", shape=(None, None))
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", constant_part(self.bias, weight.shape[0]))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return int(self.weight.shape[1])

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return int(self.weight.shape[0])

    @property
    def terms(self) -> int:
        """All inputs, and the constant."""
        return self.inputs + 1

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return int(self.weight.numel() + self.bias.numel())

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate ``A x`` for each row x of X: (N, n) -> (N, m)."""
        return X @ self.weight.to(X).T

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Evaluate ``A^T u`` for each row u of U: (N, m) -> (N, n)."""
        return U @ self.weight.to(U)

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of A with these indices, or all of them: shape (k, n)."""
        weight = self.weight.cpu().numpy()
        return weight if indices is None else weight[indices]

    def absolute(self) -> Dense:
        """The map ``x -> |A| x + |b|``."""
        return Dense(self.weight.abs(), self.bias.abs())


def constant_part(value: Any, outputs: int) -> Float[Tensor, " m"]:
    """The constant part of a map as a tensor; zeros for None."""
    if value is None:
        return torch.zeros(outputs, dtype=torch.float64)
    return as_tensor(value, "bias", shape=(outputs,))


def _moved(value: Any, device: str | torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, AffineMap):
        return value.moved(device)
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in cast("tuple[Any, ...]", value))
    return value


__all__ = ["AffineMap", "Dense", "constant_part"]
