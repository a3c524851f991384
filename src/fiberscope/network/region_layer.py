"""Layers in which branches meet, as maps of the branches' common ancestor within a sample's linear region.

Take a residual block ``ReLU(W2 ReLU(W1 x + b1) + S x + b)``. Around a sample the inner ReLU keeps its sign pattern D,
so the layer is the ReLU of an affine map there. Its matrix ``W2 D W1 + S`` would have to be rounded, and rounding
decides what is exactly dependent. So it is not multiplied out: the inner pre-activations z become coordinates of their
own,

    z - W1 x = const,   s_i z_i >= 0 (the linear region),   ReLU(S x + W2 D z + b),

and all numbers are those that the model stores. The set of all (x, z) is the set of all x, seen from another side: z
follows from x, so both have the same kind and dimension.

Inside a branch, max pooling of numbers v is the selection of the largest number of every window as long as that stays
the largest: the region has the half-spaces ``v_j - v_w <= 0`` for all others of the window. Of several that are equally
large at the sample the first one is selected, as everywhere. Where v is no selection of coordinates itself, it becomes
coordinates, as z does: these half-spaces have no entries but 1 and -1 (or 2 and -2), and nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Domain, Intersection, Polyhedron, written_out
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, added, beside, diagonal, no_entries, product, scaled, sparse, stacked, suited

_Expression = dict[int, Rows]
"""A linear function of several vectors: a matrix for each, by the number of the stage that gives it."""


@dataclass(frozen=True, eq=False)
class LiftedDomain:
    """A domain of the first coordinates, bounds of the coordinates after them, and half-spaces of all together.

    Attributes:
        domain: the domain of the first coordinates; None for no constraint.
        low: (k,) lower bounds of the others.
        high: (k,) their upper bounds.
        comparisons: (g, n) the rows c of half-spaces ``c (x, z) <= 0``.
    """

    domain: Domain | None
    low: FloatArray
    high: FloatArray
    comparisons: Rows

    def polyhedron(self, n: int) -> Polyhedron:
        """Write the domain out for inputs of dimension ``n``, the other coordinates included."""
        free = written_out(self.domain, n - len(self.low))
        lifted = beside(free.G, no_entries(free.G.shape[0], len(self.low)))
        return Polyhedron(
            np.concatenate([free.low, self.low]),
            np.concatenate([free.high, self.high]),
            stacked(lifted, self.comparisons),
            np.concatenate([free.h, np.zeros(self.comparisons.shape[0])]),
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
        lifting = _Lifting(self, x)
        for number in self.inner:
            lifting.add(number)
        outer, bias = lifting.value(self.sources[self.number][0])
        inner = lifting.inner
        hidden = np.ones(len(inner), dtype=np.bool_)
        layer = ReLULayer(
            suited(stacked(*(_side_by_side(part, lifting.blocks) for part in (*lifting.equations, outer)))),
            np.concatenate([np.zeros(len(inner)), bias]),
            injective=np.concatenate([hidden, self.injective]),
            definitions=len(inner),
        )
        return LocalLayer(layer, np.concatenate([x, inner]), lifting.region(domain))

    def __repr__(self) -> str:
        return f"RegionLayer({self.inputs} -> {self.outputs})"


class _Lifting:
    """The coordinates around one sample, collected from the ancestor to the layer's activation.

    Attributes:
        blocks: the vectors of coordinates at the sample, by the number of the stage that gives them; the ancestor's is
            the first one.
        equations: what defines each of the others.
    """

    def __init__(self, layer: RegionLayer, x: FloatArray) -> None:
        self.blocks: dict[int, FloatArray] = {layer.ancestor: x}
        self.equations: list[_Expression] = []
        self._layer = layer
        self._low: list[FloatArray] = []
        self._high: list[FloatArray] = []
        self._comparisons: list[_Expression] = []
        self._known: dict[int, tuple[_Expression, FloatArray]] = {
            layer.ancestor: ({layer.ancestor: diagonal(np.ones(len(x)))}, np.zeros(len(x)))
        }

    def value(self, number: int) -> tuple[_Expression, FloatArray]:
        """What a stage gives, as a function of the coordinates: a linear one, and a constant."""
        return self._known[number]

    def add(self, number: int) -> None:
        """Take up the next stage."""
        from fiberscope.network.activations import Maximum  # loads torch, which no checker needs

        activation = self._layer.stages[number].activation
        if activation is None:
            self._known[number] = self._affine(number)
        elif isinstance(activation, Maximum):
            self._known[number] = self._selected(number, activation.index.cpu().numpy())
        else:
            positive = self._lift(number) > 0
            self._low[-1], self._high[-1] = np.where(positive, 0.0, -np.inf), np.where(positive, np.inf, 0.0)
            factor = np.where(positive, 1.0, activation.negative_slopes().numpy())
            self._known[number] = ({number: diagonal(factor)}, np.zeros(len(factor)))

    def _lift(self, number: int) -> FloatArray:
        """Make coordinates of what a stage receives; their values at the sample."""
        expression, bias = self.value(self._layer.sources[number][0])
        z = bias + sum(rows @ self.blocks[stage] for stage, rows in expression.items())
        self.equations.append(expression | {number: diagonal(-np.ones(len(z)))})
        self.blocks[number] = z
        self._low.append(np.full(len(z), -np.inf))
        self._high.append(np.full(len(z), np.inf))
        return z

    def _affine(self, number: int) -> tuple[_Expression, FloatArray]:
        """What an affine stage gives."""
        from fiberscope.network.combination import written_out as numbers_of  # loads torch, which no checker needs

        total: _Expression = {}
        stage = self._layer.stages[number]
        constant = np.zeros(stage.outputs)
        for source, affine in zip(self._layer.sources[number], stage.maps, strict=True):
            rows, bias = numbers_of(affine)
            expression, before = self.value(source)
            constant = constant + bias + (rows @ before if before.any() else 0.0)
            for block, inner in expression.items():
                term = product(rows, inner)
                total[block] = added(total[block], term) if block in total else term
        return total, constant

    def _selected(self, number: int, index: IntArray) -> tuple[_Expression, FloatArray]:
        """What a maximum over windows gives, and the comparisons of each winner with the others of its window."""
        expression, bias = self.value(self._layer.sources[number][0])
        if _is_selection(expression, bias):
            v = sum((rows @ self.blocks[stage] for stage, rows in expression.items()), np.zeros(len(bias)))
        else:
            v = self._lift(number)
            expression = {number: diagonal(np.ones(len(v)))}
        place = np.where(index >= 0, v[index], -np.inf).argmax(axis=1)
        winners = index[np.arange(len(index)), place]
        others = (index >= 0) & (index != winners[:, None])
        rivals = np.stack([index[others], np.broadcast_to(winners[:, None], index.shape)[others]], axis=1)
        rivals = np.unique(rivals, axis=0)  # windows overlap
        if len(rivals):
            less = -np.ones(len(rivals))
            self._comparisons.append(
                {
                    stage: added(rows[rivals[:, 0]], scaled(rows[rivals[:, 1]], less))
                    for stage, rows in expression.items()
                }
            )
        return {stage: rows[winners] for stage, rows in expression.items()}, np.zeros(len(winners))

    @property
    def inner(self) -> FloatArray:
        """(k,) the coordinates behind those of the ancestor, at the sample."""
        _, *inner = self.blocks.values()
        return np.concatenate([np.zeros(0), *inner])

    def region(self, domain: Domain | None) -> LiftedDomain:
        """Where the coordinates lie: the domain of the ancestor's, and the linear region."""
        low, high = (np.concatenate([np.zeros(0), *side]) for side in (self._low, self._high))
        rows: Rows = no_entries(0, sum(map(len, self.blocks.values())))
        for comparison in self._comparisons:
            more = sparse(_side_by_side(comparison, self.blocks))
            rows = stacked(rows, more[np.diff(more.indptr) > 0])  # a row without entries says 0 <= 0
        return LiftedDomain(domain, low, high, suited(rows))


def _is_selection(expression: _Expression, bias: FloatArray) -> bool:
    """Whether every value is a coordinate, its negative, or zero."""
    parts = [sparse(rows) for rows in expression.values()]
    counts = sum((np.diff(part.indptr) for part in parts), np.zeros(len(bias), dtype=np.int64))
    return not bias.any() and bool((counts <= 1).all()) and all(bool((np.abs(part.data) == 1).all()) for part in parts)


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
