"""Invariance examples as pictures, with a slider along the way on which the features stay the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fiberscope.audits.example_store import ExampleFacts, StoredExample
from fiberscope.files import atomic_path
from fiberscope.showing.pictures import PictureFormat, picture, picture_format, signed_picture


@dataclass(frozen=True)
class ShownExample:
    """An example in the report: what is told about it, and its pictures as data URIs.

    Attributes:
        facts: what is told.
        source: x.
        target: what it goes towards.
        difference: example minus x, 0 in the middle of the scale.
        corners: the way from x to the example; between two of them pictures are mixed.
    """

    facts: ExampleFacts
    source: str
    target: str
    difference: str
    corners: tuple[str, ...]

    @property
    def weight(self) -> int:
        """How many bytes its pictures take."""
        return sum(map(len, (self.source, self.target, self.difference, *self.corners * 2)))


def shown_examples(examples: Sequence[StoredExample]) -> list[ShownExample]:
    """The examples whose inputs are pictures, by layer and samples."""
    shown: list[ShownExample] = []
    for example in examples:
        layout = picture_format(np.concatenate([example.corners, example.target[None]]))
        if layout is not None:
            shown.append(_shown(example, layout))
    return shown


def _shown(example: StoredExample, layout: PictureFormat) -> ShownExample:
    return ShownExample(
        example.facts,
        picture(example.source, layout),
        picture(example.target, layout),
        signed_picture(example.x - example.source, layout),
        tuple(picture(corner, layout) for corner in example.corners),
    )


def write_examples_page(examples: Sequence[StoredExample], path: Path) -> None:
    """Write a page with examples alone, which needs nothing else.

    Raises:
        ResultsError: it cannot be written.
    """
    from fiberscope.showing.templates import environment

    page = (
        environment("report")
        .get_template("examples_page.html")
        .render(
            examples=shown_examples(examples),
            facts=[example.facts for example in examples],
            warnings=distinct_warnings([example.facts for example in examples]),
        )
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def distinct_warnings(facts: Iterable[ExampleFacts]) -> list[str]:
    """What is to be known about the data of some examples, each once."""
    return list(dict.fromkeys(warning for each in facts for warning in each.warnings))


def example_lines(facts: ExampleFacts) -> list[str]:
    """What the terminal says about an example."""
    classes = f" (class {facts.source_class})", f" (class {facts.target_class})"
    source, target = (text if facts.source_class else "" for text in classes)
    through = f" through {facts.regions} activation regions" if facts.regions > 1 else ""
    through += "" if facts.connected else ", in another region, no way to which is known"
    return [
        f"layer {facts.layer} ({facts.layer_name}): sample {facts.source}{source} towards sample {facts.target}"
        f"{target}, within {facts.domain}{through}",
        f"  {facts.objective}: {facts.compared_with_best}",
        f"  {facts.reached:.0%} of the way, {facts.pixels_changed} inputs changed, distance {facts.distance:.4g}; "
        f"{facts.seconds:.2f} s",
        f"  features: {facts.compared_features}",
        f"  {'proved' if facts.proved else 'not proved'}: {facts.verification}",
    ]


__all__ = [
    "ShownExample",
    "distinct_warnings",
    "example_lines",
    "shown_examples",
    "write_examples_page",
]
