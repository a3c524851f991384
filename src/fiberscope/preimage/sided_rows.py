"""The rows of a question with their sides, and the two cones that they make at a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, written_out
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, stacked
from fiberscope.network.signs import exact_signs_of_many
from fiberscope.preimage import sides
from fiberscope.preimage.interval import Interval

NO_ROWS = np.zeros(0, dtype=np.int64)


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
    def of(cls, layer: ReLULayer, domain: Domain | None) -> Numbering:
        """The rows of a layer and of a domain."""
        polyhedron = written_out(domain, layer.inputs)
        body = stacked(layer.weight, polyhedron.G) if len(polyhedron.h) else layer.weight
        return cls(body, layer, polyhedron)

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


def sides_at_input(rows: Numbering, x: Float64[FloatArray, " n"], within: FloatArray | float = 0.0) -> Sides:
    """The sides of all rows where the output at x is meant; tight rows are settled exactly."""
    return sides_at_inputs(rows, x[None], [within])[0]


def sides_at_inputs(
    rows: Numbering, X: Float64[FloatArray, "N n"], within: Sequence[FloatArray | float]
) -> list[Sides]:
    """The same at N samples, each with a precision of its own."""
    layer, domain = rows.layer, rows.domain
    units = sides.sides_at_inputs(layer, X, np.stack([_by_unit(layer, each) for each in within]))
    half = exact_signs_of_many(domain.G, X, -domain.h)
    at = [(x == domain.low, x == domain.high, half[k] == 0) for k, x in enumerate(X)]
    return [_joined(domain, units.of(k), *tight) for k, tight in enumerate(at)]


def sides_at_output(
    rows: Numbering, y: FloatArray | Interval, within: FloatArray | float
) -> tuple[Sides, FloatArray, FloatArray]:
    """The sides of all rows where the output is given; and the numbers lo and hi, rounded."""
    layer, domain, slack = rows.layer, rows.domain, _by_unit(rows.layer, within)
    below, above = slack
    given = (y.low, y.high) if isinstance(y, Interval) else (y, y)
    u, v = (np.array(np.broadcast_to(side, (layer.outputs,))) for side in given)
    units = sides.sides_of_outputs(layer, sides.Outputs(u, v, slack))
    nowhere = np.zeros(rows.n, dtype=np.bool_)
    joined = _joined(domain, units, nowhere, nowhere, np.zeros(len(domain.h), dtype=np.bool_))
    low, high = joined.low[: rows.m], joined.high[: rows.m]
    none = np.full(len(domain.h), -np.inf)
    lo = np.concatenate([np.where(low, u - below - layer.bias, -np.inf), domain.low, none])
    hi = np.concatenate([np.where(high, v + above - layer.bias, np.inf), domain.high, domain.h])
    return joined, lo, hi


def _by_unit(layer: ReLULayer, within: FloatArray | float) -> Float64[FloatArray, "2 m"]:
    return np.broadcast_to(np.asarray(within, dtype=np.float64), (2, layer.outputs))


def _joined(domain: Polyhedron, units: sides.Sides, at_low: BoolArray, at_high: BoolArray, half: BoolArray) -> Sides:
    """The sides of the layer's rows, and those of the domain."""
    none = np.zeros(len(domain.h), dtype=np.bool_)
    return Sides(
        np.concatenate([units.equal | units.both | units.lower, np.isfinite(domain.low), none]),
        np.concatenate([units.equal | units.both | units.upper, np.isfinite(domain.high), ~none]),
        np.concatenate([units.equal, domain.low == domain.high, none]),
        np.concatenate([units.tight_lower, at_low, none]),
        np.concatenate([units.tight_upper, at_high, half]),
    )


__all__ = ["NO_ROWS", "Cone", "Numbering", "Sides", "sides_at_input", "sides_at_inputs", "sides_at_output"]
