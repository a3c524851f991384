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
from fiberscope.invariance.feasible_steps import EPS, FeasibleSteps, pinned
from fiberscope.invariance.feature_projection import Held, held_rows, projected
from fiberscope.invariance.feature_region import FeatureRegion, feature_region, features_at, pieces_at
from fiberscope.invariance.gateways import well_conditioned
from fiberscope.invariance.interior import Interior, interior
from fiberscope.invariance.nearest import Along, Found, nearest, size_of, smallest_change
from fiberscope.invariance.objective import Goal, Objective
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.invariance.rounding_slack import wanted_room
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic
from fiberscope.preimages.linear_program import Status

OPTIMAL = 1e-6
"""The share of an objective's size by which a bound may exceed what is called optimal: what solvers leave of it."""


ROUNDINGS = 8.0
"""How often x' is rounded, at most, that a bound may exceed an optimum by: changes may be as small as that."""


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
        bound: what no input of the region reaches more of; of a fraction that no input reaches, the largest.
        is_optimal: whether the bound proves that no input with the room is better, up to ``OPTIMAL``.
        room_costs: whether the room is what the bound and x differ by.
    """

    status: Status
    x: Float64[FloatArray, " n"]
    bound: float
    is_optimal: bool
    room_costs: bool = False


@dataclass(frozen=True, eq=False)
class Search:
    """The region of a source, ready to be asked for its best inputs.

    Attributes:
        region: the region.
        source: (n,) x.
        domain: the domain, with the pixels that are kept fixed at x.
        room: (q + g,) the room of every inequality.
        interior: a point that has it.
        program: the linear program with that room, and its last basis.
        at_source: the same with no more room than the source has; None where that is all of it.
        held: the rows that do not change within the region.
        box: what tells whether the best input of the whole domain has the features; None where that is not asked.
        exact: where features may differ, the search for those with exactly the same; else None.
    """

    region: FeatureRegion
    source: Float64[FloatArray, " n"]
    domain: Polyhedron
    room: Float64[FloatArray, " q"]
    interior: Interior
    program: RegionProgram
    at_source: RegionProgram | None
    held: Held
    box: BoxOptimum | None
    exact: Search | None = None

    def best(
        self, objective: Objective, target: Float64[FloatArray, " n"] | None, fraction: float, effort: Effort
    ) -> Answer:
        """The best input for an objective and a target, never worse than the source.

        Where features may differ, it is never worse than the best one with exactly the same: that is looked for, too,
        because a local optimum, or what is put onto the sides of the features, may be.
        """
        answer = self._best(objective, target, fraction, effort)
        if self.exact is None or answer.status is Status.UNBOUNDED:
            return answer
        other = self.exact.best(objective, target, fraction, effort)
        if other.status is not Status.OPTIMAL:
            return answer
        sign = 1.0 if objective.is_maximum else -1.0
        if answer.status is not Status.OPTIMAL:
            return replace(other, bound=np.inf if sign > 0 else 0.0, is_optimal=False, room_costs=False)
        values = [sign * objective.at(each.x, self.source, target) for each in (answer, other)]
        return answer if values[0] >= values[1] else replace(answer, x=other.x)

    def _best(self, objective: Objective, target: FloatArray | None, fraction: float, effort: Effort) -> Answer:
        """The same for these features alone.

        Inputs with all of the room are tried first; if none of them is better than the source, or none goes as far as
        asked, those with as much as the source has.
        """
        answer = self._tried(self.program, self.box, objective, target, fraction, effort)
        if self.at_source is None or answer.status is Status.UNBOUNDED or self._is_example(answer):
            return answer
        other = self._tried(self.at_source, None, objective, target, fraction, effort)
        return other if other.status is Status.OPTIMAL or answer.status is not Status.OPTIMAL else answer

    def _is_example(self, answer: Answer) -> bool:
        return answer.status is Status.OPTIMAL and bool((answer.x != self.source).any())

    def _tried(
        self,
        program: RegionProgram,
        box: BoxOptimum | None,
        objective: Objective,
        target: FloatArray | None,
        fraction: float,
        effort: Effort,
    ) -> Answer:
        towards = None if target is None else target - self.source
        found = self._found(program, box, objective, target, fraction, effort)
        if found.status is not Status.OPTIMAL:
            return Answer(found.status, found.step, found.bound, False)
        along = None
        if objective.goal is Goal.SMALLEST_CHANGE:
            assert towards is not None, "the smallest change is one towards a target"
            along = Along(towards, fraction * float(towards @ towards))
        settled = projected(self.held, program, self.interior, found.step, along)
        if settled is None and along is not None:
            return Answer(Status.FAILED, self.source, found.bound, False)
        x = self.source if settled is None else settled.x
        sign = 1.0 if objective.is_maximum else -1.0
        if along is None and sign * objective.at(x, self.source, target) < sign * objective.at(
            self.source, self.source, target
        ):
            x = self.source
        gap = sign * (found.bound - _gained(objective, x - self.source, towards, target))
        rounded = ROUNDINGS * EPS * _rounded(objective, np.abs(self.source), towards, target)
        room_costs = gap > OPTIMAL * found.unit + rounded
        is_optimal = gap <= OPTIMAL * found.unit + rounded + found.loss
        base = float(target @ self.source) if objective is Objective.INNER_PRODUCT and target is not None else 0.0
        return Answer(Status.OPTIMAL, x, base + found.bound, is_optimal, room_costs and is_optimal)

    def afresh(self) -> Search:
        """The same with programs of its own, which know nothing of targets before."""
        at_source = None if self.at_source is None else _again(self.at_source)
        box = None if self.box is None else replace(self.box, failures=0)
        exact = None if self.exact is None else self.exact.afresh()
        return replace(self, program=_again(self.program), at_source=at_source, box=box, exact=exact)

    def _found(
        self,
        program: RegionProgram,
        box: BoxOptimum | None,
        objective: Objective,
        target: FloatArray | None,
        fraction: float,
        effort: Effort,
    ) -> Found:
        """What is found; a linear objective as what it grows by."""
        if objective.goal is Goal.FARTHEST:
            most = 2 * len(self.source) if effort.max_programs is None else effort.max_programs
            return farthest(program, objective.norm, max_programs=most, starts=effort.starts, seed=effort.seed)
        assert target is not None, "the others have a target"
        towards = target - self.source
        match objective.goal:
            case Goal.LINEAR:
                return _linear(program, box, target if objective is Objective.INNER_PRODUCT else towards)
            case Goal.NEAREST:
                return nearest(program, towards, objective.norm, objective.norm.of(towards))
            case Goal.SMALLEST_CHANGE:
                return smallest_change(program, towards, objective.norm, fraction)
            case _:
                assert_never(objective.goal)

    def is_only_source(self, seed: int) -> bool:
        """Whether a random linear function is the same on the whole region, as far as linear programs tell."""
        direction = np.random.default_rng(seed).standard_normal(len(self.source))
        program = RegionProgram(self.program.feasible)
        for sign in (1.0, -1.0):
            found = program.maximize(sign * direction)
            size = float(np.abs(direction) @ np.abs(self.source))
            if not found.optimal or found.bound > SINGLE * max(size, found.unit):
                return False
        return True


SINGLE = 1e-12
"""The share of its size by which a linear function varies on one point: some thousand roundings."""


def _again(program: RegionProgram) -> RegionProgram:
    return RegionProgram(program.feasible, room=program.room)


def _linear(program: RegionProgram, box: BoxOptimum | None, cost: FloatArray) -> Found:
    at_bounds = None if box is None else box.attained(cost)
    if at_bounds is not None:
        most = float(cost @ at_bounds)
        return Found(Status.OPTIMAL, at_bounds, most, 0.0, float(np.abs(cost) @ np.abs(at_bounds)), 0)
    found = program.maximize(cost)
    return Found(found.status, found.step, found.bound, found.loss, size_of(found), found.rounds + 1)


def _gained(objective: Objective, step: FloatArray, towards: FloatArray | None, target: FloatArray | None) -> float:
    """The objective after a step; a linear one as what it grows by, without cancellation."""
    match objective.goal:
        case Goal.LINEAR:
            cost = target if objective is Objective.INNER_PRODUCT else towards
            assert cost is not None, "a linear objective has a target"
            return float(cost @ step)
        case Goal.NEAREST:
            assert towards is not None, "there is something to be near to"
            return objective.norm.of(step - towards)
        case Goal.FARTHEST | Goal.SMALLEST_CHANGE:
            return objective.norm.of(step)
        case _:
            assert_never(objective.goal)


def _rounded(objective: Objective, size: FloatArray, towards: FloatArray | None, target: FloatArray | None) -> float:
    """By how much an objective changes, at most, if pixels change by their size."""
    if objective.goal is not Goal.LINEAR:
        return objective.norm.of(size)
    cost = target if objective is Objective.INNER_PRODUCT else towards
    assert cost is not None, "a linear objective has a target"
    return float(np.abs(cost) @ size)


def search_region(
    network: Network,
    stage: int,
    source: Float64[FloatArray, " n"],
    domain: Polyhedron,
    kept: Int64[IntArray, " k"],
    arithmetic: Arithmetic,
    within: float | Float64[FloatArray, " m"] = 0.0,
) -> Search:
    """Prepare the search in the region of a source, for features that may differ by numbers.

    Raises:
        ModelError: an activation before the stage is smooth.
    """
    features = features_at(network, source, stage, within)
    region = feature_region(network, features, pieces_at(network, source, stage))
    exact = search_region(network, stage, source, domain, kept, arithmetic) if features.widths.any() else None
    domain = pinned(domain, source, kept)
    feasible = well_conditioned(FeasibleSteps.of(region, domain, source))
    wanted = wanted_room(region, domain, source, arithmetic)
    inner = interior(RegionProgram(feasible), wanted)
    room = np.where(inner.implied, 0.0, np.minimum(wanted, inner.slack))
    program = RegionProgram(feasible, room=room)
    least = np.minimum(room, np.maximum(feasible.sides, 0.0))
    at_source = RegionProgram(feasible, room=least) if (least < room).any() else None
    held, box = held_rows(feasible, inner), BoxOptimum.of(program)
    return Search(region, source, domain, room, inner, program, at_source, held, box, exact)


__all__ = ["Answer", "Effort", "Search", "search_region"]
