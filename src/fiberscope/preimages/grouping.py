"""Which samples are asked about together, so that one proof settles all of them.

A direction that is zero on every row that holds one of them, and strict on every row that bounds one of them, is a
direction for each. Multipliers on rows that all of them have, of either sign only on rows that hold all of them, are
multipliers for each. Groups are grown greedily, by the sample that changes the common question least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages import bitsets
from fiberscope.preimages.bitsets import Bitsets, Words

TOGETHER = 10_000
"""How many samples are divided at once; the time grows with the square of their number."""

NEAREST = 400
"""How many of the nearest samples may join a group."""


@dataclass(frozen=True, eq=False)
class Cones:
    """The cones of N samples, by places in a pool of rows.

    Attributes:
        held: the equality rows H of each.
        inequalities: the rows W of each; None where these are all other rows.
        lower: the rows of which minus the row belongs to W of each; None where there are none.
        opposite: for each, the rows that are minus a row of W as bounds are; None where that does not matter.
        strict: whether a direction has to be strict on every row of W, or may vanish on some.
    """

    held: Bitsets
    inequalities: Bitsets | None = None
    lower: Bitsets | None = None
    opposite: Bitsets | None = None
    strict: bool = True

    def __len__(self) -> int:
        return len(self.held)

    def chosen(self, index: IntArray) -> Cones:
        """Some of the cones."""
        others = (self.inequalities, self.lower, self.opposite)
        parts = (None if part is None else part.chosen(index) for part in others)
        return Cones(self.held.chosen(index), *parts, strict=self.strict)

    def loads(self) -> FloatArray:
        """(N,) how much the rows leave of the space: each equality takes a dimension, each inequality half of one.

        Those of recession cones are left out: nearly all rows are one or the other, as many for every sample.
        """
        counted = [part for part in (self.inequalities, self.lower) if part is not None and self.strict]
        bounds = sum((part.counts() for part in counted), np.zeros(len(self), dtype=np.int64))
        return (self.held.counts() + 0.5 * bounds).astype(np.float64)

    def key(self) -> Words:
        """(N, w) words that are equal where the cones are."""
        return np.hstack([part.words for part in (self.held, self.inequalities, self.lower) if part is not None])

    def upper_words(self, chosen: IntArray | int) -> Words:
        """The rows of W of some cones; none where these are all others."""
        held = self.held.words[chosen]
        return np.zeros_like(held) if self.inequalities is None else self.inequalities.words[chosen]

    def lower_words(self, chosen: IntArray | int) -> Words:
        """The rows of some cones that belong to W with the other sign."""
        held = self.held.words[chosen]
        return np.zeros_like(held) if self.lower is None else self.lower.words[chosen]


@dataclass(frozen=True, eq=False)
class Group:
    """Samples that are asked about together.

    Attributes:
        members: their numbers.
        held: the rows that are equalities in the common question.
        inequalities: those that are inequalities in it; None where these are all others.
        lower: those that are inequalities in it with the other sign.
    """

    members: IntArray
    held: Words
    inequalities: Words | None
    lower: Words


def alone(cones: Cones, number: int) -> Group:
    """A group of one."""
    W = cones.inequalities
    upper, lower = None if W is None else W.words[number], cones.lower_words(number)
    return Group(np.array([number]), cones.held.words[number], upper, lower)


def union(cones: Cones, members: IntArray) -> Group:
    """The question whose directions serve all of these samples; rows that bound them on both sides are held."""
    upper, lower = bitsets.union(cones.upper_words(members)), bitsets.union(cones.lower_words(members))
    held = bitsets.union(cones.held.words[members]) | (upper & lower)
    return Group(members, held, None if cones.inequalities is None else upper & ~held, lower & ~held)


def intersection(cones: Cones, members: IntArray) -> Group:
    """The question whose multipliers serve all of these samples."""
    rows = cones.held.words[members]
    held = bitsets.intersection(rows)
    upper, lower = (
        bitsets.intersection(rows | part(members)) & ~held for part in (cones.upper_words, cones.lower_words)
    )
    return Group(members, held, None if cones.inequalities is None else upper, lower)


@runtime_checkable
class _Growing(Protocol):
    """A group while it grows."""

    members: list[int]

    def costs(self, among: IntArray) -> FloatArray:
        """What the group would cost with each of some samples; infinite where they contradict it."""
        ...

    def join(self, number: int) -> None:
        """Take a sample in."""
        ...


class _Union:
    """Its cost is its load."""

    def __init__(self, cones: Cones, seed: int) -> None:
        self.cones, self.members = cones, [seed]
        self.held = cones.held.words[seed]
        self.upper, self.lower = cones.upper_words(seed), cones.lower_words(seed)
        self.against = np.zeros_like(self.held) if cones.opposite is None else cones.opposite.words[seed]

    def costs(self, among: IntArray) -> FloatArray:
        rows = self.cones.held.words[among]
        if self.cones.inequalities is None:
            return bitsets.sizes(rows | self.held).astype(np.float64)
        upper, lower = self.cones.upper_words(among), self.cones.lower_words(among)
        if not self.cones.strict:
            both = (upper | self.upper) & (lower | self.lower)
            return bitsets.sizes(rows | self.held | both).astype(np.float64)
        clash = bitsets.sizes(
            (upper & (self.held | self.against | self.lower))
            | (lower & (self.held | self.upper))
            | (rows & (self.upper | self.lower))
        )
        bounds = bitsets.sizes(upper | self.upper) + bitsets.sizes(lower | self.lower)
        return np.where(clash > 0, np.inf, bitsets.sizes(rows | self.held) + 0.5 * bounds)

    def join(self, number: int) -> None:
        self.members.append(number)
        self.upper = self.upper | self.cones.upper_words(number)
        self.lower = self.lower | self.cones.lower_words(number)
        self.held = self.held | self.cones.held.words[number] | (self.upper & self.lower)
        if self.cones.opposite is not None:
            self.against = self.against | self.cones.opposite.words[number]


class _Intersection:
    """Its cost is minus its load."""

    def __init__(self, cones: Cones, seed: int) -> None:
        self.cones, self.members = cones, [seed]
        self.held, self.upper, self.lower = self._rows(seed)

    def _rows(self, chosen: IntArray | int) -> tuple[Words, Words, Words]:
        held = self.cones.held.words[chosen]
        return held, held | self.cones.upper_words(chosen), held | self.cones.lower_words(chosen)

    def costs(self, among: IntArray) -> FloatArray:
        if self.cones.inequalities is None or not self.cones.strict:
            return -bitsets.sizes(self.cones.held.words[among] & self.held).astype(np.float64)
        _, upper, lower = self._rows(among)  # both count the rows that are held
        return -0.5 * (bitsets.sizes(upper & self.upper) + bitsets.sizes(lower & self.lower)).astype(np.float64)

    def join(self, number: int) -> None:
        self.members.append(number)
        held, upper, lower = self._rows(number)
        self.held, self.upper, self.lower = self.held & held, self.upper & upper, self.lower & lower


def unions(cones: Cones, ceiling: float) -> list[Group]:
    """Divide samples into groups whose union has a load of at most ``ceiling``, where one sample alone has no more."""
    members = _cover(cones.loads(), lambda seed: _Union(cones, seed), ceiling)
    return [union(cones, np.array(group)) for group in members]


def intersections(cones: Cones, floor: float) -> list[Group]:
    """Divide samples into groups whose intersection has a load of at least ``floor``, where one alone has as much."""
    members = _cover(-cones.loads(), lambda seed: _Intersection(cones, seed), -floor)
    return [intersection(cones, np.array(group)) for group in members]


def _cover(order: FloatArray, begin: Callable[[int], _Growing], limit: float) -> list[list[int]]:
    """Every sample into one group, those of small ``order`` first; each grows as long as it costs at most ``limit``."""
    groups: list[list[int]] = []
    ordered = np.argsort(order, kind="stable")
    for start in range(0, len(order), TOGETHER):
        left: BoolArray = np.zeros(len(order), dtype=np.bool_)
        left[ordered[start : start + TOGETHER]] = True
        for seed in ordered[start : start + TOGETHER]:
            if left[seed]:
                left[seed] = False
                group = begin(int(seed))
                _grow(group, np.flatnonzero(left), limit)
                left[group.members] = False
                groups.append(group.members)
    return groups


def _grow(group: _Growing, rest: IntArray, limit: float) -> None:
    """Take in, one after the other, the sample that costs least."""
    cost = group.costs(rest)
    if len(rest) > NEAREST:
        near = np.argpartition(cost, NEAREST)[:NEAREST]
        rest, cost = rest[near], cost[near]
    while len(rest) and cost.min() <= limit:
        best = int(np.argmin(cost))
        group.join(int(rest[best]))
        rest = rest[(cost <= limit) & (np.arange(len(rest)) != best)]
        cost = group.costs(rest)


__all__ = ["Cones", "Group", "alone", "intersection", "intersections", "union", "unions"]
