"""Only one audit at a time runs in a folder.

The operating system holds the lock, so that it ends with the process, however that ends.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from fiberscope.errors import ResultsError
from fiberscope.files import is_file, write_file

LOCK, RUNNING = "audit.lock", "running.json"
"""The file that is locked, which stays in a folder with an audit, and the one that says by whom, which goes with it."""


@contextmanager
def running_alone(folder: Path) -> Generator[None]:
    """A context in which no other audit runs in the folder.

    Raises:
        ResultsError: one does; the message says which.
    """
    with _locked(folder):
        about = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        write_file(folder / RUNNING, json.dumps(about).encode())
        try:
            yield
        finally:
            (folder / RUNNING).unlink(missing_ok=True)
            with suppress(OSError):  # the folder may be gone, and Windows keeps files that are open
                if [path.name for path in folder.iterdir()] == [LOCK]:  # nothing was begun, so nothing is left
                    (folder / LOCK).unlink()


def require_none_running(folder: Path) -> None:
    """Check that no audit runs in the folder at this moment.

    Raises:
        ResultsError: one does; the message says which.
    """
    if is_file(folder / LOCK):
        with _locked(folder):
            pass


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ResultsError(
            f"an audit is running in {folder}: {_who(folder)}; wait until it has ended, or choose another folder",
            path=str(folder),
        ) from None
    except OSError as error:
        raise ResultsError(f"cannot lock {folder / LOCK}: {error.strerror}", path=str(folder)) from error
    try:
        if not (folder / LOCK).is_file():  # an audit that began nothing removed it between our opening and locking it
            raise ResultsError(f"an audit in {folder} has just ended; run the command again", path=str(folder))
        yield
    finally:
        lock.release()


def _who(folder: Path) -> str:
    try:
        about = json.loads((folder / RUNNING).read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['host']}, since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun, or is just ending
        return "another process"


__all__ = ["LOCK", "RUNNING", "require_none_running", "running_alone"]
