"""A direction of a cone of a large layer that moves all that can move: found by products alone.

With the coordinates that rows define put in (``large_substitution``), look for d with ``H d = 0``, ``W d <= -1`` and
``s_j d_j >= 1`` on coordinates with a sign: minimise

    f(d) = 1/2 |H d|^2 + 1/2 |max(0, W d + 1)|^2    over  s_j d_j >= 1

by accelerated gradients in float32, then take away what is left of H d by the smallest correction, which conjugate
gradients find. Both take as many products as the rows are ill-conditioned, however many rows there are. As a rule there
is such a direction where H has fewer rows than there are coordinates, less half of what has a sign (J. G. Wendel,
1962); elsewhere none is looked for. What proves the direction is that the rows H are independent
(``large_independence``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.preimages.accelerated import Accelerated, Halving, largest_eigenvalue, length_of
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.large_cones import STEPS_EASY, LargeCones, Sides
from fiberscope.preimages.large_substitution import Substitution

STEPS, CHECKED = 1_000, 25
CLOSE = 1e-3
"""What is left of unit rows, that a correction takes away without a sign that changes."""
HALTED = 0.65
"""Of what was left after half of the steps: with more there is no direction, or next to none. Where one was found, 0.6
was left at most."""
CG_STEPS = 500
CORRECTIONS = 6
SOLVED = 1e-5
"""Of the residual, what conjugate gradients in float32 leave; residuals are float64."""
RESIDUAL = 1e-13
"""Of unit rows, per length of a direction, what a direction leaves in the end, and at most:"""
TOLERATED = 1e-11
POWER_STEPS = 20
SAFETY = 1.2
"""What power steps leave of a largest singular value."""
PROBES = 8
"""Random vectors by which lengths of rows are estimated."""
ROOM = 0.99
"""Of the coordinates, less half of what has a sign: with more rows there is no direction, as a rule."""


def may_have_room(cones: LargeCones, sides: Sides, live: BoolArray) -> bool:
    """Whether a direction that moves all that can move is to be expected."""
    definitions = cones.layer.definitions
    signs = int((sides.signs != 0).sum()) + int(((sides.upper != 0) & ~sides.equal).sum())
    own = int((~sides.fixed).sum()) - definitions
    return int(live.sum()) - definitions < ROOM * (own - 0.5 * signs)


def direction_of(cones: LargeCones, sides: Sides, live: BoolArray, budget: Budget = NO_LIMIT) -> FloatArray | None:
    """(n,) a direction that is strict on all rows and coordinates with a sign, and 0 on the rows ``live``, nearly.

    None where none is found.
    """
    maps = Substitution.of(cones.layer)
    if maps is None or not may_have_room(cones, sides, live):
        return None
    search = _Search(maps, sides, live, cones.layer.definitions, STEPS_EASY if cones.is_easy else STEPS)
    d = search.near(budget)
    if d is None:
        return None
    d = d.double()
    for _ in range(CORRECTIONS):
        budget.check("a direction of a cone was corrected")
        residual = search.rows(d)
        if float(residual.abs().max()) <= RESIDUAL * length_of(d):
            break
        d = d - search.correction(residual)
    return search.held(d)


class _Search:
    """Products with the rows that are held, on the coordinates that move."""

    def __init__(self, maps: Substitution, sides: Sides, live: BoolArray, definitions: int, steps: int) -> None:
        self.maps, self.steps = maps, steps
        own, held = ~sides.fixed, live.copy()
        own[maps.places], held[:definitions] = False, False
        inside = np.zeros_like(own)
        inside[maps.places] = maps.definitions > 0
        self.moving, self.live = (torch.from_numpy(part)[None] for part in (own, held))
        upper = np.where(sides.equal, 0, sides.upper)
        self.upper = torch.from_numpy(upper.astype(np.float32))[None]
        self.signs = torch.from_numpy(np.where(own, sides.signs, 0.0).astype(np.float32))[None]
        self.beside = torch.from_numpy(np.where(inside, -sides.signs, 0.0).astype(np.float32))[None]
        every, rows = self._lengths()
        self.row_scale, self.scale = (torch.where(part > 0, 1.0 / part, 0.0) for part in (rows, every))

    def _lengths(self) -> tuple[Tensor, Tensor]:
        """About how long rows are: those of coordinates that are defined, and the others."""
        probes = torch.randn(PROBES, self.moving.shape[1], generator=torch.Generator().manual_seed(1)) * self.moving
        every, rows = self.maps.linear(probes)
        return every.square().mean(dim=0, keepdim=True).sqrt(), rows.square().mean(dim=0, keepdim=True).sqrt()

    def near(self, budget: Budget) -> Tensor | None:
        """A direction that the held rows nearly hold."""
        weights = self.row_scale * torch.where(self.upper != 0, self.upper, self.live.float())
        beside = self.scale * self.beside
        start = torch.randn(self.moving.shape, generator=torch.Generator().manual_seed(0)) * self.moving
        size = 1.0 / (self._largest(start, weights, beside) or 1.0)
        d, halving = Accelerated(self._inside(torch.zeros_like(start))), Halving(HALTED)
        for step in range(1, self.steps + 1):
            every, rows = self.maps.linear(d.ahead)
            slopes = rows * weights
            left = torch.where(self.upper != 0, (slopes + 1.0).clamp(min=0.0), slopes)
            bent = torch.where(self.beside != 0, (every * beside + 1.0).clamp(min=0.0), 0.0)
            gradient = self.maps.adjoint(bent * beside, left * weights) * self.moving
            d.move(self._inside(d.ahead - size * gradient))
            if step % CHECKED == 0:
                budget.check(f"a direction of a cone was looked for, {step} steps")
                if max(float(left.abs().max()), float(bent.abs().max())) < CLOSE:
                    return d.at
            if halving.is_due(step) and halving.stalls(length_of(left) + length_of(bent)):
                return None
        return None

    def _inside(self, d: Tensor) -> Tensor:
        """With ``s_j d_j >= 1``."""
        return torch.where(self.signs != 0, self.signs * (self.signs * d).clamp(min=1.0), d)

    def _largest(self, start: Tensor, weights: Tensor, beside: Tensor) -> float:
        def square(v: Tensor) -> Tensor:
            every, rows = self.maps.linear(v)
            return self.maps.adjoint(every * beside.square(), rows * weights.square()) * self.moving

        return SAFETY * largest_eigenvalue(square, start, POWER_STEPS)

    def rows(self, d: Tensor) -> Tensor:
        """``H d`` in unit rows."""
        return self.maps.linear(d)[1] * (self.row_scale * self.live)

    def _across(self, u: Tensor) -> Tensor:
        return self.maps.adjoint(None, u * (self.row_scale * self.live)) * self.moving

    def correction(self, residual: Tensor) -> Tensor:
        """About the smallest change with these ``H d``."""
        size = float(residual.abs().max())
        y = _solved(lambda u: self.rows(self._across(u)), (residual / size).float())
        return self._across(y).double() * size

    def held(self, d: Tensor) -> FloatArray | None:
        """All coordinates of a direction, if rows vanish, and signs are strict."""
        every, rows = self.maps.linear(d)
        slopes, bent = rows * self.upper, every * self.beside
        strict = bool((self.signs * d > 0)[self.signs != 0].all()) and bool((slopes < 0)[self.upper != 0].all())
        strict = strict and bool((bent < 0)[self.beside != 0].all())
        vanish = float((rows * self.row_scale * self.live).abs().max()) < TOLERATED * length_of(d)
        return every[0].numpy() if strict and vanish else None


def _solved(apply: Callable[[Tensor], Tensor], b: Tensor) -> Tensor:
    """Conjugate gradients for a definite map, as far as they get."""
    x, r = torch.zeros_like(b), b
    p, size = r, float(r.square().sum())
    first = size
    for _ in range(CG_STEPS):
        Ap = apply(p)
        curvature = float((p * Ap).sum())
        if not curvature > 0 or size <= (SOLVED * SOLVED) * first:
            break
        x, r = x + (size / curvature) * p, r - (size / curvature) * Ap
        following = float(r.square().sum())
        p, size = r + (following / size) * p, following
    return x


__all__ = ["direction_of", "may_have_room"]
