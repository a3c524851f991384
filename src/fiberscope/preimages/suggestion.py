"""What float64 suggests about one preimage: a candidate, of which nothing is proved yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fiberscope.errors import MemoryLimitError
from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.budget import TooLargeError
from fiberscope.preimages.candidate import BoundedDomain, Candidate, Counted, Multipliers
from fiberscope.preimages.face import Face, find_face, rank_of_equalities
from fiberscope.preimages.interior_point import find_point
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.noise_block import face_of_noise
from fiberscope.preimages.projection import point_inside
from fiberscope.preimages.recession import find_recession
from fiberscope.preimages.system import NO_ROWS, MixedSystem


def candidate_at_output(system: MixedSystem) -> Candidate | str:
    """The candidate for the preimage of an output that seems to have one, or why there is none."""
    try:
        point = point_inside(system)
        point = find_point(system) if point is None else point
    except (TooLargeError, MemoryLimitError) as limit:
        return str(limit)
    return "no point was found" if point is None else candidate_at(system, point)


def candidate_at(system: MixedSystem, point: FloatArray | None) -> Candidate | str:
    """The candidate for the preimage of the output at an input, where the point is None; or why there is none."""
    try:
        system.budget.check("the question was read")
        return _suggestion(system, point)
    except (TooLargeError, MemoryLimitError) as limit:
        return str(limit)


def _suggestion(system: MixedSystem, point: FloatArray | None) -> Candidate:
    cone = None if system.domain.is_box_bounded else find_recession(system.at_infinity)
    tangent = _tangent_face(system, cone)
    cone = _of_one_cone(system, cone, tangent)
    faces = dict.fromkeys(face for face in (tangent, cone) if face is not None)
    units = tuple(np.ldexp(1.0, face.units) for face in faces if face.units is not None)
    return replace(_candidate_of(system, point, cone, tangent), units=units)


def candidate_of_noise(system: MixedSystem) -> Candidate | None:
    """The candidate at an input where rows depend on each other but for roundings; None elsewhere, or for none.

    Raises:
        TooLargeError: the budget is spent, or nothing finds a face.
    """
    far = system.at_infinity
    cone = None
    if not system.domain.is_box_bounded:
        cone = face_of_noise(far, far.positive, far.live(far.inequalities))
        if cone is None:
            return None
    tangent = face_of_noise(system, system.positive, system.live(system.tight))
    return None if tangent is None else _candidate_of(system, None, cone, tangent)


def _candidate_of(system: MixedSystem, point: FloatArray | None, cone: Face | None, tangent: Face) -> Candidate:
    n = system.layer.inputs
    if tangent.rank == n:
        return Candidate(Kind.SINGLETON, 0, point, tangent.multipliers)
    away = None if cone is None else cone.as_direction()
    line = None if cone is None or cone.counted is None else Counted(cone.counted)
    inside = away if tangent is cone else tangent.as_direction()  # one object where it is one direction
    interior = inside if len(tangent.implicit) < len(system.tight) else None
    common = (n - tangent.rank, point, tangent.multipliers, interior)
    if cone is None:
        return Candidate(Kind.BOUNDED, *common, recession=BoundedDomain())
    if cone.spans:
        return Candidate(Kind.BOUNDED, *common, recession=cone.multipliers or Multipliers.zero(cone.equalities))
    return Candidate(Kind.UNBOUNDED, *common, recession=line or away)


def _of_one_cone(system: MixedSystem, cone: Face | None, tangent: Face) -> Face | None:
    """The face of the recession cone, or the tangent one's where all rows are tight: one direction serves both."""
    if cone is None or cone.spans or tangent.direction is None or len(system.two_sided):
        return cone
    all_tight = np.isin(system.live(system.inequalities), system.tight).all()
    return tangent if all_tight else cone


def _tangent_face(system: MixedSystem, cone: Face | None) -> Face:
    """The face of the feasible-direction cone T.

    Where both cones have the same equalities, and the recession cone C has a strict direction or no row is tight, C's
    answer serves.
    """
    related = None if len(system.two_sided) else cone
    if related is not None and related.direction is not None and not len(related.implicit):
        return related
    n = system.layer.inputs
    rank = None if related is None else related.equality_rank
    coordinate, _ = system.coordinates(system.tight)
    pinned = system.domain.low == system.domain.high  # they have no direction to leave their bounds in
    tight = system.tight[(coordinate < 0) | ~pinned[coordinate]]
    if rank is None and not len(tight) and (system.is_sparse or not len(system.positive)):
        rank = rank_of_equalities(system)
    if rank is not None and (not len(tight) or rank == n):
        return Face(system.positive, NO_ROWS, None, None, rank, rank, spans=rank == n)
    return find_face(system, system.positive, system.tight, rank)


__all__ = ["candidate_at", "candidate_at_output", "candidate_of_noise"]
