"""What the features of layers give away, by layer and precision: a table for the terminal, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isfinite
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from fiberscope.audits.leak_claims import NOT_KEPT
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.measurements import is_rebuilt
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.files import is_file
from fiberscope.labels import label
from fiberscope.network.arrays import FloatArray
from fiberscope.recovery.ambiguity import LEVELS
from fiberscope.recovery.leak import Leak
from fiberscope.recovery.leakage import in_order
from fiberscope.recovery.recovery import Scope
from fiberscope.report.counting import counted, number
from fiberscope.report.terminal_tables import plain_table
from fiberscope.showing.colours import SERIES
from fiberscope.showing.pictures import picture, picture_format

PICTURED = 3
"""Samples whose rebuilt inputs are shown."""


@dataclass(frozen=True)
class LeakageSummary:
    """What the features of one layer at one precision give away of all samples.

    Attributes:
        layer: the position of the layer.
        label: the layer by position and name.
        precision: to which the features are known.
        samples: the number of samples.
        bounded: how many the layer by itself bounds.
        coarsest_eps: median.
        recoverable: how many are proved to be the only input.
        rebuilt: how many the attack rebuilt, which proves nothing; ``rebuilt_known`` is of how many.
        rebuilt_known: at how many the attack ran.
        rebuilt_error: median.
        everywhere: at how many radius and widths are proved for the whole domain; the following are of these.
        radius: median and largest.
        width: median of the medians over coordinates, and the largest of all.
        bits: median, over all samples.
        cramer_rao: median, over all samples.
        reasons: why less is proved, each with the number of samples.
    """

    layer: int
    label: str
    precision: str
    samples: int
    bounded: int
    coarsest_eps: float
    recoverable: int
    rebuilt: int
    rebuilt_known: int
    rebuilt_error: float
    everywhere: int
    radius: tuple[float, float]
    width: tuple[float, float]
    bits: float
    cramer_rao: float
    reasons: tuple[tuple[str, int], ...]


def summarise_leakage(rows: Sequence[Leak], names: Sequence[str], span: float) -> list[LeakageSummary]:
    """Summaries by layer and precision, in the order of the rows.

    Args:
        rows: the table's.
        names: what layers are called.
        span: the width of the domain.
    """
    return [
        _summary(list(group), names, span) for _, group in groupby(rows, key=lambda row: (row.layer, row.precision))
    ]


def _summary(rows: list[Leak], names: Sequence[str], span: float) -> LeakageSummary:
    first, proved = rows[0], [row for row in rows if row.scope == Scope.DOMAIN]
    ran = [row for row in rows if row.rebuilt_error == row.rebuilt_error]
    told = [row.reason for row in rows if row.reason]
    return LeakageSummary(
        layer=first.layer,
        label=label(first.layer, names[first.layer]),
        precision=first.precision,
        samples=len(rows),
        bounded=sum(row.bounded for row in rows),
        coarsest_eps=_median([row.coarsest_eps for row in rows]),
        recoverable=sum(row.recoverable for row in rows),
        rebuilt=sum(is_rebuilt(row, span) for row in rows),
        rebuilt_known=len(ran),
        rebuilt_error=_median([row.rebuilt_error for row in ran]),
        everywhere=len(proved),
        radius=(_median([row.radius for row in proved]), max((row.radius for row in proved), default=np.nan)),
        width=(_median([row.pixel_median for row in proved]), max((row.pixel_max for row in proved), default=np.nan)),
        bits=_median([row.ambiguity_bits for row in rows]),
        cramer_rao=_median([row.cramer_rao for row in rows]),
        reasons=tuple((reason, told.count(reason)) for reason in dict.fromkeys(told)),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def leakage_table(summaries: Sequence[LeakageSummary]) -> Table:
    """The summaries, a row per layer and precision, for a terminal."""
    title = f"What features give away of {counted(summaries[0].samples, 'sample')}"
    table = plain_table(title, "")  # what the columns mean stands below, in ``leakage_lines``
    table.add_column("up to layer", overflow="fold")
    table.add_column("precision", no_wrap=True)
    for name in HEADINGS:
        table.add_column(name, justify="right")
    for each in summaries:
        table.add_row(escape(each.label), each.precision, *cells(each))
    return table


HEADINGS = (
    "proved:\nonly one",
    "guess:\nrebuilt",
    "guess:\nerror",
    "proved:\nradius",
    "proved:\nwidth",
    "largest\nwidth",
    "bits left\nat most",
    "Cramer-\nRao",
    "layer itself:\nbounded",
    "layer itself:\ncoarsest eps",
)
"""First of the network up to the layer; the last two are of the layer by itself."""


def cells(each: LeakageSummary) -> list[str]:
    """The numbers of a row below ``HEADINGS``."""
    of = f"/{each.samples:,}"
    return [
        f"{each.recoverable}{of}",
        f"{each.rebuilt}/{each.rebuilt_known}" if each.rebuilt_known else "-",
        number(each.rebuilt_error),
        number(each.radius[0]),
        number(each.width[0]),
        number(each.width[1]),
        number(each.bits),
        number(each.cramer_rao),
        f"{each.bounded}{of}",
        number(each.coarsest_eps),
    ]


def leakage_lines(summaries: Sequence[LeakageSummary], subject: Subject, domain: tuple[float, float]) -> list[str]:
    """What the numbers are about, below the table."""
    return [
        f"Of {subject.data_name}: {subject.data_description}"
        if subject.data_description
        else f"Of {subject.data_name}.",
        f"Proved: holds for every input of the domain from {domain[0]:g} to {domain[1]:g}. A guess: an attack came so "
        "near; others may come nearer, and where it did not, nothing says that nobody can.",
    ]


@dataclass(frozen=True)
class ShownLeak:
    """What one row looks like: the rebuilt input, and how wide what is proved of each coordinate is.

    Attributes:
        title: layer and precision.
        rebuilt: a data URI.
        width: black where the coordinate is known, white where the whole domain is left; empty where nothing is proved.
        words: what is said below.
    """

    title: str
    rebuilt: str
    width: str
    words: str


@dataclass(frozen=True)
class ShownLeaks:
    """One sample's."""

    sample: int
    picture: str
    leaks: tuple[ShownLeak, ...]


