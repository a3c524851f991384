"""Claims in plain numbers for the checker, written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fiberscope.checker.radius import measure
from fiberscope.checker.verdicts import Claim, System, prove
from fiberscope.preimages.certificate import (
    Certificate,
    Direction,
    Face,
    Multipliers,
    Rational,
    Relations,
    Scaling,
)
from fiberscope.preimages.kind import Kind

Array = np.ndarray[Any, Any]
DIMENSIONS = {"empty": (-1, -1), "singleton": (0, 0), "bounded": (1, 2**62), "unbounded": (1, 2**62)}
"""What each kind says of the dimension."""


def floats(values: Any) -> Array:
    return np.array(values, dtype=np.float64)


def numbers(values: Any) -> Array:
    return np.array(values, dtype=np.int64)


def system(
    weight: Any,
    bias: Any = None,
    *,
    low: Any = 0.0,
    high: Any = np.inf,
    box: tuple[Any, Any] = (-np.inf, np.inf),
    G: Any = None,
    h: Any = (),
    sparse: bool = False,
) -> System:
    """A layer and its domain; scalars stand for all units or coordinates."""
    A = floats(weight)
    m, n = A.shape
    matrices = A, np.zeros((0, n)) if G is None else floats(G)
    return System(
        *(csr_array(matrices[0]) if sparse else matrices[0], np.zeros(m) if bias is None else floats(bias)),
        *(np.broadcast_to(floats(bound), m).copy() for bound in (low, high)),
        *(np.broadcast_to(floats(bound), n).copy() for bound in box),
        csr_array(matrices[1]) if sparse else matrices[1],
        floats(h),
    )


def multipliers(rows: Any, values: Any, sigma: float = 0.0) -> Multipliers:
    return Multipliers(numbers(rows), _vector(values), sigma)


def direction(held: Any, values: Any, sigma: float = 0.0, basis: Any = None) -> Direction:
    return Direction(numbers(held), _vector(values), sigma, None if basis is None else numbers(basis))


def relations(*terms: tuple[Any, Any]) -> Relations:
    """Each a pair of row numbers and coefficients."""
    starts = np.cumsum([0, *(len(rows) for rows, _ in terms)])
    rows = [row for term, _ in terms for row in term]
    return Relations(numbers(starts), numbers(rows), floats([v for _, values in terms for v in values]))


def scaling(rows: Any, columns: Any) -> Scaling:
    return Scaling(numbers(rows), numbers(columns))


def certificate(kind: str, dimension: int | None = None, **parts: Any) -> Certificate:
    """A certificate; lists of numbers stand for row numbers, faces are written ``(multipliers, direction)``."""
    for name in ("tangent", "recession"):
        if isinstance(parts.get(name), tuple):
            parts[name] = Face(*parts[name])
    for name in ("basis", "zero", "counted"):
        if parts.get(name) is not None:
            parts[name] = numbers(parts[name])
    return Certificate(Kind(kind), dimension, **parts)


def claim(
    kind: str,
    dimension: int | None,
    written: Certificate | bytes,
    *,
    x: Any = None,
    y: Any = None,
    within: Any = 0.0,
    bounds: tuple[int, int] | None = None,
    m: int | None = None,
) -> Claim:
    """A claim; y may be a pair of vectors, between which the output lies, and within one: below and above."""
    output = None if y is None else floats(y if isinstance(y, tuple) else (y, y))
    m = m or (output.shape[1] if output is not None else None)
    assert m is not None, "of a claim about an input, m has to be said"
    data = written if isinstance(written, bytes) else written.to_bytes()
    precision = np.broadcast_to(floats(within), (2, m)).copy()
    said = (dimension, dimension) if dimension is not None else bounds or DIMENSIONS[kind]
    return Claim(None if x is None else floats(x), output, precision, kind, said, data)


def proved(about: System, said: Claim) -> tuple[bool, bool]:
    """Whether a claim is proved in floats, and whether it is in rational numbers."""
    return prove(about, [said]) == [""], prove(about, [said], exact=True) == [""]


def radius(about: System, said: Claim, center: Any) -> float:
    """How far a claim proves that its preimage reaches at most from a center."""
    attempts = [measure(about, [said], [floats(center)], exact=exact)[0] for exact in (False, True)]
    return next((size for reason, size in attempts if not reason), np.inf)


def _vector(values: Any) -> Any:
    """Floats; a pair of a list and a denominator is rational; None is none."""
    if values is None:
        return None
    return Rational(tuple(values[0]), values[1]) if isinstance(values, tuple) else floats(values)


__all__ = [
    "DIMENSIONS",
    "Array",
    "certificate",
    "claim",
    "direction",
    "floats",
    "multipliers",
    "numbers",
    "proved",
    "radius",
    "relations",
    "scaling",
    "system",
]
