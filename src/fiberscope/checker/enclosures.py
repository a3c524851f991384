"""Certified sizes of preimages: bounds by multipliers (``duality``), and points that attain (``membership``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.checker import duality, membership
from fiberscope.checker.anchored import Anchored, Gaps, Question
from fiberscope.checker.duality import Bounds, single
from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    BoolArray,
    FloatArray,
    IntArray,
    NotProvedError,
    norm_above,
    relative_error,
)
from fiberscope.checker.system import System


@dataclass(frozen=True, eq=False)
class Claim:
    """What is said of k directions.

    Attributes:
        directions: (k, n).
        multipliers: two of (k, m + q), for ``-directions`` and for ``directions``: of the layer's rows and half-spaces.
        low: (k,) no point gives less.
        high: (k,) no point gives more.
        points: two of (k, n): points that give little, and much; NaN for none.
        reached_low: (k,) the first give at most that; inf for none.
        reached_high: (k,) the second give at least that; -inf for none.
        center: (n,)
        radius: no point is farther from the center.
    """

    directions: FloatArray
    multipliers: tuple[Any, Any]
    low: FloatArray
    high: FloatArray
    points: tuple[FloatArray, FloatArray]
    reached_low: FloatArray
    reached_high: FloatArray
    center: FloatArray
    radius: float


def prove(system: System, question: Question, claim: Claim, inner: Question | None = None) -> str:
    """Why a claim is not proved; empty where it is.

    Args:
        system: the layer and its domain.
        question: which inputs are meant, or more.
        claim: what is said of them.
        inner: where the question is about more than is meant, one about less, to which points belong.
    """
    try:
        with np.errstate(all="ignore"):
            known = Anchored(system, question)
            return _reason(known, claim, known if inner is None else Anchored(system, inner))
    except NotProvedError as failure:
        return str(failure)
    except Exception:  # garbage may fail anywhere
        return "the enclosure is malformed: a part of it cannot be read"


def bounds(system: System, question: Question, directions: FloatArray, multipliers: tuple[Any, Any]) -> Bounds:
    """What multipliers prove of directions.

    Raises:
        NotProvedError: the question says nothing.
    """
    with np.errstate(all="ignore"):
        return duality.bounds(Anchored(system, question), directions, multipliers)


def inside(system: System, question: Question, points: FloatArray) -> BoolArray:
    """(N,) which points (N, n) are inputs that are meant, exactly."""
    with np.errstate(all="ignore"):
        return membership.inside(Anchored(system, question), points)


def gaps(system: System, question: Question) -> Gaps:
    """Where rows lie beside the anchor."""
    with np.errstate(all="ignore"):
        return Anchored(system, question).gaps


def radius_of(bounds: Bounds, question: Question, center: FloatArray) -> float:
    """How far points of the preimage can be from a center: by the box of bounds, or by the question's reach."""
    anchor = question.anchor
    with np.errstate(all="ignore"):
        apart = center - anchor
        rounding = 2.0**-50 * (np.abs(center) + np.abs(anchor))
        farthest = np.maximum(np.abs(bounds.above - apart), np.abs(bounds.below - apart)) * ROUNDING + rounding
        by_box = norm_above(farthest) if not np.isnan(farthest).any() else np.inf
        away = norm_above(np.abs(apart) + rounding) if apart.any() else 0.0
        return float(min(by_box, (away + question.reach) * ROUNDING if away else question.reach))


def values(directions: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``c x`` for each direction and its point, (k, n) both, and bounds on what is rounded; 0 for signed units."""
    terms = directions * points
    single = ((directions != 0).sum(axis=1) <= 1) & ((directions == 0) | (np.abs(directions) == 1)).all(axis=1)
    error = relative_error(terms.shape[1]) * np.abs(terms).sum(axis=1) + 4.0 * terms.shape[1] * SMALLEST_NORMAL
    return terms.sum(axis=1), np.where(single, 0.0, error)


def _reason(known: Anchored, claim: Claim, inner: Anchored) -> str:
    """Why a claim is not proved; empty where it is."""
    k, n = claim.directions.shape
    for array, shape in (
        (claim.low, (k,)), (claim.high, (k,)), (claim.reached_low, (k,)), (claim.reached_high, (k,)),
        (claim.points[0], (k, n)), (claim.points[1], (k, n)), (claim.center, (n,)),
    ):  # fmt: skip
        if array.dtype != np.float64 or array.shape != shape:
            raise NotProvedError("bounds, points or the center have another shape, or are no float64 numbers")
    found = duality.bounds(known, claim.directions, claim.multipliers)
    low, high = ends(known.system, known.question, claim.directions, found)
    if not (claim.low <= low).all():
        return f"{_first(~(claim.low <= low))} is not bounded from below as claimed"
    if not (claim.high >= high).all():
        return f"{_first(~(claim.high >= high))} is not bounded from above as claimed"
    if not claim.radius >= radius_of(found, known.question, claim.center):
        return "the radius is not proved"
    for points, reached, sign, none in (
        (claim.points[0], claim.reached_low, -1.0, np.inf), (claim.points[1], claim.reached_high, 1.0, -np.inf)
    ):  # fmt: skip
        asked = np.flatnonzero(reached != none)
        value, error = values(claim.directions[asked], points[asked])
        attained = sign * value - error >= sign * reached[asked]
        if not attained.all():
            return f"{_first(~attained, asked)} is not reached as claimed"
        hit = membership.inside(inner, points[asked])
        if not hit.all():
            return f"the point that is to reach {_first(~hit, asked)} is none of the preimage"
    return ""


def ends(system: System, question: Question, directions: FloatArray, found: Bounds) -> tuple[FloatArray, FloatArray]:
    """(k,) what ``c x`` is at least, and at most: bounds moved from the anchor, and the domain's of coordinates."""
    with np.errstate(all="ignore"):
        value, error = values(directions, np.broadcast_to(question.anchor, directions.shape))
        low, high = (
            sign * value + side + np.where(side == 0, error, error + 2.0**-50 * (np.abs(value) + np.abs(side)))
            for sign, side in ((-1.0, found.low), (1.0, found.high))
        )
    column, unit = single(directions)
    least, most = system.box_low[column], system.box_high[column]
    least, most = np.where(unit > 0, least, -most), np.where(unit > 0, most, -least)
    known = unit != 0
    return np.where(known, np.maximum(-low, least), -low), np.where(known, np.minimum(high, most), high)


def _first(wrong: BoolArray, numbers: IntArray | None = None) -> str:
    first = int(np.argmax(wrong))
    return f"direction {first if numbers is None else int(numbers[first])}"


__all__ = ["Bounds", "Claim", "Gaps", "Question", "bounds", "ends", "gaps", "inside", "prove", "radius_of", "values"]
