"""Pooling, resampling, and sums and maxima over axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import torch

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.building import Value, combined
from fiberscope.network.structured import NOTHING
from fiberscope.readers.resampling import interpolated, linear_weights
from fiberscope.readers.torch.call import Call, Operator, Result, called, taken

# ---- windows


def windows_along(size: int, taps: int, stride: int, padding: int, dilation: int, *, ceil: bool) -> IntArray:
    """The places that each window along one axis of a grid covers: (windows, taps), NOTHING outside the grid."""
    span = dilation * (taps - 1) + 1
    free = size + 2 * padding - span
    count = (-(-free // stride) if ceil else free // stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1  # a window that would begin beyond the grid
    place = np.arange(count)[:, None] * stride - padding + np.arange(taps) * dilation
    return np.where((place >= 0) & (place < size), place, NOTHING)


def divisors_along(size: int, taps: int, stride: int, padding: int, windows: int, *, padding_counts: bool) -> IntArray:
    """By how much torch divides the sum over each window along one axis: (windows,)."""
    start = np.arange(windows) * stride - padding
    end = np.minimum(start + taps, size + padding)
    return end - start if padding_counts else np.minimum(end, size) - np.maximum(start, 0)


def adaptive_along(size: int, windows: int) -> IntArray:
    """The places that each window of an adaptive pooling covers: (windows, taps), NOTHING where it is narrower."""
    start = np.arange(windows) * size // windows
    end = -(-(np.arange(windows) + 1) * size // windows)
    place = start[:, None] + np.arange(int((end - start).max()))
    return np.where(place < end[:, None], place, NOTHING)


def _outer(parts: Sequence[Any]) -> Any:
    """The products of one number per axis: arrays (n_i,) -> (n_1, n_2, ...)."""
    return reduce(np.multiply.outer, parts)


# ---- pooling


def _axes(call: Call) -> int:
    """The number of axes that an operator works on, which is part of its name: 2 for ``max_pool2d_with_indices``."""
    name = str(call.target.overloadpacket.__name__)
    return int(next(digit for digit in name if digit.isdigit()))


def _geometry(call: Call) -> list[tuple[int, int, int, int, int]]:
    """For each axis that is pooled: its size, and the windows' taps, stride, padding and dilation."""
    axes = _axes(call)
    taps = call.per_axis("kernel_size", axes)
    stride = call.per_axis("stride", axes) or taps
    padding = call.per_axis("padding", axes)
    dilation = call.per_axis("dilation", axes) if "dilation" in call.arguments else (1,) * axes
    return list(zip(call.value.shape[-axes:], taps, stride, padding, dilation, strict=True))


def _max_pool(call: Call) -> Result:
    windows = [windows_along(*geometry, ceil=bool(call["ceil_mode"])) for geometry in _geometry(call)]
    return call.builder.maximum(call.name, call.value, combined(call.value.positions, windows))


def _adaptive_max_pool(call: Call) -> Result:
    return call.builder.maximum(call.name, call.value, combined(call.value.positions, _adaptive_windows(call)))


def _average_pool(call: Call) -> Result:
    geometry = _geometry(call)
    windows = [windows_along(*along, ceil=bool(call["ceil_mode"])) for along in geometry]
    counts = bool(call["count_include_pad"])
    divisor = _outer(
        [
            divisors_along(*along[:4], len(window), padding_counts=counts)
            for along, window in zip(geometry, windows, strict=True)
        ]
    )
    return _averages(call, windows, call.get("divisor_override", divisor))


def _adaptive_average_pool(call: Call) -> Result:
    windows = _adaptive_windows(call)
    return _averages(call, windows, _outer([(window >= 0).sum(axis=1) for window in windows]))


def _adaptive_windows(call: Call) -> list[IntArray]:
    axes = _axes(call)
    return [
        adaptive_along(size, windows)
        for size, windows in zip(call.value.shape[-axes:], call.per_axis("output_size", axes), strict=True)
    ]


def _averages(call: Call, windows: Sequence[IntArray], divisor: Any) -> Value:
    index = combined(call.value.positions, windows)
    factor = np.broadcast_to(1.0 / np.asarray(divisor, dtype=np.float64), index.shape[:-1])
    return _sums(call, index, np.broadcast_to(factor[..., None], index.shape))


