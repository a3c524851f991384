"""The polyhedron around a network in fewer coordinates: what equations give of the others is put in.

Affine maps, and units that are on in the whole box, are equations ``v_d + ... = b`` whose last coordinate d follows
from those before it. So all of these follow from the inputs and from what units give that may bend: ``v_d = T u + t``.
The bounds of v_d become rows, where they say more than the bounds of u do.

A multiplier of such a row is what it leaves of coordinate d, so that the multipliers of the equations follow from those
of the rows that are kept: by the transposed triangular system.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import scipy.sparse.linalg
from jaxtyping import Float64
from scipy.sparse import csr_array

from fiberscope.checker.relaxation import Relaxed
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.analytic_center import Polytope

LARGEST = 2**25
"""Numbers of the rows that are left, written out: some copies of them take a gigabyte."""

THICK = 2.0**-10
"""Intervals that leave less than this share of what a row may be in the box are searched as if they left that much.

Where features are known to the digits of float32, the polyhedron is so flat that a descent in float32 loses its way.
Multipliers are as good for the true sides; of a smaller box, in the next round, the same interval is a larger share.
"""

SAME = 2.0**-40
"""The share of its size by which a number may lie beyond its bounds before a row for them is worth its cost."""


@dataclass(frozen=True, eq=False)
class Eliminated:
    """``v[defined] = T v[free] + t``, and the rows that are left.

    Attributes:
        relaxation: the polyhedron ``{v}``, with M rows.
        defined: (d,) coordinates that equations give, in their order.
        free: (f,) the others.
        equations: (d,) the rows that give them.
        others: (c,) the other rows.
        bounded: (b,) which of the defined coordinates have bounds that say something.
        T: (d, f)
        t: (d,)
        factors: of the triangular system that gives the defined coordinates.
    """

    relaxation: Relaxed
    defined: IntArray
    free: IntArray
    equations: IntArray
    others: IntArray
    bounded: IntArray
    T: Float64[FloatArray, "d f"]
    t: Float64[FloatArray, " d"]
    factors: Any

    @classmethod
    def of(cls, relaxation: Relaxed) -> Eliminated | None:
        """Put in what the equations of a polyhedron give; None where there are none, or too many numbers."""
        rows = _rows(relaxation)
        low, high = relaxation.box
        gives = _last_columns(rows, relaxation.low == relaxation.high)
        defined, equations = np.unique(gives, return_index=True)
        defined, equations = defined[defined >= 0], equations[defined >= 0]
        free = np.setdiff1d(np.arange(len(low)), defined)
        finite = bool((np.isfinite(low) & np.isfinite(high)).all())
        if not finite or not len(defined) or rows.shape[0] * len(free) > LARGEST:
            return None
        factors = cast(Any, scipy.sparse.linalg).splu(
            rows[equations][:, defined].tocsc(), permc_spec="NATURAL", diag_pivot_thresh=0.0
        )
        T: FloatArray = -factors.solve(rows[equations][:, free].toarray())
        t: FloatArray = factors.solve(relaxation.low[equations])
        middle, half = (high[free] + low[free]) / 2.0, (high[free] - low[free]) / 2.0
        value, reach = T @ middle + t, np.abs(T) @ half
        slack = SAME * (np.abs(T) @ np.abs(middle) + np.abs(t) + reach)
        says = (value + reach > high[defined] + slack) | (value - reach < low[defined] - slack)
        others = np.setdiff1d(np.arange(len(relaxation.low)), equations)
        return cls(relaxation, defined, free, equations, others, np.flatnonzero(says), T, t, factors)

    @property
    def entries(self) -> int:
        """Of the rows that are left, written out."""
        return (len(self.others) + len(self.bounded)) * len(self.free)

    def polytope(self, point: Float64[FloatArray, " f"]) -> Polytope:
        """What is left, beside a point of the free coordinates."""
        left = _rows(self.relaxation)[self.others]
        rows = np.asarray(left[:, self.free].toarray() + left[:, self.defined] @ self.T)
        shift = left[:, self.defined] @ self.t + rows @ point
        low, high = self.relaxation.low[self.others] - shift, self.relaxation.high[self.others] - shift
        chosen = self.defined[self.bounded]
        value = self.T[self.bounded] @ point + self.t[self.bounded]
        box = self.relaxation.box
        return Polytope(
            np.concatenate([rows, self.T[self.bounded]]),
            np.append(low, box[0][chosen] - value), np.append(high, box[1][chosen] - value),
            box[0][self.free] - point, box[1][self.free] - point,
        )  # fmt: skip

    def thickened(self, point: Float64[FloatArray, " f"]) -> Polytope:
        """The same for a search that is no program, without intervals that are too thin for it."""
        given = self.polytope(point)
        least = THICK * (np.abs(given.rows) @ (given.above - given.below))
        more = np.maximum(least - (given.high - given.low), 0.0) / 2.0
        return replace(given, low=given.low - more, high=given.high + more)

    def multipliers(self, w: Float64[FloatArray, "k rows"]) -> Float64[FloatArray, "k M"]:
        """Those of all rows, from those of the polytope's."""
        rows = _rows(self.relaxation)
        own, bounds = w[:, : len(self.others)], w[:, len(self.others) :]
        left = -np.asarray(own @ rows[self.others][:, self.defined])
        left[:, self.bounded] -= bounds
        out = np.zeros((len(w), rows.shape[0]))
        out[:, self.others] = own
        out[:, self.equations] = cast(FloatArray, self.factors.solve(left.T, trans="T")).T
        return out


def _rows(relaxation: Relaxed) -> Any:
    """All rows, sparse; scipy's arrays have no types."""
    return csr_array(relaxation.system.weight)


def _last_columns(rows: Any, asked: BoolArray) -> IntArray:
    """(M,) the last column of each row that is asked for, where its number is 1; else -1."""
    ordered: Any = rows.sorted_indices()
    starts: IntArray = np.asarray(ordered.indptr, dtype=np.int64)
    columns: IntArray = np.asarray(ordered.indices, dtype=np.int64)
    values: FloatArray = np.asarray(ordered.data)
    ends, filled = starts[1:] - 1, np.diff(starts) > 0
    return np.where(asked & filled & (values[ends] == 1.0), columns[ends], -1)


__all__ = ["Eliminated"]
