"""Deciding many samples of one layer together: patterns, shared proofs, and the certificates that follow from them.

The answers are candidates: ``classify`` checks every one, and decides alone what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import is_sparse
from fiberscope.preimages import bitsets
from fiberscope.preimages.balance import Balance
from fiberscope.preimages.bitsets import Bitsets
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.candidate import BoundedDomain, Candidate, Direction, Multipliers
from fiberscope.preimages.certificate import Certificate
from fiberscope.preimages.cone_projection import OrthantRows
from fiberscope.preimages.elaborate import elaborate_many
from fiberscope.preimages.grouping import Cones, Group, alone, intersections
from fiberscope.preimages.hinge import smallest_singular_value
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.margin import within_bounds
from fiberscope.preimages.orthant_proofs import prove_in_orthant, prove_strictly
from fiberscope.preimages.patterns import Patterns
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.route import Route
from fiberscope.preimages.row_pool import RowPool
from fiberscope.preimages.shared_proofs import Proof, SharedProofs, shared_proofs
from fiberscope.preimages.sided_rows import Numbering, Sides
from fiberscope.preimages.sides import as_known
from fiberscope.threads import in_threads

SHARED_RANKS = 1.25
"""Rows per input that samples must have in common for one estimate of their margins."""

FEW = 0.25
"""Rows per coordinate up to which a step in the interior, which factors rows, is cheaper than one that factors what
they leave."""

MAX_SEARCHED = 1_000
"""Inputs of a layer of sparse rows beyond which the sparse method is the faster one for a sample alone."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What was found for N samples.

    Attributes:
        preimages: a candidate for each, or None.
        routes: (N,) how each was found; where there is no candidate, one by one.
        seconds: the time that the searches took, by route, added over threads.
    """

    preimages: list[Preimage | None]
    routes: list[Route]
    seconds: dict[Route, float]


def decide_many(
    layer: ReLULayer,
    domain: Domain | None,
    X: FloatArray,
    within: FloatArray,
    patterns: Patterns,
    threads: int,
    progress: Callable[[int], None],
    budget: Budget,
) -> Candidates:
    """Find candidates for all samples X (N, n), whose patterns are settled; none where the time is too short.

    Outputs are known up to ``within`` (N, 2, m), below and above.
    """
    polyhedron = as_polyhedron(domain, layer.inputs)
    with np.errstate(all="ignore"):
        balance = Balance.of(layer, polyhedron)
        pool = RowPool.of(balance.layer, balance.domain)
    sparse = is_sparse(layer.weight) or is_sparse(polyhedron.G)
    answers = _Answers(pool, balance, _Rows.of(patterns, pool), polyhedron.is_box_bounded, sparse, budget)
    with np.errstate(all="ignore"):  # rows of extreme size overflow; what is found is checked or dropped
        answers.by_rank(threads)
        answers.by_recession(threads, progress)
        answers.by_tangent(threads, progress)
        candidates = {i: found for i in range(len(X)) if (found := answers.candidate(i)) is not None}
        known = _as_known(within)
        questions: list[Preimage] = []
        for i, candidate in candidates.items():
            dimension = 0 if candidate.kind is Kind.SINGLETON else layer.inputs - int(answers.ranks[i])
            margin, unproved = within_bounds(float(answers.margins[i])), Certificate(candidate.kind, None)
            questions.append(
                Preimage(layer, domain, X[i], None, candidate.kind, dimension, margin, unproved, within=known[i])
            )
        rows = Numbering.of(layer, polyhedron)
        sides = Sides.of_many(patterns, rows, np.array(list(candidates), dtype=np.int64))
        certificates = elaborate_many(questions, list(candidates.values()), rows, sides)
    preimages: list[Preimage | None] = [None] * len(X)
    for i, question, certificate in zip(candidates, questions, certificates, strict=True):
        preimages[i] = replace(question, certificate=certificate)
    return Candidates(preimages, answers.routes, answers.seconds)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of N samples as ``Patterns`` has them, by places in a pool."""

    held: Bitsets
    far: Bitsets
    upper: Bitsets | None
    lower: Bitsets | None
    tight: Bitsets
    tight_lower: Bitsets | None

    @classmethod
    def of(cls, patterns: Patterns, pool: RowPool) -> _Rows:
        def placed(part: Bitsets | None) -> Bitsets | None:
            return None if part is None else part.columns(pool.numbers)

        held, tight = patterns.positive.columns(pool.numbers), patterns.tight.columns(pool.numbers)
        same = patterns.at_infinity is patterns.positive
        far = held if same else patterns.at_infinity.columns(pool.numbers)
        return cls(held, far, placed(patterns.upper), placed(patterns.lower), tight, placed(patterns.tight_lower))

    def touching(self) -> Bitsets:
        """The rows that are tight at the samples, on whichever side."""
        if self.tight_lower is None:
            return self.tight
        return Bitsets(self.tight.words | self.tight_lower.words, self.tight.size)


