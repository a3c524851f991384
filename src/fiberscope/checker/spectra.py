"""Checking singular values of a network at a sample, without the code that computed them.

The Jacobian J of every stage is applied to directions, with the network as it is stored. Where the largest matrix is
small, these are all unit vectors, and J is decomposed by LAPACK: every value is compared. Where it is not, they are
random. With an orthonormal basis Q of their span, (n, k), Cauchy's interlacing gives
``sigma_{i+n-k}(J) <= sigma_i(J Q) <= sigma_i(J)`` for certain. With the vectors themselves, v of independent standard
normal entries, ``|J v|^2 = sum_i sigma_i^2 g_i^2`` with normal g_i: its sum over all v lies around
``k sum_i sigma_i^2``, within bounds that follow from the values alone.

A unit whose input is 0 but for rounding is on one side of its kink in one order of summation, and on the other in
another. So what the stages gave when the values were computed comes with the claim: it is compared with what they give
here, and says on which side units are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from typing import Any, TypeAlias, TypeVar

import numpy as np

from fiberscope.checker.linear import Linear
from fiberscope.checker.matrices import ROUNDING, SMALLEST_NORMAL, UNIT_ROUNDOFF, longest_sum, relative_error
from fiberscope.checker.region_ends import Ends
from fiberscope.checker.rounded import Rounded, times
from fiberscope.checker.stored import INPUT, NOTHING, Activation, FloatArray, Stage

T = TypeVar("T")

SMOOTH = ("elu", "softplus", "tanh", "sigmoid")
"""Kinds of activations that a library evaluates, with errors that it does not tell."""

AGREEMENT = 1e-9
"""How far a value may be from the recomputed one beyond its error bound, relative to the largest.

The bound is about the decomposition; the products that J is made of round as well, in another order there than here.
What follows for these, as it does for ends of regions, grows by the norms of all matrices on the way: to 2e-5 of the
largest value behind the ten layers of the paper's table 1, where values differ by 2e-15. So this confirms and does not
prove, and finds what such a bound would let pass.
"""

FULL_NUMBERS = 2**22
"""Numbers in the largest matrix up to which every value is recomputed: a second or two for the largest."""

PROBES = 64
"""Random vectors per sample where not every value is recomputed."""

DOUBT = math.log(1e10)
"""Minus the logarithm of the probability with which correct values fail the test on the sum of squares, on a side.

