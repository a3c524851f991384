"""Two audits never run in one folder, and one that was killed locks nobody out."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fiberscope.audits.lock import LOCK, RUNNING, running_alone
from fiberscope.cli import main
from fiberscope.errors import ResultsError

HOLD = """
import sys, time
from pathlib import Path
from fiberscope.audits.lock import running_alone
with running_alone(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture(name="holder")
def _holder(tmp_path: Path):
    """A process that runs as an audit in ``tmp_path / "out"``."""
    (tmp_path / "out").mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_second_audit_is_refused_and_told_which_runs(
    resume: list[str], holder: subprocess.Popen[bytes], again: list[str], tmp_path: Path, capsys
) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), *resume]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"an audit is running in {tmp_path / 'out'}: process {holder.pid} on {platform.node()}" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [LOCK, RUNNING]


def test_one_that_was_killed_locks_nobody_out(
    holder: subprocess.Popen[bytes], again: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (out / RUNNING).is_file(), "it had no time to take it away"
    assert main([*again, "--out", str(out), "--resume", "--layers", "2", "--samples", "4"]) == 0
    assert not (out / RUNNING).exists()


def test_while_an_audit_runs_it_says_so(tmp_path: Path) -> None:
    with running_alone(tmp_path):
        about = json.loads((tmp_path / RUNNING).read_text())
        assert (about["pid"], about["host"]) == (os.getpid(), platform.node())
        with pytest.raises(ResultsError, match=f"process {os.getpid()} on"), running_alone(tmp_path):
            pass
        assert (tmp_path / RUNNING).is_file(), "the one that was refused took nothing away"
    with running_alone(tmp_path):
        pass


def test_a_folder_with_nothing_but_an_old_lock_is_empty(again: list[str], tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    assert main([*again, "--out", str(tmp_path), "--layers", "2", "--samples", "4"]) == 0
    assert (tmp_path / LOCK).is_file()


def test_an_audit_that_begins_nothing_leaves_nothing(again: list[str], tmp_path: Path) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), "--layers", "99"]) == 2
    assert list((tmp_path / "out").iterdir()) == []
