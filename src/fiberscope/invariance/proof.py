"""A proof that next to an input lies one with exactly the same features as another, in exact real arithmetic.

Let x be the source and x' the example. Every unit on the way is *certain*, which means that x and everything within a
distance rho of x' lie on one linear piece of it; or *pinned*: x lies on a piece, and x* shall lie at its end; or
*held*: its input shall not change at all. With slopes 0 for held units, what a stage receives changes by
``J (x* - x)``. The equations ask that the features and the held units do not change: ``J_e (x* - x) = 0``. If ``r``
bounds what they lack at x', and s is the smallest singular value of J_e on the pixels that may move, a solution x* lies
within ``r / s`` of x'. If that is below rho, every certain unit is on its piece at x*, so that x* has the features of
x, and so has the whole segment between them.

Where x and x' lie in different regions, the same is proved of x' alone: every unit is certain within rho of x', or held
at what it is there, and the last stage must receive what it receives at x: ``J_e (x* - x') = z(x) - z(x')``.

Before all that, x and x' are evaluated in exact arithmetic: where they have the same features, x' itself is the
input, and where these differ by more than a correction could make up for, there is none. Where the equations depend on
each other, no singular value bounds a correction; they are solved in rational numbers, and the solution is evaluated
exactly.

Nothing of what found the example is used: the network's own maps, with bounds on their rounding, and the domain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    NotProvedError,
    flushes_subnormal_numbers,
    norm_above,
    product_error,
    row_norms_above,
    row_sizes,
    singular_values_exceed,
)
from fiberscope.invariance.enclosures import Enclosure
from fiberscope.invariance.exact_correction import corrections
from fiberscope.invariance.exact_features import FeaturesDifferError, check_exactly, check_within_reach
from fiberscope.invariance.exact_order import exactly_equal
from fiberscope.invariance.exact_values import Effort, Exact
from fiberscope.invariance.proof_statement import Statement
from fiberscope.invariance.proof_walk import Equation, Goal, Walk, received
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.network import Network
from fiberscope.network.rows import dense
from fiberscope.network.signs import exact_signs
from fiberscope.network.stage import INPUT

NEAR = (1e-9, 1e-8, 1e-11, 1e-7)
"""The distances within which an exact input is looked for, one after the other, relative to the largest change of a
pixel. What moved by more than the last of them is another input."""

BESIDE = (1e-9, 1e-7)
"""How near to a kink or bound an example may be that lies on it but for a solver's tolerance, relative to the same."""


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
    if flushes_subnormal_numbers():
        return Proof(False, "this thread flushes subnormal numbers to zero, so no error bound holds", 0.0, "float")
    effort = Effort()
    try:
        _check_domain(statement)
    except NotProvedError as failure:
        return Proof(False, str(failure), 0.0, "exact")
    if (statement.source == statement.example).all():
        return Proof(True, "", 0.0, "exact")
    try:
        check_exactly(statement, Exact.of(statement.example[None]), 1, effort)
    except NotProvedError as failure:
        itself = failure
    else:
        return Proof(True, "", 0.0, "exact")
    if isinstance(itself, FeaturesDifferError):
        try:
            check_within_reach(statement, itself.difference, max(NEAR) * _scale(statement))
        except NotProvedError as failure:
            return Proof(False, f"{itself}: {failure}", 0.0, "exact")
    bounded = _prove_with_bounds(statement)
    if bounded.proved:
        return bounded
    try:
        distance = _prove_with_correction(statement, effort)
    except NotProvedError as failure:
        return Proof(False, f"{itself}; of inputs next to it: {bounded.reason}; {failure}", 0.0, "exact")
    return Proof(True, "", distance, "exact")


def _prove_with_bounds(statement: Statement) -> Proof:
    """Prove that there is such an input; the features of an earlier stage that all paths go through may do as well."""
    reason, network = "", statement.network
    scale = _scale(statement)
    for stage in _sufficient_stages(network, statement.stage):
        try:
            goal = None if statement.segment else Goal(statement.source, received(network, stage, statement.source))
        except NotProvedError as failure:
            reason = reason or str(failure)
            continue
        for near in NEAR:
            try:
                _close(statement, stage, near * scale, goal)
            except NotProvedError as failure:
                reason = reason or str(failure)
            else:
                return Proof(True, "", near * scale, "float")
    return Proof(False, reason, 0.0, "float")


