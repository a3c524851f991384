"""Whether a symmetric matrix, dense or sparse, has a Cholesky factor in floats, and that factor.

A sparse matrix is ordered so that its entries lie near the diagonal (Cuthill and McKee), which its definiteness does
not depend on, and factored within that band: of neighbouring pixels, far fewer entries than all.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky_banded  # pyright: ignore[reportUnknownVariableType]

from fiberscope.checker.bands import Band, narrow_order, places_in

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_cholesky_banded = cast(Any, cholesky_banded)


def factor(square: Any) -> tuple[FloatArray, IntArray | None] | None:
    """The factor of a symmetric matrix (d, d), if the factorization in floats completes, with finite numbers.

    Any order of its sums will do for the bounds of ``fiberscope.checker.matrices``, and a band only leaves out zeros. A
    ``Band`` is overwritten.

    Returns:
        L (d, d) and None; or its diagonals (width + 1, d), the main one first, and the order (d,) of the coordinates in
        which the band is narrow.
    """
    written = isinstance(square, np.ndarray)
    band: Band | None = square if isinstance(square, Band) else None if written else _banded(square)
    given = cast(Any, square)
    values: FloatArray = band.values if band is not None else given if written else given.toarray()
    if not np.isfinite(values).all():
        return None
    try:
        found: FloatArray
        if band is None:
            found = np.linalg.cholesky(values).astype(np.float64, copy=False)
        else:
            found = _cholesky_banded(band.values.T, overwrite_ab=True, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return (found, None if band is None else band.order) if np.isfinite(found).all() else None


def _banded(square: Any) -> Band | None:
    """A sparse matrix in a narrow order; None where none was found."""
    order = narrow_order(square)
    if order is None:
        return None
    place = places_in(order)
    entries = square.tocoo()
    row, column = place[entries.row], place[entries.col]
    lower = row >= column
    width = int((row - column).max(initial=0))
    flat = column[lower] * np.int64(width + 1) + (row - column)[lower]
    values = np.zeros(len(order) * (width + 1))
    np.add.at(values, flat, entries.data[lower])
    return Band(values.reshape(len(order), width + 1), order)


__all__ = ["factor"]
