"""Bounds on all inputs of a box that have given features, tightened round by round.

Each round asks of the polyhedron around the network (``fiberscope.checker.relaxation``) how far every coordinate of
the input reaches in it. What is proved is a box to begin again with: the smaller it is, the more units are known to be
on or off in all of it, and the less is lost by their chords. Once every unit is known, nothing is: the polyhedron is
the set.

Only multipliers come out, which prove the bounds again by weak duality, whatever found them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fiberscope.checker.relaxation import (
    ContradictionError,
    Known,
    Network,
    Step,
    narrowed,
    relaxed,
)
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.extent_search import SMALL, by_ascent
from fiberscope.preimages.extent_search import by_programs as solved
from fiberscope.recovery.elimination import Eliminated

ENOUGH = 0.9
"""A round that leaves more than this share of the widths, added up, is the last one."""


LOOKS = 3
"""At the ascent of a round: another round, in a smaller box, gains more than more steps."""


@dataclass(frozen=True, eq=False)
class Tightened:
    """A box that holds every input with the features, and what proves it.

    Attributes:
        low: (n,)
        high: (n,)
        steps: each begins with the box that those before it prove.
        contradiction: why no input has the features; empty where one may.
        ended: whether time ended it.
        large: whether none was given, and nothing was begun that would have taken long.
    """

    low: FloatArray
    high: FloatArray
    steps: tuple[Step, ...] = ()
    contradiction: str = ""
    ended: bool = False
    large: bool = False


def tighten(
    network: Network,
    low: FloatArray,
    high: FloatArray,
    known: Known,
    budget: Budget,
    x: FloatArray | None = None,
    suffices: Callable[[FloatArray, FloatArray], bool] = lambda low, high: False,
) -> Tightened:
    """Tighten a box around all inputs with known features.

    Args:
        network: as the checker reads it.
        low: (n,) finite.
        high: (n,) finite.
        known: the features.
        budget: when to end. Where it has no limit, only what linear programs of milliseconds solve is begun.
        x: (n,) an input that has them, or nearly so; None for the middle of the box.
        suffices: whether a box, given by its ends, is small enough.
    """
    steps: list[Step] = []
    by_programs = False
    while not budget.is_over:
        try:
            relaxation = relaxed(network, low, high, known)
        except ContradictionError as failure:
            nothing = np.zeros((0, 0))
            steps.append(Step(np.zeros(0, dtype=np.int64), (nothing, nothing)))
            return Tightened(low, high, tuple(steps), str(failure))
        coordinates = np.flatnonzero(low < high)
        reduced = Eliminated.of(relaxation) if len(coordinates) else None
        if reduced is None:
            break
        if budget.seconds is None and reduced.entries > SMALL:
            return Tightened(low, high, tuple(steps), large=True)
        found = _step(reduced, coordinates, _computed(network, known, low, high, x), by_programs, budget)
        if found is None:
            break
        step, reached = found
        below, above = narrowed(relaxation, step)
        if (below > above).any():
            reason = "the bounds on a coordinate of the input contradict each other"
            return Tightened(below, above, (*steps, step), reason)
        steps += [step] if ((below > low) | (above < high)).any() else []
        left = float((above - below).sum())
        gained = left < ENOUGH * (high - low).sum()
        low, high = below, above
        if (not gained and (by_programs or reached > ENOUGH * left)) or suffices(low, high):
            break
        by_programs = not gained
    return Tightened(low, high, tuple(steps), ended=budget.is_over)


def _computed(network: Network, known: Known, low: FloatArray, high: FloatArray, x: FloatArray | None) -> FloatArray:
    """The coordinates of what is computed of an input of the box."""
    point = low / 2.0 + high / 2.0 if x is None else np.clip(x, low, high)
    nothing = np.full(len(known.low), np.inf)
    return relaxed(network, point, point, Known(known.stage, -nothing, nothing)).box[0]


def _step(
    reduced: Eliminated, coordinates: IntArray, computed: FloatArray, by_programs: bool, budget: Budget
) -> tuple[Step, float] | None:
    """Multipliers for both ends of some coordinates, and the widths that points of the polyhedron reach, added up.

    None where programs are asked for, and are too large.
    """
    point = np.clip(computed, *reduced.relaxation.box)[reduced.free]
    units = np.zeros((len(coordinates), len(point)))
    units[np.arange(len(coordinates)), coordinates] = 1.0
    both = np.concatenate([-units, units])
    if not by_programs:
        found = by_ascent(reduced.thickened(point), both, budget, _silent, "cpu", LOOKS)
    elif (polytope := reduced.polytope(point)).rows.size <= SMALL:
        found = solved(polytope, both, budget, _silent, 0)
    else:
        return None
    k, multipliers = len(coordinates), reduced.multipliers(found.multipliers.astype(np.float64))
    reached = found.points[k:][np.arange(k), coordinates] - found.points[:k][np.arange(k), coordinates]
    return Step(coordinates, (multipliers[:k], multipliers[k:])), float(np.nansum(reached))


def _silent(_: int) -> None:
    """Progress that is not reported."""


__all__ = ["Tightened", "tighten"]
