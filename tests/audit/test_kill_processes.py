"""Audits on several processes of which some are killed at random moments: nothing lost, nothing twice, no orphans."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from small_audits import finished_chunks, identities, tables, write_model_and_data

SAMPLES, PATIENCE = 12, 60.0
POOLS = {"processes": [], "dask": ["--scheduler", "local"]}

if not Path("/proc/self/task").is_dir():
    pytest.skip("children are found in /proc, which only Linux has", allow_module_level=True)


@dataclass(frozen=True)
class Undisturbed:
    """An audit that nobody disturbed: its arguments, results, and the seconds from its first chunk to its end."""

    asked: list[str]
    out: Path
    seconds: float


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Some moments, or fifty where the command line asks for them."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(25 if metafunc.config.getoption("--every-moment") else 1))


@pytest.fixture(name="undisturbed", params=POOLS, scope="module")
def _undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    if request.param == "dask" and importlib.util.find_spec("distributed") is None:
        pytest.skip("dask's package distributed is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    options = ["--domain", "0,1", "--block", "1", "--spectra", "6", "--invariance", "3", "--workers", "2"]
    asked = ["audit", *write_model_and_data(folder, SAMPLES), *options, *POOLS[request.param], "--resume", "--out"]
    process = started([*asked, str(folder / "out")])
    wait_for_work(process)
    began = time.monotonic()
    assert process.wait() == 0
    return Undisturbed(asked, folder / "out", time.monotonic() - began)


def started(arguments: list[str]) -> subprocess.Popen[str]:
    """An audit in a group of processes of its own."""
    command = [sys.executable, "-m", "fiberscope", *arguments]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )


def wait_for_work(process: subprocess.Popen[str]) -> None:
    """Until the first line of progress, or the end of a process that has little to do."""
    assert process.stderr is not None
    process.stderr.readline()


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


def test_killed_at_random_moments(seed: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Twice, the audit itself or one of its processes; the third run is left alone."""
    out, generator = tmp_path / "out", random.Random(seed)
    arguments = [*undisturbed.asked, str(out)]
    whole: dict[str, tuple[int, int]] = {}
    for of_workers in (seed % 2 == 0, seed % 2 == 1):
        process = started(arguments)
        wait_for_work(process)
        time.sleep(generator.random() * undisturbed.seconds)
        victims = sorted(filter(computes, children(process.pid))) if of_workers else [process.pid]
        if victims and process.poll() is None:
            os.kill(generator.choice(victims), signal.SIGKILL)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode in ({0, 2} if of_workers else {0, -9}), said
        assert "Traceback" not in said
        wait_until_the_group_ends(process)
        now = finished_chunks(out)
        assert whole.items() <= now.items(), "a finished chunk was lost, or computed again"
        whole = now
    process = started(arguments)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    wait_until_the_group_ends(process)
    assert whole.items() <= identities(out).items()
    assert tables(out) == tables(undisturbed.out)
    assert not [path for path in out.rglob(".*") if ".part" in path.suffixes]
