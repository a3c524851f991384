"""Rows of a local linear map, carried through affine maps: the rows of ``A J`` from those of J.

Every output of an affine map is a sum over few inputs: its window is the smallest that covers theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.combination import Composition, Sum
from fiberscope.network.convolution import Convolution
from fiberscope.network.structured import Diagonal, Rearrangement, WeightedSums
from fiberscope.stability.windowed_rows import LocalRows, at_shift, by_shift, every_place, split

BLOCK_NUMBERS = 2**24
"""Numbers of rows that are gathered at a time for a convolution."""

Fits = Callable[[int, int], None]
"""Told how many rows of how many numbers are about to be stored; raises if they are too many."""


def no_limit(rows: int, numbers: int) -> None:
    """For rows that are no more and no larger than others that fit."""


def input_rows(picture: tuple[int, ...], units: Int64[Tensor, " k"], outputs: int) -> LocalRows:
    """The identity: every pixel of a picture is one of a network's inputs, whose other inputs are zero."""
    start = every_place(picture, units.device)
    values = torch.ones(len(start), *(1 for _ in picture), dtype=torch.float64, device=units.device)
    return LocalRows(outputs, picture, units, start, values, len(start))


def no_rows(outputs: int, rows: LocalRows) -> LocalRows:
    """A map that is zero, with the picture of other rows."""
    nothing = rows.units[:0]
    return LocalRows(outputs, rows.picture, nothing, rows.start[:0], rows.values[:0], 0)


def carried(affine: AffineMap, rows: LocalRows, fits: Fits) -> LocalRows:
    """The rows of ``A J`` from those of J; the constant part plays no role."""
    if not len(rows.units):
        return no_rows(affine.outputs, rows)
    match affine:
        case Composition():
            for factor in affine.factors:
                rows = carried(factor, rows, fits)
            return rows
        case Sum():
            return added([carried(summand, rows, fits) for summand in affine.summands], fits)
        case Convolution():
            return _convolved(affine, rows, fits)
        case Rearrangement():
            return _rearranged(affine, rows)
        case Diagonal():
            return _scaled(affine, rows)
        case WeightedSums():
            return _summed(affine, rows, fits)
        case _:
            return _multiplied(affine, rows, fits)


