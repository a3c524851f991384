"""Audits on several processes of which some are killed at random moments: nothing lost, nothing twice, no orphans."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fiberscope.cli import main
from small_audits import finished_chunks, identities, tables, write_model_and_data

pytestmark = pytest.mark.fault

SAMPLES, PATIENCE = 12, 60.0
LINES = 12
"""Kills come within so many lines of progress, of about thirty that an undisturbed audit prints."""

POOLS = {"processes": [], "dask": ["--scheduler", "local"]}

if not Path("/proc/self/task").is_dir():
    pytest.skip("children are found in /proc, which only Linux has", allow_module_level=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Some moments, or fifty where the command line asks for them."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(25 if metafunc.config.getoption("--every-moment") else 1))


@pytest.fixture(name="asked", scope="module")
def _asked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An audit, without its workers and its folder."""
    options = ["--domain", "0,1", "--block", "1", "--spectra", "6", "--invariance", "3"]
    return ["audit", *write_model_and_data(tmp_path_factory.mktemp("model"), SAMPLES), *options]


@pytest.fixture(name="undisturbed", scope="module")
def _undisturbed(asked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of that audit by one process that nobody disturbed."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert main([*asked, "--workers", "1", "--out", str(out)]) == 0
    return out


@pytest.fixture(name="pool", params=POOLS)
def _pool(request: pytest.FixtureRequest) -> list[str]:
    """The options by which an audit is given two workers."""
    if request.param == "dask" and importlib.util.find_spec("distributed") is None:
        pytest.skip("dask's package distributed is not installed")
    return ["--workers", "2", *POOLS[request.param]]


def started(arguments: list[str]) -> subprocess.Popen[str]:
    """An audit in a group of processes of its own."""
    command = [sys.executable, "-m", "fiberscope", *arguments]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )


def wait_for_lines(process: subprocess.Popen[str], lines: int) -> str:
    """What it says until so many lines of progress, or until the end of a process that has less to do."""
    assert process.stderr is not None
    return "".join(process.stderr.readline() for _ in range(lines))


def children(pid: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    try:
        own = [int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in _started_by(task)]
    except FileNotFoundError:  # it has just ended
        return []
    return own + [each for child in own for each in children(child)]


def computes(pid: int) -> bool:
    """Whether a process is not the one in which Python keeps its own books: that one complains when it is missed."""
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # it has just ended
        return False


def _started_by(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def wait_until_the_group_ends(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("a process outlives the audit that started it")


def test_killed_at_random_moments(
    seed: int, pool: list[str], asked: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    """Twice, the audit itself or one of its processes; what they leave, one process continues."""
    out, generator = tmp_path / "out", random.Random(seed)
    arguments = [*asked, *pool, "--resume", "--out", str(out)]
    whole: dict[str, tuple[int, int]] = {}
    for of_workers in (seed % 2 == 0, seed % 2 == 1):
        process = started(arguments)
        said = wait_for_lines(process, generator.randint(1, LINES))
        time.sleep(generator.random() / 10)
        victims = sorted(filter(computes, children(process.pid))) if of_workers else [process.pid]
        if victims and process.poll() is None:
            os.kill(generator.choice(victims), signal.SIGKILL)
        said += process.communicate(timeout=PATIENCE)[1]
        assert process.returncode in ({0, 2} if of_workers else {0, -9}), said
        assert "Traceback" not in said
        wait_until_the_group_ends(process)
        now = finished_chunks(out)
        assert whole.items() <= now.items(), "a finished chunk was lost, or computed again"
        whole = now
    assert main([*asked, "--workers", "1", "--resume", "--out", str(out)]) == 0
    assert whole.items() <= identities(out).items()
    assert tables(out) == tables(undisturbed)
    assert not [path for path in out.rglob(".*") if ".part" in path.suffixes]
