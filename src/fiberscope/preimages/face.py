"""The smallest face that holds a cone ``{d : H d = 0, W d <= 0}``, found in float64.

Every such cone has one partition of its inequality rows: those that vanish on all of it (implicit equalities E, shown
by positive multipliers with ``H^T mu + W_E^T lambda = 0``) and the rest (shown by one direction that is strict on all
of them). Everything asked about a preimage is read off this partition: the cone is {0} iff H and W_E together have
rank n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64

from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, dense, scaled
from fiberscope.network.signs import row_norms
from fiberscope.preimages.budget import TooLargeError
from fiberscope.preimages.candidate import Direction, Multipliers, Vector
from fiberscope.preimages.central_path import follow
from fiberscope.preimages.cone_projection import OrthantCones, OrthantRows, project
from fiberscope.preimages.counting import undetermined
from fiberscope.preimages.dense import (
    RESOLVED,
    gram,
    independent_rows,
    is_positive_definite,
    numerical_rank,
    unit_rows,
)
from fiberscope.preimages.elimination import Elimination
from fiberscope.preimages.face_program import face_by_linear_program
from fiberscope.preimages.lineality import find_line
from fiberscope.preimages.linear_program import Method
from fiberscope.preimages.null_coordinates import MAX_COORDINATES, partition
from fiberscope.preimages.ray_program import build_ray_system, ray_or_multipliers
from fiberscope.preimages.reduced_path import follow_reduced
from fiberscope.preimages.strictness import patiently, roomiest, strictly
from fiberscope.preimages.system import NO_ROWS, MixedSystem

MAX_PROGRAM_INPUTS = 1_000
"""Inputs beyond which the simplex method takes many minutes for the whole face."""
NOISE = 1e-9
"""Multipliers below this share of the largest are what interior points leave of zeros."""
RANK_SHIFT = 1e-13
"""Per row: well above the rounding of a Gram matrix of unit rows; what lies below it is left to the pivoted QR."""


@dataclass(frozen=True, eq=False)
class Face:
    """A cone's partition of its inequality rows, with its witnesses.

    Attributes:
        equalities: the row numbers of H.
        implicit: the numbers of inequality rows shown to vanish on the cone (all of them, unless ``spans``).
        multipliers: on ``equalities`` and ``implicit``; None where ``implicit`` is empty, or a line was found.
        direction: zero on those rows, strictly negative on all other rows, not zero; None where the cone is {0}.
        equality_rank: the rank of the equalities. In float64 an estimate.
        rank: the rank of the equalities and implicit equalities; n where the cone is {0}. In float64 an estimate.
        spans: whether that rank is n.
        counted: coordinates that hold a line, whatever the numbers; then no direction was looked for. None elsewhere.
        units: (n,) exponents of units of coordinates that suit these vectors, where none are too many.
    """

    equalities: IntArray
    implicit: IntArray
    multipliers: Multipliers | None
    direction: Vector | None
    equality_rank: int
    rank: int
    spans: bool
    counted: IntArray | None = None
    units: IntArray | None = None

    @property
    def held(self) -> IntArray:
        """All rows that vanish on the cone."""
        return np.concatenate([self.equalities, self.implicit])

    def as_direction(self) -> Direction | None:
        """The strict direction together with the rows that hold it."""
        return None if self.direction is None else Direction(self.held, self.direction)


def find_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face:
    """Find the face: a linear solve where that is enough, else Newton's method, else a linear program."""
    inequalities = system.live(inequalities)
    quick = _quick_face(system, equalities, inequalities) or _narrow_face(system, equalities, inequalities)
    return _searched_face(system, equalities, inequalities) if quick is None else quick


