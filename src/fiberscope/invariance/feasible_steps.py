"""A region and its domain, seen from a point of it: all changes of the point that keep its features.

Around a point nothing cancels: its own sides of the equations are 0, and what is next to it is as precise as what is
far away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.invariance.feature_region import FeatureRegion, Features, RegionRows
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.rows import sparse
from fiberscope.network.sparse_rows import SparseRows, below
from fiberscope.preimages.program_scaling import Entries

EPS = float(np.finfo(np.float64).eps)
"""Twice the unit roundoff of float64."""

FEW_NUMBERS = 2**20
"""Numbers in all inequalities up to which they are written out once."""

ROWS_AT_ONCE = 1_000
"""Inequalities that are added to a program before it is solved again: those that are violated most."""


def pinned(polyhedron: Polyhedron, x: Float64[FloatArray, " n"], pixels: Int64[IntArray, " k"]) -> Polyhedron:
    """The polyhedron with some pixels kept as they are at x."""
    low, high = polyhedron.low.copy(), polyhedron.high.copy()
    low[pixels] = high[pixels] = x[pixels]
    return Polyhedron(low, high, polyhedron.G, polyhedron.h)


@dataclass(frozen=True, eq=False)
class FeasibleSteps:
    """A region and its domain, seen from a point: ``E d = values, G d <= sides, low <= d <= high``.

    Inequalities are numbered through: the q of the region as ``FeatureRegion`` numbers them, then the g half-spaces of
    the domain. Equations that depend on others, up to rounding, are left to these.

    Attributes:
        region: the region.
        polyhedron: the domain, written out; pixels whose bounds agree are fixed, see ``pinned``.
        origin: (n,) the point.
        rows: the region's rows.
        held: the numbers of the equations that are left.
        equations: (p, n) E.
        values: (p,).
        half_spaces: (g, n).
        sides: (q + g,).
        low: (n,).
        high: (n,).
        written: (q + g, n) all inequalities, where that is little; None where they are written when asked for.
    """

    region: FeatureRegion
    polyhedron: Polyhedron
    origin: Float64[FloatArray, " n"]
    rows: RegionRows
    held: Int64[IntArray, " p"]
    equations: SparseRows
    values: Float64[FloatArray, " p"]
    half_spaces: SparseRows
    sides: Float64[FloatArray, " q"]
    low: Float64[FloatArray, " n"]
    high: Float64[FloatArray, " n"]
    written: SparseRows | None

    @staticmethod
    def of(
        region: FeatureRegion, polyhedron: Polyhedron, origin: FloatArray, rows: RegionRows | None = None
    ) -> FeasibleSteps:
        """The region around a point; what the point misses by rounding alone, it does not miss.

        Twice the rounding of the products: an affine map that is near 0 at a point has a constant of their size.
        """
        rows = region.rows() if rows is None else rows
        equations, _ = rows.equations()
        held = independent_rows(equations[:, np.flatnonzero(polyhedron.low < polyhedron.high)])
        equations, half_spaces = equations[held], sparse(polyhedron.G)
        values = -region.residuals(origin[None])[0][held]
        sides = -np.concatenate([region.excess(origin[None])[0], half_spaces @ origin - polyhedron.h])
        values = np.where(np.abs(values) <= 2.0 * rounding_errors(equations, origin), 0.0, values)
        few = len(sides) * len(origin) <= FEW_NUMBERS
        written = FeasibleSteps._written(rows, half_spaces, np.arange(len(sides))) if few else None
        negative = np.flatnonzero(sides < 0)
        if len(negative):
            missing = FeasibleSteps._written(rows, half_spaces, negative) if written is None else written[negative]
            sides[negative] = np.where(-sides[negative] <= 2.0 * rounding_errors(missing, origin), 0.0, sides[negative])
        low, high = polyhedron.low - origin, polyhedron.high - origin
        return FeasibleSteps(
            region, polyhedron, origin, rows, held, equations, values, half_spaces, sides, low, high, written
        )

    @staticmethod
    def _written(rows: RegionRows, half_spaces: SparseRows, numbers: IntArray) -> SparseRows:
        q = rows.region.count
        return below([rows.inequalities(numbers[numbers < q])[0], half_spaces[numbers[numbers >= q] - q]])

    def with_features(self, features: Features) -> FeasibleSteps:
        """The same region where features may differ by other numbers, with all of their ends; see ``features_of``."""
        region = self.region.with_features(features)
        sides, own = self.sides.copy(), slice(region.count - len(features.others), region.count)
        sides[own] = -region.excess(self.origin[None])[0, own]
        return replace(self, region=region, sides=sides)

    def inequalities(self, numbers: Int64[IntArray, " k"]) -> SparseRows:
        """The rows of the inequalities with these numbers, in ascending order."""
        if self.written is not None:
            return self.written[numbers]
        return FeasibleSteps._written(self.rows, self.half_spaces, numbers)

    def excess(self, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, " q"]:
        """By how much the inequalities are violated at x."""
        of_domain = self.half_spaces @ x - self.polyhedron.h
        return np.concatenate([self.region.excess(x[None])[0], of_domain])

    def point(self, step: Float64[FloatArray, " n"]) -> Float64[FloatArray, " n"]:
        """``x + d``; a pixel whose change reaches its bound lies on it."""
        domain = self.polyhedron
        x = np.clip(self.origin + step, domain.low, domain.high)
        return np.where(step <= self.low, domain.low, np.where(step >= self.high, domain.high, x))


def rounding_errors(rows: SparseRows, x: Float64[FloatArray, " n"]) -> Float64[FloatArray, " k"]:
    """Bounds on the rounding errors of ``rows x``, for x that is rounded itself: ``gamma_k |rows| |x|``.

    Half of ``EPS`` is the unit roundoff; with k terms to a row, ``(k + 1) EPS`` exceeds ``gamma_(2k)``.
    """
    return EPS * (np.diff(rows.indptr) + 1) * (absolute(rows) @ np.abs(x))


def absolute(rows: SparseRows) -> SparseRows:
    """The absolute values of all entries."""
    return SparseRows((np.abs(rows.data), rows.indices, rows.indptr), shape=rows.shape)


def row_units(rows: SparseRows, columns: Int64[IntArray, " n"]) -> Float64[FloatArray, " k"]:
    """By what rows are multiplied to be of size one: powers of two, 0 for rows of zeros.

    Args:
        rows: the rows.
        columns: (n,) the exponents of the powers of two that count as size one, pixel by pixel.
    """
    entries = Entries.of(rows)
    seen = np.bincount(entries.row, minlength=rows.shape[0]) > 0
    return np.where(seen, np.ldexp(1.0, entries.row_exponents(columns)), 0.0)


def violated(
    feasible: FeasibleSteps, excess: Float64[FloatArray, " q"], columns: Int64[IntArray, " n"], tolerance: float
) -> Int64[IntArray, " k"]:
    """Some inequalities that are violated by more than a tolerance in units of size one, those that are by most.

    Args:
        feasible: the region.
        excess: (q,) by how much its inequalities are violated, -inf for those that are not asked about.
        columns: (n,) as in ``row_units``.
        tolerance: the tolerance.
    """
    candidates = np.flatnonzero(excess > 0)
    order = candidates[np.argsort(-excess[candidates], kind="stable")]
    for first in range(0, len(order), ROWS_AT_ONCE):
        some = np.sort(order[first : first + ROWS_AT_ONCE])
        found = some[excess[some] * row_units(feasible.inequalities(some), columns) > tolerance]
        if len(found):
            return found
    return candidates[:0]


__all__ = ["EPS", "FeasibleSteps", "absolute", "pinned", "rounding_errors", "row_units", "violated"]
