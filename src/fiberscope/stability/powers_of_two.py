"""Scaling by powers of two, which rounds nothing: numbers of any size are computed with as if they were near 1."""

from __future__ import annotations

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray

SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
"""2^-1074: what leaves the range of float64 downwards is off by at most half of it."""


def exponent_of(A: FloatArray) -> int:
    """The k for which the largest number of A lies in [2^k, 2^(k+1)); 0 where all are zero."""
    largest = max(float(A.max(initial=0.0)), -float(A.min(initial=0.0)))
    return int(np.frexp(largest)[1]) - 1 if largest else 0


def times_power(A: FloatArray, exponent: int) -> FloatArray:
    """``2^k A``: exact, but for what leaves the range of float64."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(A, exponent)


def number_times_power(number: float, exponent: int) -> float:
    """``2^k`` times a number; infinite where that leaves the range of float64."""
    return float(times_power(np.array([number]), exponent)[0])


def bounds_times_power(bounds: FloatArray, values: FloatArray, exponent: int) -> FloatArray:
    """``2^k`` times error bounds of values, and what scaling rounds: subnormal values, and the bounds themselves."""
    moved = times_power(bounds, exponent)
    for numbers, scaled_numbers in ((bounds, moved), (values, times_power(values, exponent))):
        if exponent < 0:  # nothing is rounded upwards
            moved = moved + SMALLEST * (times_power(scaled_numbers, -exponent) != numbers)
    return moved


def check_range(values: FloatArray, exponent: int, what: str) -> None:
    """InputError if ``2^k`` times some of these numbers is larger than float64 can hold."""
    largest = float(values.max(initial=0.0))
    if np.isfinite(largest) and not np.isfinite(times_power(values, exponent)).all():
        size = (np.log2(largest) + exponent) * np.log10(2.0)
        raise InputError(
            what,
            expected=f"at most {np.finfo(np.float64).max:.4g}, the largest number of float64",
            got=f"about 10^{size:.4g}",
            hint="divide the map by a power of two, which divides its singular values and changes nothing else",
        )


def scaled(numbers: dict[str, float | None], exponent: int) -> dict[str, float | None]:
    """``2^k`` times each number that is there.

    Raises:
        InputError: one is larger than float64 can hold.
    """
    known = np.array([number for number in numbers.values() if number is not None])
    check_range(known, exponent, "bounds of singular values")
    return {name: None if number is None else number_times_power(number, exponent) for name, number in numbers.items()}


__all__ = ["bounds_times_power", "check_range", "exponent_of", "number_times_power", "scaled", "times_power"]
