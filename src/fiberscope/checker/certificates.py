"""The strict reading of a certificate that nobody vouches for: a block of bytes becomes plain arrays, or no proof.

Certificates number coordinates before half-spaces; what is read numbers rows as ``checker.system`` does. Arrays are
read as they are, in eight bytes a number: other forms, in which long ones are stored, are undone before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np

from fiberscope.checker.matrices import FloatArray, IntArray, NotProvedError, Vector, are_floats, scaled_exactly

VERSION = 3
MAX_BITS = 2**21
"""Longer rational numbers are refused, not multiplied: Cramer's rule in a thousand dimensions stays well below this."""

Part = TypeVar("Part")


@dataclass(frozen=True, eq=False)
class Scaling:
    """Exponents: proofs are in rows ``2**-rows_i R_i`` and coordinates ``2**-columns_j x_j``; zeros where none are.

    Attributes:
        rows: (M,) of all rows; 0 of coordinates' rows, which are their own units.
        columns: (n,) of the coordinates.
    """

    rows: IntArray
    columns: IntArray

    @classmethod
    def read(cls, said: Fields) -> Scaling:
        """Of the layer's rows and then the half-spaces, and of coordinates."""
        (m, n, q), rows, columns = said.shape, *(required(said.integers(name), name) for name in ("rows", "columns"))
        if rows.shape != (m + q,) or columns.shape != (n,):
            raise NotProvedError("the scaling has another shape than the system")
        if any(((exponents < -4200) | (exponents > 4200)).any() for exponents in (rows, columns)):
            raise NotProvedError("the scaling is out of float64's range")  # by more than that, twice
        return cls(np.append(rows, np.zeros_like(columns)), columns)


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Weights of rows whose combination vanishes; no weights where rows contradict their sides."""

    rows: IntArray
    values: Vector | None
    sigma: float

    @classmethod
    def read(cls, said: Fields) -> Multipliers:
        """Of any rows."""
        rows = required(said.rows("rows"), "rows")
        return cls(rows, said.vector("values", said.scaling.rows[rows])[0], said.size("sigma"))


@dataclass(frozen=True, eq=False)
class Independence:
    """How held rows are shown to be independent on some columns, in tiles: see ``checker.independence``.

    Attributes:
        rows: (h,) the first of which have the columns of the same places to themselves.
        columns: (k,) distinct.
        alone: so many that are set aside.
        paired: so many together with the pairs.
        pair_cells: where cells of pairs begin, and where the last one ends; likewise:
        row_cells: of the rows that are left.
        column_cells: of the columns that are.
    """

    rows: IntArray
    columns: IntArray
    alone: int
    paired: int
    pair_cells: IntArray
    row_cells: IntArray
    column_cells: IntArray

    @classmethod
    def read(cls, said: Fields) -> Independence:
        """Of rows of the stack, and coordinates."""
        rows = required(said.rows("rows", coordinates=False), "rows")
        columns = required(said.numbers("columns"), "columns")
        alone, paired = said.said["alone"], said.said["paired"]
        counts = {"pair_cells": paired - alone, "row_cells": len(rows) - paired, "column_cells": len(columns) - paired}
        return cls(rows, columns, alone, paired, *(said.starts(name, count) for name, count in counts.items()))


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction, or a point over a denominator, that vanishes on the rows ``held``."""

    held: IntArray
    values: Vector
    denominator: int
    sigma: float
    basis: IntArray | None
    independence: Independence | None

    @property
    def point(self) -> Vector:
        """The point that is meant: where numbers are rational, the values are its numerators."""
        return self.values * Fraction(1, self.denominator) if self.values.dtype == object else self.values

    @classmethod
    def read(cls, said: Fields) -> Direction:
        """Of any rows; the basis has no coordinates."""
        values, denominator = said.vector("values", -said.scaling.columns)
        basis = said.rows("basis", coordinates=False)
        held, values = required(said.rows("held"), "held"), required(values, "values")
        independence = said.part("independence", Independence.read)
        return cls(held, values, denominator, said.size("sigma"), basis, independence)


