"""What a claim says, asked for once and before any of it is tested.

A claim, its layer and its domain may be objects of anybody's class, and whatever is asked of them may run their code:
an attribute, a comparison of types, even ``isinstance``, which believes what an object says that its class is. Such
code may change anything that was read before. So all of it is fetched here, into records that run no code when they
are read; proofs see nothing else.

Arrays are taken as numpy's own class around the same numbers, without a copy: once everything is fetched, nothing of
the claim runs any more that could change them, and copying a weight of some ten megabytes would cost what a tenth of a
proof does. Code that runs by itself, in threads or when objects are collected, is nothing that a checker in the same
process could withstand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.preimages.candidate import (
    BoundedDomain,
    Candidate,
    Dependencies,
    Direction,
    Inconsistent,
    Multipliers,
    NegativeOutput,
    Rational,
)
from fiberscope.preimages.kind import Kind
from old_checker.matrices import (
    MalformedMatrixError,
    PlainMatrix,
    is_array,
    plain_array,
    plain_matrix,
)

WHOLE_NUMBERS = (int, *(np.dtype(code).type for code in "bBhHiIlLqQ"))


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
class PlainRational:
    """A rational vector as it was given: a tuple of anything, or None, and anything."""

    numerators: tuple[Any, ...] | None
    denominator: Any


PlainVector = Any
"""An array of numpy's own class, a ``PlainRational``, or None for anything else."""


@dataclass(frozen=True, eq=False)
class PlainPart:
    """A part of a certificate.

    Attributes:
        sort: the class of the part; ``object`` where it is none of a certificate's own.
        rows: the row numbers of multipliers, of a direction, of an inconsistent system or of dependencies: an array,
            or None for anything else.
        values: their vector.
        index: of a negative output.
        starts: of dependencies: an array, or None for anything else.
    """

    sort: type
    rows: Any = None
    values: PlainVector = None
    index: Any = None
    starts: Any = None


@dataclass(frozen=True, eq=False)
class PlainCertificate:
    """A certificate of parts that run no code; its fields are those of ``Candidate``."""

    kind: Kind | None
    dimension: int | None
    point: PlainVector
    implicit: PlainPart | None
    interior: PlainPart | None
    recession: PlainPart | None
    infeasible: PlainPart | None
    dependencies: PlainPart | None


@dataclass(frozen=True, eq=False)
class PlainVerdict:
    """What is claimed of an input or of an output: copies of these, and None for what is no kind or no dimension."""

    kind: Kind | None
    dimension: int | None
    certificate: PlainCertificate
    x: Any
    y: Any


@dataclass(frozen=True, eq=False)
class PlainSystem:
    """A layer and a domain in arrays, of any shape and any numbers."""

    weight: PlainMatrix
    bias: Any
    injective: Any
    low: Any
    high: Any
    G: PlainMatrix
    h: Any


class Asking:
    """Asks claims; what is one object for several of them is one record for them as well."""

    def __init__(self) -> None:
        # with the objects, so that no other one takes their identity
        self._certificates: dict[int, tuple[Any, PlainCertificate]] = {}
        self._parts: dict[int, tuple[Any, PlainPart]] = {}

    def verdict(self, claim: Claim) -> tuple[PlainVerdict, Any, Any]:
        """What a claim says, and its layer and its domain, which are still anybody's objects."""
        kind, dimension, certificate = claim.kind, claim.dimension, claim.certificate
        layer, domain, x, y = claim.layer, claim.domain, claim.x, claim.y
        said = self._certificate(certificate)
        return PlainVerdict(_kind(kind), _whole_number(dimension), said, _copied(x), _copied(y)), layer, domain

    def _certificate(self, given: Any) -> PlainCertificate:
        known = self._certificates.get(id(given))
        if known is None:
            if type(given) is not Candidate:  # nor a subclass, which could run code of its own
                raise NotProvedError("expected a certificate, got something else")
            parts = [given.implicit, given.interior, given.recession, given.infeasible, given.dependencies]
            kind, dimension, point = given.kind, given.dimension, given.point
            if dimension is not None and _whole_number(dimension) is None:
                raise NotProvedError("the dimension that the certificate names is not a whole number")
            read = [self._part(part) for part in parts]
            known = given, PlainCertificate(_kind(kind), _whole_number(dimension), _vector(point), *read)
            self._certificates[id(given)] = known
        return known[1]

    def _part(self, given: Any) -> PlainPart | None:
        if given is None:
            return None
        known = self._parts.get(id(given))
        if known is None:
            known = self._parts[id(given)] = given, plain_part(given)
        return known[1]


def plain_part(part: Any) -> PlainPart:
    """Read a part of a certificate; each of its fields once."""
    if type(part) is Multipliers:
        return PlainPart(Multipliers, _array_or_none(part.rows), _vector(part.values))
    if type(part) is Direction:
        return PlainPart(Direction, _array_or_none(part.equalities), _vector(part.values))
    if type(part) is Inconsistent:
        return PlainPart(Inconsistent, _array_or_none(part.rows))
    if type(part) is Dependencies:
        starts = _array_or_none(part.starts)
        return PlainPart(Dependencies, _array_or_none(part.rows), _vector(part.values), starts=starts)
    if type(part) is NegativeOutput:
        return PlainPart(NegativeOutput, index=_whole_number(part.index))
    return PlainPart(BoundedDomain if type(part) is BoundedDomain else object)


def ask_system(layer: Any, domain: Any) -> PlainSystem:
    """Read a layer and a domain.

    Raises:
        NotProvedError: they are not made of arrays.
    """
    try:
        weight = plain_matrix(layer.weight)
        bias, injective = plain_array(layer.bias), plain_array(layer.injective)
        written = as_polyhedron(domain, weight.shape[1])
        low, high, h = (plain_array(part) for part in (written.low, written.high, written.h))
        return PlainSystem(weight, bias, injective, low, high, plain_matrix(written.G), h)
    except MalformedMatrixError as error:
        raise NotProvedError(f"a part of the layer or of the domain {error}") from error


def is_whole_number(value: Any) -> bool:
    """Whether this is an integer of Python or of numpy."""
    # exact classes: a subclass of int may convert to another number than it compares as; and by `is`, because a class
    # may compare equal to another
    return any(type(value) is known for known in WHOLE_NUMBERS)


def _whole_number(value: Any) -> int | None:
    return int(value) if is_whole_number(value) else None


def _kind(value: Any) -> Kind | None:
    if type(value) is Kind:
        return value
    return Kind(value) if type(value) is str and value in set(Kind) else None


def _array_or_none(value: Any) -> Any:
    return plain_array(value) if is_array(value) else None


def _vector(value: Any) -> PlainVector:
    if type(value) is not Rational:
        return _array_or_none(value)
    numerators, denominator = value.numerators, value.denominator
    return PlainRational(numerators if type(numerators) is tuple else None, denominator)


def _copied(value: Any) -> Any:
    """A copy of an input or an output: small, and their caller may go on to change them."""
    if value is None:
        return None
    if not is_array(value):
        raise NotProvedError("x or y is no array")
    return np.array(plain_array(value))
