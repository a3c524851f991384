"""Two arithmetics for one set of conditions: float64 with rigorous bounds, and rational numbers.

Both answer with values and bounds on their errors; rational values have errors of 0. What is compared with a bound is
compared exactly: Python compares a rational number with a float by their exact values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from fiberscope.checker import exact, matrices
from fiberscope.checker.matrices import BoolArray, FloatArray, Matrix, NotProvedError

Vector: TypeAlias = FloatArray | tuple[list[int], int]
"""(n,) float64 numbers, or the numerators and the denominator of rational ones."""


class Arithmetic(ABC):
    """How products are formed, and how singular values are bounded from below."""

    @abstractmethod
    def vector(self, vector: Vector) -> Vector:
        """A vector that products can be formed with; NotProvedError where this arithmetic cannot."""

    @abstractmethod
    def products(self, matrix: Matrix, vector: Vector, norms: FloatArray) -> tuple[Any, FloatArray]:
        """``A v`` and bounds on its errors, for rows with these norms."""

    @abstractmethod
    def exceeds(self, B: Matrix, s: float) -> bool:
        """Whether B is proved to have min(q, n) singular values above s."""


class Float(Arithmetic):
    """float64 with rigorous error bounds."""

    def vector(self, vector: Vector) -> Vector:
        """Floats as they are."""
        if isinstance(vector, tuple):
            raise NotProvedError("the certificate is rational: it needs exact arithmetic")
        return vector

    def products(self, matrix: Matrix, vector: Vector, norms: FloatArray) -> tuple[Any, FloatArray]:
        """``A v`` as float64 gives it."""
        assert not isinstance(vector, tuple), "rational vectors are refused before"
        error = matrices.product_error(norms, matrices.norm_above(vector), len(vector))
        return np.asarray(matrix @ vector), error

    def exceeds(self, B: Matrix, s: float) -> bool:
        """By a Cholesky factorization."""
        return matrices.singular_values_exceed(B, s)


class Rational(Arithmetic):
    """Rational numbers only."""

    def vector(self, vector: Vector) -> Vector:
        """Anything."""
        return vector

    def products(self, matrix: Matrix, vector: Vector, norms: FloatArray) -> tuple[Any, FloatArray]:
        """``A v`` without errors."""
        return exact.products(matrix, vector), np.zeros(len(norms))

    def exceeds(self, B: Matrix, s: float) -> bool:
        """By a left inverse, or the rank modulo a prime."""
        return 0 in B.shape or exact.singular_values_exceed(B, s)


def support(vector: Vector) -> BoolArray:
    """Which numbers of a vector are not zero."""
    if isinstance(vector, tuple):
        return np.array([number != 0 for number in vector[0]], dtype=np.bool_)
    return vector != 0


def values_of(vector: Vector) -> Any:
    """The numbers of a vector: floats, or an array of rational ones."""
    return objects([Fraction(number, vector[1]) for number in vector[0]]) if isinstance(vector, tuple) else vector


def floats_of(values: Any) -> tuple[FloatArray, FloatArray]:
    """The floats next to numbers, or to a vector's, and bounds on what lies between."""
    exactly = values_of(values)
    nearest = np.array([float(value) for value in exactly])
    return nearest, np.zeros(len(nearest)) if exactly.dtype != object else np.abs(nearest) * 2.0**-52 + 5e-324


def objects(values: list[Any]) -> Any:
    """An array of rational numbers."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
