"""What a leakage measured, in the form that thresholds are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from fiberscope.audits.plan import Plan
from fiberscope.audits.thresholds import Measured, Place, Quantity
from fiberscope.labels import label
from fiberscope.network.network import Network
from fiberscope.recovery.ambiguity import LEVELS
from fiberscope.recovery.leak import Leak
from fiberscope.recovery.recovery import Scope


def is_rebuilt(row: Leak, span: float) -> bool:
    """Whether the attack's root mean square error is at most half a step of the grey levels."""
    return bool(row.rebuilt_error <= span / (LEVELS - 1) / 2.0)


def leak_places(plan: Plan, network: Network) -> list[Place]:
    """Every layer at every precision."""
    return [_place(layer, precision, network.layer_names) for layer in plan.layers for precision in plan.leakage]


def measured_of_leakage(rows: Sequence[Leak], names: Sequence[str], span: float) -> Iterator[Measured]:
    """Every quantity at each layer and precision.

    Args:
        rows: in order.
        names: what layers are called.
        span: the width of the domain.
    """
    for (layer, precision), group in groupby(rows, key=lambda row: (row.layer, row.precision)):
        here, place = list(group), _place(layer, precision, names)
        ran = [row for row in here if row.rebuilt_error == row.rebuilt_error]
        radii = [row.radius if row.scope == Scope.DOMAIN else np.inf for row in here]
        for quantity, values in (
            (Quantity.RECOVERABLE, [float(row.recoverable) for row in here]),
            (Quantity.REBUILT, [float(is_rebuilt(row, span)) for row in ran]),
            (Quantity.BITS, [row.ambiguity_bits for row in here]),
            (Quantity.RADIUS, radii),
        ):
            yield Measured(quantity, place, np.array(values), len(here) - len(values))


def _place(layer: int, precision: str, names: Sequence[str]) -> Place:
    words = f"layer {label(layer, names[layer])} at {precision}"
    return Place(words, layer=layer, precision=precision, is_network=True)


__all__ = ["is_rebuilt", "leak_places", "measured_of_leakage"]
