"""A proof that inputs have the features of another input up to given numbers, all the way to it.

The points are evaluated once each: in float64, with bounds on all that is rounded, or exactly. By how much the features
of a point differ from those of the source is then known, or bounded, and compared with what is allowed.

Between two points a and b the network need not be affine. By how much what a stage gives, v(t), leaves its chord
``(1 - t) v(a) + t v(b)`` is its *bend*, at most ``e``, coordinate by coordinate:

- of an affine map with matrix A, ``e' = |A| e``;
- a piecewise linear function of one number is a line and, at every kink k, a change of slope c. It moves by no more
  than its steepest slope times e when its argument leaves the chord, and leaves its own chord by no more than
  ``|c| min(|z(a) - k|, |z(b) - k|)`` at a kink between z(a) and z(b), because ``max(z - k, 0)`` leaves its chord by at
  most the product of both distances over their sum;
- a maximum moves by no more than its arguments. On the chords of its arguments it lies below its own chord, which is
  convexity, and above that of any one argument w: by no more than what w is behind the largest one at a, or at b.

On the chord, features differ from those of the source by no more than at one of its ends; so between them by no more
than that and the bend. Kinks of the activation that gives the features, if it is one of single numbers and monotone, do
not count: between two numbers, it gives nothing but what lies between what it gives there. Within one linear region
nothing bends, but for corners that rounding has put beside a kink.

Nothing is tried, and nothing is searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Literal, TypeAlias

import numpy as np

from fiberscope.checker.dyadic import Evaluation, Whole, Work
from fiberscope.checker.enclosed import Room
from fiberscope.checker.feature_domain import Domain
from fiberscope.checker.forward import bounds
from fiberscope.checker.linear import Linear, needed, pieces
from fiberscope.checker.matrices import FloatArray, NotProvedError, flushes_subnormal_numbers
from fiberscope.checker.stored import NOTHING, Activation, Array, Stage

Method: TypeAlias = Literal["float", "exact"]

Ends: TypeAlias = tuple[FloatArray, FloatArray]
"""(m, k) bounds of what a stage gives, a column for each point."""


@dataclass(frozen=True, eq=False)
class Claim:
    """The features of some points differ from those of the first by no more than is allowed, each by itself.

    Attributes:
        stage: the number of the stage that gives the features.
        points: (k, n) the source, the corners of the way, and the example.
        domain: where all of them, and the way, lie; a convex set.
        within: (m,) by how much every feature may differ.
        way: whether that is said of the segments between consecutive points, too.
    """

    stage: int
    points: FloatArray
    domain: Domain
    within: FloatArray
    way: bool = True


class Case:
    """One claim about a network.

    Args:
        network: the number of inputs and the stages, as ``fiberscope.checker.stored`` reads them.
        claim: the claim.

    Raises:
        NotProvedError: it is about no inputs of the network, or they lie outside of the domain.
    """

    def __init__(self, network: tuple[int, tuple[Stage, ...]], claim: Claim) -> None:
        if flushes_subnormal_numbers():
            raise NotProvedError("this thread flushes subnormal numbers to zero, so no error bound holds")
        (n, self._stages), self._network, self._claim = network, network, claim
        if claim.points.ndim != 2 or claim.points.shape[1] != n or not np.isfinite(claim.points).all():
            raise NotProvedError("the source or the example lies outside of the domain: it is no input of the network")
        if not 0 <= claim.stage < len(self._stages):
            raise NotProvedError("the network has no such stage")
        if (
            claim.within.shape != (self._stages[claim.stage].outputs,)
            or not (np.isfinite(claim.within) & (claim.within >= 0.0)).all()
        ):
            raise NotProvedError("what features may differ by is no number of at least 0 for each of them")
        self._work = Work()
        self._points = Whole.of(claim.points.T)
        claim.domain.check(self._points, 1, self._work)
        self._last, self._steepest = _decided(self._stages, claim.stage)
        self._linear = {k: tuple(map(Linear.of, self._stages[k].maps)) for k in needed(self._stages, self._last)}

    def prove(self) -> Method:
        """Prove the claim, in float64 if that is precise enough; NotProvedError where it does not close."""
        # what a smooth activation receives may differ by a share of what it gives
        allowed = np.where(
            self._steepest > 1.0, np.nextafter(self._claim.within / self._steepest, 0.0), self._claim.within
        )
        if (self.in_floats() <= self._claim.within).all():
            return "float"
        change, bend = self._exactly()
        over = change + Whole.of(bend[:, None]) - Whole.of(allowed[:, None])
        if (over.numbers > 0).any():
            self._refuse(over)
        return "exact"

    def in_floats(self) -> FloatArray:
        """(m,) bounds on how much features differ, from one evaluation in float64; inf where it overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = [bounds(self._network, x, x, self._last, self._linear) for x in self._claim.points]
            ends = {
                number: (
                    np.stack([each[number][0] for each in found], axis=1),
                    np.stack([each[number][1] for each in found], axis=1),
                )
                for number in found[0]
            }
            low, high = ends[self._last]
            change = np.maximum(_up(high - low[:, :1]), _up(high[:, :1] - low)).max(axis=1)
            change = np.where((low == high).all(axis=1) & (low == low[:, :1]).all(axis=1), 0.0, change)
            total = change + self._bend(ends)
            total = np.where(total == 0.0, 0.0, _up(total)) * self._steepest
        return np.where(np.isnan(total), np.inf, np.where(self._steepest > 1.0, _up(total), total))

    def exactly(self) -> FloatArray:
        """(m,) the same from an exact evaluation; NotProvedError where that would take too long."""
        change, bend = self._exactly()
        total = (change + Whole.of(bend[:, None])).sizes()[1].max(axis=1)
        return np.where(total == 0.0, 0.0, _up(total * self._steepest))

    def _exactly(self) -> tuple[Whole, FloatArray]:
        """(m, k) how much the features of every point differ, and (m,) the bend of the way."""
        evaluation = Evaluation(self._stages, self._linear, self._points, 1, self._work)
        ends = {number: _ends(evaluation.at(number)) for number in needed(self._stages, self._last)}
        ends[-1] = (self._claim.points.T, self._claim.points.T)
        values = evaluation.at(self._last)
        change, bend = values - values[:, :1], self._bend(ends)
        if not np.isfinite(bend).all():
            raise NotProvedError("numbers on the way are larger than float64 holds")
        return Whole(np.asarray(np.abs(change.numbers), dtype=object), change.exponent), bend

    def _refuse(self, over: Whole) -> None:
        wrong = (over.numbers > 0).any(axis=1)
        size = np.nextafter(float(np.where(over.numbers > 0, over.sizes()[0], 0.0).max()), 0.0)
        differ = "feature differs" if wrong.sum() == 1 else "features differ"
        raise NotProvedError(f"{int(wrong.sum())} {differ} by more than is allowed, by up to {size:.2g}")

    def _bend(self, ends: dict[int, Ends]) -> FloatArray:
        """(m,) how far features leave their chords, at most, on any segment of the way."""
        total = np.zeros(self._stages[self._last].outputs)
        if not self._claim.way:
            return total
        bend = {-1: np.zeros(len(self._claim.points.T))}
        for number in needed(self._stages, self._last):
            stage = self._stages[number]
            before = [bend[source] for source in stage.sources]
            if stage.activation is None:
                bend[number] = _affine(self._linear[number], before)
            elif stage.activation.index is not None:
                bend[number] = _maximum(stage.activation.index, before[0], ends[stage.sources[0]])
            else:
                bend[number] = _pointwise(
                    stage.activation, before[0], ends[stage.sources[0]], last=number == self._last
                )
        return bend[self._last]


