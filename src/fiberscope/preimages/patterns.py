"""The rows that hold and bound each of many samples, settled exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.signs import exact_signs_of_many
from fiberscope.preimages.bitsets import Bitsets
from fiberscope.preimages.sides import sides_at_inputs
from fiberscope.preimages.system import check_inside
from fiberscope.threads import in_threads

BLOCK = 256
"""Samples whose pre-activations are in memory at a time, on each thread."""


@dataclass(frozen=True, eq=False)
class Patterns:
    """The rows of each of N samples, by the row numbers of ``fiberscope.preimages.candidate`` without lower sides.

    Attributes:
        positive: the rows P of each.
        at_infinity: the rows of each that are equalities of its recession cone.
        upper: the inequality rows of its recession cone that are not lower sides; None where these are all rows that
            are no equalities, for every sample.
        lower: the rows of whose lower sides are inequality rows of its recession cone; None where ``upper`` is.
        tight: the inequality rows that hold with equality at each, but for lower sides.
        tight_lower: the rows whose lower sides do so; None where no sample has any.
        positives: (N,) the number of outputs of each above their smallest value, without rows that only define
            coordinates.
        saturated: (N,) the number of outputs of each at the upper end of a clip.
    """

    positive: Bitsets
    at_infinity: Bitsets
    upper: Bitsets | None
    lower: Bitsets | None
    tight: Bitsets
    tight_lower: Bitsets | None
    positives: IntArray
    saturated: IntArray


def exact_patterns(
    layer: ReLULayer, domain: Polyhedron, X: FloatArray, within: Float64[FloatArray, "N 2 m"], threads: int = 1
) -> Patterns:
    """Settle the sides of the rows of the samples X (N, n) exactly, whose outputs are known up to ``within``.

    Raises:
        InputError: a sample outside the domain; the first one is named.
    """

    def settled(start: int) -> _Block:
        return _settled(layer, domain, X[start : start + BLOCK], within[start : start + BLOCK], start)

    blocks = list(in_threads(settled, range(0, len(X), BLOCK), threads))

    def joined(name: str, *, needed: bool = True) -> Bitsets | None:
        return Bitsets.stacked([getattr(block, name) for block in blocks]) if needed else None

    positive, tight = joined("positive"), joined("tight")
    assert positive is not None
    assert tight is not None
    far = joined("at_infinity", needed=any(block.has_both for block in blocks))
    one_sided = any(block.is_one_sided for block in blocks)
    return Patterns(
        positive,
        positive if far is None else far,
        joined("upper", needed=one_sided),
        joined("lower", needed=one_sided),
        tight,
        joined("tight_lower", needed=any(block.has_tight_lower for block in blocks)),
        np.concatenate([block.positives for block in blocks]),
        np.concatenate([block.saturated for block in blocks]),
    )


@dataclass(frozen=True, eq=False)
class _Block:
    """The same of some samples, and whether it says more than rows P and their complement do."""

    positive: Bitsets
    at_infinity: Bitsets
    upper: Bitsets
    lower: Bitsets
    tight: Bitsets
    tight_lower: Bitsets
    positives: IntArray
    saturated: IntArray
    has_both: bool
    is_one_sided: bool
    has_tight_lower: bool


def _settled(layer: ReLULayer, domain: Polyhedron, X: FloatArray, within: FloatArray, start: int) -> _Block:
    half = exact_signs_of_many(domain.G, X, -domain.h)
    outside = ((domain.low > X) | (domain.high < X)).any(axis=1) | (half > 0).any(axis=1)
    if outside.any():
        first = int(np.argmax(outside))
        try:
            check_inside(domain, X[first])
        except InputError as error:
            what = f"X[{start + first}]"
            raise InputError(what, expected=error.expected, got=error.got, hint=error.hint) from error
    sides = sides_at_inputs(layer, X, within)
    no_rows = np.zeros((len(X), 2 * layer.inputs + half.shape[1]), dtype=np.bool_)

    def of_layer(members: BoolArray) -> Bitsets:
        return Bitsets.of(np.hstack([members, no_rows]))

    far = sides.equal | sides.both
    return _Block(
        of_layer(sides.equal),
        of_layer(far),
        Bitsets.of(np.hstack([sides.upper, ~no_rows])),
        of_layer(sides.lower),
        Bitsets.of(np.hstack([sides.tight_upper, domain.low == X, domain.high == X, half == 0])),
        of_layer(sides.tight_lower),
        sides.positive[:, layer.definitions :].sum(axis=1),
        sides.saturated(layer).sum(axis=1),
        bool(sides.both.any()),
        not bool((far | sides.upper).all()),
        bool(sides.tight_lower.any()),
    )


__all__ = ["Patterns", "exact_patterns"]
