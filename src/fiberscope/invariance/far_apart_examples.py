"""Several inputs with the same features that are far from x and from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.invariance.example import InvarianceExample
from fiberscope.invariance.examples import kept_pixels, unbounded
from fiberscope.invariance.far_apart import Apart, next_apart
from fiberscope.invariance.feature_bands import Within, checked_allowance
from fiberscope.invariance.feature_stage import Layer, stage_of
from fiberscope.invariance.objective import Norm, Objective
from fiberscope.invariance.region_optimizer import Search, search_region
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.network import Network, check_network
from fiberscope.network.original import Arithmetic, checked_arithmetic
from fiberscope.preimages.linear_program import Status
from fiberscope.preimages.system import check_inside
from fiberscope.scalars import as_count
from fiberscope.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

EXHAUSTED = 1e-6
"""The distance to the nearest of those before, relative to that of the first from x, below which there is no other."""


def far_apart_examples(
    network: Network,
    x: Tensor | ArrayLike,
    count: int,
    layer: Layer = 0,
    domain: Domain | None = None,
    *,
    keep: ArrayLike | None = None,
    arithmetic: Arithmetic = "float32",
    starts: int = 3,
    seed: int = 0,
    within: Within = 0.0,
) -> list[InvarianceExample]:
    """Find inputs with the features of x that are far from x and from each other.

    With ``x_0 = x``, the k-th is sought to maximise ``min_(j < k) |x_k - x_j|_2`` over the inputs of the linear region
    of x with its features: the greedy choice for points that are spread widely. Each is a local maximum, by ascents of
    linear programs; the first is sought as that of ``farthest_l2``. Each example proves by itself that it has the
    features of x, as those of ``invariance_example`` do.

    Args:
        network: the network.
        x: the source, of the network's input shape or flat.
        count: how many are sought, at least 1.
        layer: the number of the ReLU layer whose output counts as the features, negative from the end; or "output" for
            that of the network.
        domain: where inputs lie; it must bound the inputs with these features.
        keep: the pixels that must stay as they are: a mask of the input's shape, or flat numbers.
        arithmetic: what the model computes in: float32 needs more room than float64.
        starts: random directions in which ascents begin, for each example.
        seed: of these directions.
        within: by how much every feature may differ, as in ``invariance_example``.

    Returns:
        The examples in the order in which they were found. Their ``objective`` is the distance from x, their reason
        says how far the nearest of those before is. Fewer than ``count`` where the region has no more that differ.

    Raises:
        InputError: wrong shapes, x outside of the domain, a negative ``within``, or a domain that leaves such inputs
            unbounded (the direction is named).
        ModelError: a smooth activation before the layer.
    """
    check_network(network)
    source, count = network.flat_sample(x), as_count(count, "count")
    starts, seed = as_count(starts, "starts"), as_count(seed, "seed", 0)
    stage, kept = stage_of(network, layer), kept_pixels(network, keep)
    allowed = checked_allowance(network, stage, source, within)
    polyhedron = as_polyhedron(domain, network.inputs)
    check_inside(polyhedron, source)
    found: list[InvarianceExample] = []
    before, first = source[None], 0.0
    with one_thread():
        search = search_region(network, stage, source, polyhedron, kept, checked_arithmetic(arithmetic), allowed)
        for number in range(count):
            apart = next_apart(search, before, starts=starts, seed=seed + number)
            if apart.status is Status.UNBOUNDED:
                raise unbounded("how far from each other inputs with these features can be", apart.x)
            first = first or apart.distance
            if apart.distance <= EXHAUSTED * first:
                break
            found.append(_example(search, stage, apart, domain, kept, allowed))
            before = np.vstack([before, apart.x])
    return found


def _example(
    search: Search,
    stage: int,
    apart: Apart,
    domain: Domain | None,
    kept: Int64[IntArray, " k"],
    within: float | Float64[FloatArray, " m"],
) -> InvarianceExample:
    source, shape = search.source, search.region.network.input_shape
    distance = Norm.L2.of(apart.x - source)
    most = Norm.L2.of(np.maximum(search.domain.high - source, source - search.domain.low))
    return InvarianceExample(
        network=search.region.network,
        stage=stage,
        source=source.reshape(shape),
        x=apart.x.reshape(shape),
        domain=domain,
        kept=kept,
        within=within,
        target=None,
        asked=Objective.FARTHEST_L2,
        objective=distance,
        bound=max(most, distance),
        is_optimal=False,
        reason="a local optimum of several far from each other; of those before and x, the nearest is "
        f"{apart.distance:.4g} away",
    )


__all__ = ["far_apart_examples"]
