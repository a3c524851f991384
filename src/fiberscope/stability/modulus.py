"""How far apart features of different inputs are, for all inputs of a ball: beyond the linear region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from fiberscope.checker import modulus as checker
from fiberscope.checker.matrices import NotProvedError, norm_above, row_norms_above
from fiberscope.checker.reading import LayerRows, StoredNetwork
from fiberscope.network.arrays import FloatArray
from fiberscope.network.network import Network
from fiberscope.preimages.verification import Verification, stored, verified
from fiberscope.scalars import as_count, as_number
from fiberscope.showing.shown import Shown
from fiberscope.stability.linearization import checked_stage, linearize
from fiberscope.stability.weakest import weakest_met

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

ROUNDS_OTHERWISE = 2.0**-40
"""By which share less is claimed than was found: other processors round otherwise."""

PRECISION = 2.0**-7
"""By which share the radius that is found may be smaller than one at which nothing was proved."""

FACTOR = 8.0
"""From a radius to the next at most, while none is known that is too large, or none that is small enough."""

BENT = 2.0**-5
"""The share of the first layer's units that bend in the first ball: about as many as the moduli of most layers bear."""

MAX_FRACTIONS = 12
"""Radii that are tried where nothing is proved on the linear region, each an eighth of the one before."""

BACK = 8
"""Radii that are tried where what is proved at the largest one is within rounding of what has to be exceeded."""


@dataclass(frozen=True, eq=False, repr=False)
class InverseModulus(Shown):
    """For all x' and x'' within a radius of x, ``|F(x') - F(x'')| >= lower |x' - x''|`` (Euclid).

    The largest such number is at most ``upper``: a linear region that the ball meets has a direction along which F
    changes by no more.

    Attributes:
        network: the network.
        x: (*input_shape) the center.
        radius: of the ball.
        stage: F is the network up to and with this one.
        lower: proved; 0 where nothing is.
        upper: proved; inf where nothing is.
        point: (n,) an input of that region, in the ball.
        direction: (n,) that direction.
        rows: outputs that ``lower`` is proved by: all that are on, and not at a clip's end, in the whole ball.
        unsure: of each layer before, the units that may be on in one part of the ball and off in another.
        reason: why nothing is proved; empty where something is.
    """

    network: Network = field(repr=False)
    x: FloatArray
    radius: float
    stage: int
    lower: float
    upper: float
    point: Float64[FloatArray, " n"]
    direction: Float64[FloatArray, " n"]
    rows: int
    unsure: tuple[int, ...]
    reason: str = ""

    def verify(self) -> Verification:
        """Prove both numbers from the stored network, the ball, the point and the direction alone; never raises."""
        return verified(lambda: _disproved(self))

    def _line(self) -> str:
        return f"{self.lower:.4g} <= modulus <= {self.upper:.4g} within {self.radius:.3g} of x"


@dataclass(frozen=True, eq=False, repr=False)
class StabilityRadius(Shown):
    """The largest radius found with ``|F(x') - F(x'')| > modulus |x' - x''|`` proved for all x', x'' in the ball.

    Attributes:
        network: the network.
        x: (*input_shape) the center.
        stage: F is the network up to and with this one.
        modulus: what has to be exceeded.
        radius: of the ball; 0 where none was found, inf where nothing bends.
        lower: what is proved on the ball, above ``modulus``; 0 where none was found.
        region_distance: how far x is from the end of its activation region.
        reason: why no ball was found; empty where one was.
    """

    network: Network = field(repr=False)
    x: FloatArray
    stage: int
    modulus: float
    radius: float
    lower: float
    region_distance: float
    reason: str = ""

    def verify(self) -> Verification:
        """Prove ``lower`` on the ball from the stored network alone; never raises."""
        return verified(lambda: _radius_disproved(self))

    def _line(self) -> str:
        if self.radius == 0:
            return f"0: {self.reason}"
        ends = 0.0 < self.region_distance < inf
        times = f", {self.radius / self.region_distance:.3g} times the region's" if ends else ""
        return f"{self.radius:.4g}{times}; modulus at least {self.lower:.3g}"


