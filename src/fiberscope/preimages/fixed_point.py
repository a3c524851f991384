"""Matrices of integers times a power of two, for residuals and products that float64 would round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flint import fmpz, fmpz_mat
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray

MANTISSA = 53
CANCELLED = 40
"""Bits that leave no more of a float64 number than its rounding."""


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """``2**scale`` times an integer matrix.

    Attributes:
        whole: the integers.
        scale: the exponent.
    """

    whole: fmpz_mat
    scale: int

    @classmethod
    def of(cls, M: Float64[FloatArray, "q n"]) -> FixedPoint:
        """The exact values of floats."""
        mantissa, exponent = np.frexp(M)
        lowest = int(np.min(exponent, where=M != 0, initial=2**20))
        integers = (mantissa * 2.0**MANTISSA).astype(np.int64).ravel().tolist()
        shifts = np.where(M != 0, exponent - lowest, 0).ravel().tolist()
        entries = [value << shift for value, shift in zip(integers, shifts, strict=True)]
        return cls(fmpz_mat(M.shape[0], M.shape[1], entries), lowest - MANTISSA)

    @classmethod
    def rounded(cls, M: Float64[FloatArray, "q n"], bits: int) -> FixedPoint:
        """The nearest numbers with ``bits`` bits behind the point, of floats that have no more than 62 with these."""
        integers = np.rint(np.ldexp(M, bits)).astype(np.int64).ravel().tolist()
        return cls(fmpz_mat(M.shape[0], M.shape[1], integers), -bits)

    @property
    def exponent(self) -> int:
        """All entries are below two to this power."""
        return _bits(self.whole.entries()) + self.scale

    def at(self, bits: int) -> FixedPoint:
        """The same to ``bits`` bits behind the point, rounded down."""
        shift = self.scale + bits
        if shift >= 0:
            return FixedPoint(self.whole * (1 << shift), -bits)
        values = [value >> -shift for value in self.whole.entries()]
        return FixedPoint(fmpz_mat(self.whole.nrows(), self.whole.ncols(), values), -bits)

    def times(self, other: FixedPoint) -> FixedPoint:
        """The exact product."""
        return FixedPoint(self.whole * other.whole, self.scale + other.scale)

    def times_power(self, exponent: int) -> FixedPoint:
        """Times a power of two."""
        return FixedPoint(self.whole, self.scale + exponent)

    def minus(self, other: FixedPoint) -> FixedPoint:
        """The exact difference."""
        bits = -min(self.scale, other.scale)
        return FixedPoint(self.at(bits).whole - other.at(bits).whole, -bits)

    def floats(self, shifts: int | list[int]) -> Float64[FloatArray, "q n"]:
        """Rows times ``2**shifts``, to 53 bits behind the point and more where they are larger."""
        by_row = [shifts] * self.whole.nrows() if isinstance(shifts, int) else shifts
        table = [
            [float(v << s if s >= 0 else v >> -s) for v in row]
            for row, s in zip(self.whole.tolist(), (shift + self.scale + 2 * MANTISSA for shift in by_row), strict=True)
        ]
        return np.array(table, dtype=np.float64).reshape(self.whole.nrows(), self.whole.ncols()) * 2.0 ** (
            -2 * MANTISSA
        )

    def row_exponents(self) -> Int64[IntArray, " q"]:
        """All entries of a row are below two to this power; far below all others for rows of zeros."""
        return np.array([_bits(row) or -(2**20) for row in self.whole.tolist()], dtype=np.int64) + self.scale

    def chosen(self, rows: BoolArray) -> FixedPoint:
        """Some of the rows."""
        return FixedPoint(
            fmpz_mat([row for row, kept in zip(self.whole.tolist(), rows, strict=True) if kept]), self.scale
        )

    def vector(self) -> tuple[Float64[FloatArray, " q"], IntArray]:
        """A column's entries as floats in [1/2, 1), and their exponents."""
        values = [int(value) for value in self.whole.entries()]
        lengths = [value.bit_length() for value in values]
        pairs = zip(values, lengths, strict=True)
        mantissas = [float(v >> (n - 64) if n > 64 else v << (64 - n)) * 2.0**-64 for v, n in pairs]
        return np.array(mantissas), np.array(lengths, dtype=np.int64) + self.scale

    def cancels(self, c: Float64[FloatArray, " n"], exponents: IntArray) -> BoolArray:
        """Whether entries below ``2**exponents`` of the product with c are what its rounding leaves of zeros."""
        most = self.row_exponents()
        return exponents < most + np.frexp(np.abs(c).max())[1] - CANCELLED


def _bits(values: Sequence[fmpz]) -> int:
    return int(max(max(values), -min(values))).bit_length() if len(values) else 0


__all__ = ["FixedPoint"]
