"""The smallest face that holds a cone ``{d : H d = 0, W d <= 0}``, found in float64.

Every such cone has one partition of its inequality rows: those that vanish on all of it (implicit equalities E, shown
by positive multipliers with ``H^T mu + W_E^T lambda = 0``) and the rest (shown by one direction that is strict on all
of them). Everything asked about a preimage is read off this partition: the cone is {0} iff H and W_E together have
rank n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, scaled, weighted_columns
from fiberscope.network.signs import row_norms
from fiberscope.preimage.budget import TooLargeError
from fiberscope.preimage.candidate import Direction, Multipliers, Vector
from fiberscope.preimage.dense import Cholesky, gram, is_positive_definite, numerical_rank
from fiberscope.preimage.face_program import face_by_linear_program
from fiberscope.preimage.lineality import find_line
from fiberscope.preimage.potential import STRICTNESS, descend
from fiberscope.preimage.ray_program import build_ray_system, ray_or_multipliers
from fiberscope.preimage.reduction import DEPENDENT, RESOLVED, Reduction
from fiberscope.preimage.system import NO_ROWS, MixedSystem

KEPT_MULTIPLIERS = (1e-3, 1e-6, 1e-9)
"""Rows with a multiplier above this share of the largest are kept.

So that corrections are small relative to what they correct.
"""
MAX_PROGRAM_INPUTS = 1_000
"""Inputs beyond which the simplex method takes many minutes for the whole face."""
LOOSENESS = (0.0, 0.01, 1.0)
"""How easily the entries that coordinate rows fix give way to the equalities, in turn; other entries have 1."""
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
    """

    equalities: IntArray
    implicit: IntArray
    multipliers: Multipliers | None
    direction: Vector | None
    equality_rank: int
    rank: int
    spans: bool

    @property
    def held(self) -> IntArray:
        """All rows that vanish on the cone."""
        return np.concatenate([self.equalities, self.implicit])

    def as_direction(self) -> Direction | None:
        """The strict direction together with the rows that hold it."""
        return None if self.direction is None else Direction(self.held, self.direction)


def find_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face:
    """Find the face: a linear solve where that is enough, else Newton on the potential, else a linear program."""
    inequalities = system.live(inequalities)
    quick = _quick_face(system, equalities, inequalities)
    return _searched_face(system, equalities, inequalities) if quick is None else quick


def find_recession(system: MixedSystem) -> Face:
    """Find out whether the recession cone is {0}, given its own system.

    Of a sparse system, one ray or line is the answer, with the rows that hold it: the smallest face is not looked for
    then, and there are no multipliers.
    """
    equalities, inequalities = system.positive, system.live(system.inequalities)
    quick = _quick_face(system, equalities, inequalities)
    if quick is not None:
        return quick
    if system.is_sparse:
        found = _line_or_rays(system, np.concatenate([equalities, inequalities]))
        if found is not None:
            return _face_of_rays(system, found)
        if system.layer.inputs > MAX_PROGRAM_INPUTS:
            raise TooLargeError("the search for a ray, or for multipliers, ended without either")
    return _searched_face(system, equalities, inequalities)


def _line_or_rays(system: MixedSystem, numbers: IntArray) -> Direction | Multipliers | None:
    """A line or a ray with the rows that hold it, or multipliers that show that there is none."""
    rays = build_ray_system(system)
    if len(rays.free):
        line = find_line(system.rows(system.live(numbers)))
        if line is not None:
            return Direction(numbers, line)
    return ray_or_multipliers(rays, system.budget)


def _face_of_rays(system: MixedSystem, found: Direction | Multipliers) -> Face:
    """What a ray, or multipliers, say about the recession cone."""
    equalities, n = system.positive, system.layer.inputs
    rank = numerical_rank(system.rows(equalities), RESOLVED)
    if isinstance(found, Multipliers):
        implicit = np.setdiff1d(found.rows, equalities)
        return Face(equalities, implicit, found, None, rank, n, spans=True)
    implicit = np.setdiff1d(found.equalities, equalities)
    return Face(equalities, implicit, None, found.values, rank, rank, spans=False)


def _quick_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face | None:
    n = system.layer.inputs
    if len(equalities) >= n and _has_rank_n(system.rows(equalities)):
        return Face(equalities, NO_ROWS, None, None, n, n, spans=True)
    direct = _strict_by_linear_solve(system, equalities, inequalities)
    if direct is None:
        return None
    return Face(equalities, NO_ROWS, None, direct, len(equalities), len(equalities), spans=False)


