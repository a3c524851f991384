"""Cholesky factors of symmetric matrices, dense or sparse; of a sparse one within a band, where an order has one.

Rows of convolutions read neighbouring pixels, so that those of far ones have no columns in common: in an order of
Cuthill & McKee (1969) the entries of their Gram matrix lie near the diagonal. A factor has no others, and costs
``d w^2`` where the whole matrix costs ``d^3 / 3``.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int64
from numpy.linalg import LinAlgError
from scipy.sparse import csgraph

from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows, row_numbers

_lapack, _graph = cast(Any, scipy.linalg).lapack, cast(Any, csgraph)

NARROW = 0.5
"""Of the coordinates: a wider band is factored as a whole. Where a third is banded, it takes a fifth of the time."""


class Cholesky:
    """The Cholesky factorization of a symmetric positive definite matrix.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite in float64.
    """

    __slots__ = ("_factor", "_order")

    def __init__(self, matrix: Rows) -> None:
        self._order: IntArray | None = None
        banded = _banded(matrix) if isinstance(matrix, SparseRows) else None
        if banded is not None:
            diagonals, self._order = banded
            self._factor, failed = _lapack.dpbtrf(diagonals, lower=1, overwrite_ab=1)
        else:
            square = matrix.toarray() if isinstance(matrix, SparseRows) else matrix
            self._factor, failed = _lapack.dpotrf(square, clean=0) if len(square) else (square, 0)
        if failed:
            raise LinAlgError("not positive definite")

    def solve(self, right_hand_side: Float64[FloatArray, " k"]) -> Float64[FloatArray, " k"]:
        """Solve for one right-hand side."""
        if not len(right_hand_side):
            return right_hand_side
        if self._order is None:
            return cast(FloatArray, _lapack.dpotrs(self._factor, right_hand_side)[0])
        out = np.empty_like(right_hand_side)
        out[self._order] = _lapack.dpbtrs(self._factor, right_hand_side[self._order], lower=1)[0]
        return out

    @property
    def is_finite(self) -> bool:
        """Whether no number has overflowed."""
        return bool(np.isfinite(self._factor).all())


def square_of(rows: Rows) -> Rows:
    """``A A^T``, sparse where A is.

    Raises:
        MemoryLimitError: it is too large.
    """
    check_matrix("a Gram matrix", rows.shape[0], rows.shape[0])
    return cast(Rows, rows @ cast(Any, rows).T)


def transposed(rows: Rows) -> Rows:
    """``A^T`` in the same form."""
    return SparseRows(rows.T) if isinstance(rows, SparseRows) else rows.T


def raised(matrix: Rows, by: float | Float64[FloatArray, " d"]) -> Rows:
    """A symmetric matrix, which is written over, with something added to its diagonal."""
    if isinstance(matrix, SparseRows):
        matrix.setdiag(matrix.diagonal() + by)
        return matrix
    matrix[np.diag_indices(len(matrix))] += by
    return matrix


def is_positive_definite(matrix: Rows) -> bool:
    """Whether a Cholesky factorization of the matrix completes."""
    try:
        return Cholesky(matrix).is_finite
    except LinAlgError:
        return False


def narrow_order(matrix: Rows) -> Int64[IntArray, " d"]:
    """The coordinates of a symmetric matrix in an order in which its entries lie near the diagonal, if it is sparse."""
    if not isinstance(matrix, SparseRows) or not matrix.nnz:
        return np.arange(matrix.shape[0])
    return np.asarray(_graph.reverse_cuthill_mckee(matrix, symmetric_mode=True), dtype=np.int64)


def _banded(matrix: SparseRows) -> tuple[FloatArray, IntArray] | None:
    """The lower diagonals in an order in which they are few, and that order; None where none is found."""
    d = matrix.shape[0]
    for find in (lambda: np.arange(d), lambda: narrow_order(matrix)):
        order: IntArray = find()
        place = np.empty_like(order)
        place[order] = np.arange(d)
        below = place[row_numbers(matrix)] - place[matrix.indices]
        width = int(below.max(initial=0))
        if width <= NARROW * d:
            lower = below >= 0
            diagonals = np.zeros((width + 1, d))
            diagonals[below[lower], place[matrix.indices[lower]]] = matrix.data[lower]
            return diagonals, order
    return None


__all__ = ["Cholesky", "is_positive_definite", "narrow_order", "raised", "square_of", "transposed"]
