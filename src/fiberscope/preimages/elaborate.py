"""From what deciding found to what is proved: candidates become certificates.

Deciding finds vectors. A certificate says as well which rows are independent, how all others follow from them, in which
units, and how large singular values have to be: whatever a proof would have to search for. Nothing here is trusted; a
certificate that is wrong is not proved.

One candidate is many of one. A part that several samples name is written down once, so that it holds for all of them,
and certificates of the same parts are one object: the checker measures each once. Where a rank is shown by rows alone,
samples whose rows have a small union share one basis. Rows that are independent stay so when some are left out, and
rows that span still do when more are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fiberscope.network.arrays import BoolArray, IntArray
from fiberscope.preimages.bitsets import Bitsets, intersection, mask, union
from fiberscope.preimages.blocks import keeps
from fiberscope.preimages.candidate import Candidate, Counted, Direction, Inconsistent, Multipliers
from fiberscope.preimages.certificate import Certificate, Face, Rational
from fiberscope.preimages.contradictions import written_contradiction
from fiberscope.preimages.grouping import Cones, intersections, unions
from fiberscope.preimages.held_rows import Asked, Holding, hold
from fiberscope.preimages.independent_rows import Relation, known_relations
from fiberscope.preimages.interval import Interval
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.multipliers import Weighed, Weighing, signed, weigh
from fiberscope.preimages.ranks import Rank, find_rank, rank_of, relations_of
from fiberscope.preimages.scalings import Units, even_units, own_units, units_as_given
from fiberscope.preimages.sided_rows import NO_ROWS, Cone, Ends, Numbering, Sides
from fiberscope.preimages.system import MixedSystem
from fiberscope.preimages.verdict import Verdict

Found = Direction | Multipliers
Key = tuple[int, int, bool]
"""Of what was found, of the multipliers that go with it or 0, and whether it is about the recession cone."""


def elaborate(question: Verdict, candidate: Candidate, system: MixedSystem) -> Certificate:
    """Write down what a candidate says about a question so that it can be proved without any search.

    Args:
        question: what is asked; its verdict is not read.
        candidate: what deciding found about it.
        system: the question's rows, as they are asked.

    Returns:
        A certificate of the candidate's kind and dimension: one whose proof seems to close in floats, where one of few
        ways to write it down is such; it may still be proved in rational arithmetic.
    """
    rows = Numbering.of(system.layer, system.domain)
    sides = Sides.of(system, rows)
    known = None if question.x is not None else system.outputs
    ends = None if known is None else Ends.of(rows, sides, known)
    first: Certificate | None = None
    with np.errstate(all="ignore"):  # numbers near the ends of float64 overflow here
        for units in _units(rows, question, candidate):
            if candidate.kind in (Kind.EMPTY, Kind.UNDECIDED):
                certificate, closes = written_contradiction(units, sides, ends, candidate)
            else:
                ((certificate, closes),) = _Elaboration(units, [candidate], ends).written([sides])
            if closes:
                return certificate
            first = first or certificate
    assert first is not None, "the units of the numbers as given are always some"
    return first


def elaborate_many(
    questions: Sequence[Verdict], candidates: Sequence[Candidate], rows: Numbering, sides: Iterable[Sides]
) -> list[Certificate]:
    """Write candidates down as ``elaborate`` does, together.

    Args:
        questions: N questions about inputs, one layer, and one domain.
        candidates: N candidates of vectors of floats; those that share a part, or are one object, share it in their
            certificates.
        rows: of the layer and the domain.
        sides: N times the sides of these rows.

    Returns:
        N certificates; candidates with the same parts have the same one, where the same rows show their dimension.
    """
    if not len(candidates):
        return []
    with np.errstate(all="ignore"):  # as alone
        even = even_units(rows)
        fitting = even.is_given or all(_scales_sample(even, question) for question in questions)
        units = even if fitting else units_as_given(rows)
        return [certificate for certificate, _ in _Elaboration(units, candidates, None).written(sides)]


def _units(rows: Numbering, question: Verdict, candidate: Candidate) -> Iterator[Units]:
    """Units to try: even ones, those of a ray, and those of the numbers as given."""
    if not _is_rational(candidate):
        even, ray = even_units(rows), candidate.recession
        if even.is_given or _scales_sample(even, question):
            yield even
        sizes = [ray.values] if isinstance(ray, Direction) and isinstance(ray.values, np.ndarray) else []
        for size in (*candidate.units, *sizes):
            own = own_units(rows, size)
            if own.is_given or _scales_sample(own, question):
                yield own
        if even.is_given:
            return
    yield units_as_given(rows)


def _is_rational(candidate: Candidate) -> bool:
    """Whether its proof is one in rational numbers, for which no units are better than others."""
    parts = (candidate.implicit, candidate.interior, candidate.recession, candidate.infeasible)
    vectors = [candidate.point, *(getattr(part, "values", None) for part in parts)]
    return any(isinstance(vector, Rational) for vector in vectors) or isinstance(candidate.infeasible, Inconsistent)


def _scales_sample(units: Units, question: Verdict) -> bool:
    """Whether no number of an input or an output changes in these units."""
    of_rows = -units.by_row[: units.rows.m]
    sides = (question.y.low, question.y.high) if isinstance(question.y, Interval) else (question.y,)
    pairs = [(side, of_rows) for side in (*sides, question.within) if side is not None]
    pairs += [] if question.x is None else [(question.x, -units.by_column)]
    return all(keeps(np.broadcast_to(v, np.broadcast_shapes(np.shape(v), e.shape)), np.ldexp(v, e)) for v, e in pairs)


@dataclass(frozen=True, eq=False)
class _Parts:
    """The vectors of a candidate: what is strict inside the preimage, what is implicit, and what is at infinity."""

    inside: Direction | None
    implicit: Multipliers | None
    recession: Found | None

    @classmethod
    def of(cls, candidate: Candidate, *, of_output: bool) -> _Parts:
        """A point of an output's preimage is a direction of the homogenised system."""
        inside = None if candidate.kind is Kind.SINGLETON else candidate.interior
        if of_output:
            inside = None if candidate.point is None else Direction(NO_ROWS, candidate.point)
        recession = candidate.recession if isinstance(candidate.recession, Direction | Multipliers) else None
        return cls(inside, candidate.implicit, recession)

    @property
    def keys(self) -> tuple[Key, Key, Key]:
        """Those of ``inside``, ``implicit``, ``recession``."""
        implicit = 0 if self.implicit is None else id(self.implicit)
        return (id(self.inside), implicit, False), (implicit, implicit, False), (id(self.recession), 0, True)


