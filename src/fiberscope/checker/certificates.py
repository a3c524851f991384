"""The strict reading of a certificate that nobody vouches for: a block of bytes becomes plain arrays, or no proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np

from fiberscope.checker.arithmetic import Vector
from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, NotProvedError, is_vector, scaled_exactly

VERSION = 3
FORMS = {"<f8": ["<f8"], "<i8": ["<i8"], "<f4": ["<f4"], "<i4": ["<i4"], "set": ["u1"], "sparse": ["<i8", "<f8"]}
"""How an array may be stored; in what types of numbers, one after the other."""
LONGEST = 2**31
"""Numbers of an array: what is to be reserved for more is refused."""
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
        out = cls(np.zeros(len(said.stack), dtype=np.int64), required(said.integers("columns"), "columns"))
        rows = required(said.integers("rows"), "rows")
        if rows.shape != (said.stack.sum(),) or out.columns.shape != said.scaling.columns.shape:
            raise NotProvedError("the scaling has another shape than the system")
        out.rows[said.stack] = rows
        if any(((exponents < -4200) | (exponents > 4200)).any() for exponents in (rows, out.columns)):
            raise NotProvedError("the scaling is out of float64's range")  # by more than that, twice
        return out


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Weights of rows whose combination vanishes; no weights where rows contradict their sides."""

    rows: IntArray
    values: Vector | None
    sigma: float

    @classmethod
    def read(cls, said: Fields) -> Multipliers:
        """Of any rows."""
        rows = required(said.numbers("rows", np.ones_like(said.stack)), "rows")
        return cls(rows, said.vector("values", said.scaling.rows[rows]), said.size("sigma"))


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction, or a point, that vanishes on the rows ``held``."""

    held: IntArray
    values: Vector
    sigma: float
    basis: IntArray | None

    @classmethod
    def read(cls, said: Fields) -> Direction:
        """Of any rows; the basis has no coordinates."""
        held = required(said.numbers("held", np.ones_like(said.stack)), "held")
        values = required(said.vector("values", -said.scaling.columns), "values")
        return cls(held, values, said.size("sigma"), said.numbers("basis", said.stack))


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
        starts, rows = (required(said.integers(name), name) for name in ("starts", "rows"))
        values = said.floats("values", len(rows))
        fits = len(starts) and starts[0] == 0 and starts[-1] == len(rows) and (np.diff(starts) > 0).all()
        if not fits or not named(rows, said.stack):
            raise NotProvedError("relations of rows that are not there")
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
        coordinates = np.ones(len(said.scaling.columns), dtype=np.bool_)
        zero = said.numbers("zero", coordinates)
        return cls(
            kind=str(said.said.get("kind")),
            dimension=said.whole("dimension"),
            tangent=said.part("tangent", Face.read) or Face(),
            recession=said.part("recession", Face.read) or Face(),
            basis=said.numbers("basis", said.stack),
            zero=np.zeros(0, dtype=np.int64) if zero is None else zero,
            counted=said.numbers("counted", coordinates),
            relations=said.part("relations", Relations.read) or Relations(),
            scaling=said.scaling,
        )


class Reader:
    """Reads certificates about systems of one shape: m rows, n coordinates, and q more rows."""

    def __init__(self, m: int, n: int, q: int) -> None:
        self.stack = np.repeat([True, False, True], [m, n, q])
        self.as_given = Scaling(np.zeros(m + n + q, dtype=np.int64), np.zeros(n, dtype=np.int64))

    def read(self, data: bytes) -> Certificate:
        """Read a block as ``docs/certificates.md`` specifies it; garbage may fail in any way."""
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        arrays = _arrays(header["arrays"], data, end)
        return Certificate.read(Fields(header["certificate"], "", arrays, self.stack, self.as_given))


class Fields:
    """The fields of one part: what JSON says, and the arrays under its name.

    Attributes:
        stack: (M,) the rows that are no coordinates.
        scaling: the certificate's.
    """

    def __init__(self, said: Any, prefix: str, arrays: dict[str, Any], stack: BoolArray, scaling: Scaling) -> None:
        self.said, self.prefix, self.arrays, self.stack, self.scaling = said, prefix, arrays, stack, scaling

    def part(self, name: str, read: Callable[[Fields], Part]) -> Part | None:
        """What is read of a part that may be missing."""
        value = self.said.get(name)
        if value is None:
            return None
        return read(Fields(value, f"{self.prefix}{name}.", self.arrays, self.stack, self.scaling))

    def whole(self, name: str) -> int | None:
        """A whole number, or none."""
        value = self.said.get(name)
        if value is not None and type(value) is not int:
            raise NotProvedError(f"{name} is not a whole number")
        return value

    def size(self, name: str) -> float:
        """A number that is at least 0, as it is where it is missing."""
        value = float(self.said.get(name, 0.0))
        if not 0.0 <= value < np.inf:
            raise NotProvedError(f"{name} is not a size")
        return value

    def integers(self, name: str) -> IntArray | None:
        """An array of integers, or none."""
        array = self.arrays.get(self.prefix + name)
        if array is not None and array.dtype != np.int64:
            raise NotProvedError(f"{name} is not a vector of integers")
        return array

    def numbers(self, name: str, among: BoolArray) -> IntArray | None:
        """Distinct numbers of those that may be named."""
        numbers = self.integers(name)
        if numbers is not None and not (named(numbers, among) and (np.bincount(numbers) <= 1).all()):
            raise NotProvedError(f"a number in {name} names nothing, or what it must not, or is named twice")
        return numbers

    def floats(self, name: str, length: int) -> FloatArray:
        """An array of so many floats."""
        array = self.arrays.get(self.prefix + name)
        if array is None or not is_vector(array, length, finite=True):
            raise NotProvedError(f"{name} is not made of {length} finite float64 numbers")
        return array

    def vector(self, name: str, exponents: IntArray) -> Vector | None:
        """``2**e v``, exactly; None where there is none."""
        said, length = self.said.get(name), len(exponents)
        if said is None:
            there = self.prefix + name in self.arrays
            return scaled_exactly(self.floats(name, length), exponents) if there else None
        numerators, denominator = [_integer(v) for v in said["numerators"]], _integer(said["denominator"])
        if len(numerators) != length or not denominator > 0:
            raise NotProvedError(f"{name} is not made of {length} numerators and a positive denominator")
        lowest = min(int(exponents.min(initial=0)), 0)
        return [v << int(e) - lowest for v, e in zip(numerators, exponents, strict=True)], denominator << -lowest


def key_of(part: Any) -> object:
    """What two parts share iff they say the same."""
    if isinstance(part, np.ndarray):
        return part.tobytes()
    if is_dataclass(part):
        return tuple(key_of(getattr(part, field.name)) for field in fields(part))
    return tuple(map(key_of, cast("tuple[Any, ...]", part))) if isinstance(part, tuple) else repr(part)


def named(numbers: IntArray, among: BoolArray) -> bool:
    """Whether these are numbers of those that may be named."""
    inside = not len(numbers) or (numbers.min() >= 0 and numbers.max() < len(among))
    return bool(inside and among[numbers].all())


def required(value: Any, name: str) -> Any:
    """What must be there."""
    if value is None:
        raise NotProvedError(f"{name} is missing")
    return value


def _array(form: str, count: int, read: list[Any]) -> Any:
    """What is stored in one of the forms: numbers, the places of bits that are 1, or the few that are not zero."""
    if form == "set":
        out = np.flatnonzero(np.unpackbits(read[0], bitorder="little"))
        if len(out) != count:
            raise NotProvedError("a set has another number of members than it is said to have")
        return out.astype(np.int64)
    if form == "sparse":
        out = np.zeros(count)
        if not named(read[0], np.ones(count, dtype=np.bool_)) or (np.diff(read[0]) <= 0).any():
            raise NotProvedError("numbers beside zeros stand at no places, or not in order")
        out[read[0]] = read[1]
        return out
    return read[0].astype(np.float64 if form == "<f4" else np.int64) if form in ("<f4", "<i4") else read[0]


def _integer(text: str) -> int:
    if len(text) > MAX_BITS // 4:
        raise NotProvedError(f"a rational number has more than {MAX_BITS} bits, as none that solves a system here")
    return int(text, 16)


def _arrays(layout: dict[str, Any], data: bytes, start: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, (form, (count,)) in layout.items():
        if form not in FORMS or not 0 <= count <= LONGEST:
            raise NotProvedError(f"the certificate has an array of type {form!r} and length {count!r}")
        stored = count
        if form in ("set", "sparse"):  # how many bytes hold the bits, or how many numbers are not zero
            stored = int.from_bytes(data[start : start + 8], "little")
            start += 8
        read: list[Any] = []
        for dtype in FORMS[form]:
            read.append(np.frombuffer(data, dtype=dtype, count=stored, offset=start))
            start += read[-1].nbytes
        out[name] = _array(form, count, read)
    if start != len(data):
        raise NotProvedError("the certificate has another length than its header says")
    return out
