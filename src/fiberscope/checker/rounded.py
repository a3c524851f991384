"""Matrices that are known up to errors of their rows: products, and bounds on singular values and norms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.checker.affine import dense, is_sparse, suited, unit
from fiberscope.checker.cholesky import factor
from fiberscope.checker.estimates import least_eigenvalue
from fiberscope.checker.matrices import (
    MAX_GRAM,
    ROUNDING,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    BoolArray,
    FloatArray,
    IntArray,
    Matrix,
    NotProvedError,
    entries,
    less_diagonal,
    norm_above,
    relative_error,
    row_norms_above,
    row_sizes,
    singular_values_exceed,
)

MAX_NUMBERS = 2**27
"""In one matrix: a gigabyte."""

POWERS = 30
"""Multiplications by which a norm is estimated, before the estimate is proved to be large enough."""

ABOVE, BELOW = 1.0 + 2.0**-5, 1.0 - 2.0**-10
"""By how much more, or less, than an estimate is proved: room for estimates from below, and for rounding."""


DECOMPOSED = 2**33
"""Multiplications that a decomposition may cost of a matrix whose Gram matrix tells nothing: some seconds."""

RESOLVED = 2.0**-40
"""Eigenvalues of a Gram matrix above that share of the largest have some correct digits."""


@dataclass(frozen=True, eq=False)
class Rounded:
    """An exact matrix lies within ``error`` (m,) of ``value`` (m, n), dense or sparse: Euclid, row by row."""

    value: Matrix
    error: FloatArray

    def rows(self, rows: IntArray) -> Rounded:
        """Some of the rows."""
        value: Matrix = self.value[rows]
        return Rounded(value, self.error[rows])

    def scaled(self, share: FloatArray) -> Rounded:
        """Rows times numbers; of 0 and other powers of two nothing is rounded that float64 holds."""
        value = unit(share) @ self.value if is_sparse(self.value) else self.value * share[:, None]
        rounding = np.where(np.isin(np.abs(np.frexp(share)[0]), (0.0, 0.5)), 0.0, UNIT_ROUNDOFF)
        size = np.abs(share) * (self.error + rounding * row_norms_above(self.value)) * ROUNDING
        return Rounded(value, np.where(self.is_zero | (share == 0), 0.0, size + value.shape[1] * SMALLEST_NORMAL))

    @property
    def is_zero(self) -> BoolArray:
        """(m,) which rows are zero for certain."""
        return (self.error == 0) & (row_sizes(self.value) == 0)

    def plus(self, other: Rounded) -> Rounded:
        """The sum, of written rows."""
        value = self.value + other.value
        error = (self.error + other.error + UNIT_ROUNDOFF * row_norms_above(value)) * ROUNDING
        return Rounded(value, error)

    def spread(self, share: FloatArray) -> Rounded:
        """Columns times numbers that are not negative: by 1 nothing is rounded."""
        if (share == 1).all():
            return self
        value = self.value @ unit(share) if is_sparse(self.value) else self.value * share
        lost = 2.0 * UNIT_ROUNDOFF * row_norms_above(value) + SMALLEST_NORMAL * len(share)
        return Rounded(value, (self.error * float(share.max(initial=0.0)) + lost) * ROUNDING)

    def norms(self) -> FloatArray:
        """(m,) bounds on the lengths of the rows."""
        return (row_norms_above(self.value) + self.error) * ROUNDING

    def norm(self) -> float:
        """A bound on the spectral norm."""
        return (_spectral_above(self.value) + norm_above(self.error)) * ROUNDING


def least_stretch(C: Rounded, loss: float) -> float:
    """A lower bound on ``|J d| / |d|`` where J lies within ``loss`` of C; 0 where none is proved."""
    p, n = C.value.shape
    if p < n or not (np.isfinite(entries(C.value)).all() and np.isfinite(loss)):
        return 0.0
    least = _least_singular_value(C.value)
    lost = (norm_above(C.error) + loss) * ROUNDING
    for share in (BELOW, 0.5, 0.5 / np.sqrt(n)):  # the others where C is nearly singular, or the estimate too large
        if share * least > lost and singular_values_exceed(C.value, float(share * least), DECOMPOSED):
            return float((share * least - lost) / ROUNDING)
    return 0.0


def _least_singular_value(B: Matrix) -> float:
    """About the smallest of them; nothing is proved here.

    From the Gram matrix where that resolves it; else the matrix is decomposed, if it is small enough for a proof.
    """
    p, n = B.shape
    gram = B.T @ B
    square = least_eigenvalue(gram) if n <= MAX_GRAM else 0.0
    if square > RESOLVED * float(gram.diagonal().max(initial=0.0)):
        return float(np.sqrt(square))
    return float(np.linalg.svd(dense(B), compute_uv=False)[-1]) if p * n * n <= DECOMPOSED else 0.0


def _spectral_above(B: Matrix) -> float:
    """An upper bound on the largest singular value.

    ``t - B^T B`` is positive definite if its Cholesky factorization in floats completes, up to the rounding that
    ``fiberscope.checker.matrices.singular_values_exceed`` accounts for in the same way; t is estimated by powers.
    """
    whole, d, terms = norm_above(entries(B)), min(B.shape), max(B.shape)
    if d <= 1 or d > MAX_GRAM or not np.isfinite(whole) or whole == 0.0:
        return whole
    gram = B @ B.T if B.shape[0] < B.shape[1] else B.T @ B
    v = np.asarray(abs(gram).sum(axis=1)).ravel()
    estimate, square = 0.0, whole * whole
    for _ in range(POWERS):
        length = float(np.linalg.norm(v))
        if not 0.0 < length < np.inf:
            return whole
        v = gram @ (v / length)
        estimate = max(estimate, float(np.linalg.norm(v)))
    for t in (estimate * ABOVE, estimate * 1.5):
        rounding = square * relative_error(terms) + d * t * relative_error(d + 4)
        rounding += 16.0 * d * (terms + d + 4) * (1.0 + square) * SMALLEST_NORMAL
        if factor(less_diagonal(-gram, -t)) is not None:
            return min(whole, float(np.sqrt((t + rounding) * ROUNDING)) * ROUNDING)
    return whole


def times(A: Matrix, X: Rounded) -> Rounded:
    """``A X``: of row i, ``sum_j |a_ij| (error_j + gamma |X_j|)`` is a bound on its error; of zero rows it is 0."""
    terms, width = X.value.shape
    if not (is_sparse(A) and is_sparse(X.value)):
        _fits(A.shape[0], width)
    lost = X.error + relative_error(terms) * row_norms_above(X.value)
    size = abs(A)
    error = size @ lost * ((1.0 + relative_error(terms)) * ROUNDING)
    product = A @ X.value
    if is_sparse(product):
        _fits(1, product.nnz)
        product = suited(product)
    live = np.asarray(size @ np.where(X.is_zero, 0.0, 1.0)) != 0  # of numbers that are not negative none cancels
    return Rounded(product, np.where(live, error + 4.0 * (terms + 1) * (width + 1) * SMALLEST_NORMAL, 0.0))


def _fits(rows: int, columns: int) -> None:
    if columns * rows > MAX_NUMBERS:
        raise NotProvedError(f"a matrix of {columns * rows} numbers is needed: the layers are too large")


__all__ = ["Rounded", "least_stretch", "times"]
