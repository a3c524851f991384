"""Two arithmetics for one set of conditions: float64 with rigorous bounds, and rational numbers.

Both answer with values and bounds on their errors; rational values have errors of 0. What is compared with a bound is
compared exactly: Python compares a rational number with a float by their exact values.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from fiberscope.checker import exact
from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, Matrix, longest_sum, norm_above, product_error

Vector: TypeAlias = FloatArray | tuple[list[int], int]
"""(n,) float64 numbers, or the numerators and the denominator of rational ones."""


def products(matrix: Matrix, vector: Vector, norms: FloatArray, *, rational: bool) -> tuple[Any, FloatArray]:
    """``A v`` and bounds on its errors, for rows with these norms."""
    if rational:
        return exact.products(matrix, vector), np.zeros(len(norms))
    assert not isinstance(vector, tuple), "rational vectors are refused before"
    return np.asarray(matrix @ vector), product_error(norms, norm_above(vector), longest_sum(matrix))


def support(vector: Vector) -> BoolArray:
    """Which numbers of a vector are not zero."""
    if isinstance(vector, tuple):
        return np.array([number != 0 for number in vector[0]], dtype=np.bool_)
    return vector != 0


def values_of(vector: Vector) -> Any:
    """The numbers of a vector: floats, or an array of rational ones."""
    return objects([Fraction(number, vector[1]) for number in vector[0]]) if isinstance(vector, tuple) else vector


def floats_of(values: Any) -> tuple[FloatArray, FloatArray]:
    """The floats next to numbers, and bounds on what lies between."""
    if values.dtype != object:
        return values, np.zeros(len(values))
    nearest = np.array([float(value) for value in values])
    return nearest, np.abs(nearest) * 2.0**-52 + 5e-324


def objects(values: list[Any]) -> Any:
    """An array of rational numbers."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def signs(values: Any, bounds: FloatArray) -> IntArray:
    """The signs that are certain of numbers known up to bounds; a bound of NaN makes nothing certain."""
    return np.asarray(values > bounds, dtype=np.int64) - np.asarray(values < -bounds, dtype=np.int64)


def length_above(values: Any, errors: FloatArray) -> float:
    """An upper bound on the length of a vector known up to errors; 0 only where it is 0."""
    return exact.norm_above(values) if values.dtype == object else norm_above(np.abs(values) + errors)
