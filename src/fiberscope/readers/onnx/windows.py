"""Operators of ONNX that run windows over a grid: convolutions and pooling; and the tables of positions for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from fiberscope.network.building import Value, windows
from fiberscope.network.structured import NOTHING
from fiberscope.readers.onnx.operation import LARGEST_TABLE, Array, Operation, Result, Unsupported, check_size

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Window:
    """How a window runs over a grid.

    Attributes:
        kernel: its size.
        stride: its steps.
        dilation: the distance of its taps.
        padding: places before and after each axis of the grid.
        beyond: further places behind each axis, which windows reach if the number of steps is rounded up.
        steps: the size of the grid of its places.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pairs
    beyond: tuple[int, ...]
    steps: tuple[int, ...]

    def index(self, positions: Array) -> Array:
        """Positions (..., *grid) under every place of the window: (..., *steps, taps), -1 on the padding."""
        lead = positions.shape[: -len(self.kernel)]
        check_size((*lead, *self.steps, *self.kernel), LARGEST_TABLE)
        padding = [(low, high + more) for (low, high), more in zip(self.padding, self.beyond, strict=True)]
        return windows(positions, self.kernel, stride=self.stride, padding=padding, dilation=self.dilation)

    def counts(self, grid: tuple[int, ...]) -> Array:
        """How many taps lie on the grid or its padding, for every place of the window: (*steps,)."""
        padded = [size + low + high for size, (low, high) in zip(grid, self.padding, strict=True)]
        padding = [(0, more) for more in self.beyond]
        return windows(
            np.ones(padded, dtype=np.int64), self.kernel, stride=self.stride, padding=padding, dilation=self.dilation,
            fill=0,
        ).sum(axis=-1)  # fmt: skip


def window_of(op: Operation, grid: tuple[int, ...], kernel: tuple[int, ...], *, rounds_up: bool = False) -> Window:
    """The window that an operation's attributes describe.

    Args:
        op: the operation.
        grid: the sizes of the axes that the window runs over.
        kernel: the size of the window.
        rounds_up: whether the number of steps is rounded up, as far as windows begin on the grid or before it.

    Raises:
        Unsupported: sizes that do not fit each other, or a window larger than the padded grid.
    """
    axes = len(grid)
    stride, dilation = (op.integers(name) or (1,) * axes for name in ("strides", "dilations"))
    if not len(kernel) == len(stride) == len(dilation) == axes or min(*kernel, *stride, *dilation) < 1:
        raise Unsupported(f"a kernel of {kernel}, strides of {stride} and dilations of {dilation} on a grid of {grid}")
    spans = tuple((taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True))
    padding = _padding(op, grid, spans, stride)
    steps, beyond = list[int](), list[int]()
    for size, (low, high), span, step in zip(grid, padding, spans, stride, strict=True):
        room = size + low + high - span
        count = room // step + 1
        if rounds_up and room % step and count * step < size + low:
            count += 1
        if room < 0:
            raise Unsupported(f"a window of {spans} on a grid of {grid}, padded by {padding}")
        steps.append(count)
        beyond.append(max(0, (count - 1) * step - room))
    check_size([size + low + high + more for size, (low, high), more in zip(grid, padding, beyond, strict=True)])
    return Window(kernel, stride, dilation, padding, tuple(beyond), tuple(steps))


