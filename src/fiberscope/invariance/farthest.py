"""The input of a region that is farthest from x.

In L-infinity that is two linear programs per pixel, of which those that cannot do better than what was found are left
out. In L1 and L2 a convex function is maximised: what is found is a local maximum, and its upper bound is proved.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np

from fiberscope.invariance.nearest import Found, size_of
from fiberscope.invariance.objective import Norm
from fiberscope.invariance.region_program import RegionProgram, RegionSolution
from fiberscope.preimages.linear_program import Status

MAX_STEPS = 100
"""Linear programs of one ascent; the distance grows with each."""

GROWTH = 1e-9
"""Relative growth below which an ascent has ended."""


def farthest(program: RegionProgram, norm: Norm, *, max_programs: int, starts: int, seed: int) -> Found:
    """``max |d|`` over the region, the domain and the room of a program.

    Args:
        program: the program.
        norm: the norm.
        max_programs: of L-infinity, how many linear programs are solved at most; what is not looked at stays in the
            bound.
        starts: of L1 and L2, how many ascents are made.
        seed: of their directions.
    """
    match norm:
        case Norm.LINF:
            return _one_pixel(program, max_programs)
        case Norm.L1 | Norm.L2:
            return _ascents(program, norm, starts, seed)
        case _:
            assert_never(norm)


def _one_pixel(program: RegionProgram, max_programs: int) -> Found:
    """Pixel by pixel and sign by sign, those with the most room in the domain first."""
    n = len(program.low)
    reach = np.concatenate([program.high, -program.low])
    best, found_most, bound, without, size, programs = np.zeros(n), 0.0, 0.0, 0.0, 0.0, 0
    for number in np.argsort(-reach, kind="stable").tolist():
        # of pixels that are not asked about, none can do better than what was found
        if reach[number] <= max(found_most, bound):
            break
        if programs == max_programs:
            most = float(reach[number])
            return Found(Status.OPTIMAL, best, max(bound, most), 0.0, most, programs)
        unit = np.zeros(n)
        unit[number % n] = 1.0 if number < n else -1.0
        found = program.maximize(unit)
        programs += 1
        if not found.optimal:
            return _failed(found, programs)
        size = max(size, size_of(found))
        bound = max(bound, min(found.bound, float(reach[number])))
        without = max(without, min(found.bound - found.loss, float(reach[number])))
        if Norm.LINF.of(found.step) > found_most:
            best, found_most = found.step, Norm.LINF.of(found.step)
    bound = max(bound, found_most)
    return Found(Status.OPTIMAL, best, bound, max(0.0, bound - max(without, found_most)), size, programs)


def _ascents(program: RegionProgram, norm: Norm, starts: int, seed: int) -> Found:
    """From random directions, and from where most room is, one linear program after the other along the gradient."""
    reach = np.maximum(program.high, -program.low)
    rng = np.random.default_rng(seed)
    first = np.where(program.high >= -program.low, 1.0, -1.0)
    n = len(first)
    best, programs = np.zeros(n), 0
    for direction in [first, *rng.standard_normal((max(0, starts - 1), n))]:
        there, size = np.zeros(n), 0.0
        for _ in range(MAX_STEPS):
            found = program.maximize(direction)
            programs += 1
            if not found.optimal:
                return _failed(found, programs)
            farther = norm.of(found.step)
            if farther <= size * (1.0 + GROWTH):
                break
            there, size = found.step, farther
            direction = there if norm is Norm.L2 else np.sign(there)
        best = there if size > norm.of(best) else best
    return Found(Status.OPTIMAL, best, norm.of(reach), 0.0, norm.of(best), programs)


def _failed(found: RegionSolution, programs: int) -> Found:
    return Found(found.status, found.step, np.inf, 0.0, 0.0, programs)


__all__ = ["farthest"]
