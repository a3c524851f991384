"""Pooling layers of Keras: averages are affine, maxima are activations."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.building import NetworkBuilder, windows
from fiberscope.network.structured import NOTHING
from fiberscope.readers.keras.convolution import output_grid, paddings
from fiberscope.readers.keras.graph import Call
from fiberscope.readers.keras.library import backend_name
from fiberscope.readers.keras.tensor import Tensor, channels_first, check_size, with_channels_first


def average_pooling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Means over windows; what is padded does not count, except on the backend torch."""
    (tensor,) = tensors
    layer = call.operation
    index = channels_first(tensor.index, layer.data_format)
    padding = paddings(layer.padding, index.shape[2:], layer.pool_size, layer.strides)
    if _repeats_edges(padding):
        builder.note(
            f"{call.name}: Keras pads this average pooling with repeated edge values on its backend torch, and counts "
            "only what is there on others; the network does as torch"
        )
        index = np.pad(index, [(0, 0), (0, 0), *padding], mode="edge")
        padding = ((0, 0),) * len(padding)  # it is there now
        return means(builder, call, tensor, *_without_repetitions(_windows(call, index, padding)))
    return means(builder, call, tensor, _windows(call, index, padding))


def max_pooling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Maxima over windows; what is padded does not count."""
    (tensor,) = tensors
    layer = call.operation
    index = channels_first(tensor.index, layer.data_format)
    padding = paddings(layer.padding, index.shape[2:], layer.pool_size, layer.strides)
    return _maxima(builder, call, tensor, _windows(call, index, padding))


def _windows(call: Call, index: IntArray, padding: Sequence[tuple[int, int]]) -> IntArray:
    """The positions in each window: (1, channels, *grid) -> (1, channels, *output grid, taps)."""
    layer, grid = call.operation, index.shape[2:]
    places = output_grid(grid, layer.pool_size, layer.strides, (1,) * len(grid), padding)
    check_size(call.name, (index.shape[1], *places, prod(layer.pool_size)))
    return windows(index, layer.pool_size, stride=layer.strides, padding=padding)


def _repeats_edges(padding: Sequence[tuple[int, int]]) -> bool:
    """Whether Keras pads an average with the values at the edge, and counts them.

    Its backend torch does so where the padding differs before and after; all others count only what is there.
    """
    return backend_name() == "torch" and any(low != high for low, high in padding)


def global_average_pooling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Means over all places."""
    (tensor,) = tensors
    return _kept(builder, call, means(builder, call, tensor, _everywhere(call, tensor)))


def global_max_pooling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Maxima over all places."""
    (tensor,) = tensors
    return _kept(builder, call, _maxima(builder, call, tensor, _everywhere(call, tensor)))


def _everywhere(call: Call, tensor: Tensor) -> IntArray:
    """All positions of each channel, as one window: (1, channels, 1, ..., 1, taps)."""
    index = channels_first(tensor.index, call.operation.data_format)
    ones = (1,) * (index.ndim - 2)
    return index.reshape(1, index.shape[1], *ones, -1)


def _kept(builder: NetworkBuilder, call: Call, pooled: Tensor) -> Tensor:
    """What a global pooling gives, with or without the axes of the grid."""
    if call.operation.keepdims:
        return pooled
    value = builder.reshape(pooled.value, (1, pooled.value.size))
    return Tensor(value, value.positions)


def adaptive_average_pooling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Means over as many windows as there are to be outputs."""
    (tensor,) = tensors
    return means(builder, call, tensor, _adapted(call, tensor))


def adaptive_max_pooling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Maxima over as many windows as there are to be outputs."""
    (tensor,) = tensors
    return _maxima(builder, call, tensor, _adapted(call, tensor))


def _adapted(call: Call, tensor: Tensor) -> IntArray:
    """The positions in the windows of an adaptive pooling: (1, channels, *output grid, taps), -1 where one is shorter.

    Window i of m along an axis of n places reaches from ``floor(i n / m)`` to before ``ceil((i + 1) n / m)``.
    """
    sizes: tuple[int, ...] = tuple(call.operation.output_size)
    index = channels_first(tensor.index, call.operation.data_format)
    grid = index.shape[2:]
    padded = np.pad(index, [(0, 0), (0, 0)] + [(0, 1)] * len(grid), constant_values=NOTHING)
    bins: list[IntArray] = []
    for places, size in zip(grid, sizes, strict=True):
        start = np.arange(size) * places // size
        stop = -(-(np.arange(size) + 1) * places // size)
        taps = start[:, None] + np.arange(int((stop - start).max()))
        taps[taps >= stop[:, None]] = places  # the place behind the last one holds nothing
        bins.append(taps)
    check_size(call.name, (index.shape[1], *sizes, prod(taps.shape[1] for taps in bins)))
    axes = len(grid)
    spread = [
        taps.reshape(*[taps.shape[0] if i == axis else 1 for i in range(axes)],
                     *[taps.shape[1] if i == axis else 1 for i in range(axes)])
        for axis, taps in enumerate(bins)
    ]  # fmt: skip
    found = padded[(slice(None), slice(None), *spread)]
    return found.reshape(*found.shape[: 2 + axes], -1)


def means(
    builder: NetworkBuilder, call: Call, tensor: Tensor, found: IntArray, weights: FloatArray | None = None
) -> Tensor:
    """Sums over the last axis of positions (1, channels, *grid, taps); by default means, -1 not counted."""
    if weights is None:
        weights = np.broadcast_to(1.0 / (found != NOTHING).sum(axis=-1, keepdims=True), found.shape)
    out = builder.weighted_sums(call.name, tensor.value, found, weights)
    return with_channels_first(out, getattr(call.operation, "data_format", "channels_first"))


def _without_repetitions(found: IntArray) -> tuple[IntArray, FloatArray]:
    """Positions and weights of the means, with every position once: an edge that is repeated has a larger weight."""
    index, weights = found.copy(), np.full(found.shape, 1.0 / found.shape[-1])
    for later in range(1, found.shape[-1]):
        for earlier in range(later):
            same = (index[..., earlier] == index[..., later]) & (index[..., later] != NOTHING)
            weights[..., earlier] += np.where(same, weights[..., later], 0.0)
            index[..., later] = np.where(same, NOTHING, index[..., later])
    return index, weights


def _maxima(builder: NetworkBuilder, call: Call, tensor: Tensor, found: IntArray) -> Tensor:
    return with_channels_first(builder.maximum(call.name, tensor.value, found), call.operation.data_format)


__all__ = [
    "adaptive_average_pooling",
    "adaptive_max_pooling",
    "average_pooling",
    "global_average_pooling",
    "global_max_pooling",
    "max_pooling",
    "means",
]
