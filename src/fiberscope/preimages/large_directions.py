"""A direction of a cone of a large layer that moves all that can move: found by products alone.

Look for d with ``H d = 0``, ``W d <= -1`` and ``s_j d_j >= 1`` on coordinates with a sign: minimise

    f(d) = 1/2 |H d|^2 + 1/2 |max(0, W d + 1)|^2    over  s_j d_j >= 1

by accelerated gradients, then take away what is left of H d by the smallest correction, which conjugate gradients find.
Both take as many products as the rows are ill-conditioned, however many rows there are. What proves the direction is
a bound on the smallest singular value of H, and that takes a factorization as large as H has rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fiberscope.network.arrays import BoolArray
from fiberscope.preimages.accelerated import Accelerated, largest_eigenvalue, length_of
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.candidate import Direction
from fiberscope.preimages.large_cones import LargeCones, Sides

MOST = 4_096
"""Rows that are held at zero, whose Gram matrix a proof factors: that takes seconds."""
STEPS, CHECKED = 600, 25
CLOSE = 1e-3
"""What is left of H d, per length, that a correction takes away without a sign that changes."""
CG_STEPS = 500
CORRECTIONS = 2
SOLVED = 1e-15
"""Of the residual, what conjugate gradients leave."""
RESIDUAL = 1e-12
POWER_STEPS = 20
SAFETY = 1.2
"""What power steps leave of a largest singular value."""
INVERSE_STEPS = 4
CLAIMED = 0.25
"""Of an estimate of the smallest singular value, which is never too small, what is claimed to be exceeded."""


def direction_of(cones: LargeCones, sides: Sides, budget: Budget = NO_LIMIT) -> tuple[Direction, float] | None:
    """A direction that is strict on all rows and coordinates with a sign, with what the singular values of H exceed.

    None where none is found, or a proof would be out of reach.
    """
    moving = ~sides.fixed
    live = sides.equal & cones.reads(sides.equal, moving)
    if int(live.sum()) > MOST:
        return None
    search = _Search(cones, sides, live, moving)
    d = search.near(budget)
    for _ in range(CORRECTIONS):
        d = None if d is None else search.corrected(d)
    if d is None or not search.holds(d):
        return None
    numbers = np.concatenate([np.flatnonzero(live), cones.layer.outputs + np.flatnonzero(~moving)])
    return Direction(numbers, d[0].numpy()), search.smallest()


class _Search:
    """Products with the rows that are held, on the columns that move."""

    def __init__(self, cones: LargeCones, sides: Sides, live: BoolArray, moving: BoolArray) -> None:
        operator = cones.operator
        self.operator = operator
        self.live, self.moving = (torch.from_numpy(part)[None].double() for part in (live, moving))
        self.upper = torch.from_numpy(np.where(sides.equal, 0, sides.upper))[None].double()
        self.signs = torch.from_numpy(np.where(moving, sides.signs, 0.0))[None]
        norms = operator.entrywise(torch.square).linear(torch.ones(1, operator.inputs, dtype=torch.float64)).sqrt()
        self.scale = torch.where(norms > 0, 1.0 / torch.where(norms > 0, norms, 1.0), 0.0)

    def held(self, d: Tensor) -> Tensor:
        """``H d`` in unit rows."""
        return self.operator.linear(d * self.moving) * self.scale * self.live

    def across(self, u: Tensor) -> Tensor:
        """``H^T u``."""
        return self.operator.adjoint(u * self.scale * self.live) * self.moving

    def near(self, budget: Budget) -> Tensor | None:
        """A direction that the held rows nearly hold."""
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(self.signs.shape, dtype=torch.float64, generator=generator) * self.moving
        d, size = Accelerated(self._inside(start)), 1.0 / self._largest(start)
        weights = self.scale * torch.where(self.upper != 0, self.upper, self.live)
        for step in range(1, STEPS + 1):
            slopes = self.operator.linear(d.ahead) * weights
            left = torch.where(self.upper != 0, (slopes + 1.0).clamp(min=0.0), slopes)
            d.move(self._inside(d.ahead - size * self.operator.adjoint(left * weights) * self.moving))
            if step % CHECKED == 0:
                if budget.is_over:
                    return None
                if float(left.abs().max()) < CLOSE:
                    return d.at
        return None

    def _inside(self, d: Tensor) -> Tensor:
        """With ``s_j d_j >= 1``."""
        return torch.where(self.signs != 0, self.signs * (self.signs * d).clamp(min=1.0), d)

    def _largest(self, start: Tensor) -> float:
        weights = (self.scale * ((self.upper != 0) | (self.live != 0)).double()).square()

        def square(v: Tensor) -> Tensor:
            return self.operator.adjoint(self.operator.linear(v) * weights) * self.moving

        return SAFETY * largest_eigenvalue(square, start, POWER_STEPS) or 1.0

    def corrected(self, d: Tensor) -> Tensor | None:
        """Minus the smallest change that H needs."""
        residual = self.held(d)
        y = _solved(lambda u: self.held(self.across(u)), residual)
        return None if y is None else d - self.across(y)

    def holds(self, d: Tensor) -> bool:
        """Whether rows vanish, and signs are strict."""
        slopes = self.operator.linear(d) * self.scale * self.upper
        strict = bool((self.signs * d > 0)[self.signs != 0].all()) and bool((slopes < 0)[self.upper != 0].all())
        return strict and float(self.held(d).abs().max()) < RESIDUAL * length_of(d)

    def smallest(self) -> float:
        """About what the smallest singular value of the rows as they are exceeds, by inverse iteration."""
        v = torch.randn(self.live.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * self.live
        value = torch.inf
        for _ in range(INVERSE_STEPS):
            v = v / length_of(v)
            solved = _solved(self._plain, v, enough=1e-3)
            if solved is None:
                return 0.0
            v, value = solved, 1.0 / length_of(solved)
        return CLAIMED * value**0.5

    def _plain(self, u: Tensor) -> Tensor:
        return self.operator.linear(self.operator.adjoint(u * self.live) * self.moving) * self.live


def _solved(apply: Callable[[Tensor], Tensor], b: Tensor, enough: float = SOLVED) -> Tensor | None:
    """Conjugate gradients for a definite map; None where they come nowhere near."""
    x, r = torch.zeros_like(b), b
    p, size = r, float(r.square().sum())
    first = size
    for _ in range(CG_STEPS):
        if size <= (enough * enough) * first or size == 0.0:
            break
        Ap = apply(p)
        curvature = float((p * Ap).sum())
        if not curvature > 0:
            return None
        x, r = x + (size / curvature) * p, r - (size / curvature) * Ap
        following = float(r.square().sum())
        p, size = r + (following / size) * p, following
    return x if size <= 1e-4 * first else None


__all__ = ["direction_of"]
