"""Which stage of a network gives the features that stay the same."""

from __future__ import annotations

from fiberscope.errors import InputError, shown
from fiberscope.network.network import Network, check_network
from fiberscope.scalars import as_position

Layer = int | str
"""The number of a ReLU layer, negative from the end; or "output" for the network's output."""


def stage_of(network: Network, layer: Layer) -> int:
    """The number of the stage that gives the features of a layer.

    Raises:
        InputError: this is no network, or there is no such layer.
    """
    check_network(network)
    if isinstance(layer, str) and layer == "output":
        return len(network.stages) - 1
    count = len(network.placed_layers)
    if not count:
        raise InputError("layer", expected="'output', as the network has no layer to judge", got=shown(layer))
    hint = "it numbers network.relu_layers, negative from the end"
    return network.placed_layers[as_position(layer, count, "layer", also=", or 'output'", hint=hint)].stage


__all__ = ["Layer", "stage_of"]
