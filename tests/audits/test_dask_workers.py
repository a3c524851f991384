"""A dask cluster as a pool of workers."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from fiberscope.audits.pool import spread
from fiberscope.cli import main
from fiberscope.errors import InputError
from worker_tasks import number_or_end

pytest.importorskip("distributed", reason="dask's package distributed is not installed")

from fiberscope.audits.dask_workers import LOCAL, DaskWorkers, check_scheduler


@pytest.mark.fault
def test_tasks_come_back_and_one_that_workers_die_of_is_replaced() -> None:
    before = set(multiprocessing.active_children())
    tasks = ["0", "end", *map(str, range(1, 12))]
    with closing(DaskWorkers(LOCAL, 2)) as pool:
        assert (pool.workers, pool.machines) == (2, 1)
        results = dict(spread(number_or_end, tasks, pool, instead=lambda _, cause: cause))
    assert "ended unexpectedly, 3 times" in str(results.pop("end"))
    assert results == {task: int(task) for task in tasks if task.isdigit()}
    assert set(multiprocessing.active_children()) == before


def test_a_cluster_that_does_not_start_is_one_clear_error(
    again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("Cluster failed to start: a worker ended")

    monkeypatch.setattr("distributed.LocalCluster", fails)
    assert main([*again, "--out", str(tmp_path / "out"), "--scheduler", "local"]) == 2
    said = capsys.readouterr().err
    assert "a dask cluster could not be started here (Cluster failed to start: a worker ended)" in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.exhaustive
def test_stopping_early_leaves_no_process() -> None:
    before = set(multiprocessing.active_children())
    with closing(DaskWorkers(LOCAL, 1)) as pool:
        results = spread(time.sleep, [0.0, 600.0], pool)
        next(results)
        results.close()
        assert set(multiprocessing.active_children()) == before


def test_an_exception_comes_through() -> None:
    with (
        closing(DaskWorkers(LOCAL, 1)) as pool,
        pytest.raises(ValueError, match=r"math domain error|nonnegative"),
    ):
        list(spread(math.sqrt, [-1.0], pool))


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ("tcp://127.0.0.1:9", "'tcp://127.0.0.1:9', which does not answer"),
        ("127.0.0.1:9", "'127.0.0.1:9', which does not answer"),
        ("tcp://127.0.0.1", "missing port"),
        ("tcp://127.0.0.1:99999", "which does not answer"),
        ("http://127.0.0.1:80", "unknown address scheme 'http'"),
        ("locale", "missing port"),
    ],
)
def test_a_scheduler_that_is_not_there_is_one_line_before_any_work(
    scheduler: str, said: str, again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), "--scheduler", scheduler]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected the address of a running dask scheduler" in line
    assert said in line
    assert not (tmp_path / "out").exists(), "so that the same command with another address is not refused"


def test_a_server_that_is_no_scheduler_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fiberscope.audits.dask_workers.CONNECTING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(InputError, match=r"does not answer \(timed"):
        check_scheduler(f"tcp://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.fault
def test_local_may_be_written_in_capitals() -> None:
    check_scheduler("Local")
    with closing(DaskWorkers("LOCAL", 1)) as pool:
        assert pool.workers == 1


def test_a_scheduler_without_workers_is_an_error() -> None:
    distributed = importlib.import_module("distributed")
    with distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
        check_scheduler(cluster.scheduler_address)  # it answers all the same
        with pytest.raises(InputError, match="expected a scheduler with workers, got one without"):
            DaskWorkers(cluster.scheduler_address, 1)


def test_without_dask_it_is_said_what_to_install(
    again: list[str], tmp_path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else find_spec(name))
    assert main([*again, "--out", str(tmp_path / "out"), "--scheduler", "local"]) == 2
    assert 'pip install "fiberscope[dask]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
