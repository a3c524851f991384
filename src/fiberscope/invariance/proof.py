"""What is tried to prove that an input, or one next to it, has the same features as another.

``fiberscope.checker.same_features`` proves that they are exactly the same: of the example itself, of inputs within some
distance of it, or of a rational input next to it. Here is chosen what it is asked, in which order, and when to give up.
``fiberscope.checker.near_features`` proves that they are the same up to given numbers; there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from fiberscope.checker import near_features
from fiberscope.checker.dyadic import Work
from fiberscope.checker.enclosed import Room
from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.forward import bounds
from fiberscope.checker.linear import needed, pieces
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.same_features import Case, Claim, Finding
from fiberscope.checker.stored import Stage, read_stages
from fiberscope.errors import ModelError
from fiberscope.invariance.exact_correction import corrections
from fiberscope.invariance.gateways import sufficient_stages
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT

NEAR = (1e-9, 1e-8, 1e-11, 1e-7)
"""The distances within which an exact input is looked for, one after the other, relative to the largest change of a
pixel. What moved by more than the largest of them is another input."""

BESIDE = (1e-9, 1e-7)
"""How near to a kink or bound an example may be that lies on it but for a solver's tolerance, relative to the same."""


@dataclass(frozen=True, eq=False)
class Statement:
    """What is to be proved.

    Attributes:
        network: the network.
        stage: the number of the stage whose output must not change.
        source: (n,) x.
        example: (n,) x'.
        domain: what both, and the segment, lie in.
        kept: (n,) the pixels that must not change.
        segment: whether the segment between them shall have the same features, too, or the example alone.
    """

    network: Network
    stage: int
    source: Float64[FloatArray, " n"]
    example: Float64[FloatArray, " n"]
    domain: Polyhedron
    kept: BoolArray
    segment: bool = True


class Proof(NamedTuple):
    """Whether the proof closed.

    Attributes:
        proved: whether it did.
        reason: why not.
        distance: within this distance of the example lies an input with exactly the same features; 0 if the example
            itself is one.
        method: the arithmetic: float64 with bounds on rounding, or exact.
    """

    proved: bool
    reason: str
    distance: float
    method: Literal["float", "exact"]


def prove(statement: Statement) -> Proof:
    """Try to prove a statement: of the example itself, or else of an input next to it."""
    scale = float(np.abs(statement.example - statement.source).max(initial=0.0))
    domain = _domain(statement.domain, statement.kept)
    claim = Claim(
        statement.stage, statement.source, statement.example, domain, max(NEAR) * scale, statement.segment
    )  # fmt: skip
    try:
        network = read_stages(statement.network.to_bytes())
        case = Case(network, claim)
    except (ModelError, NotProvedError) as failure:
        return Proof(False, str(failure), 0.0, "exact")
    try:
        return Proof(True, "", *case.prove(Finding(claim.stage)))
    except NotProvedError as failure:
        itself = str(failure)
    out_of_reach = _out_of_reach(network, claim) | _beyond_what_moves(case)
    if claim.stage in out_of_reach:
        reason = f"{itself}; no input within {claim.within:.2g} of it has the features of the source"
        return Proof(False, reason, 0.0, "exact")
    stages = [stage for stage in sufficient_stages(statement.network, claim.stage) if stage not in out_of_reach]
    reasons = [itself]
    for finding in _beside(case, stages, scale):
        try:
            return Proof(True, "", *case.prove(finding))
        except NotProvedError as failure:
            reasons.append(str(failure))
    return Proof(False, "; of inputs next to it: ".join(dict.fromkeys(reasons[:2])), 0.0, "exact")


@dataclass(frozen=True, eq=False)
class NearStatement:
    """What is to be proved of features that are the same up to given numbers.

    Attributes:
        network: the network.
        stage: the number of the stage whose output must not change by more.
        corners: (k, n) x, the corners of the way to x', and x'.
        domain: what all of them, and the way, lie in.
        kept: (n,) the pixels that must not change.
        within: (m,) by how much every feature may differ.
        way: whether it is said of the segments between the corners, too.
    """

    network: Network
    stage: int
    corners: Float64[FloatArray, "k n"]
    domain: Polyhedron
    kept: BoolArray
    within: Float64[FloatArray, " m"]
    way: bool

    def case(self) -> near_features.Case:
        """The statement as the checker reads it.

        Raises:
            NotProvedError: it is about no inputs of the network, or they lie elsewhere.
        """
        network, domain = read_stages(self.network.to_bytes()), _domain(self.domain, self.kept)
        return near_features.Case(
            network, near_features.Claim(self.stage, self.corners, domain, self.within, self.way)
        )  # fmt: skip


def prove_within(statement: NearStatement) -> Proof:
    """Prove that features are the same up to given numbers."""
    try:
        return Proof(True, "", 0.0, statement.case().prove())
    except (ModelError, NotProvedError) as failure:
        return Proof(False, str(failure), 0.0, "exact")


def proved_difference(statement: NearStatement) -> float:
    """By how much features differ at most, whatever is said; inf where it is not known."""
    try:
        case = statement.case()
        return float(case.exactly().max(initial=0.0))
    except (ModelError, NotProvedError):
        return np.inf


def _domain(polyhedron: Polyhedron, kept: BoolArray) -> Domain:
    return Domain(polyhedron.low, polyhedron.high, polyhedron.G, polyhedron.h, kept)


def _beside(case: Case, stages: list[int], scale: float) -> Iterator[Finding]:
    """Where to look for an input: near the example, and where the equations are solved in rational numbers."""
    for stage in stages:
        yield from (Finding(stage, near * scale) for near in NEAR)
    work = Work()
    for near in BESIDE:
        yield from corrections(case, near * scale, work)


def _out_of_reach(network: tuple[int, tuple[Stage, ...]], claim: Claim) -> set[int]:
    """The stages at which no input as near as is claimed gives what the source does, by bounds on what they give."""
    at_source = bounds(network, claim.source, claim.source, claim.stage)
    nearby = bounds(network, claim.example - claim.within, claim.example + claim.within, claim.stage)
    pairs = ((number, *at_source[number], *nearby[number]) for number in nearby)
    return {number for number, low, high, least, most in pairs if ((least > high) | (most < low)).any()}


def _beyond_what_moves(case: Case) -> set[int]:
    """The same by how much what stages give can change, against how much it differs: for differences below rounding."""
    claim, found, room = (
        case.claim,
        set[int](),
        {INPUT: Room(np.full(len(case.claim.example), case.claim.within), np.inf)},
    )
    for number in needed(case.stages, claim.stage):
        stage = case.stages[number]
        activation, before = stage.activation, [room[source] for source in stage.sources]
        if activation is None:
            maps = zip(case.of_example.linear[number], before, strict=True)
            room[number] = reduce(Room.__add__, [a.forward(r, Room.through, Room.__add__) for a, r in maps])
        elif activation.index is not None:  # a maximum moves by no more than its arguments
            room[number] = Room(
                np.where(activation.index < 0, 0.0, before[0].each[activation.index]).max(axis=1), np.inf
            )
        elif pieces(activation) is None:
            break
        else:
            steepest = 1.0 if activation.slope is None else np.maximum(np.abs(activation.slope), 1.0)
            room[number] = Room(np.nextafter(before[0].each * steepest, np.inf), np.inf)
        try:
            values = case.of_example.at(number)
        except NotProvedError:
            break
        if ((values[:, 0] - values[:, 1]).sizes()[0] > room[number].each).any():
            found.add(number)
    return found


__all__ = ["NearStatement", "Proof", "Statement", "prove", "prove_within", "proved_difference"]
