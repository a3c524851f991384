"""What features say of the numbers before the activation that gave them: an interval each, open where it is cut off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf

import torch
from jaxtyping import Bool, Float64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """``low <= z <= high`` for N samples; -inf and inf where there is no side.

    Attributes:
        low: (N, m).
        high: (N, m).
        centered: whether the middle of intervals is asked for, and not only that numbers lie in them.
    """

    low: Float64[Tensor, "N m"]
    high: Float64[Tensor, "N m"]
    centered: bool = True

    def __getitem__(self, samples: Tensor) -> Targets:
        return Targets(self.low[samples], self.high[samples], self.centered)

    @property
    def two_sided(self) -> Bool[Tensor, "N m"]:
        """Which numbers the middle of an interval is asked of."""
        if not self.centered:
            return torch.zeros_like(self.low, dtype=torch.bool)
        return torch.isfinite(self.low) & torch.isfinite(self.high)

    @property
    def half_widths(self) -> Float64[Tensor, "N m"]:
        """Of the intervals whose middle is asked for; 0 elsewhere."""
        return torch.where(self.two_sided, (self.high - self.low) / 2, 0.0)

    @cached_property
    def weights(self) -> Float64[Tensor, "N m"]:
        """What residuals are multiplied by: the half width of a sample's narrowest interval over their own.

        One precision of outputs is a wide interval before a flat slope, and less is known there.
        """
        half = self.half_widths
        narrowest = torch.where(half > 0, half, inf).amin(dim=1, keepdim=True)
        return torch.where(half > 0, narrowest / half, 1.0)

    @property
    def left_open(self) -> Float64[Tensor, " N"]:
        """The sum of squares of residuals at the ends of all intervals."""
        return (self.weights * self.half_widths).square().sum(dim=1)

    def residuals(self, Z: Float64[Tensor, "N m"]) -> Float64[Tensor, "N m"]:
        """How far z is from the middle of its interval, weighted, or from its one side where it violates that.

        The middle is the best guess: what rounding adds to features is as likely to be below as above.
        """
        one_sided = (Z - self.high).clamp(min=0.0) - (self.low - Z).clamp(min=0.0)
        return torch.where(self.two_sided, self.weights * (Z - self.low - (self.high - self.low) / 2), one_sided)

    def slopes(self, Z: Float64[Tensor, "N m"]) -> Float64[Tensor, "N m"]:
        """How residuals change with z."""
        return torch.where(self.two_sided | (self.high < Z) | (self.low > Z), self.weights, 0.0)

    def distance(self, Z: Float64[Tensor, "N m"]) -> Float64[Tensor, " N"]:
        """The largest distance of a number from its interval."""
        outside = torch.maximum((Z - self.high).clamp(min=0.0), (self.low - Z).clamp(min=0.0))
        return outside.amax(dim=1)


__all__ = ["Targets"]
