"""What the features of layers give away, by layer and precision: a table for the terminal, and a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isfinite
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fiberscope.audit.subject import Subject
from fiberscope.audit.thresholds import Measured, Place, Quantity
from fiberscope.labels import label
from fiberscope.recovery.ambiguity import LEVELS
from fiberscope.recovery.leakage import Leak
from fiberscope.recovery.recovery import Recovery, Scope
from fiberscope.report.counting import counted
from fiberscope.report.pictures import picture, picture_format

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


def is_rebuilt(row: Leak, span: float) -> bool:
    """Whether the attack's root mean square error is at most half a step of the grey levels."""
    return bool(row.rebuilt_error <= span / (LEVELS - 1) / 2.0)


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


def measured_of(rows: Sequence[Leak], names: Sequence[str], span: float) -> Iterator[Measured]:
    """The quantities of thresholds, at each layer and precision."""
    for (layer, precision), group in groupby(rows, key=lambda row: (row.layer, row.precision)):
        here = list(group)
        words = f"layer {label(layer, names[layer])} at {precision}"
        place = Place(words, layer=layer, precision=precision, is_network=True)
        ran = [row for row in here if row.rebuilt_error == row.rebuilt_error]
        radii = [row.radius if row.scope == Scope.DOMAIN else np.inf for row in here]
        for quantity, values in (
            (Quantity.RECOVERABLE, [float(row.recoverable) for row in here]),
            (Quantity.REBUILT, [float(is_rebuilt(row, span)) for row in ran]),
            (Quantity.BITS, [row.ambiguity_bits for row in here]),
            (Quantity.RADIUS, radii),
        ):
            yield Measured(quantity, place, np.array(values), len(here) - len(values))


def leakage_table(summaries: Sequence[LeakageSummary]) -> Table:
    """The summaries, a row per layer and precision, for a terminal."""
    title = f"What features give away of {counted(summaries[0].samples, 'sample')}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("up to layer", overflow="fold")
    table.add_column("precision", no_wrap=True)
    for name in HEADINGS:
        table.add_column(name, justify="right")
    for each in summaries:
        table.add_row(escape(each.label), each.precision, *cells(each))
    return table


HEADINGS = (
    "layer\nbounded",
    "coarsest\neps",
    "proved:\nonly one",
    "guess:\nrebuilt",
    "guess:\nerror",
    "proved:\nradius",
    "proved:\nwidth",
    "largest\nwidth",
    "bits left\nat most",
    "Cramer-\nRao",
)


def cells(each: LeakageSummary) -> list[str]:
    """The numbers of a row below ``HEADINGS``."""
    of = f"/{each.samples}"
    return [
        f"{each.bounded}{of}",
        short(each.coarsest_eps),
        f"{each.recoverable}{of}",
        f"{each.rebuilt}/{each.rebuilt_known}" if each.rebuilt_known else "-",
        short(each.rebuilt_error),
        short(each.radius[0]),
        short(each.width[0]),
        short(each.width[1]),
        short(each.bits),
        short(each.cramer_rao),
    ]


def short(value: float) -> str:
    """Three digits; a dash where there is no number."""
    return "-" if np.isnan(value) else f"{value:.3g}"


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


def shown_leaks(
    seen: Sequence[tuple[Leak, Recovery]], subject: Subject, domain: tuple[float, float]
) -> tuple[ShownLeaks, ...]:
    """Pictures of the first samples; none where samples are no pictures."""
    layout = picture_format(subject.x)
    if layout is None:
        return ()
    layout = replace(layout, low=domain[0], high=domain[1])
    widths = replace(layout, low=0.0, high=domain[1] - domain[0])
    names, out = subject.network.layer_names, list[ShownLeaks]()
    for sample in sorted({row.sample for row, _ in seen}):
        shown: list[ShownLeak] = []
        for row, r in seen:
            if row.sample != sample:
                continue
            proved = r.scope != Scope.NONE and not r.contradiction
            width = picture(np.clip(r.high - r.low, 0.0, widths.high), widths) if proved else ""
            title = f"layer {label(row.layer, names[row.layer])}, {row.precision}"
            shown.append(ShownLeak(title, picture(r.x, layout), width, _words(row)))
        out.append(ShownLeaks(sample, picture(subject.x[sample], layout), tuple(shown)))
    return tuple(out)


def _words(row: Leak) -> str:
    guess = f"guess off by {short(row.rebuilt_error)}"
    if row.recoverable:
        return f"{guess}; proved: no other input"
    if row.scope == Scope.DOMAIN:
        return f"{guess}; proved for all inputs: coordinates to {short(row.pixel_median)} (median)"
    if row.scope == Scope.BALL:
        return f"{guess}; proved near the guess alone: within {short(row.radius)}"
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


def render_leakage(
    summaries: Sequence[LeakageSummary],
    seen: Sequence[tuple[Leak, Recovery]],
    subject: Subject,
    domain: tuple[float, float],
    seconds: float | None,
) -> str:
    """The page. Every text from outside is escaped by the template."""
    from fiberscope.report.templates import environment

    return (
        environment()
        .get_template("leakage.html")
        .render(
            subject=subject,
            summaries=summaries,
            domain=domain,
            seconds=seconds,
            headings=[heading.split("\n") for heading in HEADINGS],
            cells=cells,
            short=short,
            counted=counted,
            curves=curves(summaries, subject.network.inputs),
            colours=COLOURS,
            shown=shown_leaks(seen, subject, domain),
            tolerance=short((domain[1] - domain[0]) / (LEVELS - 1) / 2.0),
        )
    )


COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
"""Told apart by readers with any colour vision (Okabe and Ito)."""

__all__ = [
    "PICTURED",
    "LeakageSummary",
    "curves",
    "is_rebuilt",
    "leakage_lines",
    "leakage_table",
    "measured_of",
    "render_leakage",
    "shown_leaks",
    "summarise_leakage",
]
