"""A proof that an input, or one next to it, has exactly the features of another input, in exact real arithmetic.

Let x be the source, x' a point, and a finding a radius rho around it, which may be 0. Stage by stage, x and x' are
evaluated exactly. Every unit on the way is *certain*: it stays on one linear piece within rho of x'; or it is *fixed*
at a number t that is on an end of its piece, or where it is at x'. With certain units as lines and fixed ones as the
constants that they give at t, the network becomes an affine map M. The equations ask of x* that M gives t at the fixed
units, and the features of x: ``J (x* - x') = r``, with r known exactly. A solution within rho of x' has the features
of x in the network itself: stage after stage, M and the network are the same there.

Without anything to correct, r = 0, x' itself is one. Otherwise let s be the smallest singular value of J on the pixels
that may move by rho: a solution lies within ``|r| / s`` of x', and if that is at most rho, it is proved.

For the segment between x and x*, every piece, and every end, must be one of a piece that x is on as well. Then each
unit is on one piece at both ends: all that the network computes is affine along the segment, and what is affine and
the same at both ends is constant. Where every way to the features passes an earlier stage, it is enough that this one
gives the same.

What is tried, that is, which points and radii, comes from outside; so does the claim. Nothing else does: the network
is read from its stored form.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np

from fiberscope.checker.affine import dense
from fiberscope.checker.dyadic import Evaluation, Whole, Work, aligned
from fiberscope.checker.enclosed import Room
from fiberscope.checker.exact import root_above
from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.linear import Linear, leads_through, needed
from fiberscope.checker.linearization import Equation, Linearization
from fiberscope.checker.matrices import (
    ROUNDING,
    FloatArray,
    IntArray,
    NotProvedError,
    flushes_subnormal_numbers,
    norm_above,
    row_norms_above,
    row_sizes,
    singular_values_exceed,
)
from fiberscope.checker.stored import Array, Stage


@dataclass(frozen=True, eq=False)
class Claim:
    """Within some distance of the example there is an input with exactly the features of the source.

    Attributes:
        stage: the number of the stage that gives the features.
        source: (n,) x.
        example: (n,) the example.
        domain: where both, the input, and the segment lie.
        within: the distance.
        segment: whether the segment to the source shall have the same features, too.
    """

    stage: int
    source: FloatArray
    example: FloatArray
    domain: Domain
    within: float
    segment: bool = True


@dataclass(frozen=True, eq=False)
class Finding:
    """Where such an input may lie.

    Attributes:
        through: the stage that every way to the features passes and that gives the same at both, or that of the
            features.
        radius: how far it may be from the point.
        point: whole numbers, and what they are divided by; None for the example itself.
    """

    through: int
    radius: float = 0.0
    point: tuple[list[int], int] | None = None


class Proof(NamedTuple):
    """What was proved.

    Attributes:
        distance: within this distance of the example lies an input with exactly the same features; 0 if the example
            itself is one.
        method: the arithmetic: exact, or float64 with bounds on rounding.
    """

    distance: float
    method: Literal["float", "exact"]


class Case:
    """One claim about a network.

    Args:
        network: the number of inputs and the stages, as ``fiberscope.checker.stored`` reads them.
        claim: the claim.

    Attributes:
        of_example: the network at the source and at the example.

    Raises:
        NotProvedError: it is about no inputs of the network.
    """

    def __init__(self, network: tuple[int, tuple[Stage, ...]], claim: Claim) -> None:
        if flushes_subnormal_numbers():
            raise NotProvedError("this thread flushes subnormal numbers to zero, so no error bound holds")
        (n, self.stages), self.claim = network, claim
        if any(point.shape != (n,) or not np.isfinite(point).all() for point in (claim.source, claim.example)):
            raise NotProvedError("the source or the example lies outside of the domain: it is no input of the network")
        if not 0 <= claim.stage < len(self.stages):
            raise NotProvedError("the network has no such stage")
        self._linear = {k: tuple(map(Linear.of, self.stages[k].maps)) for k in needed(self.stages, claim.stage)}
        self._work = Work()
        self.of_example = self.evaluation(Whole.of(claim.example[:, None]), 1)
        claim.domain.check(self.of_example.points, 1, self._work)

    def prove(self, finding: Finding) -> Proof:
        """Prove the claim from a finding; NotProvedError where that does not close."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows exceeds no bound
            return self._proved(finding)

    def _proved(self, finding: Finding) -> Proof:
        self._work.multiplications = self._work.numbers = 0
        claim, evaluation, distance = self.claim, self.of_example, self._distance(finding)
        if finding.point is not None:
            numbers, denominator = finding.point
            evaluation = self.evaluation(_column(numbers), denominator)
            claim.domain.check(evaluation.points, denominator, self._work)
        if finding.point is None and (claim.source == claim.example).all():
            return Proof(0.0, "exact")
        if not leads_through(self.stages, claim.stage, finding.through):
            raise NotProvedError("the features do not follow from that stage alone")
        free = self._free(finding.radius)
        reach = Room(finding.radius * free, finding.radius)
        linearization = Linearization(evaluation, finding.through, reach, claim.segment)
        equations = linearization.equations()
        if not any(equation.is_open for equation in equations):
            return Proof(distance - finding.radius, "exact")  # the point itself
        if not finding.radius:
            raise NotProvedError(_what_differs(equations, evaluation.denominator))
        self._check_half_spaces(evaluation, free, finding.radius)
        _check_equations(linearization, equations, free, finding.radius)
        return Proof(distance, "float")

    # ---- points

    def evaluation(self, point: Whole, denominator: int = 1) -> Evaluation:
        """The network at the source, and at a point that is given as D times its numbers, (n, 1)."""
        left, right, exponent = aligned(Whole.of(self.claim.source[:, None]).times(denominator), point)
        both = Whole(np.concatenate([left, right], axis=1), exponent)
        return Evaluation(self.stages, self._linear, both, denominator, self._work)

    def _distance(self, finding: Finding) -> float:
        """How far an input may be from the example: the radius, or the distance of a rational point, and no radius."""
        distance = finding.radius
        if finding.point is not None:
            numbers, denominator = finding.point
            if denominator < 1 or len(numbers) != len(self.claim.example) or finding.radius:
                raise NotProvedError("the point is none, or is no fraction with nothing around it")
            change = _column(numbers) - Whole.of(self.claim.example[:, None]).times(denominator)
            square = sum(number * number for number in change.numbers[:, 0].tolist())
            root = root_above(square * Fraction(4) ** change.exponent / denominator**2)
            distance = float(np.nextafter(float(root), np.inf)) if square else 0.0
        if not 0.0 <= distance <= max(self.claim.within, 0.0):
            raise NotProvedError(f"it is {distance:.2g} from the example, more than {self.claim.within:.2g}")
        return distance

    # ---- the domain

    def _free(self, radius: float) -> Array:
        """The pixels that may move by the radius: a difference above 2 r in float64 is above r."""
        domain, x = self.claim.domain, self.claim.example
        return ~domain.kept & (x - domain.low > 2.0 * radius) & (domain.high - x > 2.0 * radius)

    def _check_half_spaces(self, evaluation: Evaluation, free: Array, radius: float) -> None:
        domain = self.claim.domain
        if len(domain.h):
            # moving free pixels by the radius changes g x by at most |g_free| times as much
            reached = row_norms_above(dense(domain.G)[:, free]) * radius * ROUNDING
            slack = domain.slack(evaluation.points[:, 1:], evaluation.denominator, self._work)
            if not (slack[:, 0].sizes()[0] >= reached).all():
                raise NotProvedError("a half-space of the domain leaves no room for the correction")


