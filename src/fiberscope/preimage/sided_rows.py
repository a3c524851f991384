"""The rows of a question with their sides, and the two cones that they make at a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, Polyhedron, written_out
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, stacked, with_column
from fiberscope.network.signs import exact_signs, exact_signs_of_many
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


def sides_at_input(rows: Numbering, x: Float64[FloatArray, " n"], within: FloatArray | float) -> Sides:
    """The sides of all rows where the output at x is meant; tight rows are settled exactly."""
    layer, domain = rows.layer, rows.domain
    p, q, eps = layer.low, layer.high, np.broadcast_to(np.asarray(within, dtype=np.float64), (layer.outputs,))
    if eps.any():
        z = layer.weight @ x + layer.bias
        signs = np.sign(np.minimum(z, q) - eps - p), np.sign(np.maximum(z, p) + eps - q)
    else:
        signs = _signs(layer, x, p), _signs(layer, x, q)
    half = exact_signs(domain.G, x, -domain.h)
    return _joined(layer, domain, eps == 0, (signs[0][None], signs[1][None]), x[None], half[None])[0]


def sides_at_inputs(rows: Numbering, X: Float64[FloatArray, "N n"]) -> list[Sides]:
    """The same at many samples, of outputs that are known exactly."""
    layer, domain = rows.layer, rows.domain
    signs = _signs_of_many(layer, X, layer.low), _signs_of_many(layer, X, layer.high)
    exact = np.ones(layer.outputs, dtype=np.bool_)
    return _joined(layer, domain, exact, signs, X, exact_signs_of_many(domain.G, X, -domain.h))


def sides_at_output(
    rows: Numbering, y: FloatArray | Interval, within: FloatArray | float
) -> tuple[Sides, FloatArray, FloatArray]:
    """The sides of all rows where the output is given; and the numbers lo and hi, rounded."""
    layer, domain = rows.layer, rows.domain
    given = (y.low, y.high) if isinstance(y, Interval) else (y, y)
    u, v = (np.broadcast_to(side, (layer.outputs,)) for side in (given[0] - within, given[1] + within))
    none = np.full(len(domain.h), -np.inf)
    lo = np.concatenate([np.where(u > layer.low, u - layer.bias, -np.inf), domain.low, none])
    hi = np.concatenate([np.where(v < layer.high, v - layer.bias, np.inf), domain.high, domain.h])
    low, high = lo > -np.inf, hi < np.inf
    equal = low & high & (np.concatenate([u, domain.low, none]) == np.concatenate([v, domain.high, domain.h]))
    nowhere = np.zeros(rows.count, dtype=np.bool_)
    return Sides(low, high, equal, nowhere, nowhere), lo, hi


def _signs(layer: ReLULayer, x: FloatArray, bound: FloatArray) -> IntArray:
    return _signs_of_many(layer, x[None], bound)[0].astype(np.int64)


def _signs_of_many(layer: ReLULayer, X: FloatArray, bound: FloatArray) -> Any:
    """The exact signs of ``A x + b - bound``, (N, m)."""
    if not bound.any():
        return exact_signs_of_many(layer.weight, X, layer.bias)
    if np.isinf(bound).all():
        return np.broadcast_to(np.where(bound > 0, -1, 1).astype(np.int8), (len(X), len(bound)))
    finite = np.isfinite(bound)
    extended = with_column(layer.weight, layer.bias)
    ones = np.ones((len(X), 1))
    signs = exact_signs_of_many(extended, np.concatenate([X, ones], axis=1), -np.where(finite, bound, 0.0))
    return np.where(finite, signs, -np.sign(bound).astype(np.int8))


def _joined(
    layer: ReLULayer, domain: Polyhedron, exact: BoolArray, signs: tuple[Any, Any], X: FloatArray, half: Any
) -> list[Sides]:
    """The sides of the layer's rows, by the signs of ``z - low`` and ``z - high``, and those of the domain."""
    moves = layer.low < layer.high
    low, high = (signs[0] > 0) & moves, (signs[1] < 0) & moves
    at_low, at_high = low & ~high & (signs[1] == 0) & exact, high & ~low & (signs[0] == 0) & exact
    low, high = low | layer.injective, high | layer.injective
    tied = low & high & (exact | layer.injective)
    pinned, none = domain.low == domain.high, np.zeros(len(domain.h), dtype=np.bool_)
    floors, tops = np.isfinite(domain.low), np.isfinite(domain.high)
    return [
        Sides(
            np.concatenate([low[k], floors, none]),
            np.concatenate([high[k], tops, ~none]),
            np.concatenate([tied[k], pinned, none]),
            np.concatenate([at_low[k] & ~layer.injective, x == domain.low, none]),
            np.concatenate([at_high[k] & ~layer.injective, x == domain.high, half[k] == 0]),
        )
        for k, x in enumerate(X)
    ]


__all__ = ["NO_ROWS", "Cone", "Numbering", "Sides", "sides_at_input", "sides_at_inputs", "sides_at_output"]