def _decided(stages: tuple[Stage, ...], last: int) -> tuple[int, float]:
    """The stage to be evaluated, and how much steeper features are: of a smooth activation, what it receives."""
    activation = stages[last].activation
    if activation is None or activation.index is not None or pieces(activation) is not None:
        return last, 1.0
    steepest = 1.0
    if activation.kind == "elu":
        steepest = max(1.0, float(np.nextafter(abs(activation.alpha) / activation.beta, np.inf)))
    return stages[last].sources[0], steepest


def _affine(maps: tuple[Linear, ...], before: list[FloatArray]) -> FloatArray:
    if not any(each.any() for each in before):
        return np.zeros(_outputs(maps[0]))
    rooms = [a.forward(Room(e, np.inf), Room.through, Room.__add__) for a, e in zip(maps, before, strict=True)]
    return reduce(Room.__add__, rooms).each


def _outputs(linear: Linear) -> int:
    if linear.matrix is not None:
        return linear.matrix.shape[0]
    return _outputs(linear.parts[-1])


def _pointwise(activation: Activation, before: FloatArray, ends: Ends, *, last: bool) -> FloatArray:
    known = pieces(activation)
    if known is None:
        raise NotProvedError(f"{activation.kind} is smooth, and linear on no piece")
    kinks, slopes = known
    total = _product(np.abs(slopes).max(axis=0), before)
    monotone = (slopes >= 0).all(axis=0) & last
    low, high = ends
    for place, kink in enumerate(kinks):
        change = _up(np.abs(slopes[place + 1] - slopes[place]))
        away = np.maximum(_up(high - kink), _up(kink - low))
        below, above = high <= kink, low >= kink
        aside = (below[:, 1:] & below[:, :-1]) | (above[:, 1:] & above[:, :-1])
        nearer = np.where(aside, 0.0, np.minimum(away[:, 1:], away[:, :-1])).max(axis=1, initial=0.0)
        total = _sum(total, np.where(monotone, 0.0, _product(change, nearer)))
    return total


def _maximum(index: Array, before: FloatArray, ends: Ends) -> FloatArray:
    taken = (index != NOTHING)[:, :, None]
    low, high = (end[index] for end in ends)  # (outputs, taps, points)
    largest = np.where(taken, high, -np.inf).max(axis=1)
    behind = np.where(taken, np.maximum(largest[:, None] - low, 0.0), np.inf)
    behind = np.where(behind == 0.0, 0.0, _up(behind))
    both = np.maximum(behind[:, :, 1:], behind[:, :, :-1]).min(axis=1).max(axis=1, initial=0.0)
    moved = np.where(index == NOTHING, 0.0, before[index]).max(axis=1)
    return _sum(moved, both)


def _ends(values: Whole) -> Ends:
    (low, high), sign = values.sizes(), values.signs()
    return np.where(sign < 0, -high, low), np.where(sign < 0, -low, high)


def _up(values: FloatArray) -> FloatArray:
    return np.nextafter(values, np.inf)


def _product(left: FloatArray, right: FloatArray) -> FloatArray:
    """Rounded up; 0 only where one of them is."""
    return np.where((left == 0.0) | (right == 0.0), 0.0, _up(left * right))


def _sum(left: FloatArray, right: FloatArray) -> FloatArray:
    total = left + right
    return np.where((left == 0.0) | (right == 0.0), total, _up(total))


__all__ = ["Case", "Claim", "Method"]
