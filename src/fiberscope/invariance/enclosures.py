"""Bounds on what affine maps of exact real arithmetic give, computed in float64: the arithmetic of the proofs.

The error bounds of ``fiberscope.checker.matrices`` hold for sums in any order, which is how the maps of a
network evaluate their products on the CPU in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fiberscope.checker.matrices import SMALLEST_NORMAL, UNIT_ROUNDOFF, relative_error
from fiberscope.network.affine import AffineMap
from fiberscope.network.combination import Composition, Sum, is_exact
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from fiberscope.network.structured import Rearrangement

EXTENDED = 2.0**10
"""By how much the unit roundoff of extended precision is smaller, at least: 2^-64 instead of 2^-53."""

HAS_EXTENDED = np.finfo(np.longdouble).nmant in (63, 112)
"""Whether numpy's long double is IEEE extended or quadruple precision, which it is not on every machine."""


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

    def __sub__(self, other: Enclosure) -> Enclosure:
        return self + Enclosure(-other.value, other.error)

    def __getitem__(self, index: Any) -> Enclosure:
        return Enclosure(self.value[index], self.error[index])

    def high(self) -> Tensor:
        """Upper bounds."""
        return torch.where(self.error == 0, self.value, next_up(self.value + self.error))

    def low(self) -> Tensor:
        """Lower bounds."""
        return -Enclosure(-self.value, self.error).high()

    def scaled(self, factor: Tensor) -> Enclosure:
        """Times known numbers."""
        value = self.value * factor
        plain = (factor == 0) | (factor.abs() == 1)
        own = torch.where(plain, 0.0, 2.0 * UNIT_ROUNDOFF * value.abs() + SMALLEST_NORMAL)
        return Enclosure(value, torch.where(factor == 0, 0.0, inflated(self.error * factor.abs()) + own))


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


def moved(affine: AffineMap, inputs: Enclosure) -> Enclosure:
    """``A x`` for every row x, without the constant part; exactly 0 where no product is other than 0."""
    if isinstance(affine, Composition):
        return reduce(lambda values, factor: moved(factor, values), affine.factors, inputs)
    if isinstance(affine, Sum):
        return reduce(Enclosure.__add__, [moved(summand, inputs) for summand in affine.summands])
    if isinstance(affine, Rearrangement):  # rounds nothing
        return Enclosure(affine.linear(inputs.value), affine.linear(inputs.error))
    magnitude = affine.absolute()
    error = _error(affine.terms, magnitude.linear(inputs.value.abs()), magnitude.linear(inputs.error))
    moving = touched(affine, (inputs.value != 0) | (inputs.error > 0))
    return Enclosure(torch.where(moving, affine.linear(inputs.value), 0.0), torch.where(moving, error, 0.0))


def moved_precisely(affine: AffineMap, inputs: Enclosure) -> Enclosure:
    """The same for one row x, with sums in extended precision where the machine has it and the matrix is at hand."""
    if not HAS_EXTENDED or not is_exact(affine):
        return moved(affine, inputs)
    rows, x = affine.rows(), inputs.value[0].numpy().astype(np.longdouble)
    if isinstance(rows, SparseRows):
        total = np.zeros(affine.outputs, dtype=np.longdouble)
        np.add.at(total, row_numbers(rows), rows.data.astype(np.longdouble) * x[rows.indices])
    else:
        total = rows.astype(np.longdouble) @ x
    value = torch.tensor(total.astype(np.float64))[None]
    magnitude = affine.absolute()
    carried = magnitude.linear(inputs.error)
    # sums in extended precision are 2^10 times as exact, and are rounded once
    own = _error(affine.terms, magnitude.linear(inputs.value.abs()), torch.zeros_like(carried)) / EXTENDED
    error = own + 2.0 * UNIT_ROUNDOFF * value.abs() + carried * (1.0 + relative_error(affine.terms))
    error = error + 4.0 * (affine.terms + 1) * SMALLEST_NORMAL
    moving = touched(affine, (inputs.value != 0) | (inputs.error > 0))
    return Enclosure(torch.where(moving, value, 0.0), torch.where(moving, error, 0.0))


