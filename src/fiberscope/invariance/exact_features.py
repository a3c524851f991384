"""Whether an input has exactly the features of another: both are evaluated in exact arithmetic and compared.

On the segment between them the features are the same if no unit has a kink strictly between its inputs at the two ends,
and every maximum takes one position at both: then all that the network computes is affine along the segment, and what
is affine and the same at both ends is constant.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.checker.matrices import NotProvedError, relative_error
from fiberscope.invariance.enclosures import next_up, reach, touched
from fiberscope.invariance.exact_values import Effort, Exact, ExactArithmetic
from fiberscope.invariance.proof_statement import Statement
from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.affine import Dense
from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.network import Network
from fiberscope.network.rows import dense
from fiberscope.network.stage import Stage


class FeaturesDifferError(NotProvedError):
    """Raised where features are others in exact arithmetic.

    Attributes:
        difference: by how much, at least, feature by feature.
    """

    def __init__(self, difference: Float64[FloatArray, " m"], count: int) -> None:
        largest = float(difference.max())
        differ = "feature differs" if count == 1 else "features differ"
        size = f"up to {largest:.2g}" if largest else "less than float64 can hold"
        super().__init__(f"in exact arithmetic {count} {differ}, by {size}")
        self.difference = difference


def check_exactly(statement: Statement, example: Exact, denominator: int, effort: Effort) -> None:
    """Prove a statement of a rational input, given as a vector (1, n) of D times its numbers.

    Raises:
        NotProvedError: it does not hold, or that would take too much.
    """
    arithmetic = ExactArithmetic(effort, denominator)
    source = Exact.of(statement.source[None]).times(denominator)
    change = example - source
    changed: BoolArray = np.asarray(change.numbers[0] != 0, dtype=np.bool_)
    if (changed & statement.kept).any():
        raise NotProvedError("a pixel that was to be kept has changed")
    _check_domain(statement, example, arithmetic)
    if not _reaches(statement.network, statement.stage, changed):
        return
    _check_features(statement, source, change, arithmetic)


def _check_domain(statement: Statement, example: Exact, arithmetic: ExactArithmetic) -> None:
    domain = statement.domain
    for bounds, side in ((domain.low, 1), (domain.high, -1)):
        finite = np.isfinite(bounds)
        over = example[:, finite] - Exact.of(bounds[finite][None]).times(arithmetic.denominator)
        if (over.numbers * side < 0).any():
            raise NotProvedError("it lies outside of the domain")
    if len(domain.h) and (arithmetic.affine(Dense(dense(domain.G), -domain.h), example).numbers > 0).any():
        raise NotProvedError("it violates a half-space of the domain")


def _reaches(network: Network, stage: int, changed: BoolArray) -> bool:
    """Whether a path of weights other than 0 leads from a pixel that has changed to the features."""

    def step(number: int, before: list[Tensor]) -> Tensor:
        part = network.stages[number]
        if isinstance(part.activation, Maximum):
            return part.activation.apply(before[0].to(torch.float64)) > 0
        if part.activation is not None:
            return before[0]
        return torch.stack([touched(a, m) for a, m in zip(part.maps, before, strict=True)]).any(dim=0)

    *_, (_, reached) = network.walk(torch.tensor(changed)[None], network.needed_for(stage), step)
    return bool(reached.any())


def _check_features(statement: Statement, source: Exact, change: Exact, arithmetic: ExactArithmetic) -> None:
    network, stage = statement.network, statement.stage
    # both with one exponent
    both = Exact(np.concatenate([(change - change).numbers, change.numbers]), change.exponent) + source

    def step(number: int, before: list[Exact]) -> Exact:
        part = network.stages[number]
        if number == stage and isinstance(part.activation, Pointwise) and part.activation.kinks() is None:
            return before[0]  # a smooth activation gives equal numbers for equal numbers
        if statement.segment and part.activation is not None and not _on_one_piece(part, before[0], arithmetic):
            raise NotProvedError(f"a unit of {part.name!r} leaves its linear piece on the way")
        return arithmetic.stage(network, number, before)

    *_, (_, last) = network.walk(both, network.needed_for(stage), step)
    _check_same(last, arithmetic.denominator)


def _check_same(features: Exact, denominator: int) -> None:
    difference = Exact(features.numbers[1:] - features.numbers[:1], features.exponent)
    if (difference.numbers != 0).any():
        sizes: FloatArray = np.abs(difference.fractions()[0] / denominator).astype(np.float64)
        # fractions are rounded to the nearest number
        raise FeaturesDifferError(np.nextafter(sizes, 0.0), int((difference.numbers != 0).sum()))


def check_within_reach(statement: Statement, difference: Float64[FloatArray, " m"], near: float) -> None:
    """Refute that an input within ``near`` of the example has the features, where they differ by too much for that.

    Raises:
        NotProvedError: there is no such input.
    """
    network, stage = statement.network, statement.stage
    room = torch.full((1, network.inputs), near, dtype=torch.float64)

    def step(number: int, before: list[Tensor]) -> Tensor:
        match network.stages[number].activation:
            case None:
                parts = [reach(a, r) for a, r in zip(network.stages[number].maps, before, strict=True)]
                return next_up(torch.stack(parts).sum(dim=0) * (1.0 + relative_error(len(parts))))
            case Maximum() as activation:  # moves by no more than its arguments
                return activation.apply(before[0])
            case Pointwise() as activation if activation.kinks() is not None:
                steepest = torch.ones(1) if activation.slope is None else activation.slope.abs().clamp(min=1.0)
                return next_up(before[0] * steepest)
            case _:
                return before[0] if number == stage else torch.full_like(before[0], torch.inf)

    *_, (_, most) = network.walk(room, network.needed_for(stage), step)
    if (torch.tensor(difference) > most[0]).any():
        raise NotProvedError(f"more than a correction of at most {near:.2g} can make up for")


def _on_one_piece(part: Stage, Z: Exact, arithmetic: ExactArithmetic) -> bool:
    """Whether an activation is affine between two inputs, unit by unit."""
    first, second = Z.numbers
    if isinstance(part.activation, Maximum):
        out = arithmetic.maximum(part.activation, Z).numbers
        index = part.activation.index.cpu().numpy()
        taken = (index >= 0) & (Z.numbers[:, np.maximum(index, 0)] == out[:, :, None]).all(axis=0)
        return bool(taken.any(axis=1).all())
    assert isinstance(part.activation, Pointwise), "activations are pointwise or maxima"
    kinks = part.activation.kinks()
    if kinks is None:
        return bool((first == second).all())
    for kink in kinks:
        low, high = (Z - arithmetic.constant(kink)).numbers
        if ((np.minimum(low, high) < 0) & (np.maximum(low, high) > 0)).any():
            return False
    return True


__all__ = ["FeaturesDifferError", "check_exactly", "check_within_reach"]
