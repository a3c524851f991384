"""A dask cluster as a pool of workers."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import time
from contextlib import closing
from pathlib import Path

import pytest

from fiberscope.audit.pool import spread
from fiberscope.cli import main
from fiberscope.errors import InputError
from worker_tasks import number_or_end

pytest.importorskip("distributed", reason="dask's package distributed is not installed")

from fiberscope.audit.dask_workers import LOCAL, DaskWorkers


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


def test_a_scheduler_that_is_not_there_is_one_line(
    again: list[str], tmp_path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr("fiberscope.audit.dask_workers.CONNECTING", "1s")
    assert main([*again, "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "'tcp://127.0.0.1:9', which does not answer" in capsys.readouterr().err.splitlines()[-1]


def test_a_scheduler_without_workers_is_an_error() -> None:
    distributed = importlib.import_module("distributed")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        pytest.raises(InputError, match="expected a scheduler with workers, got one without"),
    ):
        DaskWorkers(cluster.scheduler_address, 1)


def test_without_dask_it_is_said_what_to_install(
    again: list[str], tmp_path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else find_spec(name))
    assert main([*again, "--out", str(tmp_path / "out"), "--scheduler", "local"]) == 2
    assert 'pip install "fiberscope[dask]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
