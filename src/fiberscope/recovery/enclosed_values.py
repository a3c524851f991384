"""Bounds on what affine maps of exact real arithmetic give, computed in float64.

The error bounds of ``fiberscope.checker.matrices`` hold for sums in any order, which is how the maps of a
network evaluate their products on the CPU in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from fiberscope.checker.matrices import SMALLEST_NORMAL, UNIT_ROUNDOFF, relative_error
from fiberscope.network.affine import AffineMap
from fiberscope.network.combination import Composition, Sum


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Exact numbers lie within ``error`` of ``value``, entry by entry.

    Attributes:
        value: of any shape.
        error: of the same shape; 0 where a number is exact.
    """

    value: Tensor
    error: Tensor

    @staticmethod
    def exact(value: Tensor) -> Enclosure:
        """Numbers as they are."""
        return Enclosure(value, torch.zeros_like(value))

    def __add__(self, other: Enclosure) -> Enclosure:
        value = self.value + other.value
        # an exact sum with 0 needs no error
        rounded = (self.value != 0) & (other.value != 0)
        return Enclosure(value, inflated(self.error + other.error) + rounded * UNIT_ROUNDOFF * value.abs() * 2.0)

    def high(self) -> Tensor:
        """Upper bounds."""
        return torch.where(self.error == 0, self.value, next_up(self.value + self.error))

    def low(self) -> Tensor:
        """Lower bounds."""
        return -Enclosure(-self.value, self.error).high()


def next_up(values: Tensor) -> Tensor:
    """The next larger number."""
    return torch.nextafter(values, torch.full_like(values, torch.inf))


def inflated(errors: Tensor) -> Tensor:
    """More than what a bound would be without rounding, if up to 15 operations on bounds >= 0 gave it; 0 stays 0.

    Each operation loses at most a factor ``1 - u``, and below the smallest normal number less than that itself.
    """
    return torch.where(errors > 0, errors * (1.0 + 16.0 * UNIT_ROUNDOFF) + SMALLEST_NORMAL, 0.0)


def applied(affine: AffineMap, inputs: Enclosure) -> Enclosure:
    """``A x + b`` for every row x."""
    if isinstance(affine, Composition):
        return reduce(lambda values, factor: applied(factor, values), affine.factors, inputs)
    if isinstance(affine, Sum):
        return reduce(Enclosure.__add__, [applied(summand, inputs) for summand in affine.summands])
    magnitude = affine.absolute()
    error = _error(affine.terms, magnitude.apply(inputs.value.abs()), magnitude.linear(inputs.error))
    # where every product is 0, the result is the constant, exactly
    moving = touched(affine, (inputs.value != 0) | (inputs.error > 0))
    return Enclosure(affine.apply(inputs.value), torch.where(moving, error, 0.0))


def touched(affine: AffineMap, nonzero: Tensor) -> Tensor:
    """Which outputs have a product that is not 0; no product of several weights is formed, which could vanish."""
    if isinstance(affine, Composition):
        for factor in affine.factors:
            nonzero = touched(factor, nonzero)
        return nonzero
    if isinstance(affine, Sum):
        return torch.stack([touched(summand, nonzero) for summand in affine.summands]).any(dim=0)
    return affine.absolute().linear(nonzero.to(torch.float64)) > 0


def _error(terms: int, size: Tensor, carried: Tensor) -> Tensor:
    """Rounding of sums of so many terms and of such size, and what was wrong before.

    The sums of absolute values are computed, too, and may be too small by gamma_n of themselves, which ``1 + relative``
    covers: ``relative`` is 2 (n + 8) u, twice gamma_n and 16 u more. Each product that underflows loses at most half of
    the smallest subnormal number.
    """
    relative = relative_error(terms)
    own = relative * (size + carried) * (1.0 + relative)
    return own + carried * (1.0 + relative) + 4.0 * (terms + 1) * SMALLEST_NORMAL


__all__ = ["Enclosure", "applied", "inflated", "touched"]
