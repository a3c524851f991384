"""The report as one page that needs nothing else: no network, no other files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fiberscope.audits.accuracy import accuracy_line
from fiberscope.audits.example_store import StoredExample
from fiberscope.audits.findings import FindingsTable
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.network_table import read_network
from fiberscope.audits.plan import Reads
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.files import atomic_path
from fiberscope.labels import label
from fiberscope.preimages.kind import Kind
from fiberscope.recovery.verdict import Verdict
from fiberscope.report import figures, spectra_figures
from fiberscope.report.counting import counted, middle, number
from fiberscope.report.examples import distinct_warnings, shown_examples, write_examples_page
from fiberscope.report.gallery import layer_conditions, sample_columns
from fiberscope.report.headlines import LayerSpectra, headlines
from fiberscope.report.leakage import LeakageContent, read_leakage, section
from fiberscope.report.network import fold_alike, label_of, network_sentences, summarise_network
from fiberscope.report.opening import opening
from fiberscope.report.sample_pages import SamplePage, examples_of, sample_pages
from fiberscope.report.sample_selection import choose_samples
from fiberscope.report.sheets import COLUMNS, PER_SHEET, picture_sheets
from fiberscope.report.spread_figures import spread
from fiberscope.report.summary import SHOWN_KINDS, LayerSummary, fold_layers, most_varied, share, summarise
from fiberscope.report.survey import ReachSummary, reach_against_eps, reach_by_layer, summarise_survey
from fiberscope.showing import colours
from fiberscope.showing.pictures import PictureFormat, picture_format
from fiberscope.stability.stage_medians import StageMedians, stage_medians

_SHOWN_REASONS = 10

LARGEST_PAGE = 14_500_000
"""Bytes of a page up to which pictures of samples are added: one that is mailed, and opened on a telephone."""

_ROOM_FOR_TEXT = 500_000
"""Bytes set aside for the text of the page and its tables."""

_NAMES: dict[str, Any] = {
    "all_kinds": SHOWN_KINDS,
    "colours": colours.KINDS,
    "counted": counted,
    "label_of": label_of,
    "middle": middle,
    "number": number,
    "share": share,
    "verdicts": list(Verdict),
}
"""What every page writes with."""


@dataclass(frozen=True, eq=False)
class Content:
    """What the page is about.

    Attributes:
        manifest: what was audited, and how.
        findings: the verdicts.
        subject: the network and the samples.
        spectra: the singular values, a table of ``SPECTRA_SCHEMA``.
        survey: how far invariance reaches, a table of ``SURVEY_SCHEMA``.
        network: the verdicts about the network up to each layer, a table of ``network_verdicts``.
        examples: the invariance examples of the network.
        leakage: what features give away, where that was asked of the network.
    """

    manifest: Manifest
    findings: FindingsTable
    subject: Subject
    spectra: Any
    survey: Any
    network: Any
    examples: Sequence[StoredExample] = ()
    leakage: LeakageContent | None = None


def write_report(results: Results) -> Content:
    """Write ``report.html`` from the results alone.

    Returns:
        What was read.

    Raises:
        ResultsError: the folder is damaged, holds no findings, or cannot be written.
    """
    content = read_content(results)
    page = render(content)
    with atomic_path(results.report_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return content


def read_content(results: Results) -> Content:
    """Read what the page is about.

    Raises:
        ResultsError: the folder is damaged, or holds no findings.
    """
    manifest = results.manifest()
    return Content(
        manifest=manifest,
        findings=results.findings(manifest),
        subject=results.subject(),
        spectra=results.spectra_table(manifest),
        survey=results.survey_table(manifest),
        network=read_network(results, manifest),
        examples=[each for each in results.examples.read() if each.facts.model_digest == manifest.model_digest],
        leakage=_leakage(results, manifest),
    )


def _leakage(results: Results, manifest: Manifest) -> LeakageContent | None:
    """That of the same network."""
    content = read_leakage(results.leakage)
    return content if content is not None and content.manifest.model_digest == manifest.model_digest else None


def render(content: Content) -> str:
    """The page. Every text from outside is escaped by the template."""
    from fiberscope.showing.templates import environment

    summaries = summarise(content.manifest, content.findings)
    stages, survey = stage_medians(content.spectra), summarise_survey(content.survey)
    reasons = _undecided(content.findings)
    network, spectra = summarise_network(content.manifest, content.network), _spectra(content, stages)
    conditions = {each.layer: number(each.medians.condition_number) for each in spectra}
    plan = content.manifest.plan
    domains = [named.domain for layer in plan.layers for named in plan.domains(layer)]
    return (
        environment("report")
        .get_template("template.html")
        .render(
            manifest=content.manifest,
            summaries=summaries,
            accuracy=accuracy_line(content.manifest.correct, content.manifest.samples),
            network=fold_alike(network),
            network_sentences=network_sentences(network, content.manifest.domain) if network else (),
            headlines=headlines(summaries, spectra, content.subject.network.inputs, survey, reasons),
            conditions=conditions,
            layers=fold_layers(summaries, conditions),
            kinds_of_first=most_varied(summaries),
            kinds=[kind for kind in SHOWN_KINDS if any(s.counts[kind] for s in summaries)],
            leak=None if content.leakage is None else section(content.leakage),
            planned=content.manifest.samples * len(domains),
            judged=len(content.findings),
            boxed=plan.box is not None and any(plan.place(layer).reads is Reads.INPUT for layer in plan.layers),
            saturates=any(summary.median_saturated is not None for summary in summaries),
            undecided=reasons,
            proved=sum(s.proved * s.samples for s in summaries) / len(content.findings),
            stages=stages,
            survey=survey,
            decomposed=max((stage.samples for stage in stages), default=0),
            surveyed=max((layer.samples for layer in survey), default=0),
            by_class=any(layer.by_class for layer in survey),
            inputs=content.subject.network.inputs,
            **_samples(content, summaries, _figures(content, summaries, stages, survey)),
            **_NAMES,
        )
    )


def _figures(
    content: Content,
    summaries: Sequence[LayerSummary],
    stages: Sequence[StageMedians],
    survey: Sequence[ReachSummary],
) -> dict[str, Any]:
    """By the name of the figure, and then by layer and domain, by layer, or "all"."""
    groups = [(s.key, s, content.findings.at(s.layer, s.domain, s.precision)) for s in summaries]
    drawn: dict[str, Any] = {
        "positives": {key: figures.kinds_by_positives(group, s) for key, s, group in groups},
        "margins": {key: figures.margins(group, s) for key, s, group in groups},
    }
    network = content.subject.network
    if any(stage.samples for stage in stages):
        by_stage = {stage.stage: stage for stage in stages if len(stage.resolved)}
        at_layer = {layer: by_stage.get(network.placed_layers[layer].stage) for layer in content.manifest.layers}
        drawn["stability"] = {"all": spectra_figures.over_the_stages(stages, network)}
        drawn["decay"] = {"all": spectra_figures.decay(stages, network)}
        drawn["spectrum"] = {
            str(layer): spread(stage, content.spectra) for layer, stage in at_layer.items() if stage is not None
        }
    if any(layer.samples for layer in survey):
        drawn["reach"] = {"all": reach_by_layer(survey)}
        drawn["curve"] = {"all": reach_against_eps(survey)}
    return drawn


def _samples(content: Content, summaries: Sequence[LayerSummary], drawn: dict[str, Any]) -> dict[str, Any]:
    """What the template needs for the samples, the figures, and the library that draws these."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    subject, layout = content.subject, picture_format(content.subject.x)
    network, layers = subject.network, content.manifest.layers
    conditions = layer_conditions(content.spectra, network, layers)
    columns = sample_columns(summaries, content.findings, subject.samples, subject.y, subject.classes, conditions)
    own, others = examples_of(subject, content.examples)
    pages, examples = _pages(content, summaries, conditions, layout, own), shown_examples(others)
    first = opening(content.manifest, content.findings, content.network, subject, layout, own)
    library = get_plotlyjs()
    used = len(library) + sum(len(json.dumps(each, separators=(",", ":"))) for each in (columns, drawn))
    used += sum(page.weight for page in pages) + sum(example.weight for example in examples)
    sheets = None if layout is None else picture_sheets(subject.x, layout, LARGEST_PAGE - _ROOM_FOR_TEXT - used)
    if sheets is not None:
        size = {"width": sheets.width, "height": sheets.height}
        columns["tiles"] = {**size, "shown": sheets.shown, "columns": COLUMNS, "each": PER_SHEET}
    return {
        "figures": drawn,
        "columns": columns,
        "sheets": sheets,
        "labels": _labels(subject),
        "opening": first,
        "pages": pages,
        "examples": examples,
        "example_warnings": distinct_warnings(example.facts for example in others),
        "plotlyjs": Markup(library),  # the library itself, no text from outside
    }


