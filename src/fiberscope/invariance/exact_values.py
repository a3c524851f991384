"""What a network computes in exact real arithmetic: every number a whole number times a power of two.

Weights and inputs are float64, so that sums and products of them are whole numbers times a power of two, however long.
They are cut into pieces of a few bits, and the maps of the network multiply pieces in float64: a sum of k products of
whole numbers below ``2^a`` and ``2^b`` is exact, in any order and with or without fused operations, as long as
``k 2^(a + b) <= 2^53``, because no partial sum needs more than the 53 bits of float64. So a convolution stays one, and
an exact evaluation costs as many of them as there are pairs of pieces.

Rational inputs ``p / D`` are evaluated as ``p``: constants and kinks are multiplied by ``D`` instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fiberscope.checker.matrices import NotProvedError
from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.affine import AffineMap, Dense
from fiberscope.network.arrays import FloatArray
from fiberscope.network.combination import Composition, Sum
from fiberscope.network.convolution import Convolution, Transposed
from fiberscope.network.network import Network
from fiberscope.network.structured import Diagonal, Rearrangement, WeightedSums

WholeNumbers: TypeAlias = NDArray[np.object_]
"""Whole numbers of any length."""

SIGNIFICAND = 53
"""Whole numbers of no more bits are exact in float64."""

MOST_MULTIPLICATIONS = 10**10
"""Multiplications in float64 at most: some ten seconds."""

MOST_NUMBERS = 2 * 10**7
"""Whole numbers that may be put together at most: some ten seconds, and a gigabyte."""

_WEIGHTS: dict[type[AffineMap], str] = {
    Dense: "weight",
    Convolution: "weight",
    Diagonal: "factor",
    WeightedSums: "weights",
}


@dataclass(frozen=True, eq=False)
class Exact:
    """``numbers * 2**exponent``, entry by entry.

    Attributes:
        numbers: (N, m) whole numbers.
        exponent: of two.
    """

    numbers: WholeNumbers
    exponent: int

    @staticmethod
    def of(values: FloatArray) -> Exact:
        """The exact values of float64 numbers, which must be finite."""
        lowest = _lowest_exponent(values)
        mantissa, exponent = np.frexp(values)
        whole = np.asarray(mantissa * 2.0**SIGNIFICAND, dtype=np.int64).astype(object)
        shifts = np.where(values != 0, exponent - SIGNIFICAND - lowest, 0)
        up, down = (np.maximum(shift, 0).astype(object) for shift in (shifts, -shifts))
        return Exact(np.asarray((whole << up) >> down, dtype=object), lowest)

    def __add__(self, other: Exact) -> Exact:
        left, right, exponent = _aligned(self, other)
        return Exact(left + right, exponent)

    def __sub__(self, other: Exact) -> Exact:
        left, right, exponent = _aligned(self, other)
        return Exact(left - right, exponent)

    def __getitem__(self, index: Any) -> Exact:
        return Exact(self.numbers[index], self.exponent)

    def times(self, factor: int) -> Exact:
        """Every number times a whole number."""
        return self if factor == 1 else Exact(self.numbers * factor, self.exponent)

    def shortened(self) -> Exact:
        """The same numbers, with no power of two common to all whole numbers."""
        bits = reduce(int.__or__, (abs(number) for number in self.numbers.ravel().tolist()), 0)
        common = (bits & -bits).bit_length() - 1
        return Exact(self.numbers >> common, self.exponent + common) if common > 0 else self

    def floats(self) -> FloatArray:
        """The numbers in float64, rounded: a unit in the last place off, inf and 0 beyond its range."""
        longest = max((abs(number) for number in self.numbers.ravel().tolist()), default=0).bit_length()
        cut = max(0, longest - 1000)  # float64 holds numbers of up to 1023 bits
        return np.ldexp((self.numbers >> cut).astype(np.float64), self.exponent + cut)

    def fractions(self) -> NDArray[np.object_]:
        """The numbers as fractions, in an array of the same shape."""
        scale = Fraction(2) ** self.exponent
        flat = [number * scale for number in self.numbers.ravel().tolist()]
        out = np.empty(len(flat), dtype=object)
        out[:] = flat
        return out.reshape(self.numbers.shape)


def _aligned(left: Exact, right: Exact) -> tuple[WholeNumbers, WholeNumbers, int]:
    exponent = min(left.exponent, right.exponent)
    return left.numbers << (left.exponent - exponent), right.numbers << (right.exponent - exponent), exponent


@dataclass(eq=False)
class Effort:
    """What exact arithmetic has taken so far.

    Attributes:
        multiplications: in float64.
        numbers: whole numbers of any length that were put together.
    """

    multiplications: int = 0
    numbers: int = 0

    def spend(self, multiplications: int, numbers: int) -> None:
        """Count what comes next.

        Raises:
            NotProvedError: it would be too much.
        """
        self.multiplications += multiplications
        self.numbers += numbers
        if self.multiplications > MOST_MULTIPLICATIONS or self.numbers > MOST_NUMBERS:
            raise NotProvedError(
                f"exact arithmetic would take more than {MOST_MULTIPLICATIONS:.0e} multiplications, or more than "
                f"{MOST_NUMBERS:.0e} numbers of any length"
            )


@dataclass(frozen=True, eq=False)
class ExactArithmetic:
    """Applies affine maps and activations to exact numbers.

    Attributes:
        effort: what it has taken; where it is too much, it refuses to go on.
        denominator: D; all numbers are D times what they stand for.
    """

    effort: Effort = field(default_factory=Effort)
    denominator: int = 1

    def affine(self, affine: AffineMap, X: Exact) -> Exact:
        """``A x + b`` for each row x."""
        if isinstance(affine, Composition):
            return reduce(lambda values, factor: self.affine(factor, values), affine.factors, X)
        if isinstance(affine, Sum):
            return _total([self.affine(summand, X) for summand in affine.summands])
        constant = Exact.of(affine.bias.cpu().numpy()[None]).times(self.denominator)
        return (self.linear(affine, X) + constant).shortened()

    def linear(self, affine: AffineMap, X: Exact) -> Exact:
        """``A x`` for each row x."""
        if isinstance(affine, Composition):
            return reduce(lambda values, factor: self.linear(factor, values), affine.factors, X)
        if isinstance(affine, Sum):
            return _total([self.linear(summand, X) for summand in affine.summands])
        if isinstance(affine, Rearrangement):
            self.effort.spend(0, X.numbers.shape[0] * affine.outputs)
            index = affine.index.cpu().numpy()
            return Exact(np.where(index >= 0, X.numbers[:, np.maximum(index, 0)], 0), X.exponent)
        return self._product(affine, X)

    def _product(self, affine: AffineMap, X: Exact) -> Exact:
        weights = _weights(affine).cpu().numpy()
        lowest, highest = _lowest_exponent(weights), int(np.frexp(np.abs(weights).max())[1])
        long = max((abs(number) for number in X.numbers.ravel().tolist()), default=0).bit_length()
        if not weights.any() or long == 0:
            return Exact(_zeros(X.numbers.shape[0], affine.outputs), 0)
        bits, other_bits = _piece_sizes(highest - lowest, long, affine.terms)
        matrices = [_with_weights(affine, part) for part in _pieces_of_floats(weights, lowest, highest, bits)]
        inputs = [torch.tensor(part) for part in _pieces(X.numbers, other_bits)]
        count, outputs = X.numbers.shape[0], affine.outputs
        pairs = len(matrices) * len(inputs)
        self.effort.spend(pairs * count * outputs * affine.terms, pairs * count * outputs)
        total = _zeros(count, outputs)
        for i, matrix in enumerate(matrices):
            for j, part in enumerate(inputs):
                product = matrix.linear(part).numpy().astype(np.int64).astype(object)
                total = total + (product << (i * bits + j * other_bits))
        return Exact(total, lowest + X.exponent)

    def pointwise(self, activation: Pointwise, Z: Exact) -> Exact:
        """What a pointwise activation with kinks gives for each row."""
        if activation.slope is not None:
            slopes = Exact.of(activation.slope.cpu().numpy()[None])
            below = Exact(np.minimum(Z.numbers, 0) * slopes.numbers, Z.exponent + slopes.exponent)
            return (Exact(np.maximum(Z.numbers, 0), Z.exponent) + below).shortened()
        if activation.kinks() is None:
            raise NotProvedError(f"{activation.kind} is smooth: its values are no rational numbers")
        values, (low, high) = Z, activation.cut
        for bound, cut in ((low, np.maximum), (high, np.minimum)):
            if np.isfinite(bound):
                numbers, limit, exponent = _aligned(values, self.constant(bound))
                values = Exact(np.asarray(cut(numbers, limit), dtype=object), exponent)
        return values

    def maximum(self, activation: Maximum, Z: Exact) -> Exact:
        """The largest number of every window."""
        index = activation.index.cpu().numpy()
        self.effort.spend(0, Z.numbers.shape[0] * index.size)
        first = index[np.arange(len(index)), (index >= 0).argmax(axis=1)]
        out = Z.numbers[:, first]
        for tap in index.T:
            out = np.maximum(out, Z.numbers[:, np.where(tap >= 0, tap, first)])
        return Exact(np.asarray(out, dtype=object), Z.exponent)

    def constant(self, value: float) -> Exact:
        """One number, as it is compared with the others: times D."""
        return Exact.of(np.array([[value]])).times(self.denominator)

    def stage(self, network: Network, number: int, before: list[Exact]) -> Exact:
        """What a stage gives for what its sources give.

        Raises:
            NotProvedError: a smooth activation, or too much work.
        """
        part = network.stages[number]
        match part.activation:
            case None:
                return _total([self.affine(a, X) for a, X in zip(part.maps, before, strict=True)])
            case Maximum():
                return self.maximum(part.activation, before[0])
            case Pointwise():
                return self.pointwise(part.activation, before[0])
            case _:
                raise NotProvedError(f"{part.activation.kind} is no activation that exact arithmetic knows")


def _zeros(count: int, size: int) -> WholeNumbers:
    return np.zeros((count, size), dtype=object)


def _total(parts: list[Exact]) -> Exact:
    return reduce(Exact.__add__, parts)


def _weights(affine: AffineMap) -> Tensor:
    """The numbers that a map multiplies by."""
    if isinstance(affine, Transposed):
        return _weights(affine.forward)
    if isinstance(affine, Dense | Convolution | Diagonal | WeightedSums):
        return getattr(affine, _WEIGHTS[type(affine)])
    raise NotProvedError(f"{affine.kind} is no map that exact arithmetic knows")


def _with_weights(affine: AffineMap, weights: FloatArray) -> AffineMap:
    """The same map with other numbers; its constant plays no role."""
    if isinstance(affine, Transposed):
        forward = _with_weights(affine.forward, weights)
        assert isinstance(forward, Convolution), "other numbers do not make another map"
        return replace(affine, forward=forward, bias=None)
    assert isinstance(affine, Dense | Convolution | Diagonal | WeightedSums), "others have no numbers"
    changed: dict[str, Any] = {_WEIGHTS[type(affine)]: torch.tensor(weights)}
    return replace(affine, **changed)


def _piece_sizes(weight_bits: int, input_bits: int, terms: int) -> tuple[int, int]:
    """How many bits the pieces of weights and of inputs have: so few that sums of products stay exact."""
    room = SIGNIFICAND - (terms - 1).bit_length()  # terms <= 2 ** (terms - 1).bit_length()
    if room < 2:
        raise NotProvedError(f"sums of {terms} terms are too long for exact arithmetic")
    half = room // 2
    if weight_bits <= half:
        return weight_bits, min(input_bits, room - weight_bits)
    if input_bits <= half:
        return min(weight_bits, room - input_bits), input_bits
    return half, room - half


def _lowest_exponent(values: FloatArray) -> int:
    """The largest e for which every number is a whole multiple of ``2**e``; 0 where all numbers are 0."""
    nonzero = values[values != 0]
    if not nonzero.size:
        return 0
    mantissa, exponent = np.frexp(nonzero)
    whole = np.asarray(np.abs(mantissa) * 2.0**SIGNIFICAND, dtype=np.int64)
    _, place = np.frexp(np.asarray(whole & -whole, dtype=np.float64))  # of the last bit, from 1
    return int((exponent - SIGNIFICAND + place - 1).min())


def _pieces_of_floats(values: FloatArray, lowest: int, highest: int, bits: int) -> list[FloatArray]:
    """The same of ``values * 2**-lowest``, which are below ``2**(highest - lowest)``."""
    pieces: list[FloatArray] = []
    for place in reversed(range(lowest, highest, bits)):
        piece = np.trunc(np.ldexp(values, -place))
        values = values - np.ldexp(piece, place)  # takes away the first bits, and rounds nothing
        pieces.append(piece)
    return pieces[::-1]


def _pieces(numbers: WholeNumbers, bits: int) -> list[FloatArray]:
    """Whole numbers ``sum_k piece_k 2^(k bits)`` with pieces below ``2^bits``, of the sign of the number."""
    sign = np.sign(numbers)
    rest, mask = abs(numbers), (1 << bits) - 1
    pieces: list[FloatArray] = []
    while rest.any():
        pieces.append((sign * (rest & mask)).astype(np.float64))
        rest = rest >> bits
    return pieces


__all__ = ["Effort", "Exact", "ExactArithmetic", "WholeNumbers"]