def _column(numbers: list[int]) -> Whole:
    column = np.empty((len(numbers), 1), dtype=object)
    column[:, 0] = numbers
    return Whole(column, 0)


def _what_differs(equations: list[Equation], denominator: int) -> str:
    """What is to be corrected, and nothing may be."""
    wrong = [equation for equation in equations if equation.is_open]
    if not all(equation.of_features for equation in wrong):
        return "a unit leaves its linear piece on the way"
    count = sum(int((equation.missing.numbers != 0).sum()) for equation in wrong)
    numbers: list[list[int]] = [equation.missing.numbers.tolist() for equation in wrong]
    units = [Fraction(2) ** equation.missing.exponent for equation in wrong]
    largest = max(max(map(abs, each)) * unit for each, unit in zip(numbers, units, strict=True))
    size = np.nextafter(float(largest / denominator), 0.0)
    said = f"up to {size:.2g}" if size else "less than float64 can hold"
    return f"in exact arithmetic {count} {'feature differs' if count == 1 else 'features differ'}, by {said}"


# ---- the equations


def _check_equations(linearization: Linearization, equations: list[Equation], free: Array, radius: float) -> None:
    """Prove that a correction of the free pixels by at most the radius solves all equations."""
    parts = [linearization.rows(equation) for equation in equations]
    rows = np.concatenate([part.value[:, free] for part in parts])
    error = np.concatenate([part.error[:, free] for part in parts])
    missing = _joined([equation.missing for equation in equations])
    # where no free pixel counts and nothing is missing, nothing is asked; of exact copies, one stands for all
    live = np.flatnonzero((rows != 0).any(axis=1) | (error > 0).any(axis=1) | (missing.numbers != 0))
    live = live[_without_copies(rows[live], error[live], missing[live])]
    rows, error, (_, size) = rows[live], error[live], missing[live].sizes()
    if rows.shape[0] > rows.shape[1]:
        raise NotProvedError(
            f"the {rows.shape[0]} equations for {rows.shape[1]} pixels that may move depend on each other, which "
            "bounds on rounding cannot settle"
        )
    exponents = _exponents(rows)
    rows, error = np.ldexp(rows, -exponents[:, None]), np.ldexp(error, -exponents[:, None])
    total = norm_above(np.ldexp(size, -exponents))
    needed = total / radius * ROUNDING  # NaN where numbers overflowed, which nothing exceeds
    # rows that are off by E in the Frobenius norm have singular values that are off by no more
    if not singular_values_exceed(rows, (needed + norm_above(error)) * ROUNDING):
        raise NotProvedError(
            f"the {rows.shape[0]} equations depend on each other, or are off by too much ({total:.2g}) for a "
            f"correction of at most {radius:.2g}"
        )


