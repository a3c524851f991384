"""How far inputs with the features of x can reach at most, in whatever region they lie.

Where no activation comes before the features, the inputs with given features are one polytope: what is found in the
region of x is the best of all. Behind a few units a mixed-integer program bounds it, also where it is not finished;
behind more, only the domain does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.invariance.across_regions import Problem
from fiberscope.invariance.bound_tightening import tightened
from fiberscope.invariance.feature_region import Features
from fiberscope.invariance.milp_encoding import MilpEncoding, milp_encoding
from fiberscope.invariance.stage_bounds import box_of, interval_bounds, needed_stages
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT
from fiberscope.preimages.linear_program import Option, Solver, Status

MOST_UNITS = 12
"""Units before the features up to which mixed-integer programs are solved: up to there, one takes tens of milliseconds,
and a survey asks for dozens of them a sample. ``optimal_over_regions`` answers behind more units."""

MAX_NODES = 100
"""Of a search tree, after which the bound is taken as it is. A count, not a time, so that answers repeat."""


def largest_gains(
    network: Network,
    features: Features,
    source: Float64[FloatArray, " n"],
    domain: Polyhedron,
    directions: Sequence[Float64[FloatArray, " n"]],
    found: Sequence[float],
) -> list[float]:
    """Upper bounds of ``<d, x' - x>`` over all inputs x' of the domain with the features of x, one for each direction.

    Args:
        network: the network.
        features: what is to stay the same.
        source: x.
        domain: where inputs lie.
        directions: d.
        found: what the region of x reaches; NaN where that is not known.
    """
    asked = Problem(network, features, domain, source, np.zeros(len(source)), np.zeros(len(features.others)))
    on_the_way = [number for number in needed_stages(asked) if network.stages[number].activation is not None]
    if not on_the_way:
        return [
            float(gain) if not np.isnan(gain) else _of_domain(domain, source, d)
            for d, gain in zip(directions, found, strict=True)
        ]
    bounds = [_of_domain(domain, source, d) for d in directions]
    if sum(network.stages[number].outputs for number in on_the_way) <= MOST_UNITS:
        solved = _by_programs(asked, directions)
        bounds = [min(pair) for pair in zip(bounds, solved, strict=True)]
    return [float(np.fmax(bound, gain)) for bound, gain in zip(bounds, found, strict=True)]  # which rounding may pass


def _of_domain(domain: Polyhedron, source: FloatArray, d: FloatArray) -> float:
    """``max <d, x' - x>`` over the bounds of the inputs."""
    moved = d != 0
    ends = np.where(d > 0, domain.high, domain.low)
    return float(d[moved] @ (ends - source)[moved])


def _by_programs(asked: Problem, directions: Sequence[FloatArray]) -> list[float]:
    """By one mixed-integer program a direction, which share their rows; infinite where none can be made."""
    try:
        box = box_of(asked.polyhedron)
    except InputError:  # the domain is not bounded
        return [np.inf] * len(directions)
    choice = milp_encoding(asked, tightened(asked, interval_bounds(asked, {INPUT: box})))
    return [_bound(choice, asked.source, d) for d in directions]


def _bound(choice: MilpEncoding, source: FloatArray, d: FloatArray) -> float:
    cost = np.zeros(len(choice.integral))
    cost[: len(d)] = d
    program, searched = replace(choice.program, objective=cost), bool(choice.integral.any())
    # the bound alone is asked for, and not a point that attains it
    options: dict[str, Option] = {"mip_max_nodes": MAX_NODES, "mip_heuristic_effort": 0.0} if searched else {}
    solver = Solver(replace(program, integral=choice.integral) if searched else program, options)
    status = solver.run()
    if status is Status.OPTIMAL or (status is Status.NODES and searched):
        return (solver.bound if searched else solver.value) - float(d @ source)
    return np.inf


__all__ = ["MAX_NODES", "MOST_UNITS", "largest_gains"]
