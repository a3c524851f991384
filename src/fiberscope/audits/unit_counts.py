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

ROWS = 1_000
"""Of units near a bound that are written out at a time."""


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
    """The exact signs of ``A x + b - bounds``, in float64 where its rounding cannot matter; of others than cuts any."""
    finite = np.isfinite(bounds)
    if not finite.any():
        return np.broadcast_to(-np.sign(bounds).astype(np.int8), (len(X), layer.outputs))
    subtracted, constants = np.where(finite, bounds, 0.0), layer.constants
    with np.errstate(all="ignore"):
        value, reach, terms = _evaluated(layer, X)
        value = value + constants - subtracted
        reach = reach + np.abs(constants) + np.abs(subtracted)
        # twice gamma_(terms+2), for the rounding of the bound itself; below the smallest normal number it is absolute
        spacing = np.finfo(np.float64)
        certain = np.abs(value) > 2.0 * (terms + 4) * (spacing.eps * reach + spacing.tiny)
    signs = np.where(finite, np.sign(value), -np.sign(bounds)).astype(np.int8)
    for sample, x in enumerate(X):
        unsure = np.flatnonzero(~certain[sample] & finite & ~layer.injective)
        for start in range(0, len(unsure), ROWS):
            units = unsure[start : start + ROWS]
            rows = layer.operator.rows(units) if layer.is_large else layer.weight[units]
            for k, (b, bound) in enumerate(zip(constants[units].tolist(), bounds[units].tolist(), strict=True)):
                signs[sample, units[k]] = _exact_side(*_row(rows, k), x, b, bound)
    return signs


def _evaluated(layer: ReLULayer, X: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """``A x`` and ``|A| |x|``, (N, m) each, and the terms of a sum; rows that are large are not written out."""
    if not layer.is_large:
        return _products(layer.weight, X), _products(_absolute(layer.weight), np.abs(X)), X.shape[1]
    import torch

    points, operator = torch.tensor(X), layer.operator
    value, reach = operator.linear(points), operator.absolute().linear(points.abs())
    return value.cpu().numpy(), reach.cpu().numpy(), int(operator.terms)


def _exact_side(columns: IntArray, entries: FloatArray, x: Float64[FloatArray, " n"], b: float, bound: float) -> int:
    terms = zip(entries.tolist(), x[columns].tolist(), strict=True)
    value = sum((Fraction(a) * Fraction(v) for a, v in terms if a and v), Fraction(b))
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