def _padding(op: Operation, grid: tuple[int, ...], spans: tuple[int, ...], stride: tuple[int, ...]) -> Pairs:
    match op.text("auto_pad", "NOTSET"):
        case "NOTSET" | "":
            pads = op.integers("pads") or (0,) * (2 * len(grid))
            if len(pads) != 2 * len(grid):
                raise Unsupported(f"pads of {pads} on a grid of {grid}")
            return tuple(zip(pads[: len(grid)], pads[len(grid) :], strict=True))
        case "VALID":
            return ((0, 0),) * len(grid)
        case "SAME_UPPER" | "SAME_LOWER" as mode:
            missing = [
                (-(-size // step) - 1) * step + span - size
                for size, span, step in zip(grid, spans, stride, strict=True)
            ]
            if min(missing) < -1:  # one place may be left over at the end, but libraries differ on where more are
                raise Unsupported(f"auto_pad is {mode}, but strides of {stride} leave out more than they need")
            return shared_out([max(0, places) for places in missing], mode)
        case mode:
            raise Unsupported(f"auto_pad is {mode}")


def shared_out(totals: list[int], mode: str) -> Pairs:
    """Padding for both sides of each axis; an odd place goes behind in the mode SAME_UPPER, before in others."""
    halves = [(total // 2, total - total // 2) for total in totals]
    return tuple((low, high) if mode == "SAME_UPPER" else (high, low) for low, high in halves)


def _grid(value: Value) -> tuple[int, ...]:
    if not 3 <= len(value.shape) <= 5:
        raise Unsupported(f"expected 1 to 3 axes behind those of samples and channels, got the shape {value.shape}")
    return value.shape[2:]


# ---- convolutions


def _kernel_of_weight(op: Operation, weight: Array) -> tuple[int, ...]:
    kernel = weight.shape[2:]
    if (op.integers("kernel_shape") or kernel) != kernel:
        raise Unsupported(f"kernel_shape is {op.integers('kernel_shape')}, but the weight has {weight.shape}")
    return kernel


def _conv(op: Operation) -> Result:
    value, weight = op.value(), op.numbers(1)
    window = window_of(op, _grid(value), _kernel_of_weight(op, weight))
    check_size((value.shape[0], weight.shape[0], *window.steps))
    return op.builder.convolution(
        op.name, value, weight, op.numbers(2) if op.has(2) else None,
        stride=window.stride, padding=window.padding, dilation=window.dilation, groups=op.integer("group", 1),
    )  # fmt: skip


def _conv_transpose(op: Operation) -> Result:
    value, weight, groups = op.value(), op.numbers(1), op.integer("group", 1)
    grid, kernel = _grid(value), _kernel_of_weight(op, weight)
    axes = len(grid)
    stride, dilation = (op.integers(name) or (1,) * axes for name in ("strides", "dilations"))
    more = op.integers("output_padding") or (0,) * axes
    full = [
        step * (size - 1) + extra + (taps - 1) * spread + 1
        for size, step, extra, taps, spread in zip(grid, stride, more, kernel, dilation, strict=True)
    ]
    mode, wanted = op.text("auto_pad", "NOTSET"), op.integers("output_shape")
    if wanted is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = tuple(size * step for size, step in zip(grid, stride, strict=True))
    if wanted is not None:
        padding = shared_out([size - want for size, want in zip(full, wanted, strict=True)], mode)
    else:
        padding = _padding(op, grid, kernel, stride)
    outputs = tuple(size - low - high for size, (low, high) in zip(full, padding, strict=True))
    check_size((value.shape[0], weight.shape[1] * groups, *outputs))
    check_size(full)
    return op.builder.transposed_convolution(
        op.name, value, weight, op.numbers(2) if op.has(2) else None,
        output_grid=outputs, stride=stride, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip


# ---- pooling


def _pooling(op: Operation, value: Value) -> Window:
    kernel = op.integers("kernel_shape")
    if kernel is None:
        raise Unsupported("its kernel_shape is not given")
    return window_of(op, value.shape[2:], kernel, rounds_up=bool(op.integer("ceil_mode", 0)))


def _average_pool(op: Operation) -> Result:
    value = op.value()
    window = _pooling(op, value)
    index = window.index(value.positions)
    inside = index != NOTHING
    counts = inside.sum(axis=-1)
    if op.integer("count_include_pad", 0):
        counts = np.broadcast_to(window.counts(value.shape[2:]), counts.shape)
    if not counts.all():
        raise Unsupported("one of its windows lies on the padding alone")
    return _averaged(op, value, index, np.where(inside, 1.0 / counts[..., None], 0.0), counts)


def _global_average_pool(op: Operation) -> Result:
    value = op.value()
    index = _whole_grid(value)
    count = np.array(index.shape[-1])
    return _averaged(op, value, index, np.full(index.shape, 1.0 / count), count)


def _averaged(op: Operation, value: Value, index: Array, weights: Array, counts: Array) -> Value:
    if not is_power_of_two(counts):
        op.note("averages are sums with weights 1 / count, rounded to float64")
    return op.builder.weighted_sums(op.name, value, index, weights)


def _max_pool(op: Operation) -> Result:
    value = op.value()
    return op.builder.maximum(op.name, value, _pooling(op, value).index(value.positions))


def _global_max_pool(op: Operation) -> Result:
    return op.builder.maximum(op.name, op.value(), _whole_grid(op.value()))


def _whole_grid(value: Value) -> Array:
    samples, channels, *grid = value.shape
    return value.positions.reshape(samples, channels, *[1] * len(grid), prod(grid))


# ---- shared with other operators


def reduced(op: Operation, value: Value) -> Array | None:
    """The positions that a reduction takes together: (*output shape, number); None if it reduces nothing."""
    rank = len(value.shape)
    axes = op.integers_at(1, "axes")
    if not axes:
        if op.integer("noop_with_empty_axes", 0):
            return None
        axes = tuple(range(rank))
    if any(not -rank <= axis < rank for axis in axes):
        raise Unsupported(f"it reduces axes {axes} of {rank}")
    chosen = sorted({axis % rank for axis in axes})
    kept = [axis for axis in range(rank) if axis not in chosen]
    index = value.positions.transpose(*kept, *chosen).reshape(*(value.shape[axis] for axis in kept), -1)
    if op.integer("keepdims", 1):
        index = index.reshape(*(1 if axis in chosen else size for axis, size in enumerate(value.shape)), -1)
    return index


def is_power_of_two(numbers: float | Array) -> bool:
    """Whether multiplying and dividing by each of these numbers is exact."""
    return bool((np.frexp(np.abs(numbers))[0] == 0.5).all())


WINDOWS: dict[str, Callable[[Operation], Result]] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "MaxPool": _max_pool,
}
"""Operators that run windows over a grid, for inputs that depend on the network's."""

__all__ = ["WINDOWS", "Window", "is_power_of_two", "reduced", "window_of"]
