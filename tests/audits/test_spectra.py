"""Singular values in an audit: what is stored, for which stages, and that a run that is cut off is continued."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import fiberscope as fs
import fiberscope.audits.spectra
from fiberscope.audits.effort import has_large_matrices, sensible_spectra_workers
from fiberscope.audits.plan import SpectraChunk
from fiberscope.audits.shards import SPECTRA_SCHEMA
from fiberscope.audits.spectra import SpectraTask, spectra_at
from fiberscope.cli import main
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.stability.spectra import SCHEMA
from fiberscope.threads import cores
from small_audits import digests, small_data, small_network, small_spectra_oracle, spectra_files, spectra_rows

SAMPLES, SPECTRA = 13, 5
STAGES = len(small_network().stages)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The sample of each call of ``spectra``."""
    calls: list[bytes] = []
    spectra = fiberscope.audits.spectra.spectra

    def counted(network, X, stages=None, **words):
        calls.append(np.asarray(X).tobytes())
        return spectra(network, X, stages, **words)

    monkeypatch.setattr(fiberscope.audits.spectra, "spectra", counted)
    return calls


def samples_of(*numbers: int) -> list[bytes]:
    return [small_data(SAMPLES)[number].tobytes() for number in numbers]


def limit(monkeypatch: pytest.MonkeyPatch, max_bytes: int) -> None:
    """Let stages be too large whose rows take more than so many bytes."""
    limited = partial(fiberscope.audits.spectra.spectra, max_bytes=max_bytes)
    monkeypatch.setattr(fiberscope.audits.spectra, "spectra", limited)


def test_there_is_one_row_per_sample_and_stage(decomposed: Path) -> None:
    found = spectra_rows(decomposed / "out")
    assert [(row["sample"], row["stage"]) for row in found] == [(i, s) for i in range(SPECTRA) for s in range(STAGES)]
    for row in found:
        stage = small_network().stages[row["stage"]]
        assert (row["name"], row["outputs"], row["reason"]) == (stage.name, stage.outputs, "")
        assert row["method"] in ("gram", "qr", "svd")


def test_the_columns_are_those_of_the_library_and_the_reason(decomposed: Path) -> None:
    schema = pq.read_schema(decomposed / "out/spectra/sample-000000.parquet")
    assert schema.equals(SPECTRA_SCHEMA)
    radii = ["region_distance", "stability_radius", "modulus", "radius_reason"]
    assert schema.names == [*SCHEMA.names, *radii, "reason"]
    assert schema.types[: len(SCHEMA.types)] == SCHEMA.types


def test_values_are_those_of_the_matrices_at_the_sample_of_that_number(decomposed: Path) -> None:
    ranks = set()
    for row in spectra_rows(decomposed / "out"):
        oracle = small_spectra_oracle(small_data(SAMPLES)[row["sample"]])[row["stage"]]
        assert (np.abs(np.array(row["values"]) - oracle) <= np.array(row["error_bound"]) + 1e-14).all()
        nonzero = oracle[oracle > 1e-10]
        assert row["rank"] == len(nonzero)
        if len(nonzero):
            assert row["condition_number"] == pytest.approx(nonzero[0] / nonzero[-1], rel=1e-9)
        else:
            assert np.isnan(row["condition_number"])
        ranks.add(row["rank"])
    assert len(ranks) > 3, "otherwise this compares little"


def test_values_of_a_residual_network_are_those_of_its_jacobians(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, inner = nn.Conv2d(1, 2, 3, padding=1).double(), nn.Conv2d(2, 2, 3, padding=1).double()

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner = first, inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.first(x))
            return nn.functional.max_pool2d(torch.relu(self.inner(x) + x), 2)

    module = Residual().eval()
    fs.from_torch(module, input_shape=(1, 4, 4)).save(tmp_path / "net.safetensors")
    x = np.random.default_rng(0).standard_normal((3, 1, 4, 4))
    np.save(tmp_path / "x.npy", x)
    arguments = [str(tmp_path / "net.safetensors"), str(tmp_path / "x.npy"), "--out", str(tmp_path / "out")]
    assert main(["audit", *arguments, "--spectra", "3"]) == 0
    rows = spectra_rows(tmp_path / "out")
    final = [row for row in rows if row["stage"] == rows[-1]["stage"]]
    assert [row["sample"] for row in final] == [0, 1, 2]
    for row in final:
        J = torch.func.jacrev(lambda v: module(v[None])[0].flatten())(torch.tensor(x[row["sample"]])).reshape(8, 16)
        oracle = np.linalg.svd(J.detach().numpy(), compute_uv=False)
        assert np.allclose(row["values"], oracle, rtol=0, atol=1e-13 * oracle[0])
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_without_the_option_there_are_none(finished: Path) -> None:
    assert not (finished / "out/spectra").exists()
    manifest = json.loads((finished / "out/manifest.json").read_text())
    assert (manifest["spectra"], manifest["spectra_counts"], manifest["runs"][0]["spectra"]) == (0, [], 0)


