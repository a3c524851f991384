"""Two arithmetics for one set of conditions: float64 with rigorous bounds, and rational numbers.

Both answer with values and bounds on their errors; rational values have errors of 0. What is compared with a bound is
compared exactly: Python compares a rational number with a float by their exact values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fiberscope.checker import exact
from fiberscope.checker.matrices import FloatArray, IntArray, Matrix, Vector, longest_sum, norm_above, product_error


def products(matrix: Matrix, vector: Vector, norms: FloatArray, *, rational: bool) -> tuple[Any, FloatArray]:
    """``A v`` and bounds on its errors, for rows with these norms."""
    if rational:
        return exact.products(matrix, vector), np.zeros(len(norms))
    return np.asarray(matrix @ vector), product_error(norms, norm_above(vector), longest_sum(matrix))


def signs(values: Any, bounds: FloatArray) -> IntArray:
    """The signs that are certain of numbers known up to bounds; a bound of NaN makes nothing certain."""
    return np.asarray(values > bounds, dtype=np.int64) - np.asarray(values < -bounds, dtype=np.int64)


def length_above(values: Any, errors: FloatArray) -> float:
    """An upper bound on the length of a vector known up to errors; 0 only where it is 0."""
    return exact.norm_above(values) if values.dtype == object else norm_above(np.abs(values) + errors)
