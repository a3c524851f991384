"""The recession cone of a preimage: its smallest face, or what says less and is found sooner, a ray or a line."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from fiberscope.network.arrays import IntArray
from fiberscope.preimages.budget import TooLargeError
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.central_path import follow
from fiberscope.preimages.cone_projection import MAX_STEPS, OrthantCones, OrthantRows, project
from fiberscope.preimages.counting import undetermined
from fiberscope.preimages.elimination import Elimination
from fiberscope.preimages.face import (
    MAX_PROGRAM_INPUTS,
    Face,
    face_by_path,
    face_inside,
    find_face,
    narrow_face,
    quick_face,
    rank_of_equalities,
    searched_face,
)
from fiberscope.preimages.lineality import find_line
from fiberscope.preimages.null_coordinates import MAX_COORDINATES
from fiberscope.preimages.ray_program import build_ray_system, ray_or_multipliers
from fiberscope.preimages.strictness import patiently
from fiberscope.preimages.system import NO_ROWS, MixedSystem

FEW_STEPS = 200
"""Of the projection where branches meet: it ends within 50, or far beyond what a path of interior points takes."""


def find_recession(system: MixedSystem) -> Face:
    """Find out whether the recession cone is {0}, given its own system.

    In an orthant, and of a sparse system, one ray or line is the answer, with the rows that hold it: the smallest face
    is not looked for then, and there are no multipliers.
    """
    equalities, inequalities = system.positive, system.live(system.inequalities)
    rows = OrthantRows.of(system.layer, system.domain)
    # of more dense rows than coordinates, Newton's steps on few of them cost less than products with all
    if rows.bounds_all and (system.is_sparse or len(rows.upper) <= system.layer.inputs):
        found = _recession_in_orthant(system, rows, inequalities)
        if found is not None:
            return found
        if system.is_sparse and system.layer.inputs > MAX_PROGRAM_INPUTS:
            raise TooLargeError("the search for a ray, or for multipliers, ended without either")
    if not rows.bounds_all:
        narrow = narrow_face(system, equalities, inequalities)
        if narrow is not None:
            return narrow
    counted = _line_by_counting(system) if system.is_sparse else NO_ROWS
    if len(counted):
        rank = rank_of_equalities(system)
        return Face(equalities, NO_ROWS, None, None, rank, rank, spans=False, counted=counted)
    # where branches meet, rows in the ancestor's coordinates are dense, but what they leave is small
    found = _face_in_fewer(system, equalities, inequalities) or quick_face(system, equalities, inequalities)
    if found is not None:
        return found
    if system.is_sparse:
        part = _line_or_rays(system, np.concatenate([equalities, inequalities]))
        if part is not None:
            return _face_of_rays(system, part)
        if system.layer.inputs > MAX_PROGRAM_INPUTS:
            raise TooLargeError("the search for a ray, or for multipliers, ended without either")
    return searched_face(system, equalities, inequalities)


def _recession_in_orthant(system: MixedSystem, rows: OrthantRows, inequalities: IntArray) -> Face | None:
    """What a projection says; where it says nothing, or rows depend on each other, what a path of interior points says.

    A ray in the middle of a face is easier to prove than others.
    """
    equalities, cone, face = system.positive, _cone_of(system, rows), None
    steps = FEW_STEPS if system.layer.definitions else MAX_STEPS
    (projected,) = project(rows, cone, system.budget, steps)
    if projected is not None:
        strict = isinstance(projected.part, Direction) and quick_face(system, equalities, inequalities)
        face = strict or _face_of_rays(system, projected.part)
        if face.direction is None or face.equality_rank == len(system.live(equalities)):
            return face
    if not system.is_sparse:
        return face
    narrow = narrow_face(system, equalities, inequalities)
    if narrow is not None:
        return narrow
    part = _ray_apart(system, rows, cone)
    if part is None:
        inside = face_inside(system, equalities, patiently(system, equalities, inequalities), own=True)
        if inside is not None:
            return inside
        middle = follow(rows, cone, system.budget)
        if middle is None and face is None:
            return narrow_face(system, equalities, inequalities, MAX_COORDINATES)
        part = None if middle is None else middle.part
    return face if part is None else _face_of_rays(system, part)


def _ray_apart(system: MixedSystem, rows: OrthantRows, cone: OrthantCones) -> Direction | None:
    """A ray among the coordinates that no equality reads, where it is found most easily; None for none."""
    read = cast(Any, rows.unit[np.flatnonzero(cone.equal[0])] != 0).sum(axis=0) > 0
    if not read.any() or read.all():
        return None
    part = rows.pinned(read)
    (projected,) = project(part, cone, system.budget)
    found = projected or follow(part, cone, system.budget)
    return found.part if found is not None and isinstance(found.part, Direction) else None


def _cone_of(system: MixedSystem, rows: OrthantRows) -> OrthantCones:
    """The system's cone, by the rows of its layer and its half-spaces."""
    equal = np.isin(rows.upper, system.positive)
    upper, lower = (np.isin(numbers, system.inequalities) & ~equal for numbers in (rows.upper, rows.lower))
    return OrthantCones(equal[None], upper[None], lower[None])


def _face_in_fewer(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """The face as it is found in the coordinates of the ancestor; None of other systems, or where it is not found."""
    smaller = Elimination.of(system) if system.layer.definitions else None
    if smaller is None:
        return None
    try:
        reduced, H = smaller.reduced, smaller.numbers(equalities)
        W = reduced.live(smaller.numbers(inequalities))
        found = face_by_path(reduced, H, W) or find_face(reduced, H, W)
    except TooLargeError:
        return None
    more = system.layer.inputs - smaller.reduced.layer.inputs
    return Face(
        equalities,
        smaller.names[found.implicit],
        None if found.multipliers is None else smaller.multipliers(found.multipliers),
        smaller.direction(found.direction) if isinstance(found.direction, np.ndarray) else None,
        found.equality_rank + more,
        found.rank + more,
        found.spans,
    )


def _line_by_counting(system: MixedSystem) -> IntArray:
    """Coordinates without bounds, more than rows that read one of them."""
    numbers = np.concatenate([system.positive, system.inequalities])
    coordinate, _ = system.coordinates(numbers)
    free = np.setdiff1d(np.arange(system.layer.inputs), coordinate)
    return undetermined(system.rows(numbers[coordinate < 0]), free)[0] if len(free) else NO_ROWS


def _line_or_rays(system: MixedSystem, numbers: IntArray) -> Direction | Multipliers | None:
    """A line or a ray with the rows that hold it, or multipliers that show that there is none."""
    rays = build_ray_system(system)
    if len(rays.free):
        line = find_line(system.rows(system.live(numbers)), budget=system.budget)
        if line is not None:
            return Direction(numbers, line)
    return ray_or_multipliers(rays, system.budget)


def _face_of_rays(system: MixedSystem, found: Direction | Multipliers) -> Face:
    """What a ray, or multipliers, say about the recession cone."""
    equalities, n = system.positive, system.layer.inputs
    rank = rank_of_equalities(system)
    if isinstance(found, Multipliers):
        implicit = np.setdiff1d(found.rows, equalities)
        return Face(equalities, implicit, found, None, rank, n, spans=True)
    implicit = np.setdiff1d(found.equalities, equalities)
    return Face(equalities, implicit, None, found.values, rank, rank, spans=False)


__all__ = ["find_recession"]
