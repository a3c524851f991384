"""A second input with exactly the same features, found by a search and proved by evaluating both.

For a direction c that is no special one, x is the only input with its features only if it maximises and minimises
``<c, x'>`` among them. In the linear region of x these are two linear programs; what is proved is the middle between
their optima, because fewer of its pixels lie on bounds than of a vertex. Over all regions of a small network they are
mixed-integer programs. The proof (``fiberscope.invariance.proof``) is of an input with exactly the features of x, and
nearer to what was found than x is. That nothing is found proves nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import FiberscopeError
from fiberscope.invariance.examples import invariance_examples
from fiberscope.invariance.mixed_integer import optimal_over_regions
from fiberscope.invariance.same_features import SameFeatures
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Box, Domain, as_polyhedron
from fiberscope.network.network import Network
from fiberscope.preimages.budget import Budget

MOST_UNITS = 60
"""Units before the features beyond which mixed-integer programs are not begun: hundreds hardly end."""

SEED = 0
"""Of the direction: verdicts repeat."""


def second_in_region(network: Network, layer: int, x: Float64[FloatArray, " n"], domain: Domain | None) -> bool:
    """Whether another input with the features of x is found and proved in the linear region of x.

    Args:
        network: the network.
        layer: the number of the ReLU layer that gives the features.
        x: the input.
        domain: where inputs lie.
    """
    polyhedron = as_polyhedron(domain, len(x))
    known = np.abs(np.concatenate([x, polyhedron.low, polyhedron.high]))
    size = float(known[np.isfinite(known)].max()) or 1.0
    box = Box(x - size, x + size)  # so that no program is unbounded; the set is convex, and x lies in it
    within = box if domain is None else box & domain
    c = _direction(network)
    try:
        first, second = invariance_examples(network, x, [c, -c], layer, within, arithmetic="float64", threads=1)
    except FiberscopeError:  # a smooth activation, say
        return False
    return _is_proved(replace(first, x=(first.x + second.x) / 2.0)) or _is_proved(first) or _is_proved(second)


def second_elsewhere(
    network: Network, layer: int, x: Float64[FloatArray, " n"], domain: Domain | None, budget: Budget
) -> bool:
    """The same over all regions of a small network, whose domain is a bounded box."""
    before = network.needed_for(network.placed_layers[layer].stage)[:-1]
    units = sum(network.stages[number].outputs for number in before if network.stages[number].activation is not None)
    if units > MOST_UNITS or not as_polyhedron(domain, network.inputs).is_box_bounded:
        return False
    c = _direction(network)
    for target in (c, -c):
        try:
            found = optimal_over_regions(network, x, target, layer, domain, seconds=budget.left() or None)
        except FiberscopeError:
            return False
        if _is_proved(found):
            return True
    return False


def _direction(network: Network) -> FloatArray:
    return np.random.default_rng(SEED).standard_normal(network.input_shape)


def _is_proved(found: SameFeatures) -> bool:
    return bool((found.x != found.source).any()) and bool(found.verify(points=0))


__all__ = ["second_elsewhere", "second_in_region"]
