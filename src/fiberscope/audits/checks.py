"""Checking stored claims again: what that needs of a chunk, which is little of the folder, and what it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from fiberscope.audits.compute import ModelFile, read_model
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import AnyChunk, Chunk, LeakChunk, SpectraChunk
from fiberscope.audits.pool import spread
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.workers import local_pool
from fiberscope.network.network import Network

C = TypeVar("C", Chunk, SpectraChunk, LeakChunk)


@dataclass(frozen=True)
class Failure:
    """A claim that is not proved.

    Attributes:
        claim: what is claimed, and where, in words.
        reason: why it is not proved.
        place: what such claims are sorted by: numbers of layers or stages, and of samples.
        is_claimed: whether the results say that it is proved.
    """

    claim: str
    reason: str
    place: tuple[int | str, ...] = ()
    is_claimed: bool = True


@dataclass(frozen=True)
class Rechecked:
    """What checking claims of one sort again gave.

    Attributes:
        proved: how many are proved.
        failures: those that are not.
        changed: the files that are not what the audit wrote.
        others: how many there are of which something else is so, or is so as well, by what that is.
        chunk: which they are of; None of several, or of what has no chunks.
    """

    proved: int = 0
    failures: tuple[Failure, ...] = ()
    changed: tuple[str, ...] = ()
    others: Counter[str] = field(default_factory=Counter[str])
    chunk: AnyChunk | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to check."""
        return not (self.proved or self.failures or self.others.total())

    @property
    def failed(self) -> bool:
        """Whether something that the results say is proved is not."""
        return any(failure.is_claimed for failure in self.failures)


def together(parts: Iterable[Rechecked]) -> Rechecked:
    """What was found of all parts, the failures by their places."""
    every = list(parts)
    return Rechecked(
        sum(each.proved for each in every),
        tuple(sorted((one for each in every for one in each.failures), key=lambda failure: failure.place)),
        tuple(path for each in every for path in each.changed),
        sum((each.others for each in every), Counter[str]()),
    )


@dataclass(frozen=True, eq=False)
class Check(Generic[C]):
    """A chunk that is to be checked.

    Attributes:
        results: the folder.
        manifest: its manifest, with the digests of this chunk alone.
        chunk: which chunk.
        x: the samples that it is about, as they came.
    """

    results: Results
    manifest: Manifest
    chunk: C
    x: NDArray[Any]


def checked(
    function: Callable[[Network, Check[C]], Rechecked],
    results: Results,
    subject: Subject,
    chunks: Iterable[C],
    processes: int,
) -> Generator[Rechecked]:
    """Check chunks, in this process or in several.

    Args:
        function: what checks one; something that can be pickled.
        results: the folder.
        subject: its network and data.
        chunks: which chunks.
        processes: how many processes.

    Yields:
        What the function gives, in the order in which chunks are finished.
    """
    manifest = results.manifest()
    model = ModelFile(results.model_path.resolve(), manifest.model_digest)
    here = partial(function, subject.network)
    with closing(local_pool(processes)) as pool:
        check = here if processes == 1 else partial(_with_model, function, model)
        for _, verification in spread(check, _checks(results, manifest, subject, chunks), pool):
            yield verification


def _checks(results: Results, manifest: Manifest, subject: Subject, chunks: Iterable[C]) -> Iterator[Check[C]]:
    bare = replace(manifest, shards={})
    for chunk in chunks:
        if not results.to_be_checked(manifest, chunk):
            continue
        own = replace(bare, shards={chunk.name: manifest.shards.get(chunk.name, {})})
        x = subject.x[chunk.start : chunk.stop] if isinstance(chunk, Chunk) else subject.x[chunk.sample][None]
        yield Check(results, own, chunk, x)


def _with_model(function: Callable[[Network, Check[C]], Rechecked], model: ModelFile, check: Check[C]) -> Rechecked:
    return function(read_model(model), check)


__all__ = ["Check", "Failure", "Rechecked", "checked", "together"]
