"""All singular values of a map that fits into memory, with error bounds that are measured, not assumed.

A factorization in floating point, ``A = U S V^T + E`` or ``A^T A = Q T Q^T + E``, has an error E. By Weyl's inequality
it moves each singular value, or each eigenvalue, by at most |E|. What theory can prove about |E| beforehand grows with
n^2 and is some ten thousand times too large. So it is measured: for r Gaussian vectors w, ``|E| <= 10 sqrt(2 / pi)
max_i |E w_i|`` except with probability 10^-r (Halko, Martinsson & Tropp, SIAM Review 2011, lemma 4.1). The rounding of
the measurement itself adds to what is measured.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, assert_never, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.stability.linearization import MATRIX_BYTES, Linearization
from fiberscope.stability.spectrum import Spectrum

PROBES = 10
"""Random vectors that an error is measured with: the bound fails with probability 10^-10."""

SMALL = 256
"""Values up to which the singular value decomposition with vectors costs next to nothing."""

QL_UNITS = 64.0
"""Units of rounding, relative to the largest eigenvalue, that are allowed for LAPACK's eigenvalues of a tridiagonal
matrix; its own tests ask for fewer."""

_lapack: Any = cast(Any, scipy.linalg).lapack


class Method(StrEnum):
    """How singular values are computed."""

    AUTO = "auto"
    """The singular value decomposition where it is small; else the Gram matrix, and QR where that does not resolve."""
    GRAM = "gram"
    """Eigenvalues of the smaller Gram matrix: fast; resolves nothing below about 1e-7 of the largest value."""
    QR = "qr"
    """QR, and the singular value decomposition of R."""
    SVD = "svd"
    """The singular value decomposition of the whole matrix."""


def singular_values(J: Any, method: str = "auto", *, seed: int = 0, max_bytes: int = MATRIX_BYTES) -> Spectrum:
    """All singular values of a linear map, each with an error bound.

    Args:
        J: what ``linearize`` gives, or a matrix (m, n).
        method: "auto", "gram", "qr" or "svd", as in ``Method``.
        seed: of the random vectors that errors are measured with.
        max_bytes: the largest matrix to write out.

    Returns:
        min(m, n) values, descending; bounds for each, which fail with probability 10^-10; rank and condition number.

    Raises:
        InputError: an unknown method; NaN or infinite numbers; a matrix that is too large.

    Source: Weyl's inequality for singular values; section 3.2 of the paper.
    """
    if method not in list(Method):
        raise InputError("method", expected=" or ".join(map(repr, map(str, Method))), got=repr(method))
    A = J.matrix(max_bytes=max_bytes) if isinstance(J, Linearization) else as_float64(J, "J", shape=(None, None))
    m, n = A.shape
    rows, columns = A.any(axis=1), A.any(axis=0)
    kept = A if rows.all() and columns.all() else A[np.ix_(rows, columns)]
    if not kept.size:
        zeros = np.zeros(min(m, n))
        return Spectrum(zeros, zeros, 0.0, Method.SVD if method == Method.AUTO else method, (m, n))
    scale = float(np.abs(kept).max())
    tall = np.divide(kept if kept.shape[0] >= kept.shape[1] else kept.T, scale, order="F")
    found = _spectrum(tall, Method(method), np.random.default_rng(seed))
    zeros = (0, min(m, n) - len(found.values))
    return Spectrum(
        np.pad(found.values * scale, zeros),
        np.pad(found.error_bound * scale, zeros),
        found.tolerance * scale,
        found.method,
        (m, n),
    )


def _spectrum(A: Float64[FloatArray, "p q"], method: Method, generator: np.random.Generator) -> Spectrum:
    match method:
        case Method.AUTO:
            if A.shape[1] <= SMALL:
                return _by_svd(A, generator)
            found = _by_gram(A, generator)
            return found if found.is_resolved else _by_qr(A, generator)
        case Method.GRAM:
            return _by_gram(A, generator)
        case Method.QR:
            return _by_qr(A, generator)
        case Method.SVD:
            return _by_svd(A, generator)
        case _:
            assert_never(method)


def _by_gram(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    """Eigenvalues of ``G = A^T A = Q T Q^T``; an error delta of G moves s to at most sqrt(s^2 + delta)."""
    q = A.shape[1]
    gram = A.T @ A
    probes = generator.standard_normal((q, PROBES))
    products = A.T @ (A @ probes)
    if q == 1:
        eigenvalues, error = gram[0], products - gram @ probes
    else:
        reflectors, diagonal, beside, tau, _ = _lapack.dsytrd(gram, lower=1, lwork=32 * q, overwrite_a=1)
        eigenvalues, _ = _lapack.dsterf(diagonal, beside)
        factor = np.asfortranarray(reflectors[1:, :-1])
        inner = _reflected(factor, tau, probes, "T")
        through = diagonal[:, None] * inner
        through[1:] += beside[:, None] * inner[:-1]
        through[:-1] += beside[:, None] * inner[1:]
        error = products - _reflected(factor, tau, through, "N")
    squares = np.maximum(eigenvalues[::-1], 0.0)
    delta = _measured(error) + QL_UNITS * np.finfo(np.float64).eps * squares[0]
    values = np.sqrt(squares)
    lower, upper = np.sqrt(np.maximum(squares - delta, 0.0)), np.sqrt(squares + delta)
    return Spectrum(values, np.maximum(values - lower, upper - values), float(np.sqrt(delta)), Method.GRAM, A.shape)


def _reflected(factor: FloatArray, tau: FloatArray, vectors: FloatArray, transposed: str) -> FloatArray:
    """Apply the orthogonal factor of a tridiagonalization; it leaves the first coordinate alone."""
    out, _, _ = _lapack.dormqr("L", transposed, factor, tau, np.asfortranarray(vectors[1:]), lwork=64 * PROBES)
    return np.concatenate([vectors[:1], out])


def _by_qr(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    (factor, tau), R = cast(Any, scipy.linalg).qr(A, mode="raw")
    U, values, Vt = cast(Any, scipy.linalg).svd(R[: A.shape[1]], full_matrices=False)
    probes = generator.standard_normal((A.shape[1], PROBES))
    inside = np.zeros((A.shape[0], PROBES), order="F")
    inside[: A.shape[1]] = U @ (values[:, None] * (Vt @ probes))
    outside, _, _ = _lapack.dormqr("L", "N", factor, tau, inside, lwork=64 * PROBES)
    return _of_factors(A, U, values, Vt, A @ probes - outside, generator, Method.QR)


def _by_svd(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    U, values, Vt = cast(Any, scipy.linalg).svd(A, full_matrices=False)
    probes = generator.standard_normal((A.shape[1], PROBES))
    error = A @ probes - U @ (values[:, None] * (Vt @ probes))
    return _of_factors(A, U, values, Vt, error, generator, Method.SVD)


def _of_factors(
    A: FloatArray, U: FloatArray, values: FloatArray, Vt: FloatArray, error: FloatArray, generator: Any, method: Method
) -> Spectrum:
    """What ``A = U S V^T + E`` says if U and V are orthonormal up to measured defects."""
    probes = generator.standard_normal((len(values), PROBES))
    defect = _measured(U.T @ (U @ probes) - probes) + _measured(Vt @ (Vt.T @ probes) - probes)
    absolute = _measured(error)
    return Spectrum(values, absolute + defect * values, absolute / max(1.0 - defect, 0.5), method, A.shape)


def _measured(errors: Float64[FloatArray, "k r"]) -> float:
    """A bound on the norm of E from ``E w`` for Gaussian vectors w."""
    return float(10.0 * np.sqrt(2.0 / np.pi) * np.sqrt(np.square(errors).sum(axis=0).max()))


__all__ = ["Method", "singular_values"]