def _sums(call: Call, index: IntArray, weights: FloatArray) -> Value:
    if index.shape[-1] == 1 and bool((weights == 1.0).all()):  # averages of single numbers
        return taken(call.builder, call.name, call.value, index[..., 0])
    return call.builder.weighted_sums(call.name, call.value, index, weights)


# ---- resampling


def _linear_resampling(call: Call) -> Result:
    """Interpolation along one axis after the other; torch gives the weights, applied to unit vectors."""
    axes, value = _axes(call), call.value
    name = "self" if "self" in call.arguments else "input"
    with torch.no_grad():
        shape = called(call.target, {**call.arguments, name: torch.zeros(value.shape, dtype=torch.float64)}).shape
    scales = call.get("scale_factors") or [
        call.get(key) for key in ("scales", "scales_d", "scales_h", "scales_w") if key in call.arguments
    ]
    matrices = [
        linear_weights(size, int(wanted), align_corners=bool(call["align_corners"]), scale=scale)
        for size, wanted, scale in zip(value.shape[-axes:], shape[-axes:], list(scales) or [None] * axes, strict=True)
    ]
    return _sums(call, *interpolated(value.positions, matrices))


# ---- sums and maxima over axes


def _groups(call: Call) -> IntArray:
    """The positions that each result is taken over: (..., entries)."""
    value = call.value
    dims = call.per_axis("dim", 1) if call.get("dim") is not None else ()
    over = sorted({axis % max(1, len(value.shape)) for axis in dims or range(len(value.shape))})
    kept = [axis for axis in range(len(value.shape)) if axis not in over]
    keeps_axes = bool(call.get("keepdim", default=False))
    sizes = [1 if axis in over else size for axis, size in enumerate(value.shape) if keeps_axes or axis in kept]
    return value.positions.transpose(*kept, *over).reshape(*sizes, prod(value.shape[axis] for axis in over))


def _mean(call: Call) -> Result:
    index = _groups(call)
    return _sums(call, index, np.full(index.shape, 1.0 / index.shape[-1]))


def _sum(call: Call) -> Result:
    index = _groups(call)
    return _sums(call, index, np.ones(index.shape))


def maximum(call: Call, index: IntArray, *, value: Value | None = None, sign: float = 1.0) -> Value:
    """The maximum over the last axis of ``index``, or with sign -1 the minimum."""
    inner = call.value if value is None else value
    if sign > 0:
        return call.builder.maximum(call.name, inner, index)
    negated = call.builder.scaled(f"{call.name} (negated)", inner, -1.0)
    largest = call.builder.maximum(call.name, negated, index)
    return call.builder.scaled(f"{call.name} (negated back)", largest, -1.0)


def extremum(call: Call, *, sign: float) -> Result:
    """The maximum, or with sign -1 the minimum, over axes; together with None in place of its indices."""
    found = maximum(call, _groups(call), sign=sign)
    return (found, None) if str(call.target).endswith(".dim") else found


_PER_AXES = (1, 2, 3)

POOLING: dict[str, Operator] = {
    **{f"max_pool{n}d": Operator(_max_pool) for n in _PER_AXES},
    **{f"max_pool{n}d_with_indices": Operator(lambda call: (_max_pool(call), None)) for n in _PER_AXES},
    **{f"adaptive_max_pool{n}d": Operator(lambda call: (_adaptive_max_pool(call), None)) for n in _PER_AXES},
    **{f"avg_pool{n}d": Operator(_average_pool) for n in _PER_AXES},
    **{f"adaptive_avg_pool{n}d": Operator(_adaptive_average_pool) for n in _PER_AXES},
    **{f"_adaptive_avg_pool{n}d": Operator(_adaptive_average_pool) for n in (2, 3)},
    **{
        f"upsample_{name}": Operator(_linear_resampling, varying=("self", "input"))
        for name in ("linear1d", "bilinear2d", "trilinear3d")
    },
    "mean": Operator(_mean),
    "sum": Operator(_sum),
    "amax": Operator(lambda call: extremum(call, sign=1.0)),
    "amin": Operator(lambda call: extremum(call, sign=-1.0)),
}
"""Operators over windows and axes, by name."""

__all__ = ["POOLING", "extremum", "maximum"]
