"""A second input with exactly the same features in another linear region, for small networks.

For a direction c that is no special one, x is the only input with its features only if it maximises and minimises
``<c, x'>`` among them, over all regions: two mixed-integer programs. What they find is proved to lie next to an input
with exactly the features of x (``fiberscope.invariance.proof``), nearer by far than x is. That they find nothing proves
nothing, because they are solved in floating point.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import FiberscopeError
from fiberscope.invariance.mixed_integer import optimal_over_regions
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain, written_out
from fiberscope.network.network import Network
from fiberscope.preimage.budget import Budget

MOST_UNITS = 60
"""Units before the features beyond which mixed-integer programs are not begun: hundreds hardly end."""

SEED = 0
"""Of the direction: verdicts repeat."""


def second_elsewhere(
    network: Network, layer: int, x: Float64[FloatArray, " n"], domain: Domain | None, budget: Budget
) -> bool:
    """Whether another input with the features of x is found and proved, in whatever region.

    Args:
        network: the network.
        layer: the number of the ReLU layer that gives the features.
        x: the input.
        domain: where inputs lie; where it is no bounded box, nothing is looked for.
        budget: how long it may take.
    """
    before = network.needed_for(network.placed_layers[layer].stage)[:-1]
    units = sum(network.stages[number].outputs for number in before if network.stages[number].activation is not None)
    if units > MOST_UNITS or not written_out(domain, network.inputs).is_box_bounded:
        return False
    c = np.random.default_rng(SEED).standard_normal(network.inputs)
    for target in (c, -c):
        try:
            found = optimal_over_regions(network, x, target, layer, domain, seconds=budget.left() or None)
        except FiberscopeError:  # a smooth activation, say
            return False
        if (found.x.ravel() != x).any() and found.verify():
            return True
    return False


__all__ = ["second_elsewhere"]
