"""Operators of ONNX that only move numbers: each is one function of arrays, for constants and for positions alike."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fiberscope.network.building import Value
from fiberscope.network.structured import NOTHING
from fiberscope.readers.onnx.operation import LARGEST_CONSTANT, Array, Operation, Result, Unsupported, check_size
from fiberscope.readers.onnx.versions import ML

Move = Callable[[Operation, Array], tuple[Array, ...]]
"""The results of an operation for its first input: an array of any type, whose entries it moves."""


def _reshape(op: Operation, data: Array) -> tuple[Array, ...]:
    wanted = op.of_one_sample(_required(op.integers_at(1, "shape"), "shape"), data.shape)
    keeps = not op.integer("allowzero", 0)
    return (data.reshape([data.shape[i] if size == 0 and keeps else size for i, size in enumerate(wanted)]),)


def _flatten(op: Operation, data: Array) -> tuple[Array, ...]:
    axis = op.integer("axis", 1)
    if not -data.ndim <= axis <= data.ndim:
        raise Unsupported(f"it flattens at axis {axis} of {data.ndim}")
    axis += data.ndim if axis < 0 else 0
    return (data.reshape(prod(data.shape[:axis]), prod(data.shape[axis:])),)


def _squeeze(op: Operation, data: Array) -> tuple[Array, ...]:
    return (np.squeeze(data, op.integers_at(1, "axes")),)


def _unsqueeze(op: Operation, data: Array) -> tuple[Array, ...]:
    return (np.expand_dims(data, _required(op.integers_at(1, "axes"), "axes")),)


def _transpose(op: Operation, data: Array) -> tuple[Array, ...]:
    return (np.transpose(data, op.integers("perm")),)


def _expand(op: Operation, data: Array) -> tuple[Array, ...]:
    wanted = op.of_one_sample(_required(op.integers_at(1, "shape"), "shape"), data.shape)
    shape = np.broadcast_shapes(data.shape, wanted)
    check_size(shape, LARGEST_CONSTANT)
    return (np.broadcast_to(data, shape),)


def _tile(op: Operation, data: Array) -> tuple[Array, ...]:
    repeats = _required(op.integers_at(1, "repeats"), "repeats")
    if len(repeats) != data.ndim or min(repeats, default=0) < 0:
        raise Unsupported(f"it repeats {data.ndim} axes {repeats} times")
    check_size([size * times for size, times in zip(data.shape, repeats, strict=True)], LARGEST_CONSTANT)
    return (np.tile(data, repeats),)


def _gather(op: Operation, data: Array) -> tuple[Array, ...]:
    index, axis = _indices(op), op.integer("axis", 0)
    check_size((data.size // max(data.shape[axis], 1), index.size), LARGEST_CONSTANT)
    return (np.asarray(np.take(data, index, axis=axis)),)


def _gather_elements(op: Operation, data: Array) -> tuple[Array, ...]:
    return (np.take_along_axis(data, _indices(op), axis=op.integer("axis", 0)),)


def _gather_nd(op: Operation, data: Array) -> tuple[Array, ...]:
    """``out[b, i] = data[b, *index[b, i]]``: b runs over the first axes, i over those of the index but the last."""
    index, shared = _indices(op), op.integer("batch_dims", 0)
    depth = index.shape[-1] if index.ndim else 0
    if not (0 <= shared < min(data.ndim, index.ndim) and 1 <= depth <= data.ndim - shared):
        raise Unsupported(f"indices of shape {index.shape} for {data.ndim} axes, of which {shared} are shared")
    if data.shape[:shared] != index.shape[:shared]:
        raise Unsupported(f"indices of shape {index.shape} for a tensor of shape {data.shape}")
    check_size((*index.shape[:-1], *data.shape[shared + depth :]), LARGEST_CONSTANT)
    lead: list[Array] = [
        np.arange(size).reshape(-1, *[1] * (index.ndim - 2 - axis)) for axis, size in enumerate(data.shape[:shared])
    ]
    return (data[(*lead, *np.moveaxis(index, -1, 0))],)


def _feature_extractor(op: Operation, data: Array) -> tuple[Array, ...]:
    """Entries along the last axis."""
    index = _indices(op).reshape(-1)
    if not data.ndim or index.size == 0 or not (index.min() >= 0 and index.max() < data.shape[-1]):
        raise Unsupported(f"its indices do not fit a tensor of shape {data.shape}")
    check_size((*data.shape[:-1], index.size), LARGEST_CONSTANT)
    return (np.take(data if data.ndim > 1 else data[None], index, axis=-1),)


def _indices(op: Operation) -> Array:
    index = op.constant(1)
    if index.dtype.kind not in "iu":
        raise Unsupported(f"its indices are of type {index.dtype}")
    return index


def _slice(op: Operation, data: Array) -> tuple[Array, ...]:
    starts, ends = (_required(op.integers_at(i, name), name) for i, name in ((1, "starts"), (2, "ends")))
    axes = op.integers_at(3, "axes") or tuple(range(len(starts)))
    steps = op.integers_at(4, "steps") or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        data = np.take(data, np.array(_places(start, end, step, data.shape[axis]), dtype=np.int64), axis=axis)
    return (data,)


def _places(start: int, end: int, step: int, size: int) -> range:
    """The places that a slice takes; bounds outside are those of the axis, whichever way it runs."""
    if step == 0:
        raise Unsupported("its step is 0")
    start, end = (bound + size if bound < 0 else bound for bound in (start, end))
    lowest, highest = (0, size) if step > 0 else (-1, size - 1)
    return range(min(max(start, 0), highest), min(max(end, lowest), highest), step)


def _split(op: Operation, data: Array) -> tuple[Array, ...]:
    axis = op.integer("axis", 0)
    size, parts = data.shape[axis], op.integer("num_outputs", op.outputs)
    widths = op.integers_at(1, "split")
    if widths is None:
        if parts < 1 or (size % parts and op.opset < 18):
            raise Unsupported(f"it splits {size} places into {parts} equal parts")
        width = -(-size // parts)
        widths = tuple(max(0, min(width, size - width * i)) for i in range(parts))
    if sum(widths) != size or min(widths) < 0 or len(widths) != op.outputs:
        raise Unsupported(f"it splits {size} places into parts of {widths} for {op.outputs} results")
    return tuple(np.split(data, np.cumsum(widths)[:-1], axis=axis))


def _depth_to_space(op: Operation, data: Array) -> tuple[Array, ...]:
    samples, channels, height, width = data.shape
    block, mode = op.integer("blocksize", 0), op.text("mode", "DCR")
    if block < 1 or channels % block**2 or mode not in ("DCR", "CRD"):
        raise Unsupported(f"blocks of size {block} in mode {mode} from {channels} channels")
    rest = channels // block**2
    if mode == "DCR":
        parted = data.reshape(samples, block, block, rest, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        parted = data.reshape(samples, rest, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
    return (parted.reshape(samples, rest, height * block, width * block),)


def _space_to_depth(op: Operation, data: Array) -> tuple[Array, ...]:
    samples, channels, height, width = data.shape
    block, mode = op.integer("blocksize", 0), op.text("mode", "DCR")
    if block < 1 or height % block or width % block or mode not in ("DCR", "CRD"):
        raise Unsupported(f"blocks of size {block} in mode {mode} from a grid of {height} x {width}")
    parted = data.reshape(samples, channels, height // block, block, width // block, block)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return (parted.transpose(order).reshape(samples, channels * block**2, height // block, width // block),)


MOVES: dict[str, Move] = {
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    f"{ML}.ArrayFeatureExtractor": _feature_extractor,
}
"""Operators whose results hold entries of their first input."""


def moved(op: Operation) -> Result:
    """Apply one of ``MOVES`` to a value."""
    value = op.value()
    arrays = MOVES[op.type](op, value.positions)
    names = [op.name if len(arrays) == 1 else op.part(str(i)) for i in range(len(arrays))]
    return tuple(op.moved(value, index, name=name) for index, name in zip(arrays, names, strict=True))


def padded(op: Operation, data: Array, fill: float) -> Array:
    """Pad an array; ``fill`` stands for what the padding holds in the mode ``constant``."""
    mode, pads = op.text("mode", "constant"), _required(op.integers_at(1, "pads"), "pads")
    axes = op.integers_at(3, "axes") or tuple(range(data.ndim))
    if len(pads) != 2 * len(axes) or mode not in ("constant", "reflect", "edge", "wrap"):
        raise Unsupported(f"it pads {len(axes)} axes by {pads} in mode {mode!r}")
    pairs = [(0, 0)] * data.ndim
    for axis, low, high in zip(axes, pads, pads[len(axes) :], strict=False):
        pairs[axis] = (low, high)
    check_size([size + low + high for size, (low, high) in zip(data.shape, pairs, strict=True)], LARGEST_CONSTANT)
    for axis, (low, high) in enumerate(pairs):  # negative numbers cut off
        first, last = max(0, -low), data.shape[axis] - max(0, -high)
        data = np.take(data, np.arange(first, last, dtype=np.int64), axis=axis)
    positive = [(max(0, low), max(0, high)) for low, high in pairs]
    if mode == "constant":
        return np.pad(data, positive, constant_values=fill)
    if min(pads) < 0:
        raise Unsupported(f"it cuts off by {pads} in mode {mode!r}")
    others: Any = mode
    return np.pad(data, positive, mode=others)


def pad_value(op: Operation) -> float:
    """What the padding holds in the mode ``constant``."""
    return op.number_at(2, "value", 0.0)


def _pad(op: Operation) -> Result:
    value = op.value()
    return op.moved(value, padded(op, value.positions, float(NOTHING)), pad_value(op))


def _concat(op: Operation) -> Result:
    values = [op.given(i) for i in range(len(op.inputs))]
    beside = next(value for value in values if isinstance(value, Value))
    check_size((sum(value.size for value in values),))
    parts = [
        v if isinstance(v, Value) else op.as_value(v, beside, op.part(f"constant {i}"))
        for i, v in enumerate(values)
        if v.size
    ]
    return parts[0] if len(parts) == 1 else op.builder.concatenate(op.name, parts, op.integer("axis", 1))


def _identity(op: Operation) -> Result:
    return op.value()


def _dropout(op: Operation) -> Result:
    trains = op.has(2) and bool(op.constant(2).any())
    if trains or (op.opset < 7 and not op.integer("is_test", 0)):
        raise Unsupported("it is in training mode; export the model in evaluation mode")
    return op.value()


def _cast(op: Operation) -> Result:
    if op.integer("to", 0) not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        raise Unsupported("it casts to another type than floating-point numbers")
    return op.value()


def _cast_like(op: Operation) -> Result:
    """The first input in the type of the second, where the type of all that depends on the input is known."""
    data, like = op.given(0), op.given(1)
    kind = op.dtype if isinstance(like, Value) else like.dtype.name
    if kind not in ("float32", "float64") or (isinstance(data, Value) and kind != op.dtype):
        raise Unsupported("it casts to a type that is not known, or not that of the other numbers")
    return data if isinstance(data, Value) else data.astype(kind)


def _shape(op: Operation) -> Result:
    """The shape of the first input: every tensor has a known one."""
    shape = op.given(0).shape
    start, end = op.integer("start", 0), op.integer("end", len(shape))
    return np.array(shape[start:end], dtype=np.int64)


def _size(op: Operation) -> Result:
    """The number of entries of the first input."""
    return np.array(op.given(0).size, dtype=np.int64)


def _required(numbers: tuple[int, ...] | None, what: str) -> tuple[int, ...]:
    if numbers is None:
        raise Unsupported(f"its {what} are not given")
    return numbers


def concatenated(arrays: list[NDArray[Any]], axis: int) -> Array:
    """Constants side by side."""
    check_size((sum(array.size for array in arrays),), LARGEST_CONSTANT)
    return np.concatenate(arrays, axis=axis)


MOVING: dict[str, Callable[[Operation], Result]] = {
    **dict.fromkeys(MOVES, moved),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Concat": _concat,
    "Dropout": _dropout,
    "Identity": _identity,
    "Pad": _pad,
    "Shape": _shape,
    "Size": _size,
}
"""Operators that move numbers, for inputs that depend on the network's."""

__all__ = ["MOVES", "MOVING", "concatenated", "pad_value", "padded"]