def added(parts: Sequence[LocalRows], fits: Fits) -> LocalRows:
    """The rows of ``J_1 + J_2 + ...``, where those that are zero, as of dead branches, add nothing."""
    parts = [part for part in parts if len(part.units)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    slots = torch.stack([part.slots() for part in parts], dim=1)
    units = torch.nonzero((slots >= 0).any(dim=1))[:, 0]
    slots = slots[units]
    begin = torch.stack([part.start[slots[:, i].clamp(min=0)] for i, part in enumerate(parts)], dim=1)
    end = begin + torch.tensor([part.window for part in parts], device=begin.device)
    start, window = _cover(begin, end, slots >= 0, first.picture)
    fits(len(units), prod(window))
    values = first.values.new_zeros(1, len(units), *window)
    for i, part in enumerate(parts):
        there = torch.nonzero(slots[:, i] >= 0)[:, 0]
        for shift, members in by_shift((begin[:, i] - start)[there]):
            at = there[members]
            at_shift(values, shift, part.window).index_add_(1, at, part.values[None, slots[at, i]])
    return LocalRows(first.outputs, first.picture, units, start, values[0], sum(part.most for part in parts))


def differences(rows: LocalRows, first: Int64[Tensor, " k"], second: Int64[Tensor, " k"]) -> LocalRows:
    """``J[first] - J[second]``, row by row; the index -1 stands for a row of zeros."""
    weights = torch.tensor([1.0, -1.0], dtype=torch.float64, device=first.device).expand(len(first), 2)
    return carried(WeightedSums(torch.stack([first, second], dim=1), weights, rows.outputs), rows, no_limit)


def _cover(
    begin: Int64[Tensor, "q t d"], end: Int64[Tensor, "q t d"], live: Bool[Tensor, "q t"], picture: tuple[int, ...]
) -> tuple[Int64[Tensor, "q d"], tuple[int, ...]]:
    """Windows of one size, within the picture, that cover the live ones of t windows each."""
    whole = torch.tensor(picture, device=begin.device)
    first = torch.where(live[..., None], begin, whole).amin(dim=1)
    last = torch.where(live[..., None], end, 0).amax(dim=1)
    size = (last - first).amax(dim=0) if len(first) else torch.ones_like(whole)
    return torch.minimum(first, whole - size), tuple(map(int, size))


def _rearranged(affine: Rearrangement, rows: LocalRows) -> LocalRows:
    index = affine.index.to(rows.units.device)
    slots = torch.where(index >= 0, rows.slots()[index.clamp(min=0)], -1)
    units = torch.nonzero(slots >= 0)[:, 0]
    slots = slots[units]
    return LocalRows(affine.outputs, rows.picture, units, rows.start[slots], rows.values[slots], rows.most)


def _scaled(affine: Diagonal, rows: LocalRows) -> LocalRows:
    factor = affine.factor.to(rows.values)[rows.units]
    if bool((factor == 0).any()):
        rows, factor = rows.kept(factor != 0), factor[factor != 0]
    if bool((factor == 1).all()):
        return rows
    values = rows.values * factor.reshape(-1, *(1 for _ in rows.picture))
    return LocalRows(rows.outputs, rows.picture, rows.units, rows.start, values, rows.most)


def _summed(affine: WeightedSums, rows: LocalRows, fits: Fits) -> LocalRows:
    index = affine.index.to(rows.units.device)
    weights = affine.weights.to(rows.values)
    slots = torch.where((index >= 0) & (weights != 0), rows.slots()[index.clamp(min=0)], -1)
    units = torch.nonzero((slots >= 0).any(dim=1))[:, 0]
    slots, weights = slots[units], weights[units]
    begin = rows.start[slots.clamp(min=0)]
    end = begin + torch.tensor(rows.window, device=begin.device)
    start, window = _cover(begin, end, slots >= 0, rows.picture)
    fits(len(units), prod(window))
    values = rows.values.new_zeros(1, len(units), *window)
    for t in range(slots.shape[1]):
        there = torch.nonzero(slots[:, t] >= 0)[:, 0]
        for shift, members in by_shift((begin[:, t] - start)[there]):
            at = there[members]
            terms = rows.values[slots[at, t]] * weights[at, t].reshape(-1, *(1 for _ in rows.picture))
            at_shift(values, shift, rows.window).index_add_(1, at, terms[None])
    return LocalRows(affine.outputs, rows.picture, units, start, values[0], rows.most)


def _multiplied(affine: AffineMap, rows: LocalRows, fits: Fits) -> LocalRows:
    """Through a map of which nothing is known but its products: the rows are written out."""
    fits(affine.outputs, rows.inputs)
    if isinstance(affine, Dense):
        values = affine.weight.to(rows.values)[:, rows.units] @ rows.whole()
    else:
        fits(rows.outputs, rows.inputs)
        columns = rows.values.new_zeros(rows.inputs, rows.outputs)
        columns[:, rows.units] = rows.whole().T
        values = affine.linear(columns).T.contiguous()
    units = torch.arange(affine.outputs, device=rows.units.device)
    start = units.new_zeros(affine.outputs, len(rows.picture))
    return LocalRows(affine.outputs, rows.picture, units, start, values.reshape(-1, *rows.picture), rows.most)


def _convolved(affine: Convolution, rows: LocalRows, fits: Fits) -> LocalRows:
    """Tap by tap: at every place of the output grid, a matrix of weights times the rows at one place of the input."""
    device = rows.units.device
    places_before, places = prod(affine.input_shape[1:]), prod(affine.output_shape[1:])
    rows, begin = _aligned(rows, places_before, fits)
    slots = rows.slots().reshape(-1, places_before)
    position, inside = (torch.tensor(array, device=device) for array in affine.taps())
    live = inside & (slots >= 0).any(dim=0)[position]
    stored = torch.nonzero(live.any(dim=1))[:, 0]
    position, live = position[stored], live[stored]
    end = begin[position] + torch.tensor(rows.window, device=device)
    start, window = _cover(begin[position], end, live, rows.picture)
    channels = affine.output_shape[0]
    fits(channels * len(stored), prod(window))
    values = rows.values.new_zeros(channels, len(stored), *window)
    weight = (
        affine.weight.to(values).flatten(2).reshape(affine.groups, channels // affine.groups, -1, position.shape[1])
    )
    table = torch.cat([rows.values.flatten(1), rows.values.new_zeros(1, prod(rows.window))])
    most = max(1, BLOCK_NUMBERS // (max(channels, len(slots)) * table.shape[1]))
    for tap in range(position.shape[1]):
        there = torch.nonzero(live[:, tap])[:, 0]
        source = position[there, tap]
        for shift, members in by_shift(begin[source] - start[there]):
            for block in split(members, most):
                gathered = table[slots[:, source[block]]]  # (input channels, places, window); -1 is the row of zeros
                product = weight[..., tap] @ gathered.reshape(affine.groups, weight.shape[2], -1)
                at_shift(values, shift, rows.window).index_add_(
                    1, there[block], product.reshape(channels, len(block), *rows.window)
                )
    units = torch.arange(channels, device=device)[:, None] * places + stored
    start = start.expand(channels, *start.shape).flatten(0, 1)
    return LocalRows(affine.outputs, rows.picture, units.flatten(), start, values.flatten(0, 1), rows.most)


def _aligned(rows: LocalRows, places: int, fits: Fits) -> tuple[LocalRows, Int64[Tensor, "p d"]]:
    """The rows with one window for all channels of a place, and where it begins; 0 where nothing is stored."""
    whole = torch.tensor(rows.picture, device=rows.start.device)
    at = rows.units.remainder(places)
    index = at[:, None].expand(rows.start.shape)
    begin = whole.repeat(places, 1).scatter_reduce(0, index, rows.start, "amin")
    end = torch.zeros_like(begin).scatter_reduce(
        0, index, rows.start + torch.tensor(rows.window, device=at.device), "amax"
    )
    there = end[:, 0] > 0
    if not bool(there.any()):
        return rows, torch.zeros_like(begin)
    size = (end - begin)[there].amax(dim=0)
    begin = torch.where(there[:, None], torch.minimum(begin, whole - size), 0)
    window = tuple(map(int, size))
    if window == rows.window:
        return rows, begin
    fits(len(rows.units), prod(window))
    return rows.rewindowed(begin[at], window), begin


__all__ = ["Fits", "added", "carried", "differences", "input_rows"]
