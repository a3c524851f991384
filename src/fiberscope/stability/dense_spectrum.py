"""The singular values of a dense matrix, and which of them count as nonzero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.stability.factorizations import Decomposition, decomposition
from fiberscope.stability.powers_of_two import exponent_of, times_power

SEED = 0
"""Of the random vectors that the error of a decomposition is measured with."""


@dataclass(frozen=True, eq=False)
class DenseSpectrum:
    """Singular values in descending order.

    Attributes:
        values: (min(m, n),) as LAPACK's SVD gives them.
        tolerance: how far each value may be from the true one, as it was measured: see ``singular_values``. Values up
            to it count as zero.
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


def dense_spectrum(rows: Float64[FloatArray, "k n"]) -> DenseSpectrum:
    """The singular values of the rows, or of a matrix whose other rows are zero; k may be 0.

    Raises:
        InputError: a value is larger than float64 can hold.
    """
    return _spectrum(rows, _decomposed(rows))


def spectrum_and_row_space(
    rows: Float64[FloatArray, "k n"],
) -> tuple[DenseSpectrum, Float64[FloatArray, "r n"] | None]:
    """The same, and an orthonormal basis of the row space; None for the basis where that is all of R^n."""
    found = _decomposed(rows)
    spectrum = _spectrum(rows, found)
    if found is None or spectrum.rank == rows.shape[1]:
        return spectrum, None if found is not None else np.zeros((0, rows.shape[1]))
    V = found.right if len(rows) >= rows.shape[1] else found.left.T
    return spectrum, V[: spectrum.rank]


def _decomposed(rows: Float64[FloatArray, "k n"]) -> Decomposition | None:
    """The decomposition of the rows, or of their transpose where they are few, scaled; None where all are zero."""
    if not rows.any():
        return None
    tall = times_power(rows if len(rows) >= rows.shape[1] else rows.T, -exponent_of(rows))
    return decomposition(tall, np.random.default_rng(SEED))


def _spectrum(rows: Float64[FloatArray, "k n"], found: Decomposition | None) -> DenseSpectrum:
    if found is None:
        return DenseSpectrum(np.zeros(min(len(rows), rows.shape[1])), 0.0)
    spectrum = found.spectrum.times_power(exponent_of(rows))
    return DenseSpectrum(spectrum.values, float(spectrum.error_bound.max()))


__all__ = ["DenseSpectrum", "dense_spectrum", "spectrum_and_row_space"]