def _prove_with_correction(statement: Statement, effort: Effort) -> float:
    """Find a rational input next to the example, and prove that it is one; its distance, rounded up.

    Raises:
        NotProvedError: none was found, or it is none.
    """
    scale, reason = _scale(statement), "the equations around it have no exact solution"
    for near in BESIDE:
        for numbers, denominator in corrections(statement, near * scale, effort):
            change = numbers - Exact.of(statement.example[None]).times(denominator)
            square = sum(entry * entry for entry in change.numbers[0].tolist()) * Fraction(4) ** change.exponent
            square /= denominator * denominator
            if square > Fraction(max(NEAR) * scale) ** 2:
                continue
            try:
                check_exactly(statement, numbers, denominator, effort)
            except NotProvedError as failure:
                reason = f"of the nearest that solves the equations: {failure}"
            else:
                # the root and the conversion round by half a unit in the last place each
                return float(np.sqrt(float(square)) * (1.0 + 4.0 * UNIT_ROUNDOFF)) + SMALLEST_NORMAL
    raise NotProvedError(reason)


def _scale(statement: Statement) -> float:
    """The largest change of a pixel."""
    return float(np.abs(statement.example - statement.source).max())


def _sufficient_stages(network: Network, stage: int) -> Iterator[int]:
    """The stage, and the earlier activations without which nothing of the input reaches it, the last first."""
    yield stage
    needed = network.needed_for(stage)
    for number in reversed(needed[:-1]):
        if network.stages[number].activation is None:
            continue
        reached = {INPUT}
        for other in needed:
            if other != number and reached.intersection(network.sources(other)):
                reached.add(other)
        if stage not in reached:
            yield number


# ---- the domain


def _check_domain(statement: Statement) -> None:
    domain, x = statement.domain, statement.example
    for point, name in ((statement.source, "the source"), (x, "the example")):
        if not (np.isfinite(point).all() and (point >= domain.low).all() and (point <= domain.high).all()):
            raise NotProvedError(f"{name} lies outside of the domain")
    if (x[statement.kept] != statement.source[statement.kept]).any():
        raise NotProvedError("a pixel that was to be kept has changed")
    if len(domain.h) and (exact_signs(domain.G, statement.source, -domain.h) > 0).any():
        raise NotProvedError("the source violates a half-space of the domain")


def _check_half_spaces(statement: Statement, free: BoolArray, rho: float) -> None:
    domain, x = statement.domain, statement.example
    if not len(domain.h):
        return
    slack = domain.h - domain.G @ x
    # moving free pixels by rho changes g x by at most |g_free| rho
    reached = row_norms_above(dense(domain.G)[:, free]) * rho
    # the product is off by product_error; the difference by half a unit in its last place, |slack| u
    error = product_error(row_norms_above(domain.G), norm_above(x), len(x)) + 2.0 * UNIT_ROUNDOFF * np.abs(slack)
    if not (slack >= (reached + error) * ROUNDING).all():
        raise NotProvedError("a half-space of the domain leaves no room for the correction")


# ---- the statement for one stage and one distance


def _close(statement: Statement, stage: int, rho: float, goal: Goal | None) -> None:
    """Prove that an exact input lies within rho: of the goal's features, or without one, of those along the segment.

    Raises:
        NotProvedError: the proof does not close.
    """
    domain, x = statement.domain, statement.example
    # a difference above 2 rho in float64 is above 2 (1 - u) rho: the correction stays inside
    free = ~statement.kept & (x - domain.low > 2.0 * rho) & (domain.high - x > 2.0 * rho)
    _check_half_spaces(statement, free, rho)
    walk = Walk(statement.network, stage, rho)
    equations = walk.equations(statement.source if goal is None else x, x, free, goal)
    _check_equations(statement, walk, equations, free, rho)


# ---- the equations


