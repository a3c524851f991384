"""Exact signs of affine functions at a point."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import numpy as np
from jaxtyping import Float64, Int8, Int64
from numpy.typing import NDArray

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows, row_numbers

BLOCK = 2**22
"""Entries of rows that are written out at a time."""

SQUARES_UNDERFLOW = 1e-140
"""Below it, squares of entries lose digits: those under 1e-154 are subnormal."""


def exact_signs(rows: Rows, x: Float64[FloatArray, " n"], *offsets: Float64[FloatArray, " q"]) -> Int64[IntArray, " q"]:
    """The exact signs of ``a_i x + c_i``, c the exact sum of the offsets (q,).

    By float64 where its rounding cannot matter, in rational arithmetic elsewhere.
    """
    return exact_signs_of_many(rows, x[None], *offsets)[0].astype(np.int64)


def exact_signs_of_many(
    rows: Rows, X: Float64[FloatArray, "N n"], *offsets: Float64[FloatArray, "... q"]
) -> Int8[NDArray[np.int8], "N q"]:
    """The exact signs of ``a_i x_j + c_ij``, (N, q), as ``exact_signs`` settles them; in one byte each.

    Offsets are (q,), or (N, q) where every sample has its own.
    """
    if not rows.shape[0]:
        return np.zeros((len(X), 0), dtype=np.int8)
    with np.errstate(all="ignore"):
        value = _products(rows, X) + sum(offsets)
        # Cauchy-Schwarz on the standard bound gamma_n |a| |x|
        reach = row_norms(rows) * row_norms(X)[:, None] + sum(np.abs(offset) for offset in offsets)
        certain = np.abs(value) > _rounding(reach, X.shape[1] + len(offsets) - 1)
    sign = (value > 0).astype(np.int8) - (value < 0).astype(np.int8)
    uncertain = np.flatnonzero(~certain.all(axis=0))
    for i in uncertain:
        columns, entries = row_entries(rows, int(i))
        support = entries != 0
        columns, entries = columns[support], entries[support]
        added = [np.broadcast_to(offset[..., i], len(X)) for offset in offsets]
        # of a zero row, the sign is that of its only offset
        for j in np.flatnonzero(~certain[:, i]) if len(entries) or len(added) > 1 else ():
            sign[j, i] = _sign(entries, X[j, columns], np.array([offset[j] for offset in added]))
    return sign


def signs_of_map(
    affine: Any, X: Float64[FloatArray, "N n"], *offsets: Float64[FloatArray, "... m"]
) -> Int8[NDArray[np.int8], "N m"]:
    """The exact signs of ``a_i x_j + c_ij``, (N, m), for the rows of an affine map that are not written out.

    Offsets are (m,), or (N, m), as above.
    """
    import torch

    absolute, out = affine.absolute(), np.zeros((len(X), affine.outputs), dtype=np.int8)
    step = max(1, BLOCK // affine.terms)
    for j, x in enumerate(X):
        point, added = torch.tensor(x)[None], [np.broadcast_to(each, out.shape)[j] for each in offsets]
        with np.errstate(all="ignore"):
            value = affine.linear(point)[0].numpy() + sum(added)
            reach = absolute.linear(point.abs())[0].numpy() + sum(np.abs(each) for each in added)
            certain = np.abs(value) > _rounding(reach, affine.terms + len(added))
        out[j] = (value > 0).astype(np.int8) - (value < 0).astype(np.int8)
        unsure = np.flatnonzero(~certain)
        for start in range(0, len(unsure), step):
            some = unsure[start : start + step]
            out[j, some] = exact_signs(affine.rows(some), x, *(each[some] for each in added))
    return out


def signs_against(
    values: Float64[FloatArray, ...], shift: Float64[FloatArray, ...], limits: Float64[FloatArray, ...]
) -> Int64[IntArray, ...]:
    """The exact signs of ``values + shift - limits``; values and limits may be infinite, then the order of these."""
    values, shift, limits = np.broadcast_arrays(values, shift, limits)
    finite = np.isfinite(values) & np.isfinite(limits)
    out = (values > limits).astype(np.int64) - (values < limits)
    parts = values[finite], shift[finite], -limits[finite]
    out[finite] = exact_signs(np.zeros((int(finite.sum()), 1)), np.zeros(1), *parts)
    return out


def _rounding(reach: FloatArray | float, terms: int) -> FloatArray | float:
    """A bound on the rounding of sums of products whose absolute values sum to ``reach``.

    Twice gamma_n, for the rounding of the bound itself; what products below the smallest normal number lose comes on
    top.
    """
    return 4.0 * (terms + 4) * (np.finfo(np.float64).eps * reach + np.finfo(np.float64).tiny)


def _sign(entries: Float64[FloatArray, " e"], x: Float64[FloatArray, " e"], offsets: Float64[FloatArray, " c"]) -> int:
    """The exact sign of ``entries . x`` plus the offsets.

    Entry by entry the bound is smaller, and the same however the coordinates are scaled.
    """
    with np.errstate(all="ignore"):
        terms = np.append(entries * x, offsets)
        value, reach = float(terms.sum()), float(np.abs(terms).sum())
        if abs(value) > _rounding(reach, len(terms)):
            return 1 if value > 0 else -1
    return _rational_sign(entries, x, offsets)


def _products(rows: Rows, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N q"]:
    if len(X) == 1:
        return (rows @ X[0])[None]
    return X @ rows.T if isinstance(rows, np.ndarray) else (rows @ X.T).T


def _rational_sign(
    entries: Float64[FloatArray, " e"], x: Float64[FloatArray, " e"], offsets: Float64[FloatArray, " c"]
) -> int:
    support = x != 0
    terms = zip(entries[support].tolist(), x[support].tolist(), strict=True)
    exact = sum((Fraction(a) * Fraction(v) for a, v in terms), sum(map(Fraction, offsets.tolist()), Fraction(0)))
    return (exact > 0) - (exact < 0)


def row_norms(rows: Rows) -> Float64[FloatArray, " q"]:
    """The Euclidean norms of the rows, (q,)."""
    with np.errstate(over="ignore", under="ignore"):
        norms = _root_of_squares(rows)
    for i in _extreme(rows, norms).tolist():
        entries = row_entries(rows, i)[1]
        exponent = np.frexp(np.abs(entries).max(initial=0.0))[1]
        norms[i] = np.ldexp(np.sqrt(np.square(np.ldexp(entries, -exponent)).sum()), exponent)
    return norms


def _extreme(rows: Rows, norms: Float64[FloatArray, " q"]) -> IntArray:
    """The rows that are not zero and whose squares leave float64's range."""
    beyond = np.flatnonzero(~((norms > SQUARES_UNDERFLOW) & (norms < np.inf)))
    if isinstance(rows, SparseRows):
        return beyond[np.diff(rows.indptr)[beyond] > 0]
    return beyond[rows[beyond].any(axis=1)]


