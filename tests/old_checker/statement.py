"""What is to be proved, and the strict reading of a certificate that nobody vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.preimages.candidate import Direction, Multipliers, Rational
from fiberscope.preimages.kind import Kind
from old_checker.asking import (
    Asking,
    Claim,
    NotProvedError,
    PlainPart,
    PlainRational,
    PlainSystem,
    PlainVector,
    PlainVerdict,
    ask_system,
    is_whole_number,
)
from old_checker.matrices import MalformedMatrixError, Matrix, PlainMatrix, read_matrix
from old_checker.system import System

MAX_BITS = 2**21
"""Longer rational numbers are refused, not multiplied: Cramer's rule in a thousand dimensions stays well below this."""


@dataclass(frozen=True, eq=False)
class Statement(System):
    """``The preimage of this output (given by x or by y) has this kind and this dimension``."""

    x: FloatArray | None
    y: FloatArray | None
    kind: Kind
    dimension: int

    def right_hand_sides(
        self, numbers: Int64[IntArray, " q"]
    ) -> tuple[Float64[FloatArray, " q"], Float64[FloatArray, " q"]]:
        """Two float vectors whose exact sum is the right-hand side of each row: (y_i or 0, -b_i) on the layer."""
        m, n = self.m, self.n
        first, second = np.zeros(len(numbers)), np.zeros(len(numbers))
        layer, low, high, half = (
            numbers < m,
            *((numbers >= start) & (numbers < stop) for start, stop in self.blocks()),
        )
        if self.y is not None:
            first[layer] = self.y[numbers[layer]]
        second[layer] = -self.b[numbers[layer]]
        first[low] = -self.domain.low[numbers[low] - m]
        first[high] = self.domain.high[numbers[high] - m - n]
        first[half] = self.domain.h[numbers[half] - m - 2 * n]
        return first, second


@dataclass(frozen=True, eq=False)
class Question:
    """Everything that a claim says, in records that run no code."""

    verdict: PlainVerdict
    system: PlainSystem


def question_of(claim: Claim) -> Question:
    """Ask a claim for everything; NotProvedError where it has no certificate, or no arrays."""
    verdict, layer, domain = Asking().verdict(claim)
    return Question(verdict, ask_system(layer, domain))


def statement_of(question: Question) -> Statement:
    """Read what is claimed; NotProvedError where the claim contradicts itself or its certificate."""
    verdict = question.verdict
    kind, dimension = read_verdict(verdict)
    x, y = verdict.x, verdict.y
    if (x is None) == (y is None):
        raise NotProvedError("exactly one of x and y must be given")
    system = read_system(question.system)
    if y is not None and system.injective.any():
        raise NotProvedError("outputs of activations other than ReLU are not rational numbers: x must be given")
    return Statement(
        system.A,
        system.b,
        system.injective,
        system.domain,
        None if x is None else read_floats(x, system.n, "x"),
        None if y is None else read_floats(y, system.m, "y"),
        kind,
        dimension,
    )


def read_verdict(verdict: PlainVerdict) -> tuple[Kind, int]:
    """Read a kind and a dimension that the certificate is about; NotProvedError where they cannot be."""
    kind, dimension, certificate = verdict.kind, verdict.dimension, verdict.certificate
    if kind is None:
        raise NotProvedError("the kind is none that a preimage has")
    if kind == Kind.UNDECIDED:
        raise NotProvedError("the verdict is undecided, so there is nothing to prove")
    if certificate.kind != kind:
        raise NotProvedError(f"the certificate is about kind {certificate.kind!s}, the verdict says {kind!s}")
    if dimension is None:
        raise NotProvedError("the dimension is not a whole number")
    if certificate.dimension not in (None, dimension):
        raise NotProvedError(
            f"the certificate is about dimension {certificate.dimension}, the verdict says {dimension}"
        )
    _check_kind_fits_dimension(kind, dimension)
    return kind, dimension


def read_system(system: PlainSystem) -> System:
    """Read a layer and a domain; NotProvedError where they are not made of numbers that fit together."""
    A = _matrix(system.weight, "the weight")
    m, n = A.shape
    if system.injective.dtype != np.bool_ or system.injective.shape != (m,):
        raise NotProvedError("which neurons are injective is not given by truth values")
    return System(A, _array(system.bias, (m,), "the bias"), system.injective, _domain(system, n))


def _domain(domain: PlainSystem, n: int) -> Polyhedron:
    what = "the domain"
    G = _matrix(domain.G, what)
    h = _array(domain.h, (G.shape[0],), what)
    low, high = (_array(bound, (n,), what, finite=False) for bound in (domain.low, domain.high))
    if G.shape[1] != n:
        raise NotProvedError(f"the domain has rows of {G.shape[1]} numbers, the layer has {n} inputs")
    if not ((low < np.inf) & (high > -np.inf)).all():
        raise NotProvedError("the domain has a bound that no number meets")
    return Polyhedron(low, high, G, h)


