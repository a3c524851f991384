"""Rows and coordinates scaled by powers of two, so that sizes that mean nothing do not decide what float64 can settle.

With ``x = C x'`` and ``y' = R y``, C and R diagonal and positive, ``y = ReLU(A x + b)`` says
``y' = ReLU(R A C x' + R b)``. The two preimages map onto each other one to one, cones and faces with them, so that the
kind, the dimension and the row numbers of every certificate stay as they are. Where C and R hold powers of two the
scaled numbers are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from jaxtyping import Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, stacked
from fiberscope.preimages.blocks import column_maxima, entries, keeps, row_maxima, scaled, with_entries
from fiberscope.preimages.candidate import Candidate, Direction, Multipliers, Rational, Vector
from fiberscope.preimages.sides import Outputs
from fiberscope.preimages.system import MixedSystem

ROUNDS = 10
"""Dense rows are balanced after two or three; where more are needed the last ones change little."""
SETTLED = 0.5
"""Binary orders of magnitude: smaller changes are lost in the rounding to powers of two."""

Exponents = Int64[IntArray, " _"]


@dataclass(frozen=True, eq=False)
class Balance:
    """A layer and a domain in scaled rows and coordinates, and the exponents of the factors.

    Attributes:
        layer: with ``R A C`` and ``R b``.
        domain: in the coordinates x'.
        rows: (m,) of the layer's rows.
        half_spaces: (g,) of the domain's half-spaces.
        columns: (n,) of the coordinates: ``x_j = 2**e_j x'_j``.
    """

    layer: ReLULayer
    domain: Polyhedron
    rows: IntArray
    half_spaces: IntArray
    columns: IntArray

    @classmethod
    def of(cls, layer: ReLULayer, domain: Polyhedron) -> Balance:
        """Factors that bring all rows, and all columns, near one length; 1 where a number would be rounded."""
        m = layer.outputs
        rows, columns, unread = _balancing(stacked(layer.weight, domain.G) if len(domain.h) else layer.weight)
        columns[unread] = _sizes_of_bounds(domain)[unread]
        rows, half_spaces = rows[:m], rows[m:]
        low, high = (np.ldexp(bound, -columns) for bound in (domain.low, domain.high))
        G, h = scaled(domain.G, -half_spaces, columns), np.ldexp(domain.h, half_spaces)
        weight, bias = scaled(layer.weight, -rows, columns), np.ldexp(layer.bias, rows)
        pairs = [(entries(layer.weight), entries(weight)), (layer.bias, bias), (entries(domain.G), entries(G))]
        pairs += [(domain.h, h), (domain.low, low), (domain.high, high)]
        clip = tuple(np.ldexp(bound, rows) for bound in (layer.low, layer.high))
        pairs += [(layer.low, clip[0]), (layer.high, clip[1])]
        if not all(keeps(old, new) for old, new in pairs):
            return cls.nothing(layer, domain)
        shapes = (layer.inputs,), (m,)
        balanced = ReLULayer.of_map(
            lambda: (weight, bias), *shapes, layer.injective, layer.device, low=clip[0], high=clip[1]
        )
        balanced.definitions = layer.definitions
        return cls(balanced, Polyhedron(low, high, G, h), rows, half_spaces, columns)

    @classmethod
    def nothing(cls, layer: ReLULayer, domain: Polyhedron) -> Balance:
        """The factors 1."""
        return cls(
            layer, domain, *(np.zeros(size, dtype=np.int64) for size in (layer.outputs, len(domain.h), layer.inputs))
        )

    def system(self, system: MixedSystem) -> MixedSystem:
        """The same question in the scaled rows and coordinates."""
        known = system.outputs
        outputs = None if known is None else Outputs(*(np.ldexp(part, self.rows) for part in _parts(known)))
        return replace(system, layer=self.layer, domain=self.domain, outputs=outputs)

    def suits(self, outputs: Outputs) -> bool:
        """Whether scaling rounds nothing of what is known of an output."""
        return all(keeps(part, np.ldexp(part, self.rows)) for part in _parts(outputs))

    def undone(self, certificate: Candidate) -> Candidate:
        """What a certificate about x' and y' says about x and y."""
        return certificate.mapped(self.part, lambda point: _times(point, self.columns))

    def part(self, part: Multipliers | Direction) -> Multipliers | Direction:
        """What a part says about x and y."""
        if isinstance(part, Direction):  # d = C d'
            return replace(part, values=_times(part.values, self.columns))
        # rows that bound a coordinate have no factor of their own
        by_row = np.concatenate([self.rows, -self.columns, -self.columns, self.half_spaces, self.rows])
        return replace(part, values=_times(part.values, by_row[part.rows]))


def _parts(outputs: Outputs) -> tuple[FloatArray, FloatArray, FloatArray]:
    return outputs.low, outputs.high, outputs.within


def _times(vector: Vector, exponents: IntArray) -> Vector:
    """Entries times ``2**e``."""
    if not isinstance(vector, Rational):
        return np.ldexp(vector, exponents)
    lowest = min(0, int(exponents.min(initial=0)))
    shifts = (exponents - lowest).tolist()
    numerators = tuple(v << shift for v, shift in zip(vector.numerators, shifts, strict=True))
    return Rational(numerators, vector.denominator << -lowest)


def _sizes_of_bounds(domain: Polyhedron) -> Exponents:
    """The exponent of each coordinate's largest finite bound, 0 where there is none."""
    bounds = [np.where(np.isfinite(bound), np.abs(bound), 0.0) for bound in (domain.low, domain.high)]
    return np.frexp(np.maximum(*bounds))[1].astype(np.int64)


def _balancing(rows: Rows) -> tuple[Exponents, Exponents, BoolArray]:
    """Exponents of factors under which rows, and columns, have one length, about; and which columns are zero.

    Largest entries come first, those of columns before those of rows: then no square overflows, or vanishes in a
    column that has another. Matrices that differ by powers of two on the columns alone become one matrix here.
    """
    sizes = with_entries(rows, np.abs(entries(rows)))
    largest = column_maxima(sizes)
    columns = -np.frexp(largest)[1].astype(np.int64)
    by_row = np.zeros(rows.shape[0], dtype=np.int64)
    sizes = scaled(sizes, -by_row, columns)
    by_row = -np.frexp(row_maxima(sizes))[1].astype(np.int64)
    sizes = scaled(sizes, -by_row, np.zeros_like(columns))
    r, c = _lengths(with_entries(sizes, np.square(entries(sizes))))
    return by_row + r, columns + c, largest == 0


def _lengths(squares: Rows) -> tuple[Exponents, Exponents]:
    """Exponents of factors for lengths, given the squares of entries [Sinkhorn & Knopp, 1967]."""
    r, c = np.zeros(squares.shape[0]), np.zeros(squares.shape[1])
    for _ in range(ROUNDS):
        r = _minus_half_logarithm(squares @ np.exp2(2.0 * c))
        before, c = c, _minus_half_logarithm(cast(FloatArray, squares.T @ np.exp2(2.0 * r)))
        if np.abs(c - before).max(initial=0.0) < SETTLED:
            break
    r = _minus_half_logarithm(squares @ np.exp2(2.0 * c))
    return np.rint(r).astype(np.int64), np.rint(c).astype(np.int64)


def _minus_half_logarithm(sums: FloatArray) -> FloatArray:
    """``-log2(sqrt(sums))``; 0 for what has no entries."""
    return np.where(sums > 0, -0.5 * np.log2(np.where(sums > 0, sums, 1.0)), 0.0)


__all__ = ["Balance"]
