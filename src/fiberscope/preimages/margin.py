"""The margin of a verdict: how far it is from the opposite one. Defined here, and nowhere else.

Coordinates are scaled by powers of two, so that all columns have one length, about, and then all rows to unit length.
So a margin has no dimension; it lies in [0, 1]. It is an estimate for people, no part of any proof.

- unbounded: the smallest slack ``-a_i d / (|a_i| |d|)`` of the recession direction d; 0 where inequality rows that
  depend on A_P, or on each other, hold d at zero.
- bounded: the smaller of ``min lambda * sigma_min(A_S on null(A_P))`` of the multipliers, scaled to ``max lambda = 1``
  (no bound if the domain itself is bounded), and the slack of the direction that shows a second point (no bound if no
  row is tight).
- singleton: ``min lambda * sigma_min(A_S on null(A_P))``, or ``sigma_min(A_P)`` where the rank alone shows it.
- empty: minus the Farkas sum over the sum of the absolute values of its terms; of rows that are inconsistent, the
  distance of their right-hand sides from those that have a solution, over their length; 1 for an output that a unit
  never gives.
- undecided: the margin of the candidate that could not be proved; 0 where there was none.
"""

from __future__ import annotations

from math import fsum
from typing import Any, cast

import numpy as np

from fiberscope.network.arrays import IntArray
from fiberscope.network.rows import Rows, dense, scaled, stacked
from fiberscope.network.signs import row_norms
from fiberscope.preimages.candidate import Candidate, Counted, Direction, Inconsistent, Multipliers, NegativeOutput
from fiberscope.preimages.cholesky import square_of, transposed
from fiberscope.preimages.dense import (
    RESOLVED,
    least_squares,
    numerical_rank,
    smaller_gram,
    smallest_root,
    unit_rows,
)
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.rounded import nearest_float, unit_floats
from fiberscope.preimages.system import NO_ROWS, MixedSystem

ONLY_NULL_SPACE = 2.0**10
"""Its square is far above 1, and far below the inverse of float64's rounding."""


def margin(system: MixedSystem, certificate: Candidate) -> float:
    """The margin of a certificate's verdict, in [0, 1]."""
    with np.errstate(all="ignore"):  # rows of extreme size overflow: their margin is then reported as 0
        value = _margin(system, certificate)
    return within_bounds(value)


def within_bounds(value: float) -> float:
    """A margin in [0, 1]; 0 where numbers overflowed."""
    return float(min(max(value, 0.0), 1.0)) if np.isfinite(value) else 0.0


def _margin(system: MixedSystem, certificate: Candidate) -> float:
    match certificate.kind:
        case Kind.EMPTY:
            return _farkas_share(system, certificate.infeasible)
        case Kind.SINGLETON:
            return _spanning_margin(system, certificate.implicit)
        case Kind.BOUNDED:
            recession, interior = certificate.recession, certificate.interior
            spanning = _spanning_margin(system.at_infinity, recession) if isinstance(recession, Multipliers) else 1.0
            return spanning if interior is None else min(spanning, _slack(system, interior, system.tight))
        case Kind.UNBOUNDED:
            if isinstance(certificate.recession, Counted):
                return 1.0  # whatever the weights
            assert isinstance(certificate.recession, Direction)
            at_infinity = system.at_infinity
            return _slack(at_infinity, certificate.recession, at_infinity.inequalities)
        case Kind.UNDECIDED:
            return 0.0


def _slack(system: MixedSystem, direction: Direction, inequalities: IntArray) -> float:
    if len(np.setdiff1d(direction.equalities, system.positive)) and _depend(system, direction.equalities):
        return 0.0
    others = np.setdiff1d(inequalities, direction.equalities)
    coordinate, sign = system.coordinates(others)
    d = unit_floats(direction.values)
    bound = sign != 0
    slopes = [-sign[bound] * d[coordinate[bound]]]
    rows = system.rows(others[~bound])
    norms = row_norms(rows)
    slopes.append(-(rows[norms > 0] @ d) / norms[norms > 0])
    return float(np.concatenate(slopes).min(initial=np.linalg.norm(d)) / np.linalg.norm(d))


def _depend(system: MixedSystem, numbers: IntArray) -> bool:
    """Whether rows depend on each other on the coordinates that none of them bounds, zero rows apart, in float64."""
    coordinate, sign = system.coordinates(numbers)
    free = np.setdiff1d(np.arange(system.layer.inputs), coordinate)
    rows = cast(Rows, cast(Any, system.rows(numbers[sign == 0]))[:, free])
    return numerical_rank(rows, RESOLVED) < int((row_norms(rows) > 0).sum())


def _spanning_margin(system: MixedSystem, multipliers: Multipliers | None) -> float:
    named = NO_ROWS if multipliers is None else multipliers.rows
    inequality = ~np.isin(named, system.positive)
    if multipliers is None or not inequality.any():
        return _smallest_singular_value(system.rows(system.positive))
    rows = system.rows(multipliers.rows)
    sizes = (unit_floats(multipliers.values) * row_norms(rows))[inequality]
    sizes = sizes[sizes > 0]
    smallest = sizes.min() / sizes.max() if len(sizes) else 1.0
    coordinate, sign = system.coordinates(multipliers.rows[inequality])
    held = system.domain.low == system.domain.high
    held[coordinate[sign != 0]] = True
    if held.all():
        return float(smallest)  # rows that hold every coordinate shorten nothing: no large matrix has to be factored
    return float(smallest) * _smallest_stretch(system, rows[inequality])


def _smallest_stretch(system: MixedSystem, rows: Rows) -> float:
    """An estimate of the smallest singular value of rows scaled to unit length, on null(A_P).

    A_P is added with so large a factor that it leaves no other direction.
    """
    held = unit_rows(system.rows(system.positive))
    both = stacked(scaled(held, np.full(held.shape[0], ONLY_NULL_SPACE)), unit_rows(rows))
    return smallest_root(square_of(transposed(both))) if both.shape[0] >= both.shape[1] else 0.0


def _smallest_singular_value(rows: Rows) -> float:
    """An estimate of the smallest singular value of the rows scaled to unit length."""
    square = smaller_gram(rows)
    return 1.0 if square is None else smallest_root(square)


def _farkas_share(system: MixedSystem, part: Multipliers | Inconsistent | NegativeOutput | None) -> float:
    if isinstance(part, Inconsistent):
        sides = np.array([nearest_float(side) for side in system.right_hand_sides(part.rows)])
        missed = sides - (rows := dense(system.rows(part.rows))) @ least_squares(rows, sides)
        return float(np.linalg.norm(missed) / np.linalg.norm(sides))
    if not isinstance(part, Multipliers):
        return 1.0
    sides = [nearest_float(side) for side in system.right_hand_sides(part.rows)]
    terms = unit_floats(part.values) * np.array(sides)
    total = float(np.abs(terms).sum())
    return -fsum(terms) / total if total > 0 else 0.0
