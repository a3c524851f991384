"""What an audit stores and says about the network up to each layer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fiberscope as fs
from fiberscope.audits import network_table
from fiberscope.audits.archives import archive_from_bytes, archive_to_bytes
from fiberscope.audits.store import Results
from fiberscope.cli import main
from fiberscope.network.affine import Dense
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.preimages.budget import Budget
from fiberscope.recovery.judging import THROUGH, Searched
from fiberscope.recovery.only_input import OnlyInputs
from fiberscope.seals import BLANK, seal
from small_audits import LAYERS, change_digests, small_data, small_network, write_model_and_data

SAMPLES = 40
UNsearched = ("undecided", "not recoverable")


@pytest.fixture(scope="module", name="finished")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, data of which some can be recovered, and their finished audit in ``out``."""
    folder = tmp_path_factory.mktemp("network")
    assert main(["audit", *write_model_and_data(folder, SAMPLES), "--out", str(folder / "out"), "--domain", "0,1"]) == 0
    return folder


@pytest.fixture(name="again")
def _again(finished: Path) -> list[str]:
    return ["audit", *(str(finished / name) for name in ("model.safetensors", "digits.npz")), "--domain", "0,1"]


def searched(first: int) -> Searched:
    del first
    return Searched(Budget.of(60.0))


def over(first: int) -> Searched:
    del first
    return Searched(Budget.of(1e-9))


def stored(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "network/verdicts.parquet").to_pylist()


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    status = main(arguments)
    return status, capsys.readouterr().out


def test_the_audit_stores_what_the_function_says(finished: Path) -> None:
    rows = stored(finished / "out")
    asked = fs.network_verdicts(small_network(), small_data(SAMPLES), domain=fs.Box(0, 1)).to_pylist()
    assert len(rows) == len(asked)
    for row, same in zip(rows, asked, strict=True):  # searches of second inputs are the function's alone
        assert row["verdict"] == same["verdict"] or (row["verdict"], same["verdict"]) == UNsearched
    assert [row for row in rows if row["verdict"] == "recoverable"] == [
        row for row in asked if row["verdict"] == "recoverable"
    ]
    counts = json.loads((finished / "out/manifest.json").read_text())["network_counts"]
    assert [entry["layer"] for entry in counts] == list(range(LAYERS))
    for entry in counts:
        own = [row["verdict"] for row in rows if row["layer"] == entry["layer"]]
        assert entry["verdicts"] == {verdict: own.count(verdict) for verdict in set(own)}
    assert {row["verdict"] for row in rows} == {"recoverable", "not recoverable", "undecided"}


def test_blocks_of_samples_change_nothing(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = Results(finished / "out")
    manifest, subject = results.manifest(), results.subject()
    for samples in (1, 7, SAMPLES - 1):
        monkeypatch.setattr(network_table, "BLOCK", samples * subject.network.inputs)
        assert network_table.derive(results, manifest, subject, searched).to_pylist() == stored(finished / "out")


def test_verify_derives_them_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row["verdict"] for row in stored(finished / "out")]
    undecided = rows.count("undecided")
    status, text = said(["verify", str(finished / "out")], capsys)
    assert status == 0
    words = f"{len(rows) - undecided} derived again, 0 not proved, {undecided} undecided"
    assert f"of {len(rows)} verdicts about the network up to a layer {words}\n" in text


