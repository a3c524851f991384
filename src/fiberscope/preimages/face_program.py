"""The linear program whose optimum is the face of a cone, with both witnesses.

For unit-sized rows of H and W:  maximize sum u  subject to  ``H^T mu + W^T (u + v) = 0``, ``0 <= u <= 1``, ``v >= 0``.
With ``lambda = u + v`` and d the negative of the dual, every optimal basis is strictly complementary: a row has
``lambda_i >= 1`` and ``w_i d = 0``, or ``lambda_i = 0`` and ``w_i d <= -1`` (Freund, Roundy & Todd, Identifying the
set of always-active constraints, 1985). Interior points tell the same rows apart in larger programs; their numbers are
in the middle of all optima, and have to be corrected.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse
from jaxtyping import Float64, Int64
from scipy.sparse import csc_array

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, scaled
from fiberscope.network.signs import row_norms
from fiberscope.preimages.linear_program import LinearProgram, Method, Solution, solve


def row_exponents(rows: Rows) -> Int64[IntArray, " q"]:
    """Exponents e for which the rows ``2**-e row_i`` are of unit size."""
    if 0 in rows.shape:
        return np.zeros(rows.shape[0], dtype=np.int64)
    return np.frexp(row_norms(rows))[1].astype(np.int64)


def build_face_program(H: Rows, W: Rows) -> LinearProgram:
    """Build the program for rows that are of unit size already; its columns are mu, u, v."""
    equalities, inequalities = csc_array(H.T), csc_array(W.T)
    p, count, n = H.shape[0], W.shape[0], H.shape[1]
    return LinearProgram(
        objective=np.concatenate([np.zeros(p), np.ones(count), np.zeros(count)]),
        matrix=csc_array(cast(Any, scipy.sparse).hstack([equalities, inequalities, inequalities])),
        row_low=np.zeros(n),
        row_high=np.zeros(n),
        low=np.concatenate([np.full(p, -np.inf), np.zeros(2 * count)]),
        high=np.concatenate([np.full(p, np.inf), np.ones(count), np.full(count, np.inf)]),
    )


def solve_face_program(H: Rows, W: Rows, seconds: float | None = None, method: Method = Method.SIMPLEX) -> Solution:
    """Build and solve the program for unit-sized rows."""
    return solve(build_face_program(H, W), method, seconds)


def face_by_linear_program(
    H: Rows, W: Rows, seconds: float | None, method: Method = Method.SIMPLEX
) -> tuple[Float64[FloatArray, " l"], Float64[FloatArray, " p"], Float64[FloatArray, " n"]]:
    """Solve for any rows.

    Returns ``lambda`` (0 off the face), ``mu`` and the direction, all in the scale of the given rows. Zeros, which
    prove nothing, where HiGHS refuses the numbers: entries beyond 1e15, which rows too large to be measured keep.
    """
    p, count = H.shape[0], W.shape[0]
    exponents = [row_exponents(rows) for rows in (H, W)]
    unit = [scaled(rows, np.ldexp(1.0, -e)) for rows, e in zip((H, W), exponents, strict=True)]
    solution = solve_face_program(unit[0], unit[1], seconds, method)
    if not len(solution.primal):
        return np.zeros(count), np.zeros(p), np.zeros(H.shape[1])
    mu, u, v = np.split(solution.primal, [p, p + count])
    weights = np.where(u > 0.5, u + v, 0.0)
    direction = solution.row_dual
    if (W @ direction)[weights == 0].sum() > 0:  # HiGHS's sign of a dual depends on the sense of optimization
        direction = -direction
    return np.ldexp(weights, -exponents[1]), np.ldexp(mu, -exponents[0]), direction
