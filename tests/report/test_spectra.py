"""Figures 4 and 5, and the table on the terminal, against the stored singular values."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from fiberscope.audits.shards import SPECTRA_SCHEMA
from fiberscope.audits.store import Results
from fiberscope.cli import main
from fiberscope.report.counting import number
from fiberscope.report.html import read_content, render
from fiberscope.report.spectra import left_out_lines, spectra_table
from fiberscope.report.spectra_figures import over_the_stages
from fiberscope.stability.stage_medians import stage_medians
from small_audits import SIZES, small_network, spectra_rows

SAMPLES = 4
STAGES = len(small_network().stages)
HOSTILE = "<script>alert('x')</script>\"'{{ 7*7 }}</title>"


def figures(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture(scope="module")
def page(decomposed: Path) -> str:
    return (decomposed / "report.html").read_text(encoding="utf-8")


def by_stage(folder: Path) -> list[list[dict[str, Any]]]:
    rows = spectra_rows(folder)
    return [[row for row in rows if row["stage"] == stage] for stage in range(STAGES)]


def table(*rows: dict[str, Any]) -> pa.Table:
    """A table of which only the numbers that matter are given."""
    usual = {"sample": 0, "stage": 0, "name": "a", "outputs": 3, "method": "svd", "reason": ""}
    return pa.Table.from_pylist([usual | row for row in rows], schema=SPECTRA_SCHEMA)


def row(sample: int, values: list[float], rank: int, **others: Any) -> dict[str, Any]:
    smallest = values[rank - 1] if rank else float("nan")
    derived = {
        "rank": rank,
        "largest": values[0],
        "smallest_nonzero": smallest,
        "condition_number": values[0] / smallest,
    }
    return {"sample": sample, "values": values, "error_bound": [1e-9] * len(values), **derived, **others}


def test_figure_4_shows_medians_over_the_samples(page: str, decomposed: Path) -> None:
    outputs, nonzero, condition = figures(page)["stability"]["all"]["data"]
    groups = by_stage(decomposed)
    assert all(len(group) == SAMPLES for group in groups)
    assert outputs["y"] == [stage.outputs for stage in small_network().stages]
    assert nonzero["y"] == [np.median([each["rank"] for each in group]) for group in groups]
    expected = [np.nanmedian([each["condition_number"] for each in group]) for group in groups]
    assert condition["y"] == pytest.approx(expected)
    assert outputs["x"] == nonzero["x"] == condition["x"] == list(range(STAGES))
    layout = figures(page)["stability"]["all"]["layout"]
    axes = [layout[curve["yaxis"].replace("y", "yaxis")] for curve in (outputs, nonzero, condition)]
    assert [axis["title"]["text"] for axis in axes] == ["output units", "nonzero values", "condition number"]
    assert layout["yaxis"]["type"] == "log"
    assert layout["xaxis"]["ticktext"][:2] == ["0 dense0", "1 relu0"]


def test_figure_5_shows_medians_index_by_index_down_to_the_error_bound(page: str, decomposed: Path) -> None:
    curves = figures(page)["decay"]["all"]["data"]
    assert [curve["name"] for curve in curves] == [f"{i} {s.name}" for i, s in enumerate(small_network().stages)]
    cut = 0
    for curve, group in zip(curves, by_stage(decomposed), strict=True):
        medians = np.median([each["values"] for each in group], axis=0)
        bounds = np.median([each["error_bound"] for each in group], axis=0)
        assert curve["y"] == pytest.approx(medians[medians > bounds], rel=1e-5)
        assert curve["x"] == list(range(1, len(curve["y"]) + 1))
        cut += int((medians <= bounds).sum())
    assert cut > 0, "otherwise nothing is cut off here"
    assert figures(page)["decay"]["all"]["layout"]["yaxis"]["type"] == "log"
    assert [curve["line"]["dash"] for curve in curves] == ["dot", "solid"] * (STAGES // 2)


def test_medians_are_taken_index_by_index_and_not_of_what_is_nonzero_alone() -> None:
    (stage,) = stage_medians(table(row(0, [4.0, 2.0, 0.0], 2), row(1, [8.0, 1.0, 0.5], 3), row(2, [2.0, 0.0, 0.0], 1)))
    assert stage.values.tolist() == [4.0, 1.0, 0.0]
    assert stage.resolved.tolist() == [4.0, 1.0]
    assert (stage.rank, stage.condition_number, stage.samples, stage.left_out) == (2.0, 2.0, 3, 0)
    assert (stage.largest, stage.smallest_nonzero) == (4.0, 2.0)


def test_medians_of_what_spectra_gives_are_those_of_an_audit(decomposed: Path) -> None:
    stored = Results(decomposed).spectra_table(Results(decomposed).manifest())
    of_audit = stage_medians(stored)
    assert len(of_audit) == STAGES
    for one, other in zip(of_audit, stage_medians(stored.drop_columns(["reason"])), strict=True):
        np.testing.assert_equal(asdict(one), asdict(other))


def test_samples_at_which_a_stage_is_constant_have_no_condition_number() -> None:
    zeros = row(1, [0.0, 0.0], 0)
    (stage,) = stage_medians(table(row(0, [6.0, 2.0], 2), zeros))
    assert (stage.condition_number, stage.rank) == (3.0, 1.0)
    (constant,) = stage_medians(table(zeros))
    assert np.isnan(constant.condition_number)
    assert number(constant.condition_number) == "-"


def test_stages_that_were_left_out_are_listed_and_not_drawn() -> None:
    left_out = {"stage": 1, "name": "large", "sample": 0, "reason": "too large"}
    stages = stage_medians(table(row(0, [2.0], 1), left_out, left_out | {"sample": 1}, row(1, [4.0], 1)))
    assert [(stage.stage, stage.samples, stage.left_out, stage.reason) for stage in stages] == [
        (0, 2, 0, ""),
        (1, 0, 2, "too large"),
    ]
    assert left_out_lines(stages) == ["stage 1 large: singular values left out at 2 samples: too large"]
    (one,) = stage_medians(table(left_out))
    assert left_out_lines([one]) == ["stage 1 large: singular values left out at 1 sample: too large"]
    assert len(stages[1].values) == 0


def test_the_sections_appear_with_their_captions(page: str) -> None:
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == ["summary", "layers", "stability", "decay", "gallery", "sample", "reading", "subject", "proofs"]
    assert page.count(f"Medians over the first {SAMPLES} samples") == 2
    assert f"The network has {SIZES[0]} inputs" in page


def test_they_are_hidden_where_there_are_none(audited: Path) -> None:
    page = (audited / "report.html").read_text(encoding="utf-8")
    assert set(figures(page)) == {"positives", "margins"}
    assert 'id="stability"' not in page
    assert 'id="decay"' not in page


def test_names_and_reasons_are_escaped(decomposed: Path) -> None:
    content = read_content(Results(decomposed))
    left_out = {"sample": 9, "name": "", "outputs": 1, "method": "", "reason": HOSTILE}
    rows = content.spectra.to_pylist() + [left_out | {"stage": stage} for stage in range(STAGES)]
    hostile = pa.Table.from_pylist([row | {"name": HOSTILE} for row in rows], schema=SPECTRA_SCHEMA)
    page = render(replace(content, spectra=hostile))
    assert page.count("<script") == render(content).count("<script")
    assert page.count("&lt;script&gt;") > STAGES
    drawn = figures(page)
    labels = [curve["name"] for curve in drawn["decay"]["all"]["data"]]
    labels += [label for curve in drawn["stability"]["all"]["data"] for label in curve["text"]]
    labels += drawn["stability"]["all"]["layout"]["xaxis"]["ticktext"]
    assert len(labels) == 5 * STAGES
    assert all("alert" in label and "<" not in label for label in labels), "plotly.js reads some tags in labels"


def test_many_stages_are_numbered_alone(decomposed: Path) -> None:
    results = Results(decomposed)
    stages = stage_medians(results.spectra_table(results.manifest())) * 5
    assert "ticktext" not in over_the_stages(stages, results.subject().network)["layout"]["xaxis"]


def test_the_terminal_shows_the_medians_in_80_columns(decomposed: Path) -> None:
    results = Results(decomposed)
    console = Console(width=80, record=True)
    console.print(spectra_table(stage_medians(results.spectra_table(results.manifest()))))
    lines = [line.split() for line in console.export_text().splitlines()]
    for stage, group in zip(small_network().stages, by_stage(decomposed), strict=True):
        (line,) = [line for line in lines if line[1:2] == [stage.name]]
        rank = np.median([each["rank"] for each in group])
        condition = np.nanmedian([each["condition_number"] for each in group])
        distance, radius = (
            np.median([each[name] for each in group]) for name in ("region_distance", "stability_radius")
        )
        assert line[2:] == [str(stage.outputs), f"{rank:g}", *(f"{each:.3g}" for each in (condition, distance, radius))]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "-"),
        (45.0, "45"),
        (44.5, "44.5"),
        (98304.0, "98,300"),
        (3.031e7, "30,300,000"),
        (3.031e9, "3.03e+09"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_the_report_is_the_same_when_it_is_written_again(decomposed: Path, page: str) -> None:
    assert main(["report", str(decomposed)]) == 0
    assert (decomposed / "report.html").read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("values", "powers"),
    [
        ([1.5, 7.0], [0, 1]),
        ([9.9661, 2.51e5], [0, 2, 4, 6]),
        ([float("nan"), 100.0], [2, 3]),
        ([float("nan")], [0, 1]),
        ([1.7e-7, 24.0], [-7, -5, -3, -1, 1]),
    ],
)
def test_logarithmic_axes_hold_all_values_and_are_labelled_at_powers_of_ten(
    values: list[float], powers: list[int]
) -> None:
    stages = [replace(stage_medians(table(row(0, [1.0], 1)))[0], condition_number=value) for value in values]
    axis = over_the_stages(stages, small_network())["layout"]["yaxis"]
    low, high = axis["range"]
    assert all(low < np.log10(value) < high for value in values if not np.isnan(value))
    shown = [power for power in range(axis["tick0"], 20, axis["dtick"]) if low < power < high]
    assert (axis["type"], shown) == ("log", powers)