@pytest.mark.parametrize("verdict", ["recoverable", "not recoverable"])
def test_a_changed_verdict_is_found(verdict: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even where whoever changed it writes all digests anew."""
    path = out / "network/verdicts.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    place = next(k for k, row in enumerate(rows) if row["verdict"] not in (verdict, "undecided"))
    right, rows[place]["verdict"] = rows[place]["verdict"], verdict
    buffer = pa.BufferOutputStream()
    metadata = (table.schema.metadata or {}) | {b"seal": BLANK.encode()}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema.with_metadata(metadata)), buffer)
    path.write_bytes(seal(buffer.getvalue().to_pybytes()))
    change_digests(out, {})
    status, text = said(["verify", str(out)], capsys)
    assert status == 1
    where = f"the network up to layer {rows[place]['layer']}, sample {rows[place]['sample']}"
    assert f"not proved: {where}: {verdict} is stored, {right} follows\n" in text


def test_a_table_that_is_gone_is_missed_and_made_again(
    out: Path, again: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / "network/verdicts.parquet"
    before = path.read_bytes()
    path.unlink()
    assert main(["verify", str(out)]) == 2
    assert main([*again, "--out", str(out), "--resume"]) == 0
    assert path.read_bytes() == before
    written = path.stat().st_mtime_ns
    assert main([*again, "--out", str(out), "--resume"]) == 0
    assert path.stat().st_mtime_ns == written


def test_layers_that_were_not_audited_leave_later_ones_undecided(again: list[str], tmp_path: Path) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), "--layers", "1"]) == 0
    rows = stored(tmp_path / "out")
    assert {row["layer"] for row in rows} == {1}
    assert "recoverable" not in {row["verdict"] for row in rows}
    assert any("or there is none" in row["reason"] for row in rows)


@pytest.mark.parametrize(
    ("threshold", "status"),
    [("recoverable>0@layer0", 1), ("recoverable>=100%@layer0", 0), ("not-recoverable<1 sample@layer2", 0)],
)
def test_thresholds_are_about_the_network(
    threshold: str, status: int, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    got, text = said(["report", str(out), "--fail-on", threshold], capsys)
    assert got == status
    assert ("the network up to layer 0 dense0: " in text) == bool(status)


@pytest.mark.parametrize("threshold", ["recoverable>0@box", "recoverable>0@stage1", "recoverable>0@layer9"])
def test_thresholds_of_the_network_have_no_domain_or_stage(
    threshold: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(out), "--fail-on", threshold]) == 2
    assert "expected" in capsys.readouterr().err


def test_a_comparison_says_what_changed_of_the_network(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_network(seed=3).save(tmp_path / "model.safetensors")
    arguments = [str(tmp_path / "model.safetensors"), str(finished / "digits.npz"), "--domain", "0,1"]
    assert main(["audit", *arguments, "--out", str(tmp_path / "out")]) == 0
    before, after = stored(finished / "out"), stored(tmp_path / "out")
    folders = [str(finished / "out"), str(tmp_path / "out")]
    status, text = said(["compare", *folders, "--out", str(tmp_path / "changes.json")], capsys)
    assert status == 0
    assert text.count("network up to layer ") == LAYERS
    (first, *_) = json.loads((tmp_path / "changes.json").read_text())["network"]
    changed = [
        row["sample"]
        for row, now in zip(before, after, strict=True)
        if row["layer"] == 0 and row["verdict"] != now["verdict"]
    ]
    assert first["changed_at"] == changed
    assert sum(step["samples"] for step in first["transitions"]) == SAMPLES


def test_the_first_screen_speaks_of_the_network_first(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(["report", str(finished / "out")], capsys)
    assert status == 0
    assert text.index("The network up to each layer") < text.index("Each layer by itself")
    page = (finished / "out/report.html").read_text()
    assert page.index("The network, from its input up to each layer") < page.index("Each layer by itself")
    rows = [row["verdict"] for row in stored(finished / "out") if row["layer"] == LAYERS - 1]
    sentence = f"its own input can be computed back exactly at {rows.count('recoverable')} of {SAMPLES} samples"
    assert sentence in " ".join(text.split())
    assert sentence in page


@pytest.fixture(scope="module", name="through")
def _through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of a network whose second layer by itself has more inputs than units."""
    folder, rng = tmp_path_factory.mktemp("through"), np.random.default_rng(5)
    parts = Dense(rng.standard_normal((24, 4))), Dense(rng.standard_normal((16, 24)) / 5, np.full(16, 0.1))
    stages = [
        stage
        for k, part in enumerate(parts)
        for stage in (affine_stage(f"{k}", part), relu_stage(f"{k}r", part.outputs))
    ]
    fs.Network(tuple(stages), (4,)).save(folder / "model.safetensors")
    np.savez(folder / "data.npz", x=rng.uniform(size=(3, 4)))
    files = [str(folder / name) for name in ("model.safetensors", "data.npz")]
    assert main(["audit", *files, "--out", str(folder / "out"), "--domain", "0,1"]) == 0
    return folder / "out"


def test_what_layers_tell_together_is_proved_and_proved_again(
    through: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = stored(through)
    assert [row["verdict"] for row in rows] == ["recoverable"] * 6
    assert {row["reason"] for row in rows if row["layer"] == 1} == {THROUGH}
    status, text = said(["verify", str(through)], capsys)
    assert status == 0
    assert "6 derived again, 0 not proved" in text
    monkeypatch.setattr(OnlyInputs, "has_one", lambda *_: False)
    status, text = said(["verify", str(through)], capsys)
    assert status == 1
    assert text.count("recoverable is stored, undecided follows") == 3


def test_verify_searches_nothing_and_says_how_far_it_is(
    through: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a search")

    monkeypatch.setattr(OnlyInputs, "proof", fail)
    monkeypatch.setattr("fiberscope.recovery.only_input.tighten", fail)
    capsys.readouterr()
    assert main(["verify", str(through)]) == 0
    told = capsys.readouterr()
    assert "6 derived again, 0 not proved" in told.out
    assert "verifying proofs through layers, samples and layers: 6 of 6" in told.err


@pytest.mark.parametrize("change", ["gone", "cut", "of another sample", "weaker", "unsealed"])
def test_changed_proofs_are_found_and_those_without_a_seal_made_again(
    through: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(through, out)
    paths = sorted((out / "network").glob("*.npz"))
    assert [path.name for path in paths] == [f"{sample:06d}-001.npz" for sample in range(3)]
    whole = paths[0].read_bytes()
    arrays = archive_from_bytes(whole, "")
    match change:
        case "gone":
            paths[0].unlink()
        case "cut":
            paths[0].write_bytes(whole[: len(whole) // 2])
        case "of another sample":
            paths[0].write_bytes(paths[1].read_bytes())
        case "weaker":
            nothing = {name: 0 * array if name.endswith("values") else array for name, array in arrays.items()}
            paths[0].write_bytes(archive_to_bytes(nothing))
        case _:
            paths[0].write_bytes(whole.replace(whole[-80:], b"0" * 80))
    status, text = said(["verify", str(out)], capsys)
    assert status != 0
    assert change == "unsealed" or "sample 0: recoverable is stored, undecided follows" in text
    again = [str(out.parent / name) for name in ("model.safetensors", "data.npz")]
    for name in again:
        shutil.copy(through.parent / Path(name).name, name)
    assert main(["audit", *again, "--out", str(out), "--domain", "0,1", "--resume"]) == 0
    assert main(["verify", str(out)]) == (0 if change in ("gone", "cut", "unsealed") else 1)  # sealed ones are kept


def test_where_time_is_over_the_reason_says_so(through: Path) -> None:
    results = Results(through)
    table = network_table.derive(results, results.manifest(), results.subject(), over).to_pylist()
    second = [row for row in table if row["layer"] == 1]
    assert {row["verdict"] for row in second} == {"undecided"}
    assert all("time" in row["reason"] for row in second)
