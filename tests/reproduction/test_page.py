"""The page of the reproduction: written from results, and the one in the documents is current."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fiberscope.cli import main
from fiberscope.errors import ResultsError
from fiberscope_paper.page import PAGE, write_page
from fiberscope_paper.registry import EXPERIMENTS

ROOT = Path(__file__).parents[2]
FRESH = ROOT / "build" / "reproduction"
"""Where ``make reproduce`` puts its results."""


def test_the_page_is_written_from_the_results(tmp_path: Path):
    for name in ("table1", "figure1"):
        assert main(["reproduce", name, "--out", str(tmp_path)]) == 0
    assert main(["reproduce", "page", "--out", str(tmp_path)]) == 0
    page = (tmp_path / PAGE).read_text()
    assert page.index("## Figure 1") < page.index("## Table 1")
    assert "| the input has 3 feature maps | it has 1 | no |" in page
    assert "![" in page
    changed = json.loads((tmp_path / "table1.json").read_text())
    changed["claims"][0]["measured"] = "something | else"
    (tmp_path / "table1.json").write_text(json.dumps(changed))
    assert "something \\| else" in write_page(tmp_path).read_text()
    (tmp_path / "table1.json").write_text(json.dumps({"name": "table1"}))
    with pytest.raises(ResultsError, match="reproduce table1 again"):
        write_page(tmp_path)


def test_runs_in_subfolders_stand_beside_each_other(tmp_path: Path):
    for folder in ("a", "b/c"):
        assert main(["reproduce", "figure1", "--out", str(tmp_path / folder)]) == 0
    page = write_page(tmp_path).read_text()
    assert page.count("## Figure 1:") == 1
    assert page.count("\n| Figure 1 |") == 2
    assert page.index("](a/figure1.png)") < page.index("](b/c/figure1.png)")


def test_the_page_of_the_documents_is_what_its_results_give(tmp_path: Path):
    shutil.copytree(ROOT / "docs" / "reproduction", tmp_path / "reproduction")
    assert write_page(tmp_path).read_text() == (ROOT / "docs" / PAGE).read_text(), (
        "fiberscope reproduce page --out docs"
    )


def test_the_documents_hold_every_experiment_with_the_statements_of_today():
    if not FRESH.is_dir():
        pytest.skip(f"no results in {FRESH.relative_to(ROOT)}: make reproduce has not run here")
    for experiment in EXPERIMENTS:
        now, then = (
            json.loads((folder / f"{experiment.name}.json").read_text())
            for folder in (FRESH, ROOT / "docs" / "reproduction" / "quick")
        )
        assert [claim["paper"] for claim in now["claims"]] == [claim["paper"] for claim in then["claims"]]
        assert (now["command"], now["title"], now["samples"]) == (then["command"], then["title"], then["samples"])
        assert now["unproved"] == then["unproved"] == 0