class _Answers:
    """What is known about the cones of every sample: C, where preimages run to infinity, and T at the sample itself."""

    def __init__(
        self, pool: RowPool, balance: Balance, rows: _Rows, bounded: bool, sparse: bool, budget: Budget
    ) -> None:
        self.budget = budget
        self.pool, self.balance, self.rows, self.bounded = pool, balance, rows, bounded
        # products are cheap then, beside Newton's steps on what rows leave
        self.projected_first = sparse or pool.layer_rows <= pool.inputs
        # alone, the method for sparse rows is faster for many inputs, and for ranks
        self.groups_only, self.ranks_too = sparse and pool.inputs > MAX_SEARCHED, not sparse
        self.orthant_rows = OrthantRows.of(balance.layer, balance.domain)
        self.touching = rows.touching()
        self.ranks, self.touches = rows.held.counts(), self.touching.counts() > 0
        count = len(rows.held)
        self.recession: list[Proof | None] = [None] * count
        self.tangent: list[Proof | None] = [None] * count
        self.of_rank = self.ranks >= pool.inputs
        self.far_of_rank = ~self.of_rank & (rows.far.counts() >= pool.inputs)
        self.margins = np.ones(count)
        self.routes = [Route.SINGLY] * count
        self.seconds: dict[Route, float] = {}
        self.spanning: list[Multipliers | None] = [None] * count
        self._known: dict[tuple[Kind, int, int], Candidate] = {}

    def by_rank(self, threads: int) -> None:
        """Where as many rows as inputs are equalities, of the preimage or of C: their rank settles it, or nothing."""
        samples = np.flatnonzero(self.of_rank)
        if len(samples) and self.ranks_too:
            self.margins[samples], _ = _rank_margins(self.pool, self.rows.held.chosen(samples), threads)
        samples = np.flatnonzero(self.far_of_rank & (not self.bounded))
        if len(samples) and self.ranks_too:
            self.margins[samples], shared = _rank_margins(self.pool, self.rows.far.chosen(samples), threads)
            for group in shared:
                part = Multipliers.zero(self.pool.numbers[bitsets.members(group.held, len(self.pool))])
                for member in samples[group.members].tolist():
                    self.spanning[member] = part

    def by_recession(self, threads: int, progress: Callable[[int], None]) -> None:
        """Where the domain does not bound everything: is C = {0}?"""
        samples = np.flatnonzero(~self.of_rank & ~self.far_of_rank)
        if self.bounded or not len(samples):
            return
        # a sample that is not settled by this alone is counted when it is
        count = progress if not self.touches.any() else _silent
        rows = self.rows
        cones = Cones(rows.far, rows.upper, rows.lower, strict=False)
        if self.orthant_rows.bounds_all and self.projected_first:
            found = prove_in_orthant(self.orthant_rows, self.pool, cones.chosen(samples), count, self.budget)
            self._note(self.recession, samples, found)
            samples = samples[found.of < 0]
        if len(samples):
            cones = cones.chosen(samples)
            self._note(
                self.recession,
                samples,
                shared_proofs(self.pool, cones, threads, count, groups_only=self.groups_only, budget=self.budget),
            )

    def by_tangent(self, threads: int, progress: Callable[[int], None]) -> None:
        """Where rows are tight at the sample and no direction of C is strict on them: is T = {0}?"""
        served = np.array([self._is_strict(i) for i in range(len(self.ranks))], dtype=np.bool_)
        samples = np.flatnonzero(~self.of_rank & self.touches & ~served)
        rows = self.rows
        cones = Cones(rows.held, rows.tight, rows.tight_lower).chosen(samples)
        if self.groups_only or cones.held.counts().max(initial=0) < FEW * self.pool.inputs:
            found = prove_strictly(self.orthant_rows, self.pool, cones, progress, self.budget)
            self._note(self.tangent, samples, found)
            cones, samples = cones.chosen(np.flatnonzero(found.of < 0)), samples[found.of < 0]
        if len(samples):
            cones = replace(cones, opposite=_opposite(self.pool, rows.tight.chosen(samples)))
            self._note(
                self.tangent,
                samples,
                shared_proofs(self.pool, cones, threads, progress, groups_only=self.groups_only, budget=self.budget),
            )

    def _note(self, answers: list[Proof | None], samples: IntArray, settled: SharedProofs) -> None:
        proofs = [replace(proof, part=self.balance.part(proof.part)) for proof in settled.proofs]
        for sample, position in zip(samples.tolist(), settled.of.tolist(), strict=True):
            if position >= 0:
                answers[sample] = proofs[position]
        for route, seconds in settled.seconds.items():
            self.seconds[route] = self.seconds.get(route, 0.0) + seconds

    def _is_strict(self, i: int) -> bool:
        """Whether the sample's direction of C falls along every row that is tight there."""
        proof = self.recession[i]
        if proof is None or not isinstance(proof.part, Direction):
            return False
        return not (self.touching.words[i] & proof.question.held).any()

    def candidate(self, i: int) -> Candidate | None:
        """The candidate of a sample, the same object for all samples with the same parts; sets margin and route."""
        by_rank = bool(self.of_rank[i] or (self.far_of_rank[i] and not self.bounded))
        if by_rank and not self.ranks_too:
            return None
        if self.of_rank[i]:
            self.routes[i] = Route.RANK
            return self._shared(Kind.SINGLETON, None, None)
        tangent, recession = self.tangent[i], self.recession[i]
        if tangent is not None and isinstance(tangent.part, Multipliers):
            self._settled_by(i, tangent)
            return self._shared(Kind.SINGLETON, tangent, None)
        interior = recession if self._is_strict(i) and self.touches[i] else tangent
        if (interior is None and self.touches[i]) or (recession is None and not self.bounded and not by_rank):
            return None
        if recession is None:
            rank_margin = float(self.margins[i]) if by_rank else 1.0
            self._settled_by(i, *([] if interior is None else [interior]))
            self.margins[i] = min(self.margins[i], rank_margin)
            return self._shared(Kind.BOUNDED, interior, self.spanning[i])
        if isinstance(recession.part, Direction):
            self._settled_by(i, recession)
            return self._shared(Kind.UNBOUNDED, interior, recession.part)
        self._settled_by(i, recession, *([] if interior is None else [interior]))
        return self._shared(Kind.BOUNDED, interior, recession.part)

    def _settled_by(self, i: int, *proofs: Proof) -> None:
        self.margins[i] = min((proof.margin for proof in proofs), default=1.0)
        self.routes[i] = proofs[0].route if proofs else Route.RANK

    def _shared(self, kind: Kind, tangent: Proof | None, recession: Multipliers | Direction | None) -> Candidate:
        key = (kind, id(tangent), id(recession))
        if key not in self._known:
            part = None if tangent is None else tangent.part
            implicit = part if isinstance(part, Multipliers) else None
            interior = part if isinstance(part, Direction) else None
            away = BoundedDomain() if kind is Kind.BOUNDED and recession is None else None
            self._known[key] = Candidate(
                kind,
                None,
                implicit=implicit,
                interior=interior,
                recession=away if recession is None else recession,
            )
        return self._known[key]


