"""Affine maps made of others: one after the other, and sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from fiberscope.errors import InputError
from fiberscope.network.affine import AffineMap, constant_part
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.convolution import Convolution, joined_pointwise
from fiberscope.network.rows import Rows, added, product, split_column, with_column
from fiberscope.network.structured import Diagonal, Rearrangement, WeightedSums

LEAST_EXPONENT, MOST_EXPONENT = -1022, 1023
"""Of powers of two that are normal numbers in float64."""


@dataclass(frozen=True, eq=False, repr=False)
class Composition(AffineMap):
    """``x -> A_k (... (A_1 x + b_1) ...) + b_k``.

    Args:
        factors: at least one map, the first to be applied first.
    """

    kind: ClassVar[str] = "composition"

    factors: tuple[AffineMap, ...]
    bias: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        for first, second in zip(self.factors, self.factors[1:], strict=False):
            if first.outputs != second.inputs:
                raise InputError(
                    "composition", expected=f"a second map of {first.outputs} inputs", got=f"{second.inputs} inputs"
                )
        zero = torch.zeros(1, self.inputs, dtype=torch.float64)
        object.__setattr__(self, "bias", self.apply(zero)[0])

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return self.factors[0].inputs

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return self.factors[-1].outputs

    @property
    def terms(self) -> int:
        """The terms of all factors: a bound on the roundings that one path through them meets."""
        return sum(factor.terms for factor in self.factors)

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return sum(factor.parameters for factor in self.factors)

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Apply the linear part of one map after the other."""
        values = X
        for factor in self.factors:
            values = factor.linear(values)
        return values

    def apply(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Apply one map after the other."""
        values = X
        for factor in self.factors:
            values = factor.apply(values)
        return values

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Apply one transposed map after the other, the last first."""
        values = U
        for factor in reversed(self.factors):
            values = factor.adjoint(values)
        return values

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of ``A_k ... A_1``, rounded after every operation; see ``fiberscope.network.rows``."""
        out = self.factors[-1].rows(indices)
        for factor in reversed(self.factors[:-1]):
            out = product(out, factor.rows())
        return out

    def absolute(self) -> Composition:
        """The composition of ``x -> |A_i| x + |b_i|``."""
        return Composition(tuple(factor.absolute() for factor in self.factors))

    def __repr__(self) -> str:
        return f"Composition({', '.join(map(repr, self.factors))})"


@dataclass(frozen=True, eq=False, repr=False)
class Sum(AffineMap):
    """``x -> sum_i (A_i x + b_i)``: residual branches that begin at the same place.

    Args:
        summands: at least one map, all of the same sizes.
    """

    kind: ClassVar[str] = "sum"

    summands: tuple[AffineMap, ...]
    bias: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        sizes = {(summand.inputs, summand.outputs) for summand in self.summands}
        if len(sizes) != 1:
            raise InputError("sum", expected="maps of the same sizes", got=f"{sorted(sizes)}")
        total = self.summands[0].bias
        for summand in self.summands[1:]:
            total = total + summand.bias
        object.__setattr__(self, "bias", constant_part(total, self.outputs))

    @property
    def inputs(self) -> int:
        """The number n of input coordinates."""
        return self.summands[0].inputs

    @property
    def outputs(self) -> int:
        """The number m of output coordinates."""
        return self.summands[0].outputs

    @property
    def terms(self) -> int:
        """The terms of all summands."""
        return sum(summand.terms for summand in self.summands)

    @property
    def parameters(self) -> int:
        """The number of stored numbers."""
        return sum(summand.parameters for summand in self.summands)

    def linear(self, X: Float[Tensor, "N n"]) -> Float[Tensor, "N m"]:
        """Add what the linear parts of the maps give."""
        out = self.summands[0].linear(X)
        for summand in self.summands[1:]:
            out = out + summand.linear(X)
        return out

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """Add what the transposed maps give."""
        out = self.summands[0].adjoint(U)
        for summand in self.summands[1:]:
            out = out + summand.adjoint(U)
        return out

    def rows(self, indices: Int64[IntArray, " k"] | None = None) -> Rows:
        """Write out the rows of ``sum_i A_i``."""
        out = self.summands[0].rows(indices)
        for summand in self.summands[1:]:
            out = added(out, summand.rows(indices))
        return out

    def absolute(self) -> Sum:
        """The sum of ``x -> |A_i| x + |b_i|``."""
        return Sum(tuple(summand.absolute() for summand in self.summands))


def composed(*factors: AffineMap) -> AffineMap:
    """Several maps as one; nested compositions are taken apart, and maps that move nothing left out."""
    flat: list[AffineMap] = []
    for factor in factors:
        flat.extend(factor.factors if isinstance(factor, Composition) else [factor])
    kept: list[AffineMap] = []
    for factor in flat:
        if isinstance(factor, Rearrangement) and factor.is_identity:
            continue
        if kept and isinstance(factor, Rearrangement) and isinstance(kept[-1], Rearrangement):
            kept[-1] = _rearranged_twice(kept[-1], factor)
        else:
            kept.append(factor)
    if not kept:
        return flat[0]
    return kept[0] if len(kept) == 1 else Composition(tuple(kept))


def _rearranged_twice(first: Rearrangement, second: Rearrangement) -> Rearrangement:
    inside = second.index >= 0
    source = second.index.clamp(min=0)
    index = torch.where(inside, first.index[source], -1)
    # an input comes through with whatever the first map adds to it; where nothing comes through, that is 0 or b
    bias = torch.where(inside, first.bias[source], 0.0) + second.bias
    return Rearrangement(index, first.inputs, bias)


def as_convolution(affine: AffineMap) -> Convolution | None:
    """A map as a convolution of the numbers that ``as_rows`` gives, where it is one; None elsewhere."""
    match affine:
        case Convolution():
            return affine
        case Composition(factors=(Convolution() as first, Convolution() as second)):
            return joined_pointwise(first, second)
        case _:
            return None


def as_rows(affine: AffineMap) -> tuple[Rows, FloatArray]:
    """A and b as numbers, the same on every machine: products are rounded one after the other, never fused.

    What is proved about a composition holds for these rounded numbers.
    """
    if isinstance(affine, Composition):
        rows, bias = as_rows(affine.factors[0])
        for factor in affine.factors[1:]:
            outer, constant = as_rows(factor)
            rows, bias = split_column(product(outer, with_column(rows, bias)))
            bias = bias + constant
        return rows, bias
    if isinstance(affine, Sum):
        parts = [as_rows(summand) for summand in affine.summands]
        rows, bias = parts[0]
        for more, constant in parts[1:]:
            rows, bias = added(rows, more), bias + constant
        return rows, bias
    return affine.rows(), affine.bias.cpu().numpy()


def is_exact(affine: AffineMap) -> bool:
    """Whether writing the map out rounds nothing, so that its rows are those of the map.

    At most one factor does more than move numbers or scale by 2**k, no two of its weights meet the same number, and no
    product leaves the range of normal numbers.
    """
    if isinstance(affine, Sum):
        return False
    factors = affine.factors if isinstance(affine, Composition) else (affine,)
    others = [place for place, factor in enumerate(factors) if not _only_moves(factor)]
    if len(others) > 1 or (others and isinstance(factors[others[0]], Sum)):
        return False
    before = factors[: others[0]] if others else ()
    if any(isinstance(factor, Rearrangement) and _repeats(factor.index[None]) for factor in before):
        return False
    return not any(_adds_weights(factors[place]) for place in others) and _stays_in_range(factors)


def _only_moves(factor: AffineMap) -> bool:
    if factor.bias.any():
        return False
    if isinstance(factor, Diagonal):
        return bool((torch.frexp(factor.factor.abs()).mantissa == 0.5).all())
    return isinstance(factor, Rearrangement)


def _adds_weights(factor: AffineMap) -> bool:
    """Whether a row of the map is itself a sum of stored weights: a window that takes a number twice."""
    return isinstance(factor, WeightedSums) and _repeats(torch.where(factor.weights != 0, factor.index, -1))


def _repeats(index: Int64[Tensor, "k t"]) -> bool:
    """Whether a row names the same number twice; -1 is none."""
    ordered = index.sort(dim=1).values
    return bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any())


def _stays_in_range(factors: tuple[AffineMap, ...]) -> bool:
    """Whether no product of stored numbers of different factors is subnormal or infinite."""
    if not any(isinstance(factor, Diagonal) for factor in factors) or len(factors) == 1:
        return True
    smallest, largest = 0, 0  # exponents of products of any of the factors
    for factor in factors:
        numbers = torch.cat([numbers.detach().double().abs().flatten() for numbers in _stored(factor)])
        exponents = torch.frexp(numbers[numbers > 0]).exponent
        if len(exponents):
            smallest, largest = smallest + min(0, int(exponents.min()) - 1), largest + max(0, int(exponents.max()))
    return smallest >= LEAST_EXPONENT and largest <= MOST_EXPONENT


def _stored(factor: AffineMap) -> Iterator[Tensor]:
    """All numbers that a map stores."""
    for value in vars(factor).values():
        if isinstance(value, AffineMap):
            yield from _stored(value)
        elif isinstance(value, Tensor) and value.is_floating_point():
            yield value


__all__ = ["Composition", "Sum", "as_convolution", "as_rows", "composed", "is_exact"]
