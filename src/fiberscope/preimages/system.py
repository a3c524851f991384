"""The mixed system (1) + (2) of the paper, built from a layer, a domain, and an input or an output.

Where outputs are known to intervals, rows may have two sides that differ. They bound the preimage on both sides, so
that they are two inequality rows of it, and an equality of its recession cone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, dense, is_sparse, scaled, sparse, sparse_rows, stacked
from fiberscope.network.signs import exact_signs, exact_signs_of_many, row_norms
from fiberscope.preimages.budget import NO_LIMIT, Budget
from fiberscope.preimages.sides import Outputs, Sides, sides_at_inputs, sides_of_outputs

NO_ROWS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class MixedSystem:
    """``lo <= A x <= hi`` and the domain's rows.

    Rows are numbered as in ``fiberscope.preimages.candidate``.

    Attributes:
        layer: the layer.
        domain: the domain, written out.
        outputs: what is known of the output; None where the system was built from an input, for which the sides of
            rows are as a rule not needed.
        positive: the rows P whose two sides agree: the equalities.
        inequalities: all inequality rows: of the layer, and the domain's.
        two_sided: the rows of the layer with two sides that do not agree; both are among the inequalities.
        tight: with an input: the inequality rows that hold with equality there, exactly.
        budget: how long deciding may take.
    """

    layer: ReLULayer
    domain: Polyhedron
    outputs: Outputs | None
    positive: IntArray
    inequalities: IntArray
    two_sided: IntArray
    tight: IntArray
    budget: Budget = NO_LIMIT

    @property
    def at_infinity(self) -> MixedSystem:
        """The system whose equalities and inequalities are those of the recession cone."""
        if not len(self.two_sided):
            return self
        both = np.concatenate([self.two_sided, self.lower_side(self.two_sided)])
        positive = np.union1d(self.positive, self.two_sided)
        rest = self.inequalities[~np.isin(self.inequalities, both)]
        return replace(self, positive=positive, inequalities=rest, two_sided=NO_ROWS, tight=NO_ROWS)

    def lower_side(self, units: Int64[IntArray, " q"]) -> Int64[IntArray, " q"]:
        """The numbers of the rows' lower sides."""
        return self.layer.outputs + 2 * self.layer.inputs + len(self.domain.h) + units

    def units_of(self, numbers: Int64[IntArray, " q"]) -> Int64[IntArray, " q"]:
        """Of each number the unit whose row it is a side of; -1 of the domain's rows."""
        lower = numbers - self.lower_side(np.zeros(1, dtype=np.int64))
        return np.where(numbers < self.layer.outputs, numbers, np.where(lower >= 0, lower, -1))

    def coordinates(self, numbers: Int64[IntArray, " q"]) -> tuple[Int64[IntArray, " q"], Float64[FloatArray, " q"]]:
        """For rows that bound one coordinate: which coordinate, and the sign (-1 lower, +1 upper bound).

        Else -1 and 0.
        """
        m, n = self.layer.outputs, self.layer.inputs
        offset = numbers - m
        bounds = (offset >= 0) & (offset < 2 * n)
        return np.where(bounds, offset % n, -1), np.where(bounds, np.where(offset < n, -1.0, 1.0), 0.0)

    @property
    def is_sparse(self) -> bool:
        """Whether rows come in sparse form."""
        return is_sparse(self.layer.weight) or is_sparse(self.domain.G)

    def rows(self, numbers: Int64[IntArray, " q"]) -> Rows:
        """The coefficient rows with these numbers, shape (len(numbers), n); sparse if the layer or the domain is."""
        m, n = self.layer.outputs, self.layer.inputs
        if len(numbers) == 0 or numbers.max() < m:
            rows = self.layer.weight[numbers]
            return sparse(rows) if self.is_sparse else rows
        coordinate, sign = self.coordinates(numbers)
        if self.is_sparse:
            return self._sparse_rows(numbers, coordinate, sign)
        out = np.zeros((len(numbers), n))
        bound = np.flatnonzero(sign)
        out[bound, coordinate[bound]] = sign[bound]
        upper, half, lower = self._blocks(numbers)
        out[upper] = dense(self.layer.weight[numbers[upper]])
        out[half] = dense(self.domain.G[numbers[half] - m - 2 * n])
        out[lower] = -dense(self.layer.weight[self.units_of(numbers[lower])])
        return out

    def _blocks(self, numbers: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Where the layer's rows, half-spaces, and lower sides of rows are among the numbers."""
        m, n = self.layer.outputs, self.layer.inputs
        first = m + 2 * n
        last = first + len(self.domain.h)
        parts = (numbers < m, (numbers >= first) & (numbers < last), numbers >= last)
        upper, half, lower = (np.flatnonzero(part) for part in parts)
        return upper, half, lower

    def _sparse_rows(self, numbers: IntArray, coordinate: IntArray, sign: FloatArray) -> Rows:
        m, n = self.layer.outputs, self.layer.inputs
        (layer, half, lower), bound = self._blocks(numbers), np.flatnonzero(sign)
        unit = sparse_rows(sign[bound], np.arange(len(bound)), coordinate[bound], (len(bound), n))
        parts = stacked(
            self.layer.weight[numbers[layer]],
            unit,
            self.domain.G[numbers[half] - m - 2 * n],
            scaled(self.layer.weight[self.units_of(numbers[lower])], np.full(len(lower), -1.0)),
        )
        order = np.concatenate([layer, bound, half, lower])
        return parts[np.argsort(order)]

    def live(self, numbers: Int64[IntArray, " q"]) -> Int64[IntArray, " _"]:
        """Those of the rows that are not zero: what is left of a dead neuron says nothing about directions."""
        kept = self.coordinates(numbers)[0] >= 0
        kept[~kept] = row_norms(self.rows(numbers[~kept])) > 0  # bounds are not written out: they are n x n numbers
        return numbers[kept]

    def right_hand_sides(self, numbers: Int64[IntArray, " q"]) -> list[Fraction]:
        """The exact right-hand sides of these rows."""
        m, n = self.layer.outputs, self.layer.inputs

        def side(i: int) -> Fraction:
            if i < m:
                assert self.outputs is not None, "sides are known of an output"
                return self.outputs.side(self.layer, i, upper=True)
            if i < m + n:
                return -Fraction(float(self.domain.low[i - m]))
            if i < m + 2 * n:
                return Fraction(float(self.domain.high[i - m - n]))
            if i < m + 2 * n + len(self.domain.h):
                return Fraction(float(self.domain.h[i - m - 2 * n]))
            assert self.outputs is not None, "sides are known of an output"
            return -self.outputs.side(self.layer, i - m - 2 * n - len(self.domain.h), upper=False)

        return [side(int(i)) for i in numbers]

    def violated(self, numbers: Int64[IntArray, " q"], X: Float64[FloatArray, "N n"]) -> Bool[BoolArray, " N"]:
        """Which of the points X violate one of these inequality rows, or one of the equalities among them, exactly."""
        assert self.outputs is not None, "sides are known of an output"
        upper, half, lower = self._blocks(numbers)
        coordinate, sign = self.coordinates(numbers)
        low, high = coordinate[sign < 0], coordinate[sign > 0]
        outside = (X[:, low] < self.domain.low[low]).any(axis=1) | (X[:, high] > self.domain.high[high]).any(axis=1)
        rows = numbers[half] - self.layer.outputs - 2 * self.layer.inputs
        outside |= (exact_signs_of_many(self.domain.G[rows], X, -self.domain.h[rows]) > 0).any(axis=1)
        for units, is_upper in (
            (numbers[upper], True),
            (self.units_of(numbers[lower]), False),
            (np.intersect1d(numbers[upper], self.positive), False),
        ):
            members = np.zeros(self.layer.outputs, dtype=np.bool_)
            members[units] = True
            outside |= self.outputs.beyond(self.layer, members, X, upper=is_upper)
        return outside


def build_at_input(
    layer: ReLULayer, domain: Polyhedron, x: Float64[FloatArray, " n"], within: FloatArray | None = None
) -> MixedSystem:
    """Build the system of the output at x, known up to ``within`` (m,) or (2, m); its sides are settled exactly.

    Raises:
        InputError: x lies outside the domain.
    """
    half = check_inside(domain, x)
    precision = np.zeros(layer.outputs) if within is None else within
    sides = sides_at_inputs(layer, x[None], precision).of(0)
    m, n = layer.outputs, layer.inputs
    tight = np.concatenate(
        [
            np.flatnonzero(sides.tight_upper),
            m + np.flatnonzero(x == domain.low),
            m + n + np.flatnonzero(x == domain.high),
            m + 2 * n + np.flatnonzero(half == 0),
            m + 2 * n + len(half) + np.flatnonzero(sides.tight_lower),
        ]
    )
    return _built(layer, domain, None, sides, tight)


def build_at_output(layer: ReLULayer, domain: Polyhedron, outputs: Outputs) -> MixedSystem:
    """Build the system of an output, or of what is known of it, which should be possible in each unit."""
    return _built(layer, domain, outputs, sides_of_outputs(layer, outputs), NO_ROWS)


def _built(layer: ReLULayer, domain: Polyhedron, outputs: Outputs | None, sides: Sides, tight: IntArray) -> MixedSystem:
    m, n, q = layer.outputs, layer.inputs, len(domain.h)
    inequalities = np.concatenate(
        [
            np.flatnonzero(sides.upper | sides.both),
            m + np.flatnonzero(domain.low > -np.inf),
            m + n + np.flatnonzero(domain.high < np.inf),
            m + 2 * n + np.arange(q),
            m + 2 * n + q + np.flatnonzero(sides.lower | sides.both),
        ]
    )
    equal, both = np.flatnonzero(sides.equal), np.flatnonzero(sides.both)
    return MixedSystem(layer, domain, outputs, equal, inequalities, both, tight)


def check_inside(domain: Polyhedron, x: Float64[FloatArray, " n"]) -> Int64[IntArray, " g"]:
    """The signs of ``G x - h``, of which none is positive, exactly; InputError unless x lies in the domain."""
    outside = np.flatnonzero((x < domain.low) | (x > domain.high))
    if len(outside):
        j = int(outside[0])
        raise InputError(
            "x",
            expected=f"a point of the domain, coordinate {j} in [{domain.low[j]:g}, {domain.high[j]:g}]",
            got=f"{x[j]} there ({len(outside)} of {len(x)} coordinates are outside)",
            hint="scale the data as the domain says, or widen the domain",
        )
    half = exact_signs(domain.G, x, -domain.h)
    if (half > 0).any():
        got = f"a point that violates half-space {int(np.argmax(half > 0))}"
        raise InputError("x", expected="a point of the domain", got=got)
    return half
