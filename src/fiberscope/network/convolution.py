"""Convolutions in one, two or three dimensions, and their transposes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own name for it

from fiberscope.errors import InputError
from fiberscope.network.affine import AffineMap, constant_part
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray, as_tensor
from fiberscope.network.rows import Rows, product, sparse_rows
from fiberscope.network.sparse_rows import SparseRows

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_SPREAD = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclass(frozen=True, eq=False, repr=False)
class Convolution(AffineMap):
    """A convolution (as the field says; a cross-correlation) of channels over a grid.

    ``y[c, o] = b[c, o] + sum_{i, q} w[c, i, q] x[i, o * stride - padding + q * dilation]``, zero outside the grid, with
    i over the input channels of c's group.

    Args:
        weight: w, shape (output channels, input channels / groups, *kernel).
        input_shape: (input channels, *grid).
        bias: b, shape (output channels,) or one number per output, (m,); None for zeros.
        stride: one number per axis of the grid.
        padding: zeros before and after each axis; negative numbers cut off.
        dilation: one number per axis.
        groups: how many blocks of channels are convolved on their own.

    Raises:
        InputError: sizes that do not fit, or numbers that are not finite.
    """

    kind: ClassVar[str] = "convolution"

    weight: Any
    input_shape: tuple[int, ...]
    bias: Any = None
    stride: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    def __post_init__(self) -> None:
        axes = len(self.input_shape) - 1
        if axes not in _CONVOLVE:
            raise InputError("convolution", expected="a grid of 1, 2 or 3 axes", got=f"{axes} axes")
        weight = as_tensor(self.weight, "weight", shape=(None,) * (axes + 2))
        object.__setattr__(self, "weight", weight)
        defaults: dict[str, Any] = {"stride": (1,) * axes, "dilation": (1,) * axes, "padding": ((0, 0),) * axes}
        for name, default in defaults.items():
            object.__setattr__(self, name, tuple(getattr(self, name)) or default)
        self._check(axes)
        channels, outputs = int(weight.shape[0]), prod(self.output_shape)
        bias = self.bias
        if bias is not None:
            bias = as_tensor(bias, "bias", shape=(None,))
            if bias.shape[0] == channels != outputs:
                bias = bias.repeat_interleave(outputs // channels)
        object.__setattr__(self, "bias", constant_part(bias, outputs))

    def _check(self, axes: int) -> None:
        channels, groups = self.input_shape[0], self.groups
        steps = (*self.stride, *self.dilation, groups)
        per_axis = len(self.stride) == len(self.dilation) == len(self.padding) == axes
        if not per_axis or min(steps) < 1 or any(len(pair) != 2 for pair in self.padding):
            raise InputError(
                "convolution",
                expected=f"positive strides, dilations and groups, and paddings, for {axes} axes",
                got=f"stride {self.stride}, dilation {self.dilation}, padding {self.padding}, groups {groups}",
            )
        if channels != self.weight.shape[1] * groups or self.weight.shape[0] % groups:
            raise InputError(
                "convolution weight",
                expected=f"shape (a multiple of {groups}, {channels / groups:g}, ...)",
                got=f"shape {tuple(self.weight.shape)} for {channels} input channels in {groups} groups",
            )
        if min(self.output_shape) < 1:
            raise InputError("convolution", expected="a kernel no larger than the padded grid", got=repr(self))

    @property
    def kernel(self) -> tuple[int, ...]:
        """The size of the kernel."""
        return tuple(int(size) for size in self.weight.shape[2:])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(output channels, *grid)."""
        grid = tuple(
            (size + low + high - step * (taps - 1) - 1) // stride + 1
            for size, (low, high), step, taps, stride in zip(
                self.input_shape[1:], self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return (int(self.weight.shape[0]), *grid)

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return prod(self.output_shape)

    @property
    def terms(self) -> int:
        """The entries of one filter, and the constant."""
        return int(self.weight[0].numel()) + 1

    @property
    def parameters(self) -> int:
        """The number of stored numbers, with one constant per channel where the outputs of a channel share it."""
        by_channel = self.bias.reshape(self.output_shape[0], -1)
        shared = bool((by_channel == by_channel[:, :1]).all())
        return int(self.weight.numel() + (by_channel.shape[0] if shared else by_channel.numel()))

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate ``A x`` for each row x of X: (N, n) -> (N, m)."""
        grid = F.pad(X.reshape(X.shape[0], *self.input_shape), self._pads(1))
        convolve: Any = _CONVOLVE[len(self.kernel)]
        out: Tensor = convolve(grid, self.weight.to(X), None, self.stride, 0, self.dilation, self.groups)
        return out.reshape(X.shape[0], self.outputs)

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Evaluate ``A^T u`` for each row u of U: (N, m) -> (N, n)."""
        left_over = tuple(
            size + low + high - (out - 1) * stride - step * (taps - 1) - 1
            for size, (low, high), out, stride, step, taps in zip(
                self.input_shape[1:], self.padding, self.output_shape[1:], self.stride, self.dilation, self.kernel,
                strict=True,
            )
        )  # fmt: skip
        spread: Any = _SPREAD[len(self.kernel)]
        grid = U.reshape(U.shape[0], *self.output_shape)
        out: Tensor = spread(grid, self.weight.to(U), None, self.stride, 0, 0, self.groups, self.dilation)
        back = F.pad(out, [side for rest in reversed(left_over) for side in (0, rest)])
        return F.pad(back, self._pads(-1)).reshape(U.shape[0], self.inputs)

    def _pads(self, sign: int) -> list[int]:
        return [sign * side for pair in reversed(self.padding) for side in pair]

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of A with these indices, or all of them: shape (k, n), sparse."""
        weight: FloatArray = self.weight.cpu().numpy()
        grid = self.input_shape[1:]
        places = prod(self.output_shape[1:])
        numbers = np.arange(self.outputs) if indices is None else indices
        channel, place = np.divmod(numbers, places)
        position, inside = self.taps()
        width = int(weight.shape[1])
        group = channel // (weight.shape[0] // self.groups)
        first = (group[:, None] * width + np.arange(width)) * prod(grid)  # (k, width): where each channel begins
        columns = first[:, :, None] + position[place][:, None, :]
        data = weight.reshape(weight.shape[0], width, -1)[channel]
        kept = np.broadcast_to(inside[place][:, None, :], data.shape) & (data != 0)
        row = np.broadcast_to(np.arange(len(numbers))[:, None, None], data.shape)[kept]
        return sparse_rows(data[kept], row, columns[kept], (len(numbers), self.inputs))

    def taps(self) -> tuple[Int64[IntArray, "p t"], Bool[BoolArray, "p t"]]:
        """For every place of the output grid and tap of the kernel: the place in the input grid, and whether inside."""
        outputs, taps = (
            np.stack([axis.ravel() for axis in np.indices(sizes)]) for sizes in (self.output_shape[1:], self.kernel)
        )
        stride, dilation, low = (
            np.array(numbers)[:, None]
            for numbers in (self.stride, self.dilation, [pair[0] for pair in self.padding])
        )  # fmt: skip
        coordinate = (outputs * stride - low)[:, :, None] + (taps * dilation)[:, None, :]
        grid = np.array(self.input_shape[1:])[:, None, None]
        inside = ((coordinate >= 0) & (coordinate < grid)).all(axis=0)
        clipped = np.clip(coordinate, 0, grid - 1)
        position = np.asarray(np.ravel_multi_index(tuple(clipped), self.input_shape[1:]), dtype=np.int64)
        return position, np.asarray(inside)

    def entrywise(self, change: Callable[[Tensor], Tensor]) -> Convolution:
        """The matrix of changed absolute values of entries, of a change that leaves zeros; without constants."""
        weight = change(self.weight.abs())
        return Convolution(weight, self.input_shape, None, self.stride, self.padding, self.dilation, self.groups)

    def absolute(self) -> Convolution:
        """The map ``x -> |A| x + |b|``."""
        return Convolution(
            self.weight.abs(), self.input_shape, self.bias.abs(), self.stride, self.padding, self.dilation, self.groups
        )

    def __repr__(self) -> str:
        kernel = "x".join(map(str, self.kernel))
        return f"Convolution({self.input_shape} -> {self.output_shape}, kernel {kernel}, stride {self.stride})"


def joined_pointwise(first: Convolution, second: Convolution) -> Convolution | None:
    """A convolution behind another as one, where both read single places; None elsewhere.

    Its numbers are those of the written matrices' product, rounded after every operation in the same order.
    """
    places = prod(first.output_shape[1:])
    for part in (first, second):
        if set(part.kernel) != {1} or set(part.stride) != {1} or part.groups > 1 or any(map(any, part.padding)):
            return None
    outer, inner = (np.asarray(part.weight.cpu().numpy())[..., *[0] * len(part.kernel)] for part in (second, first))
    constants = product(outer, first.bias.cpu().numpy().reshape(len(inner), places))
    bias = second.bias.cpu().numpy() + np.asarray(constants).ravel()
    weight = np.asarray(product(outer, inner)).reshape(*outer.shape[:1], -1, *second.kernel)
    return Convolution(weight, first.input_shape, bias)


@dataclass(frozen=True, eq=False, repr=False)
class Transposed(AffineMap):
    """``x -> A^T x + b`` for the matrix A of another map: a transposed convolution.

    Args:
        forward: the map with the matrix A of shape (n, m); its constant part plays no role.
        bias: b, shape (m,) or, behind a convolution, (output channels,); None for zeros.
    """

    kind: ClassVar[str] = "transposed"

    forward: Convolution
    bias: Any = None

    def __post_init__(self) -> None:
        bias = self.bias
        if bias is not None:
            bias = as_tensor(bias, "bias", shape=(None,))
            channels = self.forward.input_shape[0]
            if bias.shape[0] == channels != self.outputs:
                bias = bias.repeat_interleave(self.outputs // channels)
        object.__setattr__(self, "bias", constant_part(bias, self.outputs))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return self.forward.outputs

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return self.forward.inputs

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(output channels, *grid)."""
        return self.forward.input_shape

    @property
    def terms(self) -> int:
        """At most all entries of the kernel that lead to one channel, and the constant."""
        weight = self.forward.weight
        return int(weight.numel() // (weight.shape[1] * self.forward.groups)) + 1

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return int(self.forward.weight.numel()) + self.forward.input_shape[0]

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Evaluate ``A^T x`` for each row x of X."""
        return self.forward.adjoint(X)

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Evaluate ``A u`` for each row u of U."""
        return self.forward.linear(U)

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of ``A^T`` with these indices, or all of them: sparse."""
        transposed = SparseRows(self.forward.rows().T)
        transposed.sort_indices()
        return transposed if indices is None else transposed[indices]

    def absolute(self) -> Transposed:
        """The map ``x -> |A^T| x + |b|``."""
        return Transposed(self.forward.absolute(), self.bias.abs())


__all__ = ["Convolution", "Transposed", "joined_pointwise"]
