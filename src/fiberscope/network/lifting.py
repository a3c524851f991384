"""The coordinates in which the branches that lead to a layer are affine around a sample, without a rounded number.

See ``fiberscope.network.region_layer`` for what they are and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Domain, Intersection, Polyhedron, as_polyhedron
from fiberscope.network.rows import (
    Rows,
    added,
    beside,
    diagonal,
    entries,
    no_entries,
    product,
    scaled,
    sparse,
    sparse_rows,
    stacked,
    suited,
)
from fiberscope.network.sparse_rows import SparseRows

if TYPE_CHECKING:
    from fiberscope.network.activations import Pointwise
    from fiberscope.network.affine import AffineMap

Expression: TypeAlias = "dict[int, Any]"
"""A linear function of several vectors of coordinates: a matrix for each, by its number; 0 is the ancestor's."""

_Affine: TypeAlias = "tuple[Expression, FloatArray]"
"""A linear function of coordinates, and a constant."""


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
        free = as_polyhedron(self.domain, n - len(self.low))
        lifted = beside(free.G, no_entries(free.G.shape[0], len(self.low)))
        return Polyhedron(
            np.concatenate([free.low, self.low]),
            np.concatenate([free.high, self.high]),
            stacked(lifted, self.comparisons),
            np.concatenate([free.h, np.zeros(self.comparisons.shape[0])]),
        )

    def __and__(self, other: Domain) -> Intersection:
        return Intersection((self, other))


