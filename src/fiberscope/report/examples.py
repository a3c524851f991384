"""Invariance examples as pictures, with a slider along the way on which the features stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fiberscope.audit.example_store import ExampleFacts, StoredExample
from fiberscope.files import atomic_path
from fiberscope.report.pictures import PictureFormat, picture, picture_format, signed_picture


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
    from fiberscope.report.templates import environment

    page = (
        environment()
        .get_template("examples_page.html")
        .render(examples=shown_examples(examples), facts=[example.facts for example in examples])
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


__all__ = ["ShownExample", "shown_examples", "write_examples_page"]