def shown_leaks(content: LeakageContent) -> tuple[ShownLeaks, ...]:
    """Pictures of the first samples; none where samples are no pictures."""
    subject, (low, high) = content.subject, content.domain
    layout = picture_format(subject.x)
    if layout is None:
        return ()
    layout = replace(layout, low=low, high=high)
    widths = replace(layout, low=0.0, high=high - low)
    names, out = subject.network.layer_names, list[ShownLeaks]()
    for sample in sorted({each.row.sample for each in content.rebuilt}):
        shown: list[ShownLeak] = []
        for each in content.rebuilt:
            if each.row.sample == sample:
                row, proved = each.row, each.row.scope == Scope.DOMAIN
                width = picture(np.clip(each.high - each.low, 0.0, widths.high), widths) if proved else ""
                title = f"layer {label(row.layer, names[row.layer])}, {row.precision}"
                shown.append(ShownLeak(title, picture(each.x, layout), width, _words(row)))
        out.append(ShownLeaks(sample, picture(subject.x[sample], layout), tuple(shown)))
    return tuple(out)


def _words(row: Leak) -> str:
    guess = f"guess off by {number(row.rebuilt_error)}"
    if row.recoverable:
        return f"{guess}; proved: no other input"
    if row.scope == Scope.DOMAIN:
        return f"{guess}; proved for all inputs: coordinates to {number(row.pixel_median)} (median)"
    if row.scope == Scope.BALL:
        return f"{guess}; proved near the guess alone: within {number(row.radius)}"
    return f"{guess}; nothing is proved"


def curves(summaries: Sequence[LeakageSummary], coordinates: int) -> list[dict[str, Any]]:
    """For each precision what is known at each layer, from 0 to 1: proved, and guessed.

    Proved is the share of the 8 bits a coordinate that is not left open, median; guessed is the share of samples that
    the attack rebuilt.
    """
    total = 8.0 * coordinates
    by_precision = dict.fromkeys(each.precision for each in summaries)
    return [
        {
            "precision": precision,
            "layers": [each.label for each in summaries if each.precision == precision],
            "proved": [
                max(0.0, 1.0 - each.bits / total) if isfinite(each.bits) else 0.0
                for each in summaries
                if each.precision == precision
            ],
            "guessed": [
                each.rebuilt / each.rebuilt_known if each.rebuilt_known else None
                for each in summaries
                if each.precision == precision
            ],
        }
        for precision in by_precision
    ]


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """A row and the input that was rebuilt, with the bounds that are proved, as arrays of the input's shape."""

    row: Leak
    x: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, eq=False)