@dataclass(frozen=True, eq=False)
class Face:
    """What is said of one cone."""

    multipliers: Multipliers | None = None
    direction: Direction | None = None

    @classmethod
    def read(cls, said: Fields) -> Face:
        """Of which each part may be missing."""
        return cls(said.part("multipliers", Multipliers.read), said.part("direction", Direction.read))


@dataclass(frozen=True, eq=False)
class Relations:
    """Relations between rows: each a pair of row numbers and coefficients."""

    terms: tuple[tuple[IntArray, FloatArray], ...] = ()

    @classmethod
    def read(cls, said: Fields) -> Relations:
        """Relations that are independent: the first row of each appears in no later one."""
        rows = required(said.integers("rows"), "rows")
        starts, values = said.starts("starts", len(rows)), said.floats("values", len(rows))
        rows = said.renumbered(rows, coordinates=False)
        values = scaled_exactly(values, said.scaling.rows[rows])
        terms = tuple((rows[start:stop], values[start:stop]) for start, stop in pairwise(starts.tolist()))
        seen: set[int] = set()
        for numbers, factors in reversed(terms):
            if int(numbers[0]) in seen or factors[0] == 0 or len(set(numbers.tolist())) != len(numbers):
                raise NotProvedError(
                    "the first row of a relation appears in a later one or counts nothing, or one twice"
                )
            seen.update(numbers.tolist())
        return cls(terms)


@dataclass(frozen=True, eq=False)
class Certificate:
    """A certificate about M rows in n coordinates, of which bytes are all that was read; in the units of its scaling.

    Where that would change a number there is no proof.
    """

    kind: str
    dimension: int | None
    tangent: Face
    recession: Face
    basis: IntArray | None
    zero: IntArray
    counted: IntArray | None
    relations: Relations
    scaling: Scaling

    @classmethod
    def read(cls, said: Fields) -> Certificate:
        """What is not there is none."""
        if (version := said.said.get("version")) != VERSION:
            raise NotProvedError(f"the certificate is of version {version}, this checker reads {VERSION}")
        said.scaling = said.part("scaling", Scaling.read) or said.scaling
        zero = said.numbers("zero")
        return cls(
            kind=str(said.said.get("kind")),
            dimension=said.said.get("dimension"),
            tangent=said.part("tangent", Face.read) or Face(),
            recession=said.part("recession", Face.read) or Face(),
            basis=said.rows("basis", coordinates=False),
            zero=np.zeros(0, dtype=np.int64) if zero is None else zero,
            counted=said.numbers("counted"),
            relations=said.part("relations", Relations.read) or Relations(),
            scaling=said.scaling,
        )


class Reader:
    """Reads certificates about systems of one shape: m rows, n coordinates, and q more rows."""

    def __init__(self, m: int, n: int, q: int) -> None:
        self.shape = m, n, q
        self.as_given = Scaling(np.zeros(m + n + q, dtype=np.int64), np.zeros(n, dtype=np.int64))

    def read(self, data: bytes) -> Certificate:
        """Read a block as ``docs/certificates.md`` specifies it; garbage may fail in any way."""
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        arrays = _arrays(header["arrays"], data, end)
        return Certificate.read(Fields(header["certificate"], "", arrays, self.shape, self.as_given))


