"""A penalty on how far one can go without changing the output: bounded preimages are those where one cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fiberscope.scalars import as_count, as_number
from fiberscope.training.algebra import length
from fiberscope.training.penalty import RowPenalty
from fiberscope.training.rows import LayerRows


class Omnidirectionality(RowPenalty):
    """The room that the rows leave for a direction along which the output does not change.

        mean over samples of -min f / r, the minimum over |u| <= r sqrt(n) of
        f(u) = log(1/|N| sum_{i in N} exp(a_i u / |a_i|)) + k/2 1/|N| sum_{j in P} (a_j u / |a_j|)^2

    with N the removed rows and P the kept ones. The preimage is bounded if and only if no direction has ``A_P u = 0``
    and ``A_N u <= 0``; here the kept rows are not held exactly but by springs of stiffness k, and the removed ones
    have to fall on the average, so that the number has a gradient everywhere. Neither scaling rows nor permuting them
    changes it.

    The minimum is found by ``steps`` steps of Nesterov's method from u = 0, without a gradient; its gradient is that
    of f at the minimiser.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        radius: r.
        stiffness: k.
        steps: products with the rows and their adjoint for each sample.
        hide: ask for room instead: 1 minus the above, at least 0.

    Returns:
        From 0 (nothing can be changed) to about 1.

    Source: sections 1 and 13 of the theory.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: int | Sequence[int] | None = None,
        *,
        radius: float | int = 4.0,
        stiffness: float | int = 10.0,
        steps: int = 50,
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers, hide=hide)
        self.radius = as_number(radius, "radius", above=0.0)
        self.stiffness, self.steps = as_number(stiffness, "stiffness", above=0.0), as_count(steps, "steps")

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """The room of each sample."""
        f = _Room.of(rows, self.stiffness)
        with torch.no_grad():
            U = _minimiser(f, self.radius * sqrt(rows.inputs), self.steps)
        room = torch.relu(-f(U)) / self.radius
        return torch.relu(1.0 - room) if self.hide else room


@dataclass(frozen=True, eq=False)
class _Room:
    """f of each sample.

    Attributes:
        rows: the layer.
        inverse: (m,) ``1 / |a_i|``; 0 of rows that are zero.
        signs: (N, m) 1 for rows removed at the lower end, -1 at the upper end of a clip, 0 for kept ones.
        springs: (N, m) ``k / |N|`` for kept rows, 0 for others.
    """

    rows: LayerRows
    inverse: Tensor
    signs: Tensor
    springs: Tensor

    @staticmethod
    def of(rows: LayerRows, stiffness: float) -> _Room:
        lengths, kept = rows.lengths, rows.kept
        inverse = torch.where(lengths > 0, 1.0 / torch.where(lengths > 0, lengths, 1.0), 0.0)
        upper = rows.z.detach() >= rows.layer.cut[1]
        signs = torch.where(kept | (lengths == 0), 0.0, torch.where(upper, -1.0, 1.0)).to(rows.z.dtype)
        count = signs.abs().sum(dim=1, keepdim=True).clamp_min(1.0)
        return _Room(rows, inverse, signs, stiffness * kept.to(rows.z.dtype) / count)

    def __call__(self, U: Float[Tensor, "N n"]) -> Float[Tensor, " N"]:
        products = self.rows.apply(U) * self.inverse
        return self._means(products).squeeze(1) + (self.springs * products.square()).sum(dim=1) / 2.0

    def _means(self, products: Tensor) -> Float[Tensor, "N 1"]:
        """The logarithm of the mean of exponentials over removed rows; 0 where there are none."""
        removed = self.signs != 0
        count = removed.sum(dim=1, keepdim=True)
        total = torch.logsumexp((self.signs * products).masked_fill(~removed, -torch.inf), dim=1, keepdim=True)
        return torch.where(count > 0, total - count.clamp_min(1).to(products.dtype).log(), 0.0)

    def gradient(self, U: Float[Tensor, "N n"]) -> Float[Tensor, "N n"]:
        """With respect to u."""
        products = self.rows.apply(U) * self.inverse
        removed = self.signs != 0
        shares = torch.softmax((self.signs * products).masked_fill(~removed, -torch.inf), dim=1)
        pull = torch.where(removed, self.signs * shares, 0.0) + self.springs * products
        return self.rows.adjoint(pull * self.inverse)

    def curvature(self) -> Float[Tensor, "N 1"]:
        """A bound on the second derivative of f: 1 for the exponentials, and twice what powers find for the springs."""
        v = torch.ones_like(self.rows.z[:, :1]).expand(-1, self.rows.inputs) / sqrt(self.rows.inputs)
        size = torch.zeros_like(v[:, :1])
        for _ in range(POWERS):
            v = self.rows.adjoint(self.springs * self.rows.apply(v) * self.inverse.square())
            size = length(v, keepdim=True)
            v = v / torch.where(size > 0, size, 1.0)
        return 1.0 + 2.0 * size


POWERS = 8
"""Products for the bound on the curvature."""


def _minimiser(f: _Room, radius: float, steps: int) -> Float[Tensor, "N n"]:
    """Nesterov's accelerated gradients in the ball, begun anew for a sample where they turn back."""
    step = 1.0 / f.curvature()
    u = torch.zeros(f.rows.samples, f.rows.inputs, dtype=f.rows.z.dtype, device=f.rows.z.device)
    ahead, momentum = u, torch.ones_like(u[:, :1])
    for _ in range(steps):
        gradient = f.gradient(ahead)
        new = _into_ball(ahead - step * gradient, radius)
        turned = ((ahead - new) * (new - u)).sum(dim=1, keepdim=True) > 0
        momentum = torch.where(turned, 1.0, momentum)
        following = (1.0 + (1.0 + 4.0 * momentum.square()).sqrt()) / 2.0
        ahead = new + torch.where(turned, 0.0, (momentum - 1.0) / following) * (new - u)
        u, momentum = new, following
    return u


def _into_ball(u: Tensor, radius: float) -> Tensor:
    size = length(u, keepdim=True)
    return u * torch.where(size > radius, radius / size, 1.0)


__all__ = ["Omnidirectionality"]
