"""Audits that ask how far invariance reaches: the numbers, the files, continuing, examples, and checking them again."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.audits.example_store import ExampleStore
from fiberscope.audits.plan import REACH_EPS, Plan, SurveyChunk
from fiberscope.audits.subject import Subject
from fiberscope.audits.survey import LOOSE_TARGETS, Survey, survey_at
from fiberscope.cli import main
from small_audits import digests, small_data, small_network, write_model_and_data

SAMPLES, SURVEYED = 11, 4
LAYERS = (0, 2)


@pytest.fixture(name="surveyed", scope="module")
def _surveyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data, and their finished audit in ``out``; nobody writes into it."""
    folder = tmp_path_factory.mktemp("surveyed")
    arguments = write_model_and_data(folder, SAMPLES)
    assert main([*asked(arguments), "--out", str(folder / "out"), "--workers", "1"]) == 0
    return folder


def asked(arguments: list[str], samples: int = SURVEYED) -> list[str]:
    return ["audit", *arguments, "--domain", "0,1", "--layers", "0,2", "--spectra", "2", "--invariance", str(samples)]


@pytest.fixture(name="again")
def _again(surveyed: Path) -> list[str]:
    return [str(surveyed / name) for name in ("model.safetensors", "digits.npz")]


@pytest.fixture(name="out")
def _out(surveyed: Path, tmp_path: Path) -> Path:
    """A copy of the results, to be damaged."""
    return Path(shutil.copytree(surveyed / "out", tmp_path / "out"))


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "invariance").iterdir()) for row in pq.read_table(path).to_pylist()]


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "invariance").iterdir()}


def test_the_rows_are_those_of_the_public_survey(surveyed: Path) -> None:
    x, y = small_data(SAMPLES), np.arange(SAMPLES) % 10
    options = {"layers": LAYERS, "domain": fs.Box(0, 1), "targets": 9, "eps": REACH_EPS}
    table = fs.invariance_survey(small_network(), x, y, **options).to_pylist()
    targets = {i: [row["target"] for row in table if row["sample"] == i] for i in range(SURVEYED)}
    expected = [
        row | {"reason": ""}
        for row in table
        if row["sample"] < SURVEYED and (row["eps"] == 0 or row["target"] in targets[row["sample"]][:LOOSE_TARGETS])
    ]
    found = rows(surveyed / "out")
    assert found == sorted(expected, key=lambda row: row["sample"])
    assert len(found) == SURVEYED * len(LAYERS) * (9 + (len(REACH_EPS) - 1) * LOOSE_TARGETS)
    assert len({row["target_class"] for row in found if row["sample"] == 0}) == 9
    assert any(row["reached"] > 0.1 for row in found)


def test_the_manifest_names_every_file_of_both_tables(surveyed: Path) -> None:
    manifest = json.loads((surveyed / "out/manifest.json").read_text())
    assert manifest["invariance"] == SURVEYED
    assert manifest["runs"][0]["surveyed"] == SURVEYED
    for part, count in (("invariance", SURVEYED), ("spectra", 2)):
        found = {
            path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in (surveyed / "out" / part).iterdir()
        }
        assert len(found) == count
        assert {name: parts[part] for name, parts in digests(surveyed / "out").items() if part in parts} == found


@pytest.mark.exhaustive
@pytest.mark.parametrize("broken", [1, 3])
def test_cut_off_at_a_write(broken: int, surveyed: Path, again: list[str], tmp_path: Path, monkeypatch) -> None:
    writes, rename = 0, Path.replace

    def failing(self: Path, target: Path) -> Path:
        nonlocal writes
        writes += target.parent.name == "invariance"
        if target.parent.name == "invariance" and writes == broken:
            raise KeyboardInterrupt
        return rename(self, target)

    arguments = [*asked(again), "--out", str(tmp_path / "out"), "--workers", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        assert main(arguments) == 2
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["status"], manifest["runs"][0]["surveyed"]) == ("running", broken - 1)
    assert main([*arguments, "--resume"]) == 0
    assert json.loads((tmp_path / "out/manifest.json").read_text())["runs"][1]["surveyed"] == SURVEYED - broken + 1
    assert files(tmp_path / "out") == files(surveyed / "out")


