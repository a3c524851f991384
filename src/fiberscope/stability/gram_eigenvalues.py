"""The eigenvalues of a Gram matrix, with a bound on how far they are from the squares of singular values.

``G = A^T A = Q T Q^T + E`` with T tridiagonal; by Weyl's inequality E moves no eigenvalue by more than |E|, which is
measured with random vectors against A itself, so that errors in G count too. That the eigenvalues found are those of T
is proved by counting: by Sylvester's law of inertia, the negative pivots of ``T - x`` are as many as its eigenvalues
below x, and in floating point their signs are those of a matrix whose entries beside the diagonal differ from T's by
2.5 units of rounding (Demmel, Applied Numerical Linear Algebra, 1997, lemma 5.3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int64

from fiberscope.errors import FiberscopeError
from fiberscope.network.arrays import FloatArray, IntArray

PROBES = 10
"""Random vectors that an error is measured with: the bound fails with probability 10^-10."""

UNITS = 32.0
"""Units of rounding, relative to the norm of T, that its eigenvalues are first supposed to be exact to; doubled until
the counts agree."""

MOST_DOUBLINGS = 40

TINY = 1e-100
"""What the norm of a matrix counts as at least: far above where squares vanish, with matrices scaled to about 1."""

_EPS = float(np.finfo(np.float64).eps)
_lapack: Any = cast(Any, scipy.linalg).lapack

Product = Callable[[FloatArray], FloatArray]


def gram_eigenvalues(
    gram: Float64[FloatArray, "n n"], product: Product, generator: np.random.Generator
) -> tuple[Float64[FloatArray, " n"], float]:
    """The eigenvalues of ``A^T A``, and how far each may be from the true one.

    Args:
        gram: ``A^T A`` as computed; only its upper triangle counts, and it is overwritten.
        product: gives ``A^T A V`` for V (n, k) from A, not from the Gram matrix.
        generator: of the vectors that the error is measured with.

    Returns:
        The eigenvalues, descending, negative ones as zero; and the bound, which fails with probability 10^-10.
    """
    n = len(gram)
    probes = generator.standard_normal((n, PROBES))
    if n == 1:
        eigenvalues, error, own = gram[0], gram @ probes, 0.0
    else:
        reflectors, diagonal, beside, tau, _ = _lapack.dsytrd(gram.T, lower=1, lwork=32 * n, overwrite_a=1)
        eigenvalues, _ = _lapack.dsterf(diagonal, beside)
        own = proved_error(diagonal, beside, eigenvalues)
        factor = _below_diagonal(reflectors)
        inner = _reflected(factor, tau, probes, "T")
        through = diagonal[:, None] * inner
        through[1:] += beside[:, None] * inner[:-1]
        through[:-1] += beside[:, None] * inner[1:]
        error = _reflected(factor, tau, through, "N")
    return np.maximum(eigenvalues[::-1], 0.0), measured(product(probes) - error) + own


def _below_diagonal(reflectors: Float64[FloatArray, "n n"]) -> Float64[FloatArray, "n n-1"]:
    """The Householder vectors, which stand below the diagonal of an array in Fortran's order, without a copy of it.

    Read one number further on, each column begins below the diagonal and ends in the first row, which is set to zero.
    """
    n = len(reflectors)
    reflectors[0, 1:] = 0.0
    return reflectors.T.ravel()[1 : 1 + n * (n - 1)].reshape(n - 1, n).T


def _reflected(factor: FloatArray, tau: FloatArray, vectors: FloatArray, transposed: str) -> FloatArray:
    """Apply the orthogonal factor of a tridiagonalization; it leaves the first coordinate alone."""
    shifted = np.zeros(vectors.shape, order="F")
    shifted[:-1] = vectors[1:]
    out, _, _ = _lapack.dormqr("L", transposed, factor, tau, shifted, lwork=64 * PROBES, overwrite_c=1)
    return np.concatenate([vectors[:1], out[:-1]])


def measured(errors: Float64[FloatArray, "k r"]) -> float:
    """A bound on the norm of E from ``E w`` for Gaussian vectors w (Halko, Martinsson & Tropp 2011, lemma 4.1)."""
    return float(10.0 * np.sqrt(2.0 / np.pi) * np.sqrt(np.square(errors).sum(axis=0).max()))


def proved_error(
    diagonal: Float64[FloatArray, " n"], beside: Float64[FloatArray, " n-1"], eigenvalues: Float64[FloatArray, " n"]
) -> float:
    """How far numbers, ascending, are at most from the eigenvalues of a symmetric tridiagonal matrix, by counting."""
    padded = np.pad(np.abs(beside), 1)
    norm = max(float((np.abs(diagonal) + padded[1:] + padded[:-1]).max()), TINY)
    # a pivot of zero over an entry of zero would be undefined; so small an entry moves nothing that counts
    off = np.maximum(np.abs(beside), _EPS**2 * norm)
    numbers = np.arange(len(diagonal))
    slack = UNITS * _EPS * norm
    for _ in range(MOST_DOUBLINGS):
        below = counts(diagonal, off, np.concatenate([eigenvalues - slack, eigenvalues + slack]))
        if (below[: len(numbers)] <= numbers).all() and (below[len(numbers) :] > numbers).all():
            return slack + 2.5 * _EPS * norm + 2.0 * float((off - np.abs(beside)).max())
        slack *= 2.0
    raise FiberscopeError(
        f"LAPACK's eigenvalues of a tridiagonal matrix of size {len(numbers)} are further than {slack / norm:.1g} of "
        "its norm from the true ones; check the LAPACK that scipy uses"
    )


def counts(
    diagonal: Float64[FloatArray, " n"], beside: Float64[FloatArray, " n-1"], points: Float64[FloatArray, " k"]
) -> Int64[IntArray, " k"]:
    """How many eigenvalues of a symmetric tridiagonal matrix lie below each point: the negative pivots of ``T - x``."""
    squares = np.square(beside)
    pivot = diagonal[0] - points
    below = (pivot < 0).astype(np.int64)
    ratio, negative = np.empty_like(points), np.empty(len(points), dtype=bool)
    with np.errstate(divide="ignore", over="ignore"):
        for entry, square in zip(diagonal[1:], squares, strict=True):
            np.divide(square, pivot, out=ratio)
            np.subtract(entry, points, out=pivot)
            np.subtract(pivot, ratio, out=pivot)
            np.less(pivot, 0, out=negative)
            below += negative
    return below


__all__ = ["PROBES", "Product", "counts", "gram_eigenvalues", "measured", "proved_error"]
