from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fiberscope.audits.manifest import Manifest
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.cli import main
from fiberscope.preimages.kind import Kind
from fiberscope.report.html import read_content, render
from small_audits import rows

HOSTILE = "<script>alert('x')</script>\"'{{ 7*7 }}</title>"


class Page(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts[-1] += data
        elif self._open != "style":
            self.text += data

    def data(self, name: str) -> dict:
        scripts = [attributes for tag, attributes in self.elements if tag == "script"]
        return json.loads(self.scripts[scripts.index({"type": "application/json", "id": name})])

    def figures(self) -> dict[str, dict[str, dict]]:
        return self.data("figures")


@pytest.fixture(scope="session")
def page(audited: Path) -> Page:
    return Page((audited / "report.html").read_text(encoding="utf-8"))


def rendered(audited: Path, subject: Subject | None = None, **changes: object) -> Page:
    content = read_content(Results(audited))
    manifest = replace(content.manifest, **changes)
    return Page(render(replace(content, manifest=manifest, subject=subject or content.subject)))


def test_the_page_needs_nothing_from_elsewhere(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"@import|url\(", (page.text))


def test_plotly_is_there_once(page: Page) -> None:
    assert sum("plotly.js v" in script for script in page.scripts) == 1


def test_sections_have_headings_and_say_how_to_read_them(page: Page) -> None:
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections == ["summary", "layers", "gallery", "sample", "reading", "subject", "proofs"]
    assert page.text.count("How to read this") == 6, "two figures, the samples, one sample, the subject, the proofs"
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a" and "href" in attributes}
    assert {f"#{section}" for section in sections} <= links


def test_what_is_chosen_has_a_name_for_readers_who_do_not_see_it(page: Page) -> None:
    """Every control lies in a label or has text, every figure says what it shows."""
    for tag, attributes in page.elements:
        if "data-figure" in attributes:
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        assert tag != "img" or "alt" in attributes
    assert [a["aria-live"] for t, a in page.elements if a.get("id") == "count"] == ["polite"]


def test_light_and_dark(page: Page, audited: Path) -> None:
    assert "prefers-color-scheme: dark" in (audited / "report.html").read_text(encoding="utf-8")
    assert {"name": "color-scheme", "content": "light dark"} in [a for t, a in page.elements if t == "meta"]


def test_the_bars_count_the_rows(page: Page, audited: Path) -> None:
    titles = [a["title"] for t, a in page.elements if t == "i"]
    groups = sorted({row[1:3] for row in rows(audited)}, key=lambda group: (group[0], group[1] != "R^n"))
    found = [[row[4] for row in rows(audited) if row[1:3] == group] for group in groups]
    kinds = ("singleton", "bounded", "unbounded")
    assert titles == [f"{kind}: {group.count(kind)} of 10" for group in found for kind in kinds if group.count(kind)]


def test_figure_3_counts_every_sample_at_its_number_of_positives(page: Page, audited: Path) -> None:
    figures = page.figures()["positives"]
    assert list(figures) == ["0 R^n", "0 box [0,1]", "1 R^n", "1 x >= 0", "2 R^n", "2 x >= 0"]
    for key, figure in figures.items():
        layer, domain = key.split(" ", 1)
        for trace in figure["data"]:
            for positives, count in zip(trace["x"], trace["y"], strict=True):
                group = [r for r in rows(audited) if r[1:3] == (int(layer), domain) and r[4] == trace["name"]]
                assert count == sum(row[3] == positives for row in group), "bins of width 1 for so few neurons"
    assert figures["0 R^n"]["layout"]["annotations"][0]["text"] == "n = 6 inputs"


def test_margins_that_are_positive_are_all_drawn(page: Page, audited: Path) -> None:
    for key, figure in page.figures()["margins"].items():
        layer, domain = key.split(" ", 1)
        drawn = sum(sum(trace["y"]) for trace in figure["data"])
        assert drawn == sum(row[1:3] == (int(layer), domain) and row[6] > 0 for row in rows(audited))


@pytest.mark.parametrize("field", ["model", "data", "data_description", "training", "fiberscope"])
def test_text_from_outside_is_escaped(field: str, audited: Path) -> None:
    scripts = len(rendered(audited).scripts)
    page = rendered(audited, **{field: HOSTILE})
    assert HOSTILE in page.text
    assert len(page.scripts) == scripts


def test_names_of_layers_and_notes_are_escaped(audited: Path) -> None:
    manifest = Results(audited).manifest()
    hostile = tuple(replace(layer, name=HOSTILE) for layer in manifest.network_layers)
    page = rendered(audited, network_layers=hostile, notes=(HOSTILE,))
    assert len(page.scripts) == len(rendered(audited).scripts)
    assert HOSTILE in page.data("columns")["groups"][0]["name"]


def test_inputs_that_are_no_pictures_are_said_to_be_none(page: Page) -> None:
    assert "is not that of a picture" in page.text
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert page.data("sheets") == []
    assert "tiles" not in page.data("columns")


def test_inputs_that_are_pictures_are_shown(audited: Path) -> None:
    subject = Results(audited).subject()
    pictures = replace(subject, x=np.asarray(subject.x).reshape(-1, 2, 3))
    page = rendered(audited, pictures)
    assert len(page.data("sheets")) == 1
    assert page.data("columns")["tiles"] == {"width": 3, "height": 2, "shown": 10, "columns": 16, "each": 256}
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert sources, "the chosen samples and their directions"
    assert all(source is not None and source.startswith("data:image/png;base64,") for source in sources)


def test_pictures_that_would_make_the_page_too_large_are_left_out_and_said_to_be(
    audited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fiberscope.report.html.LARGEST_PAGE", 1_000)
    subject = Results(audited).subject()
    page = rendered(audited, replace(subject, x=np.asarray(subject.x).reshape(-1, 2, 3)))
    assert page.data("sheets") == []
    assert "No pictures are shown: more would make this file larger than 15 MB." in page.text


def test_the_first_lines_say_what_share_is_proved(audited: Path, page: Page) -> None:
    assert "every verdict is proved" in page.text
    content = read_content(Results(audited))
    undecided = np.where(content.findings.sample == 3, Kind.UNDECIDED, content.findings.kind).astype(object)
    findings = replace(content.findings, kind=undecided)
    assert "90.0 % of the verdicts are proved" in Page(render(replace(content, findings=findings))).text


def test_an_audit_that_is_not_complete_says_so(audited: Path, page: Page) -> None:
    words = "This audit is not complete."
    assert words in rendered(audited, status="running").text
    assert words not in page.text


def test_how_far_an_audit_that_is_not_complete_has_come_is_in_the_first_lines(audited: Path) -> None:
    content = read_content(Results(audited))
    manifest, findings = replace(content.manifest, status="running"), content.findings
    some = replace(content, manifest=manifest, findings=findings.where(findings.layer == 0))
    text = Page(render(some)).text
    assert "20 of 60 verdicts reached so far, 100 % of them proved." in text
    assert "every verdict is proved" not in text.lower()
    assert "at the samples that were reached so far" in text


def test_the_box_is_said_to_be_judged_in_only_where_a_layer_is(audited: Path, page: Page) -> None:
    assert "layers that receive the input are judged within it and without it" in page.text
    content = read_content(Results(audited))
    later = replace(content.manifest, layers=(1, 2))
    findings = content.findings.where(content.findings.layer > 0)
    text = Page(render(replace(content, manifest=later, findings=findings))).text
    assert "no audited layer receives the input, so that no verdict depends on it" in text
    assert "judged within it" not in text


def test_margins_are_not_said_to_be_distances_to_other_weights(page: Page) -> None:
    """They belong to certificates, of which another for the same verdict can have another margin."""
    assert page.text.lower().count("another proof of the same verdict can have another margin") == 2
    assert page.text.count("it does not say by how much the weights may change") == 2
    assert "robust." not in page.text


def test_the_report_is_written_again_from_the_results(audited: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(audited, tmp_path / "out"))
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").read_bytes() == before


def test_a_manifest_survives_being_written_and_read(audited: Path) -> None:
    manifest = Results(audited).manifest()
    assert Manifest.from_json(manifest.to_json(), "") == replace(manifest, shards={}), "these are read from the ledger"
