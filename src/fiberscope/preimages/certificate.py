"""Certificates: the data from which a verdict can be proved without trusting whoever found it.

Every question is about rows with intervals, ``lo_i <= R_i x <= hi_i``. For a layer with m units and n inputs, and a
domain ``low <= x <= high, G x <= h``, rows are numbered

=========  ===========
number     row
=========  ===========
i < m      ``a_i x``
m + j      ``x_j``
m + n + k  ``G_k x``
=========  ===========

and every verdict is about two cones ``{d : R_i d = 0 (equal), R_i d <= 0 (upper), R_i d >= 0 (lower)}``: the recession
cone, and the tangent cone at the sample. What each kind needs, and how it is proved, is said in
``docs/certificates.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.compact import NO_BLOCK, block, opened
from fiberscope.preimages.kind import Kind
from fiberscope.showing.shown import Shown

VERSION = 3
"""Of the format; raised when what is written means something else than before."""


@dataclass(frozen=True, repr=False)
class Rational(Shown):
    """A vector of exact rational numbers ``numerators / denominator``."""

    numerators: tuple[int, ...]
    denominator: int

    def __len__(self) -> int:
        return len(self.numerators)

    def _line(self) -> str:
        return f"{len(self)} numbers, a denominator of {self.denominator.bit_length()} bits"


Vector = FloatArray | Rational


@dataclass(frozen=True, eq=False, repr=False)
class Multipliers(Shown):
    """Weights of rows whose combination vanishes, ``sum_i values_i R_rows_i = 0``: the signed rows are implicit.

    Attributes:
        rows: (k,) row numbers. A coordinate row absorbs its column: its weight is what makes the column vanish.
        values: (k,) positive on rows with an upper side only, negative with a lower one only, of any sign on equal
            rows; None where equal rows contradict their sides, by a rank modulo a prime.
        sigma: exceeded by the smallest singular value of the other rows, on the columns that no row absorbs, in the
            units of the scaling. 0 where the combination vanishes exactly.
    """

    rows: IntArray
    values: Vector | None
    sigma: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Independence(Shown):
    """How rows that are not written out are shown to be independent on some columns: eliminated by pairs, in tiles.

    Attributes:
        rows: (h,) the held rows; the first ones have the columns of the same places to themselves.
        columns: (k,) the columns.
        alone: so many rows have a column that no other one reads.
        paired: so many, together with those whose columns the other pairs do not read; each entry is 1 or -1.
        pair_cells: where cells of pairs begin, and where the last one ends; likewise:
        row_cells: of the rows that are left.
        column_cells: of the columns that are left.
    """

    rows: IntArray
    columns: IntArray
    alone: int
    paired: int
    pair_cells: IntArray
    row_cells: IntArray
    column_cells: IntArray


@dataclass(frozen=True, eq=False, repr=False)
class Direction(Shown):
    """A direction that vanishes on the rows ``held``, and is strict on the others of its cone.

    Attributes:
        held: (q,) row numbers; a held coordinate is not moved.
        values: (n,) the direction; of a preimage given by its output, a point.
        sigma: exceeded by the smallest singular value of the rows ``basis`` on the columns that are not held, in the
            units of the scaling. 0 where the direction is exact.
        basis: held rows that all other held ones depend on, by the relations; None for all of them.
        independence: how large sets of rows are shown to be independent; sigma is then of the rows that pairs leave.
    """

    held: IntArray
    values: Vector
    sigma: float = 0.0
    basis: IntArray | None = None
    independence: Independence | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Face(Shown):
    """The smallest face of a cone that holds it all: the rows that vanish on it, and a direction strict on the rest."""

    multipliers: Multipliers | None = None
    direction: Direction | None = None

    def _line(self) -> str:
        parts = [name for name in ("multipliers", "direction") if getattr(self, name) is not None]
        return ", ".join(parts) or "empty"


@dataclass(frozen=True, eq=False, repr=False)
class Relations(Shown):
    """Exact relations ``sum_i values_i R_rows_i = 0`` over ``starts_k <= i < starts_(k+1)``.

    The first row of each appears in no later one, so that they are independent.

    Attributes:
        starts: (k + 1,) where each relation begins, and where the last one ends.
        rows: (z,) numbers of rows of the layer and half-spaces.
        values: (z,) the coefficients.
    """

    starts: IntArray
    rows: IntArray
    values: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Scaling(Shown):
    """Exponents: proofs are in rows ``2**-rows_i R_i`` and coordinates ``2**-columns_j x_j``.

    Attributes:
        rows: (m + q,) of the layer's rows and the half-spaces.
        columns: (n,) of the coordinates.
    """

    rows: IntArray
    columns: IntArray


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Shown):
    """Why a verdict holds. Every part is optional; which are needed depends on the kind.

    Attributes:
        kind: the kind that is proved.
        dimension: the dimension that is proved; -1 for empty, None for undecided. Also None where several samples of
            different dimensions share the certificate: what is proved is then the dimension of each one's verdict.
        tangent: of the cone of directions that stay in the preimage; of a preimage given by its output, of the
            homogenised system.
        recession: of the cone of directions that stay in it for ever.
        basis: independent rows, among which are the sample's equal rows that no relation removes.
        zero: coordinates that equal rows, supported on them, fix at zero.
        counted: coordinates on which fewer rows than there are of them are not zero.
        relations: between rows of the layer and half-spaces, where ranks depend on them.
        scaling: the units that proofs are in.
    """

    kind: Kind
    dimension: int | None
    tangent: Face | None = None
    recession: Face | None = None
    basis: IntArray | None = None
    zero: IntArray | None = None
    counted: IntArray | None = None
    relations: Relations | None = None
    scaling: Scaling | None = None

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Serialise into metadata that JSON can hold and arrays, named by their place: ``tangent.direction.values``."""
        arrays: dict[str, NDArray[Any]] = {}
        metadata = _packed(self, "", arrays)
        return metadata | {"version": VERSION, "kind": str(self.kind)}, arrays

    @classmethod
    def from_arrays(cls, metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Certificate:
        """Rebuild a certificate from ``to_arrays``.

        Raises:
            InputError: the data is not a certificate, or one of another version.
        """
        try:
            if metadata["version"] != VERSION:
                raise InputError("certificate", expected=f"version {VERSION}", got=f"version {metadata['version']}")
            parts: Any = _unpacked(cls, metadata, "", arrays)
            return cls(**parts | {"kind": Kind(metadata["kind"])})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "certificate",
                expected="metadata and arrays as to_arrays wrote them",
                got=f"{type(error).__name__}: {error}",
            ) from error

    def to_bytes(self, *, compact: bool = True) -> bytes:
        """Serialise into one block: the length of the JSON header, the header, the arrays.

        Args:
            compact: whether long arrays take as few bytes as they can; else all take eight bytes a number.
        """
        metadata, arrays = self.to_arrays()
        return block({"certificate": metadata}, arrays, compact=compact)

    @classmethod
    def from_bytes(cls, data: bytes) -> Certificate:
        """Rebuild a certificate from ``to_bytes``.

        Raises:
            InputError: the data is not a certificate.
        """
        try:
            header, arrays, end = opened(data)
            if end != len(data):
                raise ValueError(f"{len(data)} bytes where the header describes {end}")
            metadata = header["certificate"]
        except NO_BLOCK as error:
            raise InputError(
                "certificate", expected="a block of bytes as to_bytes wrote it", got=f"{type(error).__name__}: {error}"
            ) from error
        return cls.from_arrays(metadata, arrays)

    def _line(self) -> str:
        parts = [each.name for each in fields(self) if each.name not in ("kind", "dimension")]
        there = ", ".join(name for name in parts if getattr(self, name) is not None)
        dimension = "" if self.dimension is None else f", dimension {self.dimension}"
        return f"{self.kind}{dimension}{': ' if there else ''}{there}"


