"""Many candidates about one layer become certificates that share what they have in common.

A part that several samples name is written down once, so that it holds for all of them, and certificates of the same
parts are one object: the checker measures each once. Where a rank is shown by rows alone, samples whose rows have a
small union share one basis. Rows that are independent stay so when some are left out, and rows that span still do when
more are added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimage.bitsets import Bitsets, intersection, mask, union
from fiberscope.preimage.candidate import Candidate
from fiberscope.preimage.candidate import Direction as FoundDirection
from fiberscope.preimage.candidate import Multipliers as FoundMultipliers
from fiberscope.preimage.certificate import Certificate, Face, Rational
from fiberscope.preimage.elaborate import Rank, elaborate, find_rank, rank_of, relations_of
from fiberscope.preimage.grouping import Cones, intersections, unions
from fiberscope.preimage.holding import Asked, Holding, hold
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.preimage import Preimage
from fiberscope.preimage.scalings import Units, even_units, keeps, units_as_given
from fiberscope.preimage.sided_rows import NO_ROWS, Cone, Numbering, Sides, sides_at_inputs
from fiberscope.preimage.weighing import Weighed, Weighing, signed, weigh

BLOCK = 256
"""Samples whose sides are settled at once."""

Found = FoundDirection | FoundMultipliers


def elaborate_many(questions: Sequence[Preimage], candidates: Sequence[Candidate]) -> list[Certificate]:
    """Write candidates down as ``elaborate`` does, those about one layer and one domain together.

    Args:
        questions: N questions.
        candidates: N candidates; those that share a part, or are one object, share it in their certificates.

    Returns:
        N certificates; candidates with the same parts have the same one, where the same rows show their dimension.
    """
    out: list[Certificate | None] = [None] * len(questions)
    alike: dict[tuple[int, int], list[int]] = {}
    for k, question in enumerate(questions):
        alike.setdefault((id(question.layer), id(question.domain)), []).append(k)
    for numbers in alike.values():
        shared = [k for k in numbers if _is_shared(questions[k], candidates[k])]
        if len(shared) > 1:
            with np.errstate(all="ignore"):  # as alone
                together = _Together([questions[k] for k in shared], [candidates[k] for k in shared]).certificates()
            for k, certificate in zip(shared, together, strict=True):
                out[k] = certificate
    return [
        elaborate(question, candidate) if certificate is None else certificate
        for question, candidate, certificate in zip(questions, candidates, out, strict=True)
    ]


def _is_shared(question: Preimage, candidate: Candidate) -> bool:
    """Whether a candidate is of those that are found for many samples: about an input, by vectors of floats."""
    parts = (candidate.implicit, candidate.interior, candidate.recession)
    floats = not any(isinstance(getattr(part, "values", None), Rational) for part in parts)
    kinds = candidate.kind in (Kind.SINGLETON, Kind.BOUNDED, Kind.UNBOUNDED)
    plain = candidate.dependencies is None and (candidate.implicit is None or candidate.kind is Kind.SINGLETON)
    return question.x is not None and floats and kinds and plain


@dataclass(frozen=True, eq=False)
class _Use:
    """What the samples that name a part ask of it, all of them together.

    Attributes:
        part: what was found.
        equal: (M,) rows that are equal in the cones of all of them.
        upper: (M,) rows with an upper side alone, in one of them.
        lower: (M,) rows with a lower side alone, in one of them.
    """

    part: Found
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


@dataclass(frozen=True, eq=False)
class _Known:
    """Parts that are written down, by what was found and for which cone."""

    holdings: dict[tuple[int, bool], Holding] = field(default_factory=dict[tuple[int, bool], Holding])
    weighings: dict[tuple[int, bool], Weighing] = field(default_factory=dict[tuple[int, bool], Weighing])
    certificates: dict[tuple[int, int], Certificate] = field(default_factory=dict[tuple[int, int], Certificate])


class _Together:
    """Candidates about inputs of one layer and one domain."""

    def __init__(self, questions: Sequence[Preimage], candidates: Sequence[Candidate]) -> None:
        self.questions, self.candidates = questions, candidates
        self.rows = Numbering.of(questions[0].layer, questions[0].domain)
        even = even_units(self.rows)
        self.units = even if even.is_given or _keep(even, questions) else units_as_given(self.rows)
        self.known = _Known()
        # where the first of a sort closes in the plain way, most of the others do: they are not tried one by one
        self.plain: dict[object, bool] = {}

    def certificates(self) -> list[Certificate]:
        """One for each candidate."""
        uses: dict[tuple[int, bool], _Use] = {}
        equal: list[Bitsets] = []
        for numbers, sides in self._sides():
            for k, side in zip(numbers, sides, strict=True):
                self._note(uses, self.candidates[k], side)
            equal.append(Bitsets.of(np.stack([side.equal for side in sides]) & self.units.nonzero))
        self._write(uses)
        members = Bitsets.stacked(equal)
        ranks = self._ranks(members)
        return [self._certificate(k, rank) for k, rank in enumerate(ranks)]

    def _sides(self) -> Iterator[tuple[range, list[Sides]]]:
        for start in range(0, len(self.questions), BLOCK):
            some = self.questions[start : start + BLOCK]
            inputs = [question.x for question in some if question.x is not None]
            sides = sides_at_inputs(self.rows, np.stack(inputs), [question.within for question in some])
            yield range(start, start + len(some)), sides

    # ---- parts

    def _note(self, uses: dict[tuple[int, bool], _Use], candidate: Candidate, sides: Sides) -> None:
        """Note what a sample asks of its parts; the key says whether it is about the recession cone."""
        recession = candidate.recession if candidate.kind is not Kind.SINGLETON else None
        tangent = candidate.implicit if candidate.kind is Kind.SINGLETON else candidate.interior
        for part, for_ever, cone in ((tangent, False, sides.tangent), (recession, True, sides.recession)):
            if isinstance(part, FoundDirection | FoundMultipliers):
                key = id(part), for_ever
                if key not in uses:
                    uses[key] = _Use(part, cone.equal.copy(), cone.upper.copy(), cone.lower.copy())
                uses[key].include(cone)

    def _write(self, uses: dict[tuple[int, bool], _Use]) -> None:
        for key, use in uses.items():
            if isinstance(use.part, FoundDirection):
                self.known.holdings[key] = self._hold(use.part, use, for_ever=key[1])
            else:
                self.known.weighings[key] = self._weigh(use.part, use)
        for identity, for_ever in uses:  # a direction of the recession cone that is strict on tight rows serves both
            if not for_ever and (identity, True) in self.known.holdings:
                self.known.holdings[identity, False] = self.known.holdings[identity, True]

    def _hold(self, part: FoundDirection, use: _Use, *, for_ever: bool) -> Holding:
        named = self.rows.renumbered(part.equalities)[0]
        held = np.union1d(named, np.flatnonzero(use.equal & self.units.nonzero))
        cone = use.cone
        strict = cone.upper | cone.lower
        strict[held] = False
        asked = Asked(held, cone, strict, for_ever=for_ever, trusted=self.plain.get(FoundDirection, False))
        holding = hold(self.units, asked, part.values, ())
        self.plain.setdefault(
            FoundDirection, holding.closes and holding.selection is not None and not len(holding.selection.fixed)
        )
        return holding

    def _weigh(self, part: FoundMultipliers, use: _Use) -> Weighing:
        m, n = self.rows.m, self.rows.n
        pinned = np.zeros(self.rows.count, dtype=np.bool_)
        pinned[m : m + n] = use.equal[m : m + n]
        given = signed(self.rows, part.rows, part.values, pinned)
        nothing = np.zeros(self.rows.count, dtype=np.bool_)
        asked = Weighed(
            Cone(use.equal & ~(use.upper | use.lower), use.upper, use.lower), NO_ROWS, nothing, spanning=True
        )
        weighing = weigh(self.units, given, replace(asked, trusted=self.plain.get(FoundMultipliers, False)))
        self.plain.setdefault(FoundMultipliers, weighing.closes)
        return weighing

    # ---- ranks

    def _ranks(self, members: Bitsets) -> list[Rank]:
        """What shows the rank of each sample's equal rows."""
        ranks: list[Rank | None] = [
            self._rank_by_part(candidate, members, k) for k, candidate in enumerate(self.candidates)
        ]
        left = np.flatnonzero([rank is None for rank in ranks])
        if len(left):
            counts = members.counts()
            spanning = np.array([self.candidates[k].kind is Kind.SINGLETON for k in left.tolist()]) & (
                counts[left] >= self.rows.n
            )
            for numbers, common in ((left[~spanning], False), (left[spanning], True)):
                self._by_clusters(ranks, members, numbers, common=common)
        return [Rank(None, closes=False) if rank is None else rank for rank in ranks]

    def _rank_by_part(self, candidate: Candidate, members: Bitsets, k: int) -> Rank | None:
        """The rank that a sample's multipliers or directions say already."""
        if candidate.kind is Kind.SINGLETON and candidate.implicit is not None:
            return Rank(None, closes=True)
        for part, for_ever in ((candidate.interior, False), (candidate.recession, True)):
            if isinstance(part, FoundDirection):
                return rank_of(
                    self.units, self.known.holdings[id(part), for_ever], mask(members.words[k], members.size)
                )
        return None

    def _by_clusters(self, ranks: list[Rank | None], members: Bitsets, numbers: IntArray, *, common: bool) -> None:
        """One basis for many samples: of what is in any of their sets of rows, or of what is in all of them."""
        n = self.rows.n
        cones = Cones(members.chosen(numbers))
        # some rows fewer or more than n: close to a square matrix the smallest singular value falls quickly
        groups = intersections(cones, float(n + n // 32)) if common else unions(cones, float(n - n // 64))
        for group in groups:
            chosen = numbers[group.members]
            words = members.words[chosen]
            joined = intersection(words) if common else union(words)
            vanishing, trusted = mask(joined, members.size), self.plain.get(common, False)
            rank = find_rank(self.units, vanishing, (), explicit=len(chosen) > 1, trusted=trusted)
            self.plain.setdefault(common, rank.closes and rank.zero is None)
            for k in chosen.tolist():
                alone = len(chosen) == 1 or rank.closes
                ranks[k] = (
                    rank if alone else find_rank(self.units, mask(members.words[k], members.size), (), explicit=False)
                )

    # ---- certificates

    def _certificate(self, k: int, rank: Rank) -> Certificate:
        candidate = self.candidates[k]
        key = id(candidate), id(rank.selection)
        if key not in self.known.certificates:
            self.known.certificates[key] = self._written(candidate, rank)
        return self.known.certificates[key]

    def _written(self, candidate: Candidate, rank: Rank) -> Certificate:
        tangent = candidate.implicit if candidate.kind is Kind.SINGLETON else candidate.interior
        recession = candidate.recession if candidate.kind is not Kind.SINGLETON else None
        used = [self.known.holdings.get((id(part), ever)) for part, ever in ((tangent, False), (recession, True))]
        return Certificate(
            candidate.kind,
            candidate.dimension,
            self._face(tangent, for_ever=False),
            self._face(recession, for_ever=True),
            basis=rank.basis,
            zero=rank.zero,
            relations=relations_of(self.units, [rank.selection, *(h.selection for h in used if h is not None)]),
            scaling=self.units.scaling,
        )

    def _face(self, part: object, *, for_ever: bool) -> Face | None:
        key = id(part), for_ever
        if isinstance(part, FoundDirection):
            return Face(direction=self.known.holdings[key].part)
        return Face(multipliers=self.known.weighings[key].part) if isinstance(part, FoundMultipliers) else None


def _keep(units: Units, questions: Sequence[Preimage]) -> bool:
    """Whether no number of any input, nor of a precision, changes in these units."""
    of_rows = -units.by_row[: units.rows.m]
    with np.errstate(all="ignore"):
        inputs: list[FloatArray] = [question.x for question in questions if question.x is not None]
        loose = [np.asarray(question.within) for question in questions if np.any(question.within)]
        pairs = [(x, units.inputs(x)) for x in inputs] + [(each, np.ldexp(each, of_rows)) for each in loose]
        return all(keeps(given, changed) for given, changed in pairs)


__all__ = ["elaborate_many"]
