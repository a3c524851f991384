"""Admissible index sets [Definition 7], and which activation patterns data visit among all that a layer has.

The conditions ``a_i x + b_i > 0`` (i not in I) and ``a_i x + b_i <= 0`` (i in I) are homogenised: with ``t > 0`` for
the constant 1, I is admissible iff in the cone

    C = { (x, t) : -a_i x - b_i t <= 0 (i not in I),  a_i x + b_i t <= 0 (i in I),  -t <= 0 }

no row of a strict condition is an implicit equality, which is zero on all of C. Then a point of the relative interior
of C, divided by its t, is an x; otherwise the multipliers of the implicit equalities are those of Motzkin's theorem
and show that there is none. Both are certificates of the preimage of the layer C at 0, decided and proved as any
other preimage is. Where b = 0 the conditions are homogeneous already, and C has no t.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import whole_space
from fiberscope.network.layer import Layer, check_layer, flat_inputs
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, dense, entries, is_sparse, scaled, stacked, with_column
from fiberscope.network.signs import exact_signs, exact_signs_of_many, row_norms
from fiberscope.preimages.certificate import Direction, Rational
from fiberscope.preimages.decide import decide_at_input
from fiberscope.preimages.decide_exactly import certify_exactly
from fiberscope.preimages.exact_algebra import exact_rank
from fiberscope.preimages.exact_face import TooLargeError
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.margin import within_bounds
from fiberscope.preimages.preimage import Preimage
from fiberscope.preimages.rounded import as_floats, unit_floats
from fiberscope.preimages.system import build_at_input
from fiberscope.scalars import as_count
from fiberscope.showing.shown import Shown, answer, told
from fiberscope.stability.index_sets import checked_index_set

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

MAX_DECISIONS = 10_000
"""Patterns of the first neurons that are decided one by one to count those of all: some 15 seconds."""

MAX_RANK_ENTRIES = 500_000
"""Nonzero entries of a layer up to which its exact rank is asked for: about a second."""

BLOCK_SIGNS = 4_000_000
"""Pre-activations that are held in memory at a time."""

ROUNDINGS = (1, 2, 16, 1 << 20)
"""Denominators to which a rational point that float64 does not hold is rounded: ties mostly stem from short numbers."""


@dataclass(frozen=True, eq=False, repr=False)
class Admissibility(Shown):
    """Whether some x has exactly the inactive set I; true in a condition iff that is proved.

    Attributes:
        holds: True, False, or None where it is not settled.
        point: (n,) an x with that inactive set, its signs checked exactly; None where none exists, or none in float64
            was found.
        exact_point: an x in rational numbers, where one was found but none in float64.
        margin: without dimension, in [0, 1]. Where it holds, the smallest ``|a_i x + b_i| / (|(a_i, b_i)| |(x, 1)|)``
            over the neurons at the point that was found, 0 where an inequality is tight; otherwise the margin of the
            cone.
        reason: in words, why it does not hold, why it is not settled, or why there is no point in float64.
        cone: the cone C as a preimage at 0, with row i for neuron i and row m for t; ``fiberscope.verify(cone)``
            re-checks what the answer rests on. None where a dead neuron or x = 0 alone settles it.
    """

    holds: bool | None
    point: FloatArray | None
    exact_point: Rational | None
    margin: float
    reason: str
    cone: Preimage | None

    def __bool__(self) -> bool:
        return self.holds is True

    def _line(self) -> str:
        return answer(self.holds, self.margin, self.reason)


@dataclass(frozen=True, eq=False, repr=False)
class VisitedPatterns(Shown):
    """The activation patterns that data visit.

    Attributes:
        patterns: (K, m) the distinct ones, True where a neuron is active, the most frequent first.
        counts: (K,) how many samples have each.
        possible: the number of patterns that some x in R^n has, counted exactly; None where that is not known.
        upper_bound: ``sum_{i<=n} C(m, i)``, which the number of patterns never exceeds.
        reason: in words, where ``possible`` is None.
    """

    patterns: BoolArray
    counts: IntArray
    possible: int | None
    upper_bound: int
    reason: str

    @property
    def visited(self) -> int:
        """K, the number of distinct patterns that the data visit."""
        return len(self.counts)

    @property
    def share(self) -> float | None:
        """K over the number of possible patterns; None where that number is not known, 0 below the smallest float."""
        return None if self.possible is None else self.visited / self.possible

    @property
    def share_at_least(self) -> float:
        """K over the upper bound; 0 where the quotient is below the smallest float."""
        return self.visited / self.upper_bound

    def _line(self) -> str:
        of = f"at most {told(self.upper_bound)}" if self.possible is None else told(self.possible)
        return f"{self.visited} visited by {int(self.counts.sum())} samples, of {of} possible"


def is_admissible(layer: Layer, inactive: ArrayLike) -> Admissibility:
    """Decide whether an index set is admissible for a layer.

    I is iff ``a_i x + b_i > 0`` for i not in I and ``a_i x + b_i <= 0`` for i in I has a solution x in R^n.

    Args:
        layer: a ReLULayer with m neurons and n inputs, dense or sparse.
        inactive: I: distinct indices, or a boolean mask (m,).

    Returns:
        The answer, with a point or a proof that there is none. No tolerance is involved: it is about exactly the
        numbers that the layer stores.

    Raises:
        InputError: another layer, an index out of range or one that comes twice.

    Source:
        Definition 7; Motzkin's transposition theorem.
    """
    layer = _checked_relus(layer)
    mask = checked_index_set(inactive, layer.outputs, "inactive")
    silent = ~mask & _zero_rows(layer.weight) & (layer.bias == 0)
    if silent.any():
        reason = f"neuron {int(np.argmax(silent))} is 0 everywhere, so that it is never active"
        return Admissibility(False, None, None, 1.0, reason, None)
    if mask.all() and not layer.bias.any():
        return Admissibility(True, np.zeros(layer.inputs), None, 0.0, "", None)
    cone_layer = build_cone(layer, mask)
    cone = Preimage.of(decide_at_input(cone_layer, None, np.zeros(cone_layer.inputs)))
    if cone.kind == Kind.UNDECIDED:
        return Admissibility(None, None, None, cone.margin, cone.reason, cone)
    tangent = cone.certificate.tangent
    multipliers, interior = (None, None) if tangent is None else (tangent.multipliers, tangent.direction)
    implicit = np.zeros(0, dtype=np.int64) if multipliers is None else multipliers.rows
    excluded = implicit[np.append(~mask, True)[implicit]]
    if cone.kind == Kind.SINGLETON or len(excluded):
        return Admissibility(False, None, None, cone.margin, _contradiction(layer, excluded), cone)
    assert interior is not None, "a cone with a row that is not tight everywhere has one"
    return _admissible(layer, mask, cone, interior)


def build_cone(layer: ReLULayer, inactive: Bool[BoolArray, " m"]) -> ReLULayer:
    """The layer whose preimage of 0 is the cone C: m + 1 rows for the neurons and t, n + 1 inputs x and t.

    Where b = 0, it has m rows and n inputs: any t > 0 would do.
    """
    sign = np.where(inactive, 1.0, -1.0)
    if not layer.bias.any():
        return ReLULayer(scaled(layer.weight, sign))
    neurons = scaled(with_column(layer.weight, layer.bias), sign)
    return ReLULayer(stacked(neurons, np.append(np.zeros(layer.inputs), -1.0)[None]))


def visited_patterns(layer: Layer, X: Tensor | ArrayLike, max_decisions: int = MAX_DECISIONS) -> VisitedPatterns:
    """Count the activation patterns that data visit, and those that there are.

    A pattern is the set of neurons with ``a_i x + b_i > 0``, its signs settled exactly. The possible ones are the
    admissible sets of Definition 7 in all of R^n: 2^m where the rows of A are independent, else counted neuron by
    neuron, deciding at most ``sum_{i<=n} C(m, i + 1)`` patterns of the first neurons.

    Args:
        layer: a ReLULayer with m neurons and n inputs, dense or sparse.
        X: (N, n), or N samples in the layer's input shape.
        max_decisions: how many decisions the count may need; beyond it ``possible`` is None.

    Returns:
        The patterns, how often each is visited, how many there are and how many there can be at most.

    Raises:
        InputError: another layer, another shape, NaN or infinite numbers.

    Source:
        Definition 7. The bound is Schlaefli's and Zaslavsky's number of cells of m hyperplanes in R^n; patterns on the
        hyperplanes are included, because the sets ``{i : a_i x + b_i > 0}`` shatter at most n neurons (Dudley), and
        the lemma of Sauer and Shelah gives the same sum.
    """
    layer, max_decisions = _checked_relus(layer), as_count(max_decisions, "max_decisions", 0)
    samples = flat_inputs(layer, X, "X")
    patterns, counts = _counted(layer, samples)
    m, n = layer.outputs, layer.inputs
    upper_bound = sum(comb(m, i) for i in range(min(m, n) + 1))
    possible, reason = _possible(layer, max_decisions)
    return VisitedPatterns(patterns, counts, possible, upper_bound, reason)


def _checked_relus(layer: Layer) -> ReLULayer:
    check_layer(layer)
    if not isinstance(layer, ReLULayer) or not layer.is_relu:
        raise InputError(
            "layer",
            expected="ReLUs of one affine map",
            got="a layer that is one only around a sample, or has other activations",
            hint="build a ReLULayer of its weight and bias around that sample",
        )
    return layer


def _zero_rows(rows: Rows) -> Bool[BoolArray, " m"]:
    """Which rows hold no nonzero entry; a norm may also be 0 because it underflows."""
    return np.diff(rows.indptr) == 0 if is_sparse(rows) else (dense(rows) == 0).all(axis=1)


def _contradiction(layer: ReLULayer, rows: Int64[IntArray, " e"]) -> str:
    neurons = rows[rows < layer.outputs]
    if not len(neurons):
        return "no x has this pattern: the conditions of its neurons exclude each other"
    shown = ", ".join(map(str, neurons[:5].tolist())) + (", ..." if len(neurons) > 5 else "")
    return f"no x has this pattern: the other conditions exclude that neurons {shown} are active"


def _admissible(layer: ReLULayer, mask: Bool[BoolArray, " m"], cone: Preimage, interior: Direction) -> Admissibility:
    d = unit_floats(interior.values)
    tight = interior.held[interior.held < cone.layer.outputs]  # not the coordinates that it leaves at zero
    with np.errstate(all="ignore"):
        point = d[: layer.inputs] / (d[-1] if layer.bias.any() else 1.0)
    margin = _margin(layer, point, tight)
    if _has_pattern(layer, mask, point):
        return Admissibility(True, point, None, margin, "", cone)
    try:
        exact = _exact_point(layer, build_cone(layer, mask))
    except TooLargeError as error:
        reason = f"a point exists, but float64 found none: {len(tight)} inequalities are tight, and {error}"
        return Admissibility(True, None, None, margin, reason, cone)
    for candidate in (as_floats(exact), *_roundings(exact)):
        if _has_pattern(layer, mask, candidate):
            return Admissibility(True, candidate, None, margin, "", cone)
    reason = "the points with this pattern that were found are rational numbers that float64 does not hold"
    return Admissibility(True, None, exact, margin, reason, cone)


def _margin(layer: ReLULayer, x: Float64[FloatArray, " n"], tight: Int64[IntArray, " e"]) -> float:
    if len(tight):
        return 0.0
    rows = with_column(layer.weight, layer.bias)
    with np.errstate(all="ignore"):  # of rows of extreme size, the margin is reported as 0
        lengths = row_norms(rows)
        slack = np.abs(layer.weight @ x + layer.bias) / (lengths * np.hypot(np.linalg.norm(x), 1.0))
        return within_bounds(float(slack[lengths > 0].min(initial=1.0)))


def _has_pattern(layer: ReLULayer, mask: Bool[BoolArray, " m"], x: Float64[FloatArray, " n"]) -> bool:
    return bool(np.isfinite(x).all()) and np.array_equal(exact_signs(layer.weight, x, layer.bias) <= 0, mask)


def _exact_point(layer: ReLULayer, cone_layer: ReLULayer) -> Rational:
    """A rational x of the pattern, from a relatively interior direction of the cone."""
    k = cone_layer.inputs
    certificate = certify_exactly(build_at_input(cone_layer, whole_space(k), np.zeros(k)))
    assert certificate.interior is not None, "the exact method finds what was proved to exist"
    values = certificate.interior.values
    assert isinstance(values, Rational)
    t = values.numerators[-1] if layer.bias.any() else values.denominator
    return Rational(values.numerators[: layer.inputs], t)


def _roundings(exact: Rational) -> Iterator[Float64[FloatArray, " n"]]:
    for denominator in ROUNDINGS:
        rounded = (round(Fraction(p, exact.denominator) * denominator) for p in exact.numerators)
        yield as_floats(Rational(tuple(rounded), denominator))


def _counted(layer: ReLULayer, X: Float64[FloatArray, "N n"]) -> tuple[BoolArray, IntArray]:
    """The distinct patterns of samples and how often each occurs, in falling order of that."""
    size = max(1, BLOCK_SIGNS // layer.outputs)
    blocks = (X[start : start + size] for start in range(0, len(X), size))
    packed = [np.packbits(exact_signs_of_many(layer.weight, block, layer.bias) > 0, axis=1) for block in blocks]
    distinct, counts = np.unique(np.concatenate(packed), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    patterns = np.unpackbits(distinct[order], axis=1, count=layer.outputs).astype(np.bool_)
    return patterns, counts[order].astype(np.int64)


def _possible(layer: ReLULayer, max_decisions: int) -> tuple[int | None, str]:
    """The number of admissible sets, or None and why."""
    m, n = layer.outputs, layer.inputs
    if m <= n and entries(layer.weight) <= MAX_RANK_ENTRIES and exact_rank(dense(layer.weight)) == m:
        return 2**m, ""
    needed = sum(comb(m, i + 1) for i in range(min(m, n) + 1))
    if needed > max_decisions:
        return None, f"counting them takes up to {_short(needed)} decisions, more than {max_decisions:,}"
    return _enumerated(layer)


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**12 else f"10^{len(str(number)) - 1}"


def _enumerated(layer: ReLULayer) -> tuple[int | None, str]:
    """Extend the patterns of the first k neurons, each with a point where there is one, by neuron k.

    A point settles the side on which it lies; the other side is decided.
    """
    nodes: list[tuple[BoolArray, FloatArray | None]] = [(np.zeros(0, dtype=np.bool_), np.zeros(layer.inputs))]
    for k in range(layer.outputs):
        first = ReLULayer(layer.weight[np.arange(k + 1)], layer.bias[: k + 1])
        grown: list[tuple[BoolArray, FloatArray | None]] = []
        for inactive, point in nodes:
            known = None if point is None else _is_inactive(layer, k, point)
            for side in (False, True):
                pattern = np.append(inactive, side)
                if side is known:
                    grown.append((pattern, point))
                    continue
                answer = is_admissible(first, pattern)
                if answer.holds is None:
                    return None, f"a pattern of the first {k + 1} neurons is not settled: {answer.reason}"
                if answer.holds:
                    grown.append((pattern, answer.point))
        nodes = grown
    return len(nodes), ""


def _is_inactive(layer: ReLULayer, k: int, x: Float64[FloatArray, " n"]) -> bool:
    return bool(exact_signs(layer.weight[np.array([k])], x, layer.bias[[k]])[0] <= 0)


__all__ = [
    "MAX_DECISIONS",
    "Admissibility",
    "VisitedPatterns",
    "build_cone",
    "is_admissible",
    "visited_patterns",
]
