"""What is known of the network up to each layer, in words and as a table: the first that a reader sees."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from fiberscope.audits.manifest import Manifest
from fiberscope.audits.network_table import count_verdicts
from fiberscope.labels import from_to, label
from fiberscope.recovery.verdict import Verdict
from fiberscope.report.counting import counted
from fiberscope.report.terminal_tables import plain_table

CAVEAT = (
    "That other inputs give exactly the same numbers does not keep an input secret: they may all be close to it, and "
    "an attack may come near."
)

_EXPLAINED = (
    "recoverable: no other input gives these numbers up to the layer; not recoverable: another one is proved to give "
    "exactly these; undecided: neither is proved"
)


@dataclass(frozen=True)
class NetworkSummary:
    """What is known of the map from the network's input to one layer.

    Attributes:
        layer: the position of the layer.
        label: the layer by position and name.
        samples: the number of samples.
        counts: the number of samples of each verdict.
    """

    layer: int
    label: str
    samples: int
    counts: dict[Verdict, int]


def summarise_network(manifest: Manifest, verdicts: Any) -> list[NetworkSummary]:
    """Count the verdicts about the network, a table of ``network_verdicts``, by layer."""
    summaries: list[NetworkSummary] = []
    for entry in count_verdicts(verdicts):
        counts = {verdict: int(entry["verdicts"].get(str(verdict), 0)) for verdict in Verdict}
        layer = int(entry["layer"])
        name = label(layer, manifest.network_layers[layer].name)
        summaries.append(NetworkSummary(layer, name, sum(counts.values()), counts))
    return summaries


def network_table(summaries: Sequence[NetworkSummary]) -> Table:
    """The verdicts about the network, a row per layer, for a terminal of 80 columns."""
    samples = counted(summaries[0].samples, "sample")
    title = f"The network up to each layer: its own input, from what it gives there, at {samples}"
    table = plain_table(title, _EXPLAINED)
    table.add_column("from the input up to layer", overflow="fold")
    for verdict in Verdict:
        table.add_column(str(verdict), justify="right")
    for alike in fold_alike(summaries):
        first = alike[0]
        table.add_row(escape(label_of(alike)), *(f"{first.counts[verdict]:,}" for verdict in Verdict))
    return table


def fold_alike(summaries: Sequence[NetworkSummary]) -> list[list[NetworkSummary]]:
    """Layers one after the other of which the same numbers are known: they are told in one row."""
    return [list(alike) for _, alike in itertools.groupby(summaries, key=lambda summary: summary.counts)]


def label_of(alike: Sequence[NetworkSummary]) -> str:
    """What a row about some layers is called."""
    return from_to([summary.label for summary in alike])


def network_sentences(summaries: Sequence[NetworkSummary], domain: tuple[float, float] | None) -> list[str]:
    """What the first and the last audited layer say about the network's input, in plain words."""
    ends = [summaries[0], summaries[-1]] if len(summaries) > 1 else list(summaries)
    among = (
        "whatever numbers may come in" if domain is None else f"among all inputs from {domain[0]:g} to {domain[1]:g}"
    )
    return [*(_sentence(summary, among) for summary in ends), CAVEAT]


def _sentence(summary: NetworkSummary, among: str) -> str:
    known, other, left = (summary.counts[verdict] for verdict in Verdict)
    parts = [
        f"From what the network gives up to layer {summary.label}, its own input can be computed back exactly at "
        f"{known:,} of {counted(summary.samples, 'sample')}, {among}",
        f"at {other:,} another input with exactly the same numbers is proved",
    ]
    parts += [f"{left:,} {'is' if left == 1 else 'are'} undecided"] if left else []
    return "; ".join(parts) + "."


__all__ = [
    "CAVEAT",
    "NetworkSummary",
    "fold_alike",
    "label_of",
    "network_sentences",
    "network_table",
    "summarise_network",
]
