"""Whether a symmetric matrix, dense or sparse, has a Cholesky factor in floats, and that factor.

A sparse matrix is ordered so that its entries lie near the diagonal (Cuthill and McKee), which its definiteness does
not depend on, and factored within that band: of neighbouring pixels, far fewer entries than all.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded  # pyright: ignore[reportUnknownVariableType]
from scipy.sparse import csgraph

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_graph, _cholesky_banded = cast(Any, csgraph), cast(Any, cholesky_banded)


def factor(square: Any) -> tuple[FloatArray, IntArray | None] | None:
    """The factor of a symmetric matrix (d, d), if the factorization in floats completes, with finite numbers.

    Any order of its sums will do for the bounds of ``fiberscope.checker.matrices``, and a band only leaves out zeros.

    Returns:
        L (d, d) and None; or its diagonals (width + 1, d), the main one first, and the order (d,) of the coordinates in
        which the band is narrow.
    """
    written = isinstance(square, np.ndarray)
    entries: FloatArray = square if written else square.data  # pyright: ignore[reportUnknownVariableType]
    if not np.isfinite(entries).all():
        return None
    diagonals, order = (None, None) if written else _banded(square)
    try:
        values: FloatArray
        if diagonals is not None:
            values = _cholesky_banded(diagonals, lower=True, check_finite=False)
        else:
            values = np.linalg.cholesky(entries if written else square.toarray()).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        return None
    return (values, order) if np.isfinite(values).all() else None


def _banded(square: Any) -> tuple[FloatArray, IntArray] | tuple[None, None]:
    """The lower diagonals of a sparse matrix in a narrow order, and that order; None where none was found."""
    order = np.asarray(_graph.reverse_cuthill_mckee(square, symmetric_mode=True), dtype=np.int64)
    if not np.array_equal(np.sort(order), np.arange(int(square.shape[0]))):
        return None, None  # whatever found it, it has to be an order
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    entries = square.tocoo()
    row, column = place[entries.row], place[entries.col]
    lower = row >= column
    width = int((row - column).max(initial=0))
    diagonals = np.zeros((width + 1, len(order)))
    np.add.at(diagonals, (row[lower] - column[lower], column[lower]), entries.data[lower])
    return diagonals, order


__all__ = ["factor"]
