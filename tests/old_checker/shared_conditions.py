"""What verdicts about one layer and one domain need, part by part of their certificates.

The argument is that of ``float_checker``: where rows B have ``sigma_min(B) > level``, an exact solution lies within
``residual / level``, and whatever holds with more room than that holds for it. Here every sample that names a part asks
for the same B, so that what is left to prove is the independence of a few sets of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Int64

from fiberscope.network.arrays import BoolArray, IntArray
from fiberscope.preimage.candidate import BoundedDomain
from fiberscope.preimage.kind import Kind
from old_checker.asking import NotProvedError, PlainCertificate, PlainPart
from old_checker.pattern import BLOCK, PackedPatterns
from old_checker.rounding import needed_singular_value
from old_checker.row_table import RowTable
from old_checker.shared_independence import PackedSets, packed, prove_independent, prove_spanning
from old_checker.shared_parts import (
    GroupedMultipliers,
    HeldDirection,
    Slopes,
    measured_directions,
    measured_multipliers,
    read_shared_direction,
    read_shared_multipliers,
)

INDEPENDENT = 2.0**-15
"""Level for at most n rows of norms near one: the Gram matrix of some hundred shows little less, and directions with a
millionth of room need no more."""

SPANNING = 2.0**-10
"""Level for n rows or more that multipliers join: these have more room, and larger residuals."""

Part = TypeVar("Part")


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What is claimed of N samples.

    Attributes:
        kinds: (N,) the kinds.
        dimensions: (N,) the dimensions, which fit the kinds.
        certificates: (N,) certificates of these kinds and dimensions; many samples may share one, or parts of one.
    """

    kinds: Sequence[Kind]
    dimensions: IntArray
    certificates: Sequence[PlainCertificate]

    def using(self, part_of: Callable[[Kind, PlainCertificate], PlainPart | None]) -> list[tuple[PlainPart, IntArray]]:
        """The different objects that ``part_of`` gives, and the samples that use each; None is left out."""
        users: dict[int, tuple[PlainPart, list[int]]] = {}
        for k, (kind, certificate) in enumerate(zip(self.kinds, self.certificates, strict=True)):
            part = part_of(kind, certificate)
            if part is not None:
                users.setdefault(id(part), (part, []))[1].append(k)
        return [(part, np.array(samples)) for part, samples in users.values()]


@dataclass(frozen=True, eq=False)
class _Ledger:
    """What is known of N verdicts, and the sets of rows that they still depend on.

    Attributes:
        holds: (N,) whether everything else is shown; changed as the proof goes on.
        independent: samples, and a packed set of at most n rows that must be independent for them.
        spanning: samples, and rows that must span the space with room for multipliers.
        ranks: samples, and rows that must span the space.
    """

    holds: BoolArray
    independent: list[tuple[IntArray, PackedSets]]
    spanning: list[tuple[IntArray, PackedSets]]
    ranks: list[tuple[IntArray, PackedSets]]

    def settled(self, table: RowTable, executor: Executor) -> Bool[BoolArray, " N"]:
        """Prove the sets; (N,) which verdicts are proved."""
        for sets, proof, level in (
            (self.independent, prove_independent, INDEPENDENT),
            (self.spanning, prove_spanning, SPANNING),
            (self.ranks, prove_spanning, 0.0),
        ):
            needed = [(samples[self.holds[samples]], rows) for samples, rows in sets]
            needed = [(samples, rows) for samples, rows in needed if len(samples)]
            if needed:
                proved = proof(table, np.stack([rows for _, rows in needed]), level, executor)
                for (samples, _), closes in zip(needed, proved, strict=True):
                    self.holds[samples] &= closes
        return self.holds


