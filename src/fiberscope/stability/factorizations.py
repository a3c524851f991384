"""The factorizations that give all singular values of a matrix, each with the error that was measured.

A factorization in floating point, ``A = U S V^T + E`` or ``A^T A = Q T Q^T + E``, has an error E. By Weyl's inequality
it moves each singular value, or each eigenvalue, by at most |E|. What theory can prove about |E| beforehand grows with
n^2 and is some ten thousand times too large. So it is measured, as ``measured_errors`` says. The factors are not quite
orthogonal either: with ``|Q^T Q - I| <= d`` for each, they move a value by the part d of it (Ostrowski).

All matrices here have p >= q and are scaled by a power of two, so that their largest entry is about 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.stability.gram_eigenvalues import EPS, GramEigenvalues, gram_eigenvalues
from fiberscope.stability.measured_errors import (
    UPWARDS,
    VANISHED,
    Columns,
    defect,
    frobenius,
    image,
    norm_bound,
    random_columns,
    stretched,
)
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


@dataclass(frozen=True, eq=False)
class Decomposition:
    """``A = U S V^T + E``.

    Attributes:
        left: U, (p, q).
        spectrum: S, with bounds that hold E.
        right: ``V^T``, (q, q).
    """

    left: Float64[FloatArray, "p q"]
    spectrum: Spectrum
    right: Float64[FloatArray, "q q"]


def by_gram(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    """From the eigenvalues of ``A^T A``; errors are measured against A."""
    norm = frobenius(A)
    return of_squares(gram_eigenvalues(A.T @ A, lambda W: image(A.T, image(A, W), norm), generator), A.shape)


def of_squares(squares: GramEigenvalues, shape: tuple[int, int]) -> Spectrum:
    """The spectrum of A from the eigenvalues of its Gram matrix.

    An error of delta moves s to between ``sqrt(s^2 - delta)`` and ``sqrt(s^2 + delta)``; the root itself is rounded.
    """
    values, delta = np.sqrt(squares.values), squares.error_bound
    lowest = np.sqrt(np.maximum(squares.values - delta, 0.0))
    # s - sqrt(s^2 - delta) = delta / (s + sqrt(s^2 - delta)) cancels nothing, and is never less than the other side
    below = np.where(delta < squares.values, delta / np.maximum(values + lowest, VANISHED), values)
    above = np.sqrt(squares.values + delta) - values
    bound = np.maximum(below, above) * UPWARDS + 4.0 * EPS * (values + np.sqrt(delta))
    return Spectrum(values, bound, float(np.sqrt(squares.undecided)), Method.GRAM, shape)


def by_qr(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    """By QR, and the singular value decomposition of R."""
    Q, R = _linalg.qr(A, mode="economic")
    U, values, Vt = _svd(R)
    through, defects = _through(U, values, Vt, generator)
    lost, _ = defect(Q, random_columns(Q.shape[1], generator))
    product = image(Q, through.result, float(np.sqrt(1.0 + lost)))
    return _spectrum(A, values, through.probes, product, defects + lost, Method.QR)


def by_svd(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Spectrum:
    """By the singular value decomposition with vectors."""
    return decomposition(A, generator).spectrum


def decomposition(A: Float64[FloatArray, "p q"], generator: np.random.Generator) -> Decomposition:
    """The singular values and vectors."""
    U, values, Vt = _svd(A)
    through, defects = _through(U, values, Vt, generator)
    return Decomposition(U, _spectrum(A, values, through.probes, through.result, defects, Method.SVD), Vt)


def _svd(A: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The thin decomposition, by divide and conquer; where that does not converge, by QR iteration, which is slower."""
    try:
        return _linalg.svd(A, full_matrices=False)
    except np.linalg.LinAlgError:
        return _linalg.svd(A, full_matrices=False, lapack_driver="gesvd")


@dataclass(frozen=True, eq=False)
class _Through:
    """What factors make of random vectors."""

    probes: Columns
    result: Columns


def _through(
    U: Float64[FloatArray, "p q"], values: Float64[FloatArray, " q"], Vt: Float64[FloatArray, "q q"], generator: Any
) -> tuple[_Through, float]:
    """``U S V^T`` times random vectors, and by how much the squares of U and V miss the identity, together.

    V is square, so that ``V V^T - I`` has the norm of ``V^T V - I``.
    """
    probes = random_columns(len(values), generator)
    lost_right, inside = defect(Vt, probes)
    lost_left, _ = defect(U, random_columns(len(values), generator))
    result = image(U, stretched(values, inside), float(np.sqrt(1.0 + lost_left)))
    return _Through(probes, result), lost_right + lost_left


def _spectrum(
    A: FloatArray, values: FloatArray, probes: Columns, product: Columns, defects: float, method: Method
) -> Spectrum:
    """What ``A = U S V^T + E`` says, with ``A w`` and ``U S V^T w`` for random w, and the defects of the factors.

    A product of factors with defects d_i multiplies a value by ``prod sqrt(1 +- d_i)``, which is within ``sum d_i`` of
    1 where that is at most 1.
    """
    absolute = norm_bound(image(A, probes).minus(product))
    if not defects < 1.0:
        return Spectrum(values, np.full(len(values), np.inf), float("inf"), method, A.shape)
    bound = (absolute + defects * values) * UPWARDS
    return Spectrum(values, bound, absolute / (1.0 - defects) * UPWARDS, method, A.shape)


__all__ = ["Decomposition", "Method", "by_gram", "by_qr", "by_svd", "decomposition", "of_squares"]
