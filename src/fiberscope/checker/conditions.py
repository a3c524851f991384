"""What has to hold for a verdict, stated once: for any arithmetic, and for many samples that share a certificate.

``docs/certificates.md`` says why each condition is needed, and why together they suffice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

import numpy as np

from fiberscope.checker import exact
from fiberscope.checker.certificates import Certificate, Direction, Multipliers, key_of
from fiberscope.checker.facts import Leading, Vanishing, leading, rank_above, standing, vanishing
from fiberscope.checker.matrices import BoolArray, IntArray, NotProvedError
from fiberscope.checker.system import Cone, Rows, Sides

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class Proof:
    """What is proved for N samples.

    Attributes:
        lowest: (N,) a lower bound on the dimension; -1 where no point is known.
        highest: (N,) an upper bound on it.
        ends: (N,) whether the recession cone is {0}.
        runs: (N,) whether it is not.
    """

    lowest: IntArray
    highest: IntArray
    ends: BoolArray
    runs: BoolArray

    def failure(self, i: int, kind: str, low: int, high: int) -> str:
        """Why sample i is not proved to be of this kind, with a dimension within these bounds; empty if it is."""
        if not low <= self.lowest[i] <= self.highest[i] <= high:
            return f"the dimension is proved to lie in {self.lowest[i]} to {self.highest[i]}, not in {low} to {high}"
        shown = {
            "singleton": self.lowest[i] == self.highest[i] == 0,
            "bounded": self.lowest[i] >= 1 and self.ends[i],
            "unbounded": self.lowest[i] >= 1 and self.runs[i],
        }
        return "" if shown.get(kind, False) else f"it is not shown that the preimage is {kind}"


class Conditions:
    """The conditions of one certificate about one system.

    Args:
        rows: the system's.
        certificate: which of them names which.
    """

    def __init__(self, rows: Rows, certificate: Certificate) -> None:
        self.rows, self.certificate = rows, certificate

    def at_inputs(self, tangent: Cone, recession: Cone) -> Proof:
        """What is proved at N inputs with these cones, which hold the same coordinates."""
        implicit = self.vanishing(self.certificate.tangent.multipliers, tangent)
        lowest, highest = self._dimensions(tangent, implicit, self.lead)
        lowest = np.maximum(np.maximum(lowest, 0), self._left(tangent.equal | tangent.one_sided))
        if not lowest.all():
            lowest = np.maximum(lowest, self._moves(tangent))
        return Proof(lowest, highest, self._ends(recession), self._runs(recession))

    def at_output(self, sides: Sides) -> Proof:
        """What is proved of an output that puts rows on these sides."""
        part, place = self.certificate.tangent.multipliers, self.certificate.tangent.direction
        if place is None:
            raise NotProvedError("no point of the preimage is given")
        tangent, recession = sides.cones(self.rows.nonzero)
        implicit = self.vanishing(part, tangent)
        if implicit is not None and self._most(implicit, sides) > 0:
            raise NotProvedError("the sides of the multipliers are not shown to sum to 0")
        lead = standing(self.rows, place, self.certificate.relations, sides)
        lowest, highest = self._dimensions(tangent, implicit, lead)
        lowest = np.maximum(lowest, np.where(_respects(lead, tangent), 0, -1))
        return Proof(lowest, highest, self._ends(recession), self._runs(recession))

    def contradiction(self, sides: Sides) -> str:
        """Why an output is not proved to have no preimage; empty if it is."""
        part = self.certificate.tangent.multipliers
        if sides.contradiction:
            return ""
        if part is None:
            return "nothing is given that contradicts the output"
        if part.values is None:
            return "" if self._disagree(part.rows, sides) else "the named rows are not shown to have no solution"
        boxed = (sides.has_low & sides.has_high)[self.rows.coordinates]
        most = self._most(vanishing(self.rows, part, boxed), sides)
        return "" if most < 0 else "the sides do not sum to a negative number"

    # ---- the tangent cone, or the homogenised system

    def _dimensions(self, cone: Cone, implicit: Vanishing | None, lead: Leading | None) -> tuple[IntArray, IntArray]:
        """(N,) bounds on the dimension: from below by a direction into the interior, from above by independent rows."""
        equalities, spanned = cone.equal, np.zeros(len(cone.equal), dtype=np.bool_)
        if implicit is not None:
            admitted = _admitted(implicit, cone)
            equalities = equalities | (admitted[:, None] & implicit.named & (implicit.sign != 0))
            if self.certificate.kind == "singleton":
                spanned = admitted & implicit.spans
        least, most = self._ranks(equalities, lead or self.away, spanned)
        upper, lower = cone.upper & ~equalities, cone.lower & ~equalities
        if lead is None:
            strict = ~(upper | lower).any(axis=1)
        else:
            strict = ~((equalities & ~lead.null) | (upper & ~lead.below) | (lower & ~lead.above)).any(axis=1)
        return np.where(strict, self.rows.n - most, -1), self.rows.n - least

    def _ranks(self, equalities: BoolArray, lead: Leading | None, spanned: BoolArray) -> tuple[IntArray, IntArray]:
        """(N,) bounds on the rank of the rows that vanish, from below and from above; n where they span."""
        rows, zero, relations = self.rows, self.certificate.zero, self.certificate.relations
        least, most = np.where(spanned, rows.n, 0), np.full(len(spanned), rows.n)
        left = np.flatnonzero(~spanned)
        if not len(left):
            return least, most
        columns = ~equalities[left[0], rows.coordinates]
        if (equalities[left][:, rows.coordinates] == columns).any():
            raise NotProvedError("samples that share a certificate hold different coordinates")
        members, held = equalities[left][:, : rows.height] & self._live(columns), rows.n - int(columns.sum())
        most[left] = np.minimum(held + members.sum(axis=1), rows.n)
        for k, member in zip(left, members, strict=True) if relations.terms else ():
            most[k] = min(most[k], held + rank_above(rows, np.flatnonzero(member), columns, relations))
        if len(zero):
            columns, held = self._without(columns, members, zero), held + len(zero)
            members = members & self._live(columns)
            most[left] = np.minimum(most[left], held + members.sum(axis=1))
        least[left] = held + self._independent(members, columns, lead)
        for k, member in zip(left, members, strict=True) if rows.rational else ():
            if least[k] < most[k]:
                least[k] = most[k] = held + exact.rank(rows.block(np.flatnonzero(member), columns))
        return least, most

    def _independent(self, members: BoolArray, columns: BoolArray, lead: Leading | None) -> IntArray:
        """(N,) how many independent rows each sample has among its members, as far as the certificate says."""
        if self.certificate.basis is None:
            if lead is not None and lead.basis is not None and not (lead.moved & ~columns).any():
                return members[:, lead.basis].sum(axis=1)  # on fewer columns than these
            return np.array([self._rank(np.flatnonzero(member), columns) for member in members], dtype=np.int64)
        chosen = self.certificate.basis
        if len(chosen) <= columns.sum():
            return members[:, chosen].sum(axis=1) if self._rank(chosen, columns) else np.zeros(len(members), dtype=int)
        return np.where(members[:, chosen].all(axis=1), self._rank(chosen, columns), 0)

    def _rank(self, numbers: IntArray, columns: BoolArray) -> int:
        """The rank of rows that are proved to have full rank on some columns; 0 for others."""
        key = ("independent", numbers.tobytes(), columns.tobytes())
        proved = self._once(key, lambda: self.rows.exceed(numbers, columns, 0.0))
        return min(len(numbers), int(columns.sum())) if proved else 0

    def _without(self, columns: BoolArray, members: BoolArray, zero: IntArray) -> BoolArray:
        """Columns without those coordinates that each sample's rows, which read no others, hold at zero."""
        inside = np.zeros_like(columns)
        inside[zero] = True
        supported = ~self._live(columns & ~inside)
        for member in members:
            if not columns[zero].all() or self._rank(np.flatnonzero(member & supported), inside) < len(zero):
                raise NotProvedError("coordinates that are said to be held at zero are not shown to be")
        return columns & ~inside

    def _left(self, conditions: BoolArray) -> IntArray:
        """(N,) how many more of the counted coordinates there are than conditions that read one; 0 without any."""
        if self.certificate.counted is None:
            return np.zeros(len(conditions), dtype=np.int64)
        inside = np.zeros(self.rows.n, dtype=np.bool_)
        inside[self.certificate.counted] = True
        live = self._live(inside)
        reads = self.rows.whole(live, inside)
        return np.maximum(inside.sum() - (conditions & reads).sum(axis=1), 0)

    def _moves(self, cone: Cone) -> IntArray:
        """(N,) 1 where a direction that is not 0 lies in the tangent cone: some multiple leads to a second point."""
        ways = [way for way in (self.lead, self.away) if way is not None and way.nonzero]
        inside = [_respects(way, cone) for way in ways]
        return np.asarray(np.any(inside, axis=0), dtype=np.int64) if ways else np.zeros(len(cone.equal), dtype=np.int64)

    # ---- the recession cone

    def _ends(self, cone: Cone) -> BoolArray:
        """(N,) whether the recession cone is {0}: all coordinates are bounded, or rows that vanish on it span."""
        boxed = np.asarray(cone.equal[:, self.rows.coordinates].all(axis=1))
        if boxed.all():
            return boxed
        fact = self.vanishing(self.certificate.recession.multipliers, cone)
        return np.zeros_like(boxed) if fact is None else np.asarray(_admitted(fact, cone) & fact.spans)

    def _runs(self, cone: Cone) -> BoolArray:
        """(N,) whether the recession cone holds a direction, or so few rows that they leave a line."""
        fewer = self._left(cone.equal | cone.one_sided) > 0
        if self.away is None or not self.away.nonzero:
            return fewer
        return fewer | _respects(self.away, cone)

    # ---- sides

    def _most(self, fact: Vanishing, sides: Sides) -> Fraction | float:
        """An upper bound on the sum of the sides by weight, ``0 = w* R x <= sum``; inf where a side is missing."""
        total, squares = Fraction(0), Fraction(0)
        for row, weight, sign in zip(fact.joined.tolist(), fact.weights, fact.sign[fact.joined], strict=True):
            if not (sides.equal[row] or (sign > 0 and sides.has_high[row]) or (sign < 0 and sides.has_low[row])):
                if sign == 0 and weight == 0 and fact.radius == 0:
                    continue
                return np.inf
            side = sides.exactly(row, bool(sides.equal[row] or sign > 0))
            total, squares = total + Fraction(weight) * side, squares + side * side
        if not np.isfinite(fact.radius) or not np.isfinite(fact.bounds).all():
            return np.inf
        total += Fraction(fact.radius) * exact.root_above(squares)
        for j in np.flatnonzero(fact.named[self.rows.coordinates]).tolist():
            weight, bound, row = Fraction(fact.absorbing[j]), Fraction(fact.bounds[j]), self.rows.height + j
            ends = [_at_most(weight + sign * bound, sides, row) for sign in (-1, 1)]
            if None in ends:
                return np.inf
            total += max(end for end in ends if end is not None)  # convex in the weight
        return total

    def _disagree(self, numbers: IntArray, sides: Sides) -> bool:
        """Whether equations have a higher rank modulo a prime with their sides than they read columns.

        A solution would make the sides a combination of those columns.
        """
        if not (sides.equal[numbers] & (numbers < self.rows.height)).all():
            raise NotProvedError("a row that is said to contradict others is no equation")
        B = self.rows.stack[numbers]
        return exact.ranks_beyond(B, [sides.exactly(int(i), upper=True) for i in numbers])

    # ---- what is proved already

    def vanishing(self, part: Multipliers | None, cone: Cone) -> Vanishing | None:
        """What multipliers prove of a cone."""
        if part is None or part.values is None:
            return None
        fixed = cone.equal[0, self.rows.coordinates]
        return self._once(("vanishing", key_of(part), fixed.tobytes()), lambda: vanishing(self.rows, part, fixed))

    @cached_property
    def lead(self) -> Leading | None:
        """What the direction of the tangent cone proves."""
        return self._leading(self.certificate.tangent.direction)

    @cached_property
    def away(self) -> Leading | None:
        """What that of the recession cone does."""
        return self._leading(self.certificate.recession.direction)

    def _leading(self, part: Direction | None) -> Leading | None:
        if part is None:
            return None
        relations = self.certificate.relations
        key = "leading", key_of(part), key_of(relations)
        return self._once(key, lambda: leading(self.rows, part, relations))

    def _live(self, columns: BoolArray) -> BoolArray:
        """(M - n,) the rows of the stack that are not zero on these columns."""
        every = np.arange(self.rows.height)
        return self._once(("live", columns.tobytes()), lambda: self.rows.live(every, columns))

    def _once(self, key: object, find: Callable[[], Found]) -> Found:
        known = self.rows.known
        if key not in known:
            try:
                known[key] = find()
            except NotProvedError as failure:
                known[key] = failure
        if isinstance(failure := known[key], NotProvedError):
            raise NotProvedError(str(failure))
        return known[key]  # pyright: ignore[reportReturnType] - a key is asked for by one function


def _admitted(fact: Vanishing, cone: Cone) -> BoolArray:
    """(N,) for which samples the weights have the signs that their cone asks for."""
    allowed = cone.equal | (cone.upper & (fact.sign > 0)) | (cone.lower & (fact.sign < 0))
    return np.asarray(~(fact.named & ~allowed).any(axis=1))


def _respects(lead: Leading, cone: Cone) -> BoolArray:
    """(N,) for which samples a direction lies in the cone, or a point in the set."""
    misses = (
        (cone.equal & ~lead.null) | (cone.upper & ~lead.below & ~lead.null) | (cone.lower & ~lead.above & ~lead.null)
    )
    return np.asarray(~misses.any(axis=1))


def _at_most(weight: Fraction, sides: Sides, row: int) -> Fraction | None:
    """``weight`` times the side that it is on; None where that is missing."""
    if not weight:
        return Fraction(0)
    if not (sides.has_high if weight > 0 else sides.has_low)[row]:
        return None
    return weight * sides.exactly(row, weight > 0)
