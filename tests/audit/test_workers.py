from __future__ import annotations

import math
import multiprocessing
import os

import pytest
from threadpoolctl import threadpool_info

from fiberscope.audit.effort import sensible_workers
from fiberscope.audit.plan import Plan
from fiberscope.audit.workers import spread
from fiberscope.errors import ResultsError
from fiberscope.threads import cores, one_thread
from small_audits import small_network


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_comes_back_once_with_its_result(workers: int) -> None:
    tasks = [float(n) for n in range(20)]
    assert sorted(spread(math.sqrt, tasks, workers)) == [(n, math.sqrt(n)) for n in tasks]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_comes_through_and_no_process_is_left(workers: int) -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(spread(math.sqrt, [1.0, -1.0], workers))
    assert set(multiprocessing.active_children()) == before


def test_a_process_that_dies_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ResultsError, match=r"--resume.*fewer --workers"):
        list(spread(os._exit, [3], 2))


def test_stopping_early_leaves_no_process() -> None:
    before = set(multiprocessing.active_children())
    results = spread(math.sqrt, (float(n) for n in range(1000)), 2)
    next(results)
    results.close()
    assert set(multiprocessing.active_children()) == before


def test_small_work_is_not_spread() -> None:
    assert sensible_workers(small_network(), Plan((0, 1, 2), 100)) == 1
    assert sensible_workers(small_network(), Plan((0, 1, 2), 100_000)) == cores()


def test_one_thread_limits_linear_algebra() -> None:
    with one_thread():
        assert all(pool["num_threads"] == 1 for pool in threadpool_info() if pool["user_api"] == "blas")
