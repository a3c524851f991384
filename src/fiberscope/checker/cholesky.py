"""Cholesky factors of symmetric matrices, dense or sparse: whether there is one, and estimates from it.

A sparse matrix is ordered so that its entries lie near the diagonal (Cuthill and McKee), which its definiteness does
not depend on, and factored within that band: of neighbouring pixels, far fewer entries than all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import (
    cho_solve,  # pyright: ignore[reportUnknownVariableType]
    cho_solve_banded,  # pyright: ignore[reportUnknownVariableType]
    cholesky_banded,  # pyright: ignore[reportUnknownVariableType]
)
from scipy.sparse import csgraph

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_sparse, _graph = cast(Any, sparse), cast(Any, csgraph)
_solved, _solved_banded, _cholesky_banded = (
    cast(Any, cho_solve),
    cast(Any, cho_solve_banded),
    cast(Any, cholesky_banded),
)

NARROW = 0.25
"""Of the columns: a wider band is factored as a whole, which is faster then."""

WRITTEN_OUT = 64
"""Columns up to which an inverse is decomposed, not asked for products."""

VECTORS, STEPS = 4, 12
"""Of the block of vectors, and how often an inverse is applied to them, where it is asked for products."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A triangular factor L of ``S = L L^T``.

    Attributes:
        values: (d, d) L, or (width + 1, d) its diagonals, the main one first.
        order: (d,) the coordinates of S in the order in which the band was narrow; None of a factor as a whole.
    """

    values: FloatArray
    order: IntArray | None

    def solve(self, X: FloatArray) -> FloatArray:
        """``S^-1 X`` for X (d, k), as floats give it."""
        if self.order is None:
            return np.asarray(_solved((self.values, True), X, check_finite=False))
        out = np.empty_like(X)
        out[self.order] = _solved_banded((self.values, True), X[self.order], check_finite=False)
        return out


def factor(square: Any) -> Factor | None:
    """The factor of a symmetric matrix (d, d), if the factorization in floats completes, with finite numbers.

    Any order of its sums will do for the bounds of ``fiberscope.checker.matrices``, and a band only leaves out zeros.
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
    return Factor(values, order) if np.isfinite(values).all() else None


def _banded(square: Any) -> tuple[FloatArray, IntArray] | tuple[None, None]:
    """The lower diagonals of a sparse matrix in a narrow order, and that order; None where none is narrow."""
    order = np.asarray(_graph.reverse_cuthill_mckee(_sparse.csr_matrix(square), symmetric_mode=True), dtype=np.int64)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    entries = square.tocoo()
    row, column = place[entries.row], place[entries.col]
    lower = row >= column
    width = int((row - column).max(initial=0))
    if width > NARROW * len(order):
        return None, None
    diagonals = np.zeros((width + 1, len(order)))
    np.add.at(diagonals, (row[lower] - column[lower], column[lower]), entries.data[lower])
    return diagonals, order


def least_eigenvalue(factored: Factor, members: BoolArray) -> float:
    """About the largest number that can be taken from the diagonal of S at some coordinates, so that it stays definite.

    One over the largest eigenvalue of the inverse on these coordinates. Nothing is proved.
    """
    places = np.flatnonzero(members)
    n = len(places)

    def inverse(X: FloatArray) -> FloatArray:
        whole = np.zeros((len(members), *X.shape[1:]))
        whole[places] = X
        return factored.solve(whole)[places]

    with np.errstate(all="ignore"):
        basis = np.eye(n) if n <= WRITTEN_OUT else _krylov(inverse, n)
        seen = basis.T @ inverse(basis)
        if not np.isfinite(seen).all():
            return 0.0
        largest = float(np.linalg.eigvalsh(0.5 * (seen + seen.T))[-1])
        return 1.0 / largest if largest > 0 else 0.0


def _krylov(inverse: Callable[[FloatArray], FloatArray], n: int) -> FloatArray:
    """(n, k) an orthonormal basis of what powers of an inverse make of a few vectors, always the same ones."""
    block = np.random.default_rng(0).standard_normal((n, VECTORS))
    basis = np.zeros((n, 0))
    for _ in range(min(STEPS, n // VECTORS)):
        for _ in range(2):  # once more, against rounding
            block = block - basis @ (basis.T @ block)
        block = np.linalg.qr(block)[0] if np.isfinite(block).all() else np.zeros((n, VECTORS))
        basis = np.concatenate([basis, block], axis=1)
        block = inverse(block)
    return basis


__all__ = ["Factor", "factor", "least_eigenvalue"]
