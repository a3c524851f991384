"""Building a network step by step, the way a reader walks through a model.

Readers think in tensors with axes; a network sees flat vectors. The builder keeps both: every value has the shape that
it has in the model, the sample axis included as an axis of length one, and every operation is written as a map of flat
vectors. Anything that only moves numbers (transposing, slicing, padding, ...) is done once, on an array of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import ModelError
from fiberscope.network.activations import Activation, Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.convolution import Convolution, Transposed
from fiberscope.network.network import Network
from fiberscope.network.simplifying import simplified
from fiberscope.network.stage import INPUT, Stage
from fiberscope.network.structured import NOTHING, Diagonal, Rearrangement, WeightedSums

Array = NDArray[Any]


@dataclass(frozen=True)
class Value:
    """A tensor of the model that depends on the network's input.

    Attributes:
        number: the number of the stage that gives it; -1 for the network's input.
        shape: its shape for one sample, the sample axis included (of length one where the model has one).
    """

    number: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of entries."""
        return prod(self.shape)

    @property
    def positions(self) -> Array:
        """The position of every entry in the flat vector, in the value's shape."""
        return np.arange(self.size, dtype=np.int64).reshape(self.shape)


class NetworkBuilder:
    """Collects the stages of a network in the order in which the model computes them.

    Args:
        shape: the shape of the model's input for one sample, with an axis of length one for the samples in front where
            the model has one.
        sample_axis: whether the first axis is the axis of the samples.
    """

    def __init__(self, shape: tuple[int, ...], *, sample_axis: bool = True) -> None:
        self.input = Value(INPUT, shape)
        self._sample_axis = sample_axis
        self._stages: list[Stage] = []
        self._notes: list[str] = []

    # ---- affine maps

    def affine(self, name: str, affine: AffineMap, value: Value, shape: tuple[int, ...]) -> Value:
        """Any affine map of one value."""
        return self._add(Stage(name, (affine,), sources=(value.number,), shape=shape, origin=name), shape)

    def dense(self, name: str, value: Value, weight: Array, bias: Array | None = None) -> Value:
        """``x W^T + b`` along the last axis: weight (outputs, inputs), bias (outputs,)."""
        outputs, inputs = weight.shape
        *lead, last = value.shape
        if last != inputs:
            raise ModelError(f"{name} takes {inputs} numbers along its last axis, but receives shape {value.shape}")
        shape = (*lead, outputs)
        if prod(lead) == 1:
            return self.affine(name, Dense(weight, bias), value, shape)
        index = np.broadcast_to(value.positions[..., None, :], (*shape, inputs))
        constant = None if bias is None else np.broadcast_to(bias, shape)
        return self.weighted_sums(name, value, index, np.broadcast_to(weight, index.shape), constant)

    def convolution(
        self, name: str, value: Value, weight: Array, bias: Array | None = None, *,
        stride: Sequence[int] = (), padding: Sequence[tuple[int, int]] = (), dilation: Sequence[int] = (),
        groups: int = 1,
    ) -> Value:  # fmt: skip
        """A convolution over the axes after the second: value (samples, channels, *grid)."""
        batch, channels, *grid = value.shape
        weight, bias, groups = _side_by_side(batch, weight, bias, groups)
        affine = Convolution(
            weight, (batch * channels, *grid), bias, tuple(stride), tuple(padding), tuple(dilation), groups
        )
        outputs, *places = affine.output_shape
        return self.affine(name, affine, value, (batch, outputs // batch, *places))

    def transposed_convolution(
        self, name: str, value: Value, weight: Array, bias: Array | None = None, *, output_grid: Sequence[int],
        stride: Sequence[int] = (), padding: Sequence[tuple[int, int]] = (), dilation: Sequence[int] = (),
        groups: int = 1,
    ) -> Value:  # fmt: skip
        """The transpose of a convolution of a grid of size ``output_grid``; weight (inputs, outputs / groups, ...)."""
        batch, *_ = value.shape
        channels = weight.shape[1] * groups
        weight, bias, groups = _side_by_side(batch, weight, bias, groups)
        forward = Convolution(
            weight, (batch * channels, *output_grid), None, tuple(stride), tuple(padding), tuple(dilation), groups
        )
        have, want = (value.shape[0] * value.shape[1], *value.shape[2:]), forward.output_shape
        if have != want:
            raise ModelError(
                f"{name}: a transposed convolution to {tuple(output_grid)} takes {want}, but receives {have}"
            )
        return self.affine(name, Transposed(forward, bias), value, (batch, channels, *output_grid))

    def take(self, name: str, value: Value, index: Array, fill: Array | float = 0.0) -> Value:
        """A tensor of the shape of ``index`` with the entries at these positions, and ``fill`` where it is -1."""
        constant = np.where(index == NOTHING, fill, 0.0).astype(np.float64)
        return self.affine(name, Rearrangement(index.ravel(), value.size, constant.ravel()), value, index.shape)

    def reshape(self, value: Value, shape: tuple[int, ...]) -> Value:
        """The same numbers in another shape; no stage."""
        if prod(shape) != value.size:
            raise ModelError(f"{value.size} numbers of shape {value.shape} cannot take the shape {shape}")
        return replace(value, shape=shape)

    def weighted_sums(self, name: str, value: Value, index: Array, weights: Array, bias: Array | None = None) -> Value:
        """Sums over the last axis of ``index``, with weights: entries -1 add nothing."""
        shape, terms = index.shape[:-1], index.shape[-1]
        constant = None if bias is None else np.ascontiguousarray(bias).ravel()
        affine = WeightedSums(index.reshape(-1, terms), weights.reshape(-1, terms), value.size, constant)
        return self.affine(name, affine, value, shape)

    def scaled(self, name: str, value: Value, factor: Array | float = 1.0, shift: Array | float = 0.0) -> Value:
        """``factor * x + shift``, entry by entry, broadcast as numpy does."""
        shape = np.broadcast_shapes(value.shape, np.shape(factor), np.shape(shift))
        if shape != value.shape:
            value = self.take(name, value, np.broadcast_to(value.positions, shape))
        factors, shifts = (np.broadcast_to(np.asarray(v, dtype=np.float64), shape).ravel() for v in (factor, shift))
        return self.affine(name, Diagonal(factors, shifts), value, shape)

    def add(self, name: str, values: Sequence[Value]) -> Value:
        """The sum of several values, broadcast as numpy does: a residual sum."""
        shape = np.broadcast_shapes(*(value.shape for value in values))
        maps = tuple(Rearrangement(np.broadcast_to(value.positions, shape).ravel(), value.size) for value in values)
        return self._joined(name, maps, values, shape)

    def concatenate(self, name: str, values: Sequence[Value], axis: int) -> Value:
        """Values side by side along an axis."""
        maps: list[AffineMap] = []
        for chosen in range(len(values)):
            blocks = [
                value.positions if i == chosen else np.full(value.shape, NOTHING) for i, value in enumerate(values)
            ]
            joined = np.concatenate(blocks, axis=axis)
            maps.append(Rearrangement(joined.ravel(), values[chosen].size))
        shape = np.concatenate([value.positions for value in values], axis=axis).shape
        return self._joined(name, tuple(maps), values, shape)

    def _joined(self, name: str, maps: tuple[AffineMap, ...], values: Sequence[Value], shape: tuple[int, ...]) -> Value:
        sources = tuple(value.number for value in values)
        return self._add(Stage(name, maps, sources=sources, shape=shape, origin=name), shape)

    # ---- activations

    def relu(self, name: str, value: Value) -> Value:
        """``max(x, 0)``."""
        return self.pointwise(name, value, PointwiseKind.RELU)

    def clip(self, name: str, value: Value, low: float, high: float) -> Value:
        """``min(max(x, low), high)``; a ReLU from 0 upwards, and nothing where both bounds are infinite."""
        if high == np.inf and low in (0.0, -np.inf):
            return value if low else self.relu(name, value)
        return self.pointwise(name, value, PointwiseKind.CLIP, alpha=low, beta=high)

    def pointwise(
        self, name: str, value: Value, function: PointwiseKind, *, alpha: float = 1.0, beta: float = 1.0,
        slope: Array | float | None = None,
    ) -> Value:  # fmt: skip
        """An activation entry by entry; ``slope`` is broadcast to the value's shape."""
        slopes = None if slope is None else np.broadcast_to(np.asarray(slope, dtype=np.float64), value.shape).ravel()
        return self._activated(name, value, Pointwise(function, value.size, alpha, beta, slopes), value.shape)

    def maximum(self, name: str, value: Value, index: Array) -> Value:
        """The maximum over the last axis of ``index``; entries -1 do not count."""
        activation = Maximum(index.reshape(-1, index.shape[-1]), value.size)
        return self._activated(name, value, activation, index.shape[:-1])

    def _activated(self, name: str, value: Value, activation: Activation, shape: tuple[int, ...]) -> Value:
        stage = Stage(name, activation=activation, sources=(value.number,), shape=shape, origin=name)
        return self._add(stage, shape)

    # ---- the end

    def note(self, text: str) -> None:
        """Tell readers of results something about the conversion."""
        if text not in self._notes:
            self._notes.append(text)

    def renamed(self, value: Value, origin: str) -> None:
        """State under which name the model knows the same numbers, where that is not the stage's own name."""
        if value.number != INPUT:
            self._stages[value.number] = replace(self._stages[value.number], origin=origin)

    def build(self, output: Value, origin: str = "") -> Network:
        """The network that computes ``output``; stages that it does not need are left out. Ends the builder.

        Args:
            output: what the network gives.
            origin: what the model calls it, where that is not the name of a stage.

        Raises:
            ModelError: the output does not depend on the input.
        """
        if output.number == INPUT:
            output = self.take("output", output, output.positions)
        stages, folded = simplified(self._stages, output.number, self._of_sample(output.shape), origin)
        input_shape = self.input.shape[1:] if self._sample_axis else self.input.shape
        return Network(stages, input_shape, (*self._notes, *folded))

    def _add(self, stage: Stage, shape: tuple[int, ...]) -> Value:
        self._stages.append(replace(stage, shape=self._of_sample(shape)))
        return Value(len(self._stages) - 1, tuple(int(size) for size in shape))

    def _of_sample(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape without the axis of the samples."""
        return (shape[1:] if self._sample_axis and shape[:1] == (1,) else shape) or (1,)


def batch_norm_scaling(
    mean: Array, variance: Array, epsilon: float, gamma: Array | None, beta: Array | None
) -> tuple[Array, Array]:
    """Factors f and constants c with ``gamma (x - mean) / sqrt(variance + epsilon) + beta = f x + c``, rounded."""
    factor = 1.0 / np.sqrt(variance + epsilon)
    if gamma is not None:
        factor = factor * gamma
    constant = -mean * factor
    return factor, constant if beta is None else constant + beta


def head_note(name: str, head: str) -> str:
    """What readers of results must know where a softmax at the end is left off."""
    return f"{name}: the {head} at the end is left off; outputs are its inputs"


def _side_by_side(batch: int, weight: Array, bias: Array | None, groups: int) -> tuple[Array, Array | None, int]:
    """The convolution that treats a batch of several tensors as blocks of channels."""
    if batch == 1:
        return weight, bias, groups
    tiled = np.tile(weight, (batch,) + (1,) * (weight.ndim - 1))
    return tiled, None if bias is None else np.tile(bias, batch), groups * batch


def windows(
    positions: Array, kernel: Sequence[int], *, stride: Sequence[int] = (), padding: Sequence[tuple[int, int]] = (),
    dilation: Sequence[int] = (), fill: int = NOTHING,
) -> Array:  # fmt: skip
    """The windows of a pooling over the last axes: positions (..., *grid) -> (..., *output grid, taps).

    Args:
        positions: positions of the entries of a value.
        kernel: the size of a window along each axis.
        stride: one number per axis; 1 if not given.
        padding: places before and after each axis; 0 if not given.
        dilation: one number per axis; 1 if not given.
        fill: what the padding holds.
    """
    axes = len(kernel)
    stride, dilation = tuple(stride) or (1,) * axes, tuple(dilation) or (1,) * axes
    lead = positions.ndim - axes
    padded = np.pad(positions, [(0, 0)] * lead + list(padding or [(0, 0)] * axes), constant_values=fill)
    spans = [(taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(lead, positions.ndim)))
    steps = (slice(None),) * lead + tuple(slice(None, None, s) for s in stride)
    taps = tuple(slice(None, None, s) for s in dilation)
    chosen = view[(*steps, *taps)]
    return chosen.reshape(*chosen.shape[: lead + axes], -1)


def combined(positions: Array, axes: Sequence[Array]) -> Array:
    """Windows along the last axes of a value: positions (..., *grid) -> (..., *windows, taps)."""
    lead = positions.ndim - len(axes)
    index = positions[..., None]
    for axis, windows in enumerate(axes, start=lead):
        taken = np.take(index, np.maximum(windows, 0), axis=axis)  # (..., windows, taps of this axis, ..., taps)
        inside = (windows >= 0).reshape(windows.shape + (1,) * (taken.ndim - axis - 2))
        taken = np.moveaxis(np.where(inside, taken, NOTHING), axis + 1, -1)
        index = taken.reshape(*taken.shape[:-2], -1)
    return index


def combined_weights(axes: Sequence[Array]) -> Array:
    """The weights that belong to ``combined``: (windows, taps) per axis -> (*windows, taps), multiplied."""
    product = axes[0]
    for weights in axes[1:]:
        product = (product[..., None, :, None] * weights[:, None, :]).reshape(*product.shape[:-1], len(weights), -1)
    return product


__all__ = ["NetworkBuilder", "Value", "batch_norm_scaling", "combined", "combined_weights", "head_note", "windows"]
