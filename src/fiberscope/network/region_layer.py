"""Layers in which branches meet, as maps of the branches' common ancestor within a sample's linear region.

Take a residual block ``ReLU(W2 ReLU(W1 x + b1) + S x + b)``. Around a sample the inner ReLU keeps its sign pattern D,
so the layer is the ReLU of an affine map there. Its matrix ``W2 D W1 + S`` would have to be rounded, and rounding
decides what is exactly dependent. So it is not multiplied out: the inner pre-activations z become coordinates of their
own,

    z - W1 x = const,   s_i z_i >= 0 (the linear region),   ReLU(S x + W2 D z + b),

and all numbers are those that the model stores. The set of all (x, z) is the set of all x, seen from another side: z
follows from x, so both have the same kind and dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Box, Domain, Intersection, Polyhedron, checked_domain
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, added, beside, diagonal, no_entries, product, sparse, stacked, suited

_Expression = dict[int, Rows]
"""A linear function of several vectors: a matrix for each, by the number of the stage that gives it."""


@dataclass(frozen=True)
class LiftedDomain:
    """A domain of the first coordinates, and bounds of the coordinates after them.

    Attributes:
        domain: the domain of the first coordinates; None for no constraint.
        low: (k,) lower bounds of the others.
        high: (k,) their upper bounds.
    """

    domain: Domain | None
    low: FloatArray
    high: FloatArray

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the domain out for inputs of dimension ``n``, the other coordinates included."""
        first = n - len(self.low)
        if self.domain is None:
            free = Box(-np.inf, np.inf).polyhedron(first)
        else:
            free = checked_domain(self.domain).polyhedron(first)
        empty = no_entries(free.G.shape[0], len(self.low))
        return Polyhedron(
            np.concatenate([free.low, self.low]),
            np.concatenate([free.high, self.high]),
            beside(free.G, empty),
            free.h,
        )

    def __and__(self, other: Domain) -> Intersection:
        return Intersection((self, other))


@dataclass(frozen=True, eq=False)
class LocalLayer:
    """What a layer is around one sample.

    Attributes:
        layer: the layer of the lifted coordinates (x, z); its first rows define z, the others are the neurons.
        x: (n + k,) the sample in these coordinates.
        domain: where they lie: the domain of x, and the linear region.
    """

    layer: ReLULayer
    x: FloatArray
    domain: Domain


@dataclass(frozen=True, eq=False)
class RegionLayer:
    """A ReLU of a sum whose branches contain ReLUs of their own; it is an affine map and a ReLU around each sample.

    Within the linear region of x0, where the inner activations keep their sign, the branches are affine. A verdict is
    about that region, closed, alone.

    Attributes:
        stages: all stages of the network.
        sources: the numbers of each stage's sources.
        inner: the numbers of the stages between the common ancestor and the layer's activation, in order.
        ancestor: the number of the common ancestor.
        number: the number of the layer's activation.
        input_shape: the shape of what the ancestor gives.
        injective: (m,) neurons whose activation is strictly monotone.
    """

    stages: Sequence[Any] = field(repr=False)
    sources: tuple[tuple[int, ...], ...] = field(repr=False)
    inner: tuple[int, ...]
    ancestor: int
    number: int
    input_shape: tuple[int, ...]
    injective: BoolArray = field(repr=False)

    @property
    def inputs(self) -> int:
        """The number n of input coordinates, without the inner pre-activations."""
        return prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """The number m of neurons."""
        return self.stages[self.number].outputs

    def at(self, x: Float64[FloatArray, " n"], domain: Domain | None = None) -> LocalLayer:
        """The layer around x, in the coordinates x and z.

        The inner pre-activations z are taken as float64 computes them at x, as the inputs of later layers are.

        Args:
            x: (n,) what the ancestor gives.
            domain: where x lies; None for all of R^n.
        """
        known: dict[int, tuple[_Expression, FloatArray]] = {}
        blocks: dict[int, FloatArray] = {self.ancestor: x}
        equations: list[_Expression] = []
        for number in self.inner:
            activation = self.stages[number].activation
            if activation is None:
                known[number] = self._affine(number, known)
                continue
            expression, bias = self._value(known, self.sources[number][0], len(x))
            z = bias + sum(rows @ blocks[stage] for stage, rows in expression.items())
            equations.append(expression | {number: diagonal(-np.ones(len(z)))})
            blocks[number] = z
            factor = np.where(z > 0, 1.0, activation.negative_slopes().numpy())
            known[number] = ({number: diagonal(factor)}, np.zeros(len(z)))
        outer, bias = self._value(known, self.sources[self.number][0], len(x))
        weight = stacked(*(_side_by_side(equation, blocks) for equation in (*equations, outer)))
        inner = np.concatenate([blocks[number] for number in blocks if number != self.ancestor])
        hidden = np.ones(len(inner), dtype=np.bool_)
        layer = ReLULayer(
            suited(weight),
            np.concatenate([np.zeros(len(inner)), bias]),
            injective=np.concatenate([hidden, self.injective]),
            definitions=len(inner),
        )
        region = LiftedDomain(domain, np.where(inner > 0, 0.0, -np.inf), np.where(inner > 0, np.inf, 0.0))
        return LocalLayer(layer, np.concatenate([x, inner]), region)

    def _value(self, known: dict[int, Any], number: int, n: int) -> tuple[_Expression, FloatArray]:
        if number == self.ancestor:
            return {number: diagonal(np.ones(n))}, np.zeros(n)
        return known[number]

    def _affine(self, number: int, known: dict[int, Any]) -> tuple[_Expression, FloatArray]:
        """What an affine stage gives, as a function of the ancestor and the inner pre-activations."""
        from fiberscope.network.combination import written_out  # loads torch, which no checker needs

        total: _Expression = {}
        constant = np.zeros(self.stages[number].outputs)
        for source, affine in zip(self.sources[number], self.stages[number].maps, strict=True):
            rows, bias = written_out(affine)
            expression, before = self._value(known, source, affine.inputs)
            constant = constant + bias + (rows @ before if before.any() else 0.0)
            for stage, inner in expression.items():
                term = product(rows, inner)
                total[stage] = added(total[stage], term) if stage in total else term
        return total, constant

    def __repr__(self) -> str:
        return f"RegionLayer({self.inputs} -> {self.outputs})"


def _side_by_side(expression: _Expression, blocks: dict[int, FloatArray]) -> Rows:
    """The matrices of an expression as one, with zeros for vectors that do not occur."""
    height = next(iter(expression.values())).shape[0]
    parts = [
        sparse(expression[stage]) if stage in expression else no_entries(height, len(block))
        for stage, block in blocks.items()
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole = beside(whole, part)
    return whole


__all__ = ["LiftedDomain", "LocalLayer", "RegionLayer"]
