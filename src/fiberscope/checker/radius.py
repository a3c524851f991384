"""How far the points of a preimage can be from one of them: what the certificate that it is bounded proves as well.

Exact weights w* with ``sum_i w*_i R_i = 0`` bound every row that they name. Let d lead from the center to a point of
the preimage, so that ``R_i d <= t_i`` on rows with an upper side only, ``R_i d >= -t_i`` with a lower one only, and
``|R_i d| <= beta_i`` with both. With ``M = sum |w*_i| beta_i + sum |w*_i| t_i``, each one-sided row then satisfies
``t_i - M / |w*_i| <= +-R_i d <= t_i``. So all named rows are bounded, and with them d, which they span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.checker.arithmetic import floats_of
from fiberscope.checker.facts import Vanishing
from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    FloatArray,
    entries,
    norm_above,
    product_error,
    relative_error,
)
from fiberscope.checker.system import Cone, Rows


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
    output: tuple[FloatArray | None, FloatArray | None] | None,
    within: FloatArray,
    recession: Cone,
) -> Gaps:
    """The gaps beside a center; outputs are those there, or given, up to ``within``: (m,), or (2, m) below and above.

    The recession cone says which sides exist.
    """
    s, m = rows.system, rows.m
    z = np.asarray(rows.stack @ center) + np.concatenate([s.bias, -s.h])
    error = product_error(rows.norms + np.abs(np.concatenate([s.bias, s.h])), norm_above(center) + 1.0, rows.n + 1)
    at = np.clip(z[:m], s.low, s.high)
    low, high = (at if side is None else side for side in (output or (None, None)))
    minus, plus = np.broadcast_to(within, (2, m))
    wide = sum(np.where(part < np.inf, part, 0.0) for part in (minus, plus))
    slack = np.concatenate(
        [3.0 * error[:m] + 2.0**-50 * (np.abs(z[:m]) + np.abs(at) + wide), np.zeros(rows.n), error[m:]]
    )
    below = np.concatenate([low - minus - z[:m], s.box_low - center, np.full(rows.q, -np.inf)])
    above = np.concatenate([high + plus - z[:m], s.box_high - center, -z[m:]])
    below, above = (np.where(np.isnan(side), 0.0, side) for side in (below, above))
    slack = slack * ROUNDING + 2.0**-50 * np.where(np.isfinite(below), np.abs(below), 0.0)
    slack += 2.0**-50 * np.where(np.isfinite(above), np.abs(above), 0.0)
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
    for where, (values, rounding), error in (
        (rows.places[fact.joined], floats_of(fact.weights), fact.radius),
        (rows.coordinates, floats_of(fact.absorbing), fact.bounds),
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
    if not np.isfinite(sides[held]).all() or not np.isfinite(away[rows.places[fact.joined]]).all():
        return np.inf
    free = 0.0
    if fact.sigma is not None and fact.columns.any():
        pull = norm_above(entries(rows.stack[fact.joined])) * norm_above(sides)
        free = (norm_above(away[rows.places[fact.joined]]) + pull) / fact.sigma * ROUNDING
        free *= float(columns[fact.columns].max())
    return float(np.hypot(norm_above(sides * columns), free) * ROUNDING)
