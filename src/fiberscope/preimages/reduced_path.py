"""The central path of a cone without bounds on all coordinates, among the rows on what equalities leave.

With B a basis of the null space of H, ``{d : H d = 0, W d <= 0}`` is ``{B u : W B u <= 0}``. Its multipliers are the
cone ``{x >= 0 : (W B)^T x = 0}``, and what ``fiberscope.preimages.central_path`` says of that one is an answer: a u
with ``W B u < 0``, or the x in the middle, which is positive on all rows that vanish on the cone. Each step factors a
matrix as large as the null space. Cones near the border, which Newton's method takes hundreds of steps for, take 10 to
25 of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.linalg import LinAlgError

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import Rows, dense
from fiberscope.network.signs import row_norms
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.central_path import Cone, Path
from fiberscope.preimages.cone_projection import Projected
from fiberscope.preimages.dense import RESOLVED, numerical_rank
from fiberscope.preimages.system import MixedSystem

VANISHING = 1e-9
"""Of unit length, what a row leaves on the null space that depends on H but for its rounding."""
SEPARATED = 1e-12
"""Of the gap, as there, but later: a subset of the rows shows that the cone is {0}, too, but so narrowly that its proof
does not close. Multipliers of all rows differ by 1e8 at layers where branches meet."""
KEPT = (0.0, 1e-6, 1e-3)
"""Rows with a multiplier above this share of the largest are kept; what the others added is corrected."""
STRICT = 1e-12
"""What slopes of a direction are below, per length: far above their rounding. Of a trained layer, 5e-10 was seen."""


def follow_reduced(system: MixedSystem, equalities: IntArray, inequalities: IntArray) -> Direction | Multipliers | None:
    """A direction that is strict on all inequalities, or multipliers that show that the cone is {0}; None elsewhere.

    Args:
        system: of dense rows, none of those named zero.
        equalities: the numbers of H, as float64 sees them independent.
        inequalities: the numbers of W.
    """
    import torch

    from fiberscope.preimages.null_space import DependentRowsError, NullSpace

    if not len(inequalities) or len(equalities) >= system.layer.inputs:
        return None
    rows = [dense(system.rows(numbers)) for numbers in (equalities, inequalities)]
    sizes = [row_norms(part) for part in rows]
    H, W = (part / lengths[:, None] for part, lengths in zip(rows, sizes, strict=True))
    try:
        space = NullSpace.of(torch.from_numpy(H))
        found = _Reduced.of(space, H, W)
        answer = None if found is None else Path(found).run(system.budget)
    except (DependentRowsError, LinAlgError):
        return None
    part = None if answer is None else answer.part
    if isinstance(part, Direction):
        return Direction(equalities, part.values)
    if part is None:
        return None
    numbers = np.concatenate([equalities, inequalities])
    return Multipliers(numbers[part.rows], np.asarray(part.values) / np.concatenate(sizes)[part.rows])


@dataclass(frozen=True, eq=False)
class _Reduced(Cone):
    """The multipliers of W on the null space of H.

    Attributes:
        M: (k, l) of unit length, on multipliers of unit rows of W B.
        space: of H.
        H: (p, n) unit rows.
        W: (l, n) unit rows.
        lengths: (l,) of the rows of W B.
        factors: (k,) what the rows of M were multiplied by.
    """

    M: Rows
    space: Any
    H: FloatArray
    W: FloatArray
    lengths: FloatArray
    factors: FloatArray
    separated = SEPARATED

    @classmethod
    def of(cls, space: Any, H: FloatArray, W: FloatArray) -> _Reduced | None:
        """None where a row of W vanishes on the null space, or no row of W moves on a direction of its basis."""
        across = W @ space.basis.numpy()
        lengths = row_norms(across)
        if not (lengths > VANISHING).all():
            return None
        M = np.ascontiguousarray((across / lengths[:, None]).T)
        sizes = row_norms(M)
        if not (sizes > VANISHING).all():
            return None
        return cls(M / sizes[:, None], space, H, W, lengths, 1.0 / sizes)

    def multipliers(self, weights: Float64[FloatArray, " k"]) -> Projected | None:
        """A direction that is strict on W."""
        d = -np.asarray(self.space.basis.numpy() @ (self.factors * weights))
        slack = float((-(self.W @ d)).min()) / float(np.linalg.norm(d))
        return Projected(Direction(np.zeros(0, dtype=np.int64), d), min(slack, 1.0)) if slack > STRICT else None

    def written(self, z: Float64[FloatArray, " l"]) -> Projected | None:
        """Multipliers of H and W, where the rows of W that weigh leave nothing of the null space."""
        for share in KEPT:
            x = self.corrected(np.where(z > share * z.max(), z, 0.0))
            weighing = np.flatnonzero(x)
            if (x[weighing] > 0).all() and numerical_rank(dense(self.M)[:, weighing].T, RESOLVED) == len(self.factors):
                return self._weighing(weighing, x[weighing])
        return None

    def _weighing(self, weighing: IntArray, values: FloatArray) -> Projected:
        import torch

        weights = values / self.lengths[weighing]
        combination = torch.from_numpy(self.W[weighing].T @ weights)
        mu = self.space.multipliers(torch.from_numpy(self.H), combination).numpy()
        numbers = np.concatenate([np.arange(len(self.H)), len(self.H) + weighing])
        return Projected(Multipliers(numbers, np.concatenate([mu, weights])), float(weights.min() / weights.max()))


__all__ = ["follow_reduced"]
