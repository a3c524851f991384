"""From what deciding found to what is proved: candidates become certificates.

Deciding finds vectors. A certificate says as well which rows are independent, how all others follow from them, in which
units, and how large singular values have to be: whatever a proof would have to search for. Nothing here is trusted; a
certificate that is wrong is not proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimage.blocks import chosen, exceeds, keeps, row_maxima
from fiberscope.preimage.candidate import Candidate, Inconsistent
from fiberscope.preimage.candidate import Direction as FoundDirection
from fiberscope.preimage.candidate import Multipliers as FoundMultipliers
from fiberscope.preimage.certificate import Certificate, Face, Multipliers, Rational, Relations
from fiberscope.preimage.holding import Asked, Holding, hold, strict_rows
from fiberscope.preimage.independent_rows import Relation, Selection, known_relations, selections
from fiberscope.preimage.interval import Interval
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.preimage import Preimage
from fiberscope.preimage.scalings import Units, even_units, own_units, units_as_given
from fiberscope.preimage.sided_rows import NO_ROWS, Cone, Numbering, Sides, sides_at_input, sides_at_output
from fiberscope.preimage.weighing import Signed, Weighed, Weighing, signed, weigh


def elaborate(question: Preimage, candidate: Candidate) -> Certificate:
    """Write down what a candidate says about a question so that it can be proved without any search.

    Args:
        question: the layer, the domain, and x or y; nothing else of it is read.
        candidate: what deciding found about it.

    Returns:
        A certificate of the candidate's kind and dimension: one whose proof seems to close in floats, where one of few
        ways to write it down is such; it may still be proved in rational arithmetic.
    """
    first: Certificate | None = None
    with np.errstate(all="ignore"):  # numbers near the ends of float64 overflow here
        asked = Question.of(question)
        for units in _units(asked, question, candidate):
            certificate, closes = Elaboration(asked, units, candidate).written()
            if closes:
                return certificate
            first = first or certificate
    assert first is not None, "the units of the numbers as given are always some"
    return first


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked: rows, and their sides at a sample.

    Attributes:
        rows: of the layer and the domain.
        sides: which rows have.
        low: (M,) lower sides, where an output is given; None for an input.
        high: (M,) upper sides.
    """

    rows: Numbering
    sides: Sides
    low: FloatArray | None = None
    high: FloatArray | None = None

    @classmethod
    def of(cls, question: Preimage) -> Question:
        """Read a question."""
        rows = Numbering.of(question.layer, question.domain)
        if question.x is not None:
            return cls(rows, sides_at_input(rows, question.x, question.within))
        assert question.y is not None
        return cls(rows, *sides_at_output(rows, question.y, question.within))

    @property
    def tangent(self) -> Cone:
        """The cone that the first face is about."""
        return self.sides.tangent if self.low is None else self.sides.homogeneous


def _units(asked: Question, question: Preimage, candidate: Candidate) -> Iterator[Units]:
    """Units to try: even ones, those of a ray, and those of the numbers as given."""
    rows, given = asked.rows, units_as_given(asked.rows)
    if not _is_rational(candidate):
        even, ray = even_units(rows), candidate.recession
        if even.is_given or _scales_sample(even, question):
            yield even
        if isinstance(ray, FoundDirection) and isinstance(ray.values, np.ndarray):
            own = own_units(rows, ray.values)
            if own.is_given or _scales_sample(own, question):
                yield own
        if even.is_given:
            return
    yield given


def _is_rational(candidate: Candidate) -> bool:
    """Whether its proof is one in rational numbers, for which no units are better than others."""
    parts = (candidate.implicit, candidate.interior, candidate.recession, candidate.infeasible)
    vectors = [candidate.point, *(getattr(part, "values", None) for part in parts)]
    return any(isinstance(vector, Rational) for vector in vectors) or isinstance(candidate.infeasible, Inconsistent)


