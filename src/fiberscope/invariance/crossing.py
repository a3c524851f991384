"""Facets between regions: which are reached at a point, what lies behind them, and what crossing them promises.

Let an optimum of ``max <c, x'>`` in a region have the multipliers y of ``E x' = f`` and l >= 0 of ``G x' <= h``, so
that ``c = E^T y + G^T l`` in the pixels off their bounds. Behind the facet of inequality i, the output of a unit grows
faster by ``k_i`` along the row ``g_i``, and every later row changes by a multiple of ``g_i``. With ``a_i``, the
derivative of ``<y, E x'> + <l, G x'>`` by that output,

    c = E'^T y + sum of l_j g_j' (j != i) + (l_i - k_i a_i) g_i.

Behind the facet ``g_i`` may grow. If no other multipliers belong to the optimum, crossing makes the objective grow if,
and only if, the promise ``l_i - k_i a_i`` is positive. All promises take one pass back through the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from fiberscope.invariance.feature_region import FeatureRegion, Pieces
from fiberscope.invariance.linear_pieces import beyond
from fiberscope.invariance.vertex import Vertex
from fiberscope.network.arrays import IntArray
from fiberscope.network.stage import INPUT

PROMISED = 1e-9
"""A promise below which there is none, in units of a program of size one: HiGHS's tolerance."""


@dataclass(frozen=True)
class Flip:
    """A unit that goes to another piece of its activation.

    Attributes:
        stage: the number of the activation.
        unit: the number of its output.
        piece: the piece that it is on afterwards.
    """

    stage: int
    unit: int
    piece: int


class Facet(NamedTuple):
    """A facet that may be crossed.

    Attributes:
        number: of the inequality that it belongs to.
        promise: how fast the objective grows behind it, by the multipliers at the point, in units of a program of size
            one; 0 where that is within tolerances.
        flip: what crossing it does.
    """

    number: int
    promise: float
    flip: Flip


@dataclass(frozen=True, eq=False)
class Crossings:
    """The facets of units on the way, those that promise most first.

    Attributes:
        here: facets that hold the point.
        elsewhere: the most promising of those that do not.
    """

    here: tuple[Facet, ...]
    elsewhere: tuple[Facet, ...]


def crossings(region: FeatureRegion, vertex: Vertex, most: int) -> Crossings:
    """The facets at a vertex and elsewhere, ``most`` of each.

    The conditions of the features themselves are none of them: behind these, features differ.
    """
    back = _sensitivities(region, vertex)
    parts = list(zip(_activations(region), region.owners(), strict=False))  # the last range is that of the features
    count = parts[-1][1][1] if parts else 0
    outputs, pieces, stages = (np.zeros(count, dtype=np.int64) for _ in range(3))
    promise, reached = np.zeros(region.count), np.zeros(region.count, dtype=np.bool_)
    promise[vertex.tight], reached[vertex.tight] = vertex.multipliers, True
    promise, reached = promise[:count], reached[:count]
    for stage, (first, end) in parts:
        activation = region.network.stages[stage].activation
        assert activation is not None, "these are the stages with activations"
        behind = beyond(activation, region.pieces[stage])
        stages[first:end], outputs[first:end], pieces[first:end] = stage, behind.unit.numpy(), behind.piece.numpy()
        promise[first:end] -= (behind.change * back[stage][behind.unit]).numpy()
    units = vertex.units[:count] * vertex.size
    promise = np.divide(promise, units, out=np.zeros(count), where=units > 0)
    promise[np.abs(promise) <= PROMISED] = 0.0
    order = np.argsort(-promise, kind="stable")

    def chosen(numbers: IntArray) -> tuple[Facet, ...]:
        return tuple(
            Facet(i, float(promise[i]), Flip(int(stages[i]), int(outputs[i]), int(pieces[i]))) for i in numbers.tolist()
        )

    return Crossings(chosen(order[reached[order]][:most]), chosen(order[~reached[order]][:most]))


def _activations(region: FeatureRegion) -> list[int]:
    """The stages whose conditions are the region's, in the order of these."""
    source = region.features.source
    needed = region.network.needed_for(source) if source != INPUT else ()
    return [number for number in needed if region.network.stages[number].activation is not None]


def _sensitivities(region: FeatureRegion, vertex: Vertex) -> dict[int, Tensor]:
    """The derivative of ``<y, E x'> + <l, G x'>`` by what every activation gives."""
    network, source = region.network, region.features.source
    waiting: dict[int, Tensor] = {}

    def add(number: int, values: Tensor) -> None:
        waiting[number] = waiting[number] + values if number in waiting else values

    held = torch.zeros(network.inputs if source == INPUT else network.stages[source].outputs, dtype=torch.float64)
    add(source, held.index_add(0, region.features.fixed, torch.tensor(vertex.prices)))
    for (number, part), (first, end) in zip(region.inequalities, region.owners(), strict=True):
        inside = (vertex.tight >= first) & (vertex.tight < end)
        chosen, weight = torch.tensor(vertex.tight[inside] - first), torch.tensor(vertex.multipliers[inside])
        padded = torch.zeros(1 + network.inputs if number == INPUT else 1 + network.stages[number].outputs).double()
        padded.index_add_(0, part.first[chosen] + 1, weight).index_add_(0, part.second[chosen] + 1, -weight)
        add(number, padded[1:])
    found: dict[int, Tensor] = {}
    for number in reversed(network.needed_for(source) if source != INPUT else ()):
        values = waiting.pop(number, None)
        if values is None:
            values = torch.zeros(network.stages[number].outputs, dtype=torch.float64)
        if network.stages[number].activation is not None:
            found[number] = values
        for affine, before in zip(region.local.maps[number], network.sources(number), strict=True):
            add(before, affine.adjoint(values[None])[0])
    return found


def crossed(pieces: Pieces, flips: Sequence[Flip]) -> dict[int, Int64[Tensor, " m"]]:
    """The pieces after some flips."""
    changed = dict(pieces)
    for flip in flips:
        changed[flip.stage] = changed[flip.stage].clone()
        changed[flip.stage][flip.unit] = flip.piece
    return changed


def pattern(pieces: Pieces) -> str:
    """A name of an activation pattern: the SHA-256 of all pieces, in hexadecimal."""
    total = sha256()
    for number in sorted(pieces):
        total.update(np.array([number, len(pieces[number])], dtype="<i8").tobytes())
        total.update(pieces[number].numpy().astype("<i8").tobytes())
    return total.hexdigest()


__all__ = ["Crossings", "Facet", "Flip", "crossed", "crossings", "pattern"]
