"""Certificates: the data from which a verdict can be proved without trusting whoever found it.

Rows of the mixed system are named by numbers that do not depend on the sample. For a layer with m neurons and n inputs
and a domain ``low <= x <= high, G x <= h``:

=================  ==========================================
number             row
=================  ==========================================
i < m              ``a_i x + b_i`` (= y_i on P, <= 0 on N)
m + j              ``-x_j <= -low_j``
m + n + j          ``x_j <= high_j``
m + 2 n + i        ``G_i x <= h_i``
=================  ==========================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.errors import InputError
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimage.kind import Kind


@dataclass(frozen=True)
class Rational:
    """A vector of exact rational numbers ``numerators / denominator``."""

    numerators: tuple[int, ...]
    denominator: int

    def __len__(self) -> int:
        return len(self.numerators)


Vector = FloatArray | Rational


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Weights of rows whose combination vanishes: ``sum_i values_i row_i = 0``.

    Rows of P may have any sign; on inequality rows the weights are positive.
    """

    rows: IntArray
    values: Vector


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction d in the null space of the rows ``equalities``, which contain P.

    The other inequality rows i satisfy ``a_i d <= 0``; a direction into the relative interior satisfies ``a_i d < 0``.
    A float d stands for the exact direction nearest to it in that null space.
    """

    equalities: IntArray
    values: Vector


@dataclass(frozen=True, eq=False)
class Dependencies:
    """Exact linear relations between rows of the layer, independent of each other: ``D A = 0``.

    Relation k is ``sum_i values_i a_(rows_i) = 0`` over ``starts_k <= i < starts_(k+1)``. They bound ranks from above.

    Attributes:
        starts: (k + 1,) where each relation begins, and where the last one ends.
        rows: (z,) row numbers below m.
        values: (z,) the coefficients.
    """

    starts: IntArray
    rows: IntArray
    values: FloatArray


@dataclass(frozen=True)
class BoundedDomain:
    """The domain bounds every coordinate on both sides, so no preimage in it is unbounded."""


@dataclass(frozen=True)
class NegativeOutput:
    """``y[index] < 0``: no ReLU gives that."""

    index: int


@dataclass(frozen=True, eq=False)
class Inconsistent:
    """Rows of P, more than the coordinates that they read, that are independent together with their right-hand sides.

    A solution x would make the right-hand sides a combination of those coordinates' columns.
    """

    rows: IntArray


@dataclass(frozen=True, eq=False)
class Certificate:
    """Why a verdict holds. Every part is optional; which are needed depends on the kind.

    Attributes:
        kind: the kind that is proved.
        dimension: the dimension that is proved; -1 for empty, None for undecided. Also None where several samples of
            different dimensions share the certificate: what is proved is then the dimension of each one's verdict.
        point: with ``y=``: a point of the preimage, strict on every inequality row outside ``implicit``.
            A float point stands for the exact solution of the equalities nearest to it.
        implicit: positive multipliers on the implicit equalities E (inequality rows that are tight on the whole
            preimage) and multipliers on P: ``A_P^T mu + A_E^T lambda = 0``; None where E is empty.
        interior: with ``x=``: a direction that is zero on P and E, and strictly negative on all other tight rows; rows
            that are not tight may hold it, too.
        recession: for bounded: multipliers with rank n, or the bounded domain; for unbounded: a nonzero direction of
            the recession cone.
        infeasible: for empty: Farkas multipliers whose right-hand sides sum to a negative number, rows of P that no x
            satisfies together, or a negative output.
        dependencies: relations between rows of the layer, where ranks depend on them.
    """

    kind: Kind
    dimension: int | None
    point: Vector | None = None
    implicit: Multipliers | None = None
    interior: Direction | None = None
    recession: Multipliers | Direction | BoundedDomain | None = None
    infeasible: Multipliers | Inconsistent | NegativeOutput | None = None
    dependencies: Dependencies | None = None

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Serialise into metadata that JSON can hold and arrays."""
        arrays: dict[str, NDArray[Any]] = {}
        parts = {name: _pack(name, getattr(self, name), arrays) for name in _PARTS}
        metadata = {"kind": str(self.kind), "dimension": self.dimension}
        return metadata | {name: part for name, part in parts.items() if part is not None}, arrays

    @classmethod
    def from_arrays(cls, metadata: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Certificate:
        """Rebuild a certificate from ``to_arrays``.

        Raises:
            InputError: the data is not a certificate.
        """
        try:
            parts = {name: _unpack(name, metadata[name], arrays) for name in _PARTS if name in metadata}
            return cls(Kind(metadata["kind"]), metadata["dimension"], **parts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                "certificate",
                expected="metadata and arrays as to_arrays wrote them",
                got=f"{type(error).__name__}: {error}",
            ) from error

    def to_bytes(self) -> bytes:
        """Serialise into one block: the length of the JSON header, the header, the arrays."""
        metadata, arrays = self.to_arrays()
        arrays = dict(sorted(arrays.items()))  # the header names them in this order
        layout = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
        header = json.dumps({"certificate": metadata, "arrays": layout}, sort_keys=True).encode()
        return b"".join(
            [len(header).to_bytes(8, "little"), header, *(np.ascontiguousarray(a).tobytes() for a in arrays.values())]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Certificate:
        """Rebuild a certificate from ``to_bytes``.

        Raises:
            InputError: the data is not a certificate.
        """
        try:
            end = 8 + int.from_bytes(data[:8], "little")
            header = json.loads(data[8:end])
            metadata, arrays = header["certificate"], _read_arrays(header["arrays"], data, end)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            raise InputError(
                "certificate", expected="a block of bytes as to_bytes wrote it", got=f"{type(error).__name__}: {error}"
            ) from error
        return cls.from_arrays(metadata, arrays)


_PARTS = ("point", "implicit", "interior", "recession", "infeasible", "dependencies")


def _read_arrays(layout: dict[str, Any], data: bytes, start: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for name, (dtype, shape) in layout.items():
        if dtype not in ("<f8", "<i8"):
            raise ValueError(f"array type {dtype!r}")
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, dtype=dtype, count=count, offset=start).reshape(shape)
        start += 8 * count
    if start != len(data):
        raise ValueError(f"{len(data)} bytes where the header describes {start}")
    return arrays


def _pack(name: str, part: Any, arrays: dict[str, NDArray[Any]]) -> dict[str, Any] | None:
    if part is None:
        return None
    match part:
        case Multipliers():
            arrays[f"{name}.rows"] = part.rows
            return {"type": "multipliers"} | _pack_vector(f"{name}.values", part.values, arrays)
        case Direction():
            arrays[f"{name}.equalities"] = part.equalities
            return {"type": "direction"} | _pack_vector(f"{name}.values", part.values, arrays)
        case BoundedDomain():
            return {"type": "bounded-domain"}
        case Inconsistent():
            arrays[f"{name}.rows"] = part.rows
            return {"type": "inconsistent"}
        case Dependencies():
            arrays |= {f"{name}.starts": part.starts, f"{name}.rows": part.rows, f"{name}.values": part.values}
            return {"type": "dependencies"}
        case NegativeOutput():
            return {"type": "negative-output", "index": part.index}
        case _:
            return {"type": "vector"} | _pack_vector(f"{name}.values", part, arrays)


def _pack_vector(name: str, vector: Vector, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    if isinstance(vector, Rational):  # hexadecimal: decimal strings of this length are slow, and capped, in Python
        return {"numerators": [hex(v) for v in vector.numerators], "denominator": hex(vector.denominator)}
    arrays[name] = vector
    return {}


def _unpack(name: str, part: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
    def vector() -> Vector:
        if "numerators" in part:
            return Rational(tuple(int(v, 16) for v in part["numerators"]), int(part["denominator"], 16))
        return arrays[f"{name}.values"]

    builders: dict[str, Callable[[], Any]] = {
        "multipliers": lambda: Multipliers(arrays[f"{name}.rows"], vector()),
        "direction": lambda: Direction(arrays[f"{name}.equalities"], vector()),
        "bounded-domain": BoundedDomain,
        "inconsistent": lambda: Inconsistent(arrays[f"{name}.rows"]),
        "dependencies": lambda: Dependencies(*(arrays[f"{name}.{field}"] for field in ("starts", "rows", "values"))),
        "negative-output": lambda: NegativeOutput(int(part["index"])),
        "vector": vector,
    }
    return builders[part["type"]]()


__all__ = [
    "BoundedDomain",
    "Certificate",
    "Dependencies",
    "Direction",
    "Inconsistent",
    "Multipliers",
    "NegativeOutput",
    "Rational",
    "Vector",
]
