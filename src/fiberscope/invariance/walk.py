"""Invariance examples across regions: from the optimum of one region on into the next [section 4, through layers].

All inputs with the features of x form a union of polytopes, one per activation pattern of the layers before. The walk
begins in the region of x. Where an optimum lies on facets of units on the way, it crosses one of them, or several at
once, and goes on to the optimum of the region behind. Each region has its own equations for the same features: they
are kept along the whole way, and not only at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from fiberscope.invariance.across_regions import problem
from fiberscope.invariance.feature_bands import Within
from fiberscope.invariance.feature_stage import Layer
from fiberscope.invariance.objective import Objective
from fiberscope.invariance.region_search import MAX_PLATEAU, MAX_REGIONS, Budget, Ending, Visit, search
from fiberscope.invariance.same_features import Connected, without_rounding
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic
from fiberscope.scalars import as_count
from fiberscope.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

FOR_BENDS = 2.0**-8
"""Of what a feature may differ by, what is kept for bends: corners are on kinks up to rounding alone, and what that
bends the way by grows tenfold a layer in the bound that a proof has."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Walk(Connected):
    """The best input that was found, and the way to it along which the features stay the same.

    ``verify`` proves that x' has the features of x. On the way, features are compared up to rounding: next to its
    corners, which lie on kinks, rounding decides what a unit does. Where features may differ by numbers, ``verify``
    proves that they differ by no more on the whole way.

    Attributes:
        value: the objective ``<c, x>`` there.
        in_region: the objective at the best point of the region of the source.
        visits: the regions in the order in which they were visited; no pattern appears twice.
        route: the numbers of the visits on the way from the source to x.
        ended: why it ended.
    """

    value: float
    in_region: float
    visits: tuple[Visit, ...] = field(repr=False)
    route: tuple[int, ...]
    ended: Ending

    @property
    def corners(self) -> Float64[FloatArray, "k n"]:
        """The source, the points where one region was left for the next, and x'; flat."""
        between = [self.visits[number].entry for number in self.route[1:]]
        return np.stack([self.source.ravel(), *between, self.x.ravel()])

    @property
    def in_one_region(self) -> bool:
        """Whether the way never left the region of the source."""
        return len(self.route) == 1

    @property
    def ended_by_budget(self) -> bool:
        """Whether a larger budget would have gone on."""
        return self.ended in (Ending.REGIONS, Ending.PLATEAU)

    def _line(self) -> str:
        gain = f"{self.in_region:.4g} in the region of x, {self.value:.4g} beyond"
        return f"{gain}, {len(self.visits)} regions visited: {self.ended}"


def walk_regions(
    network: Network,
    x: Tensor | ArrayLike,
    target: Tensor | ArrayLike,
    layer: Layer = 0,
    domain: Domain | None = None,
    *,
    objective: Objective | str = Objective.INNER_PRODUCT,
    arithmetic: Arithmetic | None = None,
    max_regions: int = MAX_REGIONS,
    max_plateau: int = MAX_PLATEAU,
    within: Within = 0.0,
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
        within: by how much every feature may differ, as in ``invariance_example``. What is found is never worse than
            what is found for features that do not differ, which takes a walk of its own.

    Returns:
        The best input that was found, and the way to it, along which the features stay the same.

    Raises:
        InputError: something does not fit, x lies outside of the domain, or a budget is not positive.
        ModelError: the layer lies behind a smooth activation.

    Source: section 4 and appendix A7, for every region instead of one.
    """
    max_regions, max_plateau = as_count(max_regions, "max_regions"), as_count(max_plateau, "max_plateau")
    asked = problem(network, x, target, layer, domain, objective=objective, arithmetic=arithmetic, within=within)
    budget = Budget(max_regions, max_plateau)
    loose = asked.features.widths.numpy()
    with one_thread():
        found = search(replace(asked, room=np.maximum(asked.room, FOR_BENDS * loose)), budget)
        if loose.any():
            exactly = search(
                problem(network, x, target, layer, domain, objective=objective, arithmetic=arithmetic), budget
            )
            found = exactly if exactly.visits[exactly.best].value > found.visits[found.best].value else found
    best, shape = found.visits[found.best], network.input_shape
    return Walk(
        network=network,
        stage=asked.features.stage,
        source=asked.source.reshape(shape),
        x=without_rounding(best.x, asked.source).reshape(shape),
        domain=domain,
        within=asked.within,
        value=best.value,
        in_region=found.visits[0].value,
        visits=found.visits,
        route=found.route(),
        ended=found.ended,
    )


__all__ = ["Walk", "walk_regions"]
