"""Which stage of a network gives the features that stay the same."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from fiberscope.errors import InputError
from fiberscope.network.network import Network

Layer = int | str
"""The number of a ReLU layer, negative from the end; or "output" for the network's output."""


def stage_of(network: Network, layer: Layer) -> int:
    """The number of the stage that gives the features of a layer.

    Raises:
        InputError: there is no such layer.
    """
    count = len(network.placed_layers)
    if layer == "output":
        return len(network.stages) - 1
    number: Any = layer
    if not count:
        raise InputError("layer", expected="'output', as the network has no layer to judge", got=repr(layer))
    if not isinstance(number, int | np.integer) or not -count <= int(cast(Any, number)) < count:
        raise InputError("layer", expected=f"a number from 0 to {count - 1}, or 'output'", got=repr(layer))
    return network.placed_layers[int(cast(Any, number))].stage


__all__ = ["Layer", "stage_of"]
