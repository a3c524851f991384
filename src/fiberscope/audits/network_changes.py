"""What changed from one audit to another in what is known of the network up to each layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fiberscope.audits.network_table import read_network
from fiberscope.audits.pairing import Pair, Side, layer_names
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
    before, after = _by_place(pair.before), _by_place(pair.after)
    common = {layer for _, layer in before} & {layer for _, layer in after}
    return tuple(_change(pair, layer, before, after) for layer in sorted(common))


def _by_place(side: Side) -> dict[tuple[int, int], Verdict]:
    rows = read_network(side.results, side.manifest).to_pylist()
    return {(row["sample"], row["layer"]): Verdict(row["verdict"]) for row in rows}


def _change(
    pair: Pair, layer: int, before: dict[tuple[int, int], Verdict], after: dict[tuple[int, int], Verdict]
) -> NetworkChange:
    steps = [(before[sample, layer], after[sample, layer]) for sample in range(pair.samples)]
    changed = tuple(sample for sample, (first, second) in enumerate(steps) if first is not second)
    label = f"network up to layer {layer_names(pair, layer)}"
    return NetworkChange(layer, label, dict(sorted(Counter(steps).items())), changed)


__all__ = ["NetworkChange", "network_changes"]