class Lifting:
    """The coordinates around one sample, collected from the ancestor to the layer's activation.

    Args:
        stages: of the network.
        sources: of each stage.
        ancestor: the number of the common ancestor.
        x: what it gives.
        by_products: whether convolutions are kept as factors, and not written out.

    Attributes:
        blocks: the vectors of coordinates at the sample, by number; that of the ancestor first.
        equations: what defines each of the others, but for those that are 1.
    """

    def __init__(
        self,
        stages: Sequence[Any],
        sources: tuple[tuple[int, ...], ...],
        ancestor: int,
        x: FloatArray,
        *,
        by_products: bool = False,
    ) -> None:
        self.blocks: dict[int, FloatArray] = {0: x}
        self.equations: list[Expression] = []
        self._stages, self._sources, self._by_products = stages, sources, by_products
        self._low: list[FloatArray] = []
        self._high: list[FloatArray] = []
        self._comparisons: list[Expression] = []
        self._known: dict[int, _Affine] = {ancestor: ({0: diagonal(np.ones(len(x)))}, np.zeros(len(x)))}

    def value(self, number: int) -> _Affine:
        """What a stage gives, as a function of the coordinates."""
        return self._known[number]

    def add(self, number: int) -> None:
        """Take up the next stage."""
        from fiberscope.network.activations import Maximum  # loads torch, which no checker needs

        stage = self._stages[number]
        values = [self.value(source) for source in self._sources[number]]
        if stage.activation is None:
            self._known[number] = self._sum([self._mapped(*pair) for pair in zip(stage.maps, values, strict=True)])
        elif isinstance(stage.activation, Maximum):
            self._known[number] = self._selected(stage.activation.index.cpu().numpy(), *values)
        else:
            self._known[number] = self._bent(stage.activation, *values)

    def _lifted(self, value: _Affine) -> tuple[Expression, FloatArray]:
        """New coordinates that are equal to a value: themselves as a function of all, and their numbers at the sample.

        They are taken as float64 computes them; the equation that defines them has the constant that belongs to that.
        """
        expression, bias = value
        z = bias + sum(rows @ self.blocks[block] for block, rows in expression.items())
        number = len(self.blocks)
        self.equations.append(expression | {number: diagonal(-np.ones(len(z)))})
        self.blocks[number] = z
        self._low.append(np.full(len(z), -np.inf))
        self._high.append(np.full(len(z), np.inf))
        return {number: diagonal(np.ones(len(z)))}, z

    def _times_one(self, bias: FloatArray) -> Expression:
        """A constant as a function of a new coordinate that is 1, by its bounds: no row has to define it."""
        number, held = len(self.blocks), np.flatnonzero(bias)
        self.blocks[number] = np.ones(1)
        self._low.append(np.ones(1))
        self._high.append(np.ones(1))
        return {number: sparse_rows(bias[held], held, np.zeros_like(held), (len(bias), 1))}

    def _bent(self, activation: Pointwise, value: _Affine) -> _Affine:
        """What an activation with kinks gives: new coordinates that stay on their pieces.

        Where a piece is constant and not 0, its value is a coordinate, too: other numbers could not be added to it, or
        multiplied with it, without rounding.
        """
        expression, z = self._lifted(value)
        ((number, _),) = expression.items()
        slope, constant, self._low[-1], self._high[-1] = _piece_around(activation, z)
        bent: Expression = {number: diagonal(slope)}
        held = np.flatnonzero(constant)
        if len(held):
            fixed, _ = self._lifted(({}, constant[held]))
            ((place, _),) = fixed.items()
            bent[place] = sparse_rows(np.ones(len(held)), held, np.arange(len(held)), (len(z), len(held)))
        return bent, np.zeros(len(z))

    def _mapped(self, affine: AffineMap, value: _Affine) -> _Affine:
        """What an affine map makes of a value, without a rounded number."""
        from fiberscope.network.combination import Composition, Sum  # loads torch, which no checker needs

        if isinstance(affine, Composition):
            for factor in affine.factors:
                value = self._mapped(factor, value)
            return value
        if isinstance(affine, Sum):
            return self._sum([self._mapped(summand, value) for summand in affine.summands])
        if self._by_products:
            return self._multiplied(affine, value)
        rows: Rows = affine.rows()
        bias: FloatArray = affine.bias.cpu().numpy()
        if not _maps_exactly(rows, bias, value):
            value = self._lifted(value)[0], np.zeros(rows.shape[1])
        expression, before = value
        constant: FloatArray = rows @ before + bias
        return {block: product(rows, inner) for block, inner in expression.items()}, constant

    def _multiplied(self, affine: AffineMap, value: _Affine) -> _Affine:
        """The same with a convolution as a factor, which is not written out."""
        from fiberscope.network.blocks import Product, selects  # loads torch, which no checker needs
        from fiberscope.network.convolution import Convolution
        from fiberscope.network.structured import Rearrangement

        if isinstance(affine, Rearrangement) and affine.is_identity:
            return value
        if value[1].any() or any(isinstance(part, Product) or not selects(part) for part in value[0].values()):
            value = self._lifted(value)[0], np.zeros(affine.inputs)
        expression, bias = value[0], np.asarray(affine.bias.cpu().numpy())
        if isinstance(affine, Convolution):
            return {block: Product(affine, sparse(inner)) for block, inner in expression.items()}, bias
        rows: Rows = affine.rows()
        return {block: product(rows, inner) for block, inner in expression.items()}, bias

    def _sum(self, terms: list[_Affine]) -> _Affine:
        """The sum of several values, without a rounded number."""
        total, constant = terms[0]
        for term in terms[1:]:
            expression, bias = term
            if _overlap(total, expression):
                expression, bias = self._lifted(term)[0], np.zeros(len(bias))
            elif bool(((constant != 0) & (bias != 0)).any()):
                expression, bias = expression | self._times_one(bias), np.zeros(len(bias))
            shared = {block: added(total[block], rows) for block, rows in expression.items() if block in total}
            total, constant = {**total, **expression, **shared}, constant + bias
        return total, constant

    def _selected(self, index: IntArray, value: _Affine) -> _Affine:
        """What a maximum over windows gives, and the comparisons of each winner with the others of its window."""
        expression, bias = value
        if _is_selection(expression, bias):
            v = sum((rows @ self.blocks[block] for block, rows in expression.items()), np.zeros(len(bias)))
        else:
            expression, v = self._lifted(value)
        place = np.where(index >= 0, v[index], -np.inf).argmax(axis=1)
        winners = index[np.arange(len(index)), place]
        others = (index >= 0) & (index != winners[:, None])
        rivals = np.stack([index[others], np.broadcast_to(winners[:, None], index.shape)[others]], axis=1)
        rivals = np.unique(rivals, axis=0)  # windows overlap
        if len(rivals):
            less = -np.ones(len(rivals))
            self._comparisons.append(
                {
                    block: added(rows[rivals[:, 0]], scaled(rows[rivals[:, 1]], less))
                    for block, rows in expression.items()
                }
            )
        return {block: rows[winners] for block, rows in expression.items()}, np.zeros(len(winners))

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
            more = sparse(side_by_side(comparison, self.blocks))
            rows = stacked(rows, more[np.diff(more.indptr) > 0])  # a row without entries says 0 <= 0
        return LiftedDomain(domain, low, high, suited(rows))


