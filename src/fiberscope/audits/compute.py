"""One chunk, computed and written: in this process, or in a worker that reads model and data by path and hash."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from fiberscope.audits.finished import Failed, is_finished
from fiberscope.audits.ledger import Entry
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import AnyChunk
from fiberscope.audits.store import Results
from fiberscope.audits.stored_subject import MODEL, read_subject
from fiberscope.audits.subject import Subject
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


@dataclass(frozen=True)
class Orders:
    """What is to be done with chunks of one kind, wherever that is.

    Attributes:
        work: the kind.
        threads: how a chunk uses the cores.
        results: the folder, by a path that all workers see it under.
        manifest: what is audited.
    """

    work: AnyWork
    threads: Threads
    results: Results
    manifest: Manifest

    def subject(self) -> Subject:
        """The network and data, read once in every process.

        Raises:
            ResultsError: they cannot be read here, or are others.
        """
        digests = self.manifest.model_digest, self.manifest.data_digest
        return _read_subject(_Source(self.results.folder, self.manifest, *digests))


@dataclass(frozen=True)
class Written:
    """A chunk whose files are written.

    Attributes:
        chunk: which.
        entry: for the ledger.
        failed: why it could not be computed; empty if it was.
    """

    chunk: AnyChunk
    entry: Entry
    failed: str = ""


def write_chunk(orders: Orders, subject: Subject, chunk: AnyChunk) -> Written:
    """Compute one chunk and write its files.

    Raises:
        ResultsError: they cannot be written.
    """
    task = orders.work.task(subject, orders.manifest.plan, chunk)
    result = compute(orders.work, orders.threads, subject.network, task)
    if isinstance(result, Failed):
        return _written(orders, subject, chunk, task, result)
    return Written(chunk, _put(orders, chunk, orders.work.files(task, result), failed=False))


def write_failed(orders: Orders, subject: Subject, chunk: AnyChunk, cause: str) -> Written:
    """Write what stands in the place of a chunk that cannot be computed."""
    task = orders.work.task(subject, orders.manifest.plan, chunk)
    return _written(orders, subject, chunk, task, Failed.because(cause))


def _written(orders: Orders, subject: Subject, chunk: AnyChunk, task: Any, failed: Failed) -> Written:
    files = orders.work.files(task, orders.work.failed(subject.network, task, failed.reason))
    entry = _put(orders, chunk, files, failed=True)
    return Written(chunk, entry, failed.reason if entry.failed else "")


def _put(orders: Orders, chunk: AnyChunk, files: dict[str, bytes], *, failed: bool) -> Entry:
    """Write files, unless another worker was given the chunk as well and was faster."""
    if is_finished(orders.results, orders.manifest, chunk):
        return orders.results.entry(chunk)
    return orders.results.write(chunk, files, failed=failed)


def write_chunk_from_file(orders: Orders, chunk: AnyChunk) -> Written:
    """Read network and data, then compute one chunk and write its files: what a worker does.

    Raises:
        ResultsError: the network or data cannot be read here, or are others; or the files cannot be written.
    """
    with _ONE_AT_A_TIME:
        return write_chunk(orders, orders.subject(), chunk)


_ONE_AT_A_TIME = Lock()
"""Workers of a cluster may have several threads, but the number of those that linear algebra uses is the process's."""


@lru_cache(maxsize=_MODELS_KEPT)
def read_model(model: ModelFile) -> Network:
    """Read a model, once in every process.

    Raises:
        ResultsError: it cannot be read here, or is another one.
    """
    from fiberscope.readers.files import load

    who, path = _this_worker(), str(model.path)
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


@dataclass(frozen=True)
class _Source:
    """A results folder whose network and data workers read. Two are the same if their hashes are."""

    folder: Path = field(compare=False)
    manifest: Manifest = field(compare=False)
    model_digest: str
    data_digest: str


@lru_cache(maxsize=_MODELS_KEPT)
def _read_subject(source: _Source) -> Subject:
    network = read_model(ModelFile(source.folder / MODEL, source.model_digest))
    try:
        return read_subject(source.folder, source.manifest, network)
    except ResultsError as error:
        raise ResultsError(f"{_this_worker()} cannot use the data: {error}", path=error.path) from error


def _this_worker() -> str:
    return f"the worker process {os.getpid()} on {platform.node()}"


__all__ = [
    "ModelFile",
    "Orders",
    "Threads",
    "Written",
    "compute",
    "read_model",
    "write_chunk",
    "write_chunk_from_file",
    "write_failed",
]
