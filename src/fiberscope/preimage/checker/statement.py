"""What is to be proved, and the strict reading of a certificate that nobody vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, written_out
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimage.certificate import Certificate, Direction, Multipliers, NegativeOutput, Rational
from fiberscope.preimage.checker.matrices import (
    MalformedMatrixError,
    Matrix,
    as_dense,
    plain_array,
    read_matrix,
    row_maxima,
    stacked,
)
from fiberscope.preimage.checker.rounding import row_norms_above
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
class Statement:
    """``The preimage of this output (given by x or by y) has this kind and this dimension``.

    The rows of the mixed system are numbered as in ``fiberscope.preimage.certificate``.
    """

    A: Matrix
    b: FloatArray
    injective: BoolArray
    domain: Polyhedron
    x: FloatArray | None
    y: FloatArray | None
    kind: Kind
    dimension: int

    @property
    def m(self) -> int:
        """The number of neurons."""
        return self.A.shape[0]

    @property
    def n(self) -> int:
        """The number of input coordinates."""
        return self.A.shape[1]

    def domain_rows(self) -> Int64[IntArray, " _"]:
        """The numbers of all rows that the domain has."""
        m, n = self.m, self.n
        return np.concatenate(
            [
                m + np.flatnonzero(np.isfinite(self.domain.low)),
                m + n + np.flatnonzero(np.isfinite(self.domain.high)),
                m + 2 * n + np.arange(len(self.domain.h)),
            ]
        )

    def inequalities(self, positive: Int64[IntArray, " p"]) -> Int64[IntArray, " _"]:
        """The numbers of all inequality rows, given P."""
        return np.concatenate([np.setdiff1d(np.arange(self.m), positive), self.domain_rows()])

    def nonzero_rows(self, numbers: Int64[IntArray, " q"]) -> Int64[IntArray, " _"]:
        """Those of the rows that are not zero; a zero row says nothing about directions."""
        m, n = self.m, self.n
        nonzero = np.ones(len(numbers), dtype=np.bool_)
        layer, half = numbers < m, numbers >= m + 2 * n
        nonzero[layer] = row_maxima(self.A[numbers[layer]]) > 0
        nonzero[half] = row_maxima(self.domain.G[numbers[half] - m - 2 * n]) > 0
        return numbers[nonzero]

    @property
    def is_sparse(self) -> bool:
        """Whether rows are given in sparse form."""
        return not (isinstance(self.A, np.ndarray) and isinstance(self.domain.G, np.ndarray))

    def rows(self, numbers: Int64[IntArray, " q"]) -> Matrix:
        """The coefficient rows with these numbers, shape (len(numbers), n); sparse if the layer or the domain is."""
        m, n = self.m, self.n
        layer, low, high, half = (
            numbers < m,
            *((numbers >= start) & (numbers < stop) for start, stop in self._blocks()),
        )
        parts = {"layer": self.A[numbers[layer]], "half": self.domain.G[numbers[half] - m - 2 * n]}
        if self.is_sparse:
            bounds = np.flatnonzero(low | high)
            unit = SparseRows(
                (np.where(low[bounds], -1.0, 1.0), (np.arange(len(bounds)), (numbers[bounds] - m) % n)),
                shape=(len(bounds), n),
            )
            order = np.concatenate([np.flatnonzero(layer), bounds, np.flatnonzero(half)])
            return stacked([parts["layer"], unit, parts["half"]])[np.argsort(order)]
        out = np.zeros((len(numbers), n))
        out[layer] = as_dense(parts["layer"])
        out[low, numbers[low] - m] = -1.0
        out[high, numbers[high] - m - n] = 1.0
        out[half] = as_dense(parts["half"])
        return out

    def products(
        self, numbers: Int64[IntArray, " q"], v: Float64[FloatArray, " n"]
    ) -> tuple[Float64[FloatArray, " q"], Float64[FloatArray, " q"], Bool[BoolArray, " q"]]:
        """``a_i v`` in float64, upper bounds on ``|a_i|`` (0 for zero rows), and where the product is exact."""
        m, n = self.m, self.n
        value, norms, exact = np.zeros(len(numbers)), np.ones(len(numbers)), np.ones(len(numbers), dtype=np.bool_)
        layer, low, high, half = (
            numbers < m,
            *((numbers >= start) & (numbers < stop) for start, stop in self._blocks()),
        )
        value[low] = -v[numbers[low] - m]
        value[high] = v[numbers[high] - m - n]
        for block, rows in ((layer, self.A[numbers[layer]]), (half, self.domain.G[numbers[half] - m - 2 * n])):
            nonzero = row_maxima(rows) > 0
            value[block] = rows @ v
            norms[block] = np.where(nonzero, row_norms_above(rows), 0.0)
            exact[block] = ~nonzero
        return value, norms, exact

    def right_hand_sides(
        self, numbers: Int64[IntArray, " q"]
    ) -> tuple[Float64[FloatArray, " q"], Float64[FloatArray, " q"]]:
        """Two float vectors whose exact sum is the right-hand side of each row: (y_i or 0, -b_i) on the layer."""
        m, n = self.m, self.n
        first, second = np.zeros(len(numbers)), np.zeros(len(numbers))
        layer, low, high, half = (
            numbers < m,
            *((numbers >= start) & (numbers < stop) for start, stop in self._blocks()),
        )
        if self.y is not None:
            first[layer] = self.y[numbers[layer]]
        second[layer] = -self.b[numbers[layer]]
        first[low] = -self.domain.low[numbers[low] - m]
        first[high] = self.domain.high[numbers[high] - m - n]
        first[half] = self.domain.h[numbers[half] - m - 2 * n]
        return first, second

    def _blocks(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        m, n = self.m, self.n
        return (m, m + n), (m + n, m + 2 * n), (m + 2 * n, m + 2 * n + len(self.domain.h))


def statement_of(claim: Claim) -> Statement:
    """Read what a preimage claims; NotProvedError where the claim contradicts itself or its certificate."""
    kind, dimension, certificate = _kind(claim.kind), claim.dimension, claim.certificate
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
    _check_kind_fits_dimension(kind, int(dimension))  # type: ignore[arg-type]
    if (claim.x is None) == (claim.y is None):
        raise NotProvedError("exactly one of x and y must be given")
    # Everything is fetched before anything is tested: a layer, an input or a domain may be anybody's class, and the
    # code that it runs when it is asked must not change what was tested before.
    layer = claim.layer
    weight, bias, injective = layer.weight, layer.bias, np.array(layer.injective)
    x, y = (None if given is None else np.array(given) for given in (claim.x, claim.y))
    domain = _write_out(claim.domain, weight.shape[1])
    A = _matrix(weight, "the weight")
    m, n = A.shape
    if injective.dtype != np.bool_ or injective.shape != (m,):
        raise NotProvedError("which neurons are injective is not given by truth values")
    if y is not None and injective.any():
        raise NotProvedError("outputs of activations other than ReLU are not rational numbers: x must be given")
    return Statement(
        A,
        _array(bias, (m,), "the bias"),
        injective,
        _checked(domain, n),
        None if x is None else _vector(x, n, "x"),
        None if y is None else _vector(y, m, "y"),
        kind,
        int(dimension),  # type: ignore[arg-type]
    )


def _write_out(domain: Domain | None, n: int) -> Polyhedron:
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
    array = np.array(rows if isinstance(rows, np.ndarray) else None)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise NotProvedError("row numbers must be a vector of integers")
    array = array.astype(np.int64)
    if len(np.unique(array)) != len(array):
        raise NotProvedError("a row is named twice")
    if not np.isin(array, allowed).all():
        raise NotProvedError("a row is named that this sample does not have, or that is not of the needed sort")
    return array


def read_vector(vector: Any, length: int) -> FloatArray | Rational:
    """Read a finite float vector, or a rational one with a positive denominator; the result is a copy."""
    if type(vector) is not Rational:
        return _vector(vector, length, "a vector")
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


def _vector(value: Any, length: int, what: str) -> FloatArray:
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
