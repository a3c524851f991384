"""The parts of certificates that many samples share: read once, and measured many at a time.

What is measured depends on the parts alone, not on the order in which samples name them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimage.candidate import Direction, Multipliers
from old_checker.asking import NotProvedError, PlainPart
from old_checker.rounding import (
    norm_above,
    norm_below,
    product_error,
    relative_error,
)
from old_checker.row_table import RowTable
from old_checker.statement import expected, read_floats, read_numbers

BLOCK = 256
"""Parts that are multiplied with the table at once."""


@dataclass(frozen=True, eq=False)
class HeldDirection:
    """A direction as a certificate gives it.

    Attributes:
        held: (M,) the rows that hold it at zero.
        values: (n,).
    """

    held: BoolArray
    values: FloatArray

    def key(self) -> bytes:
        """What its place in an order depends on."""
        return self.values.tobytes() + self.held.tobytes()


@dataclass(frozen=True, eq=False)
class Slopes:
    """How a direction d runs against the rows.

    Attributes:
        room: (M,) where it is positive, a lower bound on ``-a_i d / |a_i|``; inf for zero rows and those that do not
            exist.
        residual: an upper bound on ``|B d|``, B the rows of the table that hold d.
        length: a lower bound on ``|d|``.
    """

    room: FloatArray
    residual: float
    length: float


@dataclass(frozen=True, eq=False)
class GroupedMultipliers:
    """Multipliers as a certificate gives them, the rows that are not zero sorted by groups.

    Attributes:
        named: (M,) the rows that have a weight.
        signed: (M,) those whose weight is not positive.
        rows: (q,) the named nonzero rows, group by group.
        weights: (q,) their weights as weights of the table's rows.
        starts: (g,) where in ``rows`` each group starts.
        groups: (g,) the groups.
        net: (g,) the total weight of each.
    """

    named: BoolArray
    signed: BoolArray
    rows: IntArray
    weights: FloatArray
    starts: IntArray
    groups: IntArray
    net: FloatArray

    def key(self) -> bytes:
        """What its place in an order depends on."""
        return self.weights.tobytes() + self.rows.tobytes() + self.signed.tobytes()

    def smallest(self, free: Bool[BoolArray, "u M"]) -> Float64[FloatArray, " u"]:
        """The smallest weight of a group without a free row, (u,); inf where all have one.

        A correction of a group falls on a free row of it, or on the row of the largest weight.
        """
        absorbed = np.logical_or.reduceat(free[:, self.rows], self.starts, axis=1)
        strength = np.maximum.reduceat(np.abs(self.weights), self.starts)
        return np.where(absorbed, np.inf, strength).min(axis=1)


def read_shared_direction(part: PlainPart, table: RowTable) -> HeldDirection:
    """Read a direction that is held by rows that exist.

    Raises:
        NotProvedError: it is none.
    """
    part = expected(Direction, part)
    return HeldDirection(_named(read_numbers(part.rows), table), read_floats(part.values, table.n, "a vector"))


def read_shared_multipliers(part: PlainPart, table: RowTable) -> GroupedMultipliers:
    """Read multipliers on rows that exist, one of them not zero.

    Raises:
        NotProvedError: they are none.
    """
    part = expected(Multipliers, part)
    rows = read_numbers(part.rows)
    values = read_floats(part.values, len(rows), "a vector")
    named, signed = _named(rows, table), np.zeros(len(table.exists), dtype=np.bool_)
    signed[rows[~(values > 0)]] = True
    nonzero = table.nonzero[rows]
    rows, values = rows[nonzero], values[nonzero]
    if not len(rows):
        raise NotProvedError("multipliers on zero rows say nothing")
    # by number within a group: the order in which they were named must not matter
    order = np.lexsort((rows, table.group[rows]))
    rows, values = rows[order], values[order]
    factor = table.factor[rows]
    weights = values * factor
    if not (weights / factor == values).all():
        raise NotProvedError("a weight of this size is proved with rational numbers or alone")
    groups, starts = np.unique(table.group[rows], return_index=True)
    net = np.array([fsum(terms) for terms in np.split(weights, starts[1:])]) if len(groups) < len(rows) else weights
    return GroupedMultipliers(named, signed, rows, weights, starts.astype(np.int64), groups, net)


def _named(rows: Int64[IntArray, " q"], table: RowTable) -> Bool[BoolArray, " M"]:
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(table.exists)):
        raise NotProvedError("a row is named that does not exist")
    named = np.zeros(len(table.exists), dtype=np.bool_)
    named[rows] = True
    if np.count_nonzero(named) != len(rows) or not table.exists[rows].all():
        raise NotProvedError("a row is named twice, or does not exist")
    return named


def measured_directions(table: RowTable, directions: Sequence[HeldDirection]) -> Iterator[tuple[int, Slopes]]:
    """The slopes of each direction, beside its index; in an order that depends on the directions alone."""
    order = sorted(range(len(directions)), key=lambda k: directions[k].key())
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        values = table.rows @ np.stack([directions[k].values for k in block], axis=1)
        for k, value in zip(block, np.ascontiguousarray(values.T), strict=True):
            yield k, _slopes(table, directions[k], value)


def _slopes(table: RowTable, direction: HeldDirection, value: Float64[FloatArray, " K"]) -> Slopes:
    error = product_error(table.norms, norm_above(direction.values), table.n)
    upwards, downwards = (-value - error) / table.norms, (value - error) / table.norms
    room = np.where(table.factor > 0, upwards[table.group], downwards[table.group])
    holding = table.groups_of(direction.held[None])[0]
    return Slopes(
        np.where(table.nonzero, room, np.inf),
        norm_above(value[holding]) + norm_above(error[holding]),
        norm_below(direction.values),
    )


def measured_multipliers(table: RowTable, parts: Sequence[GroupedMultipliers]) -> Iterator[tuple[int, float]]:
    """An upper bound on ``|B^T v|`` of each, B the rows of its groups, v their net weights, beside its index."""
    order = sorted(range(len(parts)), key=lambda k: parts[k].key())
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        net = np.zeros((len(block), len(table.rows)))
        for j, k in enumerate(block):
            net[j, parts[k].groups] = parts[k].net
        for k, total in zip(block, net @ table.rows, strict=True):
            # sums with a term for every row of the table, most of them exact zeros
            size = norm_above(table.norms[parts[k].groups]) * norm_above(parts[k].net)
            yield k, norm_above(total) + size * relative_error(len(parts[k].net))
