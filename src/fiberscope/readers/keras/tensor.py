"""Tensors of a Keras model, and the order in which the network here holds their entries.

Keras keeps the channels of an image last, convolutions here take them first. Moving them back and forth around every
layer would be a stage each time, so a tensor only remembers where each of its entries lies; they are moved where an
operation needs another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Int64

from fiberscope.errors import ModelError
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.building import NetworkBuilder, Value

LARGEST = 2**26
"""Numbers that one operation may give per sample: a small file can ask for more than fits into memory."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the model: the entries of a value, in an order of its own.

    Attributes:
        value: holds the entries.
        index: where each entry lies in the flat value; every position once. Its shape is the tensor's, with an axis of
            length one for the samples in front.
    """

    value: Value
    index: Int64[IntArray, "1 ..."]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape for one sample, with an axis of length one in front."""
        return self.index.shape

    @property
    def in_order(self) -> bool:
        """Whether the value holds the entries in the order of the tensor."""
        return bool(np.array_equal(self.index.ravel(), np.arange(self.index.size)))

    @property
    def inverse(self) -> Int64[IntArray, " n"]:
        """Which entry of the flat tensor lies at each position of the flat value."""
        inverse = np.empty(self.index.size, dtype=np.int64)
        inverse[self.index.ravel()] = np.arange(self.index.size)
        return inverse

    def held(self, array: Any) -> FloatArray:
        """One number per entry, broadcast to the tensor's shape, in the order and shape of the value."""
        numbers = np.broadcast_to(np.asarray(array, dtype=np.float64), self.shape).ravel()
        return numbers[self.inverse].reshape(self.value.shape)


def in_order(value: Value) -> Tensor:
    """The tensor whose entries lie as in the value."""
    return Tensor(value, value.positions)


def arranged(builder: NetworkBuilder, name: str, tensor: Tensor, index: IntArray) -> Value:
    """The entries at these positions of a tensor's value, in the order and shape of ``index``; no stage if they are."""
    if index.size == tensor.value.size and np.array_equal(index.ravel(), np.arange(index.size)):
        return builder.reshape(tensor.value, index.shape)
    check_size(name, index.shape)
    return builder.take(name, tensor.value, index)


def channels_first(index: IntArray, data_format: str) -> IntArray:
    """The positions of an image with its axis of channels moved to the second place."""
    return np.moveaxis(index, -1, 1) if data_format == "channels_last" else index


def with_channels_first(value: Value, data_format: str) -> Tensor:
    """The tensor in Keras's layout whose value has its axis of channels in the second place."""
    index = value.positions
    return Tensor(value, np.moveaxis(index, 1, -1) if data_format == "channels_last" else index)


def check_size(name: str, shape: Sequence[int]) -> None:
    """Refuse operations that give, or need at once, more numbers than memory is likely to hold.

    Raises:
        ModelError: more than ``LARGEST``.
    """
    if prod(shape) > LARGEST:
        raise ModelError(
            f"{name} gives {tuple(shape)} = {prod(shape):,} numbers per sample; expected at most {LARGEST:,}, "
            "so that they fit into memory"
        )


__all__ = [
    "LARGEST",
    "Tensor",
    "arranged",
    "channels_first",
    "check_size",
    "in_order",
    "with_channels_first",
]
