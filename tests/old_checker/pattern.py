"""Which rows are positive, and which are tight, at an input: settled exactly."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from old_checker.asking import NotProvedError
from old_checker.matrices import Matrix, row_support
from old_checker.rounding import norm_above, product_error, row_norms_above
from old_checker.statement import Statement


def positive_and_tight(statement: Statement) -> tuple[Int64[IntArray, " p"], Int64[IntArray, " t"]]:
    """The rows P with ``a_i x + b_i > 0`` or an injective activation, and the other rows that are tight; both exact.

    Raises:
        NotProvedError: x lies outside the domain.
    """
    x = statement.x
    assert x is not None
    domain, m, n = statement.domain, statement.m, statement.n
    sign = exact_signs(statement.A, x, statement.b)
    equality = (sign > 0) | statement.injective  # a strictly monotone activation fixes its pre-activation
    if (x < domain.low).any() or (x > domain.high).any():
        raise NotProvedError("x lies outside the domain")
    side = exact_signs(domain.G, x, -domain.h)
    if (side > 0).any():
        raise NotProvedError("x lies outside the domain")
    tight = [
        np.flatnonzero((sign == 0) & ~equality),
        m + np.flatnonzero(x == domain.low),
        m + n + np.flatnonzero(x == domain.high),
        m + 2 * n + np.flatnonzero(side == 0),
    ]
    return np.flatnonzero(equality), np.concatenate(tight)


def exact_signs(
    rows: Matrix, x: Float64[FloatArray, " n"], offsets: Float64[FloatArray, " q"]
) -> Int64[IntArray, " q"]:
    """The exact signs of ``a_i x + c_i``, shape (q,): by float64 with an error bound, and in integers within it."""
    n = rows.shape[1]
    with np.errstate(all="ignore"):
        value = rows @ x + offsets
        error = product_error(row_norms_above(rows) + np.abs(offsets), norm_above(x) + 1.0, n + 1)
        certain = np.abs(value) > error
    sign = np.zeros(len(offsets), dtype=np.int64)
    sign[certain] = np.where(value[certain] > 0, 1, -1)
    for i in np.flatnonzero(~certain):
        support, entries = row_support(rows, int(i))
        sign[i] = _integer_sign(entries, x[support], float(offsets[i]))
    return sign


def _integer_sign(a: Float64[FloatArray, " n"], x: Float64[FloatArray, " n"], c: float) -> int:
    support = np.flatnonzero((a != 0) & (x != 0))
    left, right = (np.append(v[support], tail) for v, tail in ((a, c), (x, 1.0)))
    (left_mantissa, left_exponent), (right_mantissa, right_exponent) = np.frexp(left), np.frexp(right)
    exponent = (left_exponent + right_exponent).tolist()
    lowest = min(exponent)
    products = zip((left_mantissa * 2.0**53).tolist(), (right_mantissa * 2.0**53).tolist(), exponent, strict=True)
    total = sum((int(p) * int(q)) << (e - lowest) for p, q, e in products)
    return (total > 0) - (total < 0)
