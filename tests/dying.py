"""Audits that end at a chosen moment: a process that has imported everything forks one child for each.

Run as a program it reads lines of JSON from standard input, ``{"ends": ..., "at": ..., "arguments": [...]}``, runs the
command line with these arguments in a child, and prints how it ended, as ``Ended`` has it. ``Nursery`` talks to it.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import assert_never

from small_audits import write_model_and_data


class Ends(StrEnum):
    """How an audit ends at its n-th file, counted from 1."""

    NOT = "not"
    HALF = "half"
    """Killed when half of the file is written."""
    UNNAMED = "unnamed"
    """Killed when all of it is written, before it gets its name."""
    NAMED = "named"
    """Killed right after it got its name."""
    FULL = "full"
    """The disk is full when half of it is written, and stays full."""


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        status: its exit status; minus the number of the signal that ended it.
        files: how many files it wrote, or tried to.
        said: the last line of its stderr.
    """

    status: int
    files: int
    said: str


class Nursery:
    """A process whose children are audits."""

    def __enter__(self) -> Nursery:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.communicate(timeout=60)

    def run(self, arguments: list[str], ends: Ends = Ends.NOT, at: int = 0) -> Ended:
        """Run an audit in a child and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ends": ends, "at": at, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


def main() -> None:
    """Serve until standard input ends."""
    import fiberscope.audits.job
    import fiberscope.audits.verify
    import fiberscope.cli
    import fiberscope.report.html  # noqa: F401 - imported once, for all children

    _import_what_an_audit_imports()
    for line in sys.stdin:
        wish = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _live(Ends(wish["ends"]), wish["at"], wish["arguments"], writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        files, said = told.count("file"), [each for each in told if each != "file"]
        answer = {"status": os.waitstatus_to_exitcode(status), "files": files, "said": said[-1] if said else ""}
        print(json.dumps(answer), flush=True)


def _import_what_an_audit_imports() -> None:
    """Import and compile once, for all children, what an audit needs as it goes; a first child finds out what that is.

    This process runs none itself: threads that a solver may start are missing in a child.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _audit_of_everything()
            os.write(writing, " ".join(sys.modules).encode())
        finally:  # a child must never return to the loop of its parent
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        names = pipe.read().split()
    os.waitpid(child, 0)
    for name in names:
        with contextlib.suppress(ImportError):  # some put themselves there under a name of their own
            importlib.import_module(name)
    templates = sys.modules["fiberscope.showing.templates"].environment("report")
    for name in templates.list_templates(extensions=["html"]):
        templates.get_template(name)


def _audit_of_everything() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = write_model_and_data(Path(folder), 2)
        asked = ["--domain", "0,1", "--spectra", "1", "--invariance", "1", "--workers", "1", "--out", f"{folder}/out"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            sys.modules["fiberscope.cli"].main(["audit", *files, *asked])


def _live(ends: Ends, at: int, arguments: list[str], told: int) -> None:
    status = 3
    try:
        _mind_the_files(ends, at, lambda: os.write(told, b"file\n"))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
            status = sys.modules["fiberscope.cli"].main(arguments)
        os.write(told, errors.getvalue().strip().encode())
    except BaseException:  # a child must never return to the loop of its parent
        traceback.print_exc()
    os._exit(status)


def _mind_the_files(ends: Ends, at: int, tell: Callable[[], object]) -> None:
    """Let the process end at its n-th file: all files go through ``fiberscope.files``, and these two calls in it."""
    files = sys.modules["fiberscope.files"]
    flush, replace, written = files._flush_to_disk, os.replace, 0

    def flushed(path: Path) -> None:
        nonlocal written
        written += 1
        tell()
        match ends:
            case Ends.HALF if written == at:
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            case Ends.FULL if written >= at:
                os.truncate(path, path.stat().st_size // 2)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            case Ends.UNNAMED if written == at:
                os.kill(os.getpid(), signal.SIGKILL)
            case Ends.NOT | Ends.HALF | Ends.FULL | Ends.UNNAMED | Ends.NAMED:
                flush(path)
            case _:
                assert_never(ends)

    def replaced(source: Path, target: Path) -> None:
        replace(source, target)
        if ends is Ends.NAMED and written == at:
            os.kill(os.getpid(), signal.SIGKILL)

    files._flush_to_disk, os.replace = flushed, replaced


if __name__ == "__main__":
    main()