def _face_in_fewer(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """The face as it is found in the coordinates of the ancestor; None of other systems, or where it is not found."""
    smaller = Elimination.of(system) if system.layer.definitions else None
    if smaller is None:
        return None
    try:
        found = find_face(smaller.reduced, smaller.numbers(equalities), smaller.numbers(inequalities))
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
        narrow = _narrow_face(system, equalities, inequalities)
        if narrow is not None:
            return narrow
    counted = _line_by_counting(system) if system.is_sparse else NO_ROWS
    if len(counted):
        rank = rank_of_equalities(system)
        return Face(equalities, NO_ROWS, None, None, rank, rank, spans=False, counted=counted)
    quick = _quick_face(system, equalities, inequalities)
    if quick is not None:
        return quick
    if system.is_sparse:
        found = _line_or_rays(system, np.concatenate([equalities, inequalities]))
        if found is not None:
            return _face_of_rays(system, found)
        smaller = _face_in_fewer(system, equalities, inequalities)
        if smaller is not None:
            return smaller
        if system.layer.inputs > MAX_PROGRAM_INPUTS:
            raise TooLargeError("the search for a ray, or for multipliers, ended without either")
    return _searched_face(system, equalities, inequalities)


def _recession_in_orthant(system: MixedSystem, rows: OrthantRows, inequalities: IntArray) -> Face | None:
    """What a projection says; where it says nothing, or rows depend on each other, what a path of interior points says.

    A ray in the middle of a face is easier to prove than others.
    """
    equalities, cone, face = system.positive, _cone_of(system, rows), None
    (projected,) = project(rows, cone, system.budget)
    if projected is not None:
        strict = isinstance(projected.part, Direction) and _quick_face(system, equalities, inequalities)
        face = strict or _face_of_rays(system, projected.part)
        if face.direction is None or face.equality_rank == len(system.live(equalities)):
            return face
    if not system.is_sparse:
        return face
    narrow = _narrow_face(system, equalities, inequalities)
    if narrow is not None:
        return narrow
    part = _ray_apart(system, rows, cone)
    if part is None:
        inside = _face_inside(system, equalities, patiently(system, equalities, inequalities), own=True)
        if inside is not None:
            return inside
        middle = follow(rows, cone, system.budget)
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


def _quick_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    n = system.layer.inputs
    rows, pinned = _unpinned(system, equalities)
    if len(equalities) >= n - pinned and _has_rank_n(rows):
        return Face(equalities, NO_ROWS, None, None, n, n, spans=True)
    direct = strictly(system, equalities, inequalities, NO_ROWS) if len(inequalities) else None
    if direct is None:
        return None
    rank = rank_of_equalities(system)
    return Face(equalities, NO_ROWS, None, direct, rank, rank, spans=False)


def _narrow_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """The face of a sparse system whose equalities leave few dimensions; None of others, or where none was found."""
    n = system.layer.inputs
    pinned = system.domain.low == system.domain.high
    if not system.coordinates(inequalities)[1].any():  # a line is found faster
        return None
    if not system.is_sparse or n > MAX_PROGRAM_INPUTS or len(equalities) + pinned.sum() + MAX_COORDINATES < n:
        return None
    free = np.flatnonzero(~pinned)
    H, W = (dense(system.rows(numbers))[:, free] for numbers in (equalities, inequalities))
    reading, moving = H.any(axis=1), W.any(axis=1)
    found = partition(H[reading], W[moving], system.budget)
    if found is None:
        return None
    implicit = np.concatenate([inequalities[~moving], inequalities[moving][found.implicit]])
    weights = np.concatenate([np.ones(int((~moving).sum())), found.weights[found.implicit]])
    values = np.concatenate([found.free, weights])
    multipliers = Multipliers(np.concatenate([equalities[reading], implicit]), values) if len(implicit) else None
    alone = n - found.null
    units, d = np.zeros(n, dtype=np.int64), np.zeros(n)
    units[free] = found.exponents
    if found.direction is not None:
        d[free] = found.direction
    direction = None if found.direction is None else d
    rank = alone + found.rank
    return Face(equalities, implicit, multipliers, direction, alone, rank, spans=rank == n, units=units)


def _searched_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face:
    n = system.layer.inputs
    rows, pinned = _unpinned(system, equalities)
    if len(equalities) >= n - pinned and len(independent_rows(dense(unit_rows(rows)))) == n - pinned:
        return Face(equalities, NO_ROWS, None, None, n, n, spans=True)
    system.budget.check("the face of a cone was looked for")
    if system.is_sparse and len(equalities) < n:
        face = _face_inside(system, equalities, patiently(system, equalities, inequalities), own=True)
        if face is not None:
            return face
        face = _face_of_middle(system, equalities, inequalities)
        if face is not None:
            return face
    check_matrix("a basis of a null space", n, n)
    face = _face_by_search(system, equalities, inequalities)
    if face is None and not system.is_sparse:
        face = _face_by_path(system, equalities, inequalities)
    if face is not None:
        return face
    system.budget.check("a strict direction was looked for")
    if n > MAX_PROGRAM_INPUTS:
        raise TooLargeError(f"Newton's method found no answer; {n} inputs are too many for the simplex method")
    return _face_of_program(system, equalities, inequalities)


def _face_by_search(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """What Newton's method finds; None where a direction exists but none is strict."""
    import torch

    from fiberscope.preimages.hinge import Cone, search
    from fiberscope.preimages.row_pool import RowPool

    lowest = system.lower_side(np.zeros(1, dtype=np.int64))[0]
    is_lower = inequalities >= lowest
    upper, lower = inequalities[~is_lower], inequalities[is_lower] - lowest
    named = np.zeros(lowest, dtype=np.bool_)
    named[np.concatenate([equalities, upper, lower])] = True
    pool = RowPool.of(system.layer, system.domain, named, (torch.float64,))
    held, *sides = (np.searchsorted(pool.numbers, part) for part in (system.live(equalities), upper, lower))
    (found,) = search(pool, [Cone(held, *sides)], torch.float64, degenerate=True, budget=system.budget)
    rank = len(found.held)

    def numbers(places: IntArray) -> IntArray:
        return np.where(np.isin(places, sides[1]), pool.lower_numbers[places], pool.numbers[places])

    if found.direction is not None:
        implicit, named_rows = numbers(found.vanishing), np.concatenate([found.held, found.vanishing])
        weights = None if found.dependence is None else snapped(found.dependence / pool.scales[named_rows])
        multipliers = None if weights is None else Multipliers(numbers(named_rows), weights)
        return Face(equalities, implicit, multipliers, found.direction, rank, rank, spans=False)
    if found.multipliers is not None:
        assert found.places is not None, "multipliers are those of rows"
        named_rows = numbers(found.places)
        multipliers = Multipliers(named_rows, found.multipliers / pool.scales[found.places])
        return _face_of_multipliers(system, equalities, inequalities, multipliers)
    return None


def _face_of_multipliers(
    system: MixedSystem, equalities: IntArray, inequalities: IntArray, multipliers: Multipliers
) -> Face | None:
    """What multipliers say: that the cone is {0}, or which rows vanish on it, and a direction strict on the others."""
    implicit, n = np.setdiff1d(multipliers.rows, equalities), system.layer.inputs
    held = np.union1d(equalities, implicit)
    alone, rank = (numerical_rank(system.rows(numbers), RESOLVED) for numbers in (equalities, held))
    if rank == n:
        return Face(equalities, implicit, multipliers, None, alone, n, spans=True)
    direction = strictly(system, equalities, inequalities, implicit)
    if direction is None:
        return None
    return Face(equalities, implicit, multipliers, direction, alone, rank, spans=False)


def _face_by_path(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """What the central path says where it ends on one of both sides."""
    live = system.live(equalities)
    found = follow_reduced(system, live, inequalities)
    if isinstance(found, Direction):
        return Face(equalities, NO_ROWS, None, found.values, len(live), len(live), spans=False)
    if found is None:
        return None
    implicit = np.setdiff1d(found.rows, equalities)
    return Face(equalities, implicit, found, None, len(live), system.layer.inputs, spans=True)


def rank_of_equalities(system: MixedSystem) -> int:
    """The rank of the equalities, and of coordinates that have one value, as float64 sees it."""
    rows, pinned = _unpinned(system, system.positive)
    return pinned + numerical_rank(rows, RESOLVED)


def _unpinned(system: MixedSystem, numbers: IntArray) -> tuple[Rows, int]:
    """Rows on the coordinates that have more than one value, and how many others there are."""
    rows, pinned = system.rows(numbers), system.domain.low == system.domain.high
    count = int(pinned.sum())
    return (cast(Rows, cast(Any, rows)[:, np.flatnonzero(~pinned)]) if count else rows), count


def _has_rank_n(rows: Rows) -> bool:
    """Whether a Cholesky factorization of the Gram matrix, shifted by its own rounding, shows rank n.

    False says nothing.
    """
    norms = row_norms(rows)
    square = gram(scaled(rows, 1.0 / np.where(norms > 0, norms, 1.0)))
    square[np.diag_indices(len(square))] -= RANK_SHIFT * len(norms)
    return is_positive_definite(square)


def _face_of_middle(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """The face of a sparse system by interior points, which tell its rows apart; None where their answer fails."""
    weights, free, _ = face_by_linear_program(
        system.rows(equalities), system.rows(inequalities), system.budget.left(), Method.INTERIOR
    )
    implicit = inequalities[weights > 0]
    if not len(implicit):
        return _face_inside(system, equalities, roomiest(system, equalities, inequalities), own=False)
    kept = np.abs(free) > NOISE * np.abs(free).max(initial=0.0)
    multipliers = Multipliers(
        np.concatenate([equalities[kept], implicit]), np.concatenate([free[kept], weights[weights > 0]])
    )
    alone, rank = (
        numerical_rank(system.rows(numbers), RESOLVED)
        for numbers in (equalities, np.concatenate([equalities, implicit]))
    )
    spans = rank == system.layer.inputs
    direction = None if spans else strictly(system, equalities, inequalities, implicit)
    if direction is None and not spans:
        return None
    return Face(equalities, implicit, multipliers, direction, alone, rank, spans)


def _face_inside(system: MixedSystem, equalities: IntArray, direction: FloatArray | None, *, own: bool) -> Face | None:
    """The face on which nothing more vanishes, by a strict direction, and perhaps its units."""
    if direction is None:
        return None
    rank = rank_of_equalities(system)
    units = np.where(direction != 0, np.frexp(direction)[1], 0).astype(np.int64) if own else None
    return Face(equalities, NO_ROWS, None, direction, rank, rank, spans=False, units=units)


def _face_of_program(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face:
    n = system.layer.inputs
    weights, free, direction = face_by_linear_program(
        system.rows(equalities), system.rows(inequalities), system.budget.left()
    )
    if len(inequalities) and not weights.any() and not direction.any():
        raise TooLargeError("the simplex method told no rows apart: solutions grow and fall by orders of magnitude")
    implicit = np.flatnonzero(weights > 0)
    held = np.concatenate([equalities, inequalities[implicit]])
    multipliers = Multipliers(held, snapped(np.concatenate([free, weights[implicit]]))) if len(implicit) else None
    alone, rank = (len(independent_rows(dense(unit_rows(system.rows(numbers))))) for numbers in (equalities, held))
    if rank < n and len(implicit) == len(inequalities):
        direction = find_line(unit_rows(system.rows(held)), budget=system.budget)
    spans = rank == n or direction is None
    return Face(equalities, inequalities[implicit], multipliers, None if spans else direction, alone, rank, spans)


def snapped(values: Float64[FloatArray, " q"]) -> Float64[FloatArray, " q"]:
    """Values within 1e-9 of a multiple of 2**-20 moved onto it.

    The multipliers of parallel rows are small fractions, and then cancel exactly.
    """
    grid = np.round(values * 2.0**20) * 2.0**-20
    return np.where(np.abs(values - grid) < 1e-9, grid, values)
