"""How far invariance reaches, as the report and the terminal tell it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from fiberscope.audits.shards import SURVEY_SCHEMA
from fiberscope.audits.store import Results
from fiberscope.cli import main
from fiberscope.report.html import read_content, render
from fiberscope.report.survey import reach_against_eps, reach_by_layer, summarise_survey, survey_table
from small_audits import write_model_and_data

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(name="surveyed", scope="module")
def _surveyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surveyed")
    options = ["--domain", "0,1", "--layers", "0,2", "--invariance", "3", "--workers", "1"]
    assert main(["audit", *write_model_and_data(folder, 8), "--out", str(folder / "out"), *options]) == 0
    return folder / "out"


def row(layer: int, sample: int, target_class: int | None, reached: float, **more) -> dict:
    return {
        "layer": layer, "name": f"dense{layer}", "sample": sample, "class": 0, "eps": 0.0, "positives": 3 + sample,
        "dimension": 10 - sample, "target": 5, "target_class": target_class, "reached": reached,
        "bound": 2.0 * reached, "width": 2.0, "reason": "",
    } | more  # fmt: skip


def table(*rows: dict):
    return pa.Table.from_pylist(list(rows), schema=SURVEY_SCHEMA)


def test_samples_pairs_and_classes_are_counted() -> None:
    left_out = {"layer": 1, "name": "dense1", "sample": 0, "reason": "it is smooth"}
    first, second = summarise_survey(
        table(row(0, 0, 1, 0.6), row(0, 0, 2, 0.2), row(0, 1, 1, 0.9), row(0, 1, 2, 0.7), left_out)
    )
    assert (first.samples, first.left_out, first.positives, first.dimension) == (2, 0, 3.5, 9.5)
    assert first.past_half == 0.75
    assert first.median_reached == pytest.approx(0.65)
    assert first.classes == 1.5
    assert (second.samples, second.left_out, second.reason) == (0, 1, "it is smooth")
    assert np.isnan(second.past_half)


def test_without_classes_none_are_counted() -> None:
    (summary,) = summarise_survey(table(row(0, 0, None, 0.6)))
    assert np.isnan(summary.classes)
    assert summary.past_half == 1


def test_the_page_has_the_table_the_figure_and_the_examples(surveyed: Path) -> None:
    page = (surveyed / "report.html").read_text(encoding="utf-8")
    assert 'id="reach"' in page
    assert 'id="examples"' not in page, "six numbers are no picture"
    summaries = summarise_survey(Results(surveyed).survey_table(Results(surveyed).manifest()))
    text = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    boxes = json.loads(text.group(1))["reach"]["all"]["data"]
    assert [box["name"] for box in boxes] == ["0", "2"]
    for box, summary in zip(boxes, summaries, strict=True):
        np.testing.assert_allclose(box["y"], summary.reached, rtol=1e-3)
        assert f"<td>{summary.label}</td>" in page


def test_classes_are_spoken_of_only_where_targets_are_of_other_classes(surveyed: Path) -> None:
    content = read_content(Results(surveyed))
    page = render(content)
    assert "From the first 3 samples towards samples of other classes, within" in page
    assert "along the ways to samples of other classes" in page
    unlabelled = [row | {"class": None, "target_class": None} for row in content.survey.to_pylist()]
    page = render(replace(content, survey=table(*unlabelled)))
    assert "From the first 3 samples towards other samples, within" in page
    assert "along the ways to other samples" in page
    assert not re.search("other class|another class|classes<br>|<br>classes", page)


def test_examples_are_not_said_to_be_proved_where_none_are_shown(surveyed: Path) -> None:
    assert "None of this is proved.</p>" in (surveyed / "report.html").read_text(encoding="utf-8")


def test_one_sample_is_in_the_singular(surveyed: Path) -> None:
    content = read_content(Results(surveyed))
    left_out = {"layer": 2, "sample": 3, "name": "dense2", "reason": "it is smooth"}
    page = render(replace(content, survey=table(row(0, 0, 1, 0.6), left_out)))
    assert "From the first 1 sample towards" in page
    assert "left out at 1 sample: it is smooth" in page


def test_names_and_reasons_are_escaped(surveyed: Path) -> None:
    content = read_content(Results(surveyed))
    left_out = {"layer": 2, "sample": 3, "reason": HOSTILE}
    rows = [row | {"name": HOSTILE} for row in [*content.survey.to_pylist(), left_out]]
    page = render(replace(content, survey=table(*rows)))
    assert page.count("<script") == render(content).count("<script")
    assert page.count("&lt;script&gt;") > 2


def test_infinite_reach_is_counted_but_not_drawn() -> None:
    (summary,) = summarise_survey(table(row(0, 0, 1, float("inf")), row(0, 0, 2, 0.5)))
    assert summary.past_half == 0.5
    assert reach_by_layer([summary])["data"][0]["y"] == [0.5]


def test_the_curve_has_a_line_per_layer_with_the_medians_of_every_eps(surveyed: Path) -> None:
    summaries = summarise_survey(Results(surveyed).survey_table(Results(surveyed).manifest()))
    lines = reach_against_eps(summaries)["data"]
    assert [line["name"] for line in lines] == ["0", "2"]
    rows = Results(surveyed).survey_table(Results(surveyed).manifest()).to_pylist()
    everywhere = {(each["sample"], each["target"]) for each in rows if each["eps"] == 0.1}
    rows = [each for each in rows if (each["sample"], each["target"]) in everywhere]
    for line, layer in zip(lines, (0, 2), strict=True):
        assert line["x"] == ["0", "1e-4", "1e-3", "0.01", "0.1"]
        medians = [
            np.median([each["reached"] for each in rows if (each["layer"], each["eps"]) == (layer, eps)])
            for eps in (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
        ]
        np.testing.assert_allclose(line["y"], medians, rtol=1e-3)
        assert line["y"] == sorted(line["y"])
        assert line["y"][-1] > line["y"][0]
    page = (surveyed / "report.html").read_text(encoding="utf-8")
    assert 'data-figure="curve"' in page
    assert '<th class="number">1e-4</th>' in page


def test_the_terminal_shows_it_in_80_columns() -> None:
    console = Console(width=80, record=True)
    loose = row(0, 0, 1, 0.5, eps=0.01), row(0, 0, 1, 0.9, eps=0.1)
    console.print(survey_table(summarise_survey(table(row(0, 0, 1, 0.6), row(0, 0, 2, 0.2), *loose))))
    text = console.export_text()
    assert " ".join(text.split()).startswith("How far inputs with the same features reach, from 1 sample median")
    (line,) = [line.split() for line in text.splitlines() if "dense0" in line]
    assert line == ["0", "dense0", "10", "0.4", "0.8", "0.5", "50.0", "%", "1"]
