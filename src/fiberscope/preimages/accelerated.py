"""Accelerated gradients, and how long their steps may be."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from torch import Tensor

BEGUN = 400
"""The fewest steps after which a descent may be given up."""


class Accelerated:
    """The points of a descent, with momentum that is lost where it leads uphill.

    Source: A. Beck & M. Teboulle 2009 (FISTA); restarts: B. O'Donoghue & E. Candes 2015.

    Attributes:
        at: where the descent has got to.
        ahead: where the next gradient is taken.
    """

    def __init__(self, start: Tensor) -> None:
        self.at = self.ahead = start
        self.momentum = 1.0

    def move(self, new: Tensor) -> None:
        """Go on to the point that a step from ``ahead`` leads to."""
        change = new - self.at
        if float(((self.ahead - new) * change).sum()) > 0:
            self.momentum, self.ahead = 1.0, new
        else:
            following = 0.5 * (1.0 + (1.0 + 4.0 * self.momentum**2) ** 0.5)
            self.ahead = new + (self.momentum - 1.0) / following * change
            self.momentum = following
        self.at = new


class Halving:
    """Whether a descent is given up: twice the steps leave more than a share of what half of them left.

    Args:
        share: of what is to vanish.
    """

    def __init__(self, share: float) -> None:
        self.share, self.left, self.next = share, inf, BEGUN

    def is_due(self, step: int) -> bool:
        """Whether steps have doubled since it was asked last."""
        return step == self.next

    def stalls(self, left: float) -> bool:
        """When it is due: whether too much is left."""
        before, self.left, self.next = self.left, left, 2 * self.next
        return left > self.share * before


def largest_eigenvalue(square: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> float:
    """The largest that so many power steps with a semidefinite map see, which is at most the true one."""
    v, largest = start, 0.0
    length = length_of(v)
    for _ in range(steps):
        v = square(v / (length or 1.0))
        length = length_of(v)
        largest = max(largest, length)
    return largest


def length_of(v: Tensor) -> float:
    """``|v|``."""
    return float(v.square().sum().sqrt())


__all__ = ["Accelerated", "Halving", "largest_eigenvalue", "length_of"]
