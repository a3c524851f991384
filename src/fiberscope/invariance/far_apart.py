"""Inputs of one region with given features that are far from x and from each other, one after the other.

The next one is to maximise the distance to the nearest of those before. Distances are convex, so that
``|p - p_j| >= <u_j, p - p_j>`` with ``u_j`` the unit vector from p_j to where the last step ended: the linear program

    maximize t  subject to  t <= <u_j, p - p_j> for all j

over the region goes from there to an input whose nearest one is at least as far. That ends in a local maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.invariance.feature_projection import projected
from fiberscope.invariance.region_optimizer import Search
from fiberscope.invariance.region_program import Extension, RegionProgram
from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import sparse
from fiberscope.preimages.linear_program import Status

MAX_STEPS = 50
"""Linear programs of one ascent; the distance grows with each."""

GROWTH = 1e-6
"""Relative growth below which an ascent has ended."""


@dataclass(frozen=True, eq=False)
class Apart:
    """The next input.

    Attributes:
        status: how the search ended; of an unbounded program, x is a direction.
        x: (n,) the input; the source if there is no other.
        distance: to the nearest of those before, the source among them.
    """

    status: Status
    x: Float64[FloatArray, " n"]
    distance: float


def next_apart(search: Search, before: Float64[FloatArray, "k n"], *, starts: int, seed: int) -> Apart:
    """The input of a region that is far from those before, the source among them, as far as ascents find one.

    Where features may differ, those with exactly the same are looked at, too, so that it is never worse for it.
    """
    found = _of_programs(search, before, starts, seed)
    if search.exact is None or found.status is Status.UNBOUNDED:
        return found
    other = next_apart(search.exact, before, starts=starts, seed=seed)
    return other if other.distance > found.distance else found


def _of_programs(search: Search, before: FloatArray, starts: int, seed: int) -> Apart:
    """With all of the room; without success, with as much as the source has."""
    best = Apart(Status.OPTIMAL, search.source, 0.0)
    for program in (search.program, search.at_source):
        if program is None or best.distance:
            break
        best = _ascents(search, program, before, starts, seed)
    return best


def _ascents(search: Search, program: RegionProgram, before: FloatArray, starts: int, seed: int) -> Apart:
    """From ends of the region, away from those before and in random directions, and from points between them all.

    The ends may be those before, from which no ascent begins.
    """
    rng, n = np.random.default_rng(seed), len(search.source)
    steps = before - search.source
    best = Apart(Status.OPTIMAL, search.source, 0.0)
    random = rng.standard_normal((starts, n))
    # of a direction and its opposite, one tells where the region has no end
    for direction in [-steps.sum(axis=0), -random[0], *random]:
        if not direction.any():
            continue
        found = program.maximize(direction)
        if found.status is Status.UNBOUNDED:
            return Apart(found.status, found.step, np.inf)
        if not found.optimal:
            continue
        between = rng.dirichlet(np.ones(len(steps) + 1)) @ np.vstack([steps, found.step])
        for start in (found.step, between):
            step = _climbed(program, start, steps)
            settled = projected(search.held, program, search.interior, step)
            if settled is not None and (distance := _nearest(settled.x - before)) > best.distance:
                best = Apart(Status.OPTIMAL, settled.x, distance)
    return best


def _climbed(program: RegionProgram, start: FloatArray, steps: FloatArray) -> FloatArray:
    """Where an ascent ends; where it began if no program answers, as where the region has no end."""
    step, far = start, _nearest(start - steps)
    for _ in range(MAX_STEPS):
        if not far:
            break
        away = step - steps
        units = away / np.linalg.norm(away, axis=1)[:, None]
        found = _program(program, units, steps).maximize(np.append(np.zeros(len(step)), 1.0))
        farther = _nearest(found.step - steps)
        if not found.optimal or farther <= far:
            break
        grown, step, far = farther / far, found.step, farther
        if grown <= 1.0 + GROWTH:
            break
    return step


def _program(program: RegionProgram, units: FloatArray, steps: FloatArray) -> RegionProgram:
    """The region's program with the column t and a row ``<u_j, d> - t >= <u_j, p_j - x>`` for each input before."""
    rows = np.hstack([units, -np.ones((len(units), 1))])
    low = (units * steps).sum(axis=1)
    extension = Extension(np.zeros(1), np.full(1, np.inf), sparse(rows), low, np.full(len(units), np.inf))
    return RegionProgram(program.feasible, room=program.room, extension=extension)


def _nearest(differences: FloatArray) -> float:
    return float(np.linalg.norm(differences, axis=1).min())


__all__ = ["Apart", "next_apart"]
