"""The singular values of a dense matrix, and which of them count as nonzero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class DenseSpectrum:
    """Singular values in descending order.

    Attributes:
        values: (min(m, n),) as LAPACK's SVD gives them.
        tolerance: ``max(m, n) eps sigma_1``: the size of the SVD's backward error, which moves every value by at most
            as much (Weyl). Values up to it count as zero.
    """

    values: FloatArray
    tolerance: float

    @property
    def rank(self) -> int:
        """The number of values that count as nonzero."""
        return int((self.values > self.tolerance).sum())

    @property
    def largest(self) -> float:
        """``sigma_1``, 0 for a zero map."""
        return float(self.values[0]) if len(self.values) else 0.0

    @property
    def smallest_nonzero(self) -> float | None:
        """``sigma_rank``, None for a zero map."""
        return self.at(self.rank)

    def at(self, position: int) -> float | None:
        """``sigma_position``, counted from 1; None where there is none."""
        return float(self.values[position - 1]) if 1 <= position <= len(self.values) else None


def dense_spectrum(rows: Float64[FloatArray, "k n"], m: int | None = None) -> DenseSpectrum:
    """The singular values of the rows, or of a matrix of m rows whose others are zero; k may be 0."""
    values = cast(FloatArray, np.linalg.svd(rows, compute_uv=False)) if rows.size else np.zeros(0)
    return DenseSpectrum(values, _tolerance(values, rows, m))


def spectrum_and_row_space(
    rows: Float64[FloatArray, "k n"], m: int | None = None
) -> tuple[DenseSpectrum, Float64[FloatArray, "r n"] | None]:
    """The same, and an orthonormal basis of the row space; None for the basis where that is all of R^n."""
    n = rows.shape[1]
    if len(rows) >= n:
        spectrum = dense_spectrum(rows, m)
        if spectrum.rank == n:
            return spectrum, None
    if not rows.size:
        return dense_spectrum(rows, m), np.zeros((0, n))
    _, values, V = np.linalg.svd(rows, full_matrices=False)
    spectrum = DenseSpectrum(values, _tolerance(values, rows, m))
    return spectrum, None if spectrum.rank == n else V[: spectrum.rank]


def _tolerance(values: Float64[FloatArray, " q"], rows: Float64[FloatArray, "k n"], m: int | None) -> float:
    size = max(len(rows) if m is None else m, rows.shape[1])
    return float(size * np.finfo(np.float64).eps * values.max(initial=0.0))


__all__ = ["DenseSpectrum", "dense_spectrum", "spectrum_and_row_space"]
