"""How far inputs of the region of x reach whose features may differ by more and more.

The polytopes of all eps are one within the other: the same inequalities with other sides. One linear program has them
all, and goes on from the optimum at one eps to that at the next: to and fro, so that for a further direction it begins
at the eps where it stopped for the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from fiberscope.invariance.feasible_steps import FeasibleSteps
from fiberscope.invariance.feature_region import Features, feature_region, features_at, pieces_at
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network
from fiberscope.preimages.linear_program import Status


def reach_curve(
    network: Network,
    stage: int,
    x: Float64[FloatArray, " n"],
    domain: Polyhedron,
    directions: Sequence[Float64[FloatArray, " n"]],
    allowances: Sequence[float | Float64[FloatArray, " m"]],
) -> Float64[FloatArray, "e k"]:
    """``max <d, x' - x>`` over the inputs x' of the region of x whose features differ by at most w, for all w and d.

    Args:
        network: the network.
        stage: whose output counts as the features.
        x: (n,) the source.
        domain: where inputs lie.
        directions: k of them, (n,) each: d.
        allowances: e of them, ascending: w, a number or one for each feature; 0 for the same features in all of them.

    Returns:
        (e, k) the maxima; infinite where there is none, NaN where HiGHS failed.
    """

    def features(within: float | Float64[FloatArray, " m"]) -> Features:
        return features_at(network, x, stage, within, all_ends=True)

    region = feature_region(network, features(allowances[0]), pieces_at(network, x, stage))
    first = FeasibleSteps.of(region, domain, x)
    sides = [first, *(first.with_features(features(within)) for within in allowances[1:])]
    program, gains = RegionProgram(first), np.zeros((len(sides), len(directions)))
    order = list(range(len(sides)))
    for number, direction in enumerate(directions):
        for k in order:
            program.change_sides(sides[k])
            gains[k, number] = furthest(program, direction)
        order.reverse()
    return gains


def furthest(program: RegionProgram, direction: Float64[FloatArray, " n"]) -> float:
    """The largest ``<d, x' - x>``; infinite where there is none, NaN where HiGHS failed."""
    found = program.maximize(direction)
    if found.status is Status.UNBOUNDED:
        return np.inf
    if not found.optimal:
        return np.nan
    return max(0.0, found.value)


__all__ = ["furthest", "reach_curve"]