def _check_equations(
    statement: Statement, walk: Walk, equations: Sequence[Equation], free: BoolArray, rho: float
) -> None:
    """Prove that a correction of the free pixels by at most rho solves all equations."""
    rows, residual, unchanged = _system(statement, walk, equations, free)
    live = _correctable(rows, free) | (residual != 0)  # NaN, of numbers that overflowed, is not 0
    rows, residual = _without_copies(rows[live], residual[live], unchanged[live])
    if not bool((residual != 0).any()):
        return  # nothing need be corrected, whether they depend on each other or not
    part, error = rows.value.numpy()[:, free], rows.error.numpy()[:, free]
    exponents = _exponents(part)
    part, error = np.ldexp(part, -exponents[:, None]), np.ldexp(error, -exponents[:, None])
    size = norm_above(np.ldexp(residual.numpy(), -exponents))
    if part.shape[0] > part.shape[1]:
        raise NotProvedError(
            f"the {part.shape[0]} equations for {part.shape[1]} pixels that may move depend on each other, which "
            "bounds on rounding cannot settle"
        )
    needed = size / rho * ROUNDING  # NaN where numbers overflowed, which nothing exceeds
    # rows that are off by E in the Frobenius norm have singular values that are off by no more
    if not singular_values_exceed(part, (needed + norm_above(error)) * ROUNDING):
        raise NotProvedError(
            f"the {part.shape[0]} equations depend on each other, or are off by too much ({size:.2g}) for a correction "
            f"of at most {rho:.2g}"
        )


def _system(
    statement: Statement, walk: Walk, equations: Sequence[Equation], free: BoolArray
) -> tuple[Enclosure, Tensor, Tensor]:
    """The rows of all equations, bounds on what is missing in them, and which of them ask for no change."""
    n = walk.network.inputs
    parts = [Enclosure.exact(torch.zeros(0, n, dtype=torch.float64))]
    sizes = [torch.zeros(0, dtype=torch.float64)]
    unchanged = [torch.zeros(0, dtype=torch.bool)]
    for equation in equations:
        rows, missing = walk.rows(equation), walk.missing(equation)
        stuck = torch.nonzero(~_correctable(rows, free) & (missing != 0))[:, 0]
        if len(stuck) and bool((equation.second < 0).all()):
            units = equation.first[stuck].numpy()
            same = exactly_equal(walk.network, equation.stage, statement.source, statement.example, units)
            missing = missing.index_fill(0, stuck[torch.tensor(same)], 0.0)
        parts.append(rows)
        sizes.append(missing)
        unchanged.append(torch.full((len(missing),), equation.missing is None))
    rows = Enclosure(torch.cat([p.value for p in parts]), torch.cat([p.error for p in parts]))
    return rows, torch.cat(sizes), torch.cat(unchanged)


def _correctable(rows: Enclosure, free: BoolArray) -> Tensor:
    """Which rows see a pixel that may move."""
    return ((rows.value != 0) | (rows.error > 0))[:, torch.tensor(free)].any(dim=1)


def _without_copies(rows: Enclosure, residual: Tensor, unchanged: Tensor) -> tuple[Enclosure, Tensor]:
    """One of every group of exactly equal or opposite rows that ask for no change: solving one solves the others."""
    exact = (rows.error == 0).all(dim=1) & unchanged
    if not bool(exact.any()):
        return rows, residual
    places = torch.nonzero(exact)[:, 0]
    kept = places[torch.tensor(_first_of_a_kind(rows.value[places].numpy()))]
    chosen: IntArray = torch.cat([kept, torch.nonzero(~exact)[:, 0]]).numpy()
    index = torch.tensor(chosen)
    return rows[index], residual[index]


def _first_of_a_kind(rows: FloatArray) -> IntArray:
    """One of every group of rows that are equal or opposite, and not zero."""
    live = np.flatnonzero(rows.any(axis=1))
    first = rows[live, np.argmax(rows[live] != 0, axis=1)]
    return live[np.unique(rows[live] * np.sign(first)[:, None] + 0.0, axis=0, return_index=True)[1]]


def _exponents(rows: FloatArray) -> IntArray:
    """Exponents e for which the rows ``2**-e row_i`` have sizes near one and are exact; 0 where that would round."""
    exponent = np.frexp(row_sizes(rows))[1]
    exponent = np.where(np.abs(exponent) <= 1000, exponent, 0)
    back = np.ldexp(np.ldexp(rows, -exponent[:, None]), exponent[:, None])
    return np.where((back == rows).all(axis=1), exponent, 0).astype(np.int64)


__all__ = ["Proof", "Statement", "prove"]