class LeakageContent:
    """What a section about leakage is about.

    Attributes:
        manifest: what was asked, and how.
        subject: the network and the samples.
        rows: the table, in order; of a run that is not finished, what is there.
        rebuilt: of the first samples.
        unkept: the number of rows whose proof was too large to be kept.
    """

    manifest: Manifest
    subject: Subject
    rows: list[Leak]
    rebuilt: list[Rebuilt]
    unkept: int = 0

    @property
    def domain(self) -> tuple[float, float]:
        """The bounds of every coordinate."""
        assert self.manifest.domain is not None, "leakage has a domain"
        return self.manifest.domain

    def summaries(self) -> list[LeakageSummary]:
        """By layer and precision."""
        low, high = self.domain
        return summarise_leakage(self.rows, self.subject.network.layer_names, high - low)


def read_leakage(results: Results) -> LeakageContent | None:
    """What is stored in a folder of leakage; None where there are no rows yet, or no folder.

    Raises:
        ResultsError: it is damaged.
    """
    if not is_file(results.manifest_path):
        return None
    manifest = results.manifest()
    rows, rebuilt, unkept = list[Leak](), list[Rebuilt](), 0
    for chunk in manifest.plan.leak_chunks():
        if not results.is_written(chunk):
            continue
        stored = results.leaks.read(manifest, chunk)
        rows += stored.rows
        unkept += sum(f"{k}/{NOT_KEPT}" in stored.claims for k in range(len(stored.rows)))
        if chunk.sample < PICTURED:
            arrays = stored.claims
            for k, row in enumerate(stored.rows):
                if f"{k}/x" in arrays:
                    rebuilt.append(Rebuilt(row, *(arrays[f"{k}/{name}"] for name in ("x", "low", "high"))))
    return LeakageContent(manifest, results.subject(), in_order(rows), rebuilt, unkept) if rows else None


def leakage_sentences(summaries: Sequence[LeakageSummary]) -> list[str]:
    """What the features of the first and the last layer give away of the network's input, for the first screen."""
    layers = list(dict.fromkeys(each.layer for each in summaries))
    return [
        _sentence([each for each in summaries if each.layer == layer])
        for layer in dict.fromkeys((layers[0], layers[-1]))
    ]


def _sentence(here: Sequence[LeakageSummary]) -> str:
    only = ", ".join(f"{each.recoverable} at {each.precision}" for each in here)
    rebuilt = ", ".join(f"{each.rebuilt} at {each.precision}" for each in here)
    return (
        f"Whoever holds what the network gives up to layer {here[0].label}, of {counted(here[0].samples, 'sample')}: "
        f"proved to be the only possible input: {only}. Rebuilt by an attack, to half a grey level: {rebuilt}; that "
        "proves nothing about other inputs."
    )


def section(content: LeakageContent) -> dict[str, Any]:
    """What the template of the section needs, as ``leak``."""
    summaries, (low, high) = content.summaries(), content.domain
    network = content.subject.network
    asked = content.manifest.samples * len(content.manifest.layers) * len(content.manifest.leakage)
    return {
        "subject": content.subject,
        "summaries": summaries,
        "domain": content.domain,
        "seconds": content.manifest.seconds,
        "samples": content.manifest.samples,
        "unkept": content.unkept,
        "missing": asked - len(content.rows),
        "headings": [heading.split("\n") for heading in HEADINGS],
        "cells": cells,
        "curves": curves(summaries, network.inputs),
        "colours": SERIES,
        "shown": shown_leaks(content),
        "sentences": leakage_sentences(summaries),
        "tolerance": number((high - low) / (LEVELS - 1) / 2.0),
    }


def render_leakage(content: LeakageContent) -> str:
    """The page of its own. Every text from outside is escaped by the template."""
    from fiberscope.showing.templates import environment

    page = environment("report").get_template("leakage.html")
    return page.render(leak=section(content), counted=counted)


__all__ = [
    "PICTURED",
    "LeakageContent",
    "LeakageSummary",
    "curves",
    "leakage_lines",
    "leakage_sentences",
    "leakage_table",
    "read_leakage",
    "render_leakage",
    "section",
    "summarise_leakage",
]
