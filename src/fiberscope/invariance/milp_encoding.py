"""The mixed-integer program over all regions: a network as rows, with a binary per piece that a unit may be on.

Every stage has its values as columns. A unit whose input z lies in [l, u] may be on the pieces that meet this interval.
On piece j its output a is ``s_j z + t_j``. With a binary d_j for each, ``sum d_j = 1``,

    L_j (1 - d_j) <= a - s_j z - t_j <= U_j (1 - d_j),

where L_j and U_j are the extremes of ``a - s_j z - t_j`` on [l, u], and z is between the kinks of the piece if
``d_j = 1``. Of a maximum, ``z_t <= a <= z_t + (max u - l_t) (1 - d_t)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from fiberscope.invariance.across_regions import Problem
from fiberscope.invariance.linear_pieces import piece_at
from fiberscope.invariance.stage_bounds import Bounds, needed_stages
from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.combination import as_rows
from fiberscope.network.rows import dense, sparse, sparse_rows
from fiberscope.network.stage import INPUT
from fiberscope.preimages.linear_program import LinearProgram


class Choice(NamedTuple):
    """A unit that may be on several pieces.

    Attributes:
        stage: the number of its activation.
        unit: the number of its output.
        pieces: the pieces.
        columns: their binaries.
    """

    stage: int
    unit: int
    pieces: tuple[int, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MilpEncoding:
    """The program, and what its columns stand for.

    Attributes:
        program: all of it but that some columns are integral.
        integral: (v,) which.
        first: the first column of what every stage gives; that of the input, -1, is 0.
        choices: the units that may be on several pieces.
        settled: the pieces of the units of every activation that may be on one only; -1 for the others.
    """

    program: LinearProgram
    integral: BoolArray
    first: dict[int, int]
    choices: tuple[Choice, ...]
    settled: dict[int, Int64[Tensor, " m"]] = field(repr=False)

    def pieces(self, values: Float64[FloatArray, " v"]) -> dict[int, Int64[Tensor, " m"]]:
        """The pieces that a solution has chosen."""
        found = {number: pieces.clone() for number, pieces in self.settled.items()}
        for choice in self.choices:
            found[choice.stage][choice.unit] = choice.pieces[int(np.argmax(values[list(choice.columns)]))]
        return found

    def at(self, problem: Problem, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, " v"]:
        """The solution that an input is."""
        network, values = problem.network, np.zeros(len(self.integral))
        found: dict[int, Tensor] = {INPUT: torch.tensor(x)}
        for number, start in self.first.items():
            if number != INPUT:
                inputs = [found[source][None] for source in network.sources(number)]
                found[number] = network.stages[number].apply(*inputs)[0]
            values[start : start + len(found[number])] = found[number].numpy()
        for choice in self.choices:
            activation = network.stages[choice.stage].activation
            assert activation is not None, "only activations have pieces"
            piece = int(piece_at(activation, found[network.sources(choice.stage)[0]])[choice.unit])
            # on a kink, the piece that counts may be left out: the next one gives the same there
            nearest = min(range(len(choice.pieces)), key=lambda i: abs(choice.pieces[i] - piece))
            values[choice.columns[nearest]] = 1.0
        return values


class _Builder:
    """Collects columns and rows."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.high: list[float] = []
        self.binaries: list[int] = []
        self._entries: list[tuple[int, int, float]] = []
        self.row_low: list[float] = []
        self.row_high: list[float] = []

    def columns(self, low: FloatArray, high: FloatArray) -> int:
        """Add columns; the number of the first."""
        first = len(self.low)
        self.low += low.tolist()
        self.high += high.tolist()
        return first

    def binary(self) -> int:
        """Add a binary."""
        column = self.columns(np.zeros(1), np.ones(1))
        self.binaries.append(column)
        return column

    def row(self, low: float, terms: list[tuple[int, float]], high: float) -> None:
        """Add ``low <= sum of factor * column <= high``."""
        number = len(self.row_low)
        self._entries += [(number, column, factor) for column, factor in terms if factor != 0.0]
        self.row_low.append(low)
        self.row_high.append(high)

    def program(self, objective: FloatArray) -> LinearProgram:
        """What was collected."""
        cost = np.zeros(len(self.low))
        cost[: len(objective)] = objective
        rows, columns, factors = (np.array(part) for part in zip(*self._entries, strict=True)) if self._entries else (
            np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
        )  # fmt: skip
        matrix = sparse_rows(factors, rows, columns, (len(self.row_low), len(self.low)))
        row_low, row_high, low, high = (
            np.array(ends, dtype=np.float64) for ends in (self.row_low, self.row_high, self.low, self.high)
        )
        return LinearProgram(cost, cast(Any, matrix), row_low, row_high, low, high)


