"""An audit that is killed at any file, or finds the disk full, is continued: nothing lost, nothing twice."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dying import Ends, Nursery
from small_audits import digests, finished_chunks, identities, tables, write_model_and_data

pytestmark = pytest.mark.fault

SAMPLES, FILES = 7, 35
"""Files that the audit below writes: who runs; model, data, manifest (twice); the ledger (twice); 3 x 2 x 3 of chunks;
2 + 2 of samples; 3 examples; the complete manifest, and the report."""

KILLS = (Ends.HALF, Ends.UNNAMED, Ends.NAMED)


@pytest.fixture(name="nursery", scope="module")
def _nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(name="audit", scope="module")
def _audit(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """An audit of everything that there is, without its folder."""
    files = write_model_and_data(tmp_path_factory.mktemp("model"), SAMPLES)
    asked = ["--domain", "0,1", "--block", "4", "--spectra", "2", "--invariance", "2", "--workers", "1"]
    return ["audit", *files, *asked, "--out"]


@pytest.fixture(name="undisturbed", scope="module")
def _undisturbed(nursery: Nursery, audit: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    ended = nursery.run([*audit, str(out)])
    assert (ended.status, ended.files) == (0, FILES), ended.said
    return out


def examples(out: Path) -> dict[str, list[Any]]:
    """All that is in the examples, but for the time that they took."""
    found: dict[str, list[Any]] = {}
    for path in (out / "examples").iterdir():
        with np.load(path) as content:
            facts = json.loads(content["facts"].tobytes())
            arrays = [content[name].tolist() for name in sorted(content.files) if name != "facts"]
        found[path.name] = [facts | {"seconds": None}, *arrays]
    return found


def assert_same(out: Path, undisturbed: Path) -> None:
    assert tables(out) == tables(undisturbed)
    assert examples(out) == examples(undisturbed)
    assert digests(out) == digests(undisturbed)
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (out, undisturbed)]
    for name in manifests[0].keys() - {"runs", "seal", "digests"}:  # the ledger knows when files were modified
        assert manifests[0][name] == manifests[1][name], name
    assert not [path for path in out.rglob(".*") if ".part" in path.suffixes]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """At every third file, or at all of them where the command line asks for it."""
    if "at" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-moment")
        metafunc.parametrize("at", range(1, FILES + 1, 1 if every else 3))


def test_killed_at_every_file_and_then_again(
    at: int, nursery: Nursery, audit: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    out, again = tmp_path / "out", random.Random(at)
    kills = [(again.choice(KILLS), at), (again.choice(KILLS), again.randint(1, max(1, FILES - at)))]
    whole: dict[str, tuple[int, int]] = {}
    for ends, file in kills:
        ended = nursery.run([*audit, str(out), "--resume"], ends, file)
        assert ended.status == -9 or (file > ended.files and ended.status == 0), ended.said
        now = finished_chunks(out)
        assert whole.items() <= now.items(), "a finished chunk was lost, or computed again"
        whole = now
    assert nursery.run([*audit, str(out), "--resume"]).status == 0
    assert whole.items() <= identities(out).items()
    assert_same(out, undisturbed)


def test_the_disk_is_full_from_some_file_on(
    at: int, nursery: Nursery, audit: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = nursery.run([*audit, str(out)], Ends.FULL, at)
    assert ended.status == 2
    assert "the disk is full; free some space or choose another folder, then run again" in ended.said
    assert not [path for path in out.rglob(".*") if ".part" in path.suffixes]
    whole = finished_chunks(out)
    assert nursery.run([*audit, str(out), "--resume"]).status == 0
    assert whole.items() <= identities(out).items()
    assert_same(out, undisturbed)


@pytest.fixture(name="small_disk")
def _small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a given size."""
    folder, size = tmp_path / "disk", request.param
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(shutil.which("mount") is None or not Path("/proc").is_dir(), reason="tmpfs is of Linux")
@pytest.mark.parametrize("small_disk", ["8k", "40k", "80k", "120k", "2m"], indirect=True)
def test_a_disk_that_is_really_full(nursery: Nursery, audit: list[str], undisturbed: Path, small_disk: Path) -> None:
    out = small_disk / "out"
    ended = nursery.run([*audit, str(out), "--resume"])
    assert ended.status == 2
    assert ended.said.startswith("fiberscope: error: ")
    assert "the disk is full" in ended.said
    whole = finished_chunks(out)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert nursery.run([*audit, str(out), "--resume"]).status == 0
    assert whole.items() <= identities(out).items()
    assert_same(out, undisturbed)


def test_killed_while_a_finished_audit_is_continued(
    nursery: Nursery, audit: list[str], undisturbed: Path, tmp_path: Path
) -> None:
    """Of a finished audit only the report is written again."""
    out = Path(shutil.copytree(undisturbed, tmp_path / "out"))
    before = identities(out)
    assert nursery.run([*audit, str(out), "--resume"], Ends.HALF, 1).status == -9
    assert nursery.run([*audit, str(out), "--resume"]).status == 0
    assert identities(out) == before
    assert_same(out, undisturbed)
