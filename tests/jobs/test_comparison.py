"""Comparing audits from Python and with a page: more than two, and what the plots draw."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.cli import main
from fiberscope.report.comparison import HEIGHT, condition_figure, render_comparison
from small_audits import small_data, small_network

NAME = "<b>&amp;.safetensors"


@pytest.fixture(name="audits", scope="module")
def _audits(tmp_path_factory: pytest.TempPathFactory) -> list[fs.AuditResults]:
    folder = tmp_path_factory.mktemp("audits")
    np.save(folder / "x.npy", small_data(6))
    found: list[fs.AuditResults] = []
    for seed in range(3):
        model = folder / f"{seed}{NAME}"
        small_network(seed).save(model)
        options: dict[str, Any] = {"domain": (0, 1), "spectra": 2, "layers": [0, 2], "progress": False}
        found.append(fs.audit(model, folder / "x.npy", folder / f"out{seed}", **options))
    return found


@pytest.fixture(name="compared", scope="module")
def _compared(audits: list[fs.AuditResults]) -> fs.Comparison:
    return audits[0].compare(*audits[1:])


def test_each_audit_is_compared_with_the_first(audits: list[fs.AuditResults], compared: fs.Comparison) -> None:
    kinds = [
        {(row["layer"], row["domain"], row["sample"]): row["kind"] for row in a.findings.to_pylist()} for a in audits
    ]
    assert len(compared.changes) == 2
    for after, changes in zip(kinds[1:], compared.changes, strict=True):
        for layer in changes.layers:
            place = (layer.place.layer, layer.place.domain_name)
            changed = [s for s in range(6) if kinds[0][*place, s] != after[*place, s]]
            assert list(layer.changed) == changed
    alone = fs.compare(audits[0].folder, str(audits[2].folder))
    assert alone.data() == compared.data()["comparisons"][1]
    assert compared.data()["format"] == "fiberscope comparisons 1"


def test_the_page_draws_what_was_found(compared: fs.Comparison) -> None:
    figure = condition_figure(compared.changes, ["a", "b", "c"])
    assert figure is not None
    assert [curve.audit for curve in figure.curves] == ["a", "b", "c"]
    stages = {stage.place.stage: stage for stage in compared.changes[1].stages}
    (low, bottom), (high, top) = (
        (figure.powers[0][1], figure.powers[0][0]),
        (figure.powers[-1][1], figure.powers[-1][0]),
    )
    for i, (number, _) in enumerate(sorted(stages.items())):
        medians = stages[number].medians
        assert medians is not None
        for curve, value in ((figure.curves[0], medians[0]), (figure.curves[2], medians[1])):
            share = (np.log10(value) - low) / (high - low)
            assert curve.points[i][1] == pytest.approx(bottom + share * (top - bottom))
    assert abs(bottom - top) <= HEIGHT


class Text(HTMLParser):
    """Collects texts, tags, and how far bars grow."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags, self.grown = "", list[str](), list[int]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        style = dict(attrs).get("style") or ""
        if tag == "i":
            self.grown.append(int(style.removeprefix("flex-grow: ")))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else_and_escapes_names(compared: fs.Comparison) -> None:
    page = render_comparison(compared.changes)
    assert f"0{NAME}" not in page
    assert "http" not in page.replace("http-equiv", "")
    read = Text()
    read.feed(page)
    for seed in range(3):
        assert f"{seed + 1}: {seed}{NAME}" in read.text
    assert read.tags.count("polyline") == 3
    assert not {"script", "b", "link"} & set(read.tags)
    bars = 3 * len(compared.changes[0].layers)
    assert sum(read.grown) == 6 * bars, "every bar has all samples"


def test_the_command_takes_several_and_writes_a_page(
    audits: list[fs.AuditResults], compared: fs.Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(each.folder) for each in audits]
    assert main(["compare", *folders, "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text() == render_comparison(compared.changes)
    printed = capsys.readouterr().out
    assert printed.count("before: ") == 2
    assert main(["compare", *folders, "--out", str(tmp_path / "some.json")]) == 0
    assert json.loads((tmp_path / "some.json").read_text()) == json.loads(json.dumps(compared.data()))
    capsys.readouterr()
    assert main(["compare", *folders, "--fail-on", "less-invertible<100%@layer0"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("threshold failed")]
    assert lines == [f"threshold failed: {each}" for each in compared.violations("less-invertible<100%@layer0")]
    assert any(folders[1] in line for line in lines)
    assert any(folders[2] in line for line in lines)


def test_a_comparison_shows_itself(compared: fs.Comparison, tmp_path: Path) -> None:
    assert repr(compared).startswith("Comparison(3 audits, 6 samples: 0<b>")
    assert len(repr(compared)) <= 120
    card = compared._repr_html_()
    assert NAME not in card
    assert any(line.startswith("before: ") for line in compared.lines())
    page = compared.report(tmp_path / "page.html")
    assert page.path.read_text() == render_comparison(compared.changes)
    assert compared.report().path.exists()


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_compared(audits: list[fs.AuditResults], compared: fs.Comparison, tmp_path: Path) -> None:
    with pytest.raises(fs.InputError, match="at least two audits, got one"):
        fs.compare(audits[0])
    with pytest.raises(fs.InputError, match="or their folder, got 3"):
        fs.compare(audits[0], 3)  # type: ignore[arg-type]
    with pytest.raises(fs.ResultsError, match="holds no audit"):
        fs.compare(audits[0], tmp_path)
    with pytest.raises(fs.InputError, match="ends in"):
        compared.report(tmp_path / "page.txt")
    other = fs.audit(small_network(), small_data(6, seed=9), layers=[0], progress=False)
    with pytest.raises(fs.ResultsError, match="different data"):
        audits[0].compare(other)
