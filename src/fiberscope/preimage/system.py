"""The mixed system (1) + (2) of the paper, built from a layer, a domain, and an input or an output."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, dense, is_sparse, sparse, sparse_rows, stacked
from fiberscope.network.signs import exact_signs
from fiberscope.preimage.budget import NO_LIMIT, Budget


@dataclass(frozen=True, eq=False)
class MixedSystem:
    """``A_P x + b_P = y_P, A_N x + b_N <= 0`` and the domain's rows.

    Rows are numbered as in ``fiberscope.preimage.candidate``.

    Attributes:
        layer: the layer.
        domain: the domain, written out.
        y: (m,) the output, or None where the system was built from an input.
        positive: the rows P.
        inequalities: all inequality rows: N and the domain's.
        tight: with an input: the inequality rows that hold with equality there, exactly.
        budget: how long deciding may take.
    """

    layer: ReLULayer
    domain: Polyhedron
    y: FloatArray | None
    positive: IntArray
    inequalities: IntArray
    tight: IntArray
    budget: Budget = NO_LIMIT

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
        out[numbers < m] = dense(self.layer.weight[numbers[numbers < m]])
        half = numbers >= m + 2 * n
        out[half] = dense(self.domain.G[numbers[half] - m - 2 * n])
        return out

    def _sparse_rows(self, numbers: IntArray, coordinate: IntArray, sign: FloatArray) -> Rows:
        m, n = self.layer.outputs, self.layer.inputs
        layer, bound, half = numbers < m, sign != 0, numbers >= m + 2 * n
        unit = sparse_rows(sign[bound], np.arange(int(bound.sum())), coordinate[bound], (int(bound.sum()), n))
        parts = stacked(self.layer.weight[numbers[layer]], unit, self.domain.G[numbers[half] - m - 2 * n])
        order = np.concatenate([np.flatnonzero(layer), np.flatnonzero(bound), np.flatnonzero(half)])
        return parts[np.argsort(order)]

    def right_hand_sides(self, numbers: Int64[IntArray, " q"]) -> list[Fraction]:
        """The exact right-hand sides of these rows."""
        m, n = self.layer.outputs, self.layer.inputs

        def side(i: int) -> Fraction:
            if i < m:
                return Fraction(0.0 if self.y is None else float(self.y[i])) - Fraction(float(self.layer.bias[i]))
            if i < m + n:
                return -Fraction(float(self.domain.low[i - m]))
            if i < m + 2 * n:
                return Fraction(float(self.domain.high[i - m - n]))
            return Fraction(float(self.domain.h[i - m - 2 * n]))

        return [side(int(i)) for i in numbers]


def build_at_input(layer: ReLULayer, domain: Polyhedron, x: Float64[FloatArray, " n"]) -> MixedSystem:
    """Build the system of the output at x; its sign pattern is settled exactly.

    Raises:
        InputError: x lies outside the domain.
    """
    half = check_inside(domain, x)
    sign = exact_signs(layer.weight, x, layer.bias)
    m, n = layer.outputs, layer.inputs
    equality = (sign > 0) | layer.injective  # a strictly monotone activation fixes its pre-activation
    tight = np.concatenate(
        [
            np.flatnonzero((sign == 0) & ~equality),
            m + np.flatnonzero(x == domain.low),
            m + n + np.flatnonzero(x == domain.high),
            m + 2 * n + np.flatnonzero(half == 0),
        ]
    )
    return MixedSystem(layer, domain, None, np.flatnonzero(equality), _inequalities(layer, domain, ~equality), tight)


def build_at_output(layer: ReLULayer, domain: Polyhedron, y: Float64[FloatArray, " m"]) -> MixedSystem:
    """Build the system of the output y, which must have no negative entry."""
    return MixedSystem(
        layer, domain, y, np.flatnonzero(y > 0), _inequalities(layer, domain, y <= 0), np.zeros(0, dtype=np.int64)
    )


def _inequalities(layer: ReLULayer, domain: Polyhedron, inactive: Bool[BoolArray, " m"]) -> Int64[IntArray, " _"]:
    m, n = layer.outputs, layer.inputs
    bounds = [m + np.flatnonzero(domain.low > -np.inf), m + n + np.flatnonzero(domain.high < np.inf)]
    return np.concatenate([np.flatnonzero(inactive), *bounds, m + 2 * n + np.arange(len(domain.h))])


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