def inverse_modulus(
    network: Network, x: Tensor | ArrayLike, radius: float, stage: int | None = None, *, points: int = 8, seed: int = 0
) -> InverseModulus:
    """Bounds on the largest kappa with ``|F(x') - F(x'')| >= kappa |x' - x''|`` for all x', x'' within a radius of x.

    F is the network up to a stage. The lower bound holds across linear regions: units are on, off or unsure on the
    ball, and differences are products in which the unsure ones count by some share in [0, 1]. The upper bound is the
    smallest singular value of a region that was met.

    Args:
        network: affine maps, and ReLUs, clips or strictly increasing units, one after the other.
        x: (*input_shape) the center, or flat.
        radius: of the ball (Euclid, in the unit of x), at least 0.
        stage: the number of the stage up to which and with which; negative ones count from the end, None is the last.
            A map to fewer numbers than inputs has modulus 0.
        points: how many regions are looked at for the upper bound, beside that of x.
        seed: of their choice.

    Returns:
        Both bounds, with what proves them.

    Raises:
        InputError: there is no such stage, the radius is negative, or x does not fit or is not finite.

    Source: theta-averages of Bruna, Szlam & LeCun's lower bounds carried through layers; docs/modulus.md has the proof.
    """
    number = checked_stage(network, -1 if stage is None else stage)
    center = network.flat_sample(x)
    radius = as_number(radius, "radius", least=0.0, below=inf)
    points = as_count(points, "points", least=0)
    shaped, nowhere = center.reshape(network.input_shape), np.zeros(len(center))
    try:
        chain = checker.chain_to(stored(network), number)
        found = checker.modulus(chain, center, radius)
        weakest = weakest_met(chain, center, radius, points, np.random.default_rng(seed))
    except NotProvedError as error:
        return InverseModulus(network, shaped, radius, number, 0.0, inf, center, nowhere, 0, (), str(error))
    lower = found.lower * (1.0 - ROUNDS_OTHERWISE)
    reason = "" if lower > 0 else _why_nothing(chain, center, found)
    upper = weakest.value * (1.0 + ROUNDS_OTHERWISE)
    return InverseModulus(
        network,
        shaped,
        radius,
        number,
        lower,
        upper,
        weakest.point,
        weakest.direction,
        found.rows,
        found.unsure,
        reason,
    )


def stability_radius(
    network: Network, x: Tensor | ArrayLike, stage: int | None = None, modulus: float = 0.0
) -> StabilityRadius:
    """The largest radius found on whose ball the modulus of the inverse is proved to exceed a number.

    It is at least the distance to the end of the activation region of x if the smallest singular value there exceeds
    that number, up to the precision of the search (under one percent); more often it is hundreds of times as large.

    Args:
        network: affine maps, and ReLUs, clips or strictly increasing units, one after the other.
        x: (*input_shape) the center, or flat.
        stage: as for ``inverse_modulus``.
        modulus: at least 0: what has to be exceeded.

    Returns:
        The radius, what is proved on its ball, and the distance to the end of the linear region beside it.

    Raises:
        InputError: there is no such stage, the modulus is negative, or x does not fit or is not finite.

    Source: as for ``inverse_modulus``.
    """
    number = checked_stage(network, -1 if stage is None else stage)
    center = network.flat_sample(x)
    modulus = as_number(modulus, "modulus", least=0.0, below=inf)
    distance = linearize(network, x, number).region_distance
    return radius_of(network, center, number, modulus, distance, partial(stored, network))


def radius_of(
    network: Network,
    center: Float64[FloatArray, " n"],
    stage: int,
    modulus: float,
    distance: float,
    read: Callable[[], StoredNetwork],
) -> StabilityRadius:
    """The radius where the distance to the end of the region is known, and the network is read by a function."""
    shaped = center.reshape(network.input_shape)
    try:
        chain = checker.chain_to(read(), stage)
        radius, lower = _largest(chain, center, modulus, distance)
        reason = "" if radius > 0 else _why_no_ball(chain, center, modulus)
    except NotProvedError as error:
        radius, lower, reason = 0.0, 0.0, str(error)
    return StabilityRadius(network, shaped, stage, modulus, radius, lower, distance, reason)


def _largest(chain: tuple[LayerRows, ...], center: FloatArray, modulus: float, start: float) -> tuple[float, float]:
    """The radius, and what is proved at it; zeros where nothing is."""
    around = checker.Around(chain, center)

    def lower_on(held: checker.Held) -> float:
        lower = held.modulus().lower * (1.0 - ROUNDS_OTHERWISE)
        return lower if lower > modulus else 0.0

    lower = lower_on(around.within(0.0))
    if not lower:
        return 0.0, 0.0  # what is not proved at x itself is proved on no ball
    if checker.never_bends(chain):
        return inf, lower
    search = _Search(modulus * (1.0 + 2.0 * ROUNDS_OTHERWISE), lower)
    search.run(around, _first(chain, center, start), _start(center, start) * FACTOR**-MAX_FRACTIONS)
    if search.held is None:
        return 0.0, 0.0
    if lower := lower_on(search.held):
        return search.radius, lower
    tried = ((r, lower_on(around.within(r))) for r in search.radius * (1.0 - PRECISION * np.arange(1, BACK) ** 2))
    return next(((float(r), lower) for r, lower in tried if lower), (0.0, 0.0))