def _searched_face(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Face:
    reduction = Reduction.of(system.rows(equalities), system.layer.inputs)
    if reduction.dimension == 0:
        return Face(equalities, NO_ROWS, None, None, reduction.rank, reduction.rank, spans=True)
    if len(inequalities) == 0:
        return Face(equalities, NO_ROWS, None, reduction.null_basis[:, 0], reduction.rank, reduction.rank, spans=False)
    face = _face_by_descent(system, reduction, equalities, inequalities)
    if face is None and system.layer.inputs > MAX_PROGRAM_INPUTS:
        raise TooLargeError(
            f"Newton's method found no answer; {system.layer.inputs} inputs are too many for the simplex method"
        )
    return _face_of_program(system, reduction, equalities, inequalities) if face is None else face


def _face_by_descent(
    system: MixedSystem, reduction: Reduction, equalities: IntArray, inequalities: IntArray
) -> Face | None:
    """What Newton's method on the potential finds; None where a direction exists but none is strict."""
    system.budget.check("the face of a cone was looked for")
    rows = system.rows(inequalities)
    reduced = reduction.reduce(rows)
    norms = row_norms(reduced)
    dependent = norms <= DEPENDENT * row_norms(rows)
    implicit = np.flatnonzero(dependent)
    if dependent.all():  # the inequalities say nothing that the equalities do not: the cone is null(H)
        multipliers = _dependence(reduction, equalities, inequalities, rows, implicit)
        direction, rank = reduction.null_basis[:, 0], reduction.rank
        return Face(equalities, inequalities, multipliers, direction, rank, rank, spans=False)
    descent = descend(scaled(reduced[~dependent], 1.0 / norms[~dependent]), system.budget)
    if descent.multipliers is not None:
        weights = np.zeros(len(inequalities))
        weights[~dependent] = descent.multipliers / norms[~dependent]
        return _spanning(reduction, equalities, inequalities, rows, reduced, weights)
    if descent.direction is None:
        return None
    multipliers = _dependence(reduction, equalities, inequalities, rows, implicit)
    direction, rank = reduction.expand(descent.direction), reduction.rank
    return Face(equalities, inequalities[implicit], multipliers, direction, rank, rank, spans=False)


def _has_rank_n(rows: Rows) -> bool:
    """Whether a Cholesky factorization of the Gram matrix, shifted by its own rounding, shows rank n.

    False says nothing.
    """
    norms = row_norms(rows)
    square = gram(scaled(rows, 1.0 / np.where(norms > 0, norms, 1.0)))
    square[np.diag_indices(len(square))] -= RANK_SHIFT * len(norms)
    return is_positive_definite(square)


def _strict_by_linear_solve(
    system: MixedSystem, equalities: IntArray, inequalities: IntArray
) -> Float64[FloatArray, " n"] | None:
    """``H d = 0, W d = -|w|`` where W has at most n - rank(H) rows [Corollary 6].

    Coordinate rows fix entries, the others are solved for. Where that has no solution (an equality sees only entries
    that are fixed), those of a sparse system are allowed to give way a little.
    """
    n = system.layer.inputs
    coordinate, sign = system.coordinates(inequalities)
    bounds = sign != 0
    fixed = coordinate[bounds]
    others = np.concatenate([equalities, inequalities[~bounds]])
    if len(inequalities) == 0 or len(np.unique(fixed)) < len(fixed) or len(others) > n:
        return None
    start = np.zeros(n)
    start[fixed] = -sign[bounds]
    if len(others) == 0:
        return start
    rows = system.rows(others)
    norms = row_norms(rows)
    if not (norms > 0).all():
        return None
    rows = scaled(rows, 1.0 / norms)
    target = np.where(np.arange(len(others)) < len(equalities), 0.0, -1.0)
    for looseness in LOOSENESS if system.is_sparse else LOOSENESS[:1]:
        if looseness == 0.0 and len(equalities) + len(inequalities) > n:
            continue
        weights = np.ones(n)
        weights[fixed] = looseness
        d = _nearest_solution(rows, target, start, weights)
        if d is not None and (d[fixed] * sign[bounds] < -STRICTNESS * np.linalg.norm(d)).all():
            return d
    return None


def _nearest_solution(
    rows: Rows,
    target: Float64[FloatArray, " q"],
    start: Float64[FloatArray, " n"],
    weights: Float64[FloatArray, " n"],
) -> Float64[FloatArray, " n"] | None:
    """``rows d = target`` with the smallest ``sum_j (d_j - start_j)^2 / weights_j``; None if there is no solution."""
    try:
        factor = Cholesky(gram(weighted_columns(rows, np.sqrt(weights)).T))
    except LinAlgError:
        return None
    d = start.copy()
    for _ in range(3):  # the first solve and two refinements: the Gram matrix squares the condition number
        d += weights * (rows.T @ factor.solve(target - rows @ d))
    residual = np.abs(target - rows @ d).max()
    return d if residual < STRICTNESS * max(1.0, np.linalg.norm(d)) and residual < 0.5 else None


def _spanning(
    reduction: Reduction,
    equalities: IntArray,
    inequalities: IntArray,
    rows: Rows,
    reduced: Rows,
    weights: Float64[FloatArray, " l"],
) -> Face | None:
    """Multipliers on as few rows as still span null(H), corrected so that they sum to zero.

    None if they do not stay positive.
    """
    norms = np.where(weights > 0, row_norms(reduced), 0.0)
    share = weights * norms
    for threshold in KEPT_MULTIPLIERS:
        kept = np.flatnonzero(share > threshold * share.max())
        unit = scaled(reduced[kept], 1.0 / norms[kept])
        corrected = _weighted_correction(unit, share[kept])
        if corrected is not None and corrected.min() > 0:
            values = corrected / norms[kept]
            mu = reduction.multipliers_for(rows[kept].T @ values)
            numbers = np.concatenate([equalities, inequalities[kept]])
            return Face(
                equalities,
                inequalities[kept],
                Multipliers(numbers, np.concatenate([mu, values])),
                None,
                reduction.rank,
                rows.shape[1],
                spans=True,
            )
    return None


def _weighted_correction(unit: Rows, weights: Float64[FloatArray, " l"]) -> Float64[FloatArray, " l"] | None:
    """The change of the weights with the smallest relative size that makes ``unit^T weights`` vanish.

    None if the rows do not span.
    """
    if unit.shape[0] <= unit.shape[1]:
        return None
    weighted = scaled(unit, weights)
    try:
        factor = Cholesky(gram(weighted))
    except LinAlgError:
        return None
    for _ in range(2):
        weights = weights - weights * (weighted @ factor.solve(unit.T @ weights))
    return weights


def _dependence(
    reduction: Reduction, equalities: IntArray, inequalities: IntArray, rows: Rows, implicit: IntArray
) -> Multipliers | None:
    """Multiplier 1 on every row that depends on H, and what cancels them on H."""
    if len(implicit) == 0:
        return None
    mu = reduction.multipliers_for(rows[implicit].T @ np.ones(len(implicit)))
    return Multipliers(
        np.concatenate([equalities, inequalities[implicit]]), snapped(np.concatenate([mu, np.ones(len(implicit))]))
    )


def _face_of_program(system: MixedSystem, alone: Reduction, equalities: IntArray, inequalities: IntArray) -> Face:
    weights, free, direction = face_by_linear_program(
        system.rows(equalities), system.rows(inequalities), system.budget.left()
    )
    implicit = np.flatnonzero(weights > 0)
    held = np.concatenate([equalities, inequalities[implicit]])
    reduction = Reduction.of(system.rows(held), system.layer.inputs)
    multipliers = Multipliers(held, snapped(np.concatenate([free, weights[implicit]]))) if len(implicit) else None
    spans = reduction.dimension == 0
    if not spans and len(implicit) == len(inequalities):
        direction = reduction.null_basis[:, 0]
    return Face(
        equalities, inequalities[implicit], multipliers, None if spans else direction, alone.rank, reduction.rank, spans
    )


def snapped(values: Float64[FloatArray, " q"]) -> Float64[FloatArray, " q"]:
    """Values within 1e-9 of a multiple of 2**-20 moved onto it.

    The multipliers of parallel rows are small fractions, and then cancel exactly.
    """
    grid = np.round(values * 2.0**20) * 2.0**-20
    return np.where(np.abs(values - grid) < 1e-9, grid, values)