def _piece_around(activation: Pointwise, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Slope and constant of the piece that each unit is on at z, and where it begins and ends."""
    import torch  # no checker needs it

    piece = activation.piece(torch.tensor(z)).numpy()
    slopes = np.stack([slope.numpy() for slope, _ in activation.lines()])
    ends = np.array([-np.inf, *(activation.kinks() or ()), np.inf])
    constants = np.array([constant for _, constant in activation.lines()])
    return slopes[piece, np.arange(len(z))], constants[piece], ends[piece], ends[piece + 1]


def _is_selection(expression: Expression, bias: FloatArray) -> bool:
    """Whether every value is a coordinate, its negative, or zero."""
    parts = [sparse(rows) for rows in expression.values()]
    counts = sum((np.diff(part.indptr) for part in parts), np.zeros(len(bias), dtype=np.int64))
    return not bias.any() and bool((counts <= 1).all()) and all(bool((np.abs(part.data) == 1).all()) for part in parts)


def _maps_exactly(rows: Rows, bias: FloatArray, value: _Affine) -> bool:
    """Whether ``rows @ value + bias`` can be written out without rounding a number.

    It can if the rows only move numbers, or if the value has no constant and no entries but 1 and -1, of which no two
    come together in one entry of the product.
    """
    expression, before = value
    if not before.any() and all(_multiplies_exactly(rows, inner) for inner in expression.values()):
        return True
    own = sparse(rows)
    moves = bool((np.diff(own.indptr) <= 1).all() and (np.abs(own.data) == 1).all())
    return moves and not bool((before.any()) and ((rows @ before != 0) & (bias != 0)).any())


def _multiplies_exactly(rows: Rows, inner: Rows) -> bool:
    factor = sparse(inner)
    if not bool((np.abs(factor.data) == 1).all()):
        return False
    if len(np.unique(factor.indices)) == len(factor.indices):
        return True  # no two rows of it share a column
    outer = sparse(rows)
    products = np.bincount(outer.indices, minlength=outer.shape[1]) @ np.diff(factor.indptr)
    return int(products) == entries(product(rows, inner))


def _overlap(left: Expression, right: Expression) -> bool:
    """Whether two linear functions have entries at the same place."""
    for block in left.keys() & right.keys():
        if not all(isinstance(part[block], np.ndarray | SparseRows) for part in (left, right)):
            return True  # a convolution that is not written out
        first, second = _pattern(left[block]), _pattern(right[block])
        if entries(first) + entries(second) != entries(added(first, second)):
            return True
    return False


def _pattern(rows: Rows) -> Rows:
    """Ones where a matrix has entries."""
    own = sparse(rows)
    return SparseRows((np.ones(len(own.data)), own.indices, own.indptr), shape=own.shape)


def side_by_side(expression: Expression, blocks: dict[int, FloatArray]) -> Rows:
    """The matrices of an expression as one, with zeros for vectors that do not occur."""
    height = next(iter(expression.values())).shape[0]
    parts = [
        sparse(expression[number]) if number in expression else no_entries(height, len(block))
        for number, block in blocks.items()
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole = beside(whole, part)
    return whole


__all__ = ["Expression", "LiftedDomain", "Lifting", "side_by_side"]
