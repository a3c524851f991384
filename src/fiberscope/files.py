"""Reading files, and writing files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from fiberscope.errors import ResultsError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Generator[Path]:
    """Yield a temporary path in the same folder; on success it replaces ``path``, on failure it is removed.

    Missing parent folders are made. Readers see the old file or the new one, never a part of either, even if the
    process is killed or the machine stops: the contents reach the disk before the name does.

    Args:
        path: the file to write or replace.

    Yields:
        The path to write to. It keeps the suffix of ``path``, because some writers choose a format by it.

    Raises:
        ResultsError: the file cannot be written (full disk, missing permission, a folder of that name).
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex}.part{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(target)
        _flush_folder(target.parent)
    except OSError as error:
        raise ResultsError(_explain(target, error), path=str(target)) from error
    finally:
        with suppress(OSError):  # already renamed, or never written
            temporary.unlink()


def is_temporary(path: Path) -> bool:
    """Whether a file is one that ``atomic_path`` gave, left by a process that was killed."""
    return path.name.startswith(".") and ".part" in path.suffixes


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        ResultsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def is_file(path: Path) -> bool:
    """Whether there is a file.

    Raises:
        ResultsError: it cannot be told, because the folder may not be read.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from error


def write_file(path: Path, data: bytes) -> None:
    """Write bytes to a file that appears whole or not at all.

    Raises:
        ResultsError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows has no such call and renames durably enough."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError) -> ResultsError:
    return ResultsError(f"cannot read {path}: {error.strerror}", path=str(path))


def _explain(target: Path, error: OSError) -> str:
    advice = {
        errno.ENOSPC: "the disk is full; free some space or choose another folder, then run again",
        errno.EDQUOT: "the disk quota is used up; free some space or choose another folder, then run again",
        errno.EACCES: "permission denied; choose a folder that you may write to",
        errno.EPERM: "permission denied; choose a folder that you may write to",
        errno.EROFS: "the file system is read-only; choose a folder that you may write to",
        errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
        errno.EEXIST: "a part of the path is a file, not a folder; choose another path",
        errno.EISDIR: "a folder of that name exists; choose another name",
        errno.ENOENT: "nothing was written to the temporary file, or its folder was removed; run again",
    }.get(error.errno or 0, f"{error.strerror or error}; choose another folder or mend the file system, then run again")
    return f"cannot write {target}: {advice}"


__all__ = ["atomic_path", "is_file", "is_temporary", "read_file", "write_file"]
