"""Lines in a cone ``{d : H d = 0, W d <= 0}``: directions that no row sees at all.

A layer that leaves part of its input unread, as strided convolutions and narrow layers do, has them; then the preimage
is unbounded, and no search among the inequalities is needed.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import Rows, dense, scaled
from fiberscope.network.signs import row_norms
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.cholesky import is_positive_definite, raised, square_of, transposed
from fiberscope.preimages.dense import pivoted_cholesky, solve_upper
from fiberscope.preimages.polishing import polished

SHIFT = 1e-13
"""Per row: well above the rounding of a Gram matrix of unit rows."""

VANISHING = 1e-7
"""Entries of a null vector below this share of the largest are taken as zero: a Gram matrix does not resolve them."""


def find_line(rows: Rows, seed: int = 0, budget: Budget = NO_LIMIT) -> Float64[FloatArray, " n"] | None:
    """Find d != 0 with ``rows d = 0`` up to rounding, zero wherever all such d are; None where there is none.

    Args:
        rows: (q, n) all rows of the cone, none of them zero.
        seed: for the choice among several.
        budget: when to give up.
    """
    q, n = rows.shape
    unit = scaled(rows, 1.0 / row_norms(rows))
    square = square_of(transposed(unit))
    if q >= n and is_positive_definite(raised(square.copy(), -SHIFT * q)):
        return None
    R, pivots, rank = pivoted_cholesky(dense(square), tolerance=SHIFT * q)
    if rank == n:
        return None
    free = np.random.default_rng(seed).standard_normal(n - rank)
    d = np.zeros(n)
    d[pivots[rank:]] = free
    d[pivots[:rank]] = -solve_upper(R[:rank, :rank], R[:rank, rank:] @ free)
    return polished(unit, d, VANISHING, budget)