def prove_verdicts(
    table: RowTable, patterns: PackedPatterns, verdicts: Verdicts, is_box_bounded: bool, executor: Executor
) -> Bool[BoolArray, " N"]:
    """Which verdicts are proved, (N,); for the others the proof has to be looked for alone."""
    ledger = _Ledger(patterns.inside.copy(), [], [], [])
    _keep_what_is_handled(ledger.holds, verdicts, is_box_bounded)
    strict = _dimensions(ledger, table, patterns, verdicts)
    _directions(ledger, table, patterns, verdicts, strict)
    _multipliers(ledger, table, patterns, verdicts)
    return ledger.settled(table, executor)


def _keep_what_is_handled(holds: Bool[BoolArray, " N"], verdicts: Verdicts, is_box_bounded: bool) -> None:
    """Refuse kinds that need other parts, and parts that no condition below reads."""
    for k, (kind, certificate) in enumerate(zip(verdicts.kinds, verdicts.certificates, strict=True)):
        match kind:
            case Kind.SINGLETON:
                pass
            case Kind.BOUNDED if _is_domain(certificate):
                holds[k] &= is_box_bounded and certificate.implicit is None
            case Kind.BOUNDED | Kind.UNBOUNDED:
                holds[k] &= certificate.recession is not None and certificate.implicit is None
            case _:
                holds[k] = False


def _is_domain(certificate: PlainCertificate) -> bool:
    return certificate.recession is not None and certificate.recession.sort is BoundedDomain


def _dimensions(
    ledger: _Ledger, table: RowTable, patterns: PackedPatterns, verdicts: Verdicts
) -> Bool[BoolArray, " N"]:
    """Compare the dimensions with the ranks of P, but where implicit equalities show a singleton.

    Return which samples need a direction that is strict on tight rows.
    """
    needs_interior = np.zeros(len(verdicts.kinds), dtype=np.bool_)
    for block in patterns.blocks():
        positive = table.groups_of(patterns.positive(block))
        bits = packed(positive)  # as many sets as samples are kept
        tight = np.asarray((patterns.tight(block) & table.nonzero).any(axis=1))
        for j, k in enumerate(int(number) for number in block):
            kind, samples = verdicts.kinds[k], block[j : j + 1]
            if kind == Kind.SINGLETON:
                if verdicts.certificates[k].implicit is None:
                    ledger.ranks.append((samples, bits[j]))
                continue
            ledger.holds[k] &= table.n - np.count_nonzero(positive[j]) == verdicts.dimensions[k]
            needs_interior[k] = tight[j]
            if kind == Kind.BOUNDED and not tight[j]:  # else the rows of a direction hold P, and are independent
                ledger.independent.append((samples, bits[j]))
    return needs_interior


def _directions(
    ledger: _Ledger, table: RowTable, patterns: PackedPatterns, verdicts: Verdicts, strict: Bool[BoolArray, " N"]
) -> None:
    rays = verdicts.using(lambda kind, c: c.recession if kind == Kind.UNBOUNDED else None)
    interiors = verdicts.using(lambda kind, c: c.interior if kind != Kind.SINGLETON else None)
    ledger.holds[strict] &= np.array([c.interior is not None for c in verdicts.certificates])[strict]
    users = {id(part): (samples, np.zeros(0, dtype=np.int64)) for part, samples in rays}
    for part, samples in interiors:
        users[id(part)] = (users.get(id(part), (samples[:0],))[0], samples[strict[samples]])
    parts = {id(part): part for part, _ in (*rays, *interiors) if len(np.concatenate(users[id(part)]))}
    read, numbers = _read_all(ledger, table, parts, users, read_shared_direction)
    for k, slopes in measured_directions(table, read):
        for samples, is_strict in zip(users[numbers[k]], (False, True), strict=True):
            for block in _blocks(samples):
                ledger.holds[block] &= _direction_serves(table, patterns, read[k], slopes, block, is_strict)
        samples = np.concatenate(users[numbers[k]])
        ledger.independent.append((samples, packed(table.groups_of(read[k].held[None]))[0]))


