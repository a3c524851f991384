"""The columns of the page, the thumbnails, and which samples have more told about them."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fiberscope.audits.store import Results
from fiberscope.preimages.kind import Kind
from fiberscope.report.gallery import layer_conditions, sample_columns
from fiberscope.report.html import Content, read_content
from fiberscope.report.sample_selection import MOST, choose_samples
from fiberscope.report.sheets import COLUMNS, PER_SHEET, picture_sheets
from fiberscope.report.summary import SHOWN_KINDS, summarise
from fiberscope.showing.pictures import picture_format
from small_audits import rows, small_network, spectra_rows


@pytest.fixture(name="content", scope="module")
def _content(audited: Path) -> Content:
    return read_content(Results(audited))


def test_columns_hold_every_finding(content: Content, audited: Path) -> None:
    summaries = summarise(content.manifest, content.findings)
    columns = sample_columns(summaries, content.findings, 10, content.subject.y, (), {})
    assert json.loads(json.dumps(columns, allow_nan=False)) == columns
    assert columns["labels"] == list(range(10))
    found = {
        (sample, group["layer"], group["domain"], group["positives"][sample], str(SHOWN_KINDS[int(kind)]),
         group["dimension"][sample], group["margin"][sample])
        for group in columns["groups"] for sample, kind in enumerate(group["kinds"])
    }  # fmt: skip
    assert found == {(*row[:6], float(f"{row[6]:.3g}")) for row in rows(audited)}


def test_samples_that_were_not_judged_and_undecided_ones_are_told_apart(content: Content) -> None:
    findings = content.findings
    kind = np.where(findings.sample == 3, Kind.UNDECIDED, findings.kind).astype(object)
    reason = np.where(findings.sample == 3, "too hard", findings.reason).astype(object)
    changed = replace(
        findings,
        kind=kind,
        reason=reason,
        dimension=np.where(findings.sample == 3, -2, findings.dimension),
        margin=np.where(findings.sample == 3, np.nan, findings.margin),
    ).where(findings.sample != 5)
    columns = sample_columns(summarise(content.manifest, changed), changed, 10, None, (), {})
    for group in columns["groups"]:
        assert columns["kinds"][int(group["kinds"][3])] == "undecided"
        assert columns["reasons"][group["reason"]["3"]] == "too hard"
        assert (group["kinds"][5], group["dimension"][5], group["margin"][5]) == ("-", -2, None)
        assert (group["dimension"][3], group["margin"][3]) == (-2, None)
    assert columns["reasons"] == ["too hard"], "once for all"
    assert columns["labels"] is None


def test_condition_numbers_are_those_after_the_activation_of_the_layer(decomposed: Path) -> None:
    content = read_content(Results(decomposed))
    found = layer_conditions(content.spectra, small_network(), [0, 2])
    stored = {(row["sample"], row["stage"]): row["condition_number"] for row in spectra_rows(decomposed)}
    expected = {
        layer: {i: stored[i, 2 * layer + 1] for i in range(4) if np.isfinite(stored[i, 2 * layer + 1])}
        for layer in (0, 2)
    }
    assert found == {layer: values for layer, values in expected.items() if values}
    assert 0 in found, "otherwise there is nothing to compare"


def decoded(image: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB"), dtype=np.float64)


@pytest.mark.parametrize("shape", [(9, 7), (3, 8, 8), (1, 5, 12), (784,)])
def test_every_thumbnail_lies_in_its_place(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.random(300), int(np.prod(shape))).reshape(300, *shape)  # one shade each: WebP keeps it
    layout = picture_format(x)
    assert layout is not None
    sheets = picture_sheets(x, layout, 10_000_000)
    assert (sheets.width, sheets.height, sheets.shown, len(sheets.images)) == (layout.width, layout.height, 300, 2)
    for sample in (0, 1, 15, 16, 255, 256, 299):
        sheet, place = decoded(sheets.images[sample // PER_SHEET]), sample % PER_SHEET
        row, column = divmod(place, COLUMNS)
        middle = sheet[row * sheets.height + sheets.height // 2, column * sheets.width + sheets.width // 2]
        shade = 255 * (x[sample].flat[0] - x.min()) / (x.max() - x.min())
        np.testing.assert_allclose(middle, shade, atol=25)


def test_sheets_stop_where_there_is_no_more_room() -> None:
    x = np.random.default_rng(0).random((600, 8, 8))
    layout = picture_format(x)
    assert layout is not None
    full = picture_sheets(x, layout, 10_000_000)
    room = len(full.images[0]) + len(full.images[1])
    assert picture_sheets(x, layout, room).shown == 2 * PER_SHEET
    assert picture_sheets(x, layout, room - 1).shown == PER_SHEET
    assert picture_sheets(x, layout, 0).shown == 0
    assert picture_sheets(x, layout, room).images == full.images[:2], "the same bytes each time"


def test_large_pictures_become_small_thumbnails() -> None:
    x = np.zeros((1, 3, 300, 200))
    layout = picture_format(x)
    assert layout is not None
    sheets = picture_sheets(x, layout, 10_000_000)
    assert (sheets.height, sheets.width) == (60, 40)


def test_samples_with_examples_are_chosen_first_and_extremes_of_the_smallest_domain_next(content: Content) -> None:
    summaries = summarise(content.manifest, content.findings)
    chosen = choose_samples(
        content.findings, summaries, examples={7}, surveyed={7, 8}, conditions={0: {1: 2.0, 2: 9.0, 3: 4.0}}
    )
    why = {each.sample: each.why for each in chosen}
    assert list(why) == sorted(why)
    assert why[7][0] == "has invariance examples"
    assert "was searched for how far invariance reaches" in why[8]
    assert "is worst conditioned up to layer 0 dense0" in why[2]
    box = content.findings.at(0, "box [0,1]")
    for words, extreme in (("least", box.dimension.min()), ("most", box.dimension.max())):
        (sample,) = [i for i in why if f"leaves {words} of the input of layer 0 dense0 open" in why[i]]
        assert box.dimension[box.sample == sample] == extreme


def test_no_more_samples_are_chosen_than_the_page_can_hold(content: Content) -> None:
    summaries = summarise(content.manifest, content.findings)
    chosen = choose_samples(
        content.findings, summaries, examples=set(range(20, 70)), surveyed=set(), conditions={0: {9: 1.0}}
    )
    assert [each.sample for each in chosen] == list(range(20, 20 + MOST))
