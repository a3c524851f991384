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

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy import sparse

from fiberscope.checker.affine import dense, is_sparse
from fiberscope.checker.estimates import least_eigenvalue
from fiberscope.checker.matrices import (
    MAX_GRAM,
    ROUNDING,
    UNIT_ROUNDOFF,
    FloatArray,
    Matrix,
    entries,
    is_definite,
    less_diagonal,
    norm_above,
    row_norms_above,
)
from fiberscope.checker.rounded import Rounded

SHARES = (1.0 - 2.0**-10, 0.75, 0.5, 0.25, 2.0**-4)
"""Of an estimated modulus, what is proved: the estimate is from above, and rounding takes from it."""

_sparse: Any = cast(Any, sparse)


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

    square: Matrix
    inputs: int
    size: float
    terms: int
    doubt: float

    def exceeds(self, kappa: float) -> bool:
        """Prove that the form is above ``kappa^2 |d|^2``."""
        if not (0.0 <= kappa < np.inf and np.isfinite(self.doubt)):
            return False
        taken = np.zeros(self.square.shape[0])
        taken[: self.inputs] = kappa * kappa * ROUNDING
        s = np.sqrt(self.doubt) * ROUNDING
        return is_definite(less_diagonal(self.square.copy(), taken), self.size, self.terms, float(s))

    def estimate(self) -> float:
        """About the largest kappa; 0 where there is none."""
        inputs = np.arange(int(self.square.shape[0])) < self.inputs
        return float(np.sqrt(least_eigenvalue(less_diagonal(self.square.copy(), self.doubt), inputs)))

    def largest(self) -> float:
        """A kappa that is proved, near the largest; 0 where none is."""
        about = self.estimate()
        return next((about * share for share in SHARES if about > 0 and self.exceeds(about * share)), 0.0)


def form(C: Rounded, through: list[Rounded], received: list[list[Rounded]]) -> Form | None:
    """The form with multipliers from the sizes of its parts; None where C shrinks something to nearly nothing.

    Args:
        C: (p, n) the midpoint product on the rows that count.
        through: of every layer k with unsure units, P_k (p, u_k).
        received: of every such layer l, V (u_l, n), and then N from every layer before it (u_l, u_k).
    """
    p, n = C.value.shape
    sizes = [part.value.shape[1] for part in through]
    if p < n or n + sum(sizes) > MAX_GRAM or not np.isfinite(entries(C.value)).all():
        return None
    sigma = float(np.sqrt(least_eigenvalue(C.value.T @ C.value)))
    if not sigma > 0:
        return None
    units = [_units(sigma, P, rows) for P, rows in zip(through, received, strict=True)]
    q = [np.ones(n), *(each[0] for each in units)]
    H = _scaled([[C, *through]], q, [np.ones(p)])
    Z = _scaled(received, q, [each[1] for each in units])
    square = H.value.T @ H.value
    if sum(sizes):
        square = square - Z.value.T @ Z.value
    g = np.concatenate([np.zeros(n), np.full(sum(sizes), sigma * sigma)])
    h, z = norm_above(H.error), norm_above(Z.error)
    whole, other = norm_above(entries(H.value)), norm_above(entries(Z.value))
    doubt = (2.0 * h * whole + 2.0 * z * other + z * z) * ROUNDING
    size = norm_above(np.array([whole, other, sigma * np.sqrt(sum(sizes)) * ROUNDING]))
    return Form(less_diagonal(square, -g), n, size, max(p, sum(sizes)), doubt)


def _units(sigma: float, P: Rounded, rows: list[Rounded]) -> tuple[FloatArray, FloatArray]:
    """Units q (u,), so that ``w = q w'``, and ``sigma / (2 q)``, which z is taken in: then ``t = sigma^2 / q^2``."""
    onward = np.sqrt(_column_squares(P.value))
    before = np.sqrt(sum((np.square(row_norms_above(each.value)) for each in rows), np.zeros(len(onward))))
    floor = 2.0**-20 * float(onward.max(initial=0.0)) or 1.0
    onward = np.maximum(onward, floor)
    before = np.where(before > 0, before, sigma / onward)
    q = np.sqrt(0.5 * sigma * before / onward)
    return q, 0.5 * sigma / q


def _column_squares(matrix: Matrix) -> FloatArray:
    squares = matrix.multiply(matrix) if is_sparse(matrix) else np.square(matrix)
    return np.asarray(squares.sum(axis=0), dtype=np.float64).ravel()


def _scaled(blocks: list[list[Rounded]], columns: list[FloatArray], rows: list[FloatArray]) -> Rounded:
    """Blocks in a lower triangle, times numbers for their rows and columns."""
    lines: list[list[Any]] = []
    errors: list[FloatArray] = []
    for line, factors in zip(blocks, rows, strict=True):
        u = len(factors)
        error = np.zeros(u)
        written: list[Any] = []
        for part, q in zip(line, columns, strict=False):
            value = _times(part.value, factors, q)
            error = (
                error + part.error * factors * float(q.max(initial=0.0)) + 4.0 * UNIT_ROUNDOFF * row_norms_above(value)
            )
            written.append(value)
        lines.append(written + [_sparse.csr_array((u, len(q))) for q in columns[len(written) :]])
        errors.append(error * ROUNDING + 2.0**-1000)
    if not lines:
        return Rounded(np.zeros((0, sum(map(len, columns)))), np.zeros(0))
    if all(is_sparse(part) for line in lines for part in line):
        return Rounded(_sparse.block_array(lines, format="csr"), np.concatenate(errors))
    return Rounded(np.block([[dense(part) for part in line] for line in lines]), np.concatenate(errors))


def _times(matrix: Matrix, rows: FloatArray, columns: FloatArray) -> Matrix:
    if is_sparse(matrix):
        return (_sparse.diags_array(rows) @ matrix @ _sparse.diags_array(columns)).tocsr()
    return rows[:, None] * matrix * columns


__all__ = ["Form", "form"]
