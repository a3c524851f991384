"""The strict reading of a certificate that nobody vouches for: a block of bytes becomes plain arrays, or no proof."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from fiberscope.checker.arithmetic import Vector
from fiberscope.checker.matrices import FloatArray, IntArray, NotProvedError, scaled_exactly

VERSION = 3
MAX_BITS = 2**21
"""Longer rational numbers are refused, not multiplied: Cramer's rule in a thousand dimensions stays well below this."""


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Weights of rows whose combination vanishes; no weights where rows contradict their sides."""

    rows: IntArray
    values: Vector | None
    sigma: float

    @property
    def key(self) -> object:
        """What two parts share iff they say the same."""
        return _key(self.rows, self.values, self.sigma)


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction, or a point, that vanishes on the rows ``held``."""

    held: IntArray
    values: Vector
    sigma: float
    basis: IntArray | None

    @property
    def key(self) -> object:
        """What two parts share iff they say the same."""
        return _key(self.held, self.values, self.sigma, self.basis)


@dataclass(frozen=True, eq=False)
class Face:
    """What is said of one cone."""

    multipliers: Multipliers | None = None
    direction: Direction | None = None


@dataclass(frozen=True, eq=False)
class Relations:
    """Relations between rows: each a pair of row numbers and coefficients."""

    terms: tuple[tuple[IntArray, FloatArray], ...] = ()

    @property
    def key(self) -> object:
        """What two parts share iff they say the same."""
        return tuple(_key(*term) for term in self.terms)


@dataclass(frozen=True, eq=False)
class Certificate:
    """A certificate about M rows in n coordinates, of which ``bytes`` is all that was read."""

    kind: str
    dimension: int | None
    tangent: Face
    recession: Face
    basis: IntArray | None
    zero: IntArray
    counted: IntArray | None
    relations: Relations
    scaling: tuple[IntArray, IntArray] | None

    def scaled(self, m: int, n: int) -> Certificate:
        """The same parts in scaled rows and coordinates; parts stay the objects they are where nothing is scaled."""
        if self.scaling is None:
            return self
        rows, columns = self.scaling
        by_row = np.concatenate([rows[:m], np.zeros(n, dtype=np.int64), rows[m:]])

        def face(face: Face) -> Face:
            part, lead = face.multipliers, face.direction
            if part is not None and part.values is not None:
                part = replace(part, values=_shifted(part.values, by_row[part.rows]))
            return Face(part, None if lead is None else replace(lead, values=_shifted(lead.values, -columns)))

        terms = tuple((numbers, scaled_exactly(factors, by_row[numbers])) for numbers, factors in self.relations.terms)
        return replace(
            self, tangent=face(self.tangent), recession=face(self.recession), relations=Relations(terms), scaling=None
        )


class Reader:
    """Reads certificates about systems of one shape: m + q rows of numbers, and n coordinates between them."""

    def __init__(self, m: int, n: int, q: int) -> None:
        self.m, self.n, self.q, self.count = m, n, q, m + n + q

    def read(self, data: bytes) -> Certificate:
        """Read a block as ``docs/certificates.md`` specifies it; NotProvedError where it is none."""
        try:
            end = 8 + int.from_bytes(data[:8], "little")
            header = json.loads(data[8:end])
            said, arrays = header["certificate"], _arrays(header["arrays"], data, end)
            return self._certificate(_Part(said, "", arrays))
        except NotProvedError:
            raise
        except Exception as error:  # garbage may fail anywhere
            raise NotProvedError(f"the certificate is malformed: {type(error).__name__}: {error}") from error

    def _certificate(self, said: _Part) -> Certificate:
        if said.value("version") != VERSION:
            raise NotProvedError(f"the certificate is of version {said.value('version')}, this checker reads {VERSION}")
        coordinates = self._numbers(said, "zero", self.n)
        return Certificate(
            str(said.value("kind")),
            said.whole("dimension"),
            self._face(said.part("tangent")),
            self._face(said.part("recession")),
            self._numbers(said, "basis", self.count, stack=True),
            np.zeros(0, dtype=np.int64) if coordinates is None else coordinates,
            self._numbers(said, "counted", self.n),
            self._relations(said.part("relations")),
            self._scaling(said.part("scaling")),
        )

    def _face(self, said: _Part | None) -> Face:
        if said is None:
            return Face()
        multipliers, direction = said.part("multipliers"), said.part("direction")
        return Face(
            None
            if multipliers is None
            else Multipliers(
                numbers := self._required(multipliers, "rows", self.count),
                multipliers.vector("values", len(numbers)),
                multipliers.size("sigma"),
            ),
            None
            if direction is None
            else Direction(
                self._required(direction, "held", self.count),
                _present(direction.vector("values", self.n), "values"),
                direction.size("sigma"),
                self._numbers(direction, "basis", self.count, stack=True),
            ),
        )

    def _relations(self, said: _Part | None) -> Relations:
        if said is None:
            return Relations()
        starts, rows = (_present(said.integers(name), name) for name in ("starts", "rows"))
        values = said.floats("values", len(rows))
        fits = len(starts) and starts[0] == 0 and starts[-1] == len(rows) and (np.diff(starts) > 0).all()
        if not fits or ((rows < 0) | (rows >= self.count) | ((rows >= self.m) & (rows < self.m + self.n))).any():
            raise NotProvedError("relations of rows that are not there")
        spans = [slice(a, b) for a, b in pairwise(starts.tolist())]
        terms = tuple((rows[span], values[span]) for span in spans)
        seen: set[int] = set()
        for numbers, _ in reversed(terms):
            if int(numbers[0]) in seen or len(set(numbers.tolist())) != len(numbers):
                raise NotProvedError("the first row of a relation appears in a later one, or a row twice")
            seen.update(numbers.tolist())
        if any(factors[0] == 0 for _, factors in terms):
            raise NotProvedError("the first row of a relation counts nothing in it")
        return Relations(terms)

    def _scaling(self, said: _Part | None) -> tuple[IntArray, IntArray] | None:
        if said is None:
            return None
        rows, columns = (_present(said.integers(name), name) for name in ("rows", "columns"))
        if rows.shape != (self.m + self.q,) or columns.shape != (self.n,):
            raise NotProvedError("the scaling has another shape than the system")
        exponents = np.concatenate([rows, columns])
        if ((exponents < -4200) | (exponents > 4200)).any():  # more than float64 has, twice
            raise NotProvedError("the scaling is out of float64's range")
        return rows, columns

    def _required(self, said: _Part, name: str, most: int) -> IntArray:
        return _present(self._numbers(said, name, most), name)

    def _numbers(self, said: _Part, name: str, most: int, *, stack: bool = False) -> IntArray | None:
        """Distinct numbers below a limit; of the stack, which has no rows of coordinates, where that is asked."""
        numbers = said.integers(name)
        if numbers is None or not len(numbers):
            return numbers
        if numbers.min() < 0 or numbers.max() >= most or (np.bincount(numbers) > 1).any():
            raise NotProvedError(f"a number in {name} names nothing, or is named twice")
        if stack and ((numbers >= self.m) & (numbers < self.m + self.n)).any():
            raise NotProvedError(f"a number in {name} names a coordinate")
        return numbers


