"""The findings in a table that a person understands."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.markup import escape
from rich.table import Table

from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import EXACT, place_label
from fiberscope.labels import from_to, label
from fiberscope.preimages.kind import Kind
from fiberscope.report.counting import counted, middle
from fiberscope.report.terminal_tables import plain_table

SHOWN_KINDS = (Kind.SINGLETON, Kind.BOUNDED, Kind.UNBOUNDED, Kind.EMPTY, Kind.UNDECIDED)
"""The kinds in the order of what is left of the input: all, most, least."""

_HEADINGS = {Kind.SINGLETON: "single-\nton", Kind.UNBOUNDED: "un-\nbounded", Kind.UNDECIDED: "unde-\ncided"}
_LAYER_WIDTH = 10
_EXPLAINED = (
    "domain: which inputs count; positives: outputs above 0, each of them an equation for the input; dimension: "
    "directions in which the layer's input can change and its output does not; proved: verdicts with a certificate"
)
_SATURATED_EXPLAINED = "; saturated: outputs at the upper bound of a clip"


@dataclass(frozen=True)
class LayerSummary:
    """What was found about one layer on one domain, at one precision.

    Attributes:
        layer: the position of the layer.
        name: the name of the layer in the model.
        inputs: the number of inputs n.
        outputs: the number of neurons m.
        domain: the name of the domain.
        samples: the number of samples.
        counts: the number of samples of each kind.
        median_positives: the median number of positive outputs.
        median_saturated: the median number of saturated outputs; None if no sample has any.
        median_dimension: the median dimension of the preimages where it is known; None if it is of none.
        proved: the share of samples whose verdict carries a certificate.
        precision: to which outputs are known.
    """

    layer: int
    name: str
    inputs: int
    outputs: int
    domain: str
    samples: int
    counts: dict[Kind, int]
    median_positives: float
    median_saturated: float | None
    median_dimension: float | None
    proved: float
    precision: str = EXACT

    @property
    def key(self) -> str:
        """Names the layer, domain and precision in the page."""
        return f"{self.layer} {self.place}"

    @property
    def place(self) -> str:
        """Domain and precision in words."""
        return place_label(self.domain, self.precision)

    @property
    def is_exact(self) -> bool:
        """Whether it is about exact outputs."""
        return self.precision == EXACT

    @property
    def label(self) -> str:
        """The layer by position and name; a name that is itself a number stands in quotes."""
        return label(self.layer, self.name)

    @property
    def title(self) -> str:
        """The layer by position, name and size."""
        return f"{self.label} ({self.inputs} to {self.outputs})"


def summarise(manifest: Manifest, findings: FindingsTable) -> list[LayerSummary]:
    """Count the findings by layer, domain and precision."""
    return [_summary(manifest, findings.at(*group), *group) for group in findings.groups()]


def _summary(manifest: Manifest, group: FindingsTable, layer: int, domain: str, precision: str) -> LayerSummary:
    described = manifest.network_layers[layer]
    decided = group.kind != Kind.UNDECIDED
    dimension = group.dimension[group.has_dimension]
    return LayerSummary(
        layer=layer,
        name=described.name,
        inputs=described.inputs,
        outputs=described.outputs,
        domain=domain,
        precision=precision,
        samples=len(group),
        counts={kind: int((group.kind == kind).sum()) for kind in SHOWN_KINDS},
        median_positives=float(np.median(group.positives)),
        median_saturated=float(np.median(group.saturated)) if group.saturated.any() else None,
        median_dimension=float(np.median(dimension)) if len(dimension) else None,
        proved=float(((group.certificate != "") & decided).mean()),
    )


def most_varied(summaries: Sequence[LayerSummary]) -> LayerSummary:
    """The one with the most kinds, where samples differ most; the first of equal ones."""
    return max(summaries, key=lambda summary: sum(map(bool, summary.counts.values())))


def summary_table(summaries: Sequence[LayerSummary]) -> Table:
    """Lay the summaries out as a table for a terminal of 80 columns: a row per layer, in it a line per domain."""
    has_empty = any(summary.counts[Kind.EMPTY] for summary in summaries)
    kinds = [kind for kind in SHOWN_KINDS if kind is not Kind.EMPTY or has_empty]
    samples = max(summary.samples for summary in summaries)
    title = f"Each layer by itself, as a map of what it receives: preimages at {counted(samples, 'sample')}"
    saturates = any(summary.median_saturated is not None for summary in summaries)
    table = plain_table(title, _EXPLAINED + (_SATURATED_EXPLAINED if saturates else ""))
    table.add_column("layer", overflow="fold", min_width=_LAYER_WIDTH)
    table.add_column("domain", no_wrap=True)
    headings = [*(_HEADINGS.get(kind, str(kind)) for kind in kinds), "median\nposi-\ntives"]
    headings += ["median\nsatu-\nrated"] if saturates else []
    for heading in (*headings, "median\ndimen-\nsion", "proved"):
        table.add_column(heading, justify="right", no_wrap=True)
    for alike in fold_layers(summaries):
        lines = [_line(summary, kinds, saturates=saturates) for summary in alike.rows]
        first = alike.rows[0]
        heading = f"{escape(alike.label)}\n{first.inputs:,} to {first.outputs:,}"
        table.add_row(heading, *("\n".join(cells) for cells in zip(*lines, strict=True)))
    return table


@dataclass(frozen=True)
class AlikeLayers:
    """Layers one after the other of which a table would say the same.

    Attributes:
        label: the layer, or the first and the last of them.
        rows: what is said of the first, domain by domain.
    """

    label: str
    rows: tuple[LayerSummary, ...]


def fold_layers(summaries: Sequence[LayerSummary], beside: Mapping[int, str] | None = None) -> list[AlikeLayers]:
    """The rows of a table, layer by layer, those that say the same in one.

    Args:
        summaries: of all layers and domains, layer by layer.
        beside: what else the table says of a layer, which has to be the same, too.
    """
    layers = [tuple(rows) for _, rows in itertools.groupby(summaries, key=lambda summary: summary.layer)]
    folded: list[AlikeLayers] = []
    for _, alike in itertools.groupby(layers, key=lambda rows: (_told(rows), (beside or {}).get(rows[0].layer))):
        same = list(alike)
        folded.append(AlikeLayers(from_to([rows[0].label for rows in same]), same[0]))
    return folded


def _told(rows: Sequence[LayerSummary]) -> list[LayerSummary]:
    """What is said of a layer, whatever it is called."""
    return [replace(row, layer=0, name="") for row in rows]


def _line(summary: LayerSummary, kinds: Sequence[Kind], *, saturates: bool) -> list[str]:
    counts = [*(f"{summary.counts[kind]:,}" for kind in kinds), middle(summary.median_positives)]
    saturated = [middle(summary.median_saturated or 0.0)] if saturates else []
    return [escape(summary.place), *counts, *saturated, middle(summary.median_dimension), share(summary.proved)]


def closing_lines(summaries: Sequence[LayerSummary], *, complete: bool) -> list[str]:
    """What the table means and whether anything is left open, in words.

    Args:
        summaries: the rows of the table.
        complete: whether the audit is.
    """
    findings = sum(summary.samples for summary in summaries)
    undecided = sum(summary.counts[Kind.UNDECIDED] for summary in summaries)
    lines = [
        "Of each layer by itself: singleton: what it receives can be recovered; bounded: up to a limited ambiguity; "
        "unbounded: the layer is blind to arbitrarily large changes."
    ]
    if undecided:
        lines.append(f"{undecided:,} of {findings:,} verdicts are undecided; the report lists the reasons.")
    else:
        lines.append(f"All {findings:,} verdicts{'' if complete else ' so far'} are proved.")
    if not complete:
        lines.append("This audit is not complete; continue it with the command that began it and --resume.")
    return lines


def share(fraction: float) -> str:
    """A share in per cent; never rounded up to 100 %, so that a single unproved verdict shows."""
    return "100 %" if fraction == 1 else f"{np.floor(fraction * 1000) / 10:.1f} %"


__all__ = [
    "SHOWN_KINDS",
    "AlikeLayers",
    "LayerSummary",
    "closing_lines",
    "fold_layers",
    "most_varied",
    "share",
    "summarise",
    "summary_table",
]
