"""The best point of one facet of a region after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from fiberscope.invariance.region_program import RegionProgram, RegionSolution
from fiberscope.network.arrays import FloatArray


class FacetProgram(RegionProgram):
    """The program of a region, any inequality of which may be asked to hold with equality."""

    def maximize_on_facet(self, objective: Float64[FloatArray, " n"], number: int) -> RegionSolution:
        """Maximise ``<c, x'>`` where the inequality with this number holds with equality; it counts as binding."""
        if number not in self._numbers:
            self._add(np.array([number]))
        place = int(np.flatnonzero(self._numbers == number)[0])
        row = len(self.around.values) + len(self._extension.row_low) + place
        side = float(self._sides(np.array([number]))[0])
        self._solver.bound_row(row, side, side)
        found = self.maximize(objective)
        self._solver.bound_row(row, -np.inf, side)
        return replace(found, tight=np.union1d(found.tight, [number]))


__all__ = ["FacetProgram"]
