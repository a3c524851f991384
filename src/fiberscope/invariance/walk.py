"""Invariance examples across regions: from the optimum of one region on into the next [section 4, through layers].

All inputs with the features of x form a union of polytopes, one per activation pattern of the layers before. The walk
begins in the region of x. Where an optimum lies on facets of units on the way, it crosses one of them, or several at
once, and goes on to the optimum of the region behind. Each region has its own equations for the same features: they
are kept along the whole way, and not only at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.invariance.across_regions import problem
from fiberscope.invariance.comparing import AnyOriginal, Comparison, compare_features
from fiberscope.invariance.examples import Layer
from fiberscope.invariance.objective import Objective
from fiberscope.invariance.region_search import MAX_PLATEAU, MAX_REGIONS, Budget, Ending, Search, Visit, search
from fiberscope.invariance.rounding_bound import rounding_bound
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic
from fiberscope.threads import one_thread


@dataclass(frozen=True, eq=False)
class Walk:
    """The best input that was found, and the way to it along which the features stay the same.

    Attributes:
        network: the network.
        stage: the number of the stage that gives the features.
        source: (*input_shape) where the walk began.
        x: (*input_shape) the best input.
        value: the objective ``<c, x>`` there.
        in_region: the objective at the best point of the region of the source.
        visits: the regions in the order in which they were visited; no pattern appears twice.
        route: the numbers of the visits on the way from the source to x.
        corners: (k, n) the source, the points where one region was left for the next, and x; flat.
        ended: why it ended.
    """

    network: Network
    stage: int
    source: Float64[FloatArray, "*shape"] = field(repr=False)
    x: Float64[FloatArray, "*shape"] = field(repr=False)
    value: float
    in_region: float
    visits: tuple[Visit, ...] = field(repr=False)
    route: tuple[int, ...]
    corners: Float64[FloatArray, "k n"] = field(repr=False)
    ended: Ending

    @property
    def ended_by_budget(self) -> bool:
        """Whether a larger budget would have gone on."""
        return self.ended in (Ending.REGIONS, Ending.PLATEAU)

    @property
    def feature_residual(self) -> float:
        """The largest difference between the features of the source and those of a corner, evaluated in float64."""
        values, _ = rounding_bound(self.network, self.corners, self.stage, "float64")
        return float(np.abs(values - values[0]).max(initial=0.0))

    @property
    def feature_units(self) -> float:
        """The largest such difference as a multiple of what rounding explains: at most 1, unless features differ."""
        values, allowed = rounding_bound(self.network, self.corners, self.stage, "float64")
        return float((np.abs(values - values[0]) / (allowed + allowed[0])).max(initial=0.0))

    def path(self, steps: int) -> Float64[FloatArray, "steps ..."]:
        """Points of the way, evenly spaced by its length, from the source to x: (steps, *input_shape).

        Each part of it lies in one region, so that all of them have the same features.

        Raises:
            InputError: fewer than two steps.
        """
        if steps < 2:
            raise InputError("steps", expected="at least 2", got=str(steps))
        return self.between(np.linspace(0.0, 1.0, steps))

    def between(self, shares: Float64[FloatArray, " s"]) -> Float64[FloatArray, "s ..."]:
        """The points at some shares of the length of the way."""
        lengths: FloatArray = np.linalg.norm(np.diff(self.corners, axis=0), axis=1)
        ends: FloatArray = np.cumsum(lengths)
        wanted = shares * ends[-1]
        before = np.asarray(np.searchsorted(ends, wanted, side="left"), dtype=np.int64)
        part = np.minimum(before, len(lengths) - 1)
        start = ends[part] - lengths[part]
        t = ((wanted - start) / np.where(lengths[part] > 0, lengths[part], 1.0)).clip(0.0, 1.0)[:, None]
        first, second = self.corners[part], self.corners[part + 1]
        points = (1.0 - t) * first + t * second
        # rounding may leave the segment, and with it the domain
        points = np.clip(points, np.minimum(first, second), np.maximum(first, second))
        return points.reshape(len(shares), *self.source.shape)

    def compare(self, original: AnyOriginal = None, *, points: int = 50, seed: int = 0) -> Comparison:
        """Compare the features of all corners and of random points of the way with those of the source.

        By the network in float64, and by the original model in its own arithmetic, up to rounding. That is no proof in
        exact arithmetic as ``InvarianceExample.verify`` gives one: corners lie on kinks, next to which rounding decides
        what a unit does.

        Args:
            original: as in ``InvarianceExample.verify``.
            points: how many random points of the way are looked at.
            seed: of these points.
        """
        shares = np.sort(np.random.default_rng(seed).uniform(size=max(0, points)))
        corners = self.corners.reshape(-1, *self.source.shape)
        X = np.concatenate([corners[:1], corners[-1:], corners[1:-1], self.between(shares)])
        return compare_features(self.network, self.stage, X, original)


def walk_regions(
    network: Network,
    x: Any,
    target: Any,
    layer: Layer = 0,
    domain: Domain | None = None,
    *,
    objective: Objective | str = Objective.INNER_PRODUCT,
    arithmetic: Arithmetic | None = None,
    max_regions: int = MAX_REGIONS,
    max_plateau: int = MAX_PLATEAU,
) -> Walk:
    """Look for the best input with the features of x, in the region of x and beyond it.

    A local search: what it finds is never worse than the optimum of the region of x, and need not be the best of all
    regions; that is what ``optimal_over_regions`` finds in small networks.

    Args:
        network: the network.
        x: the source, of the network's input shape or flat.
        target: c, of the same shape.
        layer: the number of the ReLU layer whose output counts as the features, negative from the end; or "output" for
            that of the network.
        domain: where inputs lie; None for all of R^n.
        objective: ``inner_product`` to maximise ``<c, x'>``, ``towards`` for ``<c - x, x'>``.
        arithmetic: units that the features cut off keep the room that rounding in this arithmetic needs, as far as they
            have it at x; None for no room.
        max_regions: how many regions may be visited, one linear program each.
        max_plateau: how many tries in a row may bring nothing better: regions, and facets that turn out to have no
            points; a linear program each.

    Raises:
        InputError: something does not fit, x lies outside of the domain, or a budget is not positive.
        ModelError: the layer lies behind a smooth activation.

    Source: section 4 and appendix A7, for every region instead of one.
    """
    for name, budget in (("max_regions", max_regions), ("max_plateau", max_plateau)):
        if budget < 1:
            raise InputError(name, expected="at least 1", got=str(budget))
    asked = problem(network, x, target, layer, domain, objective=objective, arithmetic=arithmetic)
    with one_thread():
        found = search(asked, Budget(max_regions, max_plateau))
    return _walk(network, asked.features.stage, asked.source, found)


def _walk(network: Network, stage: int, source: FloatArray, found: Search) -> Walk:
    route = found.route()
    best = found.visits[found.best]
    shape = network.input_shape
    return Walk(
        network,
        stage,
        source.reshape(shape),
        best.x.reshape(shape),
        best.value,
        found.visits[0].value,
        found.visits,
        route,
        np.stack([source, *(found.visits[number].entry for number in route[1:]), best.x]),
        found.ended,
    )


__all__ = ["Walk", "walk_regions"]
