"""What is to be proved, and the strict reading of a certificate that nobody vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, written_out
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimage.certificate import Certificate, Direction, Multipliers, NegativeOutput, Rational
from fiberscope.preimage.checker.matrices import (
    MalformedMatrixError,
    Matrix,
    plain_array,
    read_matrix,
)
from fiberscope.preimage.checker.system import System
from fiberscope.preimage.kind import Kind

WHOLE_NUMBERS = (int, *(np.dtype(code).type for code in "bBhHiIlLqQ"))
MAX_BITS = 2**21
"""Longer rational numbers are refused, not multiplied: Cramer's rule in a thousand dimensions stays well below this."""


class NotProvedError(Exception):
    """Raised inside a checker where the proof does not close; never leaves ``verify``."""


@runtime_checkable
class Claim(Protocol):
    """The part of a preimage that a checker reads."""

    @property
    def layer(self) -> ReLULayer:
        """The layer."""
        ...

    @property
    def domain(self) -> Domain | None:
        """The domain; None for all of R^n."""
        ...

    @property
    def x(self) -> FloatArray | None:
        """The input, or None."""
        ...

    @property
    def y(self) -> FloatArray | None:
        """The output, or None."""
        ...

    @property
    def kind(self) -> Kind:
        """The claimed kind."""
        ...

    @property
    def dimension(self) -> int | None:
        """The claimed dimension."""
        ...

    @property
    def certificate(self) -> Any:
        """What is to prove it."""
        ...


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


def statement_of(claim: Claim) -> Statement:
    """Read what a preimage claims; NotProvedError where the claim contradicts itself or its certificate."""
    kind, dimension = read_verdict(claim.kind, claim.dimension, claim.certificate)
    if (claim.x is None) == (claim.y is None):
        raise NotProvedError("exactly one of x and y must be given")
    x, y = (None if given is None else np.array(given) for given in (claim.x, claim.y))
    system = read_system(claim.layer, claim.domain)
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


def read_verdict(kind: Any, dimension: Any, certificate: Any) -> tuple[Kind, int]:
    """Read a kind and a dimension that this certificate is about; NotProvedError where they cannot be."""
    kind = _kind(kind)
    if kind == Kind.UNDECIDED:
        raise NotProvedError("the verdict is undecided, so there is nothing to prove")
    if type(certificate) is not Certificate:
        raise NotProvedError(f"expected a certificate, got {type(certificate).__name__}")
    if certificate.kind != kind:
        raise NotProvedError(f"the certificate is about kind {certificate.kind!s}, the verdict says {kind!s}")
    named = dimension if certificate.dimension is None else certificate.dimension
    if not _is_whole_number(dimension) or not _is_whole_number(named):
        raise NotProvedError("the dimension is not a whole number")
    if named != dimension:
        raise NotProvedError(
            f"the certificate is about dimension {certificate.dimension}, the verdict says {dimension}"
        )
    _check_kind_fits_dimension(kind, int(dimension))
    return kind, int(dimension)


def read_system(layer: Any, domain: Any) -> System:
    """Read a layer and a domain; NotProvedError where they are not made of numbers that fit together.

    Everything is fetched before anything is tested: a layer or a domain may be anybody's class, and the code that it
    runs when it is asked must not change what was tested before.
    """
    weight, bias, injective = layer.weight, layer.bias, np.array(layer.injective)
    written = _write_out(domain, weight.shape[1])
    A = _matrix(weight, "the weight")
    m, n = A.shape
    if injective.dtype != np.bool_ or injective.shape != (m,):
        raise NotProvedError("which neurons are injective is not given by truth values")
    return System(A, _array(bias, (m,), "the bias"), injective, _checked(written, n))


def _write_out(domain: Any, n: int) -> Polyhedron:
    """The domain's parts, each asked for once."""
    written = written_out(domain, n)
    return Polyhedron(written.low, written.high, written.G, written.h)


def _checked(domain: Polyhedron, n: int) -> Polyhedron:
    what = "the domain"
    G = _matrix(domain.G, what)
    h = _array(domain.h, (G.shape[0],), what)
    low, high = (_array(bound, (n,), what, finite=False) for bound in (domain.low, domain.high))
    if G.shape[1] != n:
        raise NotProvedError(f"the domain has rows of {G.shape[1]} numbers, the layer has {n} inputs")
    if not ((low < np.inf) & (high > -np.inf)).all():
        raise NotProvedError("the domain has a bound that no number meets")
    return Polyhedron(low, high, G, h)


def _matrix(matrix: Any, what: str) -> Matrix:
    try:
        return read_matrix(matrix)
    except MalformedMatrixError as error:
        raise NotProvedError(f"{what} {error}") from error