def _scales_sample(units: Units, question: Preimage) -> bool:
    """Whether no number of an input or an output changes in these units."""
    of_rows = -units.by_row[: units.rows.m]
    sides = (question.y.low, question.y.high) if isinstance(question.y, Interval) else (question.y,)
    pairs = [(side, of_rows) for side in (*sides, question.within) if side is not None]
    pairs += [] if question.x is None else [(question.x, -units.by_column)]
    with np.errstate(all="ignore"):
        return all(keeps(np.asarray(v), np.ldexp(v, e)) for v, e in pairs)


class Elaboration:
    """A candidate about a question, written down in some units."""

    def __init__(self, question: Question, units: Units, candidate: Candidate) -> None:
        self.question, self.units, self.candidate = question, units, candidate
        self.rows = question.rows
        self.known = _in_units(known_relations(candidate.dependencies), units)

    def written(self) -> tuple[Certificate, bool]:
        """The certificate, and whether its proof in floats seems to close."""
        candidate = self.candidate
        if candidate.kind in (Kind.EMPTY, Kind.UNDECIDED):
            part, closes = self._contradiction()
            tangent = None if part is None else Face(part)
            return Certificate(candidate.kind, candidate.dimension, tangent, scaling=self.units.scaling), closes
        implicit = self._implicit()
        inside = self._inside(NO_ROWS if implicit is None else implicit.part.rows)
        away = self._away()
        ends = self._ends()
        rank = self._rank(implicit, inside, away)
        parts = [part.closes for part in (implicit, inside, away, ends) if part is not None]
        certificate = Certificate(
            candidate.kind,
            candidate.dimension,
            _face(implicit, inside),
            _face(ends, away),
            basis=rank.basis,
            zero=rank.zero,
            relations=relations_of(
                self.units, [rank.selection, *(h.selection for h in (inside, away) if h is not None)]
            ),
            scaling=self.units.scaling,
        )
        return certificate, all(parts) and rank.closes

    # ---- the tangent cone

    def _implicit(self) -> Weighing | None:
        """The rows that are tight on the whole preimage."""
        part, cone = self.candidate.implicit, self.question.tangent
        if part is None:
            return None
        given = self._signed(part, _coordinates(self.rows, cone.equal))
        if not len(given):
            return None
        singleton = self.candidate.kind is Kind.SINGLETON
        needed = np.zeros(self.rows.count, dtype=np.bool_)
        if not singleton:
            needed[given.rows] = True
        return weigh(self.units, given, Weighed(cone, self._equal_places(cone), needed, spanning=singleton))

    def _inside(self, implicit: IntArray) -> Holding | None:
        """The direction, or the point, that is strict on all other rows."""
        cone, candidate = self.question.tangent, self.candidate
        values = candidate.point if self.question.low is not None else None
        held: IntArray = NO_ROWS
        if self.question.low is None:
            if candidate.interior is None or candidate.kind is Kind.SINGLETON:
                return None
            values, held = candidate.interior.values, self.rows.renumbered(candidate.interior.equalities)[0]
        if values is None:
            return None
        equal = np.flatnonzero(cone.equal & self.units.nonzero)
        held = np.unique(np.concatenate([held, implicit[~cone.equal[implicit]], equal]))
        strict = strict_rows(cone, np.concatenate([implicit, equal]))
        asked = Asked(held, cone, strict, self.question.low, self.question.high)
        return hold(self.units, asked, values, self.known)

    # ---- the recession cone

    def _away(self) -> Holding | None:
        """A direction in which the preimage is unbounded."""
        part, cone = self.candidate.recession, self.question.sides.recession
        if not isinstance(part, FoundDirection):
            return None
        held = self.rows.renumbered(part.equalities)[0]
        held = np.union1d(held, np.flatnonzero(cone.equal & self.units.nonzero))
        asked = Asked(held, cone, strict_rows(cone, held), for_ever=True)
        return hold(self.units, asked, part.values, self.known)

    def _ends(self) -> Weighing | None:
        """Rows that leave no direction in which the preimage would be unbounded."""
        part, cone = self.candidate.recession, self.question.sides.recession
        if not isinstance(part, FoundMultipliers):
            return None
        given = self._signed(part, _coordinates(self.rows, cone.equal))
        nothing = np.zeros(self.rows.count, dtype=np.bool_)
        return weigh(self.units, given, Weighed(cone, self._equal_places(cone), nothing, spanning=True))

    # ---- ranks

    def _rank(self, implicit: Weighing | None, inside: Holding | None, away: Holding | None) -> Rank:
        """What shows how many rows that vanish on the preimage are independent."""
        candidate, cone = self.candidate, self.question.tangent
        if candidate.kind is Kind.SINGLETON and implicit is not None:
            return Rank(None, closes=True)
        vanishing = cone.equal & self.units.nonzero
        if implicit is not None:
            vanishing[implicit.part.rows] = True
        for holding in (inside, away):
            if holding is not None:
                rank = rank_of(self.units, holding, vanishing)
                if rank is not None:
                    return rank
                break  # the checker looks at the first of them only
        return find_rank(self.units, vanishing, self.known, explicit=inside is not None or away is not None)

    # ---- contradictions

    def _contradiction(self) -> tuple[Multipliers | None, bool]:
        """Why an output has no preimage."""
        part = self.candidate.infeasible
        if isinstance(part, Inconsistent):
            return Multipliers(self.rows.renumbered(part.rows)[0], None), False
        low, high = self.question.low, self.question.high
        if not isinstance(part, FoundMultipliers) or low is None or high is None or (low > high).any():
            return None, True  # one row contradicts itself
        given = self._signed(part, np.zeros(self.rows.count, dtype=np.bool_))
        if isinstance(given.values, Rational):
            return Multipliers(given.rows, given.values), False
        # coordinates that are bounded on both sides absorb what is left in their columns, whichever its sign
        boxed = np.isfinite(low) & np.isfinite(high) & _coordinates(self.rows)
        weights = np.zeros(self.rows.count)
        weights[given.rows] = given.values
        named = np.union1d(given.rows, np.flatnonzero(boxed))
        cone = replace(self.question.tangent, equal=self.question.tangent.equal & ~boxed)
        asked = Weighed(cone, self._equal_places(cone), boxed, spanning=False, sides=(high, low))
        weighing = weigh(self.units, Signed(named, weights[named]), asked)
        return weighing.part, weighing.closes

    # ---- parts

    def _signed(self, part: FoundMultipliers, ignored: BoolArray) -> Signed:
        return signed(self.rows, part.rows, part.values, ignored)

    def _equal_places(self, cone: Cone) -> IntArray:
        """The rows of the body that count with any sign."""
        return self.rows.split(np.flatnonzero(cone.equal & self.units.nonzero))[0]


