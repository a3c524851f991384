"""Activations: what happens between affine maps, and what each means for the preimage of its output.

A ReLU tells an input apart from others only where it is positive, a clip only between its bounds. A strictly monotone
activation tells all of them apart: every row of the mixed system is an equality. Maximum pooling is piecewise linear
and mixes coordinates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import inf, isfinite
from typing import Any, assert_never

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from fiberscope.errors import InputError
from fiberscope.network.affine import AffineMap
from fiberscope.network.arrays import as_tensor
from fiberscope.network.monotone import Curve, Monotone
from fiberscope.network.structured import Diagonal, Rearrangement, as_index


class PointwiseKind(StrEnum):
    """What a pointwise activation computes."""

    RELU = "relu"
    """``max(x, 0)``."""
    LEAKY_RELU = "leaky_relu"
    """``x`` for x > 0 and ``slope * x`` else, with one slope per coordinate: leaky and parametric ReLU."""
    ELU = "elu"
    """``x`` for x > 0 and ``alpha (exp(x / beta) - 1)`` else; CELU and SELU are of this form, up to a factor."""
    SOFTPLUS = "softplus"
    """``log(1 + exp(beta x)) / beta``."""
    TANH = "tanh"
    """The hyperbolic tangent."""
    SIGMOID = "sigmoid"
    """``1 / (1 + exp(-x))``."""
    CLIP = "clip"
    """``min(max(x, alpha), beta)``, one of them may be infinite; ReLU6 is of this form."""


class Activation(ABC):
    """A map of flat vectors that is not affine."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name of the activation in files and tables."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """The number of input coordinates."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """The number of output coordinates."""

    @abstractmethod
    def apply(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate for each row x of X: (N, n) -> (N, m)."""

    @abstractmethod
    def derivative(self, x: Float[Tensor, " n"]) -> AffineMap:
        """The linear map that the activation is, or is close to, around x.

        Where it has a kink at x, one side counts: of a ReLU at 0 the constant one, as in the paper; of a maximum of
        equal numbers, the first.
        """


