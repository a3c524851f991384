"""Dense layers and convolutions of Keras: their kernels in the layout used here, and their padding."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.network.building import NetworkBuilder
from fiberscope.readers.keras.graph import Call
from fiberscope.readers.keras.tensor import (
    Tensor,
    arranged,
    channels_first,
    check_size,
    in_order,
    with_channels_first,
)


def dense(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """``x W + b`` along the last axis: kernel (inputs, outputs)."""
    (tensor,) = tensors
    weight, bias = call.weight("kernel").T, call.weight_if("bias")
    *lead, inputs = tensor.shape
    if prod(lead) == 1:
        # the columns are moved, which is exact, rather than the entries
        value = builder.reshape(tensor.value, (*lead, inputs))
        return in_order(builder.dense(call.name, value, weight[:, tensor.inverse], bias))
    # the same matrix at every place is a convolution with a kernel of one place
    grid = np.moveaxis(tensor.index.reshape(1, -1, inputs), -1, 1)
    value = arranged(builder, call.name, tensor, grid)
    check_size(call.name, (*lead, weight.shape[0]))
    out = builder.convolution(call.name, value, weight[:, :, None], bias)
    return Tensor(out, np.moveaxis(out.positions, 1, -1).reshape(*lead, weight.shape[0]))


def convolution(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A convolution: kernel (*grid, inputs / groups, outputs)."""
    weight = np.moveaxis(call.weight("kernel"), (-1, -2), (0, 1))
    return _convolved(builder, call, tensors, weight, call.operation.groups)


def depthwise(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A convolution of each channel on its own: kernel (*grid, inputs, outputs per input)."""
    return _convolved(builder, call, tensors, *_one_by_one(call.weight("kernel")))


def separable(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A convolution of each channel on its own, and then one at every place on its own."""
    between = _convolved(
        builder,
        call,
        tensors,
        *_one_by_one(call.weight("depthwise_kernel")),
        name=f"{call.name}.depthwise",
        biased=False,
    )
    value = builder.reshape(between.value, between.value.shape)
    weight = np.moveaxis(call.weight("pointwise_kernel"), (-1, -2), (0, 1))
    out = builder.convolution(call.name, value, weight, call.weight_if("bias"))
    return with_channels_first(out, call.operation.data_format)


def _one_by_one(kernel: FloatArray) -> tuple[FloatArray, int]:
    *grid, inputs, outputs = kernel.shape
    weight = np.moveaxis(kernel, (-2, -1), (0, 1)).reshape(inputs * outputs, 1, *grid)
    return weight, inputs


def _convolved(
    builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor], weight: FloatArray, groups: int, *,
    name: str = "", biased: bool = True,
) -> Tensor:  # fmt: skip
    (tensor,) = tensors
    layer = call.operation
    index = channels_first(tensor.index, layer.data_format)
    grid, kernel = index.shape[2:], weight.shape[2:]
    strides, dilation = tuple(layer.strides), tuple(layer.dilation_rate)
    padding = paddings(layer.padding, grid, kernel, strides, dilation)
    check_size(call.name, (weight.shape[0], *output_grid(grid, kernel, strides, dilation, padding)))
    value = arranged(builder, name or call.name, tensor, index)
    out = builder.convolution(
        name or call.name, value, weight, call.weight_if("bias") if biased else None,
        stride=strides, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip
    return with_channels_first(out, layer.data_format)


def paddings(
    padding: str, grid: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int] = ()
) -> tuple[tuple[int, int], ...]:
    """The places that Keras adds before and after each axis; of an odd number, the larger part comes after.

    Args:
        padding: ``valid``, ``same`` (as many outputs as inputs, divided by the stride), or ``causal`` (all before).
        grid: the size of the input along each axis.
        kernel: the size of the kernel along each axis.
        strides: one number per axis.
        dilation: one number per axis; 1 if not given.
    """
    out: list[tuple[int, int]] = []
    for size, taps, stride, step in zip(grid, kernel, strides, tuple(dilation) or (1,) * len(grid), strict=True):
        span = (taps - 1) * step + 1
        total = max(0, (-(-size // stride) - 1) * stride + span - size)
        places = {"valid": (0, 0), "causal": (span - 1, 0), "same": (total // 2, total - total // 2)}
        out.append(places[padding])
    return tuple(out)


def output_grid(
    grid: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> tuple[int, ...]:  # fmt: skip
    """The size of the output along each axis."""
    return tuple(
        (size + low + high - (taps - 1) * step - 1) // stride + 1
        for size, taps, stride, step, (low, high) in zip(grid, kernel, strides, dilation, padding, strict=True)
    )


def transposed(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A transposed convolution: kernel (*grid, outputs, inputs)."""
    (tensor,) = tensors
    layer = call.operation
    index = channels_first(tensor.index, layer.data_format)
    weight = np.moveaxis(call.weight("kernel"), (-1, -2), (0, 1))
    strides, dilation = tuple(layer.strides), tuple(layer.dilation_rate)
    cut = _cut_off(layer, weight.shape[2:], strides, dilation)
    grid = tuple(
        (size - 1) * stride + (taps - 1) * step + 1 - low - high
        for size, stride, taps, step, (low, high) in zip(
            index.shape[2:], strides, weight.shape[2:], dilation, cut, strict=True
        )
    )
    check_size(call.name, (weight.shape[1], *grid))
    value = arranged(builder, call.name, tensor, index)
    out = builder.transposed_convolution(
        call.name,
        value,
        weight,
        call.weight_if("bias"),
        output_grid=grid,
        stride=strides,
        padding=cut,
        dilation=dilation,
    )
    return with_channels_first(out, layer.data_format)


def _cut_off(
    layer: Any, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """The places that a transposed convolution cuts off before and after each axis; negative numbers add zeros."""
    out: list[tuple[int, int]] = []
    for axis, (taps, stride, step) in enumerate(zip(kernel, strides, dilation, strict=True)):
        span = (taps - 1) * step + 1
        more: int | None = None if layer.output_padding is None else layer.output_padding[axis]
        if layer.padding == "valid":
            out.append((0, -(max(span, stride) - span if more is None else more)))
        else:
            # what is kept: stride times the input's size, or (size - 1) * stride + span % 2 + output_padding
            kept = stride + span - 2 if more is None else span + span % 2 - 2 + more
            low = min(kept // 2 + kept % 2, span - 1)
            out.append((span - 1 - low, span - 1 - (kept - low)))
    return tuple(out)


__all__ = ["convolution", "dense", "depthwise", "output_grid", "paddings", "separable", "transposed"]
