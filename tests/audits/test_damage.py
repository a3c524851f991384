"""One bit that changes anywhere in a results folder, or a file that ends early, is noticed and computed again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fiberscope.audits.execution import KINDS
from fiberscope.audits.finished import is_finished
from fiberscope.audits.plan import Chunk, SpectraChunk, SurveyChunk
from fiberscope.audits.store import Results
from fiberscope.cli import main
from fiberscope.errors import ResultsError
from small_audits import unfinish, write_model_and_data

PARTS = {
    Chunk: ("preimages", "certificates", "inputs"),
    SpectraChunk: ("spectra",),
    SurveyChunk: ("invariance",),
}
TABLES = tuple(part for parts in PARTS.values() for part in parts)
COMPUTED = (*TABLES, "examples")
GIVEN = ("manifest.json", "model.safetensors", "data.npz")
FLIPS, FLIPS_OF_COMMANDS = 75, 3


@pytest.fixture(name="asked", scope="module")
def _asked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    files = write_model_and_data(tmp_path_factory.mktemp("model"), 7)
    return ["audit", *files, "--domain", "0,1", "--block", "4", "--spectra", "2", "--invariance", "2"]


@pytest.fixture(name="whole", scope="module")
def _whole(asked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an audit of everything that there is; nobody writes into it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert main([*asked, "--out", str(out)]) == 0
    return out


@pytest.fixture(name="out")
def _out(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def contents(out: Path, part: str) -> dict[str, bytes]:
    paths = [out / part] if part in GIVEN else list((out / part).iterdir())
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def flip(path: Path, generator: random.Random) -> int:
    """Change one bit; returns which."""
    data, bit = bytearray(path.read_bytes()), generator.randrange(8 * path.stat().st_size)
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return bit


def truncate(path: Path, generator: random.Random) -> int:
    """Cut a file off; returns where."""
    length = generator.randrange(path.stat().st_size)
    path.write_bytes(path.read_bytes()[:length])
    return length


def chosen(out: Path, part: str, generator: random.Random) -> Path:
    return out / generator.choice(sorted(contents(out, part)))


def is_noticed(out: Path, path: Path) -> bool:
    """Whether what reads the file sees that it is not whole: an audit that goes on, or the check of an example."""
    results = Results(out)
    try:
        manifest = results.manifest()
        if path.parent == out:
            results.subject()
            return False
        plan = manifest.plan
    except ResultsError as error:
        return error.path == str(path)
    if path.parent.name == "examples":
        return results.examples.changed() == [str(path)]
    chunk = next(
        chunk
        for work in KINDS
        for chunk in work.chunks(plan)
        if path in [results.path(part, chunk) for part in PARTS[type(chunk)]]
    )
    return not is_finished(results, manifest, chunk)


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("status", ["complete", "running"])
@pytest.mark.parametrize("part", [*COMPUTED, *GIVEN])
def test_no_bit_changes_unnoticed(part: str, status: str, out: Path) -> None:
    """Neither when the manifest knows all digests nor before, when a killed audit is continued."""
    if status == "running":
        unfinish(out, counts=[], spectra_counts=[])
    assert all(not is_noticed(out, out / name) for name in contents(out, part)), "the test would see damage anywhere"
    generator = random.Random(f"{part} {status}")
    for _ in range(FLIPS):
        path = chosen(out, part, generator)
        whole = path.read_bytes()
        bit = flip(path, generator)
        assert is_noticed(out, path), f"{path.name}, bit {bit}"
        path.write_bytes(whole)


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("damage", [flip, truncate])
@pytest.mark.parametrize("part", [*COMPUTED, *GIVEN])
def test_verify_names_the_file(
    part: str, damage: Callable[[Path, random.Random], int], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = random.Random(part)
    for _ in range(FLIPS_OF_COMMANDS):
        path = chosen(out, part, generator)
        whole = path.read_bytes()
        where = damage(path, generator)
        assert main(["verify", str(out)]) == 2, f"{path.name}, {where}"
        assert path.name in capsys.readouterr().err.splitlines()[-1], f"{path.name}, {where}"
        path.write_bytes(whole)


@pytest.mark.parametrize("part", ["model.safetensors", "data.npz"])
def test_resume_writes_what_is_audited_again(
    part: str, whole: Path, out: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest says that the model and data given now are those."""
    path, generator = out / part, random.Random(part)
    for damage in (partial(flip, path, generator), partial(truncate, path, generator), path.unlink):
        damage()
        assert main(["verify", str(out)]) == 2
        assert "let the command that began the audit write it again with --resume" in capsys.readouterr().err
        assert main([*asked, "--out", str(out), "--resume"]) == 0
        assert contents(out, part) == contents(whole, part)


def test_examples_that_are_gone_are_missed(out: Path, asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    gone = sorted((out / "examples").iterdir())
    shutil.rmtree(out / "examples")
    assert main(["verify", str(out)]) == 2
    assert f"{gone[0]} (missing)" in capsys.readouterr().err.splitlines()[-1]
    assert main([*asked, "--out", str(out), "--resume"]) == 0
    assert sorted((out / "examples").iterdir()) == gone
    assert main(["verify", str(out)]) == 0


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("damage", [flip, truncate])
@pytest.mark.parametrize("part", COMPUTED)
def test_resume_computes_it_again(
    part: str, damage: Callable[[Path, random.Random], int], whole: Path, out: Path, asked: list[str]
) -> None:
    generator = random.Random(part)
    path = chosen(out, part, generator)
    where = damage(path, generator)
    others = {str(other): other.stat().st_mtime_ns for other in (out / part).iterdir() if other.stem != path.stem}
    assert main([*asked, "--out", str(out), "--resume"]) == 0, f"{path.name}, {where}"
    for table in TABLES:
        assert contents(out, table) == contents(whole, table), f"{path.name}, {where}"
    assert not Results(out).examples.changed()
    assert others.items() <= {str(other): other.stat().st_mtime_ns for other in (out / part).iterdir()}.items()
    assert main(["verify", str(out)]) == 0


@pytest.mark.parametrize("damage", [flip, truncate])
def test_resume_refuses_a_manifest_that_is_not_whole(
    damage: Callable[[Path, random.Random], int], out: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    where = damage(out / "manifest.json", random.Random("manifest.json"))
    before = {table: contents(out, table) for table in TABLES}
    assert main([*asked, "--out", str(out), "--resume"]) == 2, where
    assert "manifest.json" in capsys.readouterr().err.splitlines()[-1], where
    assert {table: contents(out, table) for table in TABLES} == before
