"""The TOML file that ``--config`` names: what it may say, and how what it may not say is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiberscope.cli import build_app, main
from fiberscope.commands.configuration import _TYPES, option_types
from small_audits import rows, spectra_rows, write_model_and_data


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """``audit MODEL DATA --out DIR --config FILE`` for a model and data that fit; the file is still to be written."""
    files = write_model_and_data(tmp_path, 4)
    return ["audit", *files, "--out", str(tmp_path / "out"), "--config", str(tmp_path / "audit.toml")]


def test_options_can_come_from_a_file_and_the_command_line_wins(given: list[str], tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_text('domain = [0, 1]\nlayers = "0"\nsamples = 3\nspectra = 1\n')
    assert main([*given, "--samples", "2"]) == 0
    assert {row[:3] for row in rows(tmp_path / "out")} == {(s, 0, d) for s in (0, 1) for d in ("R^n", "box [0,1]")}
    assert {row["sample"] for row in spectra_rows(tmp_path / "out")} == {0}


def test_every_type_of_option_can_come_from_a_file(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    position = given.index("--out")
    given[position : position + 2] = []
    out = str(tmp_path / "out")
    lines = [f"out = {out!r}", "layers = [0, 2]", "domain = '0,1'", "resume = true", "trust_model = false", "workers=1"]
    lines.append("fail-on = ['undecided > 0', 'singleton < 1 @ layer2']")
    (tmp_path / "audit.toml").write_text("\n".join(lines))
    assert main(given) == 1
    printed = capsys.readouterr().out
    assert "threshold failed: singleton < 1 @ layer2: layer 2 dense2, R^n" in printed
    assert "1 of 2 thresholds failed" in printed
    assert {row[1] for row in rows(tmp_path / "out")} == {0, 2}
    assert main([*given, "--fail-on", "unproved>0"]) == 0, "thresholds on the command line replace those of the file"
    assert "1 threshold kept" in capsys.readouterr().out


def test_values_for_every_option_are_known() -> None:
    """An option of a new type needs a line in the table of types."""
    assert set(option_types(build_app(), "audit").values()) <= _TYPES.keys()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sampels = 3", "got the key 'sampels'; did you mean samples?"),
        ("Samples = 3", "did you mean samples?"),
        ("quite_another = 3", "these are: out, domain, precision, layers, samples"),
        ("exact = true", "got the key 'exact'; it is an option of fiberscope verify"),
        ("source = 1", "it is an option of fiberscope invariance"),
        ("model = 'x.onnx'", "MODEL and DATA stand on the command line: fiberscope audit MODEL DATA"),
        ("config = 'other.toml'", "a file cannot name another"),
        ("samples = ", "expected a TOML file"),
        ("samples = 'many'", 'samples: expected a whole number, got "many"'),
        ("samples = 2.0", "samples: expected a whole number, got 2.0"),
        ("seconds = 'long'", 'seconds: expected a number, got "long"'),
        ("samples = true", "samples: expected a whole number, got true"),
        ("workers = 2026-01-01", 'workers: expected a whole number, got "2026-01-01"'),
        ("resume = 'yes'", 'resume: expected true or false, got "yes"'),
        ("resume = 1", "resume: expected true or false, got 1"),
        ("domain = [0, true]", "domain: expected a text, or numbers in a list such as [0, 1], got [0, true]"),
        ("domain = [[0, 1]]", "domain: expected a text"),
        ("fail-on = [1]", "fail-on: expected texts in a list"),
        ("fail-on = ['unbounded']", "--fail-on: expected QUANTITY>NUMBER"),
        ("fail-on = []\nfail_on = []", "expected every option once, got 'fail_on' a second time"),
        ("[audit]\nsamples = 1", "got the table [audit]"),
        ("samples = 0", "--samples: expected a number of at least 1, got 0"),
    ],
)
def test_a_file_with_wrong_options_is_one_line(
    text: str, words: str, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audit.toml").write_text(text)
    assert main(given) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("fiberscope: error: ")
    assert words in lines[0]
    assert not (tmp_path / "out").exists()


def test_commands_without_a_file_do_not_read_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit.toml").write_text("samples = \n")
    assert main(["verify", str(tmp_path), "--config", str(tmp_path / "audit.toml")]) == 2
    assert "--config" in capsys.readouterr().err