@dataclass(frozen=True, eq=False)
class Pointwise(Activation):
    """An activation that acts on every coordinate alone.

    Args:
        function: which one.
        size: the number of coordinates.
        alpha: the scale of the negative part of an ELU; the lower bound of a clip, -inf for none.
        beta: the width of the negative part of an ELU, the sharpness of a softplus; the upper bound of a clip, inf for
            none.
        slope: (size,) slopes for negative inputs, for LEAKY_RELU.

    Raises:
        InputError: slopes that do not fit, or parameters that are no activation.
    """

    function: PointwiseKind
    size: int
    alpha: float = 1.0
    beta: float = 1.0
    slope: Any = None

    def __post_init__(self) -> None:
        if (self.slope is not None) != (self.function is PointwiseKind.LEAKY_RELU):
            raise InputError("slope", expected="slopes for a leaky ReLU, and only there", got=str(self.function))
        if self.slope is not None:
            object.__setattr__(self, "slope", as_tensor(self.slope, "slope", shape=(self.size,)))
        if self.function in (PointwiseKind.ELU, PointwiseKind.SOFTPLUS) and not self.beta > 0:
            raise InputError(str(self.function), expected="beta > 0", got=f"{self.beta:g}")
        if self.function is PointwiseKind.CLIP and not _bounds_something(self.alpha, self.beta):
            expected = "bounds in order, at least one of them finite"
            raise InputError("clip", expected=expected, got=f"{self.alpha:g} and {self.beta:g}")

    @property
    def kind(self) -> str:
        """The name of the activation in files and tables."""
        return str(self.function)

    @property
    def inputs(self) -> int:
        """The number of coordinates."""
        return self.size

    @property
    def outputs(self) -> int:
        """As many as inputs."""
        return self.size

    def apply(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate for each row x of X: (N, n) -> (N, n)."""
        match self.function:
            case PointwiseKind.RELU:
                return X.clamp(min=0.0)
            case PointwiseKind.LEAKY_RELU:
                return torch.where(X > 0, X, X * self.slope.to(X))
            case PointwiseKind.ELU:
                return torch.where(X > 0, X, self.alpha * torch.expm1(X.clamp(max=0.0) / self.beta))
            case PointwiseKind.SOFTPLUS:
                return torch.logaddexp(X * self.beta, torch.zeros_like(X)) / self.beta
            case PointwiseKind.TANH:
                return torch.tanh(X)
            case PointwiseKind.SIGMOID:
                return torch.sigmoid(X)
            case PointwiseKind.CLIP:
                return X.clamp(self.alpha, self.beta)
            case _:
                assert_never(self.function)

    def derivative(self, x: Float[Tensor, " n"]) -> Diagonal:
        """Multiplication by the derivative at x, coordinate by coordinate."""
        return Diagonal(self._slopes(x))

    def _slopes(self, x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        match self.function:
            case PointwiseKind.RELU:
                return (x > 0).to(x)
            case PointwiseKind.LEAKY_RELU:
                return torch.where(x > 0, 1.0, self.slope.to(x))
            case PointwiseKind.ELU:
                return torch.where(x > 0, 1.0, self.alpha / self.beta * torch.exp(x.clamp(max=0.0) / self.beta))
            case PointwiseKind.SOFTPLUS:
                return torch.sigmoid(self.beta * x)
            case PointwiseKind.TANH:
                return torch.cosh(x).reciprocal().square()  # 1 - tanh^2 would cancel where it saturates
            case PointwiseKind.SIGMOID:
                return torch.sigmoid(x) * torch.sigmoid(-x)
            case PointwiseKind.CLIP:
                return ((x > self.alpha) & (x < self.beta)).to(x)
            case _:
                assert_never(self.function)

    def kinks(self) -> tuple[float, ...] | None:
        """Where the slope changes, if the activation is linear in between; None for a smooth activation.

        A clip with equal bounds is constant, and has no kink.
        """
        match self.function:
            case PointwiseKind.RELU | PointwiseKind.LEAKY_RELU:
                return (0.0,)
            case PointwiseKind.CLIP:
                return tuple(bound for bound in self.cut if isfinite(bound)) if self.alpha < self.beta else ()
            case PointwiseKind.ELU | PointwiseKind.SOFTPLUS | PointwiseKind.TANH | PointwiseKind.SIGMOID:
                return None
            case _:
                assert_never(self.function)

    def lines(self) -> tuple[tuple[Float[Tensor, " n"], float], ...]:
        """Slope and constant on every piece between the kinks, from left to right; none of a smooth activation."""
        flat, steep = (torch.full((self.size,), slope, dtype=torch.float64) for slope in (0.0, 1.0))
        match self.function:
            case PointwiseKind.RELU:
                return (flat, 0.0), (steep, 0.0)
            case PointwiseKind.LEAKY_RELU:
                return (self.slope.cpu(), 0.0), (steep, 0.0)
            case PointwiseKind.CLIP:
                if self.alpha == self.beta:
                    return ((flat, self.alpha),)
                below, above = ([(flat, bound)] if isfinite(bound) else [] for bound in self.cut)
                return (*below, (steep, 0.0), *above)
            case PointwiseKind.ELU | PointwiseKind.SOFTPLUS | PointwiseKind.TANH | PointwiseKind.SIGMOID:
                return ()
            case _:
                assert_never(self.function)

    def piece(self, z: Float[Tensor, " n"]) -> Int64[Tensor, " n"]:
        """The number of the piece that every coordinate is on at z, from 0 on the left; not of a smooth activation.

        On a kink it is the constant one, as in the paper: of a ReLU or the lower bound of a clip the piece before, of
        its upper bound the next. Where neither side is constant, or both are, it is the piece before.
        """
        number, lines = torch.zeros_like(z, dtype=torch.int64), self.lines()
        for kink, ((before, _), (behind, _)) in zip(self.kinks() or (), pairwise(lines), strict=True):
            begins = ((before != 0) & (behind == 0)).to(z.device)
            number = number + torch.where(begins, z >= kink, z > kink).to(torch.int64)
        return number

    def injective(self) -> Bool[Tensor, " n"] | None:
        """Where equal outputs mean equal inputs, coordinate by coordinate; elsewhere it is a clip to ``cut``.

        None where neither holds: a negative slope gives one output to two inputs.
        """
        match self.function:
            case PointwiseKind.RELU | PointwiseKind.CLIP:
                return torch.zeros(self.size, dtype=torch.bool)
            case PointwiseKind.LEAKY_RELU:
                return None if bool((self.slope < 0).any()) else self.slope > 0
            case PointwiseKind.ELU:
                return None if self.alpha < 0 else torch.full((self.size,), self.alpha > 0)
            case PointwiseKind.SOFTPLUS | PointwiseKind.TANH | PointwiseKind.SIGMOID:
                return torch.ones(self.size, dtype=torch.bool)
            case _:
                assert_never(self.function)

    def monotone(self) -> Monotone | None:
        """Which functions the injective coordinates are; None where there are none, or slopes are negative."""
        match self.function:
            case PointwiseKind.LEAKY_RELU:
                return Monotone(Curve.LEAKY_RELU, self.slope.double().cpu().numpy())
            case PointwiseKind.ELU if self.alpha > 0:
                return Monotone(np.full(self.size, Curve.ELU), self.alpha, self.beta)
            case PointwiseKind.SOFTPLUS:
                return Monotone(np.full(self.size, Curve.SOFTPLUS), 1.0, self.beta)
            case PointwiseKind.TANH:
                return Monotone(np.full(self.size, Curve.TANH))
            case PointwiseKind.SIGMOID:
                return Monotone(np.full(self.size, Curve.SIGMOID))
            case PointwiseKind.RELU | PointwiseKind.CLIP | PointwiseKind.ELU:
                return None
            case _:
                assert_never(self.function)

    @property
    def cut(self) -> tuple[float, float]:
        """The bounds that the coordinates which are not injective are clipped to: those of a ReLU are 0 and inf."""
        return (self.alpha, self.beta) if self.function is PointwiseKind.CLIP else (0.0, inf)

    @property
    def output_bounds(self) -> tuple[float, float]:
        """Bounds of all outputs: those of a clip, otherwise 0 and inf where no output is negative."""
        match self.function:
            case PointwiseKind.CLIP:
                return self.cut
            case PointwiseKind.RELU | PointwiseKind.SOFTPLUS | PointwiseKind.SIGMOID:
                nonnegative = True
            case PointwiseKind.LEAKY_RELU:
                nonnegative = bool((self.slope <= 0).all())
            case PointwiseKind.ELU:
                nonnegative = self.alpha <= 0
            case PointwiseKind.TANH:
                nonnegative = False
            case _:
                assert_never(self.function)
        return (0.0 if nonnegative else -inf), inf


@dataclass(frozen=True, eq=False)
class Maximum(Activation):
    """``y_j = max_t x_{index_{jt}}``: maximum pooling, and the maximum of several tensors.

    Args:
        index: (m, t) positions in the input, -1 for none; at least one position in every row.
        size: the number n of input coordinates.
    """

    index: Any
    size: int

    def __post_init__(self) -> None:
        index = as_index(self.index, self.size, axes=2)
        if not bool((index >= 0).any(dim=1).all()):
            raise InputError("max pooling", expected="at least one input in every window", got="a window of padding")
        object.__setattr__(self, "index", index)

    @property
    def kind(self) -> str:
        """The name of the activation in files and tables."""
        return "maximum"

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return self.size

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return int(self.index.shape[0])

    def apply(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate for each row x of X: (N, n) -> (N, m)."""
        index = self.index.to(X.device)
        out: Tensor | None = None
        for t in range(index.shape[1]):
            values = torch.where(index[:, t] >= 0, X[:, index[:, t].clamp(min=0)], -torch.inf)
            out = values if out is None else torch.maximum(out, values)
        assert out is not None, "an index has at least one column"
        return out

    def derivative(self, x: Float[Tensor, " n"]) -> Rearrangement:
        """The selection of the largest number of every window, of the first one where several are."""
        index = self.index.to(x.device)
        values = torch.where(index >= 0, x[index.clamp(min=0)], -torch.inf)
        return Rearrangement(index.gather(1, values.argmax(dim=1, keepdim=True))[:, 0], self.size)


def _bounds_something(low: float, high: float) -> bool:
    """Whether these are the bounds of a clip: in order, finite on one side at least, with a number between them."""
    return low <= high and (isfinite(low) or isfinite(high)) and low < inf and high > -inf


def relu(size: int) -> Pointwise:
    """``max(x, 0)`` on ``size`` coordinates."""
    return Pointwise(PointwiseKind.RELU, size)


__all__ = ["Activation", "Maximum", "Pointwise", "PointwiseKind", "relu"]
