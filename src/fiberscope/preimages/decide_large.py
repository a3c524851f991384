"""Deciding the preimage of an output of a large convolutional layer, whose rows are never written out.

The recession cone is settled by the domain, by counting, by coordinates that nothing reads, by the projection of the
ones, or by a ray within a window or on the whole grid; the cone at x by counting, or by such a direction. Ranks of all
rows of such a layer are out of reach, so that kinds come with bounds on the dimension.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fiberscope.errors import MemoryLimitError
from fiberscope.network.arrays import IntArray
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import Polyhedron
from fiberscope.preimages.budget import Budget, TooLargeError
from fiberscope.preimages.candidate import Direction as Moving
from fiberscope.preimages.certificate import Certificate, Direction, Face, Multipliers
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.large_cones import LargeCones, Sides
from fiberscope.preimages.large_counting import counted
from fiberscope.preimages.large_directions import direction_of
from fiberscope.preimages.large_independence import independences
from fiberscope.preimages.large_projection import project_large
from fiberscope.preimages.large_windows import FEW, MOST, moved
from fiberscope.preimages.verdict import Verdict
from fiberscope.preimages.verify import verify_in_float


@dataclass(frozen=True, eq=False)
class _Away:
    """What is known of the recession cone.

    Attributes:
        kind: bounded or unbounded; None where it is not settled.
        face: what shows it; None where the domain, or counting, does.
        counted: coordinates that fewer rows read.
        spanned: whether rows with both sides have the rank of all inputs, of a convolution.
        reason: why it is not settled.
        margin: of the verdict.
    """

    kind: Kind | None
    face: Face | None = None
    counted: IntArray | None = None
    spanned: bool = False
    reason: str = ""
    margin: float = 0.0


def decide_large(question: Verdict, domain: Polyhedron, budget: Budget) -> Verdict:
    """Decide an open question about an input.

    Raises:
        InputError: the input lies outside the domain.
    """
    assert question.x is not None, "large layers are asked about inputs"
    try:
        with np.errstate(all="ignore"):
            within = np.broadcast_to(np.asarray(question.within, dtype=np.float64), (2, question.layer.outputs))
            cones = LargeCones.of(question.layer, domain, question.x, within)
            away = _Away(None)
            for away in _at_infinity(cones, budget):
                for answer in _answers(question, cones, away, budget):
                    budget.check("a certificate was proved")
                    check = verify_in_float(answer)
                    if check:
                        return answer
                    away = replace(away, reason=f"a certificate was not proved: {check.reason}")
    except (TooLargeError, MemoryLimitError) as limit:
        return replace(question, reason=str(limit))
    return replace(question, reason=away.reason or _second_point_missing(away.kind, cones))


def _answers(question: Verdict, cones: LargeCones, away: _Away, budget: Budget) -> Iterator[Verdict]:
    if away.kind is None:
        return
    if away.spanned and np.array_equal(cones.equal, cones.far):
        single = Certificate(Kind.SINGLETON, 0)
        yield replace(question, kind=Kind.SINGLETON, dimension=0, margin=away.margin, certificate=single)
        return
    coordinates, least = (away.counted, 1) if away.counted is not None else counted(cones, Sides.tangent(cones))
    if least:
        yield _answer(question, cones, away, max(least, 1), coordinates, None)
    if away.face is not None and away.face.direction is not None:  # what leads to infinity leads to a second point
        yield _answer(question, cones, away, 1, None, None)
    for way in _ways(cones, Sides.tangent(cones), budget, last=True):
        yield _answer(question, cones, away, 1, None, way)


def _ways(cones: LargeCones, sides: Sides, budget: Budget, *, last: bool = False) -> Iterator[Direction]:
    """Directions of a cone, with what shows that there are such: within a window, and on the whole grid.

    Where products take milliseconds, the grid comes before windows whose factorizations take seconds.

    Raises:
        TooLargeError: nothing else is left to be tried, and the proof would take too long.
    """
    easy = cones.is_easy
    found = moved(cones, sides, budget, FEW if easy else MOST)
    if found is not None:
        yield _held(*found)
    moving = ~sides.fixed
    live = sides.equal & cones.reads(sides.equal, moving)
    d = direction_of(cones, sides, live, budget)
    refused: TooLargeError | None = None
    if d is not None:
        numbers = np.concatenate([np.flatnonzero(live), cones.layer.outputs + np.flatnonzero(~moving)])
        for way in independences(cones, live, moving):
            try:
                budget.check_exact(way.seconds, "proving a direction on the whole grid")
            except TooLargeError as limit:
                refused = limit
                continue
            yield Direction(numbers, d, way.sigma, independence=way.independence)
    found = moved(cones, sides, budget) if easy else None
    if found is not None:
        yield _held(*found)
    if last and refused is not None:
        raise refused


def _at_infinity(cones: LargeCones, budget: Budget) -> Iterator[_Away]:
    """What settles the recession cone; the first that is proved counts."""
    boxed, outward, sides = cones.boxed, cones.outward, Sides.recession(cones)
    if _may_span(cones):
        equations = np.flatnonzero(cones.far)
        yield _Away(Kind.BOUNDED, Face(Multipliers(equations, np.zeros(len(equations)))), spanned=True)
    defined, others = cones.defined, ~boxed
    others[defined] = False
    if not others.any():  # what is defined by coordinates that cannot run on cannot run on either
        numbers = np.flatnonzero(~boxed[defined])
        yield _Away(
            Kind.BOUNDED, Face(Multipliers(numbers, np.zeros(len(numbers)))) if len(numbers) else None, margin=1.0
        )
        return
    unread = np.flatnonzero(~cones.is_read(cones.far | (sides.upper != 0)) & ~boxed)
    if len(unread):
        yield _Away(Kind.UNBOUNDED, Face(direction=_along(cones, int(unread[0]))), margin=1.0)
        return
    if (outward[~boxed] == 0).any():
        yield from _on_all_inputs(cones, sides, budget)
        return
    ways = _ways(cones, sides, budget)  # none is looked for where the counts of rows speak against it
    if not cones.is_easy:
        yield from (_Away(Kind.UNBOUNDED, Face(direction=way)) for way in ways)
    ended = project_large(cones, budget)
    if ended.weights is not None:
        live = np.flatnonzero(ended.weights)
        numbers = np.concatenate([live, cones.layer.outputs + np.flatnonzero(outward)])
        weights = np.concatenate([ended.weights[live], np.zeros(int((outward != 0).sum()))])
        largest = max(1.0, float(np.abs(ended.weights).max()))
        yield _Away(Kind.BOUNDED, Face(Multipliers(numbers, weights)), margin=min(1.0, ended.least / largest))
        return
    found = moved(cones, sides, budget, FEW if cones.is_easy else MOST, near=ended.left)
    if found is not None:
        yield _Away(Kind.UNBOUNDED, Face(direction=_held(*found)))
    yield from (_Away(Kind.UNBOUNDED, Face(direction=way)) for way in ways)
    yield _Away(
        None,
        reason=f"whether the preimage is bounded is not settled: after {ended.steps} steps of projecting the ones "
        f"{float((ended.left > 0).mean()):.1%} of the coordinates are left, and no ray was found and proved",
    )


def _on_all_inputs(cones: LargeCones, sides: Sides, budget: Budget) -> Iterator[_Away]:
    """The recession cone where some coordinates have no bound."""
    line, left = counted(cones, sides)
    if left:
        yield _Away(Kind.UNBOUNDED, counted=line)
        return
    for way in _ways(cones, sides, budget):
        yield _Away(Kind.UNBOUNDED, Face(direction=way))
    yield _Away(None, reason=_rank_missing(cones.layer.inputs, int(cones.far.sum())))


def _may_span(cones: LargeCones) -> bool:
    """Whether the rows with both sides may have the rank of all inputs, and the checker can prove it: in strips."""
    o = cones.operator
    plain = isinstance(o, Convolution) and len(o.kernel) == 2 and o.groups == 1
    return plain and int(cones.far.sum()) >= cones.layer.inputs


def _rank_missing(inputs: int, equations: int) -> str:
    fewer = "fewer" if equations < inputs else "no fewer"
    return (
        f"on inputs without bounds it hangs on the rank of {equations} rows, {fewer} than the {inputs} inputs, and "
        "that is out of reach; give the domain in which inputs lie, or ask about a window="
    )


def _second_point_missing(kind: Kind | None, cones: LargeCones) -> str:
    rows, moving = int(cones.equal.sum()), int((~cones.pinned).sum())
    return (
        f"the preimage is {kind}, or a single point: {rows} rows hold {moving} coordinates, of which "
        f"{int((cones.inward != 0).sum())} are at a bound; counting shows no second point, neither in a window of the "
        "grid nor on all of it was one found and proved, and that there is none takes a rank that is out of reach"
        f"{_thin(cones.operator)}; ask about a window="
    )


def _thin(operator: Any) -> str:
    """What makes a rank hard, where a convolution of single places is the rounded product of two thin ones."""
    if not isinstance(operator, Convolution) or set(operator.kernel) != {1} or operator.groups > 1:
        return ""
    filters = operator.weight.numpy().reshape(operator.weight.shape[:2])
    rank = int(np.linalg.matrix_rank(filters))
    if rank == min(filters.shape):
        return ""
    return (
        f": at each place {filters.shape[0]} units read {filters.shape[1]} numbers with rank {rank} up to rounding, as "
        "the product of two convolutions does, so that it hangs on the last digits of the weights"
    )


def _along(cones: LargeCones, j: int) -> Direction:
    """The direction of one coordinate, which no row with a side reads."""
    values, others = np.zeros(cones.layer.inputs), np.ones(cones.layer.inputs, dtype=np.bool_)
    values[j], others[j] = cones.outward[j] or 1.0, False
    return Direction(cones.layer.outputs + np.flatnonzero(others), values)


def _held(moving: Moving, sigma: float) -> Direction:
    assert isinstance(moving.values, np.ndarray), "directions of windows are floats"
    return Direction(moving.equalities, moving.values, sigma)


def _answer(
    question: Verdict,
    cones: LargeCones,
    away: _Away,
    least: int,
    coordinates: IntArray | None,
    inside: Direction | None,
) -> Verdict:
    assert away.kind is not None, "a verdict has a kind"
    definitions = cones.layer.definitions
    most = cones.layer.inputs - definitions - int(cones.pinned.sum())
    certificate = Certificate(
        away.kind,
        None,
        tangent=None if inside is None else Face(direction=inside),
        recession=away.face,
        basis=np.arange(definitions),
        counted=coordinates,
    )
    reason = f"the dimension is too large a rank to prove: it lies in {least} to {most}"
    return replace(
        question, kind=away.kind, dimension=None, dimension_bounds=(least, most), margin=away.margin,
        certificate=certificate, reason=reason,
    )  # fmt: skip


__all__ = ["decide_large"]
