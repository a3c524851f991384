"""Layers of Keras that scale and shift: batch normalisation at inference, normalisation of inputs, rescaling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.network.building import NetworkBuilder, batch_norm_scaling
from fiberscope.readers.keras.graph import Call
from fiberscope.readers.keras.library import keras_library
from fiberscope.readers.keras.tensor import Tensor, check_size, in_order


def scaled(
    builder: NetworkBuilder,
    name: str,
    tensor: Tensor,
    factor: FloatArray | float = 1.0,
    shift: FloatArray | float = 0.0,
) -> Tensor:
    """``factor * x + shift``, both broadcast to the tensor's shape, and the tensor to theirs."""
    shape = np.broadcast_shapes(tensor.shape, np.shape(factor), np.shape(shift))
    if shape != tensor.shape:
        check_size(name, shape)
        tensor = in_order(builder.take(name, tensor.value, np.broadcast_to(tensor.index, shape)))
    value = builder.scaled(name, tensor.value, tensor.held(factor), tensor.held(shift))
    return Tensor(value, tensor.index)


def batch_normalization(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` with the moving mean and variance."""
    (tensor,) = tensors
    layer = call.operation
    shape = [1] * len(tensor.shape)
    shape[layer.axis] = -1
    mean, variance = (call.weight(name) for name in ("moving_mean", "moving_variance"))
    gamma, beta = (call.weight_if(name) for name in ("gamma", "beta"))
    factor, shift = batch_norm_scaling(mean, variance, layer.epsilon, gamma, beta)
    return scaled(builder, call.name, tensor, factor.reshape(shape), shift.reshape(shape))


def normalization(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """``(x - mean) / sqrt(variance)``, or its inverse."""
    (tensor,) = tensors
    mean, variance = call.weight("mean"), call.weight("variance")
    deviation = np.maximum(np.sqrt(variance), keras_library().config.epsilon())
    if call.operation.invert:
        return scaled(builder, call.name, tensor, deviation, mean)
    return scaled(builder, call.name, tensor, 1.0 / deviation, -mean / deviation)


def rescaling(builder: NetworkBuilder, call: Call, tensors: Sequence[Tensor]) -> Tensor:
    """``scale x + offset``."""
    (tensor,) = tensors
    scale, offset = (call.constant(name, getattr(call.operation, name)) for name in ("scale", "offset"))
    if scale.ndim and keras_library().config.image_data_format() == "channels_first":
        scale = scale.reshape(scale.shape + (1,) * (3 - scale.ndim))  # one factor per channel, as Keras does here
    return scaled(builder, call.name, tensor, scale, offset)


__all__ = ["batch_normalization", "normalization", "rescaling", "scaled"]
