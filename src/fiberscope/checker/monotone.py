"""Claims about outputs of leaky ReLUs, tanh and sigmoids, as claims about what these units receive.

That ``g(z)`` of a continuous, strictly increasing g lies in [u, v] says that z lies in ``g^-1([u, v])``, which is what
an output of a unit that computes z itself would say. So a claim is rewritten, with ends that are bounded by balls of
python-flint's arb, whatever its precision:

- **At an input**, with an output known up to eps: x lies strictly inside both sides of such a unit. So kind and
  dimension depend on which sides there are, and not on where they lie. There is an upper one if ``g(z) + eps < sup g``,
  which is settled by comparing z, exactly, with a ball around ``g^-1(sup g - eps)``. Sides are put where they are
  certainly not too narrow, so that sizes hold as well.
- **At an output**, the preimage S lies between S1, with ends rounded outwards, and S2, rounded inwards. If both
  have the claimed kind and dimension, so has S: dimensions and recession cones grow with the set. If S1 is empty, so
  is S.

The sigmoid is ``(1 + tanh(z / 2)) / 2``: a tanh in other units. With ``t = tanh(z)``, ``tanh(z +- d) = t +- eps`` holds
for ``tanh(d) = eps / (1 - t^2 -+ eps t)``, by the addition theorem; balls around that are wide where the quotient is
near 1, and then those around ``d = log((1 + t + eps) / (1 - t - eps)) / 2 - z`` (upward) are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from flint import arb

from fiberscope.checker import exact
from fiberscope.checker.matrices import FloatArray, IntArray, NotProvedError
from fiberscope.checker.radius import measure
from fiberscope.checker.system import Rows, System
from fiberscope.checker.verdicts import Claim, prove

LEAKY_RELU, TANH, SIGMOID = 1, 2, 3


@dataclass(frozen=True, eq=False)
class Curves:
    """What strictly monotone units compute.

    Attributes:
        curve: (m,) ``LEAKY_RELU``, ``TANH`` or ``SIGMOID``; another number where it is not known.
        slope: (m,) of leaky ReLUs for negative numbers.
    """

    curve: IntArray
    slope: FloatArray

    def check(self, units: IntArray) -> None:
        """NotProvedError unless what some units compute is known, and strictly increasing."""
        if self.curve.dtype != np.int64 or self.slope.dtype != np.float64 or self.curve.shape != self.slope.shape:
            raise NotProvedError("the units' activations are not given")
        curve, slope = self.curve[units], self.slope[units]
        if not np.isin(curve, (LEAKY_RELU, TANH, SIGMOID)).all():
            raise NotProvedError("outputs of strictly monotone activations that are not known must be known exactly")
        if not ((slope > 0) & (slope < np.inf))[curve == LEAKY_RELU].all():
            raise NotProvedError("a leaky ReLU has no positive slope")


def prove_outputs(
    system: System,
    curves: Curves | None,
    claims: Sequence[Claim],
    centers: Sequence[FloatArray] | None = None,
    *,
    exact: bool = False,
) -> list[tuple[str, float]]:
    """Why claims about outputs are not proved, empty where they are; and how far preimages reach from centers.

    Args:
        system: the layer and its domain.
        curves: what its strictly monotone units compute; None where that is not known.
        claims: any number of them.
        centers: (n,) for each claim, as for ``measure``; None where no bounds are asked for, which are inf then.
        exact: as for ``prove``.
    """
    parts = on_pre_activations(system, curves, claims)
    places = [k for k, each in enumerate(parts) if not isinstance(each, str) for _ in each]
    plain = [part for each in parts if not isinstance(each, str) for part in each]
    if centers is None:
        found = [(reason, np.inf) for reason in prove(system, plain, exact=exact)]
    else:
        found = measure(system, plain, [centers[k] for k in places], exact=exact)
    out = [(each, np.inf) if isinstance(each, str) else ("", np.inf) for each in parts]
    for k, (reason, size) in zip(reversed(places), reversed(found), strict=True):  # the largest preimage is the last
        out[k] = out[k][0] or reason, size
    return [(reason, np.inf if reason else size) for reason, size in out]


def on_pre_activations(system: System, curves: Curves | None, claims: Sequence[Claim]) -> list[list[Claim] | str]:
    """Of each claim those that prove it if all are proved, the largest preimage first; or why there are none.

    Args:
        system: the layer and its domain, whose strictly monotone units these are.
        curves: what they compute; None where that is not known.
        claims: about their outputs.
    """
    rows = Rows(system, rational=False) if any(claim.x is not None for claim in claims) else None
    return [_attempt(system, rows, curves, claim) for claim in claims]


def _attempt(system: System, rows: Rows | None, curves: Curves | None, claim: Claim) -> list[Claim] | str:
    try:
        loose = (claim.within > 0).reshape(-1, len(system.bias)).any(axis=0)
        units = np.flatnonzero(system.monotone if claim.x is None else system.monotone & loose)
        if not len(units):
            return [claim]
        if curves is None:
            return "outputs of strictly monotone activations must be known exactly"
        curves.check(units)
        if rows is None or claim.x is None:
            return _at_output(system, curves, claim, units)
        return [_at_input(rows, curves, claim, claim.x, units)]
    except NotProvedError as failure:
        return str(failure)
    except Exception as error:  # a claim's numbers may be anything
        return f"the claim is malformed: {type(error).__name__}"


def _at_input(rows: Rows, curves: Curves, claim: Claim, x: FloatArray, units: IntArray) -> Claim:
    m = rows.m
    within = np.array(np.broadcast_to(claim.within, (2, m)))
    eps = within[:, units]
    if not ((eps > 0) & (eps < np.inf)).all():
        raise NotProvedError("a precision must be 0 on both sides, or on neither, and finite")
    product = exact.products(rows.stack[units], x)
    z = [Fraction(value) + Fraction(float(b)) for value, b in zip(product, rows.system.bias[units], strict=True)]
    for k, i in enumerate(units.tolist()):
        for side, sign in ((0, -1), (1, 1)):
            within[side, i] = _distance(int(curves.curve[i]), float(curves.slope[i]), z[k], float(eps[side, k]), sign)
    return replace(claim, within=within)


def _distance(curve: int, slope: float, z: Fraction, eps: float, sign: int) -> float:
    """A bound, from above, on how far z moves until the output has moved by eps, up or down; inf if it never does."""
    if curve == LEAKY_RELU:
        s = Fraction(slope)
        moved = (z if z > 0 else s * z) + sign * Fraction(eps)
        return _above(_ball(sign * ((moved if moved > 0 else moved / s) - z)))
    unit = 2 if curve == SIGMOID else 1  # g(z) = tanh(z / unit) / unit, up to a constant
    e, at = arb(eps) * unit, _ball(z / unit)
    end = (2 - e) / e  # tanh(w) = 1 - e for w = log(end) / 2
    there = at * sign  # moving down from z is moving up from -z
    if not e < 2 or there > end.log() / 2:
        return np.inf
    if not there < end.log() / 2:
        if e == 1 and z == 0:  # the end is reached there, and not by any number
            return np.inf
        raise NotProvedError("a unit saturates too near the output to tell")
    room = at.cosh() ** -2 - e * there.tanh()
    below, above = 2 / (1 + (-2 * there).exp()), 2 / (1 + (2 * there).exp())  # 1 + t and 1 - t
    bounds = [(e / room).atanh() * unit] if room > e else []
    bounds += [(((below + e) / (above - e)).log() / 2 - there) * unit] if above > e else []
    # where neither tells: the distance is finite, as there is a side, and at most some thousands beyond |z|
    return min([_above(ball) for ball in bounds if ball.is_finite()], default=float(np.finfo(np.float64).max))


def _at_output(system: System, curves: Curves, claim: Claim, units: IntArray) -> list[Claim]:
    low, high, within = claim.output_low, claim.output_high, claim.within
    if low is None or high is None or low.shape != high.shape or within.shape != system.bias.shape:
        raise NotProvedError("an output has two sides, and one precision for each unit")
    if not (low <= high).all() or (within < 0).any():
        raise NotProvedError("the output lies in no interval")
    known = np.array(within)
    known[units] = 0.0
    wide, narrow = ([np.array(low), np.array(high)] for _ in range(2))
    for i in units.tolist():
        curve, slope, eps = int(curves.curve[i]), float(curves.slope[i]), float(within[i])
        wide[0][i], narrow[0][i] = _inverse(curve, slope, float(low[i]), -eps)
        narrow[1][i], wide[1][i] = _inverse(curve, slope, float(high[i]), eps)
    nowhere = np.isposinf(wide[0]) | np.isneginf(wide[1])
    if nowhere.any():
        if claim.kind != "empty" or claim.bounds != (-1, -1):
            raise NotProvedError("the output is that of no input")
        return []  # nothing else is to be proved
    largest, smallest = (replace(claim, output_low=a, output_high=b, within=known) for a, b in (wide, narrow))
    exactly = all(np.array_equal(a, b) for a, b in zip(wide, narrow, strict=True))
    return [largest] if exactly or claim.kind == "empty" else [largest, smallest]


def _inverse(curve: int, slope: float, y: float, eps: float) -> tuple[float, float]:
    """Bounds on the pre-activation of ``y + eps``: both -inf, or both inf, at the ends of the range and beyond."""
    if np.isinf(y):
        return y, y
    v = Fraction(y) + Fraction(eps)
    if curve == LEAKY_RELU:
        ball = _ball(v if v > 0 else v / Fraction(slope))
    else:
        v = v if curve == TANH else 2 * v - 1
        if abs(v) >= 1:
            return (np.inf, np.inf) if v > 0 else (-np.inf, -np.inf)
        # tanh(w) = v for w = log((1 + v) / (1 - v)) / 2
        ball = _ball((1 + v) / (1 - v)).log() / (2 if curve == TANH else 1)
    return -_above(-ball), _above(ball)


def _ball(number: Fraction) -> arb:
    """A ball that holds a rational number; a point where it is a float64."""
    as_float = number.numerator / number.denominator
    if Fraction(as_float) == number:
        return arb(as_float)
    return arb(number.numerator) / arb(number.denominator)


def _above(ball: arb) -> float:
    """The least float64 that no number of a ball exceeds; NotProvedError where there is none."""
    if not ball.is_finite():
        raise NotProvedError("a pre-activation is out of reach")
    mantissa, exponent = ball.upper().man_exp()
    number = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    nearest = number.numerator / number.denominator
    return nearest if Fraction(nearest) >= number else float(np.nextafter(nearest, np.inf))


__all__ = ["Curves", "on_pre_activations", "prove_outputs"]
