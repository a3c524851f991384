"""A run that is cut off anywhere is continued: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fiberscope.audits.verdicts
import fiberscope.files
from fiberscope.cli import main
from small_audits import LAYERS, change_manifest, files, rows

BLOCKS = 3


@pytest.fixture
def classified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of samples in each call of ``classify``."""
    calls: list[int] = []
    classify = fiberscope.audits.verdicts.classify

    def counted(layer, X, domain=None, **effort):
        calls.append(len(X))
        return classify(layer, X, domain=domain, **effort)

    monkeypatch.setattr(fiberscope.audits.verdicts, "classify", counted)
    return calls


def shards(folder: Path) -> set[str]:
    return (
        {path.name for path in (folder / "preimages").glob("layer-*.parquet")}
        if (folder / "preimages").is_dir()
        else set()
    )


def start(arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fiberscope", *arguments]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_ctrl_c,
    )


def _heed_ctrl_c() -> None:
    """A job in the background of a shell ignores Ctrl-C, and what it starts inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_work(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("judging"):
            return


def group_ended(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the process and all that it started are gone, within a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.fault
@pytest.mark.parametrize(("workers", "kills"), [("1", 1), ("2", 2)])
def test_killed_at_random_moments(workers: str, kills: int, finished: Path, again: list[str], tmp_path: Path) -> None:
    out, moments = tmp_path / "out", random.Random(kills)
    arguments = [*again, "--out", str(out), "--resume"]
    kept: set[str] = set()
    for _ in range(kills):
        with start([*arguments, "--workers", workers]) as process:
            wait_for_work(process)
            time.sleep(moments.uniform(0.0, 0.4))
            process.kill()
        assert group_ended(process, 10), "workers must not outlive the run that started them"
        assert kept <= shards(out), "a finished chunk was lost"
        kept = shards(out)
    assert main([*arguments, "--workers", "1"]) == 0
    assert rows(out) == rows(finished / "out")
    assert files(out) == files(finished / "out")
    assert not list(out.rglob(".*"))
    assert main(["verify", str(out)]) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("broken", range(1, 3 * LAYERS * BLOCKS + 4, 5))
def test_cut_off_at_every_kind_of_write(
    broken: int,
    finished: Path,
    again: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    classified: list[int],
) -> None:
    """The process ends right before the n-th file would get its name, leaving the temporary file behind."""
    writes = 0
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        nonlocal writes
        writes += 1
        if writes == broken:
            shutil.copy(self, self.with_name(f".left.{'0' * 32}.part{self.suffix}"))
            raise KeyboardInterrupt
        return replace(self, target)

    arguments = [*again, "--out", str(tmp_path / "out"), "--workers", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        assert main(arguments) == 2
    written = len(shards(tmp_path / "out"))
    classified.clear()
    assert main([*arguments, "--resume"]) == 0
    assert len(classified) == 2 * (LAYERS * BLOCKS - written), "each missing chunk once, on its two domains"
    assert files(tmp_path / "out") == files(finished / "out")
    assert not list((tmp_path / "out").rglob(".*"))


def test_resuming_a_finished_audit_computes_nothing(out: Path, again: list[str], classified: list[int]) -> None:
    before, manifest = files(out), (out / "manifest.json").read_text()
    assert main([*again, "--out", str(out), "--resume"]) == 0
    assert classified == []
    assert files(out) == before
    assert (out / "manifest.json").read_text() == manifest


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("part", ["preimages", "certificates", "inputs"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_file_is_computed_again(
    part: str, damage: str, finished: Path, out: Path, again: list[str], classified: list[int]
) -> None:
    path = next((out / part).glob("layer-01-block-0001.*"))
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 3] ^= 0x10
        path.write_bytes(data)
    assert main([*again, "--out", str(out), "--resume"]) == 0
    assert classified == [5, 5]
    assert files(out) == files(finished / "out")
    assert main(["verify", str(out)]) == 0


def test_resume_into_an_absent_or_empty_folder_starts_afresh(finished: Path, again: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        assert main([*again, "--out", str(tmp_path / name), "--resume", "--layers", "2", "--samples", "4"]) == 0
        assert len(rows(tmp_path / name)) == 8


def test_without_resume_a_folder_with_anything_in_it_is_refused(
    out: Path, again: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*again, "--out", str(out)]) == 2
    assert "--resume, or choose another folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--domain", "0,2"], "--domain"),
        (["--layers", "0"], "--layers"),
        (["--samples", "9"], "--samples"),
        (["--block", "4"], "--block"),
    ],
)
def test_other_options_are_refused_and_named(
    options: list[str], said: str, out: Path, again: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(out)
    arguments = list(again)
    if options[0] in arguments:
        del arguments[arguments.index(options[0]) : arguments.index(options[0]) + 2]
    assert main([*arguments, *options, "--out", str(out), "--resume"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "it differs in" in error
    assert said in error
    assert error.count(" in the folder") == 1, "nothing but the option itself"
    assert files(out) == before


def test_another_model_or_other_data_are_refused(
    out: Path, again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    from small_audits import small_data, small_network

    small_network(seed=5).save(tmp_path / "other.safetensors")
    np.savez(tmp_path / "other.npz", x=small_data(13, seed=9), y=np.arange(13) % 10)
    for position, name, said in ((1, "other.safetensors", "model"), (2, "other.npz", "data")):
        arguments = [*again, "--out", str(out), "--resume"]
        arguments[position] = str(tmp_path / name)
        assert main(arguments) == 2
        assert f"it differs in {said} (SHA-256)" in capsys.readouterr().err


def test_classes_of_other_names_are_refused(out: Path, again: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As if the folders of images that the audit began with had been renamed since."""
    change_manifest(out, {"classes": ["cat", "dog"]})
    assert main([*again, "--out", str(out), "--resume"]) == 2
    assert "it differs in names of the classes: ('cat', 'dog') in the folder, () now;" in capsys.readouterr().err


