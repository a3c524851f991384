"""Rows that span all others: what is left of equations that depend on each other.

Behind a layer with few active units the rows of a local linear map depend on each other, and rounding makes such
equations contradict each other in the last digits.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.signs import row_norms
from fiberscope.network.sparse_rows import SparseRows

DEPENDENT = 1e-9
"""Rows of unit length that are nearer than this to the span of others count as in it: rounding of a local linear map
leaves about 1e-14, and what trained layers have as smallest singular values is far above."""

_linalg: Any = cast(Any, scipy.linalg)


def independent_rows(rows: SparseRows) -> Int64[IntArray, " k"]:
    """The numbers of rows that span all rows, ascending, as far as float64 can tell."""
    norms = row_norms(rows)
    nonzero = np.flatnonzero(norms > 0)
    if not len(nonzero):
        return nonzero
    unit: FloatArray = rows[nonzero].toarray() / norms[nonzero, None]
    if len(unit) <= unit.shape[1] and _are_clearly_independent(unit @ unit.T):
        return nonzero
    triangle, order = _linalg.qr(unit.T, mode="r", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > DEPENDENT).sum())
    return nonzero[np.sort(order[:rank])]


def _are_clearly_independent(gram: FloatArray) -> bool:
    """Whether a Cholesky factorization of the Gram matrix completes far from where rounding would let it."""
    try:
        factor = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return False
    return bool(np.diag(factor).min() > np.sqrt(np.sqrt(np.finfo(np.float64).eps)))


__all__ = ["independent_rows"]