class _Part:
    """The fields of one part: what JSON says, and the arrays under its name."""

    def __init__(self, said: dict[str, Any], prefix: str, arrays: dict[str, Any]) -> None:
        if not isinstance(said, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - it comes from JSON
            raise NotProvedError("a part of the certificate is none")
        self.said, self.prefix, self.arrays = said, prefix, arrays

    def part(self, name: str) -> _Part | None:
        value = self.said.get(name)
        return None if value is None else _Part(value, f"{self.prefix}{name}.", self.arrays)

    def value(self, name: str) -> Any:
        return self.said.get(name)

    def whole(self, name: str) -> int | None:
        value = self.said.get(name)
        if value is not None and type(value) is not int:
            raise NotProvedError(f"{name} is not a whole number")
        return value

    def size(self, name: str) -> float:
        value = float(self.said.get(name, 0.0))
        if not 0.0 <= value < np.inf:
            raise NotProvedError(f"{name} is not a size")
        return value

    def integers(self, name: str) -> IntArray | None:
        array = self.arrays.get(self.prefix + name)
        if array is not None and (array.dtype != np.int64 or array.ndim != 1):
            raise NotProvedError(f"{name} is not a vector of integers")
        return array

    def floats(self, name: str, length: int) -> FloatArray:
        array = self.arrays.get(self.prefix + name)
        if array is None or array.dtype != np.float64 or array.shape != (length,) or not np.isfinite(array).all():
            raise NotProvedError(f"{name} is not made of {length} finite float64 numbers")
        return array

    def vector(self, name: str, length: int) -> Vector | None:
        said = self.said.get(name)
        if said is None:
            return self.floats(name, length) if self.prefix + name in self.arrays else None
        numerators, denominator = [_integer(v) for v in said["numerators"]], _integer(said["denominator"])
        if len(numerators) != length or not denominator > 0:
            raise NotProvedError(f"{name} is not made of {length} numerators and a positive denominator")
        return numerators, denominator


def _key(*values: Any) -> object:
    return tuple(value.tobytes() if isinstance(value, np.ndarray) else repr(value) for value in values)


def _shifted(vector: Vector, exponents: IntArray) -> Vector:
    """``2**e v``, exactly."""
    if not isinstance(vector, tuple):
        return scaled_exactly(vector, exponents)
    numerators, denominator = vector
    lowest = min(int(exponents.min(initial=0)), 0)
    return [v << int(e) - lowest for v, e in zip(numerators, exponents, strict=True)], denominator << -lowest


def _integer(text: str) -> int:
    if len(text) > MAX_BITS // 4:
        raise NotProvedError(
            f"a rational number of more than {MAX_BITS} bits: longer than any that solves a system here"
        )
    return int(text, 16)


def _present(value: Any, name: str) -> Any:
    if value is None:
        raise NotProvedError(f"{name} is missing")
    return value


def _arrays(layout: dict[str, Any], data: bytes, start: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, (dtype, shape) in layout.items():
        if dtype not in ("<f8", "<i8"):
            raise NotProvedError(f"the certificate has an array of type {dtype!r}")
        count = int(np.prod(shape, dtype=np.int64))
        if count < 0:
            raise NotProvedError(f"the certificate has an array of shape {shape!r}")
        out[name] = np.frombuffer(data, dtype=dtype, count=count, offset=start).reshape(shape)
        start += 8 * count
    if start != len(data):
        raise NotProvedError("the certificate has another length than its header says")
    return out
