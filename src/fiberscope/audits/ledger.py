"""The ledger of an audit: which chunks are written, the digests of their files, and how the files looked then.

``digests.jsonl`` has a line of JSON for each chunk, appended when whoever computed it has written its files:

    {"name": "layer-00-block-0000", "failed": false, "files": {"inputs": [SHA-256, bytes, modified], ...}}

Of two lines about the same files the later one holds. A line that a killed run left unfinished says nothing, and a
chunk whose files are there without one is read: the ledger saves reading, and nothing rests on it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fiberscope.audits.shards import sha256
from fiberscope.errors import ResultsError
from fiberscope.files import is_file, read_file, write_file

LEDGER = "digests.jsonl"

_SYNCED_EVERY = 1.0
"""Seconds after which lines reach the disk at the latest: one by one they would take longer than writing them."""


class Stamp(NamedTuple):
    """A file as it was written: its SHA-256, its length in bytes, and when it was modified, in nanoseconds."""

    digest: str
    size: int
    modified: int


def stamp_of(path: Path, data: bytes | None = None) -> Stamp:
    """A file as it is; its contents are read unless they are given.

    Raises:
        ResultsError: it cannot be read.
    """
    digest = sha256(read_file(path) if data is None else data)
    try:
        looks = path.stat()
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}", path=str(path)) from error
    return Stamp(digest, looks.st_size, looks.st_mtime_ns)


@dataclass(frozen=True)
class Entry:
    """A chunk whose files are written.

    Attributes:
        name: the stem of its files.
        files: a stamp for each, by part of the folder.
        failed: whether its computation failed, so that another run may do better.
    """

    name: str
    files: Mapping[str, Stamp]
    failed: bool = False

    def to_line(self) -> bytes:
        """Write it as one line."""
        return json.dumps({"name": self.name, "failed": self.failed, "files": self.files}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Entry:
        """Read what ``to_line`` wrote.

        Raises:
            ValueError: it is something else, or not all there.
        """
        try:
            data = json.loads(line)
            files = {str(part): Stamp(str(of[0]), int(of[1]), int(of[2])) for part, of in data["files"].items()}
            if not files:
                raise ValueError("no files")
            return cls(str(data["name"]), files, bool(data["failed"]))
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Ledger:
    """The ledger of a results folder.

    Args:
        folder: the folder.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / LEDGER

    def entries(self) -> dict[tuple[str, str], Entry]:
        """The last entry for each chunk, by its name and the part that its last file is in; none where none is told."""
        found: dict[tuple[str, str], Entry] = {}
        for line in read_file(self.path).splitlines() if is_file(self.path) else ():
            try:
                entry = Entry.from_line(line)
            except ValueError:
                continue
            found[entry.name, list(entry.files)[-1]] = entry
        return found

    def digests(self, expected: str) -> dict[str, dict[str, str]]:
        """The digests of all files, by chunk and part.

        Raises:
            ResultsError: the file is missing, or not the one with the expected digest.
        """
        data = read_file(self.path)
        if sha256(data) != expected:
            words = f"{self.path} was changed since the audit wrote it; bring back the original"
            raise ResultsError(words, path=str(self.path))
        digests: dict[str, dict[str, str]] = {}
        for line in data.splitlines():
            entry = Entry.from_line(line)
            digests.setdefault(entry.name, {}).update({part: stamp.digest for part, stamp in entry.files.items()})
        return digests

    def rewrite(self, entries: Iterable[Entry]) -> str:
        """Put these entries in the place of all that is there; returns the digest of the file."""
        data = _lines(entries)
        write_file(self.path, data)
        return sha256(data)

    def is_as(self, entries: Iterable[Entry]) -> bool:
        """Whether it has these entries and nothing else."""
        return is_file(self.path) and read_file(self.path) == _lines(entries)


def _lines(entries: Iterable[Entry]) -> bytes:
    return b"".join(entry.to_line() for entry in entries)


class OpenLedger:
    """A ledger to which entries are appended.

    Args:
        ledger: the ledger; its file ends with a whole line.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._path = ledger.path
        self._file: BinaryIO = ledger.path.open("ab")
        self._synced = time.monotonic()

    def append(self, entry: Entry) -> None:
        """Add an entry.

        Raises:
            ResultsError: it cannot be written.
        """
        try:
            self._file.write(entry.to_line())
            self._file.flush()
            if time.monotonic() - self._synced > _SYNCED_EVERY:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            words = f"cannot write {self._path}: {error.strerror}; make room or mend it, then continue with --resume"
            raise ResultsError(words, path=str(self._path)) from error

    def close(self) -> None:
        """End with all lines on the disk, as far as it takes them."""
        try:
            os.fsync(self._file.fileno())
        except OSError:  # lines that are lost only cost reading
            pass
        finally:
            self._file.close()


__all__ = ["LEDGER", "Entry", "Ledger", "OpenLedger", "Stamp", "stamp_of"]
