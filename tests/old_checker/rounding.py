"""Float64 arithmetic with rigorous error bounds.

Every bound holds for any order of summation, with or without fused multiply-add:
``|fl(a . v) - a . v| <= gamma_n |a| . |v| + n eta`` with gamma_n = n u / (1 - n u) (Higham, Accuracy and Stability of
Numerical Algorithms, section 3.1), and ``|a| . |v| <= |a|_2 |v|_2``. ``2 (n + c) u`` stands for gamma_n together with
the rounding of the bound itself. Overflow gives inf or NaN; callers accept a bound only where a comparison is *true*,
which NaN never makes it. Subnormal numbers must not be flushed to zero; where they are, the
checkers refuse to work, in each thread for itself.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from old_checker.matrices import Matrix, entries_of, row_sums

UNIT_ROUNDOFF = 2.0**-53
SMALLEST_SUBNORMAL = 5e-324
SMALLEST_NORMAL = 2.0**-1022
ROUNDING = 1.0 + 2.0**-45
"""Covers the few roundings of a scalar bound that is computed from bounds."""

LONGEST = 2**40
"""Sums of more terms are refused: 2 (n + c) u would no longer dominate gamma_n."""


def flushes_subnormal_numbers() -> bool:
    """Whether this thread replaces subnormal numbers by zero, so that no error bound holds; each has its own mode."""
    return bool(np.float64(SMALLEST_SUBNORMAL) * np.float64(1.0) == 0.0)


def relative_error(terms: int) -> float:
    """A bound on the relative error of a sum of ``terms`` products, relative to the sum of their absolute values."""
    if terms > LONGEST:
        return np.inf
    return 2.0 * (terms + 8) * UNIT_ROUNDOFF


def norm_above(v: Matrix) -> float:
    """An upper bound on the Euclidean (for a matrix: Frobenius) norm."""
    v = entries_of(v)
    with np.errstate(over="ignore", invalid="ignore"):
        computed = float(np.sqrt(np.sum(np.square(v))))
    # squares below the smallest normal number may vanish: each hides at most 2**-511 of an entry
    return computed * (1.0 + relative_error(v.size)) + float(np.sqrt(v.size)) * 2.0**-510


def norm_below(v: Float64[FloatArray, " n"]) -> float:
    """A lower bound on the Euclidean norm."""
    with np.errstate(over="ignore", invalid="ignore"):
        computed = float(np.sqrt(np.sum(np.square(v))))
    if not np.isfinite(computed):
        return 0.0
    # squares below the smallest normal number may round up: each adds at most 2**-511 to the root
    return max(computed * (1.0 - relative_error(v.size)) - float(np.sqrt(v.size)) * 2.0**-510, 0.0)


def row_norms_above(rows: Matrix) -> Float64[FloatArray, " q"]:
    """Upper bounds on the Euclidean norms of the rows, shape (q,)."""
    n = rows.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(rows, np.ndarray):
            computed = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        else:
            computed = np.sqrt(row_sums(rows, np.square(entries_of(rows))))
    return computed * (1.0 + relative_error(n)) + float(np.sqrt(n)) * 2.0**-510


def product_error(row_norms: Float64[FloatArray, " q"], v_norm: float, terms: int) -> Float64[FloatArray, " q"]:
    """Bounds on ``|fl(a_i . v) - a_i . v|`` for rows with these norms, shape (q,)."""
    return row_norms * (v_norm * relative_error(terms)) + 4.0 * (terms + 1) * SMALLEST_NORMAL


def needed_singular_value(residual: float, room: float) -> float:
    """What a smallest singular value must exceed so that ``residual / sigma < room``; 0 only for a residual of 0."""
    if residual == 0.0:
        return 0.0
    return max(residual / room * ROUNDING, SMALLEST_NORMAL) if room > 0 else np.inf