def _labels(subject: Subject) -> dict[int, str]:
    """The labels that occur, and what they are called."""
    occurring: list[int] = [] if subject.y is None else np.unique(subject.y).tolist()
    return {label: subject.class_name(label) for label in occurring}


def _pages(
    content: Content,
    summaries: Sequence[LayerSummary],
    conditions: dict[int, dict[int, float]],
    layout: PictureFormat | None,
    examples: Sequence[StoredExample],
) -> list[SamplePage]:
    chosen = choose_samples(
        content.findings,
        summaries,
        examples={example.facts.source for example in examples},
        surveyed=content.survey["sample"].unique().to_pylist(),
        conditions=conditions,
    )
    return sample_pages(chosen, content.subject, layout, content.survey, examples)


def _spectra(content: Content, stages: Sequence[StageMedians]) -> list[LayerSpectra]:
    """The medians up to every audited layer that has some."""
    known = {stage.stage: stage for stage in stages}
    placed, names = content.subject.network.placed_layers, content.manifest.network_layers
    return [
        LayerSpectra(layer, label(layer, names[layer].name), known[placed[layer].stage])
        for layer in content.manifest.layers
        if placed[layer].stage in known
    ]


def _undecided(findings: FindingsTable) -> list[tuple[str, int]]:
    """The reasons for which findings are undecided, the most frequent first."""
    reasons, counts = np.unique(findings.reason[findings.kind == Kind.UNDECIDED].astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_SHOWN_REASONS]
    return [(str(reasons[i]) or "no reason was given", int(counts[i])) for i in order]


def publish_examples(results: Results, digest: str) -> Path:
    """Show the examples of a folder: in its audit's report if that is of this network, else on a page of their own.

    Returns:
        The page.

    Raises:
        ResultsError: the folder is damaged, or cannot be written.
    """
    if results.manifest_path.is_file() and results.manifest().model_digest == digest:
        write_report(results)
        return results.report_path
    path = results.folder / "invariance.html"
    write_examples_page(results.examples.read(), path)
    return path


__all__ = ["LARGEST_PAGE", "Content", "publish_examples", "read_content", "render", "write_report"]