def milp_encoding(problem: Problem, bounds: Bounds) -> MilpEncoding:
    """Write the program out for bounds that all inputs with the features satisfy."""
    network, builder = problem.network, _Builder()
    first = {INPUT: builder.columns(*bounds[INPUT])}
    for row, side in zip(dense(problem.polyhedron.G), problem.polyhedron.h.tolist(), strict=True):
        builder.row(-np.inf, list(enumerate(cast("list[float]", row.tolist()))), side)
    choices: list[Choice] = []
    settled: dict[int, Tensor] = {}
    for number in needed_stages(problem):
        first[number] = builder.columns(*bounds[number])
        activation, sources = network.stages[number].activation, network.sources(number)
        if activation is None:
            _affine_rows(builder, problem, number, first)
            continue
        pieces = torch.full((activation.outputs,), -1)
        between = _maximum if isinstance(activation, Maximum) else _pointwise
        for choice in between(builder, activation, (first[sources[0]], first[number]), bounds[sources[0]]):  # type: ignore[arg-type]
            if len(choice.pieces) == 1:
                pieces[choice.unit] = choice.pieces[0]
            else:
                choices.append(choice._replace(stage=number))
        settled[number] = pieces
    _feature_rows(builder, problem, first[problem.features.source])
    integral = np.zeros(len(builder.low), dtype=np.bool_)
    integral[builder.binaries] = True
    return MilpEncoding(builder.program(problem.objective), integral, first, tuple(choices), settled)


def _affine_rows(builder: _Builder, problem: Problem, number: int, first: dict[int, int]) -> None:
    """``z - sum of A_i v_i = b``."""
    stage = problem.network.stages[number]
    terms: list[list[tuple[int, float]]] = [[(first[number] + unit, 1.0)] for unit in range(stage.outputs)]
    constant = np.zeros(stage.outputs)
    for affine, source in zip(stage.maps, problem.network.sources(number), strict=True):
        rows, bias = as_rows(affine)
        constant = constant + bias
        entries = sparse(rows).tocoo()
        for unit, column, value in zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True):
            terms[unit].append((first[source] + column, -value))
    for part, side in zip(terms, constant.tolist(), strict=True):
        builder.row(side, part, side)


def _feature_rows(builder: _Builder, problem: Problem, start: int) -> None:
    """What the coordinates that the features do not determine satisfy; the others are fixed by their bounds."""
    others, room = problem.features.others, problem.room
    sides = (others.bound.numpy() - room).tolist()
    for one, other, side in zip(_whole(others.first), _whole(others.second), sides, strict=True):
        terms = [(start + number, sign) for number, sign in ((one, 1.0), (other, -1.0)) if number >= 0]
        builder.row(-np.inf, terms, side)


