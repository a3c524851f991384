"""How far the points of a preimage can be from one of them: what the certificate that it is bounded proves as well.

Exact weights w* with ``sum_i w*_i R_i = 0`` bound every row that they name. Let d lead from the center to a point of
the preimage, so that ``R_i d <= t_i`` on rows with an upper side only, ``R_i d >= -t_i`` with a lower one only, and
``|R_i d| <= beta_i`` with both. With ``M = sum |w*_i| beta_i + sum |w*_i| t_i``, each one-sided row then satisfies
``t_i - M / |w*_i| <= +-R_i d <= t_i``. So all named rows are bounded, and with them d, which they span.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from fiberscope.checker.conditions import Conditions
from fiberscope.checker.facts import Vanishing, standing
from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    FloatArray,
    entries,
    norm_above,
    product_error,
    relative_error,
    scaled_exactly,
)
from fiberscope.checker.system import AtInputs, Cone, Rows, Sides, System
from fiberscope.checker.verdicts import Claim, prove


def measure(
    system: System, claims: Sequence[Claim], centers: Sequence[FloatArray], *, exact: bool = False
) -> list[tuple[str, float]]:
    """Prove claims as ``prove`` does, and how far the points of each preimage are at most from a center.

    Args:
        system: the layer and its domain.
        claims: any number of them.
        centers: (n,) each: x itself where a claim is about an input, else any point.
        exact: as for ``prove``.

    Returns:
        Why each claim is not proved, empty where it is; and then a bound, inf where there is none.
    """
    sizes = [np.inf] * len(claims)

    def size(k: int, conditions: Conditions, claim: Claim, known: Callable[[], AtInputs | Sides]) -> None:
        if claim.kind in ("singleton", "bounded"):
            try:
                found = _size(conditions, claim, known(), centers[k])
            except Exception:  # numbers of a certificate, or a center, may be anything
                return
            sizes[k] = found if found >= 0.0 else np.inf

    reasons = prove(system, claims, exact=exact, also=size)
    return [(reason, np.inf if reason else size) for reason, size in zip(reasons, sizes, strict=True)]


def _size(conditions: Conditions, claim: Claim, known: AtInputs | Sides, center: FloatArray) -> float:
    """How far the points of the preimage are from the center, of a claim that is proved."""
    rows, units = conditions.rows, conditions.certificate.scaling.columns
    beside, lengths = scaled_exactly(center, -units), np.ldexp(1.0, units)
    if not ((lengths > 0) & (lengths < np.inf)).all():
        return np.inf
    apart = 0.0
    if isinstance(known, Sides):
        if claim.kind == "singleton":
            return _from_point(conditions, known, beside, lengths)
        x, products, recession = beside, np.asarray(rows.stack @ beside), known.cones(rows.nonzero)[1]
    else:
        assert claim.x is not None
        x, products, recession = claim.x, known.products[0], known.recession
        if (beside != x).any():  # products may vanish, and are not 0
            apart = norm_above((beside - x) * lengths) * ROUNDING
        if claim.kind == "singleton":
            return apart
    fact = conditions.vanishing(conditions.certificate.recession.multipliers, recession)
    beside_x = gaps(rows, x, products, claim.output, claim.within, recession)
    return (apart + radius(rows, fact, beside_x, recession, lengths)) * ROUNDING


def _from_point(conditions: Conditions, sides: Sides, center: FloatArray, lengths: FloatArray) -> float:
    """How far the one point of a preimage that is given by its output is from a center."""
    part = conditions.certificate.tangent.direction
    assert part is not None, "it was proved by a point"
    point, doubt = _floats_of(part.point)
    apart = np.abs(point - center) * (1.0 + 2.0**-50) + doubt
    moved = standing(conditions.rows, part, conditions.certificate.relations, sides).radius
    return (norm_above(apart * lengths) + moved * float(lengths.max())) * ROUNDING


@dataclass(frozen=True, eq=False)
class Gaps:
    """Where every row lies beside a center c: ``low_i <= R_i (x - c) <= high_i`` on the preimage; rounded outwards.

    Attributes:
        low: (M,) at least -inf.
        high: (M,) at most inf.
    """

    low: FloatArray
    high: FloatArray

    @property
    def reach(self) -> FloatArray:
        """(M,) a bound on ``|R_i (x - c)|``."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def gaps(
    rows: Rows,
    center: FloatArray,
    products: FloatArray,
    output: FloatArray | None,
    within: FloatArray,
    recession: Cone,
) -> Gaps:
    """The gaps beside a center; outputs are those there, or given, up to ``within``, (2, m) both.

    The recession cone says which sides exist.
    """
    s, z = rows.system, products + rows.bias
    error = product_error(rows.norms + np.abs(rows.bias), norm_above(center) + 1.0, rows.n + 1)
    at = np.clip(z, rows.low, rows.high)
    low, high = (at, at) if output is None else rows.beside(output)
    minus, plus = rows.beside(within)
    wide = np.abs(z) + np.abs(at) + sum(np.where(part < np.inf, part, 0.0) for part in (minus, plus))
    slack = rows.whole(3.0 * error + 2.0**-50 * wide, 0.0) * ROUNDING
    below = rows.whole(low - minus - z, s.box_low - center)
    above = rows.whole(high + plus - z, s.box_high - center)
    below, above = (np.where(np.isnan(side), 0.0, side) for side in (below, above))
    slack += 2.0**-50 * sum(np.where(np.isfinite(side), np.abs(side), 0.0) for side in (below, above))
    has_low, has_high = (recession.equal | side for side in (recession.lower, recession.upper))
    return Gaps(np.where(has_low[0], below - slack, -np.inf), np.where(has_high[0], above + slack, np.inf))


