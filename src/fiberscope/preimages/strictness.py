"""Directions that equalities hold at zero, strict on its inequalities: by few steps, by many, or by a program."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.network.signs import row_norms
from fiberscope.preimages.room_program import roomiest_direction
from fiberscope.preimages.strict_direction import MAX_STEPS, PATIENT_STEPS, strict_direction
from fiberscope.preimages.system import NO_ROWS, MixedSystem

MAX_INPUTS = 1_000
"""Inputs beyond which many steps take minutes."""
NOISE = 1e-9
"""Of the terms of a slope, what has to be left of it."""
ROUNDS = 4
"""Of rows that are asked for because a direction breaks them."""


def strictly(
    system: MixedSystem, equalities: IntArray, inequalities: IntArray, implicit: IntArray, steps: int = MAX_STEPS
) -> Float64[FloatArray, " n"] | None:
    """A direction that is zero on equalities and implicit ones, and strict on the other inequalities.

    None where none was found, or more rows than inputs would have to be factored.
    """
    n = system.layer.inputs
    others = np.setdiff1d(inequalities, implicit)
    coordinate, sign = system.coordinates(others)
    held_coordinate, held_sign = system.coordinates(implicit)
    H = np.concatenate([system.live(equalities), implicit[held_sign == 0]])
    W, fixed = others[sign == 0], system.domain.low == system.domain.high
    moved = (sign != 0) & ~fixed[coordinate]  # what has one value has no direction to be strict in
    fixed[held_coordinate[held_sign != 0]] = True
    bounded, sign = coordinate[moved], sign[moved]
    moving = cast(Rows, cast(Any, system.rows(H))[:, np.flatnonzero(~fixed)])
    reading = H[row_norms(moving) > 0]
    if len(reading) + len(W) > n or len(np.unique(bounded)) < len(bounded) or fixed[bounded].any():
        return None
    signs = np.zeros(n)
    signs[bounded] = -sign
    return strict_direction(system.rows(reading), system.rows(W), signs, fixed, system.budget, steps=steps)


def patiently(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Float64[FloatArray, " n"] | None:
    """A direction that is strict on all inequalities, which may grow and fall by orders of magnitude; None for none.

    Rows of the layer that are no equalities are asked as directions without them break them.
    """
    if system.layer.inputs > MAX_INPUTS or not len(inequalities):
        return None
    is_row = system.coordinates(inequalities)[1] == 0
    asked = ~is_row if len(equalities) + is_row.sum() > system.layer.inputs else np.ones_like(is_row)
    for _ in range(ROUNDS):
        direction = strictly(system, equalities, inequalities[asked], NO_ROWS, PATIENT_STEPS) if asked.any() else None
        if direction is None:
            return None
        others = system.rows(inequalities[~asked])
        broken = others @ direction > -NOISE * (abs(cast(Any, others)) @ np.abs(direction))
        if not broken.any():
            return direction
        asked[np.flatnonzero(~asked)[broken]] = True
    return None


def roomiest(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Float64[FloatArray, " n"] | None:
    """The direction that is the most strict, per length; None where float64 sees none."""
    if not len(inequalities):
        return None
    return roomiest_direction(system.rows(system.live(equalities)), system.rows(inequalities), system.budget)


__all__ = ["patiently", "roomiest", "strictly"]
