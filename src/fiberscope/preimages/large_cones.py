"""The cones of one sample of a large layer, whose rows are never written out.

All that is known of the rows is which sides each has, exactly, and products with the convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.blocks import Blocks
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows
from fiberscope.preimages.sides import sides_at_inputs
from fiberscope.preimages.system import check_inside

EASY = 2**27
"""Entries of a map whose products take milliseconds, so that thousands of them cost less than large windows do."""
STEPS_EASY = 6_400
"""Of a descent there: blocks with strides take up to 3,000."""


@dataclass(frozen=True, eq=False)
class LargeCones:
    """Both cones at x: rows of the layer (m,), and coordinates (n,).

    Attributes:
        layer: the layer.
        x: (n,)
        low: (n,) lower bounds of the coordinates.
        high: (n,) upper bounds.
        equal: (m,) rows with both sides, which are the same number at x.
        far: (m,) rows with both sides: what is 0 at infinity.
        upper: (m,) rows with an upper side only.
        lower: (m,) rows with a lower side only.
        tight: (m,) 1 where x is on the upper side, -1 where it is on the lower one, else 0.
    """

    layer: ReLULayer
    x: FloatArray
    low: FloatArray
    high: FloatArray
    equal: BoolArray
    far: BoolArray
    upper: BoolArray
    lower: BoolArray
    tight: IntArray

    @classmethod
    def of(cls, layer: ReLULayer, domain: Polyhedron, x: Float64[FloatArray, " n"], within: FloatArray) -> LargeCones:
        """Settle all signs at x, exactly; outputs are known up to ``within`` (2, m).

        Raises:
            InputError: x lies outside the domain.
        """
        check_inside(domain, x)
        sides = sides_at_inputs(layer, x[None], within).of(0)
        tight = sides.tight_upper.astype(np.int64) - sides.tight_lower
        far = sides.equal | sides.both
        return cls(layer, x, domain.low, domain.high, sides.equal, far, sides.upper, sides.lower, tight)

    @property
    def operator(self) -> Any:
        """The convolution, or blocks of some."""
        return self.layer.operator

    @property
    def pinned(self) -> Bool[BoolArray, " n"]:
        """(n,) coordinates that the domain fixes."""
        return self.low == self.high

    @property
    def free(self) -> Bool[BoolArray, " n"]:
        """(n,) coordinates that no bound holds at x."""
        return (self.x > self.low) & (self.x < self.high)

    @property
    def inward(self) -> Float64[FloatArray, " n"]:
        """(n,) the sign that bounds which are tight at x leave to a change; 0 where none is, and where all is fixed."""
        return np.where(
            self.pinned, 0.0, np.where(self.x == self.low, 1.0, 0.0) - np.where(self.x == self.high, 1.0, 0.0)
        )

    @property
    def outward(self) -> Float64[FloatArray, " n"]:
        """(n,) the sign of a direction along which a coordinate runs on; 0 where both bounds are finite, or none is."""
        return np.isfinite(self.low) * 1.0 - np.isfinite(self.high) * 1.0

    @property
    def boxed(self) -> Bool[BoolArray, " n"]:
        """(n,) coordinates that are bounded on both sides."""
        return np.isfinite(self.low) & np.isfinite(self.high)

    @property
    def defined(self) -> Int64[IntArray, " k"]:
        """(k,) the coordinate that each of the first rows defines: in the last block of its block row."""
        if not self.layer.definitions:
            return np.arange(0)
        blocks: Blocks = self.operator
        starts, every = np.cumsum((0, *blocks.widths)), list[IntArray]()
        for row, height in enumerate(blocks.heights):
            last = max(c for r, c in blocks.blocks if r == row)
            every.append(starts[last] + np.arange(height))
        return np.concatenate(every)[: self.layer.definitions]

    def reads(self, rows: Bool[BoolArray, " m"], columns: Bool[BoolArray, " n"]) -> Bool[BoolArray, " m"]:
        """(m,) which of some rows have an entry that is not zero on some columns."""
        pattern = self.pattern()
        counts = pattern.linear(torch.from_numpy(columns[None].astype(np.float32)))[0]
        return rows & (counts.numpy() > 0.5)

    def is_read(self, rows: Bool[BoolArray, " m"]) -> Bool[BoolArray, " n"]:
        """(n,) which columns some of the rows have an entry in that is not zero."""
        counts = self.pattern().adjoint(torch.from_numpy(rows[None].astype(np.float32)))[0]
        return counts.numpy() > 0.5

    @cached_property
    def is_easy(self) -> bool:
        """Whether thousands of products are soon there."""
        counts = self.pattern().linear(torch.ones(1, self.layer.inputs, dtype=torch.float64))
        return float(counts.sum()) <= EASY

    def pattern(self) -> Any:
        """The map with ones where its entries are not zero."""
        return pattern_of(self.operator)

    def written(self, rows: IntArray, columns: IntArray) -> Rows:
        """Some rows on some columns, as an array."""
        return self.operator.rows(rows)[:, columns].toarray()


@dataclass(frozen=True, eq=False)
class Sides:
    """What a cone asks of rows (m,) and coordinates (n,), by signs: ``row d = 0``, ``<= 0``, ``sign d_j >= 0``.

    Attributes:
        equal: (m,) rows that must vanish.
        upper: (m,) 1 where a row must be at most 0, -1 where at least 0, else 0.
        signs: (n,) of coordinates; 0 for free ones.
        fixed: (n,) coordinates that cannot move.
    """

    equal: BoolArray
    upper: IntArray
    signs: FloatArray
    fixed: BoolArray

    @classmethod
    def tangent(cls, cones: LargeCones) -> Sides:
        """Of the cone at x."""
        return cls(cones.equal, cones.tight, cones.inward, cones.pinned)

    @classmethod
    def recession(cls, cones: LargeCones) -> Sides:
        """Of the cone at infinity."""
        return cls(cones.far, cones.upper * 1 - cones.lower * 1, cones.outward, cones.boxed)


def pattern_of(operator: Any) -> Any:
    """A map with ones in place of the entries that are not zero, and no constants."""
    return operator.entrywise(_ones)


def _ones(sizes: Tensor) -> Tensor:
    return (sizes != 0).double()


__all__ = ["LargeCones", "Sides", "pattern_of"]