@dataclass(frozen=True, eq=False)
class _Use:
    """What the samples that name a part ask of it, all of them together.

    Attributes:
        part: what was found.
        spanning: of multipliers, whether their rows have to span all coordinates.
        equal: (M,) rows that are equal in the cones of all of them.
        upper: (M,) rows with an upper side alone, in one of them.
        lower: (M,) rows with a lower side alone, in one of them.
    """

    part: Found
    spanning: bool
    equal: BoolArray
    upper: BoolArray
    lower: BoolArray

    def include(self, cone: Cone) -> None:
        """One more sample."""
        np.logical_and(self.equal, cone.equal, out=self.equal)
        np.logical_or(self.upper, cone.upper, out=self.upper)
        np.logical_or(self.lower, cone.lower, out=self.lower)

    @property
    def cone(self) -> Cone:
        """All conditions of theirs."""
        return Cone(self.equal, self.upper, self.lower)


class _Elaboration:
    """Candidates about one layer and one domain, written down in some units."""

    def __init__(self, units: Units, candidates: Sequence[Candidate], ends: Ends | None) -> None:
        self.units, self.rows, self.candidates, self.ends = units, units.rows, candidates, ends
        self.parts = {id(c): _Parts.of(c, of_output=ends is not None) for c in candidates}
        self.known = tuple(_in_units(relation, units) for relation in known_relations(candidates[0].dependencies))
        self.holdings: dict[Key, Holding] = {}
        self.weighings: dict[Key, Weighing | None] = {}
        self.certificates: dict[tuple[int, int], tuple[Certificate, bool]] = {}
        # where the first of a sort closes in the plain way, most of the others do: they are not tried one by one
        self.plain: dict[object, bool] = {}

    def written(self, sides: Iterable[Sides]) -> list[tuple[Certificate, bool]]:
        """For each candidate its certificate, and whether its proof in floats seems to close."""
        uses: dict[Key, _Use] = {}
        equal: list[Bitsets] = []
        for candidate, side in zip(self.candidates, sides, strict=True):
            self._note(uses, candidate, side)
            equal.append(Bitsets.of((side.equal & self.units.nonzero)[None]))
        for key, use in uses.items():
            if isinstance(use.part, Multipliers):
                self.weighings[key] = self._weigh(use, for_ever=key[2])
        for key, use in uses.items():
            if isinstance(use.part, Direction):
                self._hold(uses, key)
        ranks = self._ranks(Bitsets.stacked(equal))
        return [self._certificate(candidate, rank) for candidate, rank in zip(self.candidates, ranks, strict=True)]

    def _trusted(self, sort: object) -> bool:
        return len(self.candidates) > 1 and self.plain.get(sort, False)

    # ---- parts

    def _note(self, uses: dict[Key, _Use], candidate: Candidate, sides: Sides) -> None:
        """Note what a sample asks of its parts."""
        parts = self.parts[id(candidate)]
        tangent, recession = sides.tangent if self.ends is None else sides.homogeneous, sides.recession
        for part, key in zip((parts.inside, parts.implicit, parts.recession), parts.keys, strict=True):
            if part is not None:
                cone, spanning = recession if key[2] else tangent, key[2] or candidate.kind is Kind.SINGLETON
                if key not in uses:
                    uses[key] = _Use(part, spanning, cone.equal.copy(), cone.upper.copy(), cone.lower.copy())
                uses[key].include(cone)

    def _hold(self, uses: dict[Key, _Use], key: Key) -> Holding:
        """Write a direction down, or a point."""
        if key not in self.holdings:
            (identity, implicit, for_ever), use = key, uses[key]
            alike = identity, 0, True
            if (
                not implicit and alike != key and alike in uses
            ):  # a direction of the recession cone that is strict on tight rows
                self.holdings[key] = self._hold(uses, alike)
            else:
                self.holdings[key] = self._held(use, self._implicit_rows(implicit), for_ever=for_ever)
        return self.holdings[key]

    def _held(self, use: _Use, implicit: IntArray, *, for_ever: bool) -> Holding:
        assert isinstance(use.part, Direction)
        cone, named = use.cone, self.rows.renumbered(use.part.equalities)[0]
        equal = np.flatnonzero(cone.equal & self.units.nonzero)
        held = np.unique(np.concatenate([named, implicit[~cone.equal[implicit]], equal]))
        strict = cone.upper | cone.lower
        strict[held] = False
        low, high = (None, None) if self.ends is None or for_ever else (self.ends.low, self.ends.high)
        asked = Asked(held, cone, strict, low, high, for_ever=for_ever, trusted=self._trusted(Direction))
        holding = hold(self.units, asked, use.part.values, self.known)
        fixes = holding.selection is None or len(holding.selection.fixed) > 0
        self.plain.setdefault(Direction, holding.closes and not fixes)
        return holding

    def _weigh(self, use: _Use, *, for_ever: bool) -> Weighing | None:
        """Write multipliers down; None where those of a tangent cone weigh nothing."""
        assert isinstance(use.part, Multipliers)
        m, n, cone = self.rows.m, self.rows.n, use.cone
        pinned, needed = np.zeros((2, self.rows.count), dtype=np.bool_)
        pinned[m : m + n] = cone.equal[m : m + n]
        given = signed(self.rows, use.part.rows, use.part.values, pinned)
        if not for_ever and not len(given):
            return None
        if not use.spanning:
            needed[given.rows] = True
        apart = Cone(cone.equal & ~(cone.upper | cone.lower), cone.upper, cone.lower)
        spare = self.rows.split(np.flatnonzero(apart.equal & self.units.nonzero))[0]
        asked = Weighed(apart, spare, needed, spanning=use.spanning, trusted=self._trusted(Multipliers))
        weighing = weigh(self.units, given, asked)
        self.plain.setdefault(Multipliers, weighing.closes)
        return weighing

    def _implicit_rows(self, implicit: int) -> IntArray:
        """The rows that multipliers show to vanish on the preimage, by the identity of these."""
        weighing = self.weighings.get((implicit, implicit, False))
        return NO_ROWS if weighing is None else weighing.part.rows

    # ---- ranks

    def _ranks(self, equal: Bitsets) -> list[Rank]:
        """What shows how many rows that vanish on each preimage are independent."""
        ranks = [self._rank_by_part(candidate, equal, k) for k, candidate in enumerate(self.candidates)]
        left = np.flatnonzero([rank is None for rank in ranks])
        if len(left) == 1 or self.ends is not None:
            for k in left.tolist():
                ranks[k] = self._rank(self._vanishing(equal, k), named=self._has_direction(k))
        elif len(left):
            counts = equal.counts()
            spanning = np.array([self.candidates[k].kind is Kind.SINGLETON for k in left.tolist()]) & (
                counts[left] >= self.rows.n
            )
            for numbers, common in ((left[~spanning], False), (left[spanning], True)):
                self._by_clusters(ranks, equal, numbers, common=common)
        return [Rank(None, closes=False) if rank is None else rank for rank in ranks]

    def _vanishing(self, equal: Bitsets, k: int) -> BoolArray:
        """(M,) the rows that vanish on a preimage."""
        out = mask(equal.words[k], equal.size)
        out[self._implicit_rows(self.parts[id(self.candidates[k])].keys[1][0])] = True
        return out

    def _has_direction(self, k: int) -> bool:
        parts = self.parts[id(self.candidates[k])]
        return parts.inside is not None or isinstance(parts.recession, Direction)

    def _rank(self, vanishing: BoolArray, *, named: bool, trusted: bool = False) -> Rank:
        return find_rank(self.units, vanishing, self.known, explicit=named, trusted=trusted)

    def _rank_by_part(self, candidate: Candidate, equal: Bitsets, k: int) -> Rank | None:
        """The rank that a sample's multipliers or directions say already."""
        inside, implicit, recession = self.parts[id(candidate)].keys
        if candidate.kind is Kind.SINGLETON and self.weighings.get(implicit) is not None:
            return Rank(None, closes=True)
        holding = self.holdings.get(inside, self.holdings.get(recession))  # the checker looks at the first one only
        return None if holding is None else rank_of(self.units, holding, self._vanishing(equal, k))

    def _by_clusters(self, ranks: list[Rank | None], equal: Bitsets, numbers: IntArray, *, common: bool) -> None:
        """One basis for many samples: of what is in any of their sets of rows, or of what is in all of them."""
        n = self.rows.n
        cones = Cones(equal.chosen(numbers))
        # some rows fewer or more than n: close to a square matrix the smallest singular value falls quickly
        groups = intersections(cones, float(n + n // 32)) if common else unions(cones, float(n - n // 64))
        for group in groups:
            chosen = numbers[group.members]
            words = equal.words[chosen]
            joined = mask(intersection(words) if common else union(words), equal.size)
            rank = self._rank(joined, named=len(chosen) > 1, trusted=self._trusted(common))
            self.plain.setdefault(common, rank.closes and rank.zero is None)
            for k in chosen.tolist():
                alone = len(chosen) == 1 or rank.closes
                ranks[k] = rank if alone else self._rank(self._vanishing(equal, k), named=self._has_direction(k))

    # ---- certificates

    def _certificate(self, candidate: Candidate, rank: Rank) -> tuple[Certificate, bool]:
        key = id(candidate), id(rank.selection)
        if key not in self.certificates:
            self.certificates[key] = self._written(candidate, rank)
        return self.certificates[key]

    def _written(self, candidate: Candidate, rank: Rank) -> tuple[Certificate, bool]:
        inside, implicit, recession = self.parts[id(candidate)].keys
        weighings = [self.weighings.get(key) for key in (implicit, recession)]
        holdings = [self.holdings.get(key) for key in (inside, recession)]
        faces = [_face(*parts) for parts in zip(weighings, holdings, strict=True)]
        used = [rank.selection, *(holding.selection for holding in holdings if holding is not None)]
        certificate = Certificate(
            candidate.kind,
            candidate.dimension,
            *faces,
            basis=rank.basis,
            zero=rank.zero,
            counted=candidate.recession.coordinates if isinstance(candidate.recession, Counted) else None,
            relations=relations_of(self.units, used),
            scaling=self.units.scaling,
        )
        parts = [part for part in (*weighings, *holdings) if part is not None]
        return certificate, rank.closes and all(part.closes for part in parts)


def _in_units(relation: Relation, units: Units) -> Relation:
    rows, values = relation
    return rows, tuple(np.ldexp(values, units.by_row[list(rows)]).tolist())


def _face(multipliers: Weighing | None, direction: Holding | None) -> Face | None:
    if multipliers is None and direction is None:
        return None
    return Face(None if multipliers is None else multipliers.part, None if direction is None else direction.part)


__all__ = ["elaborate", "elaborate_many"]
