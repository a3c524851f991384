"""The direction with the most room in a cone, by one linear program.

For unit rows:  maximize t  subject to  ``H d = 0``, ``W d + t <= 0``, ``-1 <= d <= 1``. Where t > 0 the optimum is
strict on all of W, by as much as float64 can make it beside its length: a vertex of another program, which has slopes
of one, may be longer by orders of magnitude, and then nothing is proved by it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse
from jaxtyping import Float64
from scipy.sparse import csc_array

from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import Rows, scaled, sparse
from fiberscope.network.signs import row_norms
from fiberscope.preimages.budget import Budget
from fiberscope.preimages.linear_program import LinearProgram, Method, solve
from fiberscope.preimages.polishing import polished

STRICT = 1e-9
"""What slopes of unit rows have to be below, per length."""


def roomiest_direction(H: Rows, W: Rows, budget: Budget) -> Float64[FloatArray, " n"] | None:
    """Find d with ``H d = 0`` up to rounding, and ``W d < 0``; None where no such d has room.

    Args:
        H: (p, n) rows, none of them zero.
        W: (l, n) rows, none of them zero, at least one.
        budget: when to end.
    """
    held, others = (scaled(rows, 1.0 / row_norms(rows)) for rows in (H, W))
    solution = solve(build_room_program(held, others), Method.INTERIOR, budget.left())
    if not len(solution.primal) or not solution.primal[-1] > STRICT:
        return None
    d = polished(held, solution.primal[:-1], 0.0, budget)
    return d if d is not None and (others @ d < -STRICT * float(np.linalg.norm(d))).all() else None


def build_room_program(H: Rows, W: Rows) -> LinearProgram:
    """Build the program for unit rows; its columns are d and t."""
    n, count = H.shape[1], W.shape[0]
    t = csc_array(np.concatenate([np.zeros(H.shape[0]), np.ones(count)])[:, None])
    matrix = cast(Any, scipy.sparse).hstack([cast(Any, scipy.sparse).vstack([sparse(H), sparse(W)]), t])
    ends = np.concatenate([np.zeros(H.shape[0]), np.full(count, -np.inf)])
    return LinearProgram(
        objective=np.append(np.zeros(n), 1.0),
        matrix=csc_array(matrix),
        row_low=ends,
        row_high=np.zeros(len(ends)),
        low=np.append(np.full(n, -1.0), -1.0),
        high=np.ones(n + 1),
    )


__all__ = ["roomiest_direction"]
