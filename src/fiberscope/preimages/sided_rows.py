"""The rows of a question with their sides, and the two cones that they make at a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, stacked
from fiberscope.preimages.bitsets import Bitsets
from fiberscope.preimages.patterns import Patterns
from fiberscope.preimages.sides import Outputs
from fiberscope.preimages.system import NO_ROWS, MixedSystem

BLOCK = 256
"""Samples whose sides are written out at once."""


@dataclass(frozen=True, eq=False)
class Numbering:
    """Rows of a layer and of a domain by the numbers of certificates.

    Attributes:
        body: (m + q, n) the layer's rows, and the half-spaces below them.
        layer: the layer.
        domain: the domain, written out.
    """

    body: Rows
    layer: ReLULayer
    domain: Polyhedron

    @classmethod
    def of(cls, layer: ReLULayer, domain: Polyhedron) -> Numbering:
        """The rows of a layer and of a domain."""
        return cls(stacked(layer.weight, domain.G) if len(domain.h) else layer.weight, layer, domain)

    @property
    def m(self) -> int:
        """The number of rows of the layer."""
        return self.layer.outputs

    @property
    def n(self) -> int:
        """The number of coordinates."""
        return self.layer.inputs

    @property
    def count(self) -> int:
        """The number of all rows."""
        return self.m + self.n + len(self.domain.h)

    def split(self, numbers: Int64[IntArray, " k"]) -> tuple[IntArray, IntArray]:
        """The rows of the body that are among these, by their places there; and the coordinates."""
        is_coordinate = (numbers >= self.m) & (numbers < self.m + self.n)
        others = numbers[~is_coordinate]
        return np.where(others < self.m, others, others - self.n), numbers[is_coordinate] - self.m

    def numbered(self, places: Int64[IntArray, " k"]) -> Int64[IntArray, " k"]:
        """The numbers of rows of the body."""
        return np.where(places < self.m, places, places + self.n)

    def renumbered(self, old: Int64[IntArray, " k"]) -> tuple[Int64[IntArray, " k"], Int64[IntArray, " k"]]:
        """The numbers of rows that a candidate names, and on which side they lie: 1 above, -1 below."""
        m, n, q = self.m, self.n, len(self.domain.h)
        starts = np.array([m, m + n, m + 2 * n, m + 2 * n + q])
        block = np.searchsorted(starts, old, side="right")
        shift = np.array([0, 0, n, n, m + 2 * n + q])[block]
        return old - shift, np.array([1, -1, 1, 1, -1])[block]


@dataclass(frozen=True, eq=False)
class Cone:
    """Directions d with ``R_i d = 0`` on equal rows, ``<= 0`` on upper ones, ``>= 0`` on lower ones; (M,) each."""

    equal: BoolArray
    upper: BoolArray
    lower: BoolArray

    @property
    def one_sided(self) -> Bool[BoolArray, " M"]:
        """The rows on which directions may be strict."""
        return (self.upper | self.lower) & ~self.equal


@dataclass(frozen=True, eq=False)
class Sides:
    """``lo <= R x <= hi`` at a sample.

    Attributes:
        low: (M,) which rows have a lower side.
        high: (M,) which have an upper one.
        equal: (M,) on which both are one number.
        at_low: (M,) which are known to lie at their lower side.
        at_high: (M,) which are known to lie at their upper side.
    """

    low: BoolArray
    high: BoolArray
    equal: BoolArray
    at_low: BoolArray
    at_high: BoolArray

    @classmethod
    def of(cls, system: MixedSystem, rows: Numbering) -> Sides:
        """Those of a question."""
        sides = np.zeros((5, rows.count), dtype=np.bool_)
        low, high, equal, at_low, at_high = sides
        for numbers, below, above in ((system.inequalities, low, high), (system.tight, at_low, at_high)):
            places, side = rows.renumbered(numbers)
            below[places[side < 0]] = True
            above[places[side > 0]] = True
        sides[:3, system.positive] = True
        equal[rows.m : rows.m + rows.n] = rows.domain.low == rows.domain.high
        return cls(*sides)

    @classmethod
    def of_many(cls, patterns: Patterns, rows: Numbering, samples: Int64[IntArray, " N"]) -> Iterator[Sides]:
        """Those of some samples, one after the other."""
        m, n = rows.m, rows.n
        for start in range(0, len(samples), BLOCK):
            some = samples[start : start + BLOCK]

            def written(part: Bitsets | None, some: IntArray = some) -> BoolArray:
                return np.zeros((len(some), 1), dtype=np.bool_) if part is None else part.chosen(some).matrix()

            equal, far = written(patterns.positive)[:, :m], written(patterns.at_infinity)[:, :m]
            upper = ~far if patterns.upper is None else written(patterns.upper)[:, :m]
            at_upper, at_low, at_high, half = np.split(written(patterns.tight), [m, m + n, m + 2 * n], axis=1)
            units = far | written(patterns.lower)[:, :m], far | upper, equal
            at_lower = np.broadcast_to(written(patterns.tight_lower)[:, :m], equal.shape)
            block = _joined(rows.domain, units, (at_lower, at_low), (at_upper, at_high, half))
            for k in range(len(some)):
                yield cls(*(getattr(block, part.name)[k] for part in fields(cls)))

    @property
    def tangent(self) -> Cone:
        """The directions that stay in the preimage."""
        return Cone(self.equal, self.at_high & ~self.equal, self.at_low & ~self.equal)

    @property
    def recession(self) -> Cone:
        """The directions that stay in it for ever."""
        both = self.low & self.high
        return Cone(both, self.high & ~both, self.low & ~both)

    @property
    def homogeneous(self) -> Cone:
        """The directions of the system with one more column, which stands for 1."""
        return Cone(self.equal, self.high & ~self.equal, self.low & ~self.equal)


def _joined(
    domain: Polyhedron,
    units: tuple[BoolArray, BoolArray, BoolArray],
    at_low: tuple[BoolArray, BoolArray],
    at_high: tuple[BoolArray, BoolArray, BoolArray],
) -> Sides:
    """The sides of units (low, high, equal) and of the domain, and which hold with equality; of many along axis 0."""
    none = np.zeros(len(domain.h), dtype=np.bool_)
    low, high, equal = (
        np.concatenate([part, *(np.broadcast_to(more, (*part.shape[:-1], len(more))) for more in beside)], axis=-1)
        for part, *beside in (
            (units[0], np.isfinite(domain.low), none),
            (units[1], np.isfinite(domain.high), ~none),
            (units[2], domain.low == domain.high, none),
        )
    )
    nowhere = np.zeros_like(at_high[2])
    return Sides(low, high, equal, np.concatenate([*at_low, nowhere], axis=-1), np.concatenate(at_high, axis=-1))


@dataclass(frozen=True, eq=False)
class Ends:
    """The numbers ``lo`` and ``hi`` of all rows where an output is given, rounded; infinite where a side is missing."""

    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, rows: Numbering, sides: Sides, outputs: Outputs) -> Ends:
        """Those of what is known of an output."""
        domain, bias, m = rows.domain, rows.layer.bias, rows.m
        below, above = np.broadcast_to(outputs.within, (2, m))
        low = np.where(sides.low[:m], outputs.low - below - bias, -np.inf)
        high = np.where(sides.high[:m], outputs.high + above - bias, np.inf)
        nothing = np.full(len(domain.h), -np.inf)
        return cls(np.concatenate([low, domain.low, nothing]), np.concatenate([high, domain.high, domain.h]))


__all__ = ["NO_ROWS", "Cone", "Ends", "Numbering", "Sides"]