def _joined(parts: list[Whole]) -> Whole:
    """(k,) all numbers, with one exponent."""
    lowest = min(part.exponent for part in parts)
    return Whole(np.concatenate([part.numbers << (part.exponent - lowest) for part in parts]), lowest)


def _without_copies(rows: FloatArray, error: FloatArray, missing: Whole) -> IntArray:
    """One of every group of exactly equal or opposite rows; NotProvedError where they are asked for other numbers."""
    exact = (error == 0).all(axis=1) & rows.any(axis=1)
    places = np.flatnonzero(exact)
    if not len(places):
        return np.arange(len(rows))
    first = rows[places, np.argmax(rows[places] != 0, axis=1)]
    sign = np.sign(first).astype(np.int64)
    _, kept, group = np.unique(rows[places] * sign[:, None] + 0.0, axis=0, return_index=True, return_inverse=True)
    asked = missing.numbers[places] * sign.astype(object)
    if (asked != asked[kept][group.ravel()]).any():
        raise NotProvedError("in exact arithmetic, equations that depend on each other contradict each other")
    return np.concatenate([places[kept], np.flatnonzero(~exact)])


def _exponents(rows: FloatArray) -> IntArray:
    """Exponents e for which the rows ``2**-e row_i`` have sizes near one and are exact; 0 where that would round."""
    exponent = np.frexp(row_sizes(rows))[1]
    exponent = np.where(np.abs(exponent) <= 1000, exponent, 0)
    back = np.ldexp(np.ldexp(rows, -exponent[:, None]), exponent[:, None])
    return np.where((back == rows).all(axis=1), exponent, 0).astype(np.int64)


__all__ = ["Case", "Claim", "Finding", "Proof"]
