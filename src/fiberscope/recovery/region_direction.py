"""A second input with exactly the same features, within the linear region of x, by the preimage of one lifted layer.

All pre-activations z between the input and the features become coordinates (``fiberscope.network.lifting``), so that
the map from the input is one layer of the coordinates (x, z) whose numbers are those that the model stores. With

- the definitions of z,
- the units of the last layer that are not certainly off or saturated, as equations, and
- the domain of x,

its tangent cone at x holds a direction other than 0 iff some d of the input leaves all these units as they are and
stays in the domain. The cone depends on no constant, so that it does not matter that z is rounded: with every unit on
the way certainly strictly inside of its piece, ``x + t d`` has the features of x for small t > 0. Units on the way that
bounds do not settle, and that may move, are held (``exact_walk``): each is one more equation. Kind and certificate are
those of ``fiberscope.preimage``: bounded and unbounded prove a second input; a singleton is about the region alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from fiberscope.network.activations import Maximum, Pointwise
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Domain
from fiberscope.network.lifting import LiftedDomain, Lifting, side_by_side
from fiberscope.network.network import Network
from fiberscope.network.relu_layer import ReLULayer
from fiberscope.network.rows import Rows, no_entries, stacked, suited
from fiberscope.network.stage import INPUT
from fiberscope.preimage.budget import Budget
from fiberscope.preimage.decide import decide_at_input
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.verify import verify
from fiberscope.recovery.exact_walk import Around


def second_in_region(
    network: Network,
    stage: int,
    x: Float64[FloatArray, " n"],
    domain: Domain | None,
    around: Mapping[int, Around],
    budget: Budget,
) -> bool:
    """Whether another input with the features of x is proved next to it.

    Args:
        network: the network.
        stage: the number of the pointwise activation that gives the features.
        x: the input.
        domain: where inputs lie.
        around: what the stages give around x alone, of which all coordinates count as free that the domain lets move.
        budget: how long it may take.
    """
    sources = tuple(network.sources(number) for number in range(len(network.stages)))
    lifting = Lifting(network.stages, sources, INPUT, x)
    held: list[dict[int, Rows]] = []
    for number in network.needed_for(stage)[:-1]:
        equations = _lifted(lifting, network, number, around)
        if equations is None:
            return False
        held.append(equations)
    outer, _ = lifting.value(network.sources(stage)[0])
    last = around[stage]
    units = torch.nonzero((last.held | last.moving)[0])[:, 0].numpy()
    parts = [side_by_side(part, lifting.blocks) for part in (*lifting.equations, *held)]
    rows = suited(stacked(*parts, side_by_side(outer, lifting.blocks)[units]))
    inner = lifting.inner
    if not rows.shape[0]:
        return False  # nothing depends on the input, which counting has found
    layer = ReLULayer(rows, None, np.ones(rows.shape[0], dtype=np.bool_), definitions=len(inner))
    free = np.full(len(inner), np.inf)
    lifted = LiftedDomain(domain, -free, free, no_entries(0, len(x) + len(inner)))
    found = decide_at_input(layer, lifted, np.concatenate([x, inner]), budget)
    return found.kind in (Kind.BOUNDED, Kind.UNBOUNDED) and bool(verify(found))


def _lifted(
    lifting: Lifting, network: Network, number: int, around: Mapping[int, Around]
) -> dict[int, Rows] | None:
    """Take up a stage; returns the equations of the units that it holds.

    None where it takes another piece than the certain one, or there is none.
    """
    activation, source = network.stages[number].activation, network.sources(number)[0]
    if activation is None:
        lifting.add(number)
        return {0: no_entries(0, len(lifting.blocks[0]))}
    expression, bias = lifting.value(source)
    z = bias + sum(rows @ lifting.blocks[block] for block, rows in expression.items())
    if not _on_its_piece(activation, torch.tensor(z), around[source], around[number]):
        return None
    lifting.add(number)
    units = torch.nonzero(around[number].held[0])[:, 0].numpy()
    return {block: rows[units] for block, rows in expression.items()}


def _on_its_piece(activation: Any, z: torch.Tensor, before: Around, after: Around) -> bool:
    """Whether float64 chooses the pieces that the moving units which are not held are certainly on."""
    known = before.value.value[0]
    if isinstance(activation, Maximum):
        chosen, certain = (activation.derivative(values).index for values in (z, known))
        settled = after.moving[0]
    elif isinstance(activation, Pointwise) and activation.kinks() is not None:
        chosen, certain = activation.piece(z), activation.piece(known)
        settled = before.moving[0] & ~after.held[0]
    else:
        return False
    return bool((chosen == certain)[settled].all())


__all__ = ["second_in_region"]
