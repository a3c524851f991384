"""Layers of Keras that only move numbers: flattening, padding, cropping, repeating."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from fiberscope.errors import ModelError
from fiberscope.network.arrays import IntArray
from fiberscope.network.building import NetworkBuilder
from fiberscope.network.structured import NOTHING
from fiberscope.readers.keras.graph import Call
from fiberscope.readers.keras.tensor import (
    Tensor,
    arranged,
    channels_first,
    check_size,
    in_order,
    with_channels_first,
)
from fiberscope.readers.resampling import interpolated, linear_weights


def unchanged(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Layers that pass their input on at inference: dropout, noise, augmentation."""
    (tensor,) = tensors
    return tensor


def flatten(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """All entries along one axis; images with their channels first are turned before."""
    (tensor,) = tensors
    index = tensor.index
    if call.operation.data_format == "channels_first" and index.ndim > 1:
        index = np.moveaxis(index, 1, -1)
    return Tensor(tensor.value, index.reshape(1, -1))


def reshape(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Another shape."""
    (tensor,) = tensors
    return Tensor(tensor.value, tensor.index.reshape(1, *call.operation.target_shape))


def permute(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """The axes of a sample in another order."""
    (tensor,) = tensors
    return Tensor(tensor.value, tensor.index.transpose(0, *call.operation.dims))


def repeat_vector(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A vector several times."""
    (tensor,) = tensors
    _, inputs = tensor.shape
    check_size(call.name, (call.operation.n, inputs))
    return taken(builder, call, tensor, np.repeat(tensor.index[:, None, :], call.operation.n, axis=1))


def zero_padding(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Zeros around an image."""
    (tensor,) = tensors
    index = channels_first(tensor.index, call.operation.data_format)
    padding = _per_axis(call.operation.padding)
    check_size(call.name, [index.shape[1], *(n + sum(p) for n, p in zip(index.shape[2:], padding, strict=True))])
    return _image(builder, call, tensor, np.pad(index, [(0, 0), (0, 0), *padding], constant_values=NOTHING))


def cropping(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """A part of an image."""
    (tensor,) = tensors
    data_format = getattr(call.operation, "data_format", "channels_last")  # one-dimensional layers have none
    index = channels_first(tensor.index, data_format)
    sides = zip(index.shape[2:], _per_axis(call.operation.cropping), strict=True)
    inside = tuple(slice(low, size - high) for size, (low, high) in sides)
    return _image(builder, call, tensor, index[(slice(None), slice(None), *inside)])


def up_sampling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Every place of an image several times, or places between them by linear interpolation."""
    (tensor,) = tensors
    size = call.operation.size
    data_format = getattr(call.operation, "data_format", "channels_last")
    index = channels_first(tensor.index, data_format)
    times = (size,) * (index.ndim - 2) if isinstance(size, int) else tuple(size)
    check_size(call.name, (index.size, prod(times)))
    if getattr(call.operation, "interpolation", "nearest") == "bilinear":
        matrices = [linear_weights(n, n * count) for n, count in zip(index.shape[2:], times, strict=True)]
        found, weights = interpolated(index, matrices)
        return with_channels_first(builder.weighted_sums(call.name, tensor.value, found, weights), data_format)
    for axis, count in enumerate(times, start=2):
        index = np.repeat(index, count, axis=axis)
    return _image(builder, call, tensor, index)


def _per_axis(sides: Sequence[int] | Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Numbers before and after each axis; layers of one dimension give one pair."""
    pairs = [sides] if isinstance(sides[0], int) else sides
    return [(low, high) for low, high in pairs]  # type: ignore[misc]


def _image(builder: NetworkBuilder, call: Call, tensor: Tensor, index: IntArray) -> Tensor:
    value = arranged(builder, call.name, tensor, index)
    return with_channels_first(value, getattr(call.operation, "data_format", "channels_last"))


def taken(builder: NetworkBuilder, call: Call, tensor: Tensor, index: IntArray) -> Tensor:
    """Some entries of a tensor, by their positions, each as often as it is named; -1 gives zero.

    Raises:
        ModelError: no entry is left.
    """
    if not index.size:
        raise ModelError(f"{call.name} gives an empty tensor of shape {index.shape[1:]}; expected at least one number")
    return in_order(arranged(builder, call.name, tensor, index))


__all__ = [
    "cropping",
    "flatten",
    "permute",
    "repeat_vector",
    "reshape",
    "taken",
    "unchanged",
    "up_sampling",
    "zero_padding",
]