def test_an_audit_goes_on_with_more_samples_but_not_with_fewer(out: Path, again: list[str], capsys) -> None:
    before = files(out)
    assert main([*asked(again, SURVEYED + 1), "--out", str(out), "--resume"]) == 0
    assert {name: data for name, data in files(out).items() if name in before} == before
    assert len(files(out)) == SURVEYED + 1
    assert main([*asked(again), "--out", str(out), "--resume"]) == 2
    assert "--invariance: 5 in the folder, 4 now" in capsys.readouterr().err


def test_every_layer_has_the_example_that_reaches_furthest(surveyed: Path, capsys) -> None:
    out = surveyed / "out"
    examples = {int(example.facts.layer): example.facts for example in ExampleStore(out / "examples").read()}
    for layer in LAYERS:
        best = max(
            (row for row in rows(out) if row["layer"] == layer and row["eps"] == 0), key=lambda row: row["reached"]
        )
        assert examples[layer].reached == pytest.approx(best["reached"], abs=1e-3)  # less the room for float32
    assert main(["verify", str(out)]) == 0
    assert f"{len(LAYERS)} of {len(LAYERS)} invariance examples proved, 0 claimed wrongly" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["features", "source", "way"])
def test_an_example_that_was_tampered_with_is_found_out(out: Path, capsys, damage: str) -> None:
    store = ExampleStore(out / "examples")
    example = store.read()[0]
    other = np.clip(example.corners[-1] + 0.05, 0, 1)
    change = {
        "features": {"corners": np.stack([example.source, other])},
        "source": {"source": other, "corners": np.stack([other, other])},
        "way": {"corners": np.stack([other, example.x])},
    }[damage]
    store.write(replace(example, **change))
    assert main(["verify", str(out)]) == 1
    said = capsys.readouterr().out
    assert "1 claimed wrongly" in said
    assert "not proved: invariance example, layer 0" in said


def test_a_changed_or_damaged_table_is_found_out_and_computed_again(out: Path, again: list[str], capsys) -> None:
    path = out / "invariance/sample-000001.parquet"
    whole = path.read_bytes()
    path.write_bytes((out / "invariance/sample-000002.parquet").read_bytes())
    assert main(["verify", str(out)]) == 2
    assert "its rows are not those of this sample" in capsys.readouterr().err
    path.write_bytes(whole[:-20])
    assert main(["report", str(out)]) == 2
    assert main([*asked(again), "--out", str(out), "--resume"]) == 0
    assert path.read_bytes() == whole
    pq.write_table(pq.read_table(path), path, compression="none")  # the same rows in another file
    assert main(["verify", str(out)]) == 2
    assert "not as the audit wrote them" in capsys.readouterr().err


def subject(module: nn.Module, x: np.ndarray, y: np.ndarray | None) -> Subject:
    return Subject(fs.from_torch(module.eval()), x, y, "a small network", "noise", "uniform noise")


def first_table(given: Subject, layers: tuple[int, ...]) -> list[dict[str, Any]]:
    plan = Plan(layers, given.samples, (0.0, 1.0), invariance=1)
    return survey_at(given.network, Survey().task(given, plan, SurveyChunk(0))).to_pylist()


def test_samples_of_one_class_go_towards_each_other() -> None:
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), np.random.default_rng(0).uniform(size=(3, 4))
    found = first_table(subject(module, x, np.array([7, 7, 7])), (0,))
    assert sorted(row["target"] for row in found) == sorted([1, 2] * len(REACH_EPS))
    assert all(row["class"] is None for row in found)


def test_what_cannot_be_said_has_a_reason() -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).uniform(size=(3, 4))
    alone = first_table(subject(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), x[:1], None), (0,))
    assert [(row["reached"], row["reason"]) for row in alone] == [(None, "there is no other sample to go towards")]
    smooth = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.ReLU())
    *_, row = first_table(subject(smooth, x, None), (1,))
    assert row["dimension"] is None
    assert "smooth" in row["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--invariance", "2"], "--domain: expected LOW,HIGH"),
        (["--invariance", "-1"], "--invariance: expected a number of at least 0"),
        (["--domain", "0,1", "--invariance", "12"], "--invariance: expected at most 11"),
    ],
)
def test_bad_arguments_are_one_clear_line(again: list[str], tmp_path: Path, capsys, options, message) -> None:
    assert main(["audit", *again, "--out", str(tmp_path / "out"), *options]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fiberscope: error")]
    assert len(errors) == 1
    assert message in errors[0]
