"""Steps inside a box: ``min 1/2 d (J^T J + t D) d - b d`` for ``low <= d <= high``, for many samples at once.

Where ``J^T J`` is written out, by a primal-dual active set (M. Hintermueller, K. Ito, K. Kunisch 2002): solve on the free
coordinates, hold what leaves the box, let go what is held against its multiplier, until nothing changes.
"""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.recovery.linearized import Linearized

EXACT = 2.0**-48
"""Numbers of that share of others are rounding."""

DENSE_INPUTS = 2_000
"""Up to so many coordinates ``J^T J`` is written out; beyond, steps are found by conjugate gradients on products."""

MAX_ROUNDS = 15
"""Of changes to the active set; a few are usual."""

CONJUGATE_STEPS, CONJUGATE_SHARE = 200, 0.05
"""When conjugate gradients end: an inexact step that leaves a twentieth of the gradient serves as well."""


class Steps(Protocol):
    """Steps for the samples of a batch."""

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
        ...


def steps_of(around: Linearized, counting: Tensor) -> Steps:
    """Steps around the inputs of a batch, for the residuals that count (N, m)."""
    J, used = around.jacobian(), counting.any(dim=0)
    J, weights = J[:, used], counting[:, used].double()
    return _Factored((J * weights[..., None]).transpose(1, 2) @ J)


class _Factored:
    """Steps by Cholesky factorizations."""

    def __init__(self, gram: Float64[Tensor, "N n n"]) -> None:
        self.gram = gram

    def solve(
        self, rows: Tensor, b: Tensor, damping: Tensor, low: Tensor, high: Tensor
    ) -> tuple[Float64[Tensor, "k n"], Float64[Tensor, " k"]]:
        """By the active set."""
        gram = self.gram[rows]
        diagonal = gram.diagonal(dim1=1, dim2=2)
        largest = diagonal.amax(dim=1, keepdim=True)
        scale = torch.where(diagonal > EXACT * largest, diagonal, largest)  # of what no residual sees, any
        scale = torch.where(scale > 0, scale, 1.0)
        matrix = gram + torch.diag_embed(damping[:, None] * scale)
        at_low, at_high = (low >= 0) & (b < 0), (high <= 0) & (b > 0)
        d = torch.zeros_like(b)
        for _ in range(MAX_ROUNDS):
            d = _on_free(matrix, b, torch.where(at_low, low, torch.where(at_high, high, 0.0)), at_low | at_high)
            pull = b - _times(matrix, d)
            below = torch.where(at_low, pull < 0, ~at_high & (d < low))
            above = torch.where(at_high, pull > 0, ~at_low & (d > high))
            if torch.equal(below, at_low) and torch.equal(above, at_high):
                break
            at_low, at_high = below, above
        d = torch.minimum(torch.maximum(d, low), high)
        return d, ((b - _times(gram, d) / 2) * d).sum(dim=1)


def _on_free(matrix: Tensor, b: Tensor, fixed: Tensor, held: Tensor) -> Float64[Tensor, "k n"]:
    """Solve ``matrix d = b`` on the coordinates that are not held; 0 where it cannot be factored."""
    free = (~held).double()
    rest = (b - _times(matrix, fixed)) * free
    masked = matrix * free[:, None] * free[:, :, None] + torch.diag_embed(1.0 - free)
    factor, failed = torch.linalg.cholesky_ex(masked)
    d = torch.cholesky_solve(rest[..., None], factor)[..., 0] + fixed
    return torch.where((failed == 0)[:, None] & torch.isfinite(d), d, 0.0)


def _times(matrix: Tensor, d: Tensor) -> Float64[Tensor, "k n"]:
    return (matrix @ d[..., None])[..., 0]


__all__ = ["DENSE_INPUTS", "EXACT", "Steps", "steps_of"]
