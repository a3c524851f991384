"""Operators of ONNX that resample a grid: every entry of the result is a fixed sum of a few entries.

Along each axis, place ``i`` of the result lies at a real coordinate ``c(i)`` of the input, and its value is a sum over
the places around that, with weights that depend on the distance; along several axes the weights are multiplied.
Coordinates are computed in the model's own arithmetic, because the place that is nearest may depend on how they are
rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.network.building import Value, combined, combined_weights
from fiberscope.network.structured import NOTHING
from fiberscope.readers.onnx.operation import LARGEST_TABLE, Array, Operation, Result, Unsupported, check_size
from fiberscope.readers.onnx.windows import is_power_of_two

Numbers = NDArray[np.float64]
Real = NDArray[Any]
"""Numbers in the model's own arithmetic."""

_OLD = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "simple"}
"""What Upsample, and the first Resize, do without saying so."""

_CROPPING = "tf_crop_and_resize"

_REACH = {"linear": 1, "bilinear": 1, "cubic": 2}
"""How far the kernel of an interpolation reaches."""

_DEFAULTS = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"}


@dataclass(frozen=True)
class _Axis:
    """How one axis is resampled.

    Attributes:
        size: its places.
        count: the places of the result.
        scale: what the operation says about how much larger the result is.
        crop: the part that the result covers, as shares of the axis; only for ``tf_crop_and_resize``.
    """

    size: int
    count: int
    scale: Any
    crop: tuple[Any, Any] = (0, 1)


@dataclass(frozen=True)
class _Taps:
    """What each place of the result along one axis is a sum of.

    Attributes:
        places: (count, taps) places, NOTHING where there are fewer.
        weights: (count, taps).
        outside: (count,) whether a place of the result has the value for what lies outside instead.
    """

    places: Array
    weights: Numbers
    outside: NDArray[np.bool_]


def _resize(op: Operation) -> Result:
    value = op.value()
    axes = _axes(op, value)
    check_size([axis.count for axis in axes])
    taps = [_taps(op, axis) for axis in axes]
    check_size([axis.count * each.places.shape[1] for axis, each in zip(axes, taps, strict=True)], LARGEST_TABLE)
    index = combined(value.positions, [each.places for each in taps])
    weights = combined_weights([each.weights for each in taps])
    outside = np.zeros([axis.count for axis in axes], dtype=np.bool_)
    for number, each in enumerate(taps):
        outside |= each.outside.reshape(-1, *[1] * (len(axes) - 1 - number))
    index = np.where(outside[..., None], NOTHING, index)
    fill = op.number("extrapolation_value", 0.0)
    if index.shape[-1] == 1 and (weights == 1.0).all():
        return op.taken(value, index[..., 0], op.name, fill)
    if not is_power_of_two(np.array([axis.scale for axis in axes])):
        op.note("it interpolates with weights that are rounded")
    return op.builder.weighted_sums(op.name, value, index, weights, np.where(outside, fill, 0.0))


# ---- sizes


def _axes(op: Operation, value: Value) -> list[_Axis]:
    """All axes of a value, those included that are not resampled."""
    rank, real = len(value.shape), np.float64 if op.dtype == "float64" else np.float32
    chosen = tuple(axis % rank if -rank <= axis < rank else rank for axis in op.integers("axes") or range(rank))
    if len(set(chosen)) != len(chosen) or max(chosen) >= rank:
        raise Unsupported(f"it resamples axes {op.integers('axes')} of {rank}")
    sizes = [value.shape[axis] for axis in chosen]
    counts, scales = _extents(op, np.array(sizes, dtype=real))
    crops = _option(op, "coordinate_transformation_mode") == _CROPPING
    crop = op.numbers(1).reshape(-1).astype(real) if crops else None
    if crop is not None and len(crop) != 2 * len(chosen):
        raise Unsupported(f"its roi has {len(crop)} numbers for {len(chosen)} axes")
    axes = [_Axis(size, size, real(1)) for size in value.shape]
    for number, axis in enumerate(chosen):
        part = (0, 1) if crop is None else (crop[number], crop[number + len(chosen)])
        axes[axis] = _Axis(sizes[number], counts[number], scales[number], part)
    return axes


def _extents(op: Operation, sizes: Real) -> tuple[list[int], Real]:
    """The number of places of the result along each axis, and by how much more that is."""
    scales, wanted = _scales(op), op.integers_at(3, "") if op.has(3) else None
    wanted = wanted if wanted is None or op.integers("axes") else op.of_one_sample(wanted, op.value().shape)
    given = scales if scales is not None else wanted or ()
    if (scales is None) == (not wanted) or len(given) != len(sizes):
        raise Unsupported(f"it has {len(given)} sizes or scales for {len(sizes)} axes")
    policy = op.text("keep_aspect_ratio_policy", "stretch")
    if scales is not None:
        scales = scales.astype(sizes.dtype)
        counts = np.floor(scales * sizes)
    elif policy == "stretch":
        counts = np.asarray(wanted, dtype=sizes.dtype)
        scales = counts / sizes
    else:
        ratios = np.asarray(wanted, dtype=sizes.dtype) / sizes
        scales = np.full_like(sizes, ratios.min() if policy == "not_larger" else ratios.max())
        counts = np.floor(scales * sizes + sizes.dtype.type(0.5))
    if not (np.isfinite(scales) & (scales > 0)).all() or (op.type == "Upsample" and scales.min() < 1):
        raise Unsupported(f"its scales are {', '.join(f'{scale:.6g}' for scale in scales)}")
    return [int(count) for count in counts], scales


