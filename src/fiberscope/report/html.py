"""The report as one page that needs nothing else: no network, no other files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.audit.example_store import StoredExample
from fiberscope.audit.findings import Finding, FindingsTable
from fiberscope.audit.manifest import Manifest
from fiberscope.audit.store import Results
from fiberscope.audit.subject import Subject
from fiberscope.files import atomic_path
from fiberscope.preimage.kind import Kind
from fiberscope.report import figures, spectra_figures
from fiberscope.report.examples import shown_examples
from fiberscope.report.pictures import PictureFormat, picture, picture_format
from fiberscope.report.spectra import StageSummary, number, summarise_spectra
from fiberscope.report.summary import SHOWN_KINDS, LayerSummary, share, summarise
from fiberscope.report.survey import ReachSummary, reach_by_layer, summarise_survey

_SHOWN_SAMPLES = 8
_SHOWN_REASONS = 10

_RANK = {Kind.SINGLETON: 0, Kind.BOUNDED: 1, Kind.UNBOUNDED: 2}


@dataclass(frozen=True)
class ShownSample:
    """A sample in the report: its finding, its label, and its picture as a data URI."""

    finding: Finding
    label: str
    picture: str


@dataclass(frozen=True)
class Group:
    """What the report says about one layer and domain."""

    key: str
    title: str
    most: tuple[ShownSample, ...]
    least: tuple[ShownSample, ...]


def write_report(results: Results) -> None:
    """Write ``report.html`` from the results alone.

    Raises:
        ResultsError: the folder is damaged, holds no findings, or cannot be written.
    """
    manifest = results.manifest()
    spectra = summarise_spectra(results.spectra_table(manifest))
    examples = [each for each in results.examples.read() if each.facts.model_digest == manifest.model_digest]
    survey = summarise_survey(results.survey_table(manifest))
    page = render(manifest, results.findings(manifest), results.subject(), spectra, examples, survey)
    with atomic_path(results.report_path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render(
    manifest: Manifest,
    findings: FindingsTable,
    subject: Subject,
    spectra: Sequence[StageSummary] = (),
    examples: Sequence[StoredExample] = (),
    survey: Sequence[ReachSummary] = (),
) -> str:
    """The page. Every text from outside is escaped by the template."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    from fiberscope.report.templates import environment

    summaries = summarise(manifest, findings)
    layout = picture_format(subject.x)
    return (
        environment()
        .get_template("template.html")
        .render(
            manifest=manifest,
            summaries=summaries,
            kinds=[kind for kind in SHOWN_KINDS if any(s.counts[kind] for s in summaries)],
            colours=figures.COLOURS,
            share=share,
            groups=[_group(s, findings.at(s.layer, s.domain), subject, layout) for s in summaries],
            pictures=layout is not None,
            undecided=_undecided(findings),
            seconds=sum(run.seconds for run in manifest.runs),
            stages=spectra,
            examples=shown_examples(examples),
            inputs=subject.network.inputs,
            number=number,
            survey=survey,
            figures=_figures(summaries, findings) | _spectra_figures(spectra, subject) | _survey_figures(survey),
            plotlyjs=Markup(get_plotlyjs()),  # the library itself, no text from outside
        )
    )


def _figures(summaries: list[LayerSummary], findings: FindingsTable) -> dict[str, Any]:
    groups = [(_key(s), s, findings.at(s.layer, s.domain)) for s in summaries]
    return {
        "layers": {"all": figures.kinds_per_layer(summaries)},
        "positives": {key: figures.kinds_by_positives(group, s) for key, s, group in groups},
        "margins": {key: figures.margins(group, s) for key, s, group in groups},
    }


def _spectra_figures(spectra: Sequence[StageSummary], subject: Subject) -> dict[str, Any]:
    if not any(stage.samples for stage in spectra):
        return {}
    return {
        "stability": {"all": spectra_figures.over_the_stages(spectra, subject.network)},
        "decay": {"all": spectra_figures.decay(spectra, subject.network)},
    }


def _survey_figures(survey: Sequence[ReachSummary]) -> dict[str, Any]:
    return {"reach": {"all": reach_by_layer(survey)}} if any(layer.samples for layer in survey) else {}


def _key(summary: LayerSummary) -> str:
    return f"{summary.layer} {summary.domain}"


def _group(summary: LayerSummary, findings: FindingsTable, subject: Subject, layout: PictureFormat | None) -> Group:
    order = by_invertibility(findings)
    rows = list(findings.rows())
    most = order[:_SHOWN_SAMPLES]
    least = order[max(len(most), len(order) - _SHOWN_SAMPLES) :][::-1]
    return Group(
        key=_key(summary),
        title=f"layer {summary.title}, {summary.domain}",
        most=tuple(_shown(rows[i], subject, layout) for i in most),
        least=tuple(_shown(rows[i], subject, layout) for i in least),
    )


def by_invertibility(findings: FindingsTable) -> list[int]:
    """The positions of the decided findings, from those that leave least of the input open to those that leave most.

    First by kind, then by dimension, then by the number of positive outputs, then by position of the sample.
    """
    decided = np.flatnonzero(np.isin(findings.kind.astype(str), [str(kind) for kind in _RANK]))
    rank = np.array([_RANK[Kind(kind)] for kind in findings.kind[decided]], dtype=np.int64)
    keys = (findings.sample[decided], -findings.positives[decided], findings.dimension[decided], rank)
    return [int(i) for i in decided[np.lexsort(keys)]]


def _shown(finding: Finding, subject: Subject, layout: PictureFormat | None) -> ShownSample:
    label = "" if subject.y is None else str(subject.y[finding.sample])
    return ShownSample(finding, label, "" if layout is None else picture(subject.x[finding.sample], layout))


def _undecided(findings: FindingsTable) -> list[tuple[str, int]]:
    """The reasons for which findings are undecided, the most frequent first."""
    reasons, counts = np.unique(findings.reason[findings.kind == Kind.UNDECIDED].astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SHOWN_REASONS]
    return [(str(reasons[i]) or "no reason was given", int(counts[i])) for i in order]


__all__ = ["Group", "ShownSample", "by_invertibility", "render", "write_report"]
