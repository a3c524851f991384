"""What units that may be on or off can take from the smallest singular value of a product: all of them together.

Differences of the outputs of a chain on a ball are ``y = C d + P w``, where d is the difference of the inputs, w what
unsure units do beyond half of what they receive, and ``z = V d + N w`` what these receive: ``|w_i| <= |z_i| / 2``, unit
by unit. For any multipliers ``t_i >= 0``,

    |y|^2 - kappa^2 |d|^2  >=  |C d + P w|^2 - kappa^2 |d|^2 - sum t_i (z_i^2 / 4 - w_i^2),

so if the quadratic form on the right is nowhere negative, kappa is a modulus (S-procedure). That loses far less than
the norms of C, P, V and N by themselves: a unit that many others see through takes little. Where t comes from does not
matter. Of one unit alone with ``|C d| = sigma |d|``, ``t = 2 sigma |P| / |V|`` is about the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.sparse

from fiberscope.checker.affine import dense, is_sparse, sparse
from fiberscope.checker.bands import Band, alike, layout
from fiberscope.checker.cholesky import factor
from fiberscope.checker.estimates import STEPS, least_eigenvalue, spare
from fiberscope.checker.matrices import (
    MAX_GRAM,
    ROUNDING,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    FloatArray,
    IntArray,
    Matrix,
    entries,
    less_diagonal,
    norm_above,
    row_norms_above,
    row_numbers,
    shift_of_gram,
)
from fiberscope.checker.rounded import Rounded

ROUGH = 5
"""Steps of estimates that decide only what is tried next: some per mille."""

SHARES = (1.0 - 2.0**-10, 0.75, 0.5, 0.25, 2.0**-4)
"""Of an estimated modulus, what is proved: the estimate is from above, and rounding takes from it."""

_sparse: Any = cast(Any, scipy.sparse)


@dataclass(frozen=True, eq=False)
class Form:
    """``|H v|^2 - |Z v|^2 + g^2 |w'|^2`` with ``v = (d, w')``, w in units in which its multipliers are g^2.

    Attributes:
        square: (n + u, n + u) the symmetric matrix, as computed.
        inputs: n.
        size: at least the root of ``|H|_F^2 + |Z|_F^2 + u g^2``.
        terms: of the longest sum.
        doubt: what errors of H and Z may take, over ``|v|^2``.
    """

    square: FloatArray | Band
    inputs: int
    size: float
    terms: int
    doubt: float

    def exceeds(self, kappa: float) -> bool:
        """Prove that the form is above ``kappa^2 |d|^2``."""
        return self._factored(kappa) is not None

    def about(self, kappa: float, steps: int = ROUGH) -> float | None:
        """About the largest kappa that could be proved, and at least this one; None where this one is not proved."""
        factored = self._factored(kappa)
        if factored is None:
            return None
        inputs = np.arange(int(self.square.shape[0])) < self.inputs
        return float(np.sqrt(kappa * kappa + spare(factored, inputs, steps)))

    def largest(self) -> float:
        """A kappa that is proved, near the largest; 0 where none is."""
        about = self.about(0.0, STEPS) or 0.0
        return next((about * share for share in SHARES if about > 0 and self.exceeds(about * share)), 0.0)

    def _factored(self, kappa: float) -> tuple[FloatArray, IntArray | None] | None:
        """The factor that proves kappa."""
        if not (0.0 <= kappa < np.inf and np.isfinite(self.doubt)):
            return None
        size = int(self.square.shape[0])
        taken = np.zeros(size)
        taken[: self.inputs] = kappa * kappa * ROUNDING
        s = np.sqrt(self.doubt) * ROUNDING
        shift = shift_of_gram(self.size, size, self.terms, float(s))
        if not np.isfinite(shift):
            return None
        return factor(less_diagonal(self.square.copy(), taken + shift))


def plain(C: Rounded) -> Form | None:
    """The form where no unit is unsure: ``|C d|^2``; None as below."""
    p, n = C.value.shape
    if p < n or n > MAX_GRAM or not np.isfinite(entries(C.value)).all():
        return None
    return Form(_Grams(C.value).of(C.value), n, _size(C), p, _doubt(C, Rounded(np.zeros((0, n)), np.zeros(0))))


def form(C: Rounded, through: list[Rounded], received: list[list[Rounded]]) -> Form | None:
    """The form with multipliers from the sizes of its parts; None where C shrinks something to nearly nothing.

    Args:
        C: (p, n) the midpoint product on the rows that count.
        through: of every layer k with unsure units, P_k (p, u_k).
        received: of every such layer l, V (u_l, n), and then N from every layer before it (u_l, u_k).
    """
    p, n = len(C.error), int(C.value.shape[1])
    sizes = [part.value.shape[1] for part in through]
    if p < n or n + sum(sizes) > MAX_GRAM or not np.isfinite(entries(C.value)).all():
        return None
    sigma = float(np.sqrt(least_eigenvalue(_Grams(C.value).of(C.value), steps=ROUGH)))
    if not sigma > 0:
        return None
    written = sparse if is_sparse(C.value) else dense
    X = _block([[C.value, *(part.value for part in through)]], [n, *sizes], written)
    seen = _block([[part.value for part in line] for line in received], [n, *sizes], written)
    grams = _Grams(X, seen)
    gram = grams.of(X)
    squares = np.split(np.asarray(gram.diagonal()), np.cumsum([n, *sizes])[:-1])[1:]
    units = [_units(sigma, onward, line) for onward, line in zip(squares, received, strict=True)]
    q = [np.ones(n), *(each[0] for each in units)]
    Z, columns = _scaled(seen, received, q, [each[1] for each in units]), np.concatenate(q)
    square = grams.less(gram, columns, Z.value)
    g = np.concatenate([np.zeros(n), np.full(sum(sizes), sigma * sigma)])
    error = sum((part.error * float(each.max(initial=0.0)) for part, each in zip([C, *through], q, strict=True)), 0.0)
    H = Rounded(_times(X, np.ones(p), columns), np.asarray(error, dtype=np.float64) * ROUNDING)
    size = norm_above(np.array([_size(H), _size(Z), sigma * np.sqrt(sum(sizes)) * ROUNDING]))
    # products that vanish in the Gram matrix of X, in the units of H
    vanished = 4.0 * len(columns) * (p + 4) * SMALLEST_NORMAL * (1.0 + float(columns.max())) ** 2
    return Form(less_diagonal(square, -g), n, size, max(p + 2, sum(sizes)), (_doubt(H, Z) + vanished) * ROUNDING)


def _size(matrix: Rounded) -> float:
    return norm_above(entries(matrix.value)) * ROUNDING


def _doubt(H: Rounded, Z: Rounded) -> float:
    """What errors of H and Z may take from ``|H v|^2 - |Z v|^2``, over ``|v|^2``."""
    h, z = norm_above(H.error), norm_above(Z.error)
    return (2.0 * h * _size(H) + 2.0 * z * _size(Z) + z * z) * ROUNDING


def _block(lines: list[list[Matrix]], widths: list[int], written: Callable[[Matrix], Matrix]) -> Matrix:
    """Lines of blocks, with zeros where there are no more, dense or sparse as written."""
    whole: list[Matrix] = [written(np.zeros((0, sum(widths))))]
    for line in lines:
        rest = np.zeros((line[0].shape[0], sum(widths[len(line) :])))
        parts = [written(part) for part in line]
        if is_sparse(parts[0]):
            whole.append(_sparse.hstack([*parts, _sparse.csr_array(rest.shape)], format="csr"))
        else:
            whole.append(np.hstack([*parts, rest]))
    return _sparse.vstack(whole, format="csr") if is_sparse(whole[0]) else np.concatenate(whole)


class _Grams:
    """Gram matrices of two matrices of the same columns, written alike: dense, or in the same band."""

    def __init__(self, *matrices: Matrix) -> None:
        is_banded = is_sparse(matrices[0])
        self._layout = layout([alike(each) for each in matrices], matrices[0].shape[1]) if is_banded else None

    def of(self, X: Matrix) -> FloatArray | Band:
        """``X^T X``."""
        return X.T @ X if self._layout is None else self._layout.gram(alike(X))

    def less(self, gram: FloatArray | Band, units: FloatArray, Z: Matrix) -> FloatArray | Band:
        """``q G q - Z^T Z`` with units q."""
        if isinstance(gram, Band):
            assert self._layout is not None
            return gram.scaled(units).less(self._layout.gram(alike(Z)))
        return units[:, None] * gram * units - Z.T @ Z


def _units(sigma: float, squares: FloatArray, rows: list[Rounded]) -> tuple[FloatArray, FloatArray]:
    """Units q (u,), so that ``w = q w'``, and ``sigma / (2 q)``, which z is taken in: then ``t = sigma^2 / q^2``."""
    onward = np.sqrt(squares)
    before = np.sqrt(sum((np.square(row_norms_above(each.value)) for each in rows), np.zeros(len(onward))))
    floor = 2.0**-20 * float(onward.max(initial=0.0)) or 1.0
    onward = np.maximum(onward, floor)
    before = np.where(before > 0, before, sigma / onward)
    q = np.sqrt(0.5 * sigma * before / onward)
    return q, 0.5 * sigma / q


def _scaled(whole: Matrix, blocks: list[list[Rounded]], columns: list[FloatArray], rows: list[FloatArray]) -> Rounded:
    """A matrix that is written in blocks, times numbers for its rows and columns."""
    factors = np.concatenate([np.zeros(0), *rows])
    value, errors = _times(whole, factors, np.concatenate(columns)), [np.zeros(0)]
    for line, each in zip(blocks, rows, strict=True):
        parts = zip(line, columns, strict=False)
        errors.append(sum((part.error * each * float(q.max(initial=0.0)) for part, q in parts), np.zeros(len(each))))
    rounding = 4.0 * UNIT_ROUNDOFF * row_norms_above(value)
    return Rounded(value, (np.concatenate(errors) + rounding) * ROUNDING + 2.0**-1000)


def _times(matrix: Matrix, rows: FloatArray, columns: FloatArray) -> Matrix:
    if not is_sparse(matrix):
        return rows[:, None] * matrix * columns
    data = rows[row_numbers(matrix)] * matrix.data * columns[matrix.indices]
    return _sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


__all__ = ["Form", "form", "plain"]
