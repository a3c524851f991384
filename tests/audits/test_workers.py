from __future__ import annotations

import math
import multiprocessing
import os
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

import fiberscope.audits.workers
from fiberscope.audits.effort import sensible_workers
from fiberscope.audits.plan import Plan
from fiberscope.audits.pool import spread
from fiberscope.audits.workers import local_pool
from fiberscope.errors import ResultsError
from fiberscope.threads import cores, one_thread
from small_audits import small_network
from worker_tasks import in_company, number_or_end, under_way


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_comes_back_once_with_its_result(workers: int) -> None:
    tasks = [float(n) for n in range(20)]
    with closing(local_pool(workers)) as pool:
        assert sorted(spread(math.sqrt, tasks, pool)) == [(n, math.sqrt(n)) for n in tasks]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_comes_through_and_no_process_is_left(workers: int) -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(spread(math.sqrt, [1.0, -1.0], local_pool(workers)))
    assert set(multiprocessing.active_children()) == before


def test_stopping_early_leaves_no_process() -> None:
    before = set(multiprocessing.active_children())
    results = spread(math.sqrt, (float(n) for n in range(1000)), local_pool(2))
    next(results)
    results.close()
    assert set(multiprocessing.active_children()) == before


def test_one_that_workers_die_of_is_replaced_and_the_others_lose_nothing() -> None:
    tasks = ["0", "end", *map(str, range(1, 12)), "end ", "12"]
    with closing(local_pool(2)) as pool:
        results = dict(spread(number_or_end, tasks, pool, instead=lambda task, cause: f"{task}: {cause}"))
    assert results.keys() == set(tasks)
    for task, result in results.items():
        assert result == int(task) if task.isdigit() else "ended unexpectedly, 3 times" in result
    assert sum(isinstance(result, str) for result in results.values()) == 2


@pytest.mark.fault
def test_one_that_dies_once_is_computed_after_all(tmp_path: Path) -> None:
    once = f"end once {tmp_path / 'ended'}"
    with closing(local_pool(2)) as pool:
        assert dict(spread(number_or_end, [once, "1", "2"], pool)) == {once: 0, "1": 1, "2": 2}


@pytest.mark.fault
def test_one_that_workers_die_of_is_an_error_where_nothing_can_replace_it() -> None:
    with closing(local_pool(2)) as pool, pytest.raises(ResultsError, match=r"3 times.*fewer --workers"):
        list(spread(os._exit, [3], pool))


@pytest.mark.fault
def test_workers_that_do_not_even_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fiberscope.audits.workers, "_become_worker", partial(os._exit, 3))
    with closing(local_pool(2)) as pool, pytest.raises(ResultsError, match=r"as soon as they are started.*--workers 1"):
        list(spread(math.sqrt, [1.0, 4.0], pool, instead=lambda *_: 0.0))


def test_no_more_tasks_are_under_way_than_are_allowed(tmp_path: Path) -> None:
    with closing(local_pool(2)) as pool:
        assert [count for _, count in spread(under_way, [tmp_path] * 6, pool, at_once=1)] == [1] * 6
        assert [count for _, count in spread(in_company, [tmp_path] * 2, pool)] == [2, 2]


def test_small_work_is_not_spread() -> None:
    assert sensible_workers(small_network(), Plan((0, 1, 2), 100)) == 1
    assert sensible_workers(small_network(), Plan((0, 1, 2), 100_000)) == cores()


def test_one_thread_limits_linear_algebra() -> None:
    with one_thread():
        assert all(pool["num_threads"] == 1 for pool in threadpool_info() if pool["user_api"] == "blas")
