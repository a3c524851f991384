"""The eigenvalues of a Gram matrix, with a bound on how far they are from the squares of singular values.

``G = A^T A = Q T Q^T + E`` with T tridiagonal; by Weyl's inequality E moves no eigenvalue by more than |E|, which is
measured with random vectors against A itself, so that errors in G count too. With ``|Q^T Q - I| <= d``, an eigenvalue
of ``Q T Q^T`` is one of T up to the part d of it (Ostrowski). That the eigenvalues found are those of T is proved by
counting: by Sylvester's law of inertia, the negative pivots of ``T - x`` are as many as its eigenvalues below x, and in
floating point their signs are those of a matrix whose entries beside the diagonal differ from T's by 2.5 units of
rounding (Demmel, Applied Numerical Linear Algebra, 1997, lemma 5.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int64

from fiberscope.errors import FiberscopeError
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.stability.measured_errors import (
    UNIT,
    UPWARDS,
    Columns,
    defect,
    image,
    norm_bound,
    random_columns,
)

UNITS = 32.0
"""Units of rounding, relative to the norm of T, that its eigenvalues are first supposed to be exact to; doubled until
the counts agree."""

MOST_DOUBLINGS = 40

TINY = 1e-100
"""What the norm of a matrix counts as at least: far above where squares vanish, with matrices scaled to about 1."""

EPS = float(np.finfo(np.float64).eps)
_lapack: Any = cast(Any, scipy.linalg).lapack

Product = Callable[[Columns], Columns]


@dataclass(frozen=True, eq=False)
class GramEigenvalues:
    """The eigenvalues of ``A^T A``.

    Attributes:
        values: (n,) descending, negative ones as zero.
        error_bound: (n,) how far each may be from the true one, except with probability 10^-10.
        undecided: values up to this cannot be told from zero.
    """

    values: Float64[FloatArray, " n"]
    error_bound: Float64[FloatArray, " n"]
    undecided: float


def gram_eigenvalues(
    gram: Float64[FloatArray, "n n"], product: Product, generator: np.random.Generator
) -> GramEigenvalues:
    """The eigenvalues of ``A^T A``, for A with entries of at most about 1.

    Args:
        gram: ``A^T A`` as computed; only its upper triangle counts, and it is overwritten.
        product: gives ``A^T A W`` for W (n, k) from A, not from the Gram matrix.
        generator: of the vectors that errors are measured with.
    """
    n = len(gram)
    probes = random_columns(n, generator)
    if n == 1:
        ascending, own, lost = gram[0], 0.0, 0.0
        reduced = image(gram, probes)
    else:
        reflectors, diagonal, beside, tau, _ = _lapack.dsytrd(gram.T, lower=1, lwork=32 * n, overwrite_a=1)
        ascending, _ = _lapack.dsterf(diagonal, beside)
        own = proved_error(diagonal, beside, ascending)
        Q = _orthogonal_factor(reflectors, tau)
        lost, inside = defect(Q.T, probes)  # Q is square: Q Q^T misses the identity by as much as Q^T Q
        reduced = image(Q, _tridiagonal(diagonal, beside, inside), float(np.sqrt(1.0 + lost)))
    absolute = norm_bound(product(probes).minus(reduced))
    values = np.maximum(ascending[::-1], 0.0)
    if not lost < 1.0:
        return GramEigenvalues(values, np.full(n, np.inf), float("inf"))
    constant = (absolute + own * (1.0 + lost)) * UPWARDS
    return GramEigenvalues(values, constant + lost * values * UPWARDS, constant / (1.0 - lost) * UPWARDS)


def _orthogonal_factor(reflectors: Float64[FloatArray, "n n"], tau: FloatArray) -> Float64[FloatArray, "n n"]:
    """The orthogonal factor of a tridiagonalization, which leaves the first coordinate alone.

    The Householder vectors stand below the diagonal.
    """
    n = len(reflectors)
    inner, _, _ = _lapack.dorgqr(np.asfortranarray(reflectors[1:, :-1]), tau, lwork=64 * n, overwrite_a=1)
    Q = np.zeros((n, n), order="F")
    Q[0, 0], Q[1:, 1:] = 1.0, inner
    return Q


def _tridiagonal(diagonal: Float64[FloatArray, " n"], beside: Float64[FloatArray, " n-1"], X: Columns) -> Columns:
    """A symmetric tridiagonal matrix times vectors: three products and two sums for each number."""
    a, b, x = diagonal.astype(np.longdouble)[:, None], beside.astype(np.longdouble)[:, None], X.values
    values = a * x
    values[1:] += b * x[:-1]
    values[:-1] += b * x[1:]
    norm = _norm(diagonal, beside)
    return Columns(values, norm * X.error + 4.0 * UNIT * norm * X.lengths())


def _norm(diagonal: Float64[FloatArray, " n"], beside: Float64[FloatArray, " n-1"]) -> float:
    """The largest sum of sizes in a row of a symmetric tridiagonal matrix, which bounds its norm and that of sizes."""
    padded = np.pad(np.abs(beside), 1)
    return float((np.abs(diagonal) + padded[1:] + padded[:-1]).max())


def proved_error(
    diagonal: Float64[FloatArray, " n"], beside: Float64[FloatArray, " n-1"], eigenvalues: Float64[FloatArray, " n"]
) -> float:
    """How far numbers, ascending, are at most from the eigenvalues of a symmetric tridiagonal matrix, by counting."""
    norm = max(_norm(diagonal, beside), TINY)
    # a pivot of zero over an entry of zero would be undefined; so small an entry moves nothing that counts
    off = np.maximum(np.abs(beside), EPS**2 * norm)
    numbers = np.arange(len(diagonal))
    slack = UNITS * EPS * norm
    for _ in range(MOST_DOUBLINGS):
        below = counts(diagonal, off, np.concatenate([eigenvalues - slack, eigenvalues + slack]))
        if (below[: len(numbers)] <= numbers).all() and (below[len(numbers) :] > numbers).all():
            # lemma 5.3 moves T by at most 2.5 EPS norm; the points themselves are rounded to EPS (norm + slack) / 2
            return slack * (1.0 + EPS) + 4.0 * EPS * norm + 2.0 * float((off - np.abs(beside)).max())
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


__all__ = ["EPS", "GramEigenvalues", "Product", "counts", "gram_eigenvalues", "proved_error"]
