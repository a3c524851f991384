"""``audit --seconds``: what is past the budget is undecided, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fiberscope.cli import main
from small_audits import rows


def test_a_budget_that_is_spent_leaves_the_rest_undecided(again: list[str], finished: Path, tmp_path: Path) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), "--seconds", "1e-9"]) == 0
    assert json.loads((tmp_path / "out/manifest.json").read_text())["seconds"] == 1e-9
    found, known = rows(tmp_path / "out"), rows(finished / "out")
    assert [row[:4] for row in found] == [row[:4] for row in known]
    left = [row for row in found if row[4] == "undecided"]
    assert left
    assert all("budget" in row[-1] for row in left)
    kinds = dict(zip([row[:3] for row in known], [row[4] for row in known], strict=True))
    assert all(row[4] == kinds[row[:3]] for row in found if row[4] != "undecided")


def test_a_budget_that_suffices_changes_nothing(again: list[str], finished: Path, tmp_path: Path) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), "--seconds", "100"]) == 0
    assert rows(tmp_path / "out") == rows(finished / "out")


def test_an_audit_goes_on_with_another_budget(again: list[str], tmp_path: Path) -> None:
    options = ["--out", str(tmp_path / "out")]
    assert main([*again, *options, "--seconds", "1e-9"]) == 0
    before = rows(tmp_path / "out")
    assert main([*again, *options, "--seconds", "100", "--resume"]) == 0
    assert rows(tmp_path / "out") == before, "what is there stays as it is"
    assert json.loads((tmp_path / "out/manifest.json").read_text())["seconds"] == 100.0


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_budget_is_a_positive_number(
    seconds: str, again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), "--seconds", seconds]) == 2
    assert "--seconds: expected a positive number of seconds" in capsys.readouterr().err
    assert not (tmp_path / "out/manifest.json").exists()
