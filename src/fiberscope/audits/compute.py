"""Computing one chunk: in this process, or in a worker that reads the model by its path and checks its hash."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from fiberscope.audits.failure import Failed
from fiberscope.audits.work import AnyWork
from fiberscope.errors import FiberscopeError, ResultsError
from fiberscope.network.network import Network
from fiberscope.threads import limited_threads

_MODELS_KEPT = 2
"""Models that a worker holds: that of the audit, and of one before it on workers that serve many."""


@dataclass(frozen=True)
class ModelFile:
    """A model that workers read. Two are the same if their hashes are.

    Attributes:
        path: the file, on this machine and on those of all workers.
        digest: ``Network.digest()``.
    """

    path: Path = field(compare=False)
    digest: str


@dataclass(frozen=True)
class Threads:
    """How a chunk uses the cores.

    Attributes:
        items: how many independent items are computed at a time, where a chunk has any.
        algebra: how many threads linear algebra uses. The last digits depend on it, so that it may depend on the
            network and the machine, but not on how many chunks are computed side by side.
    """

    items: int
    algebra: int


def compute(work: AnyWork, threads: Threads, network: Network, task: Any) -> Any:
    """Compute one chunk.

    Returns:
        Its result; ``Failed`` where the computation raises an exception, of whatever kind.

    Raises:
        ResultsError: it is the results folder that is at fault, not the computation.
    """
    try:
        with limited_threads(threads.algebra):
            return work.compute(network, task, threads.items)
    except ResultsError:
        raise
    except Exception as error:
        return Failed.of(error)


def compute_with_model(work: AnyWork, threads: Threads, model: ModelFile, task: Any) -> Any:
    """Read the model and compute one chunk: what a worker does.

    Raises:
        ResultsError: the model cannot be read here, or is another one.
    """
    with _ONE_AT_A_TIME:
        return compute(work, threads, read_model(model), task)


_ONE_AT_A_TIME = Lock()
"""Workers of a cluster may have several threads, but the number of those that linear algebra uses is the process's."""


@lru_cache(maxsize=_MODELS_KEPT)
def read_model(model: ModelFile) -> Network:
    """Read a model, once in every process.

    Raises:
        ResultsError: it cannot be read here, or is another one.
    """
    from fiberscope.readers.files import load

    who, path = f"the worker process {os.getpid()} on {platform.node()}", str(model.path)
    if not model.path.is_file():
        raise ResultsError(f"{who} does not see {path}; it must have the results folder under the same path", path=path)
    try:
        network = load(model.path)
    except FiberscopeError as error:
        raise ResultsError(f"{who} cannot read {path}: {error}", path=path) from error
    if network.digest() != model.digest:
        digests = f"SHA-256 {network.digest()[:12]} instead of {model.digest[:12]}"
        raise ResultsError(f"{who} sees another model in {path}, {digests}; it must see the same folder", path=path)
    return network


__all__ = ["ModelFile", "Threads", "compute", "compute_with_model", "read_model"]