def _as_known(within: FloatArray) -> list[FloatArray | float]:
    """The precision of each sample; one object where all have the same."""
    if within.strides[0] == 0:  # one precision, seen N times
        return [as_known(within[0])] * len(within)
    return [as_known(each) for each in within]


def _silent(_: int) -> None:
    """Progress that is not reported."""


def _opposite(pool: RowPool, tight: Bitsets) -> Bitsets | None:
    """The other bound of every tight bound; None where no coordinate has two."""
    m, low, high = pool.layer_rows, pool.low.cpu().numpy(), pool.high.cpu().numpy()
    both = np.intersect1d(low, high)
    if not len(both):
        return None
    lower, upper = m + np.searchsorted(low, both), m + len(low) + np.searchsorted(high, both)
    members = tight.matrix()
    out = np.zeros_like(members)
    out[:, lower], out[:, upper] = members[:, upper], members[:, lower]
    return Bitsets.of(out)


def _rank_margins(pool: RowPool, held: Bitsets, threads: int) -> tuple[FloatArray, list[Group]]:
    """(N,) estimates of the smallest singular value of each sample's equal unit rows, or of some of them; which ones.

    More rows have a larger one, so that those which several samples share speak for all of them.
    """
    margins, floor = np.zeros(len(held)), SHARED_RANKS * pool.inputs

    def smallest(group: Group) -> float:
        places = torch.from_numpy(bitsets.members(group.held, len(pool))).to(pool.device)
        return smallest_singular_value(pool.rows(places, torch.float64))

    cones = Cones(held)
    shared = np.flatnonzero(held.counts() >= floor)
    groups = [replace(group, members=shared[group.members]) for group in intersections(cones.chosen(shared), floor)]
    values = list(in_threads(smallest, groups, threads))
    groups = [group for group, value in zip(groups, values, strict=True) if value > 0.0]
    for group, value in zip(groups, [value for value in values if value > 0.0], strict=True):
        margins[group.members] = value
    single = [alone(cones, int(i)) for i in np.flatnonzero(margins == 0.0)]
    for group, value in zip(single, in_threads(smallest, single, threads), strict=True):
        margins[group.members] = value
    return margins, [*groups, *single]


__all__ = ["Candidates", "decide_many"]