class Fields:
    """The fields of one part: what JSON says, and the arrays under its name.

    Attributes:
        shape: m, n and q.
        scaling: the certificate's.
    """

    def __init__(
        self, said: Any, prefix: str, arrays: dict[str, Any], shape: tuple[int, int, int], scaling: Scaling
    ) -> None:
        self.said, self.prefix, self.arrays, self.shape, self.scaling = said, prefix, arrays, shape, scaling

    def part(self, name: str, read: Callable[[Fields], Part]) -> Part | None:
        """What is read of a part that may be missing."""
        value = self.said.get(name)
        if value is None:
            return None
        return read(Fields(value, f"{self.prefix}{name}.", self.arrays, self.shape, self.scaling))

    def size(self, name: str) -> float:
        """A number that is at least 0, as it is where it is missing."""
        value = float(self.said.get(name, 0.0))
        if not 0.0 <= value < np.inf:
            raise NotProvedError(f"{name} is not a size")
        return value

    def integers(self, name: str) -> IntArray | None:
        """An array, or none; floats are none that anything can be numbered by, and lead to an error."""
        return self.arrays.get(self.prefix + name)

    def numbers(self, name: str, count: int | None = None) -> IntArray | None:
        """Distinct numbers below a count, of coordinates by default."""
        numbers, count = self.integers(name), count or self.shape[1]
        if numbers is not None and not (below(numbers, count) and np.bincount(numbers).max(initial=0) <= 1):
            raise NotProvedError(f"a number in {name} names nothing, or is named twice")
        return numbers

    def rows(self, name: str, *, coordinates: bool = True) -> IntArray | None:
        """Distinct rows, coordinates' only where they may be named."""
        numbers = self.numbers(name, sum(self.shape))
        return None if numbers is None else self.renumbered(numbers, coordinates=coordinates)

    def starts(self, name: str, count: int) -> IntArray:
        """Where parts of so many things begin, one after the other, and where the last one ends."""
        starts = required(self.integers(name), name)
        if not (len(starts) and starts[0] == 0 and starts[-1] == count and (np.diff(starts) > 0).all()):
            raise NotProvedError(f"the parts that {name} names do not follow each other")
        return starts

    def renumbered(self, numbers: IntArray, *, coordinates: bool) -> IntArray:
        """Rows by the numbers of ``checker.system``."""
        m, n, q = self.shape
        if not below(numbers, m + n + q) or not (coordinates or ((numbers < m) | (numbers >= m + n)).all()):
            raise NotProvedError("rows are named that are not there, or must not be")
        return numbers + np.where(numbers < m, 0, np.where(numbers < m + n, q, -n)) if q else numbers

    def floats(self, name: str, length: int) -> FloatArray:
        """An array of so many floats."""
        array = self.arrays.get(self.prefix + name)
        if array is None or not are_floats(array, length, finite=True):
            raise NotProvedError(f"{name} is not made of {length} finite float64 numbers")
        return array

    def vector(self, name: str, exponents: IntArray) -> tuple[Vector | None, int]:
        """``2**e v``, exactly: floats, or numerators; and a denominator above 0. None where there is no v."""
        said, length = self.said.get(name), len(exponents)
        if said is None:
            there = self.prefix + name in self.arrays
            return scaled_exactly(self.floats(name, length), exponents) if there else None, 1
        numerators, denominator = [_integer(v) for v in said["numerators"]], _integer(said["denominator"])
        if len(numerators) != length or not denominator > 0:
            raise NotProvedError(f"{name} is not made of {length} numerators and a positive denominator")
        lowest = min(int(exponents.min(initial=0)), 0)
        whole = [v << int(e) - lowest for v, e in zip(numerators, exponents, strict=True)]
        return np.array([*whole, None], dtype=object)[:-1], denominator << -lowest  # None: numpy looks for no type


def key_of(part: Any) -> object:
    """What two parts share iff they say the same."""
    if isinstance(part, np.ndarray):
        return tuple(part.tolist()) if part.dtype == object else part.tobytes()
    if is_dataclass(part):
        return tuple(key_of(getattr(part, field.name)) for field in fields(part))
    return tuple(map(key_of, cast("tuple[Any, ...]", part))) if isinstance(part, tuple) else part


def below(numbers: IntArray, count: int) -> bool:
    """Whether these are numbers of so many."""
    return bool(numbers.min(initial=0) >= 0 and numbers.max(initial=-1) < count)


def required(value: Any, name: str) -> Any:
    """What must be there."""
    if value is None:
        raise NotProvedError(f"{name} is missing")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_BITS // 4:
        raise NotProvedError(f"a rational number has more than {MAX_BITS} bits, as none that solves a system here")
    return int(text, 16)


def _arrays(layout: dict[str, Any], data: bytes, start: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, (form, (count,)) in layout.items():
        if form not in ("<f8", "<i8") or count < 0:
            raise NotProvedError(f"the certificate has an array of type {form!r} and length {count!r}")
        out[name] = np.frombuffer(data, dtype=form, count=count, offset=start)
        start += out[name].nbytes
    if start != len(data):
        raise NotProvedError("the certificate has another length than its header says")
    return out