_PARTS = (Multipliers, Independence, Direction, Face, Relations, Scaling)


def _packed(part: Any, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The fields of a part: arrays beside, everything else as JSON; None is left out."""
    out: dict[str, Any] = {}
    for field in fields(part):
        name, value = prefix + field.name, getattr(part, field.name)
        match value:
            case None:
                continue
            case np.ndarray():
                arrays[name] = value
            case Rational():  # hexadecimal: decimal strings of this length are slow, and capped, in Python
                out[field.name] = {
                    "numerators": [hex(v) for v in value.numerators],
                    "denominator": hex(value.denominator),
                }
            case int() | float() | str():
                out[field.name] = value
            case _:
                out[field.name] = _packed(value, f"{name}.", arrays)
    return out


def _unpacked(sort: type, data: dict[str, Any], prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, hint in get_type_hints(sort).items():
        place = prefix + name
        value: Any = data.get(name)
        parts = [part for part in get_args(hint) if part in _PARTS]
        if place in arrays:
            out[name] = arrays[place]
        elif parts and value is not None:
            out[name] = parts[0](**_unpacked(parts[0], value, f"{place}.", arrays))
        elif Rational in get_args(hint) and value is not None:
            out[name] = Rational(tuple(int(v, 16) for v in value["numerators"]), int(value["denominator"], 16))
        else:
            out[name] = value
    return out


__all__ = [
    "VERSION",
    "Certificate",
    "Direction",
    "Face",
    "Independence",
    "Multipliers",
    "Rational",
    "Relations",
    "Scaling",
    "Vector",
]
