"""The reproduction is a package of its own: fiberscope does without it, and the two go together by version."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

import fiberscope as fs
import fiberscope_paper
from fiberscope.cli import main

ROOT = Path(__file__).parent.parent.parent
DOOR = ROOT / "src" / "fiberscope" / "commands" / "reproduce.py"


def test_its_version_and_the_one_that_it_needs_are_those_of_fiberscope():
    project = tomllib.loads((ROOT / "reproduction" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == [f"fiberscope[demo]=={fs.__version__}"]
    assert fiberscope_paper.__version__ == fs.__version__


def test_fiberscope_imports_it_in_one_place():
    importing = re.compile(r"^\s*(?:from|import)\s+fiberscope_paper\b", re.MULTILINE)
    sources = (ROOT / "src").rglob("*.py*")
    found = [path for path in sources if path.suffix in (".py", ".pyi") and importing.search(path.read_text("utf-8"))]
    assert found == [DOOR]


@pytest.mark.parametrize("what", ["figure1", "all", "page", "no such"])
def test_without_it_one_line_says_what_to_install(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in [name for name in sys.modules if name.partition(".")[0] == "fiberscope_paper"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    assert main(["reproduce", what, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "pip install fiberscope-paper" in said.err
    assert not (tmp_path / "out").exists()


class Absent:
    """Finds no package of that name."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "fiberscope_paper":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
