"""What is needed to check a chunk again: little of the folder, however large it is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from fiberscope.audits.compute import ModelFile, read_model
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import Chunk, LeakChunk, SpectraChunk
from fiberscope.audits.pool import spread
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.workers import local_pool
from fiberscope.network.network import Network

C = TypeVar("C", Chunk, SpectraChunk, LeakChunk)
V = TypeVar("V")


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
    function: Callable[[Network, Check[C]], V], results: Results, subject: Subject, chunks: Iterable[C], processes: int
) -> Generator[V]:
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


def _with_model(function: Callable[[Network, Check[C]], V], model: ModelFile, check: Check[C]) -> V:
    return function(read_model(model), check)


__all__ = ["Check", "checked"]