def radius(rows: Rows, fact: Vanishing | None, gaps: Gaps, recession: Cone, columns: FloatArray) -> float:
    """A bound on ``|x - c|`` over the preimage; inf where the certificate gives none.

    Args:
        rows: of the system, which may be scaled.
        fact: what the certificate's multipliers of the recession cone prove.
        gaps: beside the center c.
        recession: the cone, of one sample.
        columns: (n,) the length in the original units of each coordinate's unit.
    """
    reach = gaps.reach
    boxed = recession.equal[0, rows.coordinates]
    if boxed.all():
        return norm_above(reach[rows.coordinates] * columns)
    if fact is None or not fact.spans or (fact.columns.any() and fact.sigma is None):
        return np.inf
    weights, doubt = np.zeros(rows.count), np.zeros(rows.count)
    joined, absorbing = fact.weights, fact.absorbing
    if joined.dtype == object:  # they count up to a factor, and whole numbers may be too large for floats
        numbers: list[Fraction] = [abs(number) for number in (*joined, *absorbing)]
        unit = 1 / Fraction(max(1, *numbers))
        joined, absorbing = joined * unit, absorbing * unit
    for where, (values, rounding), error in (
        (fact.joined, _floats_of(joined), fact.radius),
        (rows.coordinates, _floats_of(absorbing), fact.bounds),
    ):
        weights[where], doubt[where] = np.abs(values), error + rounding
    used = fact.named & (weights + doubt > 0)
    least, most = np.maximum(weights - doubt, 0.0) / ROUNDING, (weights + doubt) * ROUNDING
    signed = used & ~recession.equal[0]
    slack = np.where(fact.sign > 0, gaps.high, -gaps.low)
    given = np.where(signed, np.where(slack >= 0, most, least) * slack, np.where(used, most * reach, 0.0))
    given = np.where(used, given, 0.0)
    total = float(given.sum()) + float(np.abs(given).sum()) * relative_error(len(given))
    total += 4.0 * len(given) * SMALLEST_NORMAL  # of products that vanish
    with np.errstate(all="ignore"):
        away = np.where(signed, np.maximum(np.abs(slack), np.abs(total / least * ROUNDING - slack)) * ROUNDING, reach)
    held = ~fact.columns
    sides = np.where(held, away[rows.coordinates], 0.0)
    if not np.isfinite(sides[held]).all() or not np.isfinite(away[fact.joined]).all():
        return np.inf
    free = 0.0
    if fact.sigma is not None and fact.columns.any():
        pull = norm_above(entries(rows.stack[fact.joined])) * norm_above(sides)
        free = (norm_above(away[fact.joined]) + pull) / fact.sigma * ROUNDING
        free *= float(columns[fact.columns].max())
    return float(np.hypot(norm_above(sides * columns), free) * ROUNDING)


def _floats_of(values: Any) -> tuple[FloatArray, FloatArray]:
    """The floats next to numbers, and bounds on what lies between."""
    if values.dtype != object:
        return values, np.zeros(len(values))
    nearest = np.array([float(value) for value in values])
    return nearest, np.abs(nearest) * 2.0**-52 + 5e-324
