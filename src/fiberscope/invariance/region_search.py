"""Best-first search over activation regions that have given features in common with an input.

Regions are entered where the optimum of another lies on a facet between them, so that every region that was visited
is joined to the first by a path on which the features stay the same. From the best region so far, all facets that
promise something at its optimum are crossed at once, then one by one; then some in pairs; then those that promise
something elsewhere, at their best points; and last those that promise nothing, which may lead on along a plateau.
Nothing is visited twice, and nothing is random.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import combinations
from typing import NamedTuple

from jaxtyping import Float64
from torch import Tensor

from fiberscope.invariance.across_regions import Problem
from fiberscope.invariance.crossing import Crossings, Facet, Flip, crossed, crossings, pattern
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.invariance.vertex import at_point, vertex
from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.linear_program import Status

MAX_REGIONS = 200
"""Regions whose programs are solved, if nothing else is asked for."""

MAX_PLATEAU = 150
"""Tries in a row that may bring nothing better."""

MAX_FACETS = 32
"""Facets of one region that are crossed alone where its optimum is, and as many elsewhere."""

PAIRED = 5
"""Facets at one optimum of which any two are crossed together."""


class Ending(StrEnum):
    """Why a search ended."""

    NOTHING_LEFT = "every facet at the optima that were found has been crossed"
    REGIONS = "as many regions were visited as were allowed"
    PLATEAU = "as many tries in a row as were allowed brought nothing better"
    UNBOUNDED = "in a region the objective grows without end: give a bounded domain"


class Outcome(StrEnum):
    """What a region brought."""

    BETTER = "its optimum is better than that of the region before"
    EQUAL = "its optimum is as good as that of the region before"
    WORSE = "its optimum is worse than that of the region before"
    UNSETTLED = "its optimum could not be put onto the equations: it counts with the point where it was entered"
    UNSOLVED = "HiGHS found no optimum: it counts with the point where it was entered"
    UNBOUNDED = "the objective grows without end: it counts with the point where it was entered"


@dataclass(frozen=True, eq=False)
class Visit:
    """A region that was visited.

    Attributes:
        pattern: the name of its activation pattern.
        parent: the number of the visit from which it was entered; -1 for the first.
        flips: the units that are on other pieces than there.
        entry: (n,) the point that it has in common with the region before.
        x: (n,) the best point that was found in it.
        value: the objective there, never less than at the entry.
        outcome: what it brought.
    """

    pattern: str
    parent: int
    flips: tuple[Flip, ...]
    entry: Float64[FloatArray, " n"] = field(repr=False)
    x: Float64[FloatArray, " n"] = field(repr=False)
    value: float
    outcome: Outcome


@dataclass(frozen=True)
class Budget:
    """How far a search may go.

    Attributes:
        regions: how many regions may be visited.
        plateau: how many tries in a row may bring nothing better than the best so far: regions that were visited, and
            facets that turned out to have no points.
    """

    regions: int = MAX_REGIONS
    plateau: int = MAX_PLATEAU


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found.

    Attributes:
        visits: the regions in the order in which they were visited; no pattern appears twice.
        best: the number of the best.
        ended: why it ended.
    """

    visits: tuple[Visit, ...]
    best: int
    ended: Ending

    def route(self) -> tuple[int, ...]:
        """The numbers of the visits on the way from the first to the best."""
        route = [self.best]
        while self.visits[route[-1]].parent >= 0:
            route.append(self.visits[route[-1]].parent)
        return tuple(reversed(route))


class _Region(NamedTuple):
    """A region that was visited, and where one can go from there."""

    visit: Visit
    pieces: dict[int, Tensor]
    crossings: Crossings


class _Candidate(NamedTuple):
    """A region that could be visited; the smallest comes first."""

    worse: float  # minus the objective at the best point of the region before
    tier: _Tier
    less: float  # minus the promise
    order: int
    parent: int
    flips: tuple[Flip, ...]
    facet: int | None  # where the region before is left, if not at its best point


class _Tier(IntEnum):
    """What is tried first at a region."""

    PROMISING = 0
    SEVERAL = 1
    ELSEWHERE = 2
    NOT_PROMISING = 3