def test_the_manifest_says_what_was_done(decomposed: Path) -> None:
    manifest = json.loads((decomposed / "out/manifest.json").read_text())
    run = manifest["runs"][0]
    assert (manifest["status"], manifest["spectra"], run["spectra"], run["spectra_workers"]) == ("complete", 5, 5, 1)
    assert 0 < run["spectra_seconds"] <= run["seconds"]
    stages = small_network().stages
    assert manifest["spectra_counts"] == [
        {"stage": number, "name": stage.name, "computed": SPECTRA, "left_out": 0, "reason": ""}
        for number, stage in enumerate(stages)
    ]
    found = {name: hashlib.sha256(data).hexdigest() for name, data in spectra_files(decomposed / "out").items()}
    told = digests(decomposed / "out").items()
    recorded = {f"{name}.parquet": parts["spectra"] for name, parts in told if "spectra" in parts}
    assert recorded == found


# ---- continuing


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("broken", range(1, SPECTRA + 1))
def test_cut_off_at_every_write(
    broken: int,
    decomposed: Path,
    decompose: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    computed: list[bytes],
) -> None:
    """The process ends right before the n-th file of values would get its name, leaving the temporary file behind."""
    writes, replace = 0, Path.replace

    def failing(self: Path, target: Path) -> Path:
        nonlocal writes
        writes += target.parent.name == "spectra"
        if target.parent.name == "spectra" and writes == broken:
            shutil.copy(self, self.with_name(f".left.{'0' * 32}.part{self.suffix}"))
            raise KeyboardInterrupt
        return replace(self, target)

    arguments = [*decompose, "--out", str(tmp_path / "out"), "--spectra", str(SPECTRA), "--workers", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        assert main(arguments) == 2
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["status"], manifest["runs"][0]["spectra"]) == ("running", broken - 1)
    computed.clear()
    assert main([*arguments, "--resume"]) == 0
    assert computed == samples_of(*range(broken - 1, SPECTRA)), "each missing sample once"
    assert spectra_files(tmp_path / "out") == spectra_files(decomposed / "out")
    assert not list((tmp_path / "out").rglob(".*"))


@pytest.mark.fault
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_while_values_are_computed(workers: str, decomposed: Path, decompose: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [*decompose, "--out", str(out), "--spectra", str(SPECTRA), "--resume"]
    with subprocess.Popen(
        [sys.executable, "-m", "fiberscope", *arguments, "--workers", workers],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("singular values, samples: 1 of 5") for line in process.stderr)
        os.killpg(process.pid, signal.SIGKILL)
    kept = spectra_files(out)
    assert any(not name.startswith(".") for name in kept)
    assert main([*arguments, "--workers", "1"]) == 0
    assert spectra_files(out) == spectra_files(decomposed / "out")
    assert main(["verify", str(out)]) == 0


def test_resuming_a_finished_audit_computes_nothing(
    spectra_out: Path, decompose: list[str], computed: list[bytes]
) -> None:
    before, manifest = spectra_files(spectra_out), (spectra_out / "manifest.json").read_text()
    assert main([*decompose, "--out", str(spectra_out), "--spectra", "5", "--resume"]) == 0
    assert computed == []
    assert spectra_files(spectra_out) == before
    assert (spectra_out / "manifest.json").read_text() == manifest


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_file_is_computed_again(
    damage: str, decomposed: Path, spectra_out: Path, decompose: list[str], computed: list[bytes]
) -> None:
    path = spectra_out / "spectra/sample-000003.parquet"
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 3] ^= 0x10
        path.write_bytes(data)
    assert main([*decompose, "--out", str(spectra_out), "--spectra", "5", "--resume"]) == 0
    assert computed == samples_of(3)
    assert spectra_files(spectra_out) == spectra_files(decomposed / "out")
    assert main(["verify", str(spectra_out)]) == 0


def test_more_samples_are_added(
    decomposed: Path, spectra_out: Path, decompose: list[str], computed: list[bytes]
) -> None:
    assert main([*decompose, "--out", str(spectra_out), "--spectra", "7", "--resume"]) == 0
    assert computed == samples_of(5, 6)
    before, now = spectra_files(decomposed / "out"), spectra_files(spectra_out)
    assert len(now) == 7
    assert before.items() <= now.items()
    manifest = json.loads((spectra_out / "manifest.json").read_text())
    assert (manifest["spectra"], [run["spectra"] for run in manifest["runs"]]) == (7, [5, 2])
    assert main(["verify", str(spectra_out)]) == 0


