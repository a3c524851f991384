"""Completion in shells: the script is one that the shell reads, and gives commands, options and choices."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fiberscope.cli import main

BASH = shutil.which("bash")


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The script for the shell that the test names."""
    assert main(["completion", request.param]) == 0
    path = tmp_path / f"completion.{request.param}"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


@pytest.mark.parametrize(("script", "shell"), [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")], indirect=["script"])
def test_the_shell_reads_the_script(script: Path, shell: str) -> None:
    assert "fiberscope" in script.read_text(encoding="utf-8")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(BASH is None, reason="bash is not installed here")
@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ([""], "audit compare completion inspect invariance leakage report reproduce verify"),
        (["re"], "report reproduce"),
        (["audit", "--fail"], "--fail-on"),
        (["verify", "--ex"], "--exact"),
        (["verify", "--fail"], ""),
        (["completion", "z"], "zsh"),
    ],
)
def test_bash_completes(script: Path, typed: list[str], offered: str) -> None:
    """In a bash of its own, which is told what stands on the line as it is when the tabulator is pressed."""
    ask = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        'eval "$(complete -p fiberscope | sed "s/.*-F \\([^ ]*\\).*/\\1/")"; echo "${COMPREPLY[*]}"'
    )
    asked = ["bash", "--norc", "--noprofile", "-c", ask, "bash", str(script), "fiberscope", *typed]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == offered.split()


def test_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert all(shell in captured.err for shell in ("tcsh", "bash", "zsh", "fish"))
