"""Rational witnesses rounded to float64."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.preimage.candidate import Candidate, Direction, Multipliers, Rational, Vector


def rounded(certificate: Candidate) -> Candidate:
    """The same certificate with float64 vectors of unit size: shorter, and where room is left it proves as much."""

    def multipliers(part: Multipliers) -> Multipliers:
        return Multipliers(part.rows, unit_floats(part.values))

    def direction(part: Direction) -> Direction:
        return Direction(part.equalities, unit_floats(part.values))

    recession = certificate.recession
    return Candidate(
        certificate.kind,
        certificate.dimension,
        None if certificate.point is None else as_floats(certificate.point),
        None if certificate.implicit is None else multipliers(certificate.implicit),
        None if certificate.interior is None else direction(certificate.interior),
        multipliers(recession)
        if isinstance(recession, Multipliers)
        else direction(recession)
        if isinstance(recession, Direction)
        else recession,
        multipliers(certificate.infeasible)
        if isinstance(certificate.infeasible, Multipliers)
        else certificate.infeasible,
    )


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
