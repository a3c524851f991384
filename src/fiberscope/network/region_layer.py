"""Layers in which branches meet, as maps of the branches' common ancestor within a sample's linear region.

Take a residual block ``ReLU(W2 ReLU(W1 x + b1) + S x + b)``. Around a sample the inner ReLU keeps its sign pattern D,
so the layer is the ReLU of an affine map there. Its matrix ``W2 D W1 + S`` would have to be rounded, and rounding
decides what is exactly dependent. So it is not multiplied out: the inner pre-activations z become coordinates of their
own,

    z - W1 x = const,   s_i z_i >= 0 (the linear region),   ReLU(S x + W2 D z + b),

and all numbers are those that the model stores. The set of all (x, z) is the set of all x, seen from another side: z
follows from x, so both have the same kind and dimension. What else would be rounded if it were multiplied out or added
up (an affine map behind another, two maps of the same numbers) becomes coordinates in the same way. Two constants that
would have to be added stay apart, too: the later one is multiplied by a coordinate that has the bounds 1 and 1.

A clip has three pieces: z lies below its bounds, between them or above. Where it does not lie between, what the clip
gives is a coordinate of its own that is equal to the bound, unless that is 0. On a kink the constant piece counts: of a
ReLU at 0, of a clip at either bound.

Inside a branch, max pooling of numbers v is the selection of the largest number of every window as long as that stays
the largest: the region has the half-spaces ``v_j - v_w <= 0`` for all others of the window. Of several that are equally
large at the sample the first one is selected, as everywhere. Where v is no selection of coordinates itself, it becomes
coordinates, as z does: these half-spaces have no entries but 1 and -1 (or 2 and -2), and nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float64

from fiberscope.network.arrays import BoolArray, FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.lifting import Expression, Lifting, side_by_side
from fiberscope.network.monotone import Monotone
from fiberscope.network.relu_layer import MAX_FACTORED, MAX_WRITTEN, ReLULayer
from fiberscope.network.rows import stacked, suited
from fiberscope.showing.shown import Shown, told

FACTORS = ("convolution", "rearrangement", "diagonal")
"""Kinds of maps that rows which are not written out are made of."""


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


@dataclass(frozen=True, eq=False, repr=False)
class RegionLayer(Shown):
    """A ReLU of a sum whose branches contain ReLUs of their own; it is an affine map and a ReLU around each sample.

    Any of them may be a clip. Within the linear region of x0, where the inner activations stay on their pieces, the
    branches are affine. A verdict is
    about that region, closed, alone.

    Attributes:
        stages: all stages of the network.
        sources: the numbers of each stage's sources.
        inner: the numbers of the stages between the common ancestor and the layer's activation, in order.
        ancestor: the number of the common ancestor.
        number: the number of the layer's activation.
        input_shape: the shape of what the ancestor gives.
        injective: (m,) neurons whose activation is strictly monotone.
        low: the smallest output of the others.
        high: the largest one; inf for none.
        monotone: which functions the strictly monotone ones are.
    """

    stages: Sequence[Any] = field(repr=False)
    sources: tuple[tuple[int, ...], ...] = field(repr=False)
    inner: tuple[int, ...]
    ancestor: int
    number: int
    input_shape: tuple[int, ...]
    injective: BoolArray = field(repr=False)
    low: float = 0.0
    high: float = np.inf
    monotone: Monotone | None = field(default=None, repr=False)

    @property
    def inputs(self) -> int:
        """The number n of input coordinates, without the inner pre-activations."""
        return prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """The number m of neurons."""
        return self.stages[self.number].outputs

    def at(
        self, x: Float64[FloatArray, " n"], domain: Domain | None = None, *, by_products: bool | None = None
    ) -> LocalLayer:
        """The layer around x, in the coordinates x and z.

        The inner pre-activations z are taken as float64 computes them at x, as the inputs of later layers are.

        Args:
            x: (n,) what the ancestor gives.
            domain: where x lies; None for all of R^n.
            by_products: whether its rows are kept as products of convolutions; None where they are too many.
        """
        factored = self.is_large if by_products is None else by_products
        lifting = Lifting(self.stages, self.sources, self.ancestor, x, by_products=factored)
        for number in self.inner:
            lifting.add(number)
        outer, bias = lifting.value(self.sources[self.number][0])
        make = _by_products if factored else _written
        layer = make(lifting, outer, bias, self)
        return LocalLayer(layer, np.concatenate([x, lifting.inner]), lifting.region(domain))

    def behind(self, definitions: int) -> Monotone | None:
        """Which functions the strictly monotone ones are, behind rows that define coordinates."""
        return None if self.monotone is None else self.monotone.behind(definitions, self.outputs)

    @property
    def is_of_convolutions(self) -> bool:
        """Whether its rows can be kept as products."""
        maps = [affine for number in self.inner for affine in self.stages[number].maps]
        if any(_compares(self.stages[i]) for i in self.inner) or not {affine.kind for affine in maps} <= {*FACTORS}:
            return False
        return all(
            side >= 0 for affine in maps if affine.kind == "convolution" for pair in affine.padding for side in pair
        )

    @property
    def is_large(self) -> bool:
        """Whether it is judged by products with its convolutions alone: its rows would take too long to work with."""
        maps = [affine for number in self.inner for affine in self.stages[number].maps]
        if not self.is_of_convolutions:
            return False
        entries = sum(affine.outputs * (affine.terms - 1) for affine in maps)
        # there are about as many coordinates inside
        return entries > MAX_WRITTEN or min(self.inputs, self.outputs) >= MAX_FACTORED // 2

    def _line(self) -> str:
        return f"{self.inputs} -> {self.outputs}"

    def _facts(self) -> Mapping[str, str]:
        shapes = {"input_shape": told(self.input_shape), "outputs": str(self.outputs)}
        return shapes | {"around": "each sample, in its linear region"}


def _compares(stage: Any) -> bool:
    return stage.activation is not None and stage.activation.kind == "maximum"


def _written(lifting: Lifting, outer: Expression, bias: FloatArray, region: RegionLayer) -> ReLULayer:
    """The layer of the lifted coordinates, with its rows written out."""
    rows = stacked(*(side_by_side(part, lifting.blocks) for part in (*lifting.equations, outer)))
    definitions = rows.shape[0] - len(bias)
    return ReLULayer(
        suited(rows),
        np.concatenate([np.zeros(definitions), bias]),
        injective=np.concatenate([np.ones(definitions, dtype=np.bool_), region.injective]),
        definitions=definitions,
        low=region.low,
        high=region.high,
        monotone=region.behind(definitions),
    )


def _by_products(lifting: Lifting, outer: Expression, bias: FloatArray, region: RegionLayer) -> ReLULayer:
    """The same with rows that are known as products of factors."""
    from fiberscope.network.blocks import Blocks  # loads torch, which no checker needs

    defined = [next(iter(part.values())).shape[0] for part in lifting.equations]
    definitions = sum(defined)
    constants = np.concatenate([np.zeros(definitions), bias])
    injective = np.concatenate([np.ones(definitions, dtype=np.bool_), region.injective])
    blocks = Blocks.of([*lifting.equations, outer], [len(block) for block in lifting.blocks.values()], constants)
    return ReLULayer.of_map(
        lambda: (blocks.rows(), constants),
        (blocks.inputs,),
        (blocks.outputs,),
        injective,
        low=region.low,
        high=region.high,
        operator=blocks,
        definitions=definitions,
        monotone=region.behind(definitions),
    )


__all__ = ["LocalLayer", "RegionLayer"]
