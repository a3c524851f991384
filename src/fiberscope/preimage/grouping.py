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
from fiberscope.preimage import bitsets
from fiberscope.preimage.bitsets import Bitsets, Words

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
        opposite: for each, the rows that are minus a row of W as bounds are; None where that does not matter.
    """

    held: Bitsets
    inequalities: Bitsets | None = None
    opposite: Bitsets | None = None

    def __len__(self) -> int:
        return len(self.held)

    def chosen(self, index: IntArray) -> Cones:
        """Some of the cones."""
        parts = (None if part is None else part.chosen(index) for part in (self.inequalities, self.opposite))
        return Cones(self.held.chosen(index), *parts)

    def loads(self) -> FloatArray:
        """(N,) how much the rows leave of the space: each equality takes a dimension, each inequality half of one.

        Inequalities that are all other rows are left out: they are as many for every sample, up to the equalities.
        """
        bounds = 0 if self.inequalities is None else self.inequalities.counts()
        return (self.held.counts() + 0.5 * bounds).astype(np.float64)

    def key(self) -> Words:
        """(N, w) words that are equal where the cones are."""
        return self.held.words if self.inequalities is None else np.hstack([self.held.words, self.inequalities.words])


@dataclass(frozen=True, eq=False)
class Group:
    """Samples that are asked about together.

    Attributes:
        members: their numbers.
        held: the rows that are equalities in the common question.
        inequalities: those that are inequalities in it; None where these are all others.
    """

    members: IntArray
    held: Words
    inequalities: Words | None


def alone(cones: Cones, number: int) -> Group:
    """A group of one."""
    W = cones.inequalities
    return Group(np.array([number]), cones.held.words[number], None if W is None else W.words[number])


def union(cones: Cones, members: IntArray) -> Group:
    """The question whose directions serve all of these samples."""
    W = cones.inequalities
    held = bitsets.union(cones.held.words[members])
    return Group(members, held, None if W is None else bitsets.union(W.words[members]) & ~held)


def intersection(cones: Cones, members: IntArray) -> Group:
    """The question whose multipliers serve all of these samples."""
    W = cones.inequalities
    held = bitsets.intersection(cones.held.words[members])
    if W is None:
        return Group(members, held, None)
    return Group(members, held, bitsets.intersection(cones.held.words[members] | W.words[members]) & ~held)


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
        nothing = np.zeros_like(cones.held.words[seed])
        self.held = cones.held.words[seed]
        self.bounded = nothing if cones.inequalities is None else cones.inequalities.words[seed]
        self.against = nothing if cones.opposite is None else cones.opposite.words[seed]

    def costs(self, among: IntArray) -> FloatArray:
        rows = self.cones.held.words[among]
        load = bitsets.sizes(rows | self.held).astype(np.float64)
        if self.cones.inequalities is None:
            return load
        other = self.cones.inequalities.words[among]
        clash = bitsets.sizes((other & (self.held | self.against)) | (rows & self.bounded))
        return np.where(clash > 0, np.inf, load + 0.5 * bitsets.sizes(other | self.bounded))

    def join(self, number: int) -> None:
        self.members.append(number)
        self.held = self.held | self.cones.held.words[number]
        if self.cones.inequalities is not None:
            self.bounded = self.bounded | self.cones.inequalities.words[number]
        if self.cones.opposite is not None:
            self.against = self.against | self.cones.opposite.words[number]


class _Intersection:
    """Its cost is minus its load."""

    def __init__(self, cones: Cones, seed: int) -> None:
        self.cones, self.members = cones, [seed]
        self.held = cones.held.words[seed]
        self.either = self.held if cones.inequalities is None else self.held | cones.inequalities.words[seed]

    def _rows(self, chosen: IntArray | int) -> Words:
        W = self.cones.inequalities
        held = self.cones.held.words[chosen]
        return held if W is None else held | W.words[chosen]

    def costs(self, among: IntArray) -> FloatArray:
        common = bitsets.sizes(self.cones.held.words[among] & self.held)
        return (-0.5 * (common + bitsets.sizes(self._rows(among) & self.either))).astype(np.float64)

    def join(self, number: int) -> None:
        self.members.append(number)
        self.held = self.held & self.cones.held.words[number]
        self.either = self.either & self._rows(number)


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
