"""Uniform points of a bounded preimage, by hit-and-run in a body that was made round.

Hit-and-run goes from a point to a uniform one on a chord through it, here along a random coordinate. In a body that is
long and thin it hardly moves (Lovasz & Vempala, Hit-and-run from a corner, 2006). The body is therefore mapped so that
its largest inscribed ellipsoid becomes the unit ball: then it lies in the ball of radius k around it (John, 1948). That
ellipsoid depends on the body alone, neither on units nor on rows that repeat each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.errors import SolverError
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.dense import solve_transposed, solve_upper, triangular_factor_of_gram
from fiberscope.preimages.shape import Shape
from fiberscope.preimages.system import MixedSystem
from fiberscope.preimages.time_limit import TimeLimit

BURN_IN = 40
"""Hit-and-run steps per dimension before the first sample is kept."""
THINNING = 4
"""Hit-and-run steps per dimension between samples."""
REFRESH = 100
"""Steps after which the slack is computed anew, against the rounding that adds up in it."""

WEIGHTINGS = 12
"""How often weights of the rows are brought nearer to those of the largest ellipsoid; how round it gets, no more."""
ROUND = 4.0
"""How many times the dimension k the ratio of the radii of a round body may be; k is John's bound."""
CENTERINGS = 100
"""Newton steps to a center, at most."""
DECREMENT = 0.1
"""Newton decrement below which the center is near enough."""
SHORTENINGS = 50
"""How often a Newton step is halved, and a point that rounding put outside is moved inwards twice as far as before."""


def sample_uniformly(
    shape: Shape, system: MixedSystem, count: int, generator: np.random.Generator, limit: TimeLimit
) -> Float64[FloatArray, "count n"]:
    """``count`` points (count, n) of the preimage, each of which satisfies every inequality exactly.

    Raises:
        SolverError: float64 does not resolve the preimage, or the time is over.
    """
    if shape.dimension == 0:
        return np.repeat(shape.origin[None], count, axis=0)
    body = round_body(shape, limit)
    points = shape.point(_hit_and_run(body, count, generator, limit))
    return _inside(shape, system, points, shape.point(body.center))


# ---- the map that makes the body round


@dataclass(frozen=True, eq=False)
class RoundBody:
    """The points ``center + transform v`` with ``rows v <= slack``.

    Attributes:
        center: (k,) a point inside.
        transform: (k, k).
        rows: (l, k).
        slack: (l,) positive.
    """

    center: FloatArray
    transform: FloatArray
    rows: FloatArray
    slack: FloatArray

    def moved(self, v: Float64[FloatArray, " k"]) -> RoundBody:
        """The same body around another point."""
        return RoundBody(self.center + self.transform @ v, self.transform, self.rows, self.slack - self.rows @ v)

    def mapped(self, R: Float64[FloatArray, "k k"]) -> RoundBody:
        """The same body in the coordinates ``R v``."""
        transform, rows = (np.ascontiguousarray(solve_transposed(R, M.T).T) for M in (self.transform, self.rows))
        return RoundBody(self.center, transform, rows, self.slack)


def round_body(shape: Shape, limit: TimeLimit) -> RoundBody:
    """The body in coordinates in which its largest inscribed ellipsoid is nearly the unit ball.

    For weights w let the center minimise ``-sum w_i log(s_i - r_i v)``, and let ``H = sum w_i r_i^T r_i / s_i^2``.
    The ellipsoid ``v H v <= 1`` is the largest one once ``w_i = w_i r_i H^-1 r_i^T / s_i^2`` (John, 1948). Each round
    replaces the weights by the geometric means of both sides: by the right-hand sides alone, the center may swing from
    one end of the body to the other.

    Where H is the unit matrix, let q be the largest ``|r_i| / s_i``. The ball of radius 1 / q lies in the body, and the
    body in that of radius ``q sum w``: ``t_i = r_i v / s_i`` lies in [-q |v|, 1], so that the sum of
    ``w_i (1 - t_i) (t_i + q |v|)`` is at least 0; that of ``w_i t_i`` is 0 at the center; and ``|v|^2`` is that of
    ``w_i t_i^2``, hence at most ``q |v| sum w``. The rounds end once these radii are nearly as near to each other as
    those of the largest ellipsoid, 1 and k.

    Raises:
        SolverError: float64 does not resolve the body, or the time is over.
    """
    weights = np.ones(len(shape.slack))
    limit.begin("rounds of making it round", WEIGHTINGS)
    body = _strictly_inside(shape)
    try:
        for _ in range(WEIGHTINGS):
            body = _centered(body, weights, limit)
            R = triangular_factor_of_gram(np.sqrt(weights)[:, None] * body.rows / body.slack[:, None])
            body = body.mapped(R)
            shares = np.square(body.rows / body.slack[:, None]).sum(axis=1)
            limit.done += 1
            if shares.max(initial=0.0) * weights.sum() <= ROUND * len(body.center):
                break
            weights = weights * np.sqrt(shares)
    except LinAlgError as error:
        raise SolverError(
            "sample: float64 does not resolve the preimage, which is too thin beside its length; "
            "look at bounding_box() instead, or intersect it with a smaller Box"
        ) from error
    return body


