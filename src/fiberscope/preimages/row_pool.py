"""The rows of one layer and its domain, as many samples use them: unit length, on the layer's device.

Whatever is asked about whichever sample, its equality and inequality rows are taken from these. Rows that are zero say
nothing about directions and are left out; bounds of coordinates are not written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import dense
from fiberscope.network.signs import row_norms
from fiberscope.preimages.tensors import product

PRECISIONS = (torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class RowPool:
    """L rows in the order layer, lower bounds, upper bounds, half-spaces; a *place* is a position among them.

    Attributes:
        numbers: (L,) the row numbers of ``fiberscope.preimages.candidate``, ascending.
        lower_numbers: (L,) the numbers of the lower sides of the layer's rows, -1 elsewhere.
        scales: (L,) what the rows were divided by to have unit length.
        zero: the numbers of the layer's zero rows.
        matrices: by precision, the unit rows of the layer (m', n) and of the half-spaces (g', n) below each other.
        layer_rows: m'.
        low: the coordinates with a lower bound.
        high: the coordinates with an upper bound.
        inputs: n.
    """

    numbers: IntArray
    lower_numbers: IntArray
    scales: FloatArray
    zero: IntArray
    matrices: dict[torch.dtype, Tensor]
    layer_rows: int
    low: Tensor
    high: Tensor
    inputs: int

    @classmethod
    def of(
        cls,
        layer: ReLULayer,
        domain: Polyhedron,
        chosen: Bool[BoolArray, " L"] | None = None,
        precisions: Sequence[torch.dtype] = PRECISIONS,
    ) -> RowPool:
        """Scale the rows, or those that are chosen by their numbers, and move them to the layer's device."""
        m, n, q = layer.outputs, layer.inputs, len(domain.h)
        chosen = np.ones(m + 2 * n + q, dtype=np.bool_) if chosen is None else chosen
        units, below, above, half = (np.flatnonzero(part) for part in np.split(chosen, np.cumsum([m, n, n])))
        A, G = (
            dense(rows if len(some) == rows.shape[0] else rows[some])
            for rows, some in ((layer.weight, units), (domain.G, half))
        )
        norms, half_norms = row_norms(A), row_norms(G)
        alive, half_alive = np.flatnonzero(norms > 0), np.flatnonzero(half_norms > 0)
        low, high = below[np.isfinite(domain.low[below])], above[np.isfinite(domain.high[above])]
        scales = np.concatenate([norms[alive], half_norms[half_alive]])
        unit = np.concatenate([A[alive], G[half_alive]]) / scales[:, None]
        double = torch.from_numpy(unit).to(layer.device)
        bounds = np.ones(len(low) + len(high))
        others = len(bounds) + len(half_alive)
        return cls(
            np.concatenate([units[alive], m + low, m + n + high, m + 2 * n + half[half_alive]]),
            np.concatenate([m + 2 * n + q + units[alive], np.full(others, -1)]),
            np.concatenate([norms[alive], bounds, half_norms[half_alive]]),
            units[norms == 0],
            {precision: double.to(precision) for precision in precisions},
            len(alive),
            torch.from_numpy(low).to(layer.device),
            torch.from_numpy(high).to(layer.device),
            n,
        )

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.low.device

    def __len__(self) -> int:
        return len(self.numbers)

    def slopes(self, directions: Float[Tensor, "n B"], *, layer_too: bool = True) -> Float[Tensor, "L B"]:
        """The products of all unit rows with B directions; NaN for the layer's rows where they are not asked for."""
        matrix, m = self.matrices[directions.dtype], self.layer_rows
        if layer_too:
            products = product(matrix, directions)
        else:
            unknown = torch.full((m, directions.shape[1]), torch.nan, dtype=directions.dtype, device=self.device)
            products = torch.cat([unknown, product(matrix[m:], directions)])
        bounds = [-directions[self.low], directions[self.high]]
        return torch.cat([products[:m], *bounds, products[m:]]) if len(self.low) or len(self.high) else products

    def reduced(self, places: Tensor, basis: Float[Tensor, "n k"]) -> Float[Tensor, "p k"]:
        """Unit rows times a basis."""
        if len(places) and int(places[-1]) < self.layer_rows:
            return product(self.matrices[basis.dtype][places], basis)
        matrix, coordinate, sign = self._parts(places)
        out = torch.empty((len(places), basis.shape[1]), dtype=basis.dtype, device=self.device)
        bound = coordinate >= 0
        out[bound] = sign[bound, None].to(basis.dtype) * basis[coordinate[bound]]
        out[~bound] = product(self.matrices[basis.dtype][matrix[~bound]], basis)
        return out

    def rows(self, places: Tensor, precision: torch.dtype) -> Float[Tensor, "p n"]:
        """Unit rows, written out."""
        if not self._has_bounds:
            return self.matrices[precision][places]
        matrix, coordinate, sign = self._parts(places)
        bound = torch.nonzero(coordinate >= 0)[:, 0]
        out = self.matrices[precision][matrix.clamp(min=0)]
        out[bound] = 0.0
        out[bound, coordinate[bound]] = sign[bound].to(precision)
        return out

    def combination(self, places: Tensor, weights: Float[Tensor, " p"]) -> Float[Tensor, " n"]:
        """The sum of unit rows times weights."""
        if not self._has_bounds:
            return product(self.matrices[weights.dtype][places].T, weights)
        matrix, coordinate, sign = self._parts(places)
        bound = coordinate >= 0
        total = product(self.matrices[weights.dtype][matrix[~bound]].T, weights[~bound])
        return total.index_add_(0, coordinate[bound], sign[bound].to(weights.dtype) * weights[bound])

    def total(self, weights: Float[Tensor, " L"]) -> Float[Tensor, " n"]:
        """The sum of all unit rows times weights."""
        m, low, high = self.layer_rows, len(self.low), len(self.high)
        layer, lower, upper, half = torch.split(weights, [m, low, high, len(self) - m - low - high])
        total = product(self.matrices[weights.dtype].T, torch.cat([layer, half]))
        return total.index_add_(0, self.low, -lower).index_add_(0, self.high, upper)

    @property
    def _has_bounds(self) -> bool:
        return self.low.numel() + self.high.numel() > 0

    def _parts(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For each row its place in the matrix, or the coordinate that it bounds and the sign; -1 and 0 elsewhere."""
        m, low, high = self.layer_rows, len(self.low), len(self.high)
        is_low = (places >= m) & (places < m + low)
        is_high = (places >= m + low) & (places < m + low + high)
        coordinate = torch.full_like(places, -1)
        coordinate[is_low] = self.low[places[is_low] - m]
        coordinate[is_high] = self.high[places[is_high] - m - low]
        half = places >= m + low + high
        matrix = torch.where(half, places - low - high, torch.where(places < m, places, -1))
        return matrix, coordinate, is_high.to(torch.int8) - is_low.to(torch.int8)


__all__ = ["RowPool"]