@dataclass(frozen=True, eq=False)
class Rank:
    """What a certificate says about ranks, beside its directions.

    Attributes:
        selection: the independent rows; None where nothing is said.
        closes: whether the proof in floats seems to close.
        basis: the numbers of these rows, if they must be named.
        zero: coordinates that rows fix at zero.
    """

    selection: Selection | None
    closes: bool
    basis: IntArray | None = None
    zero: IntArray | None = None


def rank_of(units: Units, holding: Holding, vanishing: BoolArray) -> Rank | None:
    """The rank of the rows (M,) that vanish on a preimage, if the rows that hold a direction say it."""
    selection, m = holding.selection, units.rows.m
    if selection is None or holding.part.sigma == 0.0:
        return None
    named = vanishing.copy()
    named[m + selection.fixed] = True
    if not named[m + np.flatnonzero(~selection.columns)].all():
        return None
    if not _counts(units, selection, vanishing):
        return None
    zero = selection.fixed[~vanishing[m + selection.fixed]]
    return Rank(selection, closes=holding.closes, zero=zero if len(zero) else None)


def _counts(units: Units, selection: Selection, vanishing: BoolArray) -> bool:
    """Whether rows that vanish and are not selected follow from others that vanish."""
    places, _ = units.rows.split(np.flatnonzero(vanishing))
    live = places[row_maxima(chosen(units.body, places, selection.columns)) > 0]
    among, following = set(live.tolist()), 0
    least, known = len(among), set(among)
    for count, (rows, _) in enumerate(reversed(selection.relations), 1):
        known.update(rows)
        following += among.issuperset(rows)
        least = min(least, len(known) - count)
    return min(least, len(among) - following) <= int(np.isin(live, selection.rows).sum())


