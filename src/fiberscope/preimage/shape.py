"""A preimage in coordinates of its own affine hull, for linear programs and random walks.

Float64, and HiGHS's tolerance of 1e-7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import FloatArray
from fiberscope.network.rows import dense
from fiberscope.preimage.dense import pivoted_qr
from fiberscope.preimage.linear_program import LinearProgram, Status, solve
from fiberscope.preimage.preimage import Preimage
from fiberscope.preimage.rounded import as_floats, nearest_float
from fiberscope.preimage.system import MixedSystem

BURN_IN = 20
"""Hit-and-run steps per dimension before the first sample is kept."""
THINNING = 2
"""Hit-and-run steps per dimension between samples."""


@dataclass(frozen=True, eq=False)
class Shape:
    """``{origin + basis u : rows u <= slack}``.

    Attributes:
        origin: (n,) a point of the preimage.
        basis: (n, k) orthonormal, of the directions of the affine hull.
        rows: (l, k) the inequality rows that are not tight everywhere, restricted to the hull.
        slack: (l,) their slack at the origin.
    """

    origin: FloatArray
    basis: FloatArray
    rows: FloatArray
    slack: FloatArray

    @classmethod
    def of(cls, preimage: Preimage, system: MixedSystem) -> Shape:
        """Restrict the system to the affine hull that the preimage's certificate proves."""
        certificate, dimension = preimage.certificate, preimage.dimension
        assert dimension is not None
        if preimage.x is not None:
            origin = preimage.x
        else:
            assert certificate.point is not None
            origin = as_floats(certificate.point)
        held = (
            system.positive if certificate.implicit is None else np.union1d(system.positive, certificate.implicit.rows)
        )
        n = system.layer.inputs
        basis = np.eye(n)
        if len(held):
            Q, _, _ = pivoted_qr(dense(system.rows(held)).T)
            basis = np.ascontiguousarray(Q[:, n - dimension :])
        others = np.setdiff1d(system.inequalities, held)
        rows = system.rows(others)
        sides = np.array([nearest_float(side) for side in system.right_hand_sides(others)])
        return cls(origin, basis, rows @ basis, np.maximum(sides - rows @ origin, 0.0))

    @property
    def dimension(self) -> int:
        """The dimension k of the affine hull."""
        return self.basis.shape[1]

    def highest(self, c: Float64[FloatArray, " n"]) -> float:
        """``max <c, x>`` over the preimage; inf where it is unbounded."""
        base, objective = float(c @ self.origin), self.basis.T @ c
        if self.dimension == 0:
            return base
        k, count = self.dimension, len(self.slack)
        program = LinearProgram(
            objective, self.rows, np.full(count, -np.inf), self.slack, np.full(k, -np.inf), np.full(k, np.inf)
        )
        solution = solve(program)
        return np.inf if solution.status == Status.UNBOUNDED else base + solution.value

    def largest_ball(self) -> tuple[Float64[FloatArray, " n"], float]:
        """A center and the radius of a largest ball of the hull inside the preimage."""
        k, count = self.dimension, len(self.slack)
        if k == 0:
            return self.origin.copy(), 0.0
        program = LinearProgram(
            objective=np.append(np.zeros(k), 1.0),
            matrix=np.column_stack([self.rows, np.linalg.norm(self.rows, axis=1)]),
            row_low=np.full(count, -np.inf),
            row_high=self.slack,
            low=np.append(np.full(k, -np.inf), 0.0),
            high=np.full(k + 1, np.inf),
        )
        solution = solve(program)
        if solution.status != Status.OPTIMAL:
            return self.origin.copy(), np.inf
        return self.origin + self.basis @ solution.primal[:k], float(solution.primal[-1])

    def hit_and_run(self, count: int, generator: np.random.Generator) -> Float64[FloatArray, "count n"]:
        """``count`` points (count, n): from a ball's center, repeatedly a uniform point on a uniformly random chord."""
        k = self.dimension
        if k == 0:
            return np.repeat(self.origin[None], count, axis=0)
        center, _ = self.largest_ball()
        u = self.basis.T @ (center - self.origin)
        points = np.empty((count, k))
        for step in range(BURN_IN * k + count * THINNING * k):
            move = generator.standard_normal(k)
            u = u + self._chord(u, move, generator) * move
            kept = step - BURN_IN * k
            if kept >= 0 and kept % (THINNING * k) == 0:
                points[kept // (THINNING * k)] = u
        return self.origin + points @ self.basis.T

    def _chord(
        self, u: Float64[FloatArray, " k"], move: Float64[FloatArray, " k"], generator: np.random.Generator
    ) -> float:
        """A uniform step length on the chord through u along ``move``."""
        room = np.maximum(self.slack - self.rows @ u, 0.0)
        rates = self.rows @ move
        with np.errstate(divide="ignore"):
            lengths: FloatArray = room / rates
        forward = float(lengths[rates > 0].min(initial=np.inf))
        backward = float(lengths[rates < 0].max(initial=-np.inf))
        return generator.uniform(backward, forward)
