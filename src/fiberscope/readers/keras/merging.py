"""Layers of Keras that take several tensors: sums, means, differences, maxima, concatenations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fiberscope.network.building import NetworkBuilder, Value
from fiberscope.readers.keras.graph import Call
from fiberscope.readers.keras.scaling import scaled
from fiberscope.readers.keras.tensor import Tensor, arranged, check_size, in_order


def add(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """The sum of several tensors, broadcast to each other."""
    if len(tensors) == 1:
        return tensors[0]
    first, *others = tensors
    if any(other.shape != first.shape for other in others):
        values = [arranged(builder, call.name, tensor, tensor.index) for tensor in tensors]
        check_size(call.name, np.broadcast_shapes(*(tensor.shape for tensor in tensors)))
        return in_order(builder.add(call.name, values))
    inverse = first.inverse
    values = [first.value]
    for other in others:
        index = other.index.ravel()[inverse].reshape(first.value.shape)  # in the order of the first
        values.append(arranged(builder, call.name, other, index))
    return Tensor(builder.add(call.name, values), first.index)


def average(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """The mean of several tensors."""
    return scaled(builder, call.name, add(builder, call, tensors), 1.0 / len(tensors))


def subtract(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """The difference of two tensors."""
    left, right = tensors
    return add(builder, call, [left, scaled(builder, call.name, right, -1.0)])


def concatenate(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side along an axis."""
    starts = np.cumsum([0, *(tensor.index.size for tensor in tensors)])
    parts = [tensor.index + start for tensor, start in zip(tensors, starts, strict=False)]
    index = np.concatenate(parts, axis=call.operation.axis)
    check_size(call.name, index.shape)
    return Tensor(_behind_each_other(builder, call, tensors), index)


def _behind_each_other(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Value:
    """All entries of several tensors, each in the order that it has: images channel by channel, the rest flat."""
    values = [tensor.value for tensor in tensors]
    if len(values) == 1:
        return values[0]
    grids = {value.shape[2:] for value in values if value.shape[:1] == (1,) and len(value.shape) > 2}
    if len(grids) != 1 or any(value.shape[2:] not in grids for value in values):
        values = [builder.reshape(value, (1, value.size)) for value in values]
    return builder.concatenate(call.name, values, 1)


def maximum(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """The largest of several tensors, entry by entry."""
    if len(tensors) == 1:
        return tensors[0]
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    check_size(call.name, (*shape, len(tensors)))
    starts = np.cumsum([0, *(tensor.index.size for tensor in tensors)])
    index = np.stack(
        [np.broadcast_to(tensor.index, shape) + start for tensor, start in zip(tensors, starts, strict=False)], axis=-1
    )
    joined = _behind_each_other(builder, call, tensors)
    first = tensors[0]
    if first.shape != shape:
        return in_order(builder.maximum(call.name, joined, index))
    held = index.reshape(-1, len(tensors))[first.inverse].reshape(*first.value.shape, len(tensors))
    return Tensor(builder.maximum(call.name, joined, held), first.index)


def minimum(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """The smallest of several tensors, entry by entry: ``min(a, b) = -max(-a, -b)``."""
    if len(tensors) == 1:
        return tensors[0]
    negative = [scaled(builder, call.name, tensor, -1.0) for tensor in tensors]
    return scaled(builder, call.name, maximum(builder, call, negative), -1.0)


__all__ = ["add", "average", "concatenate", "maximum", "minimum", "subtract"]
