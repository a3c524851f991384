"""The inputs of one activation region that have given features: a polytope.

Within a region all units up to a layer stay on their linear pieces, so that the features are an affine function of the
input there. What of them is fixed gives equations, what a ReLU cuts off gives inequalities, and so does staying in the
region. The region of x itself is only one of many; see ``fiberscope.invariance.walk``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from fiberscope.invariance.feature_bands import bands
from fiberscope.invariance.linear_pieces import Conditions, between_kinks, conditions, on_piece, piece_at
from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.network import Network
from fiberscope.network.rows import no_entries
from fiberscope.network.sparse_rows import SparseRows, below
from fiberscope.network.stage import INPUT
from fiberscope.stability.local_network import LocalNetwork
from fiberscope.stability.row_propagation import differences
from fiberscope.stability.windowed_rows import LocalRows

Pieces = Mapping[int, Int64[Tensor, " m"]]
"""The piece of every unit of every activation, by the number of its stage."""


@dataclass(frozen=True, eq=False)
class Features:
    """What an input must give at a stage to have the same features as x there.

    Attributes:
        stage: the number of the stage: an activation, or an affine stage such as the logits.
        source: the number of the stage whose output z decides: what the activation receives, or the stage itself.
        fixed: (p,) the coordinates of z that the features determine.
        z: (p,) their values.
        others: what the other coordinates must satisfy: of a ReLU, ``z_i <= 0``; and those of features that may differ.
        widths: (r,) by how much the feature that each of these is about may differ.
    """

    stage: int
    source: int
    fixed: Int64[Tensor, " p"]
    z: Float64[Tensor, " p"]
    others: Conditions
    widths: Float64[Tensor, " r"]


def features_at(
    network: Network,
    x: Float64[FloatArray, " n"],
    stage: int,
    within: float | Float64[FloatArray, " m"] = 0.0,
    *,
    all_ends: bool = False,
) -> Features:
    """The features of x at a stage, evaluated in float64, each of which may differ by a number; see ``features_of``."""
    received = network.evaluated(x[None], decided_by(network, stage))[0]
    return features_of(network, received, stage, within, all_ends=all_ends)


def decided_by(network: Network, stage: int) -> int:
    """The stage whose output decides about the features: what an activation receives, or an affine stage itself."""
    return stage if network.stages[stage].activation is None else network.sources(stage)[0]


def features_of(
    network: Network,
    received: Float64[FloatArray, " m"],
    stage: int,
    within: float | Float64[FloatArray, " k"] = 0.0,
    *,
    all_ends: bool = False,
) -> Features:
    """The features at a stage from the output of the stage that decides about them.

    With ``all_ends``, those that may differ have two conditions each, one of them with an infinite side where there is
    no end: of other widths, they are the same conditions with other sides.
    """
    activation, source = network.stages[stage].activation, decided_by(network, stage)
    z = torch.tensor(received)
    widths = torch.tensor(np.broadcast_to(within, (network.stages[stage].outputs,)).astype(np.float64))
    exact = widths == 0
    piece = torch.arange(len(z))
    fixed, others = torch.nonzero(exact)[:, 0], Conditions(piece[:0], piece[:0], z[:0])
    if isinstance(activation, Maximum):
        piece = piece_at(activation, z)
        fixed, others = piece[exact], conditions(activation, piece, exact)
    elif activation is not None:
        assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
        moves = activation.derivative(z).factor != 0
        fixed, free = torch.nonzero(exact & moves)[:, 0], exact & ~moves
        others = between_kinks(activation, piece_at(activation, z), free) if bool(free.any()) else others
    loose = bands(activation, z, widths, ~exact, piece, all_ends=all_ends)
    return Features(
        stage,
        source,
        fixed,
        z[fixed],
        Conditions(
            torch.cat([others.first, loose.sides.first]),
            torch.cat([others.second, loose.sides.second]),
            torch.cat([others.bound, loose.sides.bound]),
        ),
        torch.cat([torch.zeros(len(others), dtype=torch.float64), loose.widths]),
    )


def pieces_at(network: Network, x: Float64[FloatArray, " n"], stage: int) -> dict[int, Tensor]:
    """The piece of every unit at x, of all activations that a stage depends on, the stage itself left out.

    Raises:
        ModelError: one of them is smooth.
    """
    found: dict[int, Tensor] = {}

    def compute(number: int, inputs: list[Tensor]) -> Tensor:
        activation = network.stages[number].activation
        if activation is not None and number != stage:
            found[number] = piece_at(activation, inputs[0][0])
        return network.stages[number].apply(*inputs)

    for _ in network.walk(torch.tensor(x)[None], network.needed_for(stage), compute):
        pass
    return found


@dataclass(frozen=True, eq=False)
class FeatureRegion:
    """``{x' : z_fixed(x') = z, the other conditions hold, and every unit stays on its piece}``.

    Inequalities are numbered through: first those of the activations on the way, in the order of their stages, then
    those of the features themselves.

    Attributes:
        network: the network.
        features: what is to stay the same.
        pieces: of the activations before the stage.
        local: the network on these pieces, as affine maps.
        inequalities: the conditions of each stage, with the number of the stage that gives what they are about.
    """

    network: Network
    features: Features
    pieces: Pieces = field(repr=False)
    local: LocalNetwork = field(repr=False)
    inequalities: tuple[tuple[int, Conditions], ...] = field(repr=False)

    def with_features(self, features: Features) -> FeatureRegion:
        """The same region with conditions on the same features that have other sides."""
        return replace(
            self, features=features, inequalities=(*self.inequalities[:-1], (features.source, features.others))
        )

    @property
    def count(self) -> int:
        """How many inequalities there are."""
        return sum(len(part) for _, part in self.inequalities)

    def owners(self) -> list[tuple[int, int]]:
        """The range of inequalities of each part, as first number and number behind the last."""
        ends = np.cumsum([0, *(len(part) for _, part in self.inequalities)]).tolist()
        return list(pairwise(ends))

    @property
    def widths(self) -> Float64[FloatArray, " q"]:
        """Of every inequality that is a side of a feature that may differ, by how much; 0 of the others."""
        own = self.features.widths.numpy()
        return np.concatenate([np.zeros(self.count - len(own)), own])

    def residuals(self, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N p"]:
        """How far the fixed coordinates are from their values on these pieces."""
        values = self._values(X)[self.features.source]
        return (values[:, self.features.fixed] - self.features.z).numpy()

    def excess(self, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N q"]:
        """By how much every inequality is violated; negative where it holds with room."""
        values = self._values(X)
        return torch.cat([part.excess(values[source]) for source, part in self.inequalities], dim=1).numpy()

    def rows(self) -> RegionRows:
        """The coefficients of all equations and inequalities; sparse where the network is convolutional."""
        sources = {source for source, _ in self.inequalities} | {self.features.source}
        origin = np.zeros((1, self.network.inputs))
        by_source = dict(self.local.rows(sorted(sources)))
        return RegionRows(self, by_source, -self.residuals(origin)[0], -self.excess(origin)[0])

    def _values(self, X: Float64[FloatArray, "N n"]) -> dict[int, Tensor]:
        sources = sorted({source for source, _ in self.inequalities} | {self.features.source})
        inputs = torch.tensor(X)
        values = {INPUT: inputs}
        values.update(self.local.values(inputs, [source for source in sources if source != INPUT]))
        return values


@dataclass(frozen=True, eq=False)
class RegionRows:
    """The rows of a region, written out when they are asked for.

    Attributes:
        region: the region.
        by_source: the rows of the local linear map at every stage that conditions are about.
        values: (p,) the right-hand sides f of the equations.
        sides: (q,) the right-hand sides h of the inequalities.
    """

    region: FeatureRegion
    by_source: dict[int, LocalRows] = field(repr=False)
    values: Float64[FloatArray, " p"] = field(repr=False)
    sides: Float64[FloatArray, " q"] = field(repr=False)

    def equations(self) -> tuple[SparseRows, FloatArray]:
        """E (p, n) and f (p,) of ``E x' = f``."""
        features = self.region.features
        nothing = torch.full_like(features.fixed, -1)
        return self._rows(features.source, features.fixed, nothing), self.values

    def of_units(self, source: int, units: Int64[Tensor, " k"]) -> SparseRows:
        """(k, n) the rows of some of what a stage gives that an activation on the way receives."""
        return self._rows(source, units, torch.full_like(units, -1))

    def inequalities(self, numbers: Int64[IntArray, " k"]) -> tuple[SparseRows, FloatArray]:
        """G (k, n) and h (k,) of ``G x' <= h`` for the inequalities with these numbers, in ascending order."""
        parts: list[SparseRows] = []
        for (source, part), (first, end) in zip(self.region.inequalities, self.region.owners(), strict=True):
            chosen = torch.tensor(numbers[(numbers >= first) & (numbers < end)] - first)
            if len(chosen):
                parts.append(self._rows(source, part.first[chosen], part.second[chosen]))
        rows = below(parts) if parts else no_entries(0, self.region.network.inputs)
        return rows, self.sides[numbers]

    def _rows(self, source: int, first: Tensor, second: Tensor) -> SparseRows:
        """``J[first] - J[second]`` of the local linear map at a stage."""
        rows = self.by_source[source]
        return differences(rows, first, second).sparse() if len(first) else no_entries(0, rows.inputs)


def feature_region(network: Network, features: Features, pieces: Pieces) -> FeatureRegion:
    """The inputs with given features on given pieces."""
    needed = network.needed_for(features.source) if features.source != INPUT else ()
    maps = {
        number: stage.maps if stage.activation is None else (on_piece(stage.activation, pieces[number]),)
        for number, stage in ((number, network.stages[number]) for number in needed)
    }
    origin = torch.zeros(network.inputs, dtype=torch.float64)
    local = LocalNetwork(network, origin, features.source, maps, {})
    on_the_way = [
        (network.sources(number)[0], conditions(activation, pieces[number]))
        for number in needed
        if (activation := network.stages[number].activation) is not None
    ]
    return FeatureRegion(network, features, pieces, local, (*on_the_way, (features.source, features.others)))


__all__ = [
    "FeatureRegion",
    "Features",
    "Pieces",
    "RegionRows",
    "decided_by",
    "feature_region",
    "features_at",
    "features_of",
    "pieces_at",
]
