"""The factorizations that give all singular values of a matrix, each with the error that was measured.

A factorization in floating point, ``A = U S V^T + E`` or ``A^T A = Q T Q^T + E``, has an error E. By Weyl's inequality
it moves each singular value, or each eigenvalue, by at most |E|. What theory can prove about |E| beforehand grows with
n^2 and is some ten thousand times too large. So it is measured: for r Gaussian vectors w, ``|E| <= 10 sqrt(2 / pi)
max_i |E w_i|`` except with probability 10^-r (Halko, Martinsson & Tropp, SIAM Review 2011, lemma 4.1). The rounding of
the measurement itself adds to what is measured.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.stability.gram_eigenvalues import PROBES, gram_eigenvalues, measured
from fiberscope.stability.spectrum import Spectrum

_linalg: Any = cast(Any, scipy.linalg)


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


def by_gram(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    """From the eigenvalues of ``A^T A``, for p >= q; errors are measured against A."""
    squares, delta = gram_eigenvalues(A.T @ A, lambda V: A.T @ (A @ V), generator)
    return of_squares(squares, delta, A.shape)


def of_squares(squares: Float64[FloatArray, " r"], delta: float, shape: tuple[int, int]) -> Spectrum:
    """The spectrum of A from the eigenvalues of its Gram matrix: an error of delta moves s to ``sqrt(s^2 + delta)``."""
    values = np.sqrt(squares)
    lower, upper = np.sqrt(np.maximum(squares - delta, 0.0)), np.sqrt(squares + delta)
    return Spectrum(values, np.maximum(values - lower, upper - values), float(np.sqrt(delta)), Method.GRAM, shape)


def by_qr(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    """By QR, and the singular value decomposition of R, for p >= q."""
    (factor, tau), R = _linalg.qr(A, mode="raw")
    U, values, Vt = _svd(R[: A.shape[1]])
    probes = generator.standard_normal((A.shape[1], PROBES))
    inside = np.zeros((A.shape[0], PROBES), order="F")
    inside[: A.shape[1]] = U @ (values[:, None] * (Vt @ probes))
    outside, _, _ = _linalg.lapack.dormqr("L", "N", factor, tau, inside, lwork=64 * PROBES)
    return _of_factors(A, U, values, Vt, A @ probes - outside, generator, Method.QR)


def by_svd(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    """By the singular value decomposition with vectors, for p >= q."""
    U, values, Vt = _svd(A)
    probes = generator.standard_normal((A.shape[1], PROBES))
    error = A @ probes - U @ (values[:, None] * (Vt @ probes))
    return _of_factors(A, U, values, Vt, error, generator, Method.SVD)


def _svd(A: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The thin decomposition, by divide and conquer; where that does not converge, by QR iteration, which is slower."""
    try:
        return _linalg.svd(A, full_matrices=False)
    except np.linalg.LinAlgError:
        return _linalg.svd(A, full_matrices=False, lapack_driver="gesvd")


def _of_factors(
    A: FloatArray, U: FloatArray, values: FloatArray, Vt: FloatArray, error: FloatArray, generator: Any, method: Method
) -> Spectrum:
    """What ``A = U S V^T + E`` says if U and V are orthonormal up to measured defects."""
    probes = generator.standard_normal((len(values), PROBES))
    defect = measured(U.T @ (U @ probes) - probes) + measured(Vt @ (Vt.T @ probes) - probes)
    absolute = measured(error)
    return Spectrum(values, absolute + defect * values, absolute / max(1.0 - defect, 0.5), method, A.shape)


__all__ = ["Method", "by_gram", "by_qr", "by_svd", "of_squares"]