def _root_of_squares(rows: Rows) -> Float64[FloatArray, " q"]:
    if isinstance(rows, SparseRows):
        return np.sqrt(np.bincount(row_numbers(rows), weights=np.square(rows.data), minlength=rows.shape[0]))
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def row_entries(rows: Rows, i: int) -> tuple[IntArray, FloatArray]:
    """The columns and values of one row; of a dense row, of all columns."""
    if isinstance(rows, SparseRows):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        return rows.indices[span], rows.data[span]
    return np.arange(rows.shape[1], dtype=np.int64), cast(FloatArray, rows[i])


def exact_sum(entries: FloatArray, x: FloatArray) -> Fraction:
    """The exact sum of products; denominators of floats are powers of two, so that the largest serves all."""
    pairs = zip(entries.tolist(), x.tolist(), strict=True)
    ratios = [(a.as_integer_ratio(), v.as_integer_ratio()) for a, v in pairs if a and v]
    terms = [(p * r, q * s) for (p, q), (r, s) in ratios]
    largest = max((denominator for _, denominator in terms), default=1)
    return Fraction(sum(numerator * (largest // denominator) for numerator, denominator in terms), largest)


__all__ = [
    "exact_signs",
    "exact_signs_of_many",
    "exact_sum",
    "row_entries",
    "row_norms",
    "signs_against",
    "signs_of_map",
]
