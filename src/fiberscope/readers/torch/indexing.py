"""Operators that only move numbers: each is run once by torch itself, on numbered places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.building import Value
from fiberscope.network.structured import NOTHING
from fiberscope.readers.torch.call import Call, Operator, Result, called, numbers, taken


@dataclass(eq=False)
class _Places:
    """The entries of all tensors of a call, numbered one after the other."""

    pieces: list[tuple[Value | Tensor, int, int]] = field(default_factory=list[tuple[Value | Tensor, int, int]])
    size: int = 0

    def stand_in(self, item: Any, *, is_data: bool) -> Any:
        """An argument with the numbers of its entries, plus 1, instead of the entries: operators fill in zeros."""
        if isinstance(item, list | tuple):
            return [self.stand_in(part, is_data=is_data) for part in cast("Sequence[Any]", item)]
        if is_data and isinstance(item, float | int):
            return float(self.stand_in(torch.tensor(float(item), dtype=torch.float64), is_data=True))
        if not isinstance(item, Value) and not (is_data and isinstance(item, Tensor)):
            return item
        first, self.size = self.size, self.size + prod(item.shape)
        self.pieces.append((item, first, self.size))
        # float64, because not every operator takes whole numbers; it holds them exactly
        return torch.arange(first + 1, self.size + 1, dtype=torch.float64).reshape(tuple(item.shape))

    def used(self, place: IntArray) -> list[tuple[Value, int, int]]:
        """The tensors that depend on the input and that some of these places belong to."""
        hit = np.zeros(self.size + 1, dtype=np.bool_)
        hit[place] = True
        return [
            (piece, first, end)
            for piece, first, end in self.pieces
            if isinstance(piece, Value) and bool(hit[first:end].any())
        ]

    def constants(self, place: IntArray, fill: float) -> FloatArray:
        """What stands at places of constant tensors, ``fill`` at place -1, and zero elsewhere."""
        constant = np.zeros(self.size + 1)
        constant[NOTHING] = fill
        for piece, first, end in self.pieces:
            if isinstance(piece, Tensor):
                constant[first:end] = numbers(piece).ravel()
        return np.asarray(constant[place])


def moved(call: Call, *, data: tuple[str, ...] = (), fill: float = 0.0) -> Result:
    """Convert a call whose results are entries of its arguments.

    Args:
        call: the call.
        data: the arguments whose entries are moved even if they do not depend on the input; other constant arguments
            say where to.
        fill: what stands where the operator puts in a zero.
    """
    places = _Places()
    arguments = {name: places.stand_in(item, is_data=name in data) for name, item in call.arguments.items()}
    with torch.no_grad():
        results = called(call.target, arguments)
    if isinstance(results, Tensor):
        return _taken(call, places, results, fill)
    return tuple(_taken(call, places, result, fill) for result in results)


def _taken(call: Call, places: _Places, result: Tensor, fill: float) -> Result:
    """The tensor whose entries come from these places."""
    place = np.asarray(result.round().to(torch.int64).numpy() - 1)
    used = places.used(place)
    if not used:
        return torch.tensor(places.constants(place, fill))
    position = np.full(places.size + 1, NOTHING, dtype=np.int64)  # the last one is for place -1
    count = 0
    for value, first, end in used:
        position[first:end] = np.arange(count, count + value.size)
        count += value.size
    index = np.asarray(position[place])
    in_order = np.array_equal(index.ravel(), np.arange(count))
    joined = used[0][0]
    if len(used) > 1:
        flat = [call.builder.reshape(value, (value.size,)) for value, *_ in used]
        joined = call.builder.concatenate(call.name if in_order else f"{call.name} (joined)", flat, 0)
    return taken(call.builder, call.name, joined, index, places.constants(place, fill))


def _filled(call: Call) -> Result:
    """An operator that puts in one number: padding, or replacing what a mask selects."""
    value = call.get("value", 0.0)
    zero = None if call["value"] is None else torch.zeros_like(value) if isinstance(value, Tensor) else 0.0
    return moved(replace(call, arguments={**call.arguments, "value": zero}), fill=float(value))


def _joins(*data: str) -> Operator:
    return Operator(lambda call: moved(call, data=data), varying=data, exclusive=(), moves=True)


def _accumulates(node: fx.Node, arguments: Mapping[str, Any]) -> str:
    return "it adds to what is there" if arguments.get("accumulate") else ""


_MOVING = (
    "broadcast_to", "channel_shuffle", "chunk", "diagonal", "diagonal_copy", "expand", "expand_copy", "flatten",
    "flip", "fliplr", "flipud", "gather", "im2col", "index", "index_select", "moveaxis", "movedim", "narrow",
    "narrow_copy", "numpy_T", "permute", "permute_copy", "pixel_shuffle", "pixel_unshuffle", "ravel",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat", "repeat_interleave", "replication_pad1d",
    "replication_pad2d", "replication_pad3d", "reshape", "roll", "rot90", "select", "select_copy", "slice",
    "slice_copy", "split", "split_copy", "split_with_sizes", "split_with_sizes_copy", "squeeze", "squeeze_copy",
    "swapaxes", "swapdims", "t", "t_copy", "take_along_dim", "tensor_split", "tile", "transpose", "transpose_copy",
    "tril", "triu", "unbind", "unbind_copy", "unflatten", "unfold", "unfold_copy", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes", "unsqueeze", "unsqueeze_copy", "upsample_nearest1d", "upsample_nearest2d",
    "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
    "view", "view_copy", "_reshape_alias", "_unsafe_view",
)  # fmt: skip

MOVES: dict[str, Operator] = {
    **{name: Operator(moved, varying=("self", "input"), moves=True) for name in _MOVING},
    **{name: Operator(_filled, moves=True) for name in ("constant_pad_nd", "masked_fill", "pad")},
    **{name: _joins("tensors") for name in ("cat", "concat", "concatenate", "hstack", "stack", "vstack")},
    **{name: _joins("self", "src") for name in ("copy", "select_scatter", "slice_scatter")},
    **{name: _joins("self", "other") for name in ("expand_as", "reshape_as", "view_as", "where")},
    "fill": _joins("self", "value"),
    "index_put": replace(_joins("self", "values"), refusal=_accumulates),
}
"""Operators that move numbers, by name."""

__all__ = ["MOVES", "moved"]
