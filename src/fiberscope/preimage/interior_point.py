"""A point of a preimage given by its output, as far inside the inequality rows as a linear program finds one."""

from __future__ import annotations

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.preimage.dense import least_squares
from fiberscope.preimage.linear_program import LinearProgram, Status, solve
from fiberscope.preimage.system import MixedSystem

REFINEMENTS = 2


def find_point(system: MixedSystem) -> FloatArray | None:
    """Solve ``max t`` subject to ``A_P x = y_P - b_P`` and ``w_i x + |w_i| t <= rhs_i``, ``t <= 1``.

    None where no t > 0 was found.
    The point solves the equalities up to rounding. Nothing is proved here.
    """
    H, W = system.rows(system.positive), system.rows(system.inequalities)
    equal, below = (
        np.array([float(side) for side in system.right_hand_sides(numbers)])
        for numbers in (system.positive, system.inequalities)
    )
    n = system.layer.inputs
    norms = np.linalg.norm(W, axis=1)
    matrix = np.vstack([np.column_stack([H, np.zeros(len(H))]), np.column_stack([W, norms])])
    program = LinearProgram(
        objective=np.append(np.zeros(n), 1.0),
        matrix=matrix,
        row_low=np.concatenate([equal, np.full(len(W), -np.inf)]),
        row_high=np.concatenate([equal, below]),
        low=np.full(n + 1, -np.inf),
        high=np.append(np.full(n, np.inf), 1.0),
    )
    solution = solve(program)
    if solution.status != Status.OPTIMAL or solution.primal[-1] <= 0:
        return None
    x = solution.primal[:n]
    for _ in range(REFINEMENTS if len(H) else 0):
        x = x + least_squares(H, equal - H @ x)
    return x
