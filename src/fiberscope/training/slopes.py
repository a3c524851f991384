"""Slopes that stand in for those of a ReLU or a clip where a network is derived by its input, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import inf
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from fiberscope.training.algebra import full, root

Cut = tuple[float, float]
"""Below and above which numbers an activation cuts off."""


class SoftSlopes:
    """Roots of the probabilities that units are kept after a little noise, in place of 0 and 1.

        sqrt(1 / (1 + exp(-r_i / softness))),    r_i = z_i / rms_j(z_j), of a clip from the nearer of its two ends.

    They hold within ``applied``, in which the derivative J by the input is taken. J depends on the weights by its
    factors, and these by the values of all units; there, in backward passes outside, a ReLU is what it is.

    Args:
        softness: the size of the noise, in root mean squares of the values of a sample; 0 for slopes as they are.
    """

    def __init__(self, softness: float) -> None:
        self.softness = softness
        self.hold = False

    @contextmanager
    def applied(self) -> Generator[None]:
        """Where they hold."""
        self.hold = True
        try:
            yield
        finally:
            self.hold = False

    def of(self, z: Tensor, cut: Cut) -> Tensor | None:
        """(N, *shape) at values in that shape; None for slopes as they are."""
        if self.softness == 0 or cut == (-inf, inf):
            return None
        values = full(z).flatten(1)
        size = root(values.square().mean(dim=1, keepdim=True))
        share = torch.minimum(values - cut[0], cut[1] - values) / torch.where(size > 0, size, 1.0)
        return (0.5 * functional.logsigmoid(share / self.softness)).exp().to(z.dtype).reshape(z.shape)

    def instead(self, activation: Callable[[Tensor], Tensor], cut: Cut) -> Callable[[Tensor], Tensor]:
        """The same function, with these slopes."""

        def softened(z: Tensor) -> Tensor:
            slopes = self.of(z, cut)
            if slopes is None:
                return activation(z)
            with torch.no_grad():
                values, kept = activation(z), (z > cut[0]) & (z < cut[1])
            return cast(Tensor, _OtherSlopes.apply(z, values, kept, slopes, self))

        return softened


class _OtherSlopes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, values: Tensor, kept: Tensor, slopes: Tensor, by: SoftSlopes) -> Tensor:
        ctx.save_for_backward(kept, slopes)
        ctx.by = by
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        kept, slopes = ctx.saved_tensors
        return grads[0] * (slopes if ctx.by.hold else kept), None, None, None, None


__all__ = ["Cut", "SoftSlopes"]
