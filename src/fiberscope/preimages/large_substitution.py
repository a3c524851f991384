"""The coordinates that rows define, put in for them: products with what is left, as a map of the others alone.

Where branches meet the first rows say ``W x - z = 0`` of the pre-activations z inside. As a map of x the others are
``S x + F z = (S + F W) x``: fewer rows, and far better conditioned than those of (x, z).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fiberscope.network.blocks import Block, Blocks, Product
from fiberscope.network.relu_layer import ReLULayer


@dataclass(frozen=True, eq=False)
class Substitution:
    """Rows of a large layer as maps of the coordinates that none of its rows define.

    Attributes:
        definitions: how many rows define a coordinate; their numbers are the first.
        own: how many coordinates there are before those that are defined.
        inner: the rows that define, without what they define; None where there are none.
        outer: the other rows.
    """

    definitions: int
    own: int
    inner: Any
    outer: Any

    @classmethod
    def of(cls, layer: ReLULayer) -> Substitution | None:
        """None where coordinates are defined by others that are."""
        operator: Any = layer.operator
        if not layer.definitions:
            return cls(0, operator.inputs, None, operator)
        assert isinstance(operator, Blocks), "rows that define are those of blocks"
        blocks = operator.blocks
        defined = [c for c in range(1, len(operator.widths)) if _is_minus_one(blocks.get((c - 1, c)))]
        count = len(defined)
        if sum(operator.heights[:count]) != layer.definitions or defined != list(range(1, count + 1)):
            return None
        inner = {place: block for place, block in blocks.items() if place[0] < count and place[1] not in defined}
        if any(r < count and c in defined and c != r + 1 for r, c in blocks):
            return None
        outer = {place: block for place, block in blocks.items() if place[0] >= count}
        return cls(
            layer.definitions, operator.widths[0], replace(operator, blocks=inner), replace(operator, blocks=outer)
        )

    def whole(self, d: Tensor) -> Tensor:
        """A change of all coordinates: those that are defined follow from the others."""
        if self.inner is None:
            return d
        out = d.clone()
        out[:, self.places] = self.inner.linear(d)[:, : self.definitions]
        return out

    def linear(self, d: Tensor) -> tuple[Tensor, Tensor]:
        """All coordinates, and the rows."""
        every = self.whole(d)
        return every, self.outer.linear(every)

    def adjoint(self, coordinates: Tensor | None, rows: Tensor) -> Tensor:
        """The transpose; coordinates that are defined come out as 0."""
        out = self.outer.adjoint(rows)
        if self.inner is None:
            return out
        if coordinates is not None:
            out = out + coordinates
        weights = torch.zeros_like(rows)
        weights[:, : self.definitions] = out[:, self.places]
        out[:, self.places] = 0.0
        return out + self.inner.adjoint(weights)

    @property
    def places(self) -> slice:
        """The coordinates that are defined."""
        return slice(self.own, self.own + self.definitions)


def _is_minus_one(block: Block | None) -> bool:
    if block is None or isinstance(block, Product) or block.shape[0] != block.shape[1] or block.nnz != block.shape[0]:
        return False
    return bool((block.diagonal() == -1.0).all())


__all__ = ["Substitution"]
