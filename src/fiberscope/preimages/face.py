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
from fiberscope.preimages.cholesky import is_positive_definite, raised, square_of, transposed
from fiberscope.preimages.dense import (
    RESOLVED,
    independent_rows,
    numerical_rank,
    unit_rows,
)
from fiberscope.preimages.face_program import face_by_linear_program
from fiberscope.preimages.lineality import find_line
from fiberscope.preimages.linear_program import Method
from fiberscope.preimages.null_coordinates import FEW_COORDINATES, MAX_COORDINATES, partition
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


def find_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray, rank: int | None = None) -> Face:
    """Find the face: a linear solve where that is enough, else Newton's method, else a linear program.

    The rank is that of the equalities, where it is known.
    """
    inequalities = system.live(inequalities)
    quick = quick_face(system, equalities, inequalities, rank) or narrow_face(system, equalities, inequalities)
    return searched_face(system, equalities, inequalities) if quick is None else quick


def quick_face(
    system: MixedSystem, equalities: IntArray, inequalities: IntArray, rank: int | None = None
) -> Face | None:
    """What a linear solve says: that the equalities have rank n, or a direction strict on all inequalities."""
    n = system.layer.inputs
    rows, pinned = _unpinned(system, equalities)
    if len(equalities) >= n - pinned and _has_rank_n(rows):
        return Face(equalities, NO_ROWS, None, None, n, n, spans=True)
    direct = strictly(system, equalities, inequalities, NO_ROWS) if len(inequalities) else None
    if direct is None:
        return None
    rank = rank_of_equalities(system) if rank is None else rank
    return Face(equalities, NO_ROWS, None, direct, rank, rank, spans=False)


def narrow_face(
    system: MixedSystem, equalities: IntArray, inequalities: IntArray, most: int = FEW_COORDINATES
) -> Face | None:
    """The face of a sparse system whose equalities leave few dimensions; None of others, or where none was found."""
    n = system.layer.inputs
    pinned = system.domain.low == system.domain.high
    if not system.coordinates(inequalities)[1].any():  # a line is found faster
        return None
    if not system.is_sparse or n > MAX_PROGRAM_INPUTS or len(equalities) + pinned.sum() + most < n:
        return None
    free = np.flatnonzero(~pinned)
    H, W = (dense(system.rows(numbers))[:, free] for numbers in (equalities, inequalities))
    reading, moving = H.any(axis=1), W.any(axis=1)
    found = partition(H[reading], W[moving], system.budget, most)
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


def searched_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face:
    """The face by pivoted elimination, Newton's method, a central path or a linear program, whichever finds it first.

    Raises:
        TooLargeError: the budget is spent, or none of them can.
    """
    n = system.layer.inputs
    rows, pinned = _unpinned(system, equalities)
    if len(equalities) >= n - pinned and len(independent_rows(dense(unit_rows(rows)))) == n - pinned:
        return Face(equalities, NO_ROWS, None, None, n, n, spans=True)
    system.budget.check("the face of a cone was looked for")
    if system.is_sparse and len(equalities) < n:
        face = face_inside(system, equalities, patiently(system, equalities, inequalities), own=True)
        face = face or narrow_face(system, equalities, inequalities, MAX_COORDINATES)
        face = face or _face_of_middle(system, equalities, inequalities)
        if face is not None:
            return face
    check_matrix("a basis of a null space", n, n)
    face = _face_by_search(system, equalities, inequalities)
    if face is None and not system.is_sparse:
        face = face_by_path(system, equalities, inequalities)
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


def face_by_path(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
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
    square = square_of(transposed(scaled(rows, 1.0 / np.where(norms > 0, norms, 1.0))))
    return is_positive_definite(raised(square, -RANK_SHIFT * len(norms)))


def _face_of_middle(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    """The face of a sparse system by interior points, which tell its rows apart; None where their answer fails."""
    weights, free, _ = face_by_linear_program(
        system.rows(equalities), system.rows(inequalities), system.budget.left(), Method.INTERIOR
    )
    implicit = inequalities[weights > 0]
    if not len(implicit):
        return face_inside(system, equalities, roomiest(system, equalities, inequalities), own=False)
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


def face_inside(system: MixedSystem, equalities: IntArray, direction: FloatArray | None, *, own: bool) -> Face | None:
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