def test_a_thousand_names_of_classes_are_not_all_shown(
    out: Path, again: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    change_manifest(out, {"classes": [f"class {number}" for number in range(1000)]})
    assert main([*again, "--out", str(out), "--resume"]) == 2
    assert len(capsys.readouterr().err.splitlines()[-1]) < 1000


def test_a_foreign_folder_is_refused_and_left_alone(
    again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("do not touch")
    assert main([*again, "--out", str(tmp_path), "--resume"]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["{}", "not json", '{"format": "something else"}', "[1, 2]"])
def test_a_foreign_manifest_is_refused(
    text: str, again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").write_text(text)
    for arguments in (
        [*again, "--out", str(tmp_path), "--resume"],
        ["verify", str(tmp_path)],
        ["report", str(tmp_path)],
    ):
        assert main(arguments) == 2
        assert "not the manifest of a fiberscope audit" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"layers": [7]},
        {"samples": 0},
        {"blocks": [-1, 5, 5]},
        {"domain": [1]},
        {"digests": 3},
        {"shards": {}},
        {"runs": [{}]},
        {"x": 1},
    ],
)
@pytest.mark.usefixtures("unchecked")  # refused by the function itself
def test_a_manifest_that_makes_no_sense_is_refused(
    change: dict[str, object], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_manifest(out, change)
    assert main(["verify", str(out)]) == 2
    assert "not the manifest of a fiberscope audit" in capsys.readouterr().err


def test_another_version_is_refused(out: Path, again: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    change_manifest(out, {"fiberscope": "0.0.1"})
    assert main([*again, "--out", str(out), "--resume"]) == 2
    assert "version of fiberscope: '0.0.1' in the folder" in capsys.readouterr().err


@pytest.mark.fault
@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.quick), "2", "2 --scheduler local"])
def test_ctrl_c_leaves_a_folder_that_can_be_continued(
    workers: str, finished: Path, again: list[str], tmp_path: Path
) -> None:
    if "--scheduler" in workers:
        pytest.importorskip("distributed", reason="dask's package distributed is not installed")
    out = tmp_path / "out"
    arguments = [*again, "--out", str(out), "--resume"]
    process = start([*arguments, "--workers", *workers.split()])
    wait_for_work(process)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the run and its workers
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "interrupted: " in errors
    assert "--resume" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert group_ended(process, 5)
    assert main([*arguments, "--workers", "1"]) == 0
    assert files(out) == files(finished / "out")
