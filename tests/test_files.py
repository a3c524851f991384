"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fiberscope.cli import main
from fiberscope.errors import ResultsError
from fiberscope.files import atomic_path


def test_writes_the_file_and_leaves_nothing_else(tmp_path: Path):
    target = tmp_path / "deep" / "folder" / "numbers.json"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        temporary.write_text("[1]")
        assert not target.exists()
    assert target.read_text() == "[1]"
    assert list(target.parent.iterdir()) == [target]


def test_replaces_an_older_file(tmp_path: Path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(str(target)) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def write_half(target: Path, error: BaseException) -> None:
    """Begin to write a file, then fail."""
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("computed wrongly"), KeyboardInterrupt()])
def test_failure_keeps_the_old_file_and_the_error(tmp_path: Path, error: BaseException):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(type(error)):
        write_half(target, error)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "permission"), (errno.EIO, os.strerror(errno.EIO))],
)
def test_errors_of_the_file_system_say_what_to_do(tmp_path: Path, number: int, advice: str):
    target = tmp_path / "a.txt"
    with pytest.raises(ResultsError, match=advice) as caught:
        write_half(target, OSError(number, os.strerror(number)))
    assert caught.value.path == str(target)
    assert str(target) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way(tmp_path: Path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(ResultsError, match="choose another"), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_a_file_where_a_folder_should_be(tmp_path: Path):
    (tmp_path / "a").write_text("")
    with pytest.raises(ResultsError, match="a part of the path is a file"), atomic_path(tmp_path / "a" / "b.txt"):
        pytest.fail("there is nowhere to write to")


def test_nothing_written_is_an_error(tmp_path: Path):
    with pytest.raises(ResultsError, match="nothing was written"), atomic_path(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["report"], ["verify"], ["audit", "--out"], ["audit", "--resume", "--out"]])
def test_a_folder_that_may_not_be_read_is_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is asked about files in it is refused as the system refuses it; root would be let through."""
    stat, closed = Path.stat, tmp_path / "closed"
    closed.mkdir()

    def refused(self: Path, **options: bool) -> os.stat_result:
        if closed in self.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", refused)
    assert main([*command, str(closed)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"fiberscope: error: cannot read {closed}/")
    assert line.endswith(": Permission denied")
