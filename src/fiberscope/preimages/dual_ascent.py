"""Multipliers for many directions at once: the alternating direction method in the metric of the analytic center.

With ``A = D^(1/2) R H^(-1/2)`` for all rows R, coordinates included, and ``H = R^T D R`` the Hessian of the barrier,
the columns of A are orthonormal, and every row has a slack of about 1 at the center. So

    max c u  over  l <= A u <= h    by    u = A^T (z - y) + c / rho,  z = clip(A u + y),  y = y + A u - z

needs no factorization and two products with A for a step of all directions (S. Boyd et al., Distributed optimization
and statistical learning via the alternating direction method of multipliers, 2011, section 5). ``rho y`` has the signs
of multipliers at every step; what it leaves of c is paid for in the box. It begins with the multipliers of least
length, those of the left inverse, ``A c``. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from torch import Tensor

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.preimages.analytic_center import Center, Polytope
from fiberscope.preimages.tensors import cholesky, gram, product, solve_lower, solve_upper

STEPS = 25
"""Between two looks at how far directions are."""

RELAXATION = 1.6
"""Of the usual range 1.5 to 1.8 (Boyd, section 3.4.3)."""

FIRST_RHO = 2.0**-6
"""For objectives of length one in a polytope that has slacks of one."""

BALANCE = 3.0
"""By what rho changes at most between two looks, so that both residuals shrink alike; it stays after so many looks:"""
BALANCINGS = 8

AT_ONCE = 256
"""Directions whose numbers stay in a processor's cache."""

TIGHTENINGS = 8
"""Of the box by what is found, at a look."""


@dataclass(eq=False)
class Found:
    """The best so far, in the polytope's own units.

    Attributes:
        multipliers: (k, M) of its rows; in single precision unless some rows are flat.
        bound: (k,) what they prove, up to rounding, of ``c (d - center)``.
        point: (k, n) ``d - center`` that gives much.
        reached: (k,) what it gives, if rows left out allow it.
    """

    multipliers: NDArray[Any]
    bound: FloatArray
    point: FloatArray
    reached: FloatArray


@dataclass(eq=False)
class _Block:
    """Some directions: where the method is."""

    numbers: IntArray
    c: Tensor
    rho: Tensor
    y: Tensor
    z: Tensor


