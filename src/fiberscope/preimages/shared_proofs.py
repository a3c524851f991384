"""Directions and multipliers for the cones of many samples, each found once for as many samples as it serves.

Along the *load* of a cone (``Cones.loads``) answers change from "has a direction" to "has multipliers" within a narrow
border. A few samples show where it lies. Below it, samples are grouped as long as the union of their rows stays below;
above it, as long as the intersection stays above; what lies near the border, and members of groups that fail, are asked
alone. Which samples are asked together decides how long it takes and which of many proofs is found; what is found is
checked later, sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages import bitsets
from fiberscope.preimages.bitsets import Bitsets, Words
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.grouping import Cones, Group, alone, intersection, intersections, union, unions
from fiberscope.preimages.hinge import NOTHING, Cone, Outcome, search
from fiberscope.preimages.route import Route
from fiberscope.preimages.row_pool import RowPool
from fiberscope.threads import in_threads

BATCH = 16
"""Cones whose products with all rows are made together: enough for a matrix product, and few fit into the caches."""
BATCH_MEMORY = 2**29
"""Bytes that the searches of one batch may take, on each thread."""
PATH_MEMORY = 32
"""Bytes that one of them takes, per square of the inputs."""
PROBES = 9
"""Samples asked first, alone, to see where the border lies."""
BISECTIONS = 5
"""How often two samples between the answers of both sorts are asked."""
BELOW, BELOW_BOUNDS, ABOVE = 0.01, 0.06, 0.03
"""How far from the border groups stay, per dimension: nearer, more searches fail than groups save. Where the
inequalities differ from sample to sample the border is wider."""
TOGETHER = 0.95
"""Rows per dimension up to which all samples are asked at once: with more, hardly a direction is left."""
UNKNOWN_BORDER = 0.8
"""Where no sample lies beyond the border, it is taken to be here, per dimension, or at the last sample."""
HALVINGS = 2
"""A group that fails is halved so often before its members are asked alone."""
SMALL = 200
"""Inputs below which float32 saves nothing."""


@dataclass(frozen=True, eq=False)
class Proof:
    """A direction or multipliers, still unproved.

    Attributes:
        part: what it is.
        margin: as in ``fiberscope.preimages.hinge``.
        question: the rows that it is about, and the samples that it was found for.
        route: how it was found.
    """

    part: Direction | Multipliers
    margin: float
    question: Group
    route: Route


@dataclass(frozen=True, eq=False)
class SharedProofs:
    """What was found for N samples.

    Attributes:
        proofs: each once.
        of: (N,) the position of each sample's proof, -1 where there is none.
        seconds: the time that the searches took, by route, added over threads.
    """

    proofs: tuple[Proof, ...]
    of: IntArray
    seconds: dict[Route, float]


def shared_proofs(
    pool: RowPool,
    cones: Cones,
    threads: int,
    progress: Callable[[int], None],
    *,
    groups_only: bool = False,
    budget: Budget = NO_LIMIT,
) -> SharedProofs:
    """Find a direction or multipliers for the cone of each sample.

    Args:
        pool: the rows.
        cones: of the samples.
        threads: how many searches run at a time.
        progress: is told how many more samples are settled.
        groups_only: ask what would settle all samples at once, and leave them open where that fails: right where
            another method is faster for one sample.
        budget: when it is spent, no more searches are begun.
    """
    _, first, inverse, counts = np.unique(
        cones.key(), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    search_all = _ConeSearch(pool, cones.chosen(first), counts, threads, progress, budget)
    search_all.together()
    if not groups_only:
        border = search_all.probe()
        distance = BELOW if cones.inequalities is None else BELOW_BOUNDS
        search_all.below(border - distance * pool.inputs)
        search_all.above(border + ABOVE * pool.inputs)
        search_all.near()
    return SharedProofs(tuple(search_all.proofs), search_all.of[inverse.ravel()], search_all.seconds)


class _ConeSearch:
    """The distinct cones, and what is known about them so far."""

    def __init__(
        self,
        pool: RowPool,
        cones: Cones,
        counts: IntArray,
        threads: int,
        progress: Callable[[int], None],
        budget: Budget,
    ) -> None:
        self.budget = budget
        self.pool, self.cones, self.counts, self.threads, self.progress = pool, cones, counts, threads, progress
        self.loads = cones.loads()
        self.of = np.full(len(cones), -1, dtype=np.int64)
        self.askable = cones.held.counts() < pool.inputs
        self.proofs: list[Proof] = []
        self.seconds: dict[Route, float] = {}
        self.fast = torch.float32 if pool.inputs >= SMALL else torch.float64

    def open(self) -> IntArray:
        """The cones that nothing is known about."""
        return np.flatnonzero(self.askable & (self.of < 0))

    def together(self) -> None:
        """Ask whether one direction, or one vector of multipliers, serves all."""
        for question, precision in ((union, self.fast), (intersection, torch.float64)):
            if len(self.open()) < 2:
                return
            group = question(self.cones, self.open())
            if float(bitsets.sizes(group.held)) < TOGETHER * self.pool.inputs:
                self.ask([group], precision)

    def probe(self) -> float:
        """Ask some cones spread over all loads, then some between answers of both sorts; the load of the border."""
        order = self.open()[np.argsort(self.loads[self.open()], kind="stable")]
        spread = order[np.unique(np.linspace(0, len(order) - 1, PROBES).astype(int))] if len(order) else order
        self.ask([alone(self.cones, int(i)) for i in spread], torch.float64)
        for _ in range(BISECTIONS):
            low, high = self._between()
            inside = self.open()[np.abs(self.loads[self.open()] - 0.5 * (low + high)) < 0.5 * (high - low)]
            if not len(inside):
                break
            nearest = np.argsort(np.abs(self.loads[inside] - 0.5 * (low + high)), kind="stable")[:2]
            self.ask([alone(self.cones, int(i)) for i in inside[nearest]], torch.float64)
        low, high = self._between()
        return 0.5 * (low + high) if high < np.inf else max(UNKNOWN_BORDER * self.pool.inputs, low)

    def _between(self) -> tuple[float, float]:
        """The largest load with a direction, and the smallest with multipliers: the border is near both."""
        settled = np.flatnonzero(self.of >= 0)
        strict = np.array([isinstance(self.proofs[self.of[i]].part, Direction) for i in settled], dtype=np.bool_)
        low, high = self.loads[settled[strict]].max(initial=0.0), self.loads[settled[~strict]].min(initial=np.inf)
        return float(low), float(high)

    def below(self, ceiling: float) -> None:
        """Ask for directions of unions."""
        candidates = self.open()[self.loads[self.open()] <= ceiling]
        groups = [_renumbered(group, candidates) for group in unions(self.cones.chosen(candidates), ceiling)]
        groups = [group for group in groups if len(group.members) > 1]
        for halving in range(HALVINGS + 1):
            failed = self.ask(groups, self.fast)
            if halving == HALVINGS or not failed:
                break
            halves = [half for group in failed for half in np.array_split(group.members, 2)]
            groups = [union(self.cones, half) for half in halves if len(half) > 1]
        left = self.open()[self.loads[self.open()] <= ceiling]
        self.ask([alone(self.cones, int(i)) for i in left], self.fast)

    def above(self, floor: float) -> None:
        """Ask for multipliers on intersections."""
        candidates = self.open()[self.loads[self.open()] >= floor]
        groups = intersections(self.cones.chosen(candidates), floor)
        self.ask([_renumbered(group, candidates) for group in groups], torch.float64)

    def near(self) -> None:
        """Ask what is left, alone."""
        self.ask([alone(self.cones, int(i)) for i in self.open()], torch.float64)

    def ask(self, groups: list[Group], precision: torch.dtype) -> list[Group]:
        """Search for all groups; those without an answer that serves their members are returned."""
        size = max(min(BATCH, BATCH_MEMORY // (PATH_MEMORY * self.pool.inputs**2)), 1)
        batches = [groups[start : start + size] for start in range(0, len(groups), size)]
        failed: list[Group] = []

        def searched(batch: list[Group]) -> tuple[list[Group], list[Outcome], float]:
            began = perf_counter()
            if self.budget.is_over:
                return batch, [NOTHING] * len(batch), 0.0
            with np.errstate(all="ignore"):  # rows of extreme size overflow; a thread does not inherit this
                cones = [self._cone(group) for group in batch]
                outcomes = search(self.pool, cones, precision, budget=self.budget)
            return batch, outcomes, perf_counter() - began

        for batch, outcomes, seconds in in_threads(searched, batches, self.threads):
            for group, outcome in zip(batch, outcomes, strict=True):
                proof, members = self._proof(group, outcome)
                if proof is None or not len(members):
                    failed.append(group)
                    continue
                self.of[members] = len(self.proofs)
                self.proofs.append(proof)
                self.seconds[proof.route] = self.seconds.get(proof.route, 0.0) + seconds / len(batch)
                self.progress(int(self.counts[members].sum()))
        return failed

    def _cone(self, group: Group) -> Cone:
        size = len(self.pool)
        W, held = group.inequalities, bitsets.members(group.held, size)
        return Cone(held, None if W is None else bitsets.members(W, size), bitsets.members(group.lower, size))

    def _proof(self, group: Group, outcome: Outcome) -> tuple[Proof | None, IntArray]:
        """An answer in the certificate's terms, and the members that it serves."""
        pool, members = self.pool, group.members
        single = len(members) == 1
        if outcome.direction is not None:
            held = pool.numbers[bitsets.members(group.held, len(pool))]
            part = Direction(np.union1d(held, pool.zero), outcome.direction)
            proof = Proof(part, outcome.margin, group, Route.ALONE if single else Route.UNION)
            return proof, members[self._are_served(group)]
        if outcome.multipliers is not None:
            assert outcome.places is not None
            places: IntArray = outcome.places
            values: FloatArray = outcome.multipliers / pool.scales[places]
            is_lower = bitsets.mask(group.lower, len(pool))[places]
            part = Multipliers(np.where(is_lower, pool.lower_numbers[places], pool.numbers[places]), values)
            proof = Proof(part, outcome.margin, group, Route.ALONE if single else Route.INTERSECTION)
            return proof, members[self._have(members, group.held, places, is_lower)]
        return None, members[:0]

    def _are_served(self, group: Group) -> BoolArray:
        """Which members a direction serves: it respects their equalities, and their inequalities were asked about."""
        cones, members, held = self.cones, group.members, group.held
        respected = ~(cones.held.words[members] & ~held).any(axis=1)
        if group.inequalities is None:
            return np.asarray(respected)
        upper, lower = cones.upper_words(members), cones.lower_words(members)
        vanishes = (upper | lower) & held if cones.strict else np.zeros_like(upper)
        missing = (upper & ~(group.inequalities | held)) | (lower & ~(group.lower | held)) | vanishes
        return np.asarray(respected & ~missing.any(axis=1))

    def _have(self, members: IntArray, held: Words, places: IntArray, is_lower: BoolArray) -> BoolArray:
        """Which have all rows of multipliers, and as equalities those that may have any sign."""
        cones = self.cones
        equalities = cones.held.words[members]
        common = ~(held & ~equalities).any(axis=1)
        if cones.inequalities is None:
            return np.asarray(common)
        named = np.zeros((2, len(self.pool)), dtype=np.bool_)
        named[is_lower.astype(np.int64), places] = True
        upper, lower = Bitsets.of(named).words
        missing = (upper & ~(equalities | cones.upper_words(members))) | (
            lower & ~(equalities | cones.lower_words(members))
        )
        return np.asarray(common & ~missing.any(axis=1))


def _renumbered(group: Group, numbers: IntArray) -> Group:
    return replace(group, members=numbers[group.members])


__all__ = ["Proof", "SharedProofs", "shared_proofs"]
