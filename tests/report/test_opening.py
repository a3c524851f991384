"""The pictures that a report begins with, and rows that are folded."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fiberscope.audits.store import Results
from fiberscope.preimages.kind import Kind
from fiberscope.recovery.verdict import Verdict
from fiberscope.report import opening as module
from fiberscope.report.html import Content, read_content, render
from fiberscope.report.network import NetworkSummary, fold_alike, label_of
from fiberscope.report.opening import Opening, opening
from fiberscope.report.summary import fold_layers, most_varied, summarise
from fiberscope.showing.pictures import PictureFormat, picture_format, shades


@pytest.fixture(name="content", scope="module")
def _content(audited: Path) -> Content:
    """An audit whose samples are taken for pictures of 2 x 3 pixels."""
    content = read_content(Results(audited))
    return replace(content, subject=replace(content.subject, x=np.asarray(content.subject.x).reshape(-1, 2, 3)))


def opened(content: Content, **changes: object) -> Opening | None:
    layout = picture_format(content.subject.x)
    manifest = replace(content.manifest, **changes)
    return opening(manifest, content.findings, content.network, content.subject, layout, content.examples)


def pixels(image: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image.partition(",")[2]))))


def sample_of(shown: Opening) -> int:
    return int(shown.pictures[0].title.removeprefix("sample "))


def test_the_other_input_has_the_features_that_are_said_to_be_the_same(content: Content) -> None:
    shown = opened(content)
    assert shown is not None
    source, *_, other, target = shown.pictures
    layout = picture_format(content.subject.x)
    assert isinstance(layout, PictureFormat)
    x = np.asarray(content.subject.x[sample_of(shown)])
    np.testing.assert_array_equal(pixels(source.image), shades(x[None], layout)[0][..., 0])
    assert other.title == "another input"
    assert (pixels(other.image) != pixels(source.image)).any()
    layer = int(other.text.split("layer ")[1].split()[0])
    rows = [r for r in content.network.to_pylist() if r["sample"] == sample_of(shown)]
    assert {r["verdict"] for r in rows if r["layer"] == layer} == {Verdict.NOT_RECOVERABLE}
    assert target.title.startswith("sample ")
    assert "which is proved" in shown.sentence


def test_it_is_in_the_page_before_anything_else_is_told(content: Content) -> None:
    page = render(content)
    assert page.index('class="opening"') < page.index('class="headlines"') < page.index('id="network"')


def test_what_is_rebuilt_is_off_by_no_more_than_is_said(content: Content) -> None:
    shown = opened(content)
    assert shown is not None
    kinds = content.findings.at(0, "box [0,1]").kind
    (rebuilt,) = [each for each in shown.pictures if each.title.startswith("rebuilt")]
    off = float(rebuilt.text.removeprefix("off by at most ").replace(",", ""))
    difference = pixels(rebuilt.image).astype(float) - pixels(shown.pictures[0].image)
    assert np.abs(difference).max() <= 255 * off + 1
    assert ("hides nothing" in shown.sentence) == (kinds[sample_of(shown)] == Kind.SINGLETON)


def test_examples_whose_features_differ_are_not_said_to_be_the_same(content: Content) -> None:
    layout = picture_format(content.subject.x)
    found = module._found(content.manifest, content.network, content.subject)
    assert found is not None
    assert module._furthest([found]) is found
    for changes in ({"within": "0.1"}, {"agrees": False}, {"layer": "output"}):
        other = replace(found, facts=replace(found.facts, **changes))
        assert module._furthest([other]) is None
        shown = opening(content.manifest, content.findings, content.network, content.subject, layout, [other])
        assert shown is not None, "another one is looked for"
        assert [each.title for each in shown.pictures] == [each.title for each in opened(content).pictures]


def test_without_pictures_or_bounds_there_is_none(content: Content) -> None:
    assert opened(content, domain=None) is None
    flat = replace(content, subject=replace(content.subject, x=np.asarray(content.subject.x).reshape(-1, 6)))
    assert opened(flat) is None
    assert 'class="opening"' not in render(flat)


def test_layers_of_which_the_same_is_said_are_one_row(content: Content) -> None:
    first = summarise(content.manifest, content.findings)[:2]
    second = [replace(row, layer=1, name="b") for row in first]
    third = [replace(row, layer=2, name="c") for row in first]
    other = [replace(row, layer=3, name="d", median_dimension=99.0) for row in first]
    folded = fold_layers([*first, *second, *third, *other])
    assert [each.label for each in folded] == [f"{first[0].label} to 2 c", "3 d"]
    assert [len(each.rows) for each in folded] == [2, 2]
    apart = fold_layers([*first, *second, *third], {0: "1", 1: "1", 2: "7"})
    assert [each.label for each in apart] == [f"{first[0].label} to 1 b", "2 c"], "another column tells them apart"


def test_verdicts_about_the_network_are_folded_only_one_after_the_other() -> None:
    counts = [{Verdict.RECOVERABLE: n, Verdict.NOT_RECOVERABLE: 5 - n, Verdict.UNDECIDED: 0} for n in (3, 0, 0, 3)]
    rows = [NetworkSummary(i, f"{i} a", 5, each) for i, each in enumerate(counts)]
    assert [label_of(alike) for alike in fold_alike(rows)] == ["0 a", "1 a to 2 a", "3 a"]


def test_the_kinds_that_are_shown_first_are_the_most_varied(content: Content) -> None:
    summaries = summarise(content.manifest, content.findings)
    most = max(sum(map(bool, each.counts.values())) for each in summaries)
    assert sum(map(bool, most_varied(summaries).counts.values())) == most
