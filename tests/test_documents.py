"""Command lines in the documents can be typed as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fiberscope.audits.quantities import OF_AUDIT, OF_COMPARISON, OF_LEAKAGE
from fiberscope.audits.threshold_language import parse_thresholds
from fiberscope.cli import build_app
from fiberscope.commands.configuration import read_config

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    """The code blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def typed() -> list[tuple[str, str]]:
    """Every line of a shell's block that runs fiberscope, with the document it stands in."""
    return [
        (document.name, line)
        for document in DOCUMENTS
        for block in blocks(document, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith(("fiberscope ", 'eval "$(fiberscope '))
    ]


@pytest.mark.parametrize(("document", "line"), typed())
def test_command_lines_are_understood(document: str, line: str) -> None:
    bare = line.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0]
    _, *tokens = shlex.split(bare, comments=True)
    command, bound, _ = build_app().parse_args(tokens, exit_on_error=False, print_error=False)
    assert command.__name__ == tokens[0], document
    quantities = {"compare": OF_COMPARISON, "leakage": OF_LEAKAGE}.get(tokens[0], OF_AUDIT)
    parse_thresholds(bound.arguments.get("fail_on") or (), quantities)


def test_files_of_options_are_understood(tmp_path: Path) -> None:
    found = [block for document in DOCUMENTS for block in blocks(document, "toml")]
    assert found
    for text in found:
        (tmp_path / "audit.toml").write_text(text)
        config = read_config(build_app(), ["audit", "--config", str(tmp_path / "audit.toml")])
        assert config is not None
        parse_thresholds(config.data["fail-on"])


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    table = set(re.findall(r"^\| `fiberscope (\w+)` \|", text, re.MULTILINE))
    assert table == {name for name in build_app() if not name.startswith("-")}


def test_the_map_of_the_code_names_what_is_there() -> None:
    """By their paths, or the end of these."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./]+\.(?:py|pyi|md|toml))`", text))
    folders = ("src", "reproduction", "tests", "tools", "benchmarks", "docs", "examples")
    files = {f"/{path.relative_to(ROOT).as_posix()}" for folder in folders for path in (ROOT / folder).rglob("*.*")}
    files |= {f"/{path.name}" for path in ROOT.iterdir()}
    lost = [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in files)]
    assert not lost
    questions = re.search(r"### Where would you change.*?(?=\nPublic is)", text, re.DOTALL)
    assert questions is not None
    answers = re.findall(r"^\d+\. .*?`([\w/]+\.py)`", questions.group(), re.MULTILINE | re.DOTALL)
    assert len(answers) >= 10
    assert all((ROOT / answer).is_file() for answer in answers)
