"""Rational witnesses rounded to float64."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.candidate import Candidate, Rational, Vector


def rounded(certificate: Candidate) -> Candidate:
    """The same certificate with float64 vectors of unit size: shorter, and where room is left it proves as much."""
    return certificate.mapped(lambda part: replace(part, values=unit_floats(part.values)), as_floats)


def as_floats(vector: Vector) -> FloatArray:
    """The nearest float64 vector; infinite where float64 has no such number."""
    if not isinstance(vector, Rational):
        return vector
    return np.array(
        [nearest_float(Fraction(numerator, vector.denominator)) for numerator in vector.numerators], dtype=np.float64
    )


def nearest_float(value: Fraction) -> float:
    """The nearest float64 number; infinite where it is beyond the largest."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def unit_floats(vector: Vector) -> FloatArray:
    """A float64 vector along a vector whose length does not matter: the largest entry of a rational one becomes 1."""
    if not isinstance(vector, Rational):
        return vector
    largest = max((abs(value) for value in vector.numerators), default=1) or 1
    return np.array([float(Fraction(value, largest)) for value in vector.numerators], dtype=np.float64)