class _Search:
    """For the largest radius at which a modulus is proved.

    The square of what could be proved falls with the radius, along a curve that bends down: the next radius is where
    the parabola through the last three ends, or the line through two; and in the middle of what is left, by logarithms,
    where neither tells.

    Attributes:
        radius: the largest at which it is proved; 0 where it is at none.
        beyond: one at which it is not; inf where there is none.
        held: what proves it.
    """

    def __init__(self, asked: float, at_center: float) -> None:
        self.radius, self.beyond = 0.0, inf
        self.held: checker.Held | None = None
        self._asked = asked
        self._known = [(0.0, max(0.0, at_center - asked) * (at_center + asked))]

    def run(self, around: checker.Around, first: float, least: float) -> None:
        """Try radii, from the first one, until two differ by less than the precision; none below the least."""
        trial = first
        while least <= trial < inf and self.beyond > self.radius * (1.0 + PRECISION):
            held = around.within(trial)
            about = held.about(self._asked)
            if about is None:
                self.beyond = trial
            else:
                self.radius, self.held = trial, held
                self._known.append((trial, (about - self._asked) * (about + self._asked)))
            trial = self._next()

    def _next(self) -> float:
        if not self.radius:
            return self.beyond / FACTOR
        least, most = self.radius * (1.0 + PRECISION), min(self.beyond / (1.0 + PRECISION), FACTOR * self.radius)
        guess = max(_end(self._known[-3:]), least)
        if self.beyond == inf:
            return min(guess, most)
        return guess if guess < most else self.radius * float(np.sqrt(self.beyond / self.radius))


def _end(known: list[tuple[float, float]]) -> float:
    """Where what falls ends, by its last numbers; inf where it does not fall."""
    slopes = [(f1 - f0) / (r1 - r0) for (r0, f0), (r1, f1) in pairwise(known)]
    r, f = known[-1]
    if slopes[-1] >= 0:
        return inf
    bend = (slopes[-1] - slopes[0]) / (r - known[0][0])
    slope = slopes[-1] + bend * (r - known[-2][0])
    return r + (f / -slopes[-1] if bend >= 0 else 2.0 * f / (-slope + float(np.sqrt(slope * slope - 4.0 * bend * f))))


def _start(center: FloatArray, distance: float) -> float:
    """The distance to the end of the region, where there is one."""
    return distance if 0.0 < distance < inf else float(np.linalg.norm(center)) * 2.0**-20 or 1.0


def _first(chain: tuple[LayerRows, ...], center: FloatArray, distance: float) -> float:
    """A radius to begin with: one at which some of the first layer's units bend, beyond the end of the region."""
    layer = chain[0]
    with np.errstate(all="ignore"):
        z = np.asarray(layer.weight @ center) + layer.bias
        room = np.minimum(np.abs(z - layer.low), np.abs(layer.high - z)) / row_norms_above(layer.weight)
    room = room[np.isfinite(room)]
    least = _start(center, distance)
    return max(float(np.quantile(room, BENT)), least) if len(room) else least


def _why_nothing(chain: tuple[LayerRows, ...], center: FloatArray, found: checker.Modulus) -> str:
    n = len(center)
    narrow = min(len(layer.bias) for layer in chain)
    if narrow < n:
        return f"a layer has {narrow} outputs, fewer than the {n} inputs: some differ with equal features"
    if found.rows < n:
        return f"{found.rows} outputs are on in the whole ball, fewer than the {n} inputs"
    return "what the unsure units may change is more than the smallest singular value"


def _why_no_ball(chain: tuple[LayerRows, ...], center: FloatArray, modulus: float) -> str:
    at = checker.modulus(chain, center, 0.0)
    if at.lower > modulus:
        return "x lies on the end of its linear region, or nearer to it than rounding tells"
    return _why_nothing(chain, center, at) if at.lower == 0 else f"at x itself {at.lower:.3g} is proved, not more"


def _disproved(claim: InverseModulus) -> str:
    """Why the claim is not proved; empty where it is."""
    center, point, direction = (np.array(v, dtype=np.float64).ravel() for v in (claim.x, claim.point, claim.direction))
    lower, upper, radius = float(claim.lower), float(claim.upper), float(claim.radius)
    if not (0.0 <= lower <= upper and 0.0 <= radius < inf and len(center) == len(point) == claim.network.inputs):
        return "the claim is not made of a ball and two numbers in order"
    chain = checker.chain_to(stored(claim.network), claim.stage)
    if lower > 0 and not checker.modulus(chain, center, radius).lower >= lower:
        return "the modulus is larger than what is proved on the ball"
    if upper == inf:
        return "" if lower > 0 else "nothing is claimed"
    if not norm_above(point - center) <= radius:
        return "the point lies outside the ball"
    return "" if checker.attained(chain, point, direction) <= upper else "the region at the point attains more"


def _radius_disproved(claim: StabilityRadius) -> str:
    center = np.array(claim.x, dtype=np.float64).ravel()
    radius, lower, modulus = float(claim.radius), float(claim.lower), float(claim.modulus)
    if not (radius > 0 and lower > modulus >= 0 and len(center) == claim.network.inputs):
        return "no ball with a modulus above what is asked is claimed"
    chain = checker.chain_to(stored(claim.network), claim.stage)
    if radius == inf and not checker.never_bends(chain):
        return "the map bends somewhere, so that the whole space is no such ball"
    proved = checker.exceeds(chain, center, 0.0 if radius == inf else radius, lower)
    return "" if proved else "the modulus is larger than what is proved on the ball"


__all__ = ["InverseModulus", "StabilityRadius", "inverse_modulus", "radius_of", "stability_radius"]
