"""Steps inside a box: ``min 1/2 d (J^T J + t D) d - b d`` for ``low <= d <= high``, for many samples at once.

By a primal-dual active set (M. Hintermueller, K. Ito, K. Kunisch 2002): solve on the free coordinates, hold what leaves
the box, let go what is held against its multiplier, until nothing changes. Each solution comes from a factorization of
``J^T J`` where writing that out is cheaper, and from conjugate gradients on products with J elsewhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.recovery.linearized import Linearized

EXACT = 2.0**-48
"""Numbers of that share of others are rounding."""

MAX_ROUNDS = 15
"""Of changes to the active set; a few are usual."""

IDLE = 1
"""Rounds without a better step of the box after the first such one, where each takes milliseconds: sets may go round in
circles, and the best step so far is one that descends."""

CONJUGATE_STEPS, CONJUGATE_SHARE = 100, 0.03
"""When conjugate gradients end: a step that leaves a thirtieth of the gradient serves as well as an exact one."""

TOGETHER = 128
"""Up to so many coordinates the samples of a batch are factored together, with those that are held left in place."""

FASTER = 8.0
"""How many times as fast a multiplication is in a product of matrices as in one with a vector."""


def steps_of(linearized: Linearized, slopes: Float64[Tensor, "N m"]) -> Steps:
    """Steps around the inputs of a batch, for residuals that change so much with the outputs."""
    used = slopes.any(dim=0)
    if not is_written_out(linearized, int(used.sum())):
        return _Iterated(linearized, slopes.square())
    jacobian, slopes = linearized.jacobian()[:, used], slopes[:, used]
    of_residuals = jacobian if bool((slopes == 1).all()) else jacobian * slopes[..., None]
    return _Factored(of_residuals.transpose(1, 2) @ of_residuals)


def is_written_out(linearized: Linearized, rows: int) -> bool:
    """Whether some rows of the Jacobian, and their Gram matrix, take less time than conjugate gradients."""
    n = linearized.inputs
    return (linearized.work_of_jacobian + rows * n**2 + n**3) / FASTER <= 4.0 * CONJUGATE_STEPS * linearized.work


class Steps(ABC):
    """Steps for the samples of a batch."""

    _held: tuple[Tensor, Tensor, Tensor] | None = None
    """What the steps that were found last hold: with another damping it is nearly the same."""

    def _held_before(self, rows: Tensor, at_low: Tensor, at_high: Tensor) -> tuple[Tensor, Tensor]:
        if self._held is None:
            return at_low, at_high
        before, low, high = self._held
        again = torch.isin(before, rows)
        return low[again], high[again]

    @abstractmethod
    def product(self, rows: Tensor, d: Tensor) -> Float64[Tensor, "k n"]:
        """``J^T J d`` for some samples."""

    @abstractmethod
    def damped(self, rows: Tensor, b: Tensor, damping: Tensor) -> Float64[Tensor, "k n"]:
        """The diagonal ``t D``."""

    @abstractmethod
    def on_free(self, rows: Tensor, b: Tensor, diagonal: Tensor, free: Tensor, near: Tensor) -> Float64[Tensor, "k n"]:
        """Solve ``(J^T J + diagonal) d = b`` on the free coordinates, 0 elsewhere; ``near`` may be near it."""

    def solve(
        self, rows: Tensor, b: Tensor, damping: Tensor, low: Tensor, high: Tensor
    ) -> tuple[Float64[Tensor, "k n"], Float64[Tensor, " k"]]:
        """Steps d for some samples, and ``b d - 1/2 d J^T J d``, which the linear model promises of them.

        Args:
            rows: (k,) which samples.
            b: (k, n) the negative gradients.
            damping: (k,) t.
            low: (k, n) the box of d; it holds 0.
            high: likewise.
        """
        diagonal = self.damped(rows, b, damping)
        at_low, at_high = self._held_before(rows, (low >= 0) & (b < 0), (high <= 0) & (b > 0))
        d, best, near = torch.zeros_like(b), torch.zeros_like(damping), torch.zeros_like(b)
        idle = 0
        for _ in range(MAX_ROUNDS):
            fixed, free = torch.where(at_low, low, torch.where(at_high, high, 0.0)), ~(at_low | at_high)
            there = self.product(rows, fixed) + diagonal * fixed if bool(fixed.any()) else fixed
            near = fixed + self.on_free(rows, (b - there) * free, diagonal, free, near * free)
            pull = b - self.product(rows, near) - diagonal * near
            below = torch.where(at_low, pull < 0, ~at_high & (near < low))
            above = torch.where(at_high, pull > 0, ~at_low & (near > high))
            inside = torch.minimum(torch.maximum(near, low), high)
            gain = ((b - (self.product(rows, inside) + diagonal * inside) / 2) * inside).sum(dim=1)
            better = gain > best
            idle = 0 if bool(better.any()) else idle + 1
            d, best = torch.where(better[:, None], inside, d), torch.where(better, gain, best)
            if (idle > IDLE and b.shape[1] > TOGETHER) or (torch.equal(below, at_low) and torch.equal(above, at_high)):
                break
            at_low, at_high = below, above
        self._held = rows, at_low, at_high
        return d, ((b - self.product(rows, d) / 2) * d).sum(dim=1)


class _Factored(Steps):
    """By Cholesky factorizations; D is the diagonal of ``J^T J``."""

    def __init__(self, gram: Float64[Tensor, "N n n"]) -> None:
        self.gram = gram  # one for all samples where the map is the same around all of them

    def _of(self, rows: Tensor) -> Float64[Tensor, "k n n"]:
        return self.gram if len(self.gram) in (1, len(rows)) else self.gram[rows]

    def product(self, rows: Tensor, d: Tensor) -> Float64[Tensor, "k n"]:
        return (self._of(rows) @ d[..., None])[..., 0]

    def damped(self, rows: Tensor, b: Tensor, damping: Tensor) -> Float64[Tensor, "k n"]:
        diagonal = self._of(rows).diagonal(dim1=1, dim2=2)
        largest = diagonal.amax(dim=1, keepdim=True)
        scale = torch.where(diagonal > EXACT * largest, diagonal, largest)  # of what no residual sees, any
        return damping[:, None] * torch.where(scale > 0, scale, 1.0)

    def on_free(self, rows: Tensor, b: Tensor, diagonal: Tensor, free: Tensor, near: Tensor) -> Float64[Tensor, "k n"]:
        if b.shape[1] > TOGETHER:
            parts = [self._reduced(int(k), *each) for k, *each in zip(rows, b, diagonal, free, strict=True)]
            return torch.stack(parts)
        mask = free.double()
        masked = self._of(rows) * mask[:, None] * mask[:, :, None] + torch.diag_embed(diagonal * mask + 1.0 - mask)
        return _solved(masked, b)

    def _reduced(self, k: int, b: Tensor, diagonal: Tensor, free: Tensor) -> Float64[Tensor, " n"]:
        """One sample's, on the free coordinates alone."""
        places = torch.nonzero(free)[:, 0]
        part = self.gram[k if len(self.gram) > 1 else 0][places[:, None], places] + torch.diag(diagonal[places])
        out = torch.zeros_like(b)
        out[places] = _solved(part[None], b[places][None])[0]
        return out