def _matrix(matrix: PlainMatrix, what: str) -> Matrix:
    try:
        return read_matrix(matrix)
    except MalformedMatrixError as error:
        raise NotProvedError(f"{what} {error}") from error


def _array(array: Any, shape: tuple[int, ...], what: str, *, finite: bool = True) -> FloatArray:
    if array.dtype != np.float64 or array.shape != shape:
        raise NotProvedError(f"{what} is not made of float64 numbers of shape {shape}")
    if not (np.isfinite(array) if finite else ~np.isnan(array)).all():
        raise NotProvedError(f"{what} holds NaN or infinite numbers")
    return array


def _check_kind_fits_dimension(kind: Kind, dimension: int) -> None:
    fits = {
        Kind.EMPTY: dimension == -1,
        Kind.SINGLETON: dimension == 0,
        Kind.BOUNDED: dimension >= 1,
        Kind.UNBOUNDED: dimension >= 1,
    }
    if not fits.get(kind, False):
        raise NotProvedError(f"a preimage of kind {kind!s} cannot have dimension {dimension}")


def expected(sort: type, part: PlainPart | None) -> PlainPart:
    """The part itself if it is one of this sort; NotProvedError if not."""
    if part is None or part.sort is not sort:
        got = "nothing" if part is None else f"{part.sort.__name__}"
        raise NotProvedError(f"expected {sort.__name__.lower()}, got {got.lower()}")
    return part


def read_multipliers(part: PlainPart | None, allowed: IntArray, free: IntArray) -> Multipliers:
    """Read multipliers on rows out of ``allowed`` and ``free``; outside ``free`` they must be positive."""
    part = expected(Multipliers, part)
    rows = read_rows(part.rows, np.concatenate([allowed, free]))
    values = read_vector(part.values, len(rows))
    signed = np.array(values.numerators, dtype=object) if isinstance(values, Rational) else values
    if not all(value > 0 for value in signed[~np.isin(rows, free)]):
        raise NotProvedError("a multiplier on an inequality row is not positive")
    return Multipliers(rows, values)


def read_direction(part: PlainPart | None, n: int, allowed: IntArray, required: IntArray) -> Direction:
    """Read a direction whose equality rows lie in ``allowed`` and ``required`` and contain ``required``."""
    part = expected(Direction, part)
    equalities = read_rows(part.rows, np.concatenate([allowed, required]))
    if not np.isin(required, equalities).all():
        raise NotProvedError("the direction is not held at zero on all positive rows")
    return Direction(equalities, read_vector(part.values, n))


def check_negative_output(part: PlainPart, y: Float64[FloatArray, " m"]) -> None:
    """A ReLU gives no negative number."""
    if part.index is None or not 0 <= part.index < len(y) or not y[part.index] < 0:
        raise NotProvedError("the named output is not negative")


def read_rows(rows: Any, allowed: Int64[IntArray, " _"]) -> Int64[IntArray, " _"]:
    """Read distinct row numbers out of ``allowed``."""
    array = read_numbers(rows)
    if len(np.unique(array)) != len(array):
        raise NotProvedError("a row is named twice")
    if not np.isin(array, allowed).all():
        raise NotProvedError("a row is named that this sample does not have, or that is not of the needed sort")
    return array


def read_numbers(rows: Any) -> Int64[IntArray, " _"]:
    """Read a vector of integers, given as an array or None; the result is a copy."""
    array = np.array(rows)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise NotProvedError("row numbers must be a vector of integers")
    return array.astype(np.int64)


def read_vector(vector: PlainVector, length: int) -> FloatArray | Rational:
    """Read a finite float vector, or a rational one with a positive denominator; the result is a copy."""
    if not isinstance(vector, PlainRational):
        return read_floats(vector, length, "a vector")
    numerators, denominator = vector.numerators, vector.denominator
    whole = numerators is not None and all(is_whole_number(v) for v in (*numerators, denominator))
    if numerators is None or not whole or len(numerators) != length or not denominator > 0:
        raise NotProvedError(
            f"a rational vector of length {length} needs that many whole numerators and a positive denominator"
        )
    if max(int(v).bit_length() for v in (*numerators, denominator)) > MAX_BITS:
        raise NotProvedError(
            f"a rational number of more than {MAX_BITS} bits: longer than any that solves a system here"
        )
    return Rational(tuple(int(v) for v in numerators), int(denominator))


def read_floats(value: Any, length: int, what: str) -> FloatArray:
    """Read a vector of finite float64 numbers, given as an array or None; the result is a copy."""
    array = np.array(value)
    if array.dtype != np.float64 or array.shape != (length,):
        raise NotProvedError(f"{what} must be {length} float64 numbers, got {array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise NotProvedError(f"{what} holds NaN or infinite numbers")
    return array
