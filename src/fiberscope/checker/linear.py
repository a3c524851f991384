"""The stages of a stored network as matrices, for whatever arithmetic goes through them.

An affine map is a matrix with a constant, several of them one after the other, or a sum; nothing is multiplied out. A
piecewise linear activation is known by its kinks, and by the slopes between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

import numpy as np

from fiberscope.checker.affine import gathered, matrix_of
from fiberscope.checker.stored import INPUT, NOTHING, Activation, Array, FloatArray, Map, Stage

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Linear:
    """An affine map.

    Attributes:
        matrix: A, or None where the map consists of parts.
        bias: b of ``A x + b``; of parts it lies in them.
        parts: maps that are applied one after the other, the first one first, or whose results are added up.
        is_sum: whether they are added up.
    """

    matrix: Any
    bias: FloatArray
    parts: tuple[Linear, ...] = ()
    is_sum: bool = False

    @staticmethod
    def of(affine: Map) -> Linear:
        """A stored map; sums that take one number several times are sums of copies, so that no weights are added."""
        if affine.parts and affine.kind != "transposed":
            return Linear(None, affine.bias, tuple(map(Linear.of, affine.parts)), affine.kind == "sum")
        if affine.kind == "weighted_sums" and _repeats(affine.arrays["index"]):
            index, weights = affine.arrays["index"].ravel(), affine.arrays["weights"].ravel()
            kept = np.flatnonzero((index != NOTHING) & (weights != 0))
            row = kept // affine.arrays["index"].shape[1]
            sums = gathered(row, np.arange(len(kept)), weights[kept], (affine.outputs, len(kept)))
            copies = selection(index[kept], affine.inputs)
            return Linear(None, affine.bias, (copies, Linear(sums, affine.bias)))
        return Linear(matrix_of(affine), affine.bias)

    def forward(self, values: T, step: Callable[[T, Linear], T], add: Callable[[T, T], T]) -> T:
        """What comes out of the map, if ``step`` applies one matrix."""
        if self.matrix is not None:
            return step(values, self)
        if self.is_sum:
            return reduce(add, [part.forward(values, step, add) for part in self.parts])
        return reduce(lambda before, part: part.forward(before, step, add), self.parts, values)

    def backward(self, rows: T, step: Callable[[T, Linear], T], add: Callable[[T, T], T]) -> T:
        """The same of the transposed map, without constants: the last matrix comes first."""
        if self.matrix is not None:
            return step(rows, self)
        if self.is_sum:
            return reduce(add, [part.backward(rows, step, add) for part in self.parts])
        return reduce(lambda before, part: part.backward(before, step, add), reversed(self.parts), rows)


def _repeats(index: Array) -> bool:
    """Whether a row names one place several times."""
    ordered = np.sort(index, axis=1)
    return bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOTHING)).any())


def selection(index: Array, inputs: int) -> Linear:
    """``x -> x[index]``."""
    places, ones = np.arange(len(index)), np.ones(len(index))
    return Linear(gathered(places, index, ones, (len(index), inputs)), np.zeros(len(index)))


def diagonal(slope: FloatArray) -> Linear:
    """``x -> s x``, number by number; a slope of 0 is no entry."""
    places = np.arange(len(slope))
    return Linear(gathered(places, places, slope, (len(slope), len(slope))), np.zeros(len(slope)))


def pieces(activation: Activation) -> tuple[tuple[float, ...], FloatArray] | None:
    """The kinks of a pointwise activation, ascending, and the slopes (p, m) on the pieces; None if it is smooth."""
    ones = np.ones(activation.outputs)
    match activation.kind:
        case "relu":
            return (0.0,), np.stack([0.0 * ones, ones])
        case "leaky_relu":
            assert activation.slope is not None, "a leaky ReLU is read with its slopes"
            return (0.0,), np.stack([activation.slope, ones])
        case "clip" if activation.alpha == activation.beta:
            return (), 0.0 * ones[None]
        case "clip":
            below, above = bool(np.isfinite(activation.alpha)), bool(np.isfinite(activation.beta))
            kinks = (*[activation.alpha] * below, *[activation.beta] * above)
            return kinks, np.stack([*[0.0 * ones] * below, ones, *[0.0 * ones] * above])
        case _:
            return None


def needed(stages: Sequence[Stage], last: int) -> list[int]:
    """The stages that one depends on, and itself, each after its sources."""
    met, waiting = {INPUT}, [last]
    while waiting:
        number = waiting.pop()
        if number not in met:
            met.add(number)
            waiting.extend(stages[number].sources)
    return sorted(met - {INPUT})


def leads_through(stages: Sequence[Stage], last: int, through: int) -> bool:
    """Whether every way from the input to one stage passes another, or ends in it."""
    reached = {INPUT}
    for number in needed(stages, last):
        if number != through and reached.intersection(stages[number].sources):
            reached.add(number)
    return last not in reached


__all__ = ["Linear", "diagonal", "leads_through", "needed", "pieces", "selection"]
