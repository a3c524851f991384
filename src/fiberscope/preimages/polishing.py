"""Directions that rows hold at zero: brought onto these rows' null space without leaving their own support."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float64
from numpy.linalg import LinAlgError

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.rows import Rows
from fiberscope.network.signs import row_norms
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.cholesky import Cholesky, raised, square_of, transposed

REFINEMENTS = 4
"""A solve, and some for what its rounding, and the ridge, left."""
RIDGE, RIDGE_OF_COLUMNS = 1e-13, 1e-9
"""Relative to the largest on the diagonal, for rows that depend on each other. Where columns do, too, a solve adds
rounding over the ridge in directions that no row sees."""

VANISHING = 1e-9
"""Entries of a ray whose largest is 1, slopes and multipliers below this share of the largest count as zero.

HiGHS's tolerance is 1e-7 on the program's own scale, and a crossover to a vertex makes zeros exact.
"""

ATTEMPTS = 8
"""At a ray; rows that are held for one of them are held for the next."""

RESIDUAL = 1e-13
"""What rounding leaves of the products of unit rows with a ray whose largest entry is 1."""


def polished(
    rows: Rows, d: Float64[FloatArray, " n"], vanishing: float, budget: Budget = NO_LIMIT
) -> Float64[FloatArray, " n"] | None:
    """The direction nearest to d with ``rows d = 0`` and zeros where d has zeros; its largest entry becomes 1.

    Args:
        rows: (q, n) rows of unit length.
        d: (n,) a direction that the rows nearly hold.
        vanishing: entries below this share of the largest count as zeros, before and after.
        budget: when to give up.

    Returns:
        The direction, or None where nothing is left of it, or of the time.
    """
    d = _without_small_entries(d, vanishing)
    support = np.flatnonzero(d)
    part = cast(Rows, cast(Any, rows)[:, support])
    part = part[row_norms(part) > 0]
    if part.shape[0] and len(support):
        if budget.is_over:
            return None
        try:
            solve = _solver(part)
        except LinAlgError:  # no ridge is high enough
            return None
        for _ in range(REFINEMENTS):
            d[support] -= solve(part @ d[support])
    d = _without_small_entries(d, vanishing)
    size = np.abs(d).max()
    return d / size if np.isfinite(size) and size > 0 else None


def ray_near(
    rows: Rows,
    held: Bool[BoolArray, " L"],
    sides: Float64[FloatArray, " L"],
    d: Float64[FloatArray, " n"],
    wrong: Callable[[FloatArray], BoolArray],
    budget: Budget = NO_LIMIT,
) -> tuple[Float64[FloatArray, " n"], Bool[BoolArray, " L"]] | None:
    """The ray of a cone near a direction: zero on held rows, and ``sides_i r_i d < 0`` on the others that have a side.

    Entries and slopes that come out as zero, or on the wrong side of it, are held at zero in the next attempt.

    Args:
        rows: (L, n) of unit length.
        held: (L,) the rows that hold the ray for certain.
        sides: (L,) 1 or -1, and 0 for rows that have no side.
        d: (n,) the direction.
        wrong: tells which entries (n,) of a direction leave their bounds.
        budget: when to give up.

    Returns:
        The ray, its largest entry 1, and the rows that hold it; None where there is none, or none is found.
    """
    sided = sides != 0
    for _ in range(ATTEMPTS):
        d = np.where(wrong(d), 0.0, d)
        if not d.any():
            return None
        held = held | (sided & (sides * (rows @ d) > -VANISHING * np.abs(d).max()))
        kept = cast(Rows, cast(Any, rows)[np.flatnonzero(held)])
        polish = polished(kept, d, VANISHING, budget)
        if polish is None:
            return None
        d = polish
        missed = wrong(d).any() or ((sides * (rows @ d))[sided & ~held] > -VANISHING).any()
        if not missed and np.abs(kept @ d).max(initial=0.0) < RESIDUAL:
            return d, held
    return None


def _without_small_entries(d: Float64[FloatArray, " n"], share: float) -> Float64[FloatArray, " n"]:
    return np.where(np.abs(d) > share * np.abs(d).max(), d, 0.0)


def _solver(part: Rows) -> Callable[[FloatArray], FloatArray]:
    """For a residual r (q,), about the shortest c (s,) with ``part c = r``."""
    is_wide = part.shape[0] <= part.shape[1]
    square = square_of(part if is_wide else transposed(part))
    ridge = (RIDGE if is_wide else RIDGE_OF_COLUMNS) * square.diagonal().max()  # the same for all: nearest by Euclid
    factor = Cholesky(raised(square, ridge))
    if is_wide:
        return lambda residual: cast(FloatArray, part.T @ factor.solve(residual))
    return lambda residual: factor.solve(cast(FloatArray, part.T @ residual))
