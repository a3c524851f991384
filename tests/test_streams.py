"""Standard streams that are closed, full, or read by nobody: an error has its own status, and is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fiberscope.cli import main
from small_audits import write_model_and_data

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a shell and /dev/full are needed")

FULL = "fiberscope: error: cannot write to the standard output: No space left on device\n"


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data, and their audit in ``out``."""
    folder = tmp_path_factory.mktemp("streams")
    assert main(["audit", *write_model_and_data(folder, 3), "--out", str(folder / "out"), "--layers", "2"]) == 0
    return folder


def in_shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which $RUN is the command."""
    run = f"{sys.executable} -m fiberscope"
    return subprocess.run(
        ["bash", "-c", line.replace("$RUN", run)], cwd=folder, capture_output=True, text=True, check=False
    )


COMMANDS = ["--help", "report out"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_who_has_seen_enough_is_no_threshold_that_fails(command: str, audited: Path) -> None:
    done = in_shell(audited, f"$RUN {command} | true; echo ${{PIPESTATUS[0]}}")
    assert done.stdout == "2\n"
    assert "Traceback" not in done.stderr


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", [*COMMANDS, "verify out"])
def test_a_full_standard_output_is_one_line(command: str, audited: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    done = in_shell(
        audited,
        f"{'PYTHONUNBUFFERED=1' if command == '--help' else ''} $RUN {command} 2> >(grep -v ^verifying >&2) >/dev/full",
    )
    assert (done.returncode, done.stderr) == (2, FULL)


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_standard_output_is_no_error(command: str, audited: Path) -> None:
    done = in_shell(audited, f"$RUN {command} >&-")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.fault
@pytest.mark.parametrize("workers", [1, 2])
def test_an_audit_needs_no_standard_error(workers: int, audited: Path) -> None:
    out = f"closed-{workers}"
    done = in_shell(audited, f"$RUN audit model.safetensors digits.npz --out {out} --workers {workers} 2>&-")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"report: {out}/report.html"


@pytest.mark.exhaustive
def test_a_full_standard_error_leaves_the_status_of_an_error(audited: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    assert in_shell(audited, "$RUN verify absent 2>/dev/full").returncode == 2
