"""Matrices with known singular values, and LAPACK's most accurate driver as an oracle for others."""

from __future__ import annotations

import numpy as np
import scipy.linalg


def with_spectrum(values, m: int, n: int, seed: int = 0) -> np.ndarray:
    """A matrix (m, n) with the given singular values, and zeros beside them."""
    generator = np.random.default_rng(seed)
    U, V = (np.linalg.qr(generator.standard_normal((d, len(values))))[0] for d in (m, n))
    return (U * values) @ V.T


def truth(A) -> np.ndarray:
    """The singular values of a matrix, as gesvd gives them."""
    return scipy.linalg.svd(np.asarray(A, dtype=float), compute_uv=False, lapack_driver="gesvd")
