"""Domains: the polyhedra that a layer's inputs are known to lie in [Remark 3]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.rows import Rows, checked_rows, stacked
from fiberscope.showing.shown import Shown


@dataclass(frozen=True)
class Polyhedron:
    """A domain written out for inputs of dimension n: ``low <= x <= high`` and ``G x <= h``.

    Attributes:
        low: (n,) lower bounds, -inf where there is none.
        high: (n,) upper bounds, +inf where there is none.
        G: (g, n) rows of further half-spaces, an array or compressed sparse rows; g may be 0.
        h: (g,) their right-hand sides.
    """

    low: FloatArray
    high: FloatArray
    G: Rows
    h: FloatArray

    @property
    def dimension(self) -> int:
        """The number of input coordinates n."""
        return self.low.shape[0]

    @property
    def is_box_bounded(self) -> bool:
        """Whether every coordinate has a finite lower and a finite upper bound."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())


@runtime_checkable
class Domain(Protocol):
    """Anything that can write itself out as a polyhedron in n coordinates."""

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the domain out for inputs of dimension ``n``; InputError if it has another dimension."""
        ...


class _Intersecting:
    """Gives every domain the operator ``d1 & d2``."""

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the domain out for inputs of dimension ``n``."""
        raise NotImplementedError

    def __and__(self, other: Domain) -> Intersection:
        return Intersection((self, checked_domain(other)))


@dataclass(frozen=True, eq=False, repr=False)
class Box(_Intersecting, Shown):
    """The box ``low <= x <= high``, coordinate by coordinate.

    Args:
        low: a number for all coordinates, or (n,); -inf for no bound.
        high: a number for all coordinates, or (n,); +inf for no bound.

    Raises:
        InputError: NaN, ``low > high`` somewhere, or shapes that do not agree.
    """

    low: Any
    high: Any

    def __post_init__(self) -> None:
        bounds = [
            as_float64(bound, f"Box {name}", finite=False) for name, bound in (("low", self.low), ("high", self.high))
        ]
        for name, bound in zip(("low", "high"), bounds, strict=True):
            if np.isnan(bound).any() or bound.ndim > 1:
                raise InputError(
                    f"Box {name}",
                    expected="a number or a vector without NaN",
                    got=f"shape {bound.shape}" if bound.ndim > 1 else "NaN",
                    hint="-inf and inf stand for no bound; the coordinates of a picture are taken flat",
                )
        low, high = bounds
        if low.ndim == high.ndim == 1 and low.shape != high.shape:
            raise InputError("Box", expected="low and high of one length", got=f"{low.shape[0]} and {high.shape[0]}")
        if (low > high).any():
            raise InputError(
                "Box",
                expected="low <= high in every coordinate",
                got=_first_crossing(low, high),
                hint="swap the two bounds",
            )
        if (low == np.inf).any() or (high == -np.inf).any():
            hint = "no number is so large; -inf below and inf above stand for no bound"
            raise InputError("Box", expected="low below inf and high above -inf", got="no number between", hint=hint)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the box out for inputs of dimension ``n``."""
        low, high = (_broadcast(bound, n, f"Box {name}") for name, bound in (("low", self.low), ("high", self.high)))
        return Polyhedron(low, high, np.zeros((0, n)), np.zeros(0))

    def _line(self) -> str:
        return f"{_bound(self.low)}, {_bound(self.high)}"


@dataclass(frozen=True, repr=False)
class NonNegative(_Intersecting, Shown):
    """The nonnegative orthant ``x >= 0``: where the inputs of every layer behind a ReLU lie."""

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the orthant out for inputs of dimension ``n``."""
        return Polyhedron(np.zeros(n), np.full(n, np.inf), np.zeros((0, n)), np.zeros(0))