class DualAscent:
    """The method for k directions of a polytope of size one.

    Args:
        polytope: the polytope.
        center: its center.
        directions: (k, n).
        device: where products are formed.
    """

    def __init__(
        self, polytope: Polytope, center: Center, directions: Float64[FloatArray, "k n"], device: str = "cpu"
    ) -> None:
        self._polytope, self._directions = polytope, directions
        kept = _within_reach(polytope, center)
        self._used = kept[kept < len(polytope.rows)]
        self._root = np.sqrt(center.weights[kept])
        factor, A = _orthonormal(polytope.stacked()[0][kept] * self._root[:, None])
        self._factor, self._A = factor, A.to(device, torch.float32)
        self._low, self._high = (
            torch.tensor((sign * slack[kept] * self._root)[:, None], dtype=torch.float32, device=device)
            for sign, slack in zip((-1.0, 1.0), center.slack, strict=True)
        )
        value = polytope.rows[self._used] @ center.point
        self._sides = polytope.low[self._used] - value, polytope.high[self._used] - value
        self._below, self._above = polytope.below - center.point, polytope.above - center.point
        self._flat = np.flatnonzero(polytope.flat[self._used])
        self._inverse = np.linalg.pinv(polytope.rows[self._used[self._flat]])
        objectives: FloatArray = solve_lower(factor, torch.from_numpy(directions).T).numpy()
        self._sizes, k = np.linalg.norm(objectives, axis=0), len(directions)
        self._blocks = [
            self._begin(numbers, objectives)
            for numbers in np.array_split(np.flatnonzero(self._sizes > 0), -(-k // AT_ONCE))
            if len(numbers)
        ]
        nothing = np.maximum(directions * self._below, directions * self._above).sum(axis=1)
        zeros = np.zeros((k, len(polytope.rows)), dtype=np.float64 if len(self._flat) else np.float32)
        self.found = Found(zeros, nothing, np.zeros(directions.shape), np.zeros(k))
        self._look = 0

    def _begin(self, numbers: IntArray, objectives: FloatArray) -> _Block:
        c = torch.tensor(objectives[:, numbers] / self._sizes[numbers], dtype=torch.float32, device=self._A.device)
        rho = torch.full((len(numbers),), FIRST_RHO, device=c.device)
        y = product(self._A, c) / rho
        return _Block(numbers, c, rho, y, torch.zeros_like(y))

    def advance(self, open_: BoolArray, is_over: Callable[[], bool]) -> None:
        """Some steps for those directions that are open, and a look at what they found."""
        self._look += 1
        for block in self._blocks:
            if is_over():
                return
            some = np.flatnonzero(open_[block.numbers])
            if len(some) < len(block.numbers):
                some = torch.tensor(some, device=block.c.device)
                block.numbers = block.numbers[some.cpu().numpy()]
                block.c, block.y, block.z = (part[:, some].contiguous() for part in (block.c, block.y, block.z))
                block.rho = block.rho[some]
            if len(block.numbers):
                self._step(block)
        self._tighten()

    def _step(self, block: _Block) -> None:
        A, y, z, mean = self._A, block.y, block.z, torch.zeros_like(block.y)
        u, before = block.c, z
        for _ in range(STEPS):
            before = z
            u = product(A.T, z - y) + block.c / block.rho
            v = product(A, u).mul_(RELAXATION).add_(z, alpha=1.0 - RELAXATION).add_(y)
            z = torch.minimum(torch.maximum(v, self._low), self._high)
            y = v.sub_(z)
            mean += y
        block.y, block.z = y, z
        values = product(A, u)
        self._keep_points(block, u, values)
        for multipliers in (y, mean / STEPS):
            self._keep_multipliers(block, multipliers)
        if self._look <= BALANCINGS:
            apart = _lengths(values - z) / _lengths(z).clamp(min=1e-30)
            moved = block.rho * _lengths(product(A.T, z - before))
            by = torch.sqrt(apart / moved.clamp(min=1e-30)).clamp(1.0 / BALANCE, BALANCE)
            block.rho, block.y = block.rho * by, y / by

    def _keep_points(self, block: _Block, u: Tensor, values: Tensor) -> None:
        """Points between the center and u that lie inside."""
        ends = torch.where(values > 0, self._high / values, torch.where(values < 0, self._low / values, torch.inf))
        reach = torch.clamp(ends.amin(dim=0), 0.0, 1.0)
        inner = torch.from_numpy(_array(u * reach))
        point: FloatArray = solve_upper(self._factor.T, inner).T.numpy()
        reached = (self._directions[block.numbers] * point).sum(axis=1)
        better = reached > self.found.reached[block.numbers]
        self.found.reached[block.numbers[better]] = reached[better]
        self.found.point[block.numbers[better]] = point[better]

    def _keep_multipliers(self, block: _Block, multipliers: Tensor) -> None:
        own = _array(multipliers[: len(self._used)] * block.rho).T * self._sizes[block.numbers, None]
        w = own * self._root[: len(self._used)]
        if len(self._flat):  # what is left may be paid for by these almost for nothing, in more digits than y has
            left = self._directions[block.numbers] - w @ self._polytope.rows[self._used]
            w[:, self._flat] += left @ self._inverse
        w = w.astype(self.found.multipliers.dtype)
        bound = self._bounds(w, block.numbers)
        better = np.flatnonzero(bound < self.found.bound[block.numbers])
        self.found.bound[block.numbers[better]] = bound[better]
        self.found.multipliers[np.ix_(block.numbers[better], self._used)] = w[better]

    def _bounds(self, multipliers: NDArray[Any], numbers: IntArray) -> FloatArray:
        w = multipliers.astype(np.float64)
        low, high = self._sides
        cost = np.where(w > 0, w, 0.0) @ np.where(np.isfinite(high), high, 0.0)
        cost += np.where(w < 0, w, 0.0) @ np.where(np.isfinite(low), low, 0.0)
        left = self._directions[numbers] - w @ self._polytope.rows[self._used]
        return cost + np.maximum(left * self._below, left * self._above).sum(axis=1)

    def _tighten(self) -> None:
        """Bounds on coordinates are a smaller box, in which what multipliers leave counts for less."""
        k = len(self._directions)
        single = (self._directions != 0).sum(axis=1) == 1
        at, size = np.abs(self._directions).argmax(axis=1), self._directions.sum(axis=1)
        if not single.any():
            return
        for _ in range(TIGHTENINGS):
            limit = np.where(single, self.found.bound / np.where(single, size, 1.0), np.inf)
            above, below = self._above.copy(), self._below.copy()
            up, down = single & (size > 0), single & (size < 0)
            np.minimum.at(above, at[up], limit[up])
            np.maximum.at(below, at[down], limit[down])
            if np.array_equal(above, self._above) and np.array_equal(below, self._below):
                return
            self._above, self._below = above, below
            for numbers in np.array_split(np.arange(k), -(-k // AT_ONCE)):
                better = self._bounds(self.found.multipliers[np.ix_(numbers, self._used)], numbers)
                self.found.bound[numbers] = np.minimum(self.found.bound[numbers], better)


def _within_reach(polytope: Polytope, center: Center) -> IntArray:
    """The rows that points meet, and all coordinates.

    What is farther from the center than twice the root of the number of sides, in the center's metric, hardly any does.
    """
    assert center.factor is not None, "the center's metric is known"
    weighted = polytope.stacked()[0] * np.sqrt(center.weights)[:, None]
    nearness: FloatArray = (solve_lower(center.factor, torch.from_numpy(weighted).T) ** 2).sum(dim=0).numpy()
    sides = sum(np.isfinite(slack).sum() for slack in center.slack)
    nearness[len(polytope.rows) :] = 1.0
    return np.flatnonzero(nearness >= 0.25 / sides)


def _orthonormal(weighted: FloatArray) -> tuple[Tensor, Tensor]:
    """The lower triangular factor of a Gram matrix, and the rows in its metric, in which columns are orthonormal."""
    rows = torch.from_numpy(weighted)
    factor = cholesky(gram(rows))
    assert factor is not None, "rows out of reach do not decide whether the matrix is positive definite"
    return factor, solve_lower(factor, rows.T).T.contiguous()


def _lengths(columns: Tensor) -> Tensor:
    return torch.sqrt((columns * columns).sum(dim=0))


def _array(tensor: Tensor) -> FloatArray:
    return cast(FloatArray, tensor.to(torch.float64).cpu().numpy())


__all__ = ["STEPS", "DualAscent", "Found"]
