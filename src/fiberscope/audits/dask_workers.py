"""A pool of the workers of a dask cluster: one that runs somewhere, or one that is started on this machine."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import multiprocessing
import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fiberscope import __version__
from fiberscope.audits.workers import AHEAD
from fiberscope.ctrl_c import ctrl_c_held_back
from fiberscope.errors import InputError, ResultsError

R = TypeVar("R")

LOCAL = "local"
"""Stands for a cluster that is started on this machine, in the place of the address of a scheduler."""

CONNECTING = 20.0
"""How many seconds a scheduler may take to answer: some times as long as it does across a busy network."""

REPLACING = "120s"
"""How long it may take until there is a worker again after all have died: processes start within seconds, the jobs of a
batch system within a minute or so."""


def require_dask() -> None:
    """InputError unless dask's package ``distributed`` is installed."""
    if importlib.util.find_spec("distributed") is None:
        raise InputError(
            "--scheduler",
            expected="dask's package distributed to be installed",
            got="no such package",
            hint='install it with: pip install "fiberscope[dask]"',
        )


def is_local(scheduler: str) -> bool:
    """Whether a cluster is to be started on this machine."""
    return scheduler.lower() == LOCAL


def check_scheduler(scheduler: str) -> None:
    """See that there is a scheduler before any work is done, and without a client: one that fails takes long to end.

    Raises:
        InputError: dask is not installed, or this is neither ``LOCAL`` nor the address of a scheduler that answers.
    """
    require_dask()
    if is_local(scheduler):
        return
    addressing: Any = importlib.import_module("distributed.comm.addressing")
    registry: Any = importlib.import_module("distributed.comm.registry")
    try:
        scheme, location = addressing.parse_address(scheduler)
        registry.get_backend(scheme)
        host, port = addressing.parse_host_port(location)
    except (ImportError, ValueError) as error:
        raise _no_scheduler(f"{scheduler!r}: {error}") from error
    if scheme == "ucx":  # is not reached through sockets
        return
    try:
        with socket.create_connection((host, port), timeout=CONNECTING) as connection:
            answers = scheme != "tcp" or connection.recv(1)  # there a scheduler speaks first
    except (OSError, OverflowError, ValueError) as error:
        raise _no_scheduler(f"{scheduler!r}, which does not answer ({error})") from error
    if not answers:
        raise _no_scheduler(f"{scheduler!r}, where something else answers")


def _no_scheduler(got: str) -> InputError:
    return InputError(
        "--scheduler",
        expected=f"the address of a running dask scheduler, such as tcp://10.0.0.1:8786, or {LOCAL}",
        got=got,
        hint="start one with: dask scheduler",
    )


class DaskWorkers:
    """The workers that a dask cluster has when it is connected to.

    Args:
        scheduler: the address of the scheduler; ``LOCAL`` starts a cluster, which ends with this process.
        workers: how many processes the started cluster has.

    Raises:
        InputError: dask is not installed, there is no such scheduler, it has no workers, or they have no fiberscope of
            this version.
    """

    def __init__(self, scheduler: str, workers: int) -> None:
        require_dask()
        self._distributed: Any = importlib.import_module("distributed")  # is not needed by those who have no cluster
        _silence()
        self.losses: tuple[type[Exception], ...] = (self._distributed.KilledWorker,)
        self._bystanders: set[BaseProcess] = set(multiprocessing.active_children())
        self._cluster: Any = None
        self._client: Any = None
        try:
            if is_local(scheduler):
                self._start(workers)
            self._client = self._connected(scheduler)
            addresses: list[str] = list(self._client.nthreads())
            self.workers = len(addresses)
            self.machines = max(1, len({urlsplit(address).hostname for address in addresses}))
            self.ahead = AHEAD * self.workers
            self._check_workers(scheduler)
        except BaseException:
            self.stop()
            raise
        self._executor: Executor = self._client.get_executor(pure=False)

    def _start(self, workers: int) -> None:
        dask: Any = importlib.import_module("dask")
        own = {
            "distributed.scheduler.allowed-failures": 0,  # tasks of which workers die are tried again by ``spread``
            "distributed.worker.profile.enabled": False,  # nobody looks at the profile, and it takes time
        }
        try:
            with dask.config.set(own), ctrl_c_held_back():
                self._cluster = self._distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    memory_limit=0,  # a worker that is paused for its memory would never go on
                    dashboard_address="127.0.0.1:0",  # any free port, rather than a warning that the usual one is taken
                    silence_logs=logging.CRITICAL,
                )
        except (OSError, RuntimeError) as error:  # a worker was killed while it started, say
            raise ResultsError(
                f"a dask cluster could not be started here ({error}); an audit is continued with --resume"
            ) from error

    def _connected(self, scheduler: str) -> Any:
        try:
            return self._distributed.Client(self._cluster or scheduler, timeout=CONNECTING, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise _no_scheduler(f"{scheduler!r}, which does not answer ({type(error).__name__})") from error

    def _check_workers(self, scheduler: str) -> None:
        if not self.workers:
            hint = f"start some that see the results folder, with: dask worker --nthreads 1 --nworkers auto {scheduler}"
            raise InputError("--scheduler", expected="a scheduler with workers", got="one without", hint=hint)
        wanted = f"workers with fiberscope {__version__}"
        try:
            versions: set[str] = set(self._client.run(_version).values())
        except (ImportError, AttributeError) as error:
            raise InputError("--scheduler", expected=wanted, got=f"{type(error).__name__}: {error}") from error
        if versions != {__version__}:
            raise InputError("--scheduler", expected=wanted, got=", ".join(sorted(versions)))

    def submit(self, function: Callable[[Any], R], task: Any) -> Future[R]:
        """Hand out a task."""
        return self._executor.submit(function, task)

    def renew(self) -> None:
        """Wait until there is a worker."""
        self.check()

    def check(self) -> None:
        """See that there is a worker, or that there is one again before long."""
        try:
            self._client.wait_for_workers(1, timeout=REPLACING)
        except TimeoutError as error:
            raise ResultsError(
                "no worker of the cluster is left; an audit is continued with --resume, once there are some"
            ) from error

    def stop(self) -> None:
        """Drop all tasks, and kill the processes of a cluster that was started here."""
        if self._cluster is not None:
            for nanny in self._cluster.workers.values():
                nanny.auto_restart = False
            for child in set(multiprocessing.active_children()) - self._bystanders:
                child.kill()
        self.close()

    def close(self) -> None:
        """Disconnect, which drops what was not computed, and end a cluster that was started here."""
        for held in (self._client, self._cluster):
            if held is not None:
                held.close()
        self._client = self._cluster = None


def _silence() -> None:
    """Turn off what dask prints when workers die or the scheduler does; it is handled here. Each logger has a level."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _version() -> str:
    """What a worker is asked."""
    return __version__


__all__ = ["LOCAL", "DaskWorkers", "check_scheduler", "is_local", "require_dask"]