def _pointwise(
    builder: _Builder, activation: Pointwise, columns: tuple[int, int], bounds: tuple[FloatArray, FloatArray]
) -> list[Choice]:
    """The units of a pointwise activation; ``columns`` are the first of its inputs and of its outputs."""
    kinks = activation.kinks()
    assert kinks is not None, "bounds refuse what is smooth"
    ends = (-np.inf, *kinks, np.inf)
    lines = [(_real(slope), constant) for slope, constant in activation.lines()]
    places = [_whole(piece_at(activation, torch.tensor(bound))) for bound in bounds]  # of both bounds: the pieces
    choices: list[Choice] = []
    for unit, (low, high) in enumerate(zip(*(cast("list[float]", bound.tolist()) for bound in bounds), strict=True)):
        z, a = columns[0] + unit, columns[1] + unit
        own = [_Line(slope[unit], constant, *ends[j : j + 2]) for j, (slope, constant) in enumerate(lines)]
        possible = tuple(range(places[0][unit], places[1][unit] + 1))
        binaries = tuple(builder.binary() for _ in possible) if len(possible) > 1 else ()
        choices.append(Choice(-1, unit, possible, binaries))
        if binaries:
            _one_of(builder, (z, a), (low, high), own, dict(zip(possible, binaries, strict=True)))
        else:
            line = own[places[0][unit]]
            builder.row(line.constant, [(a, 1.0), (z, -line.slope)], line.constant)
    return choices


class _Line(NamedTuple):
    """A piece: ``slope * z + constant`` for z from ``low`` to ``high``."""

    slope: float
    constant: float
    low: float
    high: float


def _one_of(
    builder: _Builder, columns: tuple[int, int], bounds: tuple[float, float], lines: list[_Line], binary: dict[int, int]
) -> None:
    """A unit that is on one of some pieces; the module's formula."""
    (z, a), (low, high) = columns, bounds
    builder.row(1.0, [(column, 1.0) for column in binary.values()], 1.0)
    corners = [low, high, *(min(max(line.high, low), high) for line in lines)]
    for j, column in binary.items():
        line = lines[j]
        off = [_at(lines, corner) - line.slope * corner - line.constant for corner in corners]
        least, most = min(off), max(off)
        builder.row(least + line.constant, [(a, 1.0), (z, -line.slope), (column, least)], np.inf)
        builder.row(-np.inf, [(a, 1.0), (z, -line.slope), (column, most)], most + line.constant)
        builder.row(low, [(z, 1.0), (column, low - max(line.low, low))], np.inf)
        builder.row(-np.inf, [(z, 1.0), (column, high - min(line.high, high))], high)


def _at(lines: list[_Line], z: float) -> float:
    """A piecewise linear function at z."""
    line = next(line for line in lines if z <= line.high)
    return line.slope * z + line.constant


def _real(values: Tensor) -> list[float]:
    return cast("list[float]", values.tolist())


def _whole(values: Tensor) -> list[int]:
    return cast("list[int]", values.tolist())


def _maximum(
    builder: _Builder, activation: Maximum, columns: tuple[int, int], bounds: tuple[FloatArray, FloatArray]
) -> list[Choice]:
    """The outputs of a maximum."""
    low, high = bounds[0].tolist(), bounds[1].tolist()
    choices: list[Choice] = []
    for unit, window in enumerate(activation.index.tolist()):
        a = columns[1] + unit
        places = list(dict.fromkeys(place for place in window if place >= 0))
        least, most = max(low[place] for place in places), max(high[place] for place in places)
        possible = tuple(place for place in places if high[place] >= least)
        binaries = tuple(builder.binary() for _ in possible) if len(possible) > 1 else ()
        if binaries:
            builder.row(1.0, [(binary, 1.0) for binary in binaries], 1.0)
        for place in possible:
            builder.row(0.0, [(a, 1.0), (columns[0] + place, -1.0)], np.inf if binaries else 0.0)
        for place, binary in zip(possible if binaries else (), binaries, strict=True):
            reach = most - low[place]
            builder.row(-np.inf, [(a, 1.0), (columns[0] + place, -1.0), (binary, reach)], reach)
        choices.append(Choice(-1, unit, possible, binaries))
    return choices


__all__ = ["Choice", "MilpEncoding", "milp_encoding"]