def _solved(matrix: Tensor, b: Tensor) -> Float64[Tensor, "k n"]:
    """``matrix d = b``; 0 where it cannot be factored."""
    factor, failed = cast("tuple[Tensor, Tensor]", cast(Any, torch).linalg.cholesky_ex(matrix))
    d = torch.cholesky_solve(b[..., None], factor)[..., 0]
    return torch.where((failed == 0)[:, None] & torch.isfinite(d), d, 0.0)


class _Iterated(Steps):
    """By conjugate gradients; D is the curvature along b, the same for all coordinates."""

    def __init__(self, linearized: Linearized, weights: Float64[Tensor, "N m"]) -> None:
        self.linearized, self.weights = linearized, weights

    def product(self, rows: Tensor, d: Tensor) -> Float64[Tensor, "k n"]:
        whole = d
        if len(rows) < len(self.weights):
            whole = d.new_zeros(len(self.weights), d.shape[1])
            whole[rows] = d
        out = self.linearized.adjoint(self.linearized.forward(whole) * self.weights)
        return out if whole is d else out[rows]

    def damped(self, rows: Tensor, b: Tensor, damping: Tensor) -> Float64[Tensor, "k n"]:
        length = _along(b, b)
        return (damping[:, None] * _ratio(_along(b, self.product(rows, b)), length)).expand_as(b)

    def on_free(self, rows: Tensor, b: Tensor, diagonal: Tensor, free: Tensor, near: Tensor) -> Float64[Tensor, "k n"]:
        d, wanted = near, CONJUGATE_SHARE**2 * _along(b, b)
        rest = b - (self.product(rows, d) + diagonal * d) * free if bool(d.any()) else b
        direction, square = rest, _along(rest, rest)
        for _ in range(CONJUGATE_STEPS):
            if bool((square <= wanted).all()):
                break
            moved = (self.product(rows, direction) + diagonal * direction) * free
            share = _ratio(square, _along(direction, moved))
            d, rest = d + share * direction, rest - share * moved
            before, square = square, _along(rest, rest)
            direction = rest + _ratio(square, before) * direction
        return d


def _along(v: Tensor, w: Tensor) -> Float64[Tensor, "k 1"]:
    return (v * w).sum(dim=1, keepdim=True)


def _ratio(part: Tensor, whole: Tensor) -> Float64[Tensor, "k 1"]:
    """Part by part; 0 where the whole is not positive."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)


__all__ = ["EXACT", "Steps", "is_written_out", "steps_of"]