def _scales(op: Operation) -> Real | None:
    """What the operation says about scales; None if it does not."""
    position = 2 if _is_new(op) else 1
    if "scales" in op.attributes:
        return np.asarray(op.attributes["scales"], dtype=np.float32)
    return op.numbers(position).reshape(-1) if op.has(position) and op.given(position).shape != (0,) else None


def _is_new(op: Operation) -> bool:
    return op.type == "Resize" and op.opset > 10


def _option(op: Operation, name: str) -> str:
    return op.text(name, _DEFAULTS[name]) if _is_new(op) else _OLD[name]


# ---- coordinates


def _coordinates(op: Operation, axis: _Axis) -> Real:
    """Where the places of the result lie on the axis: (count,)."""
    scale, real = axis.scale, np.asarray(axis.scale).dtype
    size, count, half = (np.array(number, dtype=real) for number in (axis.size, axis.count, 0.5))
    i: Real = np.arange(axis.count).astype(real)
    match _option(op, "coordinate_transformation_mode"):
        case "half_pixel":
            return (i + half) / scale - half
        case "half_pixel_symmetric":
            shift = size / 2 * (1 - count / (scale * size))  # onnxruntime adds in float64
            return (np.float64(shift) + (i.astype(np.float64) + 0.5) / np.float64(scale) - 0.5).astype(real)
        case "pytorch_half_pixel":
            return (i + half) / scale - half if axis.count > 1 else np.zeros_like(i)
        case "align_corners":
            return i * (size - 1) / (count - 1) if axis.count > 1 else np.zeros_like(i)
        case "asymmetric":
            return i / scale
        case "tf_half_pixel_for_nn":
            return (i + half) / scale
        case "tf_crop_and_resize":
            start, end = axis.crop
            if axis.count == 1:
                return np.full_like(i, half * (start + end) * (size - 1))
            return start * (size - 1) + i * (end - start) * (size - 1) / (count - 1)
        case mode:
            raise Unsupported(f"its coordinate_transformation_mode is {mode!r}")


# ---- weights


def _taps(op: Operation, axis: _Axis) -> _Taps:
    if axis.count == axis.size and axis.scale == 1:
        places = np.arange(axis.size)[:, None]
        return _Taps(places, np.ones(places.shape), np.zeros(axis.count, dtype=np.bool_))
    at, mode = _coordinates(op, axis), op.text("mode", "nearest")
    outside = (at < 0) | (at > axis.size - 1)
    if _option(op, "coordinate_transformation_mode") != _CROPPING:
        outside = np.zeros_like(outside)
    if mode == "nearest":
        places = np.clip(_nearest(op, at, axis), 0, axis.size - 1).astype(np.int64)[:, None]
        return _Taps(places, np.ones(places.shape), outside)
    if mode not in _REACH:
        raise Unsupported(f"its mode is {mode!r}")
    places, weights = _interpolated(op, at.astype(np.float64)[:, None], axis, mode)
    return _Taps(np.where(weights != 0, places, NOTHING), weights, outside)


def _nearest(op: Operation, at: Real, axis: _Axis) -> Real:
    down = np.floor(at)
    match _option(op, "nearest_mode"):
        case "round_prefer_floor":
            return down + (at - down > 0.5)
        case "round_prefer_ceil":
            return down + (at - down >= 0.5)
        case "floor":
            return down
        case "ceil":
            return np.ceil(at)
        case "simple":
            return np.ceil(at) if axis.scale < 1 else np.trunc(at)
        case mode:
            raise Unsupported(f"its nearest_mode is {mode!r}")


def _interpolated(op: Operation, at: Numbers, axis: _Axis, mode: str) -> tuple[Array, Numbers]:
    """Places p around each coordinate c, and their weights ``k((p - c) s)``: (count, taps) of both.

    The kernel k has its natural width, s = 1, unless ``antialias`` widens it where the result is smaller.
    """
    shrink = min(float(axis.scale), 1.0) if op.integer("antialias", 0) else 1.0
    reach = int(np.ceil(_REACH[mode] / shrink))
    check_size((axis.count, 2 * reach), LARGEST_TABLE)
    places = np.floor(at).astype(np.int64) + np.arange(1 - reach, reach + 1)
    distance = np.abs(places - at) * shrink
    weights = _cubic(distance, op.number("cubic_coeff_a", -0.75)) if mode == "cubic" else np.maximum(1 - distance, 0)
    inside = (places >= 0) & (places < axis.size)
    excludes = bool(op.integer("exclude_outside", 0))
    weights = np.where(inside, weights, 0.0) if excludes else weights
    if excludes or shrink < 1:
        total = weights.sum(axis=1, keepdims=True)
        weights = weights / np.where(total == 0, 1.0, total)
    return _within(places, weights, inside, axis.size)


def _within(places: Array, weights: Numbers, inside: Array, size: int) -> tuple[Array, Numbers]:
    """Give the weights of places beyond the border to the place at the border."""
    rows = np.arange(len(places))
    first, last = inside.argmax(axis=1), inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    kept = np.where(inside, weights, 0.0)
    kept[rows, first] += np.where(places < 0, weights, 0.0).sum(axis=1)
    kept[rows, last] += np.where(places >= size, weights, 0.0).sum(axis=1)
    return np.clip(places, 0, size - 1), kept


def _cubic(distance: Numbers, a: float) -> Numbers:
    """The kernel of Keys' cubic convolution: 1 at 0, and 0 at 1, 2, and beyond."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


RESAMPLING: dict[str, Callable[[Operation], Result]] = {"Resize": _resize, "Upsample": _resize}
"""Operators that resample a grid, for inputs that depend on the network's."""

__all__ = ["RESAMPLING"]