def _strictly_inside(shape: Shape) -> RoundBody:
    """The body around a point with slack in every row: the origin, or where the certificate's direction leads."""
    rates = shape.rows @ shape.inward
    rising = rates > 0
    step = float((shape.slack[rising] / rates[rising]).min(initial=np.inf))
    body = RoundBody(np.zeros(shape.dimension), np.eye(shape.dimension), shape.rows, shape.slack)
    body = body.moved((0.5 * step if np.isfinite(step) else 1.0) * shape.inward)
    if not (body.slack > 0).all():
        raise SolverError(
            "sample: float64 does not resolve the preimage around its point; look at bounding_box() instead"
        )
    return body


def _centered(body: RoundBody, weights: Float64[FloatArray, " l"], limit: TimeLimit) -> RoundBody:
    """The body around its center for these weights, by Newton's method with shortened steps."""
    for _ in range(CENTERINGS):
        limit.check()
        scaled = body.rows / body.slack[:, None]
        gradient = scaled.T @ weights
        R = triangular_factor_of_gram(np.sqrt(weights)[:, None] * scaled)
        half = solve_transposed(R, gradient)
        step, decrement = -solve_upper(R, half), float(half @ half)
        if decrement <= DECREMENT**2:
            break
        slopes = scaled @ step  # relative change of the slacks
        length = min(1.0, 0.9 / float(slopes.max(initial=0.9)))
        for _ in range(SHORTENINGS):
            if -float(weights @ np.log1p(-length * slopes)) <= -0.25 * length * decrement:
                break
            length *= 0.5
        body = body.moved(length * step)
    return body


# ---- the walk


def _hit_and_run(
    body: RoundBody, count: int, generator: np.random.Generator, limit: TimeLimit
) -> Float64[FloatArray, "count k"]:
    """Along the coordinates of the round body, in random order: a step costs one column of its rows."""
    k = len(body.center)
    v, points, slack = np.zeros(k), np.empty((count, k)), body.slack
    columns, burn_in, gap = np.ascontiguousarray(body.rows.T), BURN_IN * k, THINNING * k
    limit.begin("steps of the walk", burn_in + count * gap)
    for step in range(limit.total):
        if step % REFRESH == 0:
            limit.check()
            slack = body.slack - body.rows @ v
        j = int(generator.integers(k))
        length = _on_chord(np.maximum(slack, 0.0), columns[j], generator)
        v[j] += length
        slack = slack - length * columns[j]
        limit.done += 1
        if step >= burn_in and (step - burn_in) % gap == 0:
            points[(step - burn_in) // gap] = v
    return body.center + points @ body.transform.T


def _on_chord(
    slack: Float64[FloatArray, " l"], rates: Float64[FloatArray, " l"], generator: np.random.Generator
) -> float:
    """A uniform step length among those that keep all slacks."""
    ahead, behind = rates > 0, rates < 0
    forward = float((slack[ahead] / rates[ahead]).min(initial=np.inf))
    backward = float((slack[behind] / rates[behind]).max(initial=-np.inf))
    return generator.uniform(backward, forward)


def _inside(
    shape: Shape, system: MixedSystem, points: Float64[FloatArray, "N n"], center: Float64[FloatArray, " n"]
) -> Float64[FloatArray, "N n"]:
    """The points, those that rounding put outside of an inequality moved towards the center, or to the origin."""
    outside, share = _outside(shape, system, points), np.finfo(np.float64).eps
    for _ in range(SHORTENINGS):
        if not len(outside):
            return points
        points[outside] += share * (center - points[outside])
        outside, share = outside[_outside(shape, system, points[outside])], 2.0 * share
    points[outside] = shape.origin
    return points


def _outside(shape: Shape, system: MixedSystem, points: Float64[FloatArray, "N n"]) -> IntArray:
    """Which points violate an inequality that is not constant on the hull, exactly."""
    return np.flatnonzero(system.violated(shape.numbers, points))


__all__ = ["sample_uniformly"]