Source of the bounds: Laurent & Massart, Annals of Statistics 2000, lemma 1.
"""


class Written:
    """A stored network with its matrices written out.

    Args:
        network: the number of inputs and the stages, as ``fiberscope.checker.stored`` reads them.

    Attributes:
        inputs: the number n of inputs.
        stages: the stages.
    """

    def __init__(self, network: tuple[int, tuple[Stage, ...]]) -> None:
        self.inputs, self.stages = network
        self._linear = [tuple(map(Linear.of, stage.maps)) for stage in self.stages]

    def derivatives(self, x: FloatArray, V: FloatArray, values: Mapping[int, FloatArray]) -> Iterator[tuple[int, Any]]:
        """The derivative at x, (n,), of every stage in some directions.

        Args:
            x: the sample.
            V: (n, k) the directions, as columns.
            values: what the stages give at x.

        Yields:
            The number of a stage, and ``J V``, (m, k), up to its rounding, but for that of smooth activations; None,
            and an end, where the values are not those of the network.
        """
        moved = {INPUT: Rounded(V, np.zeros(len(V)))}
        at: dict[int, FloatArray] = {INPUT: x, **values}
        for number, stage in enumerate(self.stages):
            before = [at[source] for source in stage.sources]
            if not self._is_value(number, before, at[number]):
                yield number, None
                return
            moved[number] = self._moved(number, before[0], [moved[source] for source in stage.sources])
            yield number, moved[number]

    def errors(self, x: FloatArray, values: Mapping[int, FloatArray]) -> dict[int, FloatArray]:
        """How far what every stage gives at x, (m,), may be from what it would give if nothing were rounded.

        Smooth activations are left out: what the functions of a library round is not known.
        """
        known: dict[int, tuple[FloatArray, FloatArray]] = {INPUT: (x, np.zeros(len(x)))}
        for number, stage in enumerate(self.stages):
            before = [known[source] for source in stage.sources]
            if stage.activation is None:
                error = self._applied(number, before, _value_through, _sum_of_values)[1]
            else:
                error = _error_behind(stage.activation, *before[0])
            known[number] = values[number], error
        return {number: error for number, (_, error) in known.items()}

    def _is_value(self, number: int, before: list[FloatArray], given: FloatArray) -> bool:
        """Whether a stage gives that, up to rounding, on both sides, of the sums that it forms."""
        activation, exact = self.stages[number].activation, [(v, np.zeros(len(v))) for v in before]
        if activation is None:
            own, error = self._applied(number, exact, _value_through, _sum_of_values)
        else:
            own, error = _activated(activation, before[0]), _error_behind(activation, *exact[0])
            if activation.kind in SMOOTH:
                error = np.full(len(own), AGREEMENT * np.abs(own).max(initial=0.0))
        return own.shape == given.shape and bool((np.abs(own - given) <= 2.0 * error).all())

    def _applied(self, number: int, before: list[T], step: Callable[[T, Linear], T], add: Callable[[T, T], T]) -> T:
        maps = zip(self._linear[number], before, strict=True)
        return reduce(add, [each.forward(values, step, add) for each, values in maps])

    def _moved(self, number: int, z: FloatArray, before: list[Rounded]) -> Rounded:
        activation = self.stages[number].activation
        if activation is None:
            return self._applied(number, before, lambda V, a: times(a.matrix, V), Rounded.plus)
        if activation.index is not None:  # of equal numbers, the first
            taken = np.where(activation.index == NOTHING, -np.inf, z[activation.index]).argmax(axis=1)
            return before[0].rows(activation.index[np.arange(len(taken)), taken])
        return before[0].scaled(_slopes(activation, z))


_Value: TypeAlias = tuple[FloatArray, FloatArray]
"""Numbers, and how far they may be from the exact ones."""


def _value_through(before: _Value, affine: Linear) -> _Value:
    """``A x + b``: x is off by its error, and the sum by its rounding."""
    value, error = before
    A, b = affine.matrix, affine.bias
    terms = longest_sum(A) + 1
    size = np.abs(A) @ (error + relative_error(terms) * np.abs(value)) + relative_error(terms) * np.abs(b)
    exact = (np.abs(A) @ (np.abs(value) + error) == 0) & (b == 0)
    return A @ value + b, np.where(exact, 0.0, size * (1.0 + relative_error(terms)) + 4.0 * terms * SMALLEST_NORMAL)


def _sum_of_values(left: _Value, right: _Value) -> _Value:
    total = left[0] + right[0]
    return total, (left[1] + right[1] + UNIT_ROUNDOFF * np.abs(total)) * ROUNDING


def _error_behind(activation: Activation, z: FloatArray, error: FloatArray) -> FloatArray:
    """Of what an activation gives: no slope of a ReLU or a clip is above 1, and their values are not rounded."""
    if activation.index is not None:
        return np.where(activation.index == NOTHING, 0.0, error[activation.index]).max(axis=1)
    if activation.slope is None:
        return error
    steepest = np.maximum(np.abs(activation.slope), 1.0)
    return (steepest * error + UNIT_ROUNDOFF * np.abs(activation.slope * z)) * ROUNDING


def _activated(activation: Activation, z: FloatArray) -> FloatArray:
    match activation.kind:
        case "maximum":
            assert activation.index is not None, "a maximum is read with its windows"
            return np.where(activation.index == NOTHING, -np.inf, z[activation.index]).max(axis=1)
        case "relu":
            return np.maximum(z, 0.0)
        case "clip":
            return np.clip(z, activation.alpha, activation.beta)
        case "leaky_relu":
            return z * _slopes(activation, z)
        case "elu":
            return np.where(z > 0, z, activation.alpha * np.expm1(np.minimum(z, 0.0) / activation.beta))
        case "softplus":
            return np.logaddexp(z * activation.beta, 0.0) / activation.beta
        case "tanh":
            return np.tanh(z)
        case _:
            return _sigmoid(z)


def _slopes(activation: Activation, z: FloatArray) -> FloatArray:
    """The derivatives; at a kink of a ReLU or a clip those of the constant side, of a leaky one of the left side."""
    match activation.kind:
        case "relu":
            return np.where(z > 0, 1.0, 0.0)
        case "clip":
            return np.where((z > activation.alpha) & (z < activation.beta), 1.0, 0.0)
        case "leaky_relu":
            assert activation.slope is not None, "a leaky ReLU is read with its slopes"
            return np.where(z > 0, 1.0, activation.slope)
        case "elu":
            return np.where(z > 0, 1.0, activation.alpha / activation.beta * np.exp(np.minimum(z, 0) / activation.beta))
        case "softplus":
            return _sigmoid(activation.beta * z)
        case "tanh":
            small = np.exp(-2.0 * np.abs(z))  # 1 - tanh^2 would cancel where it saturates
            return 4.0 * small / np.square(1.0 + small)
        case _:
            return _sigmoid(z) * _sigmoid(-z)


def _sigmoid(z: FloatArray) -> FloatArray:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def why_not_confirmed(
    network: Written,
    x: FloatArray,
    values: Mapping[int, FloatArray],
    claimed: Mapping[int, dict[str, Any]],
    seed: int,
) -> tuple[bool, dict[int, str]]:
    """Check the rows of some stages at a sample.

    Args:
        network: the network.
        x: (n,) the sample.
        values: what each stage gives at x, (m,).
        claimed: a row of the table for every stage to check, by the stage's number.
        seed: of the random vectors.

    Returns:
        Whether every value was recomputed, and for every stage why its row is not confirmed; empty if it is.
    """
    n = network.inputs
    full = n * max(stage.outputs for stage in network.stages) <= FULL_NUMBERS
    probes = np.random.default_rng(seed).standard_normal((n, n if full else min(PROBES, n)))
    basis, factor = np.linalg.qr(probes)
    reasons = dict.fromkeys(claimed, "what the network gives at the sample is not what it gave")
    ends = Ends(network.stages, x, values, network.errors(x, values)) if full and _know_ends(claimed) else None
    for number, images in network.derivatives(x, np.eye(n) if full else basis, values):
        if ends is not None and images is not None:
            ends.add(number, images)
        if number in claimed and images is not None:
            row = claimed[number]
            reason = _inconsistent(row, min(n, network.stages[number].outputs))
            if not reason:
                found, bounds = np.array(row["values"]), np.array(row["error_bound"])
                J = images.value
                reason = _unlike(J, found, bounds) if full else _unlikely(J.T, factor, n, found, bounds)
            if ends is not None and "region_distance" in row:
                reason = reason or ends.contradicts(number, row["region_distance"])
            reasons[number] = reason
    return full, reasons


def _know_ends(claimed: Mapping[int, dict[str, Any]]) -> bool:
    return any("region_distance" in row for row in claimed.values())


def _inconsistent(row: dict[str, Any], count: int) -> str:
    """How a row contradicts itself."""
    if (
        row["values"] is None
        or row["error_bound"] is None
        or not len(row["values"]) == len(row["error_bound"]) == count
    ):
        return f"expected {count} values, each with an error bound"
    values, bounds = np.array(row["values"]), np.array(row["error_bound"])
    if not (np.isfinite([values, bounds]).all() and (bounds >= 0).all() and (values >= 0).all()):
        return "values or error bounds are negative or not finite"
    if (np.diff(values) > 0).any():
        return "the values are not in descending order"
    rank = int((values > bounds).sum())
    smallest = values[rank - 1] if rank else np.nan
    derived = {
        "rank": rank,
        "largest": values[0],
        "smallest_nonzero": smallest,
        "condition_number": values[0] / smallest,
    }
    for name, value in derived.items():
        if row[name] is None or not np.isclose(row[name], value, rtol=AGREEMENT, atol=0.0, equal_nan=True):
            return f"{name} is {row[name]}, but {value:g} by the values"
    return ""


def _unlike(J: FloatArray, values: FloatArray, bounds: FloatArray) -> str:
    """How the values differ from those of J."""
    recomputed = _singular_values(J)
    return _outside(values, recomputed - bounds, recomputed + bounds, float(recomputed[0]), "the recomputed")


def _unlikely(
    JQ: FloatArray,
    factor: FloatArray,
    n: int,
    values: FloatArray,
    bounds: FloatArray,
) -> str:
    """How the values contradict what J does to an orthonormal basis Q of random vectors ``Q factor``."""
    k = len(JQ)
    inner = _singular_values(JQ)
    upper, lower = (values + bounds)[: len(inner)], np.zeros(len(inner))
    below = (values - bounds)[n - k :][: len(inner)]
    lower[: len(below)] = below
    reason = _outside(inner, lower, upper, float(values[0]), "what the values allow for J on a random subspace,")
    if reason:
        return reason
    exponent = int(np.frexp(values[0])[1])  # divided by 2^exponent, squares neither overflow nor vanish
    total = float(np.square(factor.T @ np.ldexp(JQ, -exponent)).sum())
    least = np.square(np.ldexp(np.maximum(values - bounds, 0.0), -exponent))
    most = np.square(np.ldexp(values + bounds, -exponent))
    low = k * least.sum() - 2 * math.sqrt(k * DOUBT) * float(np.linalg.norm(most))
    high = k * most.sum() + 2 * math.sqrt(k * DOUBT) * float(np.linalg.norm(most)) + 2 * DOUBT * float(most[0])
    if low * (1 - AGREEMENT) <= total <= high * (1 + AGREEMENT):
        return ""
    seen, lowest, highest = (
        f"{np.ldexp(math.sqrt(max(number, 0.0) / k), exponent):.6g}" for number in (total, low, high)
    )
    return f"the root mean square of |J v| over {k} random vectors is {seen}, not {lowest} to {highest}"


def _singular_values(A: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.svd(A, compute_uv=False), dtype=np.float64)


def _outside(
    values: FloatArray,
    low: FloatArray,
    high: FloatArray,
    largest: float,
    what: str,
) -> str:
    """Which value lies outside its bounds."""
    slack = AGREEMENT * largest
    wrong = np.flatnonzero((values < low - slack) | (values > high + slack))
    if not wrong.size:
        return ""
    i = int(wrong[0])
    return f"value {i + 1} is {values[i]:.6g}, not within {what} {low[i]:.6g} to {high[i]:.6g}"


__all__ = ["Written", "why_not_confirmed"]