def reach(affine: AffineMap, sizes: Tensor) -> Tensor:
    """Upper bounds on ``|A| s`` for bounds s >= 0."""
    if isinstance(affine, Composition):
        return reduce(lambda values, factor: reach(factor, values), affine.factors, sizes)
    if isinstance(affine, Sum):
        return reduce(lambda total, part: next_up(total + part), [reach(a, sizes) for a in affine.summands])
    computed = affine.absolute().linear(sizes)
    return computed * (1.0 + relative_error(affine.terms)) + 4.0 * (affine.terms + 1) * SMALLEST_NORMAL


def moved_back(affine: AffineMap, rows: Enclosure) -> Enclosure:
    """``A^T u`` for every row u; exactly 0 where no product is other than 0."""
    if isinstance(affine, Composition):
        return reduce(lambda values, factor: moved_back(factor, values), reversed(affine.factors), rows)
    if isinstance(affine, Sum):
        return reduce(Enclosure.__add__, [moved_back(summand, rows) for summand in affine.summands])
    if isinstance(affine, Rearrangement):
        inside = affine.index >= 0
        return gathered(rows[:, inside], affine.index[inside], affine.inputs)
    magnitude, terms = affine.absolute(), affine.outputs + affine.terms
    error = _error(terms, magnitude.adjoint(rows.value.abs()), magnitude.adjoint(rows.error))
    moving = touched_back(affine, (rows.value != 0) | (rows.error > 0))
    return Enclosure(torch.where(moving, affine.adjoint(rows.value), 0.0), torch.where(moving, error, 0.0))


def gathered(rows: Enclosure, index: Tensor, size: int) -> Enclosure:
    """Entry j of every row added to entry ``index_j``, of ``size`` entries; exact where at most one is added."""

    def added(values: Tensor) -> Tensor:
        return torch.zeros(len(values), size, dtype=torch.float64).index_add_(1, index, values)

    count = torch.bincount(index, minlength=size)
    relative = relative_error(int(count.max()) if len(index) else 0)
    value, carried = added(rows.value), added(rows.error)
    # sums of floats never underflow; (1 + relative) covers the rounding of both bounds
    own = torch.where(count > 1, relative * added(rows.value.abs()) * (1.0 + relative), 0.0)
    return Enclosure(value, torch.where(count > 1, inflated(own + carried * (1.0 + relative)), carried))


def touched(affine: AffineMap, nonzero: Tensor) -> Tensor:
    """Which outputs have a product that is not 0; no product of several weights is formed, which could vanish."""
    if isinstance(affine, Composition):
        for factor in affine.factors:
            nonzero = touched(factor, nonzero)
        return nonzero
    if isinstance(affine, Sum):
        return torch.stack([touched(summand, nonzero) for summand in affine.summands]).any(dim=0)
    return affine.absolute().linear(nonzero.to(torch.float64)) > 0


def touched_back(affine: AffineMap, nonzero: Tensor) -> Tensor:
    """The same for the transposed map."""
    if isinstance(affine, Composition):
        for factor in reversed(affine.factors):
            nonzero = touched_back(factor, nonzero)
        return nonzero
    if isinstance(affine, Sum):
        return torch.stack([touched_back(summand, nonzero) for summand in affine.summands]).any(dim=0)
    return affine.absolute().adjoint(nonzero.to(torch.float64)) > 0


def _error(terms: int, size: Tensor, carried: Tensor) -> Tensor:
    """Rounding of sums of so many terms and of such size, and what was wrong before.

    The sums of absolute values are computed, too, and may be too small by gamma_n of themselves, which ``1 + relative``
    covers: ``relative`` is 2 (n + 8) u, twice gamma_n and 16 u more. Each product that underflows loses at most half of
    the smallest subnormal number.
    """
    relative = relative_error(terms)
    own = relative * (size + carried) * (1.0 + relative)
    return own + carried * (1.0 + relative) + 4.0 * (terms + 1) * SMALLEST_NORMAL


__all__ = ["Enclosure", "applied", "gathered", "moved", "moved_back", "moved_precisely", "next_up", "reach"]