def test_they_are_added_to_an_audit_without(out: Path, again: list[str], computed: list[bytes]) -> None:
    assert main([*again, "--out", str(out), "--spectra", "2", "--resume"]) == 0
    assert computed == samples_of(0, 1)
    assert main(["verify", str(out)]) == 0


@pytest.mark.parametrize(("options", "now"), [(["--spectra", "3"], 3), ([], 0)])
def test_fewer_samples_are_refused(
    options: list[str], now: int, spectra_out: Path, decompose: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = spectra_files(spectra_out)
    assert main([*decompose, *options, "--out", str(spectra_out), "--resume"]) == 2
    assert f"it differs in --spectra: 5 in the folder, {now} now" in capsys.readouterr().err.splitlines()[-1]
    assert spectra_files(spectra_out) == before


# ---- what does not fit


def test_a_stage_that_is_too_large_is_left_out_with_its_reason(
    decomposed: Path, decompose: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    limit(monkeypatch, 8 * 9 * 6 - 1)  # one byte less than the first stage takes
    assert main([*decompose, "--out", str(tmp_path / "out"), "--spectra", "2"]) == 0
    said = capsys.readouterr().out
    rows = spectra_rows(tmp_path / "out")
    left_out = [row for row in rows if row["reason"]]
    assert left_out, "the limit has an effect"
    assert {row["stage"] for row in left_out} >= {0}
    for row in left_out:
        assert "expected at most" in row["reason"]
        assert (row["rank"], row["values"], row["condition_number"], row["method"]) == (None, None, None, "")
    kept = {(row["sample"], row["stage"]): row for row in spectra_rows(decomposed / "out")}
    assert all(row == kept[row["sample"], row["stage"]] for row in rows if not row["reason"])
    assert "stage 0 dense0: singular values left out at 2 samples: " in said
    counts = json.loads((tmp_path / "out/manifest.json").read_text())["spectra_counts"]
    assert (counts[0]["computed"], counts[0]["left_out"]) == (0, 2)
    assert "expected at most" in counts[0]["reason"]
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "Left out, by stage:" in page
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert f"{len(left_out)} left out by the audit" in capsys.readouterr().out


def test_stages_that_fit_are_computed_before_and_after_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """``spectra`` as it would be if one stage in the middle, and only that, were refused after some work."""
    spectra = fiberscope.audits.spectra.spectra

    def refuse_stage_2(network, X, stages, progress):
        before = [stage for stage in stages if stage < 2]
        if 2 in stages:
            for done in range(1, len(before) + 1):
                progress(done, len(stages))
            raise fs.InputError("stage 'dense1'", expected="at most 1 GiB", got="2 GiB", hint="ask for less")
        return spectra(network, X, stages, progress=progress)

    monkeypatch.setattr(fiberscope.audits.spectra, "spectra", refuse_stage_2)
    table = spectra_at(small_network(), SpectraTask(SpectraChunk(4), small_data(5)[4])).to_pylist()
    assert [row["stage"] for row in table] == list(range(STAGES))
    assert [row["reason"] for row in table] == [
        "stage 'dense1': expected at most 1 GiB, got 2 GiB" if stage == 2 else "" for stage in range(STAGES)
    ]
    oracle = small_spectra_oracle(small_data(5)[4])
    assert all(np.allclose(row["values"], oracle[row["stage"]], atol=1e-12) for row in table if row["stage"] != 2)
    assert {row["sample"] for row in table} == {4}


def test_nothing_fits(decompose: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    limit(monkeypatch, 1)
    out = tmp_path / "out"
    assert main([*decompose, "--out", str(out), "--spectra", "1"]) == 0
    assert all(row["reason"] for row in spectra_rows(out))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'data-figure="decay"' not in page
    assert "Left out, by stage:" in page
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    assert f"0 not confirmed, {STAGES} left out" in capsys.readouterr().out


# ---- effort


def test_large_matrices_are_not_spread_over_processes() -> None:
    def wide(outputs: int) -> Network:
        return Network((affine_stage("a", Dense(np.ones((outputs, 2000)))), relu_stage("r", outputs)), (2000,))

    assert not has_large_matrices(wide(1000))
    assert sensible_spectra_workers(wide(1000), 50) == min(cores(), 50)
    assert sensible_spectra_workers(small_network(), 50) == 1
    assert has_large_matrices(wide(5000))
    assert sensible_spectra_workers(wide(5000), 50) == 1
