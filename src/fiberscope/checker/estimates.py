"""Estimates from Cholesky factors: where a proof may be tried. Nothing is proved here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from scipy.linalg import (
    cho_solve,  # pyright: ignore[reportUnknownVariableType]
    cho_solve_banded,  # pyright: ignore[reportUnknownVariableType]
)

from fiberscope.checker.cholesky import factor
from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, Matrix

_solved, _solved_banded = cast(Any, cho_solve), cast(Any, cho_solve_banded)

WRITTEN_OUT = 64
"""Columns up to which an inverse is decomposed, not asked for products."""

VECTORS, STEPS = 4, 12
"""Of the block of vectors, and how often an inverse is applied to them, where it is asked for products."""


def least_eigenvalue(square: Matrix, members: BoolArray | None = None, steps: int = STEPS) -> float:
    """About the largest number that can be taken from the diagonal at some coordinates, so that it stays definite.

    One over the largest eigenvalue of the inverse of S (d, d) on these coordinates, by default all; 0 where S is not
    definite.
    """
    factored = factor(square)
    return 0.0 if factored is None else spare(factored, members, steps)


def spare(factored: tuple[FloatArray, IntArray | None], members: BoolArray | None = None, steps: int = STEPS) -> float:
    """The same of a matrix that is given by its factor."""
    values, order = factored
    size = int(values.shape[1])
    places = np.arange(size) if members is None else np.flatnonzero(members)
    n = len(places)

    def inverse(X: FloatArray) -> FloatArray:
        whole = np.zeros((size, *X.shape[1:]))
        whole[places] = X
        if order is None:
            return np.asarray(_solved((values, True), whole, check_finite=False))[places]
        out = np.empty_like(whole)
        out[order] = _solved_banded((values, True), whole[order], check_finite=False)
        return out[places]

    with np.errstate(all="ignore"):
        basis = np.eye(n) if n <= WRITTEN_OUT else _krylov(inverse, n, steps)
        seen = basis.T @ inverse(basis)
        if not np.isfinite(seen).all():
            return 0.0
        largest = float(np.linalg.eigvalsh(0.5 * (seen + seen.T))[-1])
        return 1.0 / largest if largest > 0 else 0.0


def _krylov(inverse: Callable[[FloatArray], FloatArray], n: int, steps: int) -> FloatArray:
    """(n, k) an orthonormal basis of what powers of an inverse make of a few vectors, always the same ones."""
    block = np.random.default_rng(0).standard_normal((n, VECTORS))
    basis = np.zeros((n, 0))
    for _ in range(min(steps, n // VECTORS)):
        for _ in range(2):  # once more, against rounding
            block = block - basis @ (basis.T @ block)
        block = np.linalg.qr(block)[0] if np.isfinite(block).all() else np.zeros((n, VECTORS))
        basis = np.concatenate([basis, block], axis=1)
        block = inverse(block)
    return basis


__all__ = ["STEPS", "least_eigenvalue", "spare"]
