"""Conditions that are removed are missed: the script that removes them runs, on some, and on all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "mutate_conditions.py"


def killed(*options: str, seconds: float = 100) -> str:
    run = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, timeout=seconds)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("condition", "options"),
    [
        ("away.nonzero: -> ", []),
        ("_admitted(fact, cone) & fact.spans -> _admitted", []),
        ("injectivity: if value < 0 or (not covers and value == 0): not value", ["--above"]),
        ("feature_domain: ", ["--above"]),
    ],
)
def test_a_condition_that_is_missing_is_missed(condition: str, options: list[str]) -> None:
    said = killed(*options, "--only", condition)
    assert "LIVES" not in said
    assert "{'killed': " in said


@pytest.mark.exhaustive
def test_each_condition_is_missed() -> None:
    said = killed(seconds=3600)
    assert "LIVES" not in said
    assert said.count("killed by") >= 150
