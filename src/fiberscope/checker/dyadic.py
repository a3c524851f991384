"""What stages give in exact real arithmetic: every number a whole number times a power of two.

Weights and inputs are float64, so that sums and products of them are whole numbers times a power of two, however long.
They are cut into pieces of a few bits, and pieces are multiplied in float64: a sum of k products of whole numbers below
``2^a`` and ``2^b`` is exact, in any order, as long as ``k 2^(a + b) <= 2^53``, because no partial sum needs more than
the 53 bits of float64. Rational inputs ``p / D`` are evaluated as ``p``: constants and kinks are multiplied by D.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fiberscope.checker.affine import Matrix, csr_array
from fiberscope.checker.exact import as_integers
from fiberscope.checker.linear import Linear
from fiberscope.checker.matrices import NotProvedError, entries, is_dense
from fiberscope.checker.stored import INPUT, NOTHING, Activation, Array, FloatArray, Stage

WholeNumbers: TypeAlias = NDArray[np.object_]

SIGNIFICAND = 53
"""Whole numbers of no more bits are exact in float64."""

FLOAT_BITS = 1000
"""Numbers of so many bits fit into float64."""

MOST_MULTIPLICATIONS = 10**10
"""Multiplications in float64 at most: some ten seconds. Where it takes more, nothing is proved."""

MOST_NUMBERS = 2 * 10**7
"""Whole numbers that may be put together at most: some ten seconds, and a gigabyte."""


@dataclass(frozen=True, eq=False)
class Whole:
    """``numbers * 2**exponent``, entry by entry.

    Attributes:
        numbers: (m, N) whole numbers of any length; a column for each point.
        exponent: of two.
    """

    numbers: WholeNumbers
    exponent: int

    @staticmethod
    def of(values: FloatArray) -> Whole:
        """The exact values of float64 numbers, which must be finite."""
        integers, exponent = as_integers(values)
        out = np.empty(len(integers), dtype=object)
        out[:] = integers
        return Whole(out.reshape(values.shape), exponent if any(integers) else 0)

    def __add__(self, other: Whole) -> Whole:
        left, right, exponent = aligned(self, other)
        return Whole(left + right, exponent)

    def __sub__(self, other: Whole) -> Whole:
        left, right, exponent = aligned(self, other)
        return Whole(left - right, exponent)

    def __getitem__(self, index: Any) -> Whole:
        return Whole(self.numbers[index], self.exponent)

    def times(self, factor: int) -> Whole:
        """Every number times a whole number."""
        return self if factor == 1 else Whole(self.numbers * factor, self.exponent)

    def shortened(self) -> Whole:
        """The same numbers, with no power of two common to all whole numbers."""
        bits = reduce(int.__or__, (abs(number) for number in self.numbers.ravel().tolist()), 0)
        common = (bits & -bits).bit_length() - 1
        return Whole(self.numbers >> common, self.exponent + common) if common > 0 else self

    def signs(self) -> Array:
        """1, 0 or -1."""
        return (self.numbers > 0).astype(np.int64) - (self.numbers < 0).astype(np.int64)

    def sizes(self) -> tuple[FloatArray, FloatArray]:
        """Bounds on the absolute values from below and above, which are 0 only where a number is."""
        size = np.abs(self.numbers)
        cut = max(0, max((number.bit_length() for number in size.ravel().tolist()), default=0) - FLOAT_BITS)
        floor, exponent = size >> cut, np.clip(self.exponent + cut, -(2**20), 2**20)
        with np.errstate(over="ignore"):
            low, high = (np.ldexp(part.astype(np.float64), exponent) for part in (floor, floor + (cut > 0)))
        # the conversion and the power of two round by less than the distance to the next number
        return np.nextafter(low, 0.0), np.where(self.signs() == 0, 0.0, np.nextafter(high, np.inf))


def aligned(left: Whole, right: Whole) -> tuple[WholeNumbers, WholeNumbers, int]:
    """The whole numbers of both, with one exponent."""
    exponent = min(left.exponent, right.exponent)
    return left.numbers << (left.exponent - exponent), right.numbers << (right.exponent - exponent), exponent


@dataclass(eq=False)
class Work:
    """What exact arithmetic has taken so far: multiplications in float64, and whole numbers that were put together."""

    multiplications: int = 0
    numbers: int = 0

    def spend(self, multiplications: int, numbers: int) -> None:
        """Count what comes next; NotProvedError where it would be too much."""
        self.multiplications += multiplications
        self.numbers += numbers
        if self.multiplications > MOST_MULTIPLICATIONS or self.numbers > MOST_NUMBERS:
            raise NotProvedError(
                f"exact arithmetic would take more than {MOST_MULTIPLICATIONS:.0e} multiplications, or more than "
                f"{MOST_NUMBERS:.0e} numbers of any length"
            )


@dataclass(eq=False)
class Evaluation:
    """A network at some points, stage by stage, as far as was asked.

    Attributes:
        stages: the stages.
        linear: their affine maps as matrices.
        points: (n, N) D times the points.
        denominator: D.
        work: what it has taken; where it is too much, it refuses to go on.
    """

    stages: tuple[Stage, ...]
    linear: dict[int, tuple[Linear, ...]]
    points: Whole
    denominator: int = 1
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        self._values: dict[int, Whole] = {INPUT: self.points}

    def at(self, number: int) -> Whole:
        """What a stage gives, whose sources have been asked for before."""
        if number not in self._values:
            self._values[number] = self.stage(number, [self._values[k] for k in self.stages[number].sources])
        return self._values[number]

    def stage(self, number: int, before: list[Whole]) -> Whole:
        """What a stage gives for what its sources give; NotProvedError of a smooth activation, or too much work."""
        activation = self.stages[number].activation
        if activation is None:
            maps = zip(self.linear[number], before, strict=True)
            return reduce(Whole.__add__, [each.forward(X, self._affine, Whole.__add__) for each, X in maps])
        if activation.index is not None:
            index, (X,) = activation.index, before
            self.work.spend(0, X.numbers.shape[1] * index.size)
            first = index[np.arange(len(index)), (index != NOTHING).argmax(axis=1)]
            taps = [X.numbers[np.where(tap == NOTHING, first, tap)] for tap in index.T]
            return Whole(np.asarray(reduce(np.maximum, taps), dtype=object), X.exponent)
        return self.pointwise(activation, before[0])

    def pointwise(self, activation: Activation, Z: Whole) -> Whole:
        """What a piecewise linear activation gives."""
        match activation.kind:
            case "clip":
                values = Z
                for bound, cut in ((activation.alpha, np.maximum), (activation.beta, np.minimum)):
                    if np.isfinite(bound):
                        numbers, limit, exponent = aligned(values, self.constant(bound))
                        values = Whole(np.asarray(cut(numbers, limit), dtype=object), exponent)
                return values
            case "relu" | "leaky_relu":
                above = Whole(np.asarray(np.maximum(Z.numbers, 0), dtype=object), Z.exponent)
                if activation.slope is None:
                    return above
                slope = Whole.of(activation.slope[:, None])
                below = Whole(np.minimum(Z.numbers, 0) * slope.numbers, Z.exponent + slope.exponent)
                return (above + below).shortened()
            case kind:
                raise NotProvedError(f"{kind} is smooth, and linear on no piece: its values are no rational numbers")

    def constant(self, value: float) -> Whole:
        """One number, as it is compared with others: times D."""
        return Whole.of(np.array([[value]])).times(self.denominator)

    def _affine(self, X: Whole, linear: Linear) -> Whole:
        constant = Whole.of(linear.bias[:, None]).times(self.denominator)
        return (product(linear.matrix, X, self.work) + constant).shortened()


def product(matrix: Matrix, X: Whole, work: Work) -> Whole:
    """``A X`` exactly."""
    weights, (m, count) = np.asarray(entries(matrix)), (matrix.shape[0], X.numbers.shape[1])
    long = max((abs(number) for number in X.numbers.ravel().tolist()), default=0).bit_length()
    if not weights.any() or long == 0:
        return Whole(np.zeros((m, count), dtype=object), 0)
    lowest, highest = _lowest_exponent(weights), int(np.frexp(np.abs(weights).max())[1])
    inside = None if is_dense(matrix) else (matrix.indices, matrix.indptr)
    terms = matrix.shape[1] if inside is None else int(np.diff(inside[1]).max())
    bits, other_bits = _piece_sizes(highest - lowest, long, terms)
    outer, inner = _pieces_of_floats(weights, lowest, highest, bits), _pieces(X.numbers, other_bits)
    work.spend(len(outer) * len(inner) * count * weights.size, len(outer) * len(inner) * count * m)
    total: WholeNumbers = np.zeros((m, count), dtype=object)
    together = np.concatenate(inner, axis=1)
    for i, piece in enumerate(outer):
        part = piece if inside is None else csr_array((piece, *inside), shape=matrix.shape)
        whole = np.asarray(part @ together, dtype=np.int64).astype(object).reshape(m, len(inner), count)
        for j in range(len(inner)):
            total = np.asarray(total + (whole[:, j] << (i * bits + j * other_bits)), dtype=object)
    return Whole(total, lowest + X.exponent)


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
    """The largest e for which every number is a whole multiple of ``2**e``."""
    mantissa, exponent = np.frexp(values[values != 0])
    whole = np.asarray(np.abs(mantissa) * 2.0**SIGNIFICAND, dtype=np.int64)
    _, place = np.frexp(np.asarray(whole & -whole, dtype=np.float64))  # of the last bit, from 1
    return int((exponent - SIGNIFICAND + place - 1).min())


def _pieces_of_floats(values: FloatArray, lowest: int, highest: int, bits: int) -> list[FloatArray]:
    """``values * 2**-lowest``, below ``2**(highest - lowest)``, as whole numbers ``sum_k piece_k 2**(k bits)``."""
    found: list[FloatArray] = []
    for place in reversed(range(lowest, highest, bits)):
        piece = np.trunc(np.ldexp(values, -place))
        values = values - np.ldexp(piece, place)  # takes away the first bits, and rounds nothing
        found.append(piece)
    return found[::-1]


def _pieces(numbers: WholeNumbers, bits: int) -> list[FloatArray]:
    """Whole numbers ``sum_k piece_k 2**(k bits)`` with pieces below ``2**bits``, of the sign of the number."""
    sign, rest, mask = np.sign(numbers), abs(numbers), (1 << bits) - 1
    found: list[FloatArray] = []
    while rest.any():
        found.append((sign * (rest & mask)).astype(np.float64))
        rest = rest >> bits
    return found


__all__ = ["Evaluation", "Whole", "WholeNumbers", "Work", "aligned", "product"]
