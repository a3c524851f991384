"""The ledger: what it says is not read again, and what it does not say is."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fiberscope.audits import sample_tables, store
from fiberscope.audits.archives import map_archive, write_archive
from fiberscope.audits.effort import sensible_blocks
from fiberscope.audits.finished import finished
from fiberscope.audits.job import Options, build_job
from fiberscope.audits.ledger import Entry, Ledger, Stamp
from fiberscope.audits.plan import AnyChunk, Chunk
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.errors import ResultsError
from small_audits import LAYERS, digests, small_data, small_network, unfinish

SAMPLES = 6
OPTIONS = Options(block=4, workers=1, spectra=1)
SUBJECT = Subject(small_network(), small_data(SAMPLES), None, "net", "data", "")
ENTRY = Entry("layer-00-block-0000", {"inputs": Stamp("a" * 64, 3, 4), "preimages": Stamp("b" * 64, 5, 6)})


@pytest.fixture(name="whole", scope="module")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger") / "out"
    list(build_job(Results(folder), SUBJECT, OPTIONS).run())
    return folder


@pytest.fixture(name="out")
def _out(whole: Path, tmp_path: Path) -> Path:
    """A copy with its times, as a file system that is moved keeps them."""
    return Path(shutil.copytree(whole, tmp_path / "out", copy_function=shutil.copy2))


def read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[set[AnyChunk], set[str]]:
    """The chunks that are done, and which files of chunks were read to find out."""
    read: set[str] = set()

    def noted(path: Path) -> bytes:
        read.add(str(path.relative_to(folder)))
        return path.read_bytes()

    with monkeypatch.context() as patch:
        for module in (store, sample_tables):
            patch.setattr(module, "read_file", noted)
        results = Results(folder)
        done = finished(results, results.manifest())
    return set(done), {name for name in read if "/" in name}


def test_what_the_ledger_tells_of_is_not_read(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, read = read_again(out, monkeypatch)
    assert done == set(Results(out).manifest().plan.every_chunk())
    assert read == set()


def test_what_was_changed_since_is_read_and_done_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time tells, even where its length does not."""
    path = out / "certificates/layer-01-block-0001.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    done, read = read_again(out, monkeypatch)
    assert {Path(name).stem for name in read} == {"layer-01-block-0001"}
    assert set(Results(out).manifest().plan.every_chunk()) - done == {Chunk(1, 1, 4, 6)}


def test_files_that_only_look_different_are_read_and_done(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = out / "preimages/layer-01-block-0001.parquet"
    os.utime(path, ns=(1, 1))
    done, read = read_again(out, monkeypatch)
    assert str(path.relative_to(out)) in read
    assert done == set(Results(out).manifest().plan.every_chunk())


@pytest.mark.parametrize("kept", [b"", b"half a line", b"\xff\xfe\n", b"[]\n", b'{"name": 3, "files": 4}\n', None])
def test_without_its_lines_everything_is_read_and_nothing_lost(
    kept: bytes | None, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(out)
    unfinish(out)
    (out / "digests.jsonl").unlink() if kept is None else (out / "digests.jsonl").write_bytes(kept)
    done, read = read_again(out, monkeypatch)
    assert done == set(Results(out).manifest().plan.every_chunk())
    assert len(read) == 3 * 2 * LAYERS + 1
    assert list(build_job(Results(out), SUBJECT, Options(**vars(OPTIONS) | {"resume": True})).run()) == []
    assert digests(out) == before


def test_a_chunk_that_failed_is_not_done(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger says of it is not taken for an answer, but neither is it for a failure: its rows say."""
    ledger = Ledger(out)
    entries = [Entry(e.name, e.files, failed=e.name == "layer-00-block-0000") for e in ledger.entries().values()]
    Results(out).write_manifest(Results(out).manifest().finished((), (), ledger.rewrite(entries), ()))
    _, read = read_again(out, monkeypatch)
    assert {Path(name).stem for name in read} == {"layer-00-block-0000"}


def test_lines_come_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    later = Entry(ENTRY.name, {"inputs": Stamp("c" * 64, 7, 8), "preimages": Stamp("d" * 64, 9, 10)}, failed=True)
    digest = ledger.rewrite([ENTRY, later])
    assert list(ledger.entries().values()) == [later], "the later line holds"
    assert ledger.digests(digest) == {ENTRY.name: {"inputs": "c" * 64, "preimages": "d" * 64}}
    with pytest.raises(ResultsError, match="was changed since"):
        ledger.digests("0" * 64)
    assert json.loads(ENTRY.to_line())["files"]["inputs"] == ["a" * 64, 3, 4]


def test_a_ledger_that_was_changed_is_noticed(out: Path) -> None:
    path = out / "digests.jsonl"
    path.write_bytes(path.read_bytes().replace(b"layer-00", b"layer-09"))
    with pytest.raises(ResultsError, match=r"digests\.jsonl was changed since"):
        Results(out).manifest()


def test_mapped_arrays_are_those_that_were_written(tmp_path: Path) -> None:
    arrays = {
        "x": np.random.default_rng(0).uniform(size=(7, 2, 3)).astype(np.float32),
        "turned": np.asfortranarray(np.arange(12).reshape(3, 4)),
        "y": np.arange(7),
        "big": np.arange(3, dtype=">i2"),
    }
    path = tmp_path / "data.npz"
    write_archive(path, arrays)
    for read in (map_archive(path), dict(np.load(path))):
        assert read.keys() == arrays.keys()
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)
    assert isinstance(map_archive(path)["x"], np.memmap)
    data = path.read_bytes()
    for at in range(0, len(data), 97):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(ResultsError, match=r"data\.npz is damaged"):
            map_archive(path)
    for other in (b"", b"no archive", data[: len(data) // 2]):
        path.write_bytes(other)
        with pytest.raises(ResultsError, match=r"data\.npz is damaged"):
            map_archive(path)


def test_blocks_are_as_large_as_a_verdict_is_cheap() -> None:
    from fiberscope.network.affine import Dense
    from fiberscope.network.network import Network
    from fiberscope.network.stage import affine_stage, relu_stage

    sizes = (2000, 20, 400)
    stages = []
    for k, (n, m) in enumerate(itertools.pairwise(sizes)):
        stages += [affine_stage(f"dense{k}", Dense(np.ones((m, n)), np.zeros(m))), relu_stage(f"relu{k}", m)]
    few, many = sensible_blocks(Network(tuple(stages), (2000,)), (0, 1))
    assert 12 < few < many == 1000
    assert sensible_blocks(small_network(), (2, 0)) == (1000, 1000)
