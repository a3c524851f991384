"""Earlier stages that all of the input passes on its way to the features, and what they say of equal features.

Let J be the rows of the features around x, and J_s those of the active units of such a stage. Within a region
``J = M J_s``: what does not change at the stage does not change behind it. Where J_s has no more rows than J has rank,
both have the same kernel. But M may be ill-conditioned, by a factor of ten a layer: changes that J tells from 0 by its
last digits only are large for J_s, whose equations are as good as those of a shallow layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fiberscope.invariance.feasible_steps import FeasibleSteps
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.invariance.linear_pieces import on_piece
from fiberscope.network.activations import Activation, Maximum
from fiberscope.network.network import Network
from fiberscope.network.stage import INPUT
from fiberscope.network.structured import Diagonal


def sufficient_stages(network: Network, stage: int) -> Iterator[int]:
    """The stage, and the earlier activations without which nothing of the input reaches it, the last first."""
    yield stage
    needed = network.needed_for(stage)
    for number in reversed(needed[:-1]):
        if network.stages[number].activation is None:
            continue
        reached = {INPUT}
        for other in needed:
            if other != number and reached.intersection(network.sources(other)):
                reached.add(other)
        if stage not in reached:
            yield number


def well_conditioned(feasible: FeasibleSteps) -> FeasibleSteps:
    """The same changes of the source, by the equations of the earliest stage that has the same kernel.

    Args:
        feasible: the region, seen from its source: all right-hand sides are 0.
    """
    region, rank = feasible.region, len(feasible.held)
    network, moving = region.network, np.flatnonzero(feasible.polyhedron.low < feasible.polyhedron.high)
    equations = len(region.features.fixed)
    for stage in reversed(list(sufficient_stages(network, region.features.stage))[1:]):
        activation = network.stages[stage].activation
        assert activation is not None, "these are the stages with activations"
        units = _active(activation, region.pieces[stage])
        if not 0 < rank <= len(units) <= equations:
            continue
        rows = feasible.rows.of_units(network.sources(stage)[0], units)
        held = independent_rows(rows[:, moving])
        if len(held) == rank:
            return replace(feasible, equations=rows[held], values=np.zeros(rank))
    return feasible


def _active(activation: Activation, piece: Tensor) -> Tensor:
    """What of its input determines what an activation gives, on these pieces."""
    if isinstance(activation, Maximum):
        return torch.tensor(np.unique(piece.numpy()))
    line = on_piece(activation, piece)
    assert isinstance(line, Diagonal), "pointwise activations are diagonal on their pieces"
    return torch.nonzero(line.factor != 0)[:, 0]


__all__ = ["sufficient_stages", "well_conditioned"]
