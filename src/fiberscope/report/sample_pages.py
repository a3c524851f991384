"""What is told about a chosen sample: its picture, its directions, and how far one can go from it unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.audits.example_store import StoredExample
from fiberscope.audits.subject import Subject
from fiberscope.labels import label
from fiberscope.network.network import Network
from fiberscope.report.counting import counted, number
from fiberscope.report.direction_pictures import direction_rows
from fiberscope.report.examples import ShownExample, shown_examples
from fiberscope.report.sample_selection import ChosenSample
from fiberscope.showing.pictures import PictureFormat, picture, signed_picture
from fiberscope.stability.inverse_stability import InverseStability, inverse_stability
from fiberscope.threads import one_thread

_LARGEST_MATRIX = 2**26
"""Bytes of a local linear map up to which its directions are computed for the page, within a second or so."""


@dataclass(frozen=True)
class ShownDirection:
    """An input direction: its picture as a data URI, and what is written below it."""

    picture: str
    label: str


@dataclass(frozen=True)
class ShownDirections:
    """Input directions of one sort."""

    title: str
    directions: tuple[ShownDirection, ...]


@dataclass(frozen=True)
class Reach:
    """How far inputs with the same features of one layer reach from a sample.

    Attributes:
        layer: the layer by position and name.
        dimension: the dimension of the inputs with the same features in the region of the sample.
        widths: how wide that set is along the ways to the targets, least and largest.
        reached: how far the best way gets, 1 being its target.
        target: the sample that it leads to.
    """

    layer: str
    dimension: int
    widths: tuple[float, float]
    reached: float
    target: int


@dataclass(frozen=True)
class SamplePage:
    """What is told about one sample.

    Attributes:
        sample: its position.
        why: why it was chosen.
        picture: of it, as a data URI; empty if it is none.
        stability: its singular values and region, in words; empty where they were not computed.
        rows: its directions, as pictures.
        reach: how far one can go from it, by layer.
        examples: its invariance examples.
    """

    sample: int
    why: tuple[str, ...]
    picture: str
    stability: str
    rows: tuple[ShownDirections, ...]
    reach: tuple[Reach, ...]
    examples: tuple[ShownExample, ...]

    @property
    def weight(self) -> int:
        """How many bytes its pictures take."""
        directions = sum(len(direction.picture) for row in self.rows for direction in row.directions)
        return len(self.picture) + directions + sum(example.weight for example in self.examples)


def sample_pages(
    chosen: Sequence[ChosenSample],
    subject: Subject,
    layout: PictureFormat | None,
    survey: Any,
    examples: Sequence[StoredExample],
) -> list[SamplePage]:
    """What is told about some samples.

    Args:
        chosen: the samples.
        subject: the network and all samples.
        layout: how a sample becomes a picture; None if it is none, and then directions are none, either.
        survey: a table of ``SURVEY_SCHEMA``.
        examples: the invariance examples of these samples, see ``examples_of``.
    """
    rows: list[dict[str, Any]] = [row for row in survey.to_pylist() if row["eps"] == 0.0]
    pages: list[SamplePage] = []
    for each in chosen:
        stability = None if layout is None else _stability(subject.network, subject.x[each.sample])
        pages.append(
            SamplePage(
                each.sample,
                each.why,
                "" if layout is None else picture(subject.x[each.sample], layout),
                "" if stability is None else _in_words(stability),
                () if layout is None or stability is None else _directions(stability, layout),
                _reach([row for row in rows if row["sample"] == each.sample]),
                tuple(shown_examples([example for example in examples if example.facts.source == each.sample])),
            )
        )
    return pages


def examples_of(subject: Subject, examples: Sequence[StoredExample]) -> tuple[list[StoredExample], list[StoredExample]]:
    """The examples that begin at samples of the audit, and those that begin elsewhere: other data has other samples."""
    own = [example for example in examples if _begins_at(subject, example)]
    return own, [example for example in examples if example not in own]


def _begins_at(subject: Subject, example: StoredExample) -> bool:
    if example.facts.source >= subject.samples:
        return False
    return np.array_equal(np.asarray(subject.x[example.facts.source], dtype=np.float64), example.source)


def _stability(network: Network, x: Any) -> InverseStability | None:
    """Of the whole network; None where its local linear map is large."""
    if 8 * network.inputs * network.outputs > _LARGEST_MATRIX:
        return None
    with one_thread():  # so that the page is the same whatever the machine has
        return inverse_stability(network, x, boundary=False, max_bytes=_LARGEST_MATRIX)


def _in_words(stability: InverseStability) -> str:
    if stability.spectrum is None:
        return (
            f"Close to the sample, the network’s output moves by {number(stability.largest)} times the change at most."
        )
    if not stability.rank:
        return "Close to the sample, no change of the input moves the network’s output."
    others = "the others" if stability.invariant_dimension else "all of them"
    least, most = number(stability.spectrum.smallest_nonzero), number(stability.largest)
    return (
        f"Close to the sample, {stability.invariant_dimension:,} of "
        f"{counted(stability.J.shape[1], 'independent direction')} of the input leave the network’s output as it is; "
        f"along {others} it moves by {least} to {most} times the change."
    )


def _directions(stability: InverseStability, layout: PictureFormat) -> tuple[ShownDirections, ...]:
    return tuple(
        ShownDirections(
            row.title,
            tuple(
                ShownDirection(signed_picture(vector, layout), caption)
                for vector, caption in zip(row.vectors, row.labels, strict=True)
            ),
        )
        for row in direction_rows(stability, {})
    )


def _reach(rows: Sequence[dict[str, Any]]) -> tuple[Reach, ...]:
    """Of the rows of one sample, layer by layer."""
    found: list[Reach] = []
    for layer in sorted({row["layer"] for row in rows}):
        ways = [row for row in rows if row["layer"] == layer]
        best = max(ways, key=lambda row: row["reached"])
        widths = [row["width"] for row in ways]
        extent = min(widths), max(widths)
        found.append(Reach(label(layer, best["name"]), best["dimension"], extent, best["reached"], best["target"]))
    return tuple(found)


__all__ = ["SamplePage", "examples_of", "sample_pages"]