def _read_all(
    ledger: _Ledger,
    table: RowTable,
    parts: dict[int, PlainPart],
    users: dict[int, tuple[IntArray, IntArray]],
    read: Callable[[PlainPart, RowTable], Part],
) -> tuple[list[Part], list[int]]:
    """The parts that can be read, and which these are; users of the others are left unproved."""
    good: list[Part] = []
    numbers: list[int] = []
    for number, part in parts.items():
        try:
            good.append(read(part, table))
            numbers.append(number)
        except NotProvedError:
            ledger.holds[np.concatenate(users[number])] = False
    return good, numbers


def _blocks(samples: Int64[IntArray, " u"]) -> list[Int64[IntArray, " _"]]:
    """The users of one part, which may be all samples, in blocks that can be unpacked at once."""
    return [samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK)]


def _direction_serves(
    table: RowTable,
    patterns: PackedPatterns,
    direction: HeldDirection,
    slopes: Slopes,
    samples: Int64[IntArray, " u"],
    is_strict: bool,
) -> Bool[BoolArray, " u"]:
    """For which samples a direction near this one is zero on P and falls on the rows that it must fall on.

    These are the tight rows where it leads inside, and all that do not hold it where it leads to infinity.
    """
    if not is_strict:
        room = np.full(len(samples), slopes.room[~direction.held].min(initial=np.inf))
    else:
        room = np.where(direction.held, -np.inf, slopes.room)
        room = np.where(patterns.tight(samples) & table.nonzero, room, np.inf).min(axis=1)
    enough = np.array([_needed(slopes, float(r)) <= INDEPENDENT for r in room], dtype=np.bool_)
    return enough & ~(patterns.positive(samples) & ~direction.held).any(axis=1)


def _needed(slopes: Slopes, room: float) -> float:
    if not (slopes.length > 0 and room > 0):
        return np.inf
    return needed_singular_value(slopes.residual, min(room, slopes.length))


def _multipliers(ledger: _Ledger, table: RowTable, patterns: PackedPatterns, verdicts: Verdicts) -> None:
    recessions = verdicts.using(lambda kind, c: c.recession if kind == Kind.BOUNDED and not _is_domain(c) else None)
    implicit = verdicts.using(lambda kind, c: c.implicit if kind == Kind.SINGLETON else None)
    none = np.zeros(0, dtype=np.int64)
    users = {id(part): (samples, none) for part, samples in recessions}
    for part, samples in implicit:
        users[id(part)] = (users.get(id(part), (none,))[0], samples)
    parts = {id(part): part for part, _ in (*recessions, *implicit)}
    read, numbers = _read_all(ledger, table, parts, users, read_shared_multipliers)
    for k, residual in measured_multipliers(table, read):
        for samples, tight_only in zip(users[numbers[k]], (False, True), strict=True):
            for block in _blocks(samples):
                ledger.holds[block] &= _multipliers_serve(patterns, read[k], residual, block, tight_only)
        groups = np.zeros((1, len(table.rows)), dtype=np.bool_)
        groups[0, read[k].groups] = True
        ledger.spanning.append((np.concatenate(users[numbers[k]]), packed(groups)[0]))


def _multipliers_serve(
    patterns: PackedPatterns,
    multipliers: GroupedMultipliers,
    residual: float,
    samples: Int64[IntArray, " u"],
    tight_only: bool,
) -> Bool[BoolArray, " u"]:
    """For which samples weights near these are positive on inequality rows; of a singleton, on tight ones only."""
    positive = patterns.positive(samples)
    fits = ~(multipliers.signed & ~positive).any(axis=1)
    if tight_only:
        fits &= ~(multipliers.named & ~(positive | patterns.tight(samples))).any(axis=1)
    smallest = multipliers.smallest(positive)
    return fits & np.array([needed_singular_value(residual, float(s)) <= SPANNING for s in smallest], dtype=np.bool_)
