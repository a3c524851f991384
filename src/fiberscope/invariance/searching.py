"""The best inputs of one region with given features, for one target after the other.

What does not depend on the target is shared: the region and its rows, a point with room, and the linear program with
its last basis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.invariance.box_optimum import BoxOptimum
from fiberscope.invariance.farthest import farthest
from fiberscope.invariance.feature_region import FeatureRegion, RegionRows, feature_region, features_at, pieces_at
from fiberscope.invariance.float_room import wanted_room
from fiberscope.invariance.interior import Interior, interior
from fiberscope.invariance.nearest import Found, nearest
from fiberscope.invariance.objective import Goal, Objective
from fiberscope.invariance.region_program import RegionProgram, pinned
from fiberscope.invariance.settling import Held, held_rows, settle
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic
from fiberscope.network.rows import stacked
from fiberscope.preimage.linear_program import Status


@dataclass(frozen=True, eq=False)
class Effort:
    """How much is done where the best is not found by one program.

    Attributes:
        max_programs: of the farthest input in L-infinity, the most linear programs; None for two per pixel.
        starts: of the farthest input in L1 and L2, the number of ascents.
        seed: of their directions.
    """

    max_programs: int | None = None
    starts: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """The best input of a region.

    Attributes:
        status: how the search ended; only of an optimal one are the other fields to be used.
        x: (n,) with the features of the source, up to rounding in float64; of an unbounded program a direction.
        bound: what no input of the region reaches more of.
        is_optimal: whether x is the best, rather than a local optimum.
    """

    status: Status
    x: Float64[FloatArray, " n"]
    bound: float
    is_optimal: bool


@dataclass(frozen=True, eq=False)
class Search:
    """The region of a source, ready to be asked for its best inputs.

    Attributes:
        region: the region.
        source: (n,) x.
        domain: the domain, with the pixels that are kept fixed at x.
        rows: the region's rows.
        room: (q + g,) the room of every inequality.
        interior: a point that has it.
        program: the linear program with that room, and its last basis.
        held: the rows that do not change within the region.
        box: what tells whether the best input of the whole domain has the features; None where that is not asked.
    """

    region: FeatureRegion
    source: Float64[FloatArray, " n"]
    domain: Polyhedron
    rows: RegionRows
    room: Float64[FloatArray, " q"]
    interior: Interior
    program: RegionProgram
    held: Held
    box: BoxOptimum | None

    def best(
        self, objective: Objective, target: Float64[FloatArray, " n"] | None, fraction: float, effort: Effort
    ) -> Answer:
        """The best input for an objective and a target."""
        if objective.goal is Goal.SMALLEST_CHANGE:
            assert target is not None, "the smallest change is one towards a target"
            step = target - self.source
            search = self._within(-step, -float(step @ self.source) - fraction * float(step @ step))
        else:
            search = self
        found = search._found(objective, target, effort)
        if found.status is not Status.OPTIMAL:
            return Answer(found.status, found.x, found.bound, False)
        settled = settle(search.held, search.program, search.interior, self.source, found.x)
        is_optimal = found.is_optimal and settled.moved < 1.0
        return Answer(found.status, settled.x, found.bound, is_optimal)

    def afresh(self) -> Search:
        """The same with a program of its own, which knows nothing of targets before."""
        program = RegionProgram(self.region, self.domain, room=self.room, rows=self.rows)
        return replace(self, program=program, box=None if self.box is None else replace(self.box, failures=0))

    def _found(self, objective: Objective, target: FloatArray | None, effort: Effort) -> Found:
        match objective.goal:
            case Goal.LINEAR:
                assert target is not None, "a linear objective has a target"
                cost = target if objective is Objective.INNER_PRODUCT else target - self.source
                offset = 0.0 if objective is Objective.INNER_PRODUCT else float(cost @ self.source)
                at_bounds = None if self.box is None else self.box.attained(cost, self.source)
                if at_bounds is not None:
                    return Found(Status.OPTIMAL, at_bounds, float(cost @ at_bounds) - offset, True, 0)
                found = self.program.maximize(cost)
                return Found(found.status, found.x, found.bound - offset, True, found.rounds + 1)
            case Goal.NEAREST:
                assert target is not None, "there is something to be near to"
                return nearest(self.program, target, objective.norm)
            case Goal.SMALLEST_CHANGE:
                return nearest(self.program, self.source, objective.norm)
            case Goal.FARTHEST:
                most = 2 * len(self.source) if effort.max_programs is None else effort.max_programs
                return farthest(
                    self.program, self.source, objective.norm, max_programs=most, starts=effort.starts, seed=effort.seed
                )
            case _:
                assert_never(objective.goal)

    def _within(self, normal: FloatArray, side: float) -> Search:
        """The same in a further half-space, which needs no room and may leave the source outside."""
        domain = replace(self.domain, G=stacked(self.domain.G, normal[None]), h=np.append(self.domain.h, side))
        room = np.append(self.room, 0.0)
        program = RegionProgram(self.region, domain, room=room, rows=self.rows)
        slack, implied = np.append(self.interior.slack, 0.0), np.append(self.interior.implied, False)
        inner = Interior(self.interior.point, slack, implied)
        return replace(self, domain=domain, room=room, program=program, interior=inner)

    def is_only_source(self, seed: int) -> bool:
        """Whether the optimum in a random direction, and in the opposite one, is the source itself."""
        direction = np.random.default_rng(seed).standard_normal(len(self.source))
        for sign in (1.0, -1.0):
            found = self.program.maximize(sign * direction)
            if not found.optimal or not _same(found.x, self.source):
                return False
        return True


SAME = 1e-6
"""Pixels that differ by less, relative to their size, are the same up to the tolerance of a linear program."""


def _same(first: FloatArray, second: FloatArray) -> bool:
    return bool(np.abs(first - second).max() <= SAME * max(1.0, float(np.abs(second).max())))


def search_region(
    network: Network,
    stage: int,
    source: Float64[FloatArray, " n"],
    domain: Polyhedron,
    kept: Int64[IntArray, " k"],
    arithmetic: Arithmetic,
) -> Search:
    """Prepare the search in the region of a source.

    Raises:
        ModelError: an activation before the stage is smooth.
    """
    region = feature_region(network, features_at(network, source, stage), pieces_at(network, source, stage))
    domain = pinned(domain, source, kept)
    wanted = wanted_room(region, domain, source, arithmetic)
    without_room = RegionProgram(region, domain)
    inner = interior(without_room, source, wanted)
    room = np.where(inner.implied, 0.0, np.minimum(wanted, inner.slack))
    program = RegionProgram(region, domain, room=room, rows=without_room.rows)
    held, box = held_rows(program, inner), BoxOptimum.of(program)
    return Search(region, source, domain, program.rows, room, inner, program, held, box)


__all__ = ["Answer", "Effort", "Search", "search_region"]
