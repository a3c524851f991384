"""How many of the rows that vanish on a preimage are independent, as a certificate says it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fiberscope.network.arrays import BoolArray, IntArray
from fiberscope.preimages.blocks import chosen, exceeds
from fiberscope.preimages.certificate import Relations
from fiberscope.preimages.held_rows import Holding
from fiberscope.preimages.independent_rows import Relation, Selection, selections
from fiberscope.preimages.scalings import Units


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
    outside = ~selection.columns
    outside[selection.fixed] = False
    if (outside & ~vanishing[m : m + len(outside)]).any():
        return None
    if not _counts(units, selection, vanishing):
        return None
    zero = selection.fixed[~vanishing[m + selection.fixed]]
    return Rank(selection, closes=holding.closes, zero=zero if len(zero) else None)


def _counts(units: Units, selection: Selection, vanishing: BoolArray) -> bool:
    """Whether rows that vanish and are not selected follow from others that vanish."""
    places, _ = units.rows.split(np.flatnonzero(vanishing))
    selected = np.zeros(units.body.shape[0], dtype=np.bool_)
    selected[selection.rows] = True
    if selected[places].all():
        return True
    live = places[units.live(places, selection.columns)]
    among, following = set(live.tolist()), 0
    least, known = len(among), set(among)
    for count, (rows, _) in enumerate(reversed(selection.relations), 1):
        known.update(rows)
        following += among.issuperset(rows)
        least = min(least, len(known) - count)
    return min(least, len(among) - following) <= int(selected[live].sum())


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
    live = int(units.live(places, columns).sum())
    kept = np.ones(units.body.shape[0], dtype=np.bool_)
    for selection in selections(units, places, columns, known, kept):
        block = chosen(units.body, selection.rows, selection.columns)
        if 0 not in block.shape and not (trusted or exceeds(block, 0.0)):
            continue
        if block.shape[0] > block.shape[1]:  # more rows than columns, which they fix
            selection = replace(selection, relations=())
        is_all = len(selection.rows) == live and not len(selection.fixed)
        basis = None if is_all and not explicit else units.rows.numbered(selection.rows)
        return Rank(selection, True, basis, selection.fixed if len(selection.fixed) else None)
    return Rank(None, closes=False)


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


__all__ = ["Rank", "find_rank", "rank_of", "relations_of"]
