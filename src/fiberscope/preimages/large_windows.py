"""A second point, or a ray, within a window of the grid: a direction that moves what the window holds, and no more.

A direction of a window is one of the whole picture. Rows that read nothing in the window say nothing about it, so that
a window of some thousand coordinates is a question of some thousand rows, however large the layer is. As a rule,
t sign-constrained coordinates and f free ones under e equations have a direction in common where
``e < f + t / 2`` (D. L. Donoho & J. Tanner, 2010: the threshold of Wendel's theorem), and one is looked for by steps in
the interior.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.convolution import Convolution
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.candidate import Direction
from fiberscope.preimages.cholesky import Cholesky
from fiberscope.preimages.large_cones import LargeCones, Sides
from fiberscope.preimages.strict_direction import strict_direction

SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 40, 56, 112)
"""Of windows, in places of the grid."""
FEW, MOST = 2_000, 9_000
"""Coordinates, and rows, of a window that is searched: a factorization takes a fraction of a second, or seconds."""
ROOM = 0.02
"""Of its coordinates, by how many a window must miss the threshold on the good side to be searched."""
TRIES = 6
"""Windows that are searched."""
INVERSE_STEPS = 12
SAFETY = 0.5
"""Of an estimate of the smallest singular value, what is claimed to be exceeded."""


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of one size: groups of channels, and where they begin; what they hold, and what reads them.

    Attributes:
        side: the size, on each axis of the grid at most.
        starts: where they begin, on each axis.
        ends: and end.
        held: (groups, *places) coordinates that can move.
        free: (groups, *places) those without a sign.
        equations: (groups, *places) rows that vanish and read the window, or more.
        others: (groups, *places) rows with a sign that do.
    """

    side: int
    starts: list[IntArray]
    ends: list[IntArray]
    held: IntArray
    free: IntArray
    equations: IntArray
    others: IntArray


