"""Which rows are positive, and which are tight, at an input: settled exactly."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from old_checker.asking import NotProvedError
from old_checker.matrices import Matrix, row_support
from old_checker.rounding import flushes_subnormal_numbers, norm_above, product_error, row_norms_above
from old_checker.statement import Statement
from old_checker.system import System

BLOCK = 1024
"""Samples that are multiplied with the layer at once."""


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


@dataclass(frozen=True, eq=False)
class PackedPatterns:
    """The patterns of N samples of one system of M numbered rows, a bit for each row.

    Attributes:
        inside: (N,) whether the sample lies in the domain.
        positive_bits: (N, bytes) the rows P.
        tight_bits: (N, bytes) the other rows that are tight.
        count: M.
    """

    inside: BoolArray
    positive_bits: NDArray[np.uint8]
    tight_bits: NDArray[np.uint8]
    count: int

    def positive(self, samples: Int64[IntArray, " u"]) -> Bool[BoolArray, "u M"]:
        """The rows P of some samples."""
        return np.unpackbits(self.positive_bits[samples], axis=1, count=self.count).view(np.bool_)

    def tight(self, samples: Int64[IntArray, " u"]) -> Bool[BoolArray, "u M"]:
        """The other rows that are tight at some samples."""
        return np.unpackbits(self.tight_bits[samples], axis=1, count=self.count).view(np.bool_)

    def blocks(self) -> list[Int64[IntArray, " u"]]:
        """All samples, in blocks that can be unpacked at once."""
        return [np.arange(start, min(start + BLOCK, len(self.inside))) for start in range(0, len(self.inside), BLOCK)]


def patterns_of_samples(system: System, X: Float64[FloatArray, "N n"], executor: Executor) -> PackedPatterns:
    """The exact patterns of many samples of a dense system."""

    def packed(start: int) -> tuple[BoolArray, NDArray[np.uint8], NDArray[np.uint8]]:
        if flushes_subnormal_numbers():  # a thread has its own mode
            raise NotProvedError("a thread flushes subnormal numbers to zero")
        return _packed_patterns(system, X[start : start + BLOCK])

    inside, positive, tight = zip(*executor.map(packed, range(0, len(X), BLOCK)), strict=True)
    count = system.m + 2 * system.n + len(system.domain.h)
    return PackedPatterns(np.concatenate(inside), np.concatenate(positive), np.concatenate(tight), count)


def _packed_patterns(
    system: System, X: Float64[FloatArray, "N n"]
) -> tuple[BoolArray, NDArray[np.uint8], NDArray[np.uint8]]:
    A, domain = system.A, system.domain
    assert isinstance(A, np.ndarray), "sparse rows are proved one by one"
    assert isinstance(domain.G, np.ndarray), "as above"
    sign = exact_signs_of_samples(A, X, system.b)
    side = exact_signs_of_samples(domain.G, X, -domain.h)
    equality = (sign > 0) | system.injective
    outside = np.concatenate([domain.low > X, domain.high < X, side > 0], axis=1)
    positive = np.concatenate([equality, np.zeros((len(X), 2 * system.n + len(domain.h)), dtype=np.bool_)], axis=1)
    tight = np.concatenate([(sign == 0) & ~equality, domain.low == X, domain.high == X, side == 0], axis=1)
    return ~np.asarray(outside.any(axis=1)), np.packbits(positive, axis=1), np.packbits(tight, axis=1)


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


def exact_signs_of_samples(
    rows: Float64[FloatArray, "q n"], X: Float64[FloatArray, "N n"], offsets: Float64[FloatArray, " q"]
) -> Int64[IntArray, "N q"]:
    """The exact signs of ``a_i x_k + c_i``, shape (N, q); by one product of matrices, and in integers within its error.

    Takes some twenty bytes for each.
    """
    size = row_norms_above(rows) + np.abs(offsets)
    with np.errstate(all="ignore"):
        value = X @ rows.T + offsets
        certain = np.empty(value.shape, dtype=np.bool_)
        for k, x in enumerate(X):
            certain[k] = np.abs(value[k]) > product_error(size, norm_above(x) + 1.0, X.shape[1] + 1)
        sign = (value > 0).astype(np.int64) - (value < 0)
    # all products are 0: the value is the offset, exactly
    certain[:, ~rows.any(axis=1)] = True
    certain[~X.any(axis=1)] = True
    for k, i in np.argwhere(~certain):
        sign[k, i] = _integer_sign(rows[i], X[k], float(offsets[i]))
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
