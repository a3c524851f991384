"""Verified lower bounds on smallest singular values, and the rows that are trivially dependent.

A floating-point Cholesky factorization of fl(Gram) - c I that completes proves ``sigma_min^2 >= c - (rounding of
Gram, shift and factorization)`` (S. M. Rump, Verification of positive definiteness, BIT 46 (2006) 433-452).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimage.checker.rounding import SMALLEST_NORMAL, UNIT_ROUNDOFF, norm_above, relative_error


@dataclass(frozen=True, eq=False)
class Grouping:
    """Rows grouped where they are equal up to sign and a power of two; zero rows belong to no group.

    Attributes:
        representative: the index of one row of each group; the first of the group.
        group: (q,) the group of each row, -1 for zero rows.
        factor: (q,) ``row_i = factor_i * row_representative(group_i)``, exactly; 0 for zero rows.
    """

    representative: IntArray
    group: IntArray
    factor: FloatArray


def group_rows(rows: Float64[FloatArray, "q n"]) -> Grouping:
    """Group rows that are bitwise equal after exact scaling by a signed power of two."""
    scaled, scale = _normalized(rows)
    keys: dict[bytes, int] = {}
    representative: list[int] = []
    group = np.full(len(rows), -1, dtype=np.int64)
    factor = np.zeros(len(rows))
    for i in np.flatnonzero(scale):
        g = keys.setdefault(scaled[i].tobytes(), len(representative))
        if g == len(representative):
            representative.append(int(i))
        group[i] = g
        factor[i] = scale[i] / scale[representative[g]]
    return Grouping(np.array(representative, dtype=np.int64), group, factor)


def _normalized(rows: Float64[FloatArray, "q n"]) -> tuple[Float64[FloatArray, "q n"], Float64[FloatArray, " q"]]:
    """Rows divided by a signed power of two, and these.

    Where that would round, the row stays as it is. 0 for zero rows.
    """
    if rows.size == 0:
        return rows, np.zeros(len(rows))
    largest = np.max(np.abs(rows), axis=1)
    first = rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)]
    _, exponent = np.frexp(largest)
    # beyond 2**500 the quotient of two scales could overflow: such rows keep their own scale
    exponent = np.where(np.abs(exponent) <= 500, exponent, 0)
    scaled = np.ldexp(rows, -exponent[:, None])
    exact = (np.ldexp(scaled, exponent[:, None]) == rows).all(axis=1)
    scaled[~exact] = rows[~exact]
    exponent[~exact] = 0
    sign = np.where(first < 0, -1.0, 1.0)
    scaled = scaled * sign[:, None] + 0.0  # + 0.0 turns -0.0 into 0.0, which differs in its bytes
    return scaled, np.where(largest > 0, np.ldexp(sign, exponent), 0.0)


def row_exponents(rows: Float64[FloatArray, "q n"]) -> Int64[IntArray, " q"]:
    """Exponents e for which the rows ``2**-e row_i`` have norms near one and are exact; 0 where that would round."""
    if rows.size == 0:
        return np.zeros(len(rows), dtype=np.int64)
    _, exponent = np.frexp(np.max(np.abs(rows), axis=1))
    exponent = np.where(np.abs(exponent) <= 1000, exponent, 0)
    exact = (np.ldexp(np.ldexp(rows, -exponent[:, None]), exponent[:, None]) == rows).all(axis=1)
    return np.where(exact, exponent, 0).astype(np.int64)


def singular_values_exceed(B: Float64[FloatArray, "q n"], s: float) -> bool:
    """Prove that B (q, n) has min(q, n) singular values above ``s >= 0``.

    False means only that the proof does not close.
    """
    if not 0.0 <= s < np.inf or B.size == 0:
        return False
    tall = B if B.shape[0] >= B.shape[1] else np.ascontiguousarray(B.T)
    return _gram_exceeds(tall, s) or _preconditioned_exceeds(tall, s)


def _gram_exceeds(T: Float64[FloatArray, "N d"], s: float) -> bool:
    """sigma_min(T) > s for tall T (N, d), by Cholesky of ``T^T T - c I``."""
    N, d = T.shape
    with np.errstate(all="ignore"):
        gram = T.T @ T
        size = norm_above(T)
        square = size * size * (1.0 + 4.0 * UNIT_ROUNDOFF)  # ** would raise where this is inf
        # products: gamma_N |T|_F^2; shift: u |T|_F^2; factorization: gamma_(d+1) / (1 - gamma_(d+1)) trace
        rounding = (
            square * (relative_error(N) + relative_error(d + 4))
            + 16.0 * d * (N + d + 4) * (1.0 + square) * SMALLEST_NORMAL
        )
        shift = (s * s + rounding) * (1.0 + 8.0 * UNIT_ROUNDOFF) + SMALLEST_NORMAL
    if not (np.isfinite(gram).all() and np.isfinite(shift)):
        return False
    gram[np.diag_indices(d)] -= shift
    try:
        factor = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return False
    return bool(np.isfinite(factor).all())


def _preconditioned_exceeds(T: Float64[FloatArray, "N d"], s: float) -> bool:
    """sigma_min(T) >= sigma_min(T X) / |X| with X near the inverse of T's triangular factor.

    Reaches condition numbers near 1/u.
    """
    if not np.isfinite(T).all():
        return False
    N, d = T.shape
    with np.errstate(all="ignore"):
        try:
            X = np.linalg.inv(np.linalg.qr(T, mode="r"))
        except np.linalg.LinAlgError:
            return False
        product = T @ X
        error = norm_above(T) * norm_above(X) * relative_error(N + d) + 4.0 * N * d * d * SMALLEST_NORMAL
        needed = (s * norm_above(X) + error) * (1.0 + 8.0 * UNIT_ROUNDOFF)
    return bool(needed < 1.0) and _gram_exceeds(product, needed)
