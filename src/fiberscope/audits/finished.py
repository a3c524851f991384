"""Which chunks of a folder are done, and what stands for one that failed.

The ledger and how files look tell, or the files where these say nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from fiberscope.audits.ledger import Entry
from fiberscope.audits.manifest import Manifest
from fiberscope.audits.plan import AnyChunk, Chunk, LeakChunk, SpectraChunk, SurveyChunk
from fiberscope.audits.store import Results, parts_of
from fiberscope.errors import ResultsError

_FAILED = "the computation failed: "


@dataclass(frozen=True)
class Failed:
    """Stands for the result of a computation that failed.

    Attributes:
        reason: why, in the words that the rows of the chunk carry.
    """

    reason: str

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """The failure that an exception means."""
        said = " ".join(str(error).split())
        return cls.because(f"{type(error).__name__}: {said}" if said else type(error).__name__)

    @classmethod
    def because(cls, cause: str) -> Failed:
        """The failure with a cause in words."""
        return cls(_FAILED + cause)


def says_failed(reason: str) -> bool:
    """Whether the reason of a row is that the computation failed, so that it may succeed when it is tried again."""
    return reason.startswith(_FAILED)


def finished(results: Results, manifest: Manifest) -> dict[AnyChunk, Entry]:
    """The chunks that are done, each with its entry.

    Of those that the ledger tells of nothing is read: that their files are as long as they were, and were not modified
    since, is enough to go on from. Others are read.
    """
    told, done = results.ledger.entries(), dict[AnyChunk, Entry]()
    for chunk in manifest.plan.every_chunk():
        entry = told.get((chunk.name, parts_of(chunk)[-1]))
        if entry is not None and not entry.failed and _looks_as_in(results, entry, chunk):
            done[chunk] = entry
        elif is_finished(results, manifest, chunk):
            done[chunk] = results.entry(chunk)
    return done


def is_finished(results: Results, manifest: Manifest, chunk: AnyChunk) -> bool:
    """Whether a chunk was computed, written completely, and is unchanged since.

    One whose computation failed is not done: its findings say so, and another run may do better.
    """
    if not results.is_written(chunk):
        return False
    try:
        reasons, unchanged = _reasons(results, manifest, chunk)
    except ResultsError:
        return False
    return unchanged and not any(map(says_failed, reasons))


def _reasons(results: Results, manifest: Manifest, chunk: AnyChunk) -> tuple[list[str], bool]:
    """The reasons in a chunk's rows, and whether it is complete and unchanged."""
    match chunk:
        case Chunk():
            read = results.read_chunk(manifest, chunk)
            named = set(read.findings.certificate.tolist()) - {""}
            return read.findings.reason.tolist(), not read.changed and named <= read.certificates.keys()
        case SpectraChunk():
            table, unchanged = results.spectra.read(manifest, chunk)
        case SurveyChunk():
            table, unchanged = results.survey.read(manifest, chunk)
        case LeakChunk():
            leaks = results.leaks.read(manifest, chunk)
            return [row.reason for row in leaks.rows], not leaks.changed
        case _:
            assert_never(chunk)
    return table["reason"].to_pylist(), unchanged


def _looks_as_in(results: Results, entry: Entry, chunk: AnyChunk) -> bool:
    try:
        looks = {part: results.path(part, chunk).stat() for part in parts_of(chunk)}
    except OSError:
        return False
    told = {part: (stamp.size, stamp.modified) for part, stamp in entry.files.items()}
    return told == {part: (of.st_size, of.st_mtime_ns) for part, of in looks.items()}


__all__ = ["Failed", "finished", "is_finished", "says_failed"]
