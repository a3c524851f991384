"""The input of a region that is farthest from x.

In L-infinity that is two linear programs per pixel, of which those that cannot do better than what was found are left
out. In L1 and L2 a convex function is maximised: what is found is a local maximum, and its upper bound is proved.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np
from jaxtyping import Float64

from fiberscope.invariance.nearest import Found
from fiberscope.invariance.objective import Norm
from fiberscope.invariance.region_program import RegionProgram, RegionSolution
from fiberscope.network.arrays import FloatArray
from fiberscope.preimage.linear_program import Status

MAX_STEPS = 100
"""Linear programs of one ascent; the distance grows with each."""

GROWTH = 1e-9
"""Relative growth below which an ascent has ended."""


def farthest(
    program: RegionProgram, x: Float64[FloatArray, " n"], norm: Norm, *, max_programs: int, starts: int, seed: int
) -> Found:
    """``max |x' - x|`` over the region, the domain and the room of a program.

    Args:
        program: the program.
        x: the source.
        norm: the norm.
        max_programs: of L-infinity, how many linear programs are solved at most; what is not looked at stays in the
            bound.
        starts: of L1 and L2, how many ascents are made.
        seed: of their directions.
    """
    match norm:
        case Norm.LINF:
            return _one_pixel(program, x, max_programs)
        case Norm.L1 | Norm.L2:
            return _ascents(program, x, norm, starts, seed)
        case _:
            assert_never(norm)


def _one_pixel(program: RegionProgram, x: FloatArray, max_programs: int) -> Found:
    """Pixel by pixel and sign by sign, those with the most room in the domain first."""
    domain, n = program.polyhedron, len(x)
    reach = np.concatenate([domain.high - x, x - domain.low])
    best, bound, programs = x, 0.0, 0
    for number in np.argsort(-reach, kind="stable").tolist():
        if reach[number] <= max(Norm.LINF.of(best - x), bound):
            break
        if programs == max_programs:
            return Found(Status.OPTIMAL, best, float(reach[number]), False, programs)
        unit = np.zeros(n)
        unit[number % n] = 1.0 if number < n else -1.0
        found = program.maximize(unit)
        programs += 1
        if not found.optimal:
            return _failed(found, programs)
        bound = max(bound, min(found.bound - float(unit @ x), float(reach[number])))
        if Norm.LINF.of(found.x - x) > Norm.LINF.of(best - x):
            best = found.x
    # of pixels that were not asked about, none can do better than what was found
    return Found(Status.OPTIMAL, best, max(bound, Norm.LINF.of(best - x)), True, programs)


def _ascents(program: RegionProgram, x: FloatArray, norm: Norm, starts: int, seed: int) -> Found:
    """From random directions, and from where most room is, one linear program after the other along the gradient."""
    domain = program.polyhedron
    reach = np.maximum(domain.high - x, x - domain.low)
    rng = np.random.default_rng(seed)
    first = np.where(domain.high - x >= x - domain.low, 1.0, -1.0)
    best, programs = x, 0
    for direction in [first, *rng.standard_normal((max(0, starts - 1), len(x)))]:
        there, size = x, 0.0
        for _ in range(MAX_STEPS):
            found = program.maximize(direction)
            programs += 1
            if not found.optimal:
                return _failed(found, programs)
            farther = norm.of(found.x - x)
            if farther <= size * (1.0 + GROWTH):
                break
            there, size = found.x, farther
            direction = there - x if norm is Norm.L2 else np.sign(there - x)
        best = there if size > norm.of(best - x) else best
    return Found(Status.OPTIMAL, best, norm.of(reach), False, programs)


def _failed(found: RegionSolution, programs: int) -> Found:
    return Found(found.status, found.x, np.inf, False, programs)


__all__ = ["farthest"]
