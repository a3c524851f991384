"""Stability radii in audits: what is stored is what the library finds, is proved again, and is shown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import fiberscope as fs
from fiberscope.audits.shards import table_to_bytes
from fiberscope.cli import main

SAMPLES = 3


def wide_network() -> fs.Network:
    """Layers that become wider, so that inputs are told apart."""
    torch.manual_seed(0)
    layers = (torch.nn.Linear(3, 24), torch.nn.ReLU(), torch.nn.Linear(24, 40), torch.nn.ReLU(), torch.nn.Linear(40, 2))
    return fs.from_torch(torch.nn.Sequential(*layers).eval(), input_shape=(3,))


def data() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).uniform(-1, 1, (5, 3))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("radii")
    wide_network().save(folder / "net.safetensors")
    np.save(folder / "x.npy", data())
    assert main([*arguments(folder), "--out", str(folder / "out")]) == 0
    return folder


def arguments(folder: Path) -> list[str]:
    files = [str(folder / "net.safetensors"), str(folder / "x.npy")]
    return ["audit", *files, "--layers", "0", "--spectra", str(SAMPLES), "--workers", "1"]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((folder / "spectra").iterdir()) for row in pq.read_table(path).to_pylist()]


def test_the_columns_are_what_the_library_finds_and_some_radii_are_beyond_the_region(audited: Path) -> None:
    network, beyond = wide_network(), 0
    for row in rows(audited / "out"):
        found = fs.stability_radius(network, data()[row["sample"]], row["stage"])
        assert (row["region_distance"], row["stability_radius"]) == (found.region_distance, found.radius)
        assert row["modulus"] == found.lower
        assert bool(row["radius_reason"]) is bool(found.reason)
        beyond += np.isfinite(found.radius) and found.radius > 2 * found.region_distance
    assert beyond >= SAMPLES
    first, last = rows(audited / "out")[0], rows(audited / "out")[4]
    assert first["stability_radius"] == first["region_distance"] == np.inf
    assert (last["stability_radius"], last["modulus"]) == (0.0, 0.0)
    assert "2 outputs, fewer than the 3 inputs" in last["radius_reason"]


def test_they_are_proved_again(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(audited / "out")]) == 0
    claimed = sum(row["stability_radius"] > 0 for row in rows(audited / "out"))
    assert f"stability radii proved again: {claimed}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stability_radius": 3.0}, "is not proved"),
        ({"stability_radius": float("inf")}, "bends somewhere"),
        ({"modulus": 5.0}, "is not proved"),
        ({"modulus": 0.0}, "a radius without a modulus"),
        ({"modulus": None}, "is missing"),
        ({"stability_radius": -1.0}, "negative"),
        ({"stability_radius": float("nan")}, "no number"),
        ({"stability_radius": 0.0, "modulus": 0.0}, "without a reason"),
        ({"region_distance": 1.0}, "the region ends"),
    ],
    ids=str,
)
def test_what_was_changed_is_found(
    change: dict[str, Any], reason: str, audited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(audited / "out", tmp_path / "out"))
    path = out / "spectra/sample-000001.parquet"
    table = pq.read_table(path)
    changed = [row | change if row["stage"] == 3 else row for row in table.to_pylist()]
    path.write_bytes(table_to_bytes(pa.Table.from_pylist(changed, schema=table.schema)))
    assert main(["verify", str(out)]) == 1
    said = capsys.readouterr().out
    assert "not confirmed: singular values, stage 3" in said
    assert reason in said


def test_an_audit_that_is_continued_has_the_same_files(audited: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(audited / "out", tmp_path / "out"))
    path = out / "spectra/sample-000002.parquet"
    before = path.read_bytes()
    path.unlink()
    assert main([*arguments(audited), "--out", str(out), "--resume"]) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("threshold", "status"),
    [("stability-radius<1e-6@stage3", 0), ("stability-radius.min<10@stage3", 1), ("stability-radius<=0@stage4", 1)],
)
def test_thresholds_may_be_about_them(threshold: str, status: int, audited: Path) -> None:
    assert main(["report", str(audited / "out"), "--fail-on", threshold]) == status


def test_the_page_and_the_terminal_show_medians(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(audited / "out")]) == 0
    said = capsys.readouterr().out
    assert "stability" in said
    assert f"is proved around {SAMPLES} of {SAMPLES} samples" in said
    page = (audited / "out/report.html").read_text(encoding="utf-8")
    section = page[page.index("How far beyond the linear region") :]
    of_stage = [row for row in rows(audited / "out") if row["stage"] == 3]
    median = np.median([row["stability_radius"] for row in of_stage])
    assert f"{median:.3g}" in section
    assert f"{SAMPLES} of {SAMPLES}" in section
