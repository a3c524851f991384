"""The command ``fiberscope leakage``: its files, its words, its exit statuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fiberscope.cli import main
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.recovery.leak import Leak

STORED = (np.arange(256) / 255).astype(np.float32)


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """Pictures of 2 x 2 pixels; a layer that tells them, and one that tells a sum of them; MODEL and DATA."""
    rng = np.random.default_rng(0)
    wide, sums = np.vstack([np.eye(4), -np.eye(4), rng.random((2, 4))]), np.ones((1, 10))
    stages = (
        affine_stage("a", Dense(wide, np.full(10, 0.5))),
        relu_stage("r", 10),
        affine_stage("b", Dense(sums, np.ones(1))),
        relu_stage("s", 1),
    )
    Network(stages, (1, 2, 2)).save(tmp_path / "net.safetensors")
    np.savez(tmp_path / "tiny<b>.npz", x=rng.choice(STORED, (12, 1, 2, 2)))
    return [str(tmp_path / "net.safetensors"), str(tmp_path / "tiny<b>.npz")]


def run(given: list[str], out: Path, *more: str) -> int:
    return main(["leakage", *given, "--out", str(out), "--samples", "2", "--seconds", "1", *more])


def rows(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "leakage.parquet").to_pylist()


def test_table_page_and_terminal_say_the_same(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(given, out, "--precision", "float32,int8,1e-2") == 0
    assert sorted(path.name for path in out.iterdir()) == ["leakage", "leakage.html", "leakage.parquet"]
    found = rows(out)
    assert list(found[0]) == list(Leak.__annotations__)
    places = [(row["layer"], row["precision"], row["sample"]) for row in found]
    assert places == [(i, p, s) for i in (0, 1) for p in ("float32", "int8", "0.01") for s in (0, 1)]
    assert all(row["recoverable"] == (row["layer"] == 0) for row in found if row["precision"] == "float32")
    printed, page = capsys.readouterr(), (out / "leakage.html").read_text()
    assert "recovering inputs, layers and samples: 4 of 4" in printed.err
    assert "2/2" in printed.out
    assert "A guess: an attack came so near" in printed.out
    assert "12 samples of 1 x 2 x 2 numbers" in printed.out
    assert "tiny&lt;b&gt;" in page
    assert "tiny<b>" not in page
    assert "the first 2" in page
    assert page.count("data:image/png") >= 2 * (1 + 6)
    for words in ("Proved</strong> holds for every input", "It proves nothing about other inputs", "<svg", "<polyline"):
        assert words in page
    assert not re.search(r"\bnan\b|None\b|Undefined", re.sub(r"<style>.*?</style>|data:[^\"]*", "", page, flags=re.S))


def test_thresholds_fail_where_they_should(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--precision", "float32,int8")
    kept = ["recoverable>0@layer1@int8", "radius<0.0001@layer1", "bits<1@layer1@int8"]
    failed = ["recoverable>0@layer0@float32", "rebuilt>=1 sample@layer0", "bits.min<0.5", "radius<1@layer0@float32"]
    assert run(given, tmp_path / "kept", *asked, *(f"--fail-on={each}" for each in kept)) == 0
    assert "3 thresholds kept" in capsys.readouterr().out
    assert run(given, tmp_path / "failed", *asked, *(f"--fail-on={each}" for each in failed)) == 1
    printed = capsys.readouterr().out
    assert "4 of 4 thresholds failed" in printed
    assert re.search(r"failed: recoverable>0@layer0@float32: layer 0 \S+ at float32: 2 of 2 samples", printed)
    assert (tmp_path / "failed" / "leakage.html").exists()


def test_a_finished_folder_is_held_against_thresholds(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By ``report``: where there is nothing but leakage, and beside an audit."""
    out = tmp_path / "out"
    assert main(["audit", *given, "--samples", "2", "--out", str(tmp_path / "audit")]) == 0
    for folder in (out, tmp_path / "audit"):
        assert run(given, folder, "--precision", "float32,int8") == 0

    def report(*thresholds: str, folder: Path = out) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["report", str(folder), *(f"--fail-on={each}" for each in thresholds)])
        return status, "".join(capsys.readouterr())

    assert report()[0] == 0
    for folder in (out, tmp_path / "audit"):
        assert report("recoverable>0@layer1@int8", "bits<1@layer1@int8", folder=folder)[0] == 0
        status, said = report("recoverable>0@layer0@float32", "rebuilt>=1 sample@layer0", folder=folder)
        assert status == 1
        assert "2 of 2 thresholds failed" in said
        assert re.search(r"failed: recoverable>0@layer0@float32: layer 0 \S+ at float32: 2 of 2 samples", said)
        for wrong in ("rebuilt>0@float16", "rebuilt>0@layer7"):
            status, said = report(wrong, folder=folder)
            assert status == 2
            assert "a place where rebuilt is measured" in said
    status, said = report("unbounded>0@layer1", "radius<1@layer0@float32", folder=tmp_path / "audit")
    assert status == 1
    assert "2 of 2 thresholds failed" in said


def test_thresholds_on_leakage_need_some(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *given, "--samples", "2", "--out", str(tmp_path / "audit")]) == 0
    assert main(["report", str(tmp_path / "audit"), "--fail-on", "bits<1"]) == 2
    assert "only where fiberscope leakage has finished in the same folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--precision", "float33"], "--precision: expected one of float32, float16, int8, or a positive number"),
        (["--precision", "int8,-1"], "got '-1'"),
        (["--domain", "1"], "--domain"),
        (["--domain", "0,0.1"], "expected every input between 0 and 0.1"),
        (["--layers", "2"], "layers"),
        (["--seconds", "0"], "--seconds"),
        (["--samples", "99"], "samples"),
        (["--fail-on", "singleton>0"], "one of recoverable, rebuilt, bits, radius"),
        (["--fail-on", "rebuilt>0@float16", "--precision", "int8"], "a place where rebuilt is measured"),
        (["--fail-on", "rebuilt>0@layer7"], "a place where rebuilt is measured"),
        (["--fail-on", "rebuilt>0@box"], "@layerK, and a precision such as @int8"),
        (["--fail-on", "rebuilt>2"], "a share of the samples between 0 and 1"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    out = tmp_path / "out"
    assert run(given, out, *more) == 2
    message = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("recovering")]
    assert len(message) == 1
    assert words in message[0]
    assert not out.exists()


def test_samples_are_ten_where_nothing_is_said(given: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["leakage", *given, "--out", str(out), "--precision", "float32", "--layers", "0"]) == 0
    assert {row["sample"] for row in rows(out)} == set(range(10))
    assert json.dumps(rows(out)[0]["recoverable"]) == "true"


def test_layers_that_give_nothing_have_rows_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead = Network((affine_stage("a", Dense(-np.eye(2), np.zeros(2))), relu_stage("r", 2)), (2,))
    dead.save(tmp_path / "net.safetensors")
    np.save(tmp_path / "x.npy", np.array([[0.5, 1.0], [0.0, 1.0]]))
    out = tmp_path / "out"
    assert run([str(tmp_path / "net.safetensors"), str(tmp_path / "x.npy")], out, "--precision", "int8") == 0
    assert all("not all 0" in row["reason"] for row in rows(out))
    assert "2 samples: precision: expected outputs that are not all 0" in (out / "leakage.html").read_text()
    assert "0/2" in capsys.readouterr().out
