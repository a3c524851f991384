"""Algorithm 1 of the paper as printed: a baseline, used nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.linalg
import scipy.optimize

from fiberscope.network.arrays import FloatArray, as_float64

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor


def algorithm1(A: Tensor | ArrayLike, b: Tensor | ArrayLike, y: Tensor | ArrayLike) -> bool:
    """Answer "the preimage of y is finite" as Algorithm 1 (appendix A3) prints it, with its mistakes.

    It asks for ``lambda in [0, 1]^k, sum lambda = 1, A^T lambda = 0``: whether 0 lies in the *closed* convex hull of
    the reduced rows. Rows on the boundary (zero rows, antiparallel rows, rank-deficient sets) make it answer "finite"
    for unbounded preimages. Use ``preimage`` instead.

    Args:
        A: (m, n).
        b: (m,); the printed algorithm reads it but never uses it.
        y: (m,).

    Returns:
        What the printed algorithm answers.

    Raises:
        InputError: wrong shapes, NaN or infinite numbers.

    Source:
        Algorithm 1, appendix A3.
    """
    weight = as_float64(A, "A", shape=(None, None))
    m, n = weight.shape
    as_float64(b, "b", shape=(m,))
    output = as_float64(y, "y", shape=(m,))
    positive = weight[output > 0]
    if len(positive) and np.linalg.matrix_rank(positive) == n:
        return True
    basis: FloatArray = cast(Any, scipy.linalg).null_space(positive) if len(positive) else np.eye(n)
    reduced = weight[output == 0] @ basis
    count, k = reduced.shape
    if count <= k:
        return False
    equations = np.vstack([reduced.T, np.ones((1, count))])
    answer = cast(Any, scipy.optimize).linprog(
        -np.ones(count), A_eq=equations, b_eq=np.append(np.zeros(k), 1.0), bounds=(0.0, 1.0), method="highs"
    )
    return bool(answer.status == 0)


__all__ = ["algorithm1"]
