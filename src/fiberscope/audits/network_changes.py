"""What changed from one audit to another in what is known of the network up to each layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fiberscope.audits.network_table import read_network
from fiberscope.audits.pairing import Pair, Side, layer_names
from fiberscope.audits.shards import texts
from fiberscope.recovery.verdict import Verdict


@dataclass(frozen=True, eq=False)
class NetworkChange:
    """What changed in the verdicts about the map from the input to one layer.

    Attributes:
        layer: the position of the layer.
        label: the map in words, with both names of the layer where they differ.
        transitions: the number of samples by verdict before and verdict after.
        changed: the samples whose verdict changed.
    """

    layer: int
    label: str
    transitions: dict[tuple[Verdict, Verdict], int]
    changed: tuple[int, ...]


def network_changes(pair: Pair) -> tuple[NetworkChange, ...]:
    """Of every layer that both audits judged; nothing where inputs lie in other bounds, or there are no verdicts."""
    if pair.before.manifest.domain != pair.after.manifest.domain:
        return ()
    before, after = _by_layer(pair.before), _by_layer(pair.after)
    common = sorted(before.keys() & after.keys())
    return tuple(_change(pair, k, before[k][: pair.samples], after[k][: pair.samples]) for k in common)


def _by_layer(side: Side) -> dict[int, NDArray[np.object_]]:
    """The verdicts of each layer, sample by sample."""
    table = read_network(side.results, side.manifest)
    layers, verdicts = table["layer"].to_numpy(), texts(table["verdict"])
    return {layer: verdicts[layers == layer] for layer in np.unique(layers).tolist()}


def _change(pair: Pair, layer: int, before: NDArray[np.object_], after: NDArray[np.object_]) -> NetworkChange:
    steps = sorted(Counter(zip(before, after, strict=True)).items())
    transitions = {(Verdict(first), Verdict(second)): count for (first, second), count in steps}
    label = f"network up to layer {layer_names(pair, layer)}"
    return NetworkChange(layer, label, transitions, tuple(np.flatnonzero(before != after).tolist()))


__all__ = ["NetworkChange", "network_changes"]
