"""What is asked across regions: a linear objective over all inputs that have the features of x, whatever region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.invariance.feasible_steps import FeasibleSteps
from fiberscope.invariance.feature_bands import Within, checked_allowance
from fiberscope.invariance.feature_region import Features, Pieces, feature_region, features_at, pieces_at
from fiberscope.invariance.feature_stage import Layer, stage_of
from fiberscope.invariance.objective import Goal, Objective, checked_objective
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.invariance.rounding_slack import wanted_room
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain, Polyhedron, as_polyhedron
from fiberscope.network.network import Network
from fiberscope.network.original import Arithmetic, checked_arithmetic
from fiberscope.preimages.system import check_inside

GROWTH = 1e-9
"""Growth of the objective, relative to the terms that it consists of, that counts: HiGHS's tolerance."""

SHARE = 0.5
"""Of the room that x itself has, what an input with the same features keeps at least."""


@dataclass(frozen=True, eq=False)
class Problem:
    """maximize ``<c, x'>`` over all x' in the domain that have the features of x.

    Attributes:
        network: the network.
        features: what stays the same.
        polyhedron: the domain.
        source: (n,) x.
        objective: (n,) c.
        room: (r,) by how much the features' own inequalities are to hold strictly.
        within: by how much every feature may differ, a number or (m,) of them.
    """

    network: Network
    features: Features
    polyhedron: Polyhedron
    source: Float64[FloatArray, " n"]
    objective: Float64[FloatArray, " n"]
    room: Float64[FloatArray, " r"]
    within: float | Float64[FloatArray, " m"] = 0.0

    def pieces(self) -> Pieces:
        """The pieces of the units on the way at x."""
        return pieces_at(self.network, self.source, self.features.stage)

    def program(self, pieces: Pieces, x: Float64[FloatArray, " n"]) -> RegionProgram:
        """The program of one region, around a point of it."""
        region = feature_region(self.network, self.features, pieces)
        of_units, of_domain = region.count - len(self.room), len(self.polyhedron.h)
        room = np.concatenate([np.zeros(of_units), self.room, np.zeros(of_domain)])
        return RegionProgram(FeasibleSteps.of(region, self.polyhedron, x), room=room)

    def gain(self, x: Float64[FloatArray, " n"], before: Float64[FloatArray, " n"]) -> float:
        """``<c, x - x_before>``, where that is more than tolerances explain; else 0."""
        gain = float(self.objective @ (x - before))
        size = np.abs(self.objective) @ (np.abs(x - self.source) + np.abs(before - self.source))
        return gain if abs(gain) > GROWTH * size else 0.0

    def value(self, x: Float64[FloatArray, " n"]) -> float:
        """``<c, x>``."""
        return float(self.objective @ x)


def problem(
    network: Network,
    x: Any,
    target: Any,
    layer: Layer,
    domain: Domain | None,
    *,
    objective: Objective | str,
    arithmetic: Arithmetic | None,
    within: Within = 0.0,
) -> Problem:
    """Check what is asked, once, and write it out; see ``fiberscope.invariance.walk.walk_regions``.

    Raises:
        InputError: no such layer, another objective, inputs that do not fit, x outside of the domain.
    """
    stage = stage_of(network, layer)
    source, goal = network.flat_sample(x), network.flat_sample(target, "target")
    asked = checked_objective(objective)
    if asked.goal is not Goal.LINEAR:
        raise InputError("objective", expected="'inner_product' or 'towards', which are linear", got=repr(str(asked)))
    polyhedron = as_polyhedron(domain, network.inputs)
    check_inside(polyhedron, source)
    allowed = checked_allowance(network, stage, source, within)
    features = features_at(network, source, stage, allowed)
    vector = goal if asked is Objective.INNER_PRODUCT else goal - source
    room = np.zeros(len(features.others))
    found = Problem(network, features, polyhedron, source, vector, room, allowed)
    if arithmetic is None and not features.widths.any():
        return found
    own = features.widths.numpy() > 0
    wanted = _room(found, "float64" if arithmetic is None else checked_arithmetic(arithmetic))
    return replace(found, room=wanted if arithmetic is not None else np.where(own, wanted, 0.0))


def _room(asked: Problem, arithmetic: Arithmetic) -> FloatArray:
    """What rounding needs, as far as x has it: half of its own room stays for others."""
    region = feature_region(asked.network, asked.features, asked.pieces())
    own = slice(region.count - len(asked.room), region.count)
    wanted = wanted_room(region, asked.polyhedron, asked.source, arithmetic)[own]
    has = np.maximum(-region.excess(asked.source[None])[0, own], 0.0)
    return np.minimum(wanted, SHARE * has)


__all__ = ["Problem", "problem"]