def _array(given: Any, shape: tuple[int, ...], what: str, *, finite: bool = True) -> FloatArray:
    try:
        array = plain_array(given)
    except MalformedMatrixError as error:
        raise NotProvedError(f"{what} {error}") from error
    if array.dtype != np.float64 or array.shape != shape:
        raise NotProvedError(f"{what} is not made of float64 numbers of shape {shape}")
    if not (np.isfinite(array) if finite else ~np.isnan(array)).all():
        raise NotProvedError(f"{what} holds NaN or infinite numbers")
    return array


def _kind(value: Any) -> Kind:
    # exact types: a subclass may compare equal to anything
    if type(value) not in (str, Kind) or value not in set(Kind):
        raise NotProvedError("the kind is none that a preimage has")
    return Kind(value)


def _check_kind_fits_dimension(kind: Kind, dimension: int) -> None:
    fits = {
        Kind.EMPTY: dimension == -1,
        Kind.SINGLETON: dimension == 0,
        Kind.BOUNDED: dimension >= 1,
        Kind.UNBOUNDED: dimension >= 1,
    }
    if not fits.get(kind, False):
        raise NotProvedError(f"a preimage of kind {kind!s} cannot have dimension {dimension}")


def read_multipliers(part: Any, allowed: IntArray, free: IntArray) -> Multipliers:
    """Read multipliers on rows out of ``allowed`` and ``free``; outside ``free`` they must be positive."""
    if type(part) is not Multipliers:  # nor a subclass, which could run code of its own between two tests
        raise NotProvedError(f"expected multipliers, got {type(part).__name__}")
    rows = read_rows(part.rows, np.concatenate([allowed, free]))
    values = read_vector(part.values, len(rows))
    signed = np.array(values.numerators, dtype=object) if isinstance(values, Rational) else values
    if not all(value > 0 for value in signed[~np.isin(rows, free)]):
        raise NotProvedError("a multiplier on an inequality row is not positive")
    return Multipliers(rows, values)


def read_direction(part: Any, n: int, allowed: IntArray, required: IntArray) -> Direction:
    """Read a direction whose equality rows lie in ``allowed`` and ``required`` and contain ``required``."""
    if type(part) is not Direction:
        raise NotProvedError(f"expected a direction, got {type(part).__name__}")
    equalities = read_rows(part.equalities, np.concatenate([allowed, required]))
    if not np.isin(required, equalities).all():
        raise NotProvedError("the direction is not held at zero on all positive rows")
    return Direction(equalities, read_vector(part.values, n))


def check_negative_output(part: NegativeOutput, y: Float64[FloatArray, " m"]) -> None:
    """A ReLU gives no negative number."""
    if not _is_whole_number(part.index) or not 0 <= part.index < len(y) or not y[part.index] < 0:
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
    """Read a vector of integers; the result is a copy."""
    array = np.array(rows if isinstance(rows, np.ndarray) else None)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise NotProvedError("row numbers must be a vector of integers")
    return array.astype(np.int64)


def read_vector(vector: Any, length: int) -> FloatArray | Rational:
    """Read a finite float vector, or a rational one with a positive denominator; the result is a copy."""
    if type(vector) is not Rational:
        return read_floats(vector, length, "a vector")
    numerators, denominator = vector.numerators, vector.denominator
    whole = type(numerators) is tuple and all(_is_whole_number(v) for v in (*numerators, denominator))
    if not whole or len(numerators) != length or not denominator > 0:
        raise NotProvedError(
            f"a rational vector of length {length} needs that many whole numerators and a positive denominator"
        )
    if max(int(v).bit_length() for v in (*numerators, denominator)) > MAX_BITS:
        raise NotProvedError(
            f"a rational number of more than {MAX_BITS} bits: longer than any that solves a system here"
        )
    return Rational(tuple(int(v) for v in numerators), int(denominator))


def read_floats(value: Any, length: int, what: str) -> FloatArray:
    """Read a vector of finite float64 numbers; the result is a copy."""
    # only arrays, which run no code of their own, and a copy: what is tested and what is used must be the same numbers
    array = np.array(value if isinstance(value, np.ndarray) else None)
    if array.dtype != np.float64 or array.shape != (length,):
        raise NotProvedError(f"{what} must be {length} float64 numbers, got {array.dtype} of shape {array.shape}")
    if not np.isfinite(array).all():
        raise NotProvedError(f"{what} holds NaN or infinite numbers")
    return array


def _is_whole_number(value: Any) -> bool:
    # exact types: a subclass of int may convert to another number than it compares as
    return type(value) in WHOLE_NUMBERS
