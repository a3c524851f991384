"""Singular values with what is known about their errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.showing.shown import Shown, told
from fiberscope.stability.powers_of_two import bounds_times_power, check_range, times_power

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Shown):
    """All singular values of a linear map, with a bound on the error of each.

    Attributes:
        values: (min(m, n),) descending, zeros included.
        error_bound: (min(m, n),) how far each may be from the true one.
        tolerance: values up to this cannot be told from zero by the method used.
        method: "gram", "qr" or "svd".
        shape: (m, n).
    """

    values: Float64[FloatArray, " r"]
    error_bound: Float64[FloatArray, " r"]
    tolerance: float
    method: str
    shape: tuple[int, int]

    @property
    def rank(self) -> int:
        """The number of values that are certainly not zero: those above their own error bound."""
        return int((self.values > self.error_bound).sum())

    @property
    def largest(self) -> float:
        """The largest singular value; 0 for the zero map."""
        return self.at(1) or 0.0

    @property
    def smallest_nonzero(self) -> float:
        """The smallest singular value that is certainly not zero; NaN for the zero map, which has none."""
        return self.at(self.rank) or float("nan")

    @property
    def largest_error(self) -> float:
        """How far any value may be from the true one."""
        return float(self.error_bound.max(initial=0.0))

    def at(self, position: int) -> float | None:
        """``sigma_position``, counted from 1; None where there is none."""
        return float(self.values[position - 1]) if 1 <= position <= len(self.values) else None

    @property
    def condition_number(self) -> float:
        """``largest / smallest_nonzero``; NaN for the zero map."""
        return self.largest / self.smallest_nonzero

    @property
    def is_resolved(self) -> bool:
        """Whether every value is known to one per cent, or zero because the map has zero rows or columns."""
        return bool((self.error_bound <= RESOLVED * self.values).all())

    def times_power(self, exponent: int) -> Spectrum:
        """The spectrum of the map times ``2^k``; bounds grow by what is rounded in subnormal numbers.

        Raises:
            InputError: a value is larger than float64 can hold.
        """
        check_range(self.values, exponent, "singular values")
        values, bounds = times_power(self.values, exponent), bounds_times_power(self.error_bound, self.values, exponent)
        limit = np.array([self.tolerance])
        tolerance = float(bounds_times_power(limit, limit, exponent)[0])
        return Spectrum(values, bounds, tolerance, self.method, self.shape)

    def of_rank_at_most(self, most: int) -> Spectrum:
        """The spectrum of a map whose rank is known to be at most so much: the other values are zero exactly."""
        if most >= len(self.values):
            return self
        zeros = np.zeros(len(self.values) - most)
        values, bounds = (np.concatenate([part[:most], zeros]) for part in (self.values, self.error_bound))
        return Spectrum(values, bounds, self.tolerance, self.method, self.shape)

    def of_shape(self, shape: tuple[int, int]) -> Spectrum:
        """The spectrum of the map with more rows and columns of zeros: exact zeros come to its values."""
        if len(self.values) == min(shape) and shape == self.shape:
            return self
        zeros = (0, min(shape) - len(self.values))
        return Spectrum(np.pad(self.values, zeros), np.pad(self.error_bound, zeros), self.tolerance, self.method, shape)

    def _line(self) -> str:
        m, n = self.shape
        return f"{m} x {n}, rank {self.rank}, condition number {self.condition_number:.3g}, by {self.method}"

    def _facts(self) -> Mapping[str, str]:
        numbers = ("rank", "largest", "smallest_nonzero", "condition_number", "tolerance", "method")
        return {name: told(getattr(self, name)) for name in numbers}

    def plot(self, ax: Axes | None = None) -> Axes:
        """The values with their error bounds, on a logarithmic axis.

        Args:
            ax: axes of matplotlib; None for new ones.
        """
        from fiberscope.plots.spectra import spectrum

        return spectrum(self.values, self.error_bound, self.tolerance, ax)


RESOLVED = 1e-2
"""The relative error up to which a value counts as resolved: enough for condition numbers and decay curves."""


__all__ = ["RESOLVED", "Spectrum"]
