"""Proofs about the recession cones of many samples in an orthant, each found for as many of them as it serves.

All cones of a batch lie in one, whose multipliers serve all of them, and hold one, whose rays do. Both are projected
onto with one column each. Samples that neither settles are divided, down to single ones, and what is found for one of
these is tried on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from fiberscope.network.arrays import BoolArray, IntArray
from fiberscope.network.rows import scaled, stacked
from fiberscope.preimages import bitsets
from fiberscope.preimages.bitsets import Bitsets
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.candidate import Direction
from fiberscope.preimages.cone_projection import OrthantCones, OrthantRows, Projected, project
from fiberscope.preimages.grouping import Cones, Group, union
from fiberscope.preimages.route import Route
from fiberscope.preimages.row_pool import RowPool
from fiberscope.preimages.shared_proofs import Proof, SharedProofs
from fiberscope.preimages.strict_direction import strict_direction

LEVELS = (256, 16, 1)
"""How many samples are asked about together, one size after the other."""
FEW = 0.25
"""Rows per coordinate beyond which a direction is hardly strict for the union of several samples."""


def prove_in_orthant(
    rows: OrthantRows, pool: RowPool, cones: Cones, progress: Callable[[int], None], budget: Budget
) -> SharedProofs:
    """Find a ray or multipliers for the recession cone of each sample.

    Args:
        rows: of the pool's layer and domain, which bounds every coordinate.
        pool: the rows that the cones name by their places.
        cones: of N samples.
        progress: is told how many more samples are settled.
        budget: when it is spent, nothing more is looked for.
    """
    search = _OrthantSearch(rows, pool, cones, budget)
    for size in LEVELS:
        left = np.flatnonzero(search.of < 0)
        if not len(left) or budget.is_over:
            break
        before = int((search.of >= 0).sum())
        # samples that ask for similar numbers of rows have similar answers
        order = left[np.argsort(search.loads[left], kind="stable")]
        search.ask([order[start : start + size] for start in range(0, len(order), size)])
        progress(int((search.of >= 0).sum()) - before)
    return SharedProofs(tuple(search.proofs), search.of, search.seconds)


class _OrthantSearch:
    """What is known about the cones of N samples so far."""

    def __init__(self, rows: OrthantRows, pool: RowPool, cones: Cones, budget: Budget) -> None:
        self.rows, self.pool, self.budget = rows, pool, budget
        self.places = np.flatnonzero(~_is_bound(pool))
        self.cones = cones
        self.loads = cones.held.counts()
        self.of = np.full(len(cones), -1, dtype=np.int64)
        self.proofs: list[Proof] = []
        self.seconds: dict[Route, float] = {}

    def ask(self, groups: list[IntArray]) -> None:
        """Project onto the cones within and around those of each group; of one sample they are the same."""
        began, parts, asked = perf_counter(), list[OrthantCones](), list[IntArray]()
        for members in groups:
            cones = self._cones(members)
            parts += [cones] if len(members) == 1 else [cones.largest(), cones.smallest()]
            asked += [members] if len(members) == 1 else [members, members]
        found = project(self.rows, OrthantCones.joined(parts), self.budget)
        for k, (members, projected) in enumerate(zip(asked, found, strict=True)):
            if self.of[members[0]] >= 0:
                continue
            is_ray = projected is not None and isinstance(projected.part, Direction)
            is_inner = len(members) == 1 or (k > 0 and asked[k - 1] is members)
            is_outer = len(members) == 1 or not is_inner
            if is_inner and len(members) > 1 and (projected is None or is_ray):
                strict = self._strict(members)
                if strict is not None:
                    self._keep(members, strict, perf_counter() - began)
                    continue
            if projected is not None and (is_inner if is_ray else is_outer):
                self._note(members, projected, perf_counter() - began)
                began = perf_counter()

    def _cones(self, members: IntArray) -> OrthantCones:
        part = self.cones.chosen(members)
        equal = part.held.matrix()[:, self.places]
        none = np.zeros_like(equal)
        upper = ~equal if part.inequalities is None else part.inequalities.matrix()[:, self.places]
        lower = none if part.lower is None else part.lower.matrix()[:, self.places]
        return OrthantCones(equal, upper & ~equal, lower & ~equal)

    def _note(self, members: IntArray, found: Projected, seconds: float) -> None:
        if isinstance(found.part, Direction):
            route = Route.ALONE if len(members) == 1 else Route.UNION
        else:
            route = Route.ALONE if len(members) == 1 else Route.INTERSECTION
        self._keep(members, Proof(found.part, found.margin, self._question(members, found), route), seconds)

    def _strict(self, members: IntArray) -> Proof | None:
        """One direction that is strict on all rows, which serves tangent cones, too; looked for where rows are few."""
        if len(members) < min(LEVELS[0], len(self.of)) or 2 * len(self.rows.upper) > self.pool.inputs:
            return None
        return _strict_proof(self.rows, self.pool, union(self.cones, members), self.budget)

    def _keep(self, members: IntArray, proof: Proof, seconds: float) -> None:
        self.of[members] = len(self.proofs)
        self.proofs.append(proof)
        self.seconds[proof.route] = self.seconds.get(proof.route, 0.0) + seconds

    def _question(self, members: IntArray, found: Projected) -> Group:
        """The rows that a ray vanishes on, as those that are held."""
        named = np.zeros(len(self.pool), dtype=np.bool_)
        if isinstance(found.part, Direction):
            numbers = found.part.equalities
            named = np.isin(self.pool.numbers, numbers) | np.isin(self.pool.lower_numbers, numbers[numbers >= 0])
        held = Bitsets.of(named[None]).words[0]
        return Group(members, held, None, np.zeros_like(held))


def prove_strictly(
    rows: OrthantRows, pool: RowPool, cones: Cones, progress: Callable[[int], None], budget: Budget
) -> SharedProofs:
    """Find a direction for the tangent cone of each sample that is strict on all of its inequality rows.

    Args:
        rows: of the pool's layer and domain.
        pool: the rows that the cones name by their places.
        cones: of N samples.
        progress: is told how many more samples are settled.
        budget: when it is spent, nothing more is looked for.
    """
    of = np.full(len(cones), -1, dtype=np.int64)
    proofs: list[Proof] = []
    seconds: dict[Route, float] = {}
    loads = cones.held.counts()
    for size in LEVELS:
        left = np.flatnonzero(of < 0)
        order = left[np.argsort(loads[left], kind="stable")]
        for start in range(0, len(order), size):
            members = order[start : start + size]
            group = union(cones, members) if len(members) > 1 or size == 1 else None
            if group is None or (size > 1 and bitsets.sizes(group.held) > FEW * pool.inputs):
                continue
            began = perf_counter()
            proof = _strict_proof(rows, pool, group, budget)
            if proof is not None:
                of[members] = len(proofs)
                proofs.append(proof)
                seconds[proof.route] = seconds.get(proof.route, 0.0) + perf_counter() - began
                progress(len(members))
    return SharedProofs(tuple(proofs), of, seconds)


def _strict_proof(rows: OrthantRows, pool: RowPool, group: Group, budget: Budget) -> Proof | None:
    """A direction for the union of several cones."""
    held, size, is_bound = bitsets.mask(group.held, len(pool)), len(pool), _is_bound(pool)
    upper = ~held if group.inequalities is None else bitsets.mask(group.inequalities, size)
    lower = bitsets.mask(group.lower, size)
    m, low, high = pool.layer_rows, pool.low.cpu().numpy(), pool.high.cpu().numpy()
    signs, fixed = np.zeros(pool.inputs), np.zeros(pool.inputs, dtype=np.bool_)
    for part, coordinates, sign in (
        (slice(m, m + len(low)), low, 1.0),
        (slice(m + len(low), m + len(low) + len(high)), high, -1.0),
    ):
        fixed[coordinates[held[part]]] = True
        if signs[coordinates[upper[part]]].any():  # at both bounds, in different samples
            return None
        signs[coordinates[upper[part]]] = sign
    signs[fixed] = 0.0
    at = np.cumsum(~is_bound) - 1
    W = stacked(rows.unit[at[upper & ~is_bound]], scaled(rows.unit[at[lower]], np.full(int(lower.sum()), -1.0)))
    d = strict_direction(rows.unit[at[held & ~is_bound]], W, signs, fixed, budget)
    if d is None:
        return None
    bounds = signs != 0
    slack = min(float(np.abs(d[bounds]).min(initial=np.inf)), float((-(W @ d)).min(initial=np.inf)))
    part = Direction(np.union1d(pool.numbers[held], pool.zero), d)
    route = Route.ALONE if len(group.members) == 1 else Route.UNION
    return Proof(part, min(slack / float(np.linalg.norm(d)), 1.0), group, route)


def _is_bound(pool: RowPool) -> BoolArray:
    """(L,) which of the pool's rows bound one coordinate."""
    out = np.zeros(len(pool), dtype=np.bool_)
    out[pool.layer_rows : pool.layer_rows + len(pool.low) + len(pool.high)] = True
    return out


__all__ = ["prove_in_orthant", "prove_strictly"]
