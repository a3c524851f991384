"""How many outputs of a layer are positive, and how many saturated: counted exactly, apart from what decides."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int8, Int64
from numpy.typing import NDArray

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.layer import Layer, local_form
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows


def unit_counts(layer: Layer, x: Float64[FloatArray, " n"]) -> tuple[int, int]:
    """The numbers of positive and of saturated outputs at x.

    With ``z = A x + b`` and the bounds p and q of each unit (0 and inf of a ReLU), an output is positive if z > p, or
    if its activation is injective, and saturated if z >= q. Units on the way to the layer do not count.

    Args:
        layer: the layer.
        x: (n,) what it receives.
    """
    local, _, point = local_form(layer, None, x)
    positive, saturated = (counts[0] for counts in counts_at(local, point[None]))
    return int(positive) - local.definitions, int(saturated)


def counts_at(layer: ReLULayer, X: Float64[FloatArray, "N n"]) -> tuple[Int64[IntArray, " N"], Int64[IntArray, " N"]]:
    """The numbers of positive and of saturated outputs, (N,) each; rows that define coordinates count as positive."""
    cut = ~layer.injective
    positive = (_sides(layer, X, layer.low) > 0) | layer.injective
    saturated = (_sides(layer, X, layer.high) >= 0) & cut
    return positive.sum(axis=1).astype(np.int64), saturated.sum(axis=1).astype(np.int64)


def _sides(
    layer: ReLULayer, X: Float64[FloatArray, "N n"], bounds: Float64[FloatArray, " m"]
) -> Int8[NDArray[np.int8], "N m"]:
    """The exact signs of ``A x + b - bounds``, in float64 where its rounding cannot matter."""
    finite = np.isfinite(bounds)
    if not finite.any():
        return np.broadcast_to(-np.sign(bounds).astype(np.int8), (len(X), layer.outputs))
    subtracted = np.where(finite, bounds, 0.0)
    with np.errstate(all="ignore"):
        value = _products(layer.weight, X) + layer.bias - subtracted
        reach = _products(_absolute(layer.weight), np.abs(X)) + np.abs(layer.bias) + np.abs(subtracted)
        # twice gamma_(n+2), for the rounding of the bound itself; below the smallest normal number it is absolute
        spacing = np.finfo(np.float64)
        certain = np.abs(value) > 2.0 * (X.shape[1] + 4) * (spacing.eps * reach + spacing.tiny)
    signs = np.where(finite, np.sign(value), -np.sign(bounds)).astype(np.int8)
    for sample, unit in zip(*np.nonzero(~certain & finite), strict=True):
        signs[sample, unit] = _exact_side(layer, X[sample], int(unit), float(bounds[unit]))
    return signs


def _exact_side(layer: ReLULayer, x: Float64[FloatArray, " n"], unit: int, bound: float) -> int:
    columns, entries = _row(layer.weight, unit)
    terms = zip(entries.tolist(), x[columns].tolist(), strict=True)
    value = sum((Fraction(a) * Fraction(v) for a, v in terms if a and v), Fraction(float(layer.bias[unit])))
    return (value > bound) - (value < bound)


def _products(rows: Rows, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N m"]:
    return (rows @ X.T).T


def _absolute(rows: Rows) -> Rows:
    if isinstance(rows, SparseRows):
        return SparseRows((np.abs(rows.data), rows.indices, rows.indptr), shape=rows.shape)
    return np.abs(rows)


def _row(rows: Rows, i: int) -> tuple[IntArray, FloatArray]:
    if isinstance(rows, SparseRows):
        span = slice(rows.indptr[i], rows.indptr[i + 1])
        return rows.indices[span], rows.data[span]
    return np.arange(rows.shape[1], dtype=np.int64), np.asarray(rows[i], dtype=np.float64)


__all__ = ["counts_at", "unit_counts"]