def find_rank(
    units: Units, vanishing: BoolArray, known: tuple[Relation, ...], *, explicit: bool, trusted: bool = False
) -> Rank:
    """Independent rows among those that vanish on a preimage.

    Args:
        units: of the rows.
        vanishing: (M,) the rows.
        known: relations that hold exactly.
        explicit: whether rows that are all of them have to be named as well.
        trusted: whether rows are taken to have full rank.
    """
    places, coordinates = units.rows.split(np.flatnonzero(vanishing))
    columns = np.ones(units.rows.n, dtype=np.bool_)
    columns[coordinates] = False
    live = int((row_maxima(chosen(units.body, places, columns)) > 0).sum())
    kept = np.ones(units.body.shape[0], dtype=np.bool_)
    for selection in selections(units.body, places, columns, known, kept):
        block = chosen(units.body, selection.rows, selection.columns)
        if 0 not in block.shape and not (trusted or exceeds(block, 0.0)):
            continue
        if block.shape[0] > block.shape[1]:  # more rows than columns, which they fix
            selection = replace(selection, relations=())
        is_all = len(selection.rows) == live and not len(selection.fixed)
        basis = None if is_all and not explicit else units.rows.numbered(selection.rows)
        return Rank(selection, True, basis, selection.fixed if len(selection.fixed) else None)
    return Rank(None, closes=False)


def _in_units(known: tuple[Relation, ...], units: Units) -> tuple[Relation, ...]:
    return tuple((rows, tuple(np.ldexp(values, units.by_row[list(rows)]).tolist())) for rows, values in known)


def relations_of(units: Units, used: list[Selection | None]) -> Relations | None:
    """The relations of all selections; of two that name the same row first, the first one counts."""
    accepted: list[Relation] = []
    fronts: set[int] = set()
    for relation in (relation for selection in used if selection is not None for relation in selection.relations):
        rows, values = relation
        if fronts.isdisjoint(rows):
            exact = np.ldexp(values, -units.by_row[list(rows)])
            accepted.append((rows, tuple((exact * 2.0 ** -np.frexp(exact[0])[1]).tolist())))
            fronts.add(rows[0])
    if not accepted:
        return None
    starts = np.cumsum([0, *(len(rows) for rows, _ in accepted)]).astype(np.int64)
    places = np.array([row for rows, _ in accepted for row in rows], dtype=np.int64)
    return Relations(starts, units.rows.numbered(places), np.array([v for _, values in accepted for v in values]))


def _face(multipliers: Weighing | None, direction: Holding | None) -> Face | None:
    if multipliers is None and direction is None:
        return None
    return Face(None if multipliers is None else multipliers.part, None if direction is None else direction.part)


def _coordinates(rows: Numbering, among: BoolArray | None = None) -> BoolArray:
    """(M,) the rows of coordinates, or those of them that are marked."""
    out = np.zeros(rows.count, dtype=np.bool_)
    out[rows.m : rows.m + rows.n] = True
    return out if among is None else out & among


__all__ = ["Elaboration", "Question", "Rank", "elaborate", "find_rank", "rank_of", "relations_of"]