def search(problem: Problem, budget: Budget) -> Search:
    """Go from the source to better and better inputs with the same features."""
    source = problem.source
    regions = [_visited(problem, dict(problem.pieces()), -1, (), source, source)]
    seen = {regions[0].visit.pattern}
    waiting, facets = _Waiting(), _FacetPoints(problem)
    waiting.add(0, regions[0])
    best = tries = 0
    while waiting and regions[-1].visit.outcome is not Outcome.UNBOUNDED:
        candidate = waiting.next()
        parent = regions[candidate.parent]
        there = crossed(parent.pieces, candidate.flips)
        name = pattern(there)
        if name in seen:
            continue
        if len(regions) >= budget.regions or tries >= budget.plateau:
            return _found(regions, best, Ending.REGIONS if len(regions) >= budget.regions else Ending.PLATEAU)
        tries += 1
        entry = parent.visit.x if candidate.facet is None else facets.best(parent, candidate.facet)
        if entry is None:
            continue
        seen.add(name)
        regions.append(_visited(problem, there, candidate.parent, candidate.flips, entry, parent.visit.x))
        waiting.add(len(regions) - 1, regions[-1])
        if problem.gain(regions[-1].visit.x, regions[best].visit.x) > 0:
            best, tries = len(regions) - 1, 0
    unbounded = regions[-1].visit.outcome is Outcome.UNBOUNDED
    return _found(regions, best, Ending.UNBOUNDED if unbounded else Ending.NOTHING_LEFT)


class _Waiting:
    """The regions that could be visited."""

    def __init__(self) -> None:
        self._heap: list[_Candidate] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, number: int, region: _Region) -> None:
        """Add what can be reached from a region."""
        for tier, promise, flips, facet in _ways_on(region.crossings):
            self._count += 1
            candidate = _Candidate(-region.visit.value, tier, -promise, self._count, number, flips, facet)
            heapq.heappush(self._heap, candidate)

    def next(self) -> _Candidate:
        """Take the first."""
        return heapq.heappop(self._heap)


class _FacetPoints:
    """The best points of facets; the program of the region that was asked for last is kept."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._last: tuple[str, RegionProgram] | None = None

    def best(self, region: _Region, number: int) -> FloatArray | None:
        """The best point of a facet; None if the facet has no points, or none that can be put onto the equations."""
        if self._last is None or self._last[0] != region.visit.pattern:
            self._last = region.visit.pattern, self._problem.program(region.pieces, region.visit.x)
        program = self._last[1]
        found = program.maximize_on_facet(self._problem.objective, number)
        landed = vertex(program, found, self._problem.objective) if found.optimal else None
        return None if landed is None or number not in landed.tight else landed.x


def _found(regions: list[_Region], best: int, ended: Ending) -> Search:
    return Search(tuple(region.visit for region in regions), best, ended)


def _ways_on(found: Crossings) -> Iterator[tuple[_Tier, float, tuple[Flip, ...], int | None]]:
    """What can be crossed: with its tier, its promise, the flips, and the facet if it must be gone to first."""
    for facet in found.here:
        tier = _Tier.PROMISING if facet.promise > 0 else _Tier.NOT_PROMISING
        yield tier, facet.promise, (facet.flip,), None
    promising = _one_each([facet for facet in found.here if facet.promise > 0])
    if len(promising) > 2:
        yield _Tier.PROMISING, sum(facet.promise for facet in promising), tuple(f.flip for f in promising), None
    for pair in (_one_each(pair) for pair in combinations(found.here[:PAIRED], 2)):
        yield _Tier.SEVERAL, sum(facet.promise for facet in pair), tuple(facet.flip for facet in pair), None
    for facet in found.elsewhere:
        if facet.promise <= 0:
            break
        yield _Tier.ELSEWHERE, facet.promise, (facet.flip,), facet.number


def _one_each(facets: Sequence[Facet]) -> list[Facet]:
    """The first facet of every unit."""
    units: dict[tuple[int, int], Facet] = {}
    for facet in facets:
        units.setdefault((facet.flip.stage, facet.flip.unit), facet)
    return list(units.values())


def _visited(
    problem: Problem,
    pieces: dict[int, Tensor],
    parent: int,
    flips: tuple[Flip, ...],
    entry: FloatArray,
    before: FloatArray,
) -> _Region:
    """Solve the program of a region that contains a point, and compare with the point of the region before."""
    program = problem.program(pieces, entry)
    found = program.maximize(problem.objective)
    landed = vertex(program, found, problem.objective) if found.optimal else None
    settled = landed is not None
    if landed is None or problem.value(landed.x) < problem.value(entry):
        landed = at_point(program, entry, found.unit)
    value, gain = problem.value(landed.x), problem.gain(landed.x, before)
    if not settled:
        outcome = _UNSETTLED.get(found.status, Outcome.UNSOLVED)
    elif gain > 0:
        outcome = Outcome.BETTER
    else:
        outcome = Outcome.WORSE if gain < 0 else Outcome.EQUAL
    visit = Visit(pattern(pieces), parent, flips, entry, landed.x, value, outcome)
    return _Region(visit, pieces, crossings(program.region, landed, MAX_FACETS))


_UNSETTLED = {Status.OPTIMAL: Outcome.UNSETTLED, Status.UNBOUNDED: Outcome.UNBOUNDED}


__all__ = ["Budget", "Ending", "Outcome", "Search", "Visit", "search"]