@dataclass(frozen=True, eq=False, repr=False)
class HalfSpaces(_Intersecting, Shown):
    """The polyhedron ``G x <= h``.

    Args:
        G: (g, n) rows, finite: an array, or a sparse matrix of scipy.
        h: (g,) right-hand sides, finite.

    Raises:
        InputError: wrong shapes, NaN or infinities.
    """

    G: Any
    h: Any

    def __post_init__(self) -> None:
        G = checked_rows(self.G, "HalfSpaces G")
        object.__setattr__(self, "G", G)
        object.__setattr__(self, "h", as_float64(self.h, "HalfSpaces h", shape=(G.shape[0],)))

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the half-spaces out; their rows must have ``n`` entries."""
        if self.G.shape[1] != n:
            raise InputError(
                "HalfSpaces G", expected=f"rows of {n} entries, as the layer's input", got=f"{self.G.shape[1]}"
            )
        return Polyhedron(np.full(n, -np.inf), np.full(n, np.inf), self.G, self.h)

    def _line(self) -> str:
        return f"{len(self.h)} in {self.G.shape[1]} coordinates"


@dataclass(frozen=True, eq=False, repr=False)
class Intersection(_Intersecting, Shown):
    """The points that lie in all of several domains; written ``d1 & d2``."""

    parts: tuple[Domain, ...]

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the intersection out: the tighter bounds, and all half-spaces."""
        parts = [part.polyhedron(n) for part in self.parts]
        return Polyhedron(
            np.max([part.low for part in parts], axis=0),
            np.min([part.high for part in parts], axis=0),
            stacked(*(part.G for part in parts)),
            np.concatenate([part.h for part in parts]),
        )

    def _line(self) -> str:
        return " & ".join(map(repr, self.parts))


def _bound(bound: FloatArray) -> str:
    if bound.ndim == 0:
        return f"{float(bound):.10g}"
    return f"{len(bound)} numbers from {bound.min():.4g} to {bound.max():.4g}"


def whole_space(n: int) -> Polyhedron:
    """All of R^n: the polyhedron without constraints."""
    return Polyhedron(np.full(n, -np.inf), np.full(n, np.inf), np.zeros((0, n)), np.zeros(0))


def as_polyhedron(domain: Domain | None, n: int) -> Polyhedron:
    """The polyhedron of ``domain`` in n coordinates; None is all of R^n."""
    return whole_space(n) if domain is None else checked_domain(domain).polyhedron(n)


def checked_domain(value: Any) -> Domain:
    """The value itself if it is a domain; InputError if not."""
    if not isinstance(value, Domain) or isinstance(value, type):
        expected = "Box, NonNegative, HalfSpaces, an intersection of them, or None"
        raise InputError("domain", expected=expected, got=shown(value), hint=_domain_meant(value))
    return value


def _domain_meant(value: Any) -> str:
    """The domain that was probably meant."""
    if isinstance(value, type):
        return "pass an object, such as fiberscope.Box(0, 1)"
    parts: list[Any] = list(cast("list[Any]", value)) if isinstance(value, tuple | list) else []
    if parts and all(isinstance(part, Domain) for part in parts):
        return "join domains with &, as in Box(0, 1) & HalfSpaces(G, h)"
    try:
        bounds = np.asarray(value.split(",") if isinstance(value, str) else value, dtype=np.float64)
    except (TypeError, ValueError):
        bounds = np.zeros(0)
    if bounds.shape == (2,) and bounds[0] <= bounds[1]:
        return f"write fiberscope.Box({bounds[0]:g}, {bounds[1]:g})"
    return "write fiberscope.Box(low, high), such as fiberscope.Box(0, 1)"


def _first_crossing(low: FloatArray, high: FloatArray) -> str:
    """The first coordinate in which the lower bound is above the upper one."""
    j = int(np.argmax(np.atleast_1d(low > high)))
    below, above = (np.atleast_1d(bound) for bound in (low, high))
    where = f" in coordinate {j}" if low.ndim or high.ndim else ""
    return f"low {below[j if low.ndim else 0]:g} above high {above[j if high.ndim else 0]:g}{where}"


def _broadcast(bound: FloatArray, n: int, what: str) -> FloatArray:
    if bound.ndim == 1 and bound.shape[0] != n:
        raise InputError(
            what, expected=f"a number or {n} numbers, as the layer's input", got=f"{bound.shape[0]} numbers"
        )
    return np.broadcast_to(bound, (n,)).copy()


__all__ = ["Box", "Domain", "HalfSpaces", "Intersection", "NonNegative", "Polyhedron", "as_polyhedron", "whole_space"]
