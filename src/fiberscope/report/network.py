"""What is known of the network up to each layer, in words and as a table: the first that a reader sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fiberscope.audits.manifest import Manifest
from fiberscope.audits.network_table import count_verdicts
from fiberscope.labels import label
from fiberscope.recovery.verdict import Verdict
from fiberscope.report.counting import counted

CAVEAT = (
    "That other inputs give exactly the same numbers does not keep an input secret: they may all be close to it, and "
    "an attack may come near."
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
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("from the input up to layer", overflow="fold")
    for verdict in Verdict:
        table.add_column(str(verdict), justify="right")
    for summary in summaries:
        table.add_row(escape(summary.label), *(f"{summary.counts[verdict]:,}" for verdict in Verdict))
    return table


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


__all__ = ["CAVEAT", "NetworkSummary", "network_sentences", "network_table", "summarise_network"]
