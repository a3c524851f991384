"""The distance of a sample to the boundary of its activation region [section 3.1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from fiberscope.errors import InputError
from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.stage import INPUT
from fiberscope.network.structured import Rearrangement
from fiberscope.showing.shown import Shown
from fiberscope.stability.local_network import LocalNetwork, unit_vectors
from fiberscope.stability.row_propagation import differences
from fiberscope.stability.windowed_rows import lengths_along

ROW_BYTES = 2**30
"""What the rows of a stage may take."""


@dataclass(frozen=True, repr=False)
class RegionBoundary(Shown):
    """Where the activation region of a sample is nearest to its end.

    Attributes:
        distance: the Euclidean distance in the input; 0 if the sample lies on the boundary, or if the activation is
            smooth, which is linear nowhere.
        stage: the number of the activation.
        name: its name in the model.
        neuron: the output coordinate of the activation.
    """

    distance: float
    stage: int
    name: str
    neuron: int

    def _line(self) -> str:
        return f"distance {self.distance:.4g}, at neuron {self.neuron} of stage {self.stage} {self.name}"


def nearest_boundary(local: LocalNetwork, stage: int) -> RegionBoundary | None:
    """The neuron up to a stage whose kink is nearest to x; None if there is none.

    For a pointwise activation with a kink at t, ``|z_i - t| / |J_i|``; for a maximum with the winner w,
    ``(z_w - z_i) / |J_w - J_i|``. Neurons that no input moves, ``J_i = 0``, bound nothing.
    """
    for number in (number for number in local.network.needed_for(stage) if number in local.before):
        if _is_smooth(local, number):
            return RegionBoundary(0.0, number, local.network.stages[number].name, 0)
    return min(boundaries(local, stage).values(), key=lambda boundary: boundary.distance, default=None)


def boundaries(local: LocalNetwork, stage: int) -> dict[int, RegionBoundary]:
    """The nearest kink of every activation up to a stage that has one, by the activation's number."""
    bends = [number for number in local.network.needed_for(stage) if number in local.before]
    found: dict[int, RegionBoundary] = {}
    gaps: dict[int, Tensor] = {}
    for number in bends:
        gap = _gaps(local, number)
        if gap is None:
            found[number] = RegionBoundary(0.0, number, local.network.stages[number].name, 0)
        elif gap.numel():  # a constant clip has no kink
            gaps[number] = gap
    norms = _row_norms(local, list(gaps)) if gaps else {}
    for number, gap in gaps.items():
        name = local.network.stages[number].name
        distance = torch.where(norms[number] > 0, gap / norms[number], torch.inf)
        place = int(distance.flatten().argmin())
        nearest = float(distance.flatten()[place])
        if nearest < torch.inf:
            found[number] = RegionBoundary(nearest, number, name, place // distance[0].numel())
    return found


def _is_smooth(local: LocalNetwork, number: int) -> bool:
    activation = local.network.stages[number].activation
    return isinstance(activation, Pointwise) and activation.kinks() is None


def _gaps(local: LocalNetwork, number: int) -> Tensor | None:
    """How far every comparison of an activation is from turning around; (m, c). None for a smooth activation."""
    activation, z = local.network.stages[number].activation, local.before[number]
    if isinstance(activation, Maximum):
        winner, others = _windows(local, number, activation)
        gap = z[winner][:, None] - z[others.clamp(min=0)]
        return torch.where((others >= 0) & (others != winner[:, None]), gap, torch.inf)
    assert isinstance(activation, Pointwise), "activations are pointwise or maxima"
    kinks = activation.kinks()
    if kinks is None:
        return None
    gap = (z[:, None] - torch.tensor(kinks).to(z)).abs()
    slopes = torch.stack([slope for slope, _ in activation.lines()], dim=1).to(z)
    return torch.where(slopes[:, 1:] != slopes[:, :-1], gap, torch.inf)  # a slope of 1 has no kink


def _windows(local: LocalNetwork, number: int, activation: Maximum) -> tuple[Tensor, Tensor]:
    """The position of the winner (m,), and of everything in its window (m, c), -1 for none."""
    (selection,) = local.maps[number]
    assert isinstance(selection, Rearrangement), "the derivative of a maximum selects"
    return selection.index, activation.index.to(local.x.device)


def _row_norms(local: LocalNetwork, bends: list[int]) -> dict[int, Tensor]:
    """``|J_i|`` of every neuron, (m, 1), and ``|J_w - J_i|`` of every comparison of a maximum, (m, c)."""
    try:
        return _by_rows(local, bends)
    except InputError:  # the rows of some stage take too much; columns, a few at a time, always fit
        return _by_columns(local, bends)


def _by_rows(local: LocalNetwork, bends: list[int]) -> dict[int, Tensor]:
    feeds = {number: local.network.sources(number)[0] for number in bends}
    total: dict[int, Tensor] = {}
    for source, rows in local.rows((INPUT, *feeds.values()), max_bytes=ROW_BYTES):
        for number in (number for number in bends if feeds[number] == source):
            activation = local.network.stages[number].activation
            if not isinstance(activation, Maximum):
                total[number] = rows.norms()[:, None]
                continue
            winner, others = _windows(local, number, activation)
            columns = [differences(rows, winner, others[:, t].clamp(min=0)).norms() for t in range(others.shape[1])]
            total[number] = torch.stack(columns, dim=1)
    return total


def _by_columns(local: LocalNetwork, bends: list[int]) -> dict[int, Tensor]:
    feeds = {number: local.network.sources(number)[0] for number in bends}
    total: dict[int, Tensor] = {}
    for _, columns in unit_vectors(local, bends, len(local.x)):
        values = {INPUT: columns} | dict(local.forward(columns, sorted({*feeds.values()} - {INPUT})))
        for number, source in feeds.items():
            part = _lengths(local, number, values[source])
            total[number] = torch.hypot(total[number], part) if number in total else part
    return total


def _lengths(local: LocalNetwork, number: int, columns: Float64[Tensor, "k m"]) -> Tensor:
    activation = local.network.stages[number].activation
    if not isinstance(activation, Maximum):
        return lengths_along(columns, 0)[:, None]
    winner, others = _windows(local, number, activation)
    parts = [
        lengths_along(columns[:, winner] - columns[:, others[:, t].clamp(min=0)], 0) for t in range(others.shape[1])
    ]
    return torch.stack(parts, dim=1)


__all__ = ["RegionBoundary", "boundaries", "nearest_boundary"]