class Grid:
    """Sums over windows of the grid, by channels of one group."""

    def __init__(self, cones: LargeCones, sides: Sides) -> None:
        o = cones.operator
        self.operator, self.cones, self.sides = o, cones, sides
        self.grid: tuple[int, ...] = o.input_shape[1:]
        self.places: tuple[int, ...] = o.output_shape[1:]
        by_group = (o.groups, -1, *self.grid), (o.groups, -1, *self.places)
        self.moving, self.free = (
            _table(part.reshape(by_group[0]).sum(axis=1)) for part in (~sides.fixed, ~sides.fixed & (sides.signs == 0))
        )
        self.equal, self.signed = (
            _table(part.reshape(by_group[1]).sum(axis=1)) for part in (sides.equal, (sides.upper != 0) & ~sides.equal)
        )

    def windows(self) -> Iterator[Windows]:
        """All windows, size by size."""
        last: tuple[int, ...] = ()
        for side in SIDES:
            sizes = tuple(min(side, length) for length in self.grid)
            if sizes == last:
                return
            last = sizes
            starts = [np.arange(length - size + 1) for length, size in zip(self.grid, sizes, strict=True)]
            ends = [start + size for start, size in zip(starts, sizes, strict=True)]
            seen = [self.readers(axis, *pair) for axis, pair in enumerate(zip(starts, ends, strict=True))]
            first, stop = ([pair[k] for pair in seen] for k in (0, 1))
            yield Windows(
                side, starts, ends, _sums(self.moving, starts, ends), _sums(self.free, starts, ends),
                _sums(self.equal, first, stop), _sums(self.signed, first, stop),
            )  # fmt: skip

    def readers(self, axis: int, start: IntArray, stop: IntArray) -> tuple[IntArray, IntArray]:
        """Along an axis, the first and the last place plus one of rows that may read coordinates start to stop - 1."""
        o, count = self.operator, self.places[axis]
        low, reach = o.padding[axis][0], o.dilation[axis] * (o.kernel[axis] - 1)
        first = -(-(start + low - reach) // o.stride[axis])
        last = (stop - 1 + low) // o.stride[axis] + 1
        return np.clip(first, 0, count), np.clip(last, 0, count)

    def coordinates(self, group: int, start: tuple[int, ...], side: int) -> Int64[IntArray, " k"]:
        """Those of a window."""
        channels = self.operator.input_shape[0] // self.operator.groups
        return _numbers(self.operator.input_shape, group * channels, channels, start, [s + side for s in start])

    def rows(self, group: int, start: tuple[int, ...], side: int) -> Int64[IntArray, " k"]:
        """Those that may read it."""
        channels = self.operator.output_shape[0] // self.operator.groups
        ends = [min(s + side, length) for s, length in zip(start, self.grid, strict=True)]
        pairs = enumerate(zip(start, ends, strict=True))
        seen = [self.readers(axis, np.array([first]), np.array([stop])) for axis, (first, stop) in pairs]
        first, stop = ([int(pair[k][0]) for pair in seen] for k in (0, 1))
        return _numbers(self.operator.output_shape, group * channels, channels, first, stop)


def _table(counts: IntArray) -> IntArray:
    """Cumulative sums over the grid, with a zero in front on every axis of it."""
    out = np.pad(counts, [(0, 0), *[(1, 0)] * (counts.ndim - 1)])
    for axis in range(1, counts.ndim):
        out = out.cumsum(axis=axis)
    return out


def _sums(table: IntArray, starts: list[IntArray], stops: list[IntArray]) -> IntArray:
    for axis, (start, stop) in enumerate(zip(starts, stops, strict=True), 1):
        table = np.take(table, np.maximum(start, stop), axis=axis) - np.take(table, start, axis=axis)
    return table


def _numbers(
    shape: tuple[int, ...], first: int, channels: int, start: list[int] | tuple[int, ...], stop: list[int]
) -> IntArray:
    parts = [slice(first, first + channels), *map(slice, start, stop)]
    return np.arange(prod(shape)).reshape(shape)[tuple(parts)].ravel()


def moved(
    cones: LargeCones,
    sides: Sides,
    budget: Budget = NO_LIMIT,
    most: int = MOST,
    near: FloatArray | None = None,
) -> tuple[Direction, float] | None:
    """A direction of a cone that moves a window only, with the rows that hold it, and a bound on singular values.

    Args:
        cones: of the sample.
        sides: of the cone.
        budget: when to end.
        most: coordinates, and rows, of a window that is searched.
        near: (n,) where to look first: what the projection of the ones left.
    """
    if not isinstance(cones.operator, Convolution):
        return None  # a window of the inputs of a branch is read by too many rows
    grid = Grid(cones, sides)
    for group, start, side in _promising(grid, most, near):
        budget.check("a direction of a window was looked for")
        found = _direction(cones, sides, grid.coordinates(group, start, side), grid.rows(group, start, side), budget)
        if found is not None:
            return found
    return None


def _promising(grid: Grid, most: int, near: FloatArray | None) -> list[tuple[int, tuple[int, ...], int]]:
    """The windows to search: of each size the one with most room, or around what is left of the ones."""
    found: list[tuple[float, int, tuple[int, ...], int]] = []
    weight = None if near is None else _table(near.reshape(grid.operator.groups, -1, *grid.grid).sum(axis=1))
    for windows in grid.windows():
        small = (windows.held <= most) & (windows.equations + windows.others <= most) & (windows.held > 0)
        signed = windows.held - windows.free + windows.others
        room = (windows.held - windows.equations - 0.5 * signed) / np.maximum(windows.held, 1)
        if weight is not None:
            score = np.where(small, _sums(weight, windows.starts, windows.ends), -np.inf)
        else:
            score = np.where(small & (room > ROOM), room, -np.inf)
        place = int(score.argmax())
        if np.isfinite(score.ravel()[place]):
            group, *start = np.unravel_index(place, score.shape)
            found.append((float(score.ravel()[place]), int(group), tuple(map(int, start)), windows.side))
    return [each[1:] for each in found[:TRIES]]  # small ones first: factorizations cost the cube


def _direction(
    cones: LargeCones, sides: Sides, columns: IntArray, rows: IntArray, budget: Budget
) -> tuple[Direction, float] | None:
    columns = columns[~sides.fixed[columns]]
    equal, signed = rows[sides.equal[rows]], rows[(sides.upper[rows] != 0) & ~sides.equal[rows]]
    H, W = (np.asarray(cones.written(part, columns)) for part in (equal, signed))
    live, strict = H.any(axis=1), W.any(axis=1)
    equal, held = equal[live], H[live]
    others = (sides.upper[signed][:, None].astype(np.float64) * W)[strict]
    none = np.zeros(len(columns), dtype=np.bool_)
    if len(held) > len(columns):
        return None
    d = strict_direction(held, others, sides.signs[columns], none, budget)
    if d is None or not d.any():
        return None
    sigma = _smallest(held)
    if sigma is None:
        return None
    whole, outside = np.zeros(len(cones.x)), np.ones(len(cones.x), dtype=np.bool_)
    whole[columns], outside[columns] = d, False
    numbers = np.concatenate([equal, cones.layer.outputs + np.flatnonzero(outside)])
    return Direction(numbers, whole), sigma


def _smallest(H: Float64[FloatArray, "p k"]) -> float | None:
    """What the smallest singular value exceeds, by inverse iteration; None where rows depend on each other."""
    if not len(H):
        return 0.0
    square = H @ H.T
    try:
        factor = Cholesky(square)
    except np.linalg.LinAlgError:
        return None
    v = np.random.default_rng(0).standard_normal(len(H))
    value = np.inf
    for _ in range(INVERSE_STEPS):
        v = factor.solve(v / np.linalg.norm(v))
        value = 1.0 / float(np.linalg.norm(v))
    return SAFETY * value**0.5 if np.isfinite(value) and value > 0 else None


__all__ = ["FEW", "MOST", "moved"]
