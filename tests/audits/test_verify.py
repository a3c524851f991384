"""Stored verdicts are checked again: what was tampered with is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fiberscope.cli import main
from fiberscope.network.affine import Dense
from small_audits import LAYERS, small_network, unfinish

VERDICTS = 2 * LAYERS * 13
SHARD = "layer-00-block-0001"


def rewrite(path: Path, change: dict[str, Any], row: int) -> None:
    """Change one row of a Parquet file, keeping everything else."""
    table = pq.read_table(path)
    values = table.to_pylist()
    values[row] |= change
    pq.write_table(pa.Table.from_pylist(values, schema=table.schema), path)


def verified(out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(["verify", str(out), *options])
    captured = capsys.readouterr()
    lines = captured.out.splitlines(keepends=True)  # what is said of the network is tested with its table
    return status, "".join(line for line in lines if "network up to" not in line), captured.err


def test_a_sound_audit_is_proved(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = verified(finished / "out", capsys)
    assert (status, said) == (0, f"{VERDICTS} verdicts proved, 0 not proved, 0 undecided\n")


def test_exact_arithmetic_proves_it_too(again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*again, "--out", str(tmp_path / "out"), "--samples", "3"]) == 0
    status, said, _ = verified(tmp_path / "out", capsys, "--exact")
    assert (status, said) == (0, f"{2 * LAYERS * 3} verdicts proved, 0 not proved, 0 undecided\n")


def test_a_mistake_in_the_layers_that_were_decided_is_seen(
    again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Dense.rows

    def wrong(affine: Dense, indices: Any = None) -> Any:
        rows = right(affine, indices).copy()
        rows[:, 0] = rows[:, 1]
        return rows

    monkeypatch.setattr(Dense, "rows", wrong)  # also while it is verified
    options = ["--samples", "3", "--layers", "0", "--workers", "1"]
    assert main([*again, "--out", str(tmp_path / "out"), *options]) == 0
    status, said, _ = verified(tmp_path / "out", capsys)
    assert status == 1
    assert said.splitlines()[-1].startswith("0 verdicts proved, ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "empty"}, ""),
        ({"dimension": 5}, ""),
        ({"positives": 99}, "99 positive outputs are stored"),
        ({"certificate": "0" * 32}, "its certificate is missing"),
        ({"certificate": ""}, "its certificate is missing"),
    ],
)
def test_a_changed_verdict_is_not_proved(
    change: dict[str, Any], reason: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(out / f"preimages/{SHARD}.parquet", change, row=3)
    status, said, _ = verified(out, capsys)
    first, last = said.splitlines()
    assert status == 1
    assert first.startswith("not proved: layer 0, sample 8, R^n: ")
    assert reason in first
    assert last == f"{VERDICTS - 1} verdicts proved, 1 not proved, 0 undecided"


def test_a_changed_certificate_is_not_proved(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / f"certificates/{SHARD}.parquet"
    data = bytearray(pq.read_table(path)["data"][0].as_py())
    data[-1] ^= 0x40
    rewrite(path, {"data": bytes(data)}, row=0)
    status, said, _ = verified(out, capsys)
    assert status == 1
    assert "its certificate is not the one that was stored under this id" in said


def test_certificates_that_are_gone_are_listed_twenty_at_most(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in range(3):
        (out / f"certificates/layer-00-block-{block:04d}.parquet").unlink()
    status, said, _ = verified(out, capsys)
    assert status == 1
    assert said.count("its certificate is missing") == 20
    assert "and 6 more" in said


@pytest.mark.parametrize("part", ["preimages", "certificates", "inputs"])
def test_a_truncated_file_is_an_error(part: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next((out / part).glob(f"{SHARD}.*"))
    path.write_bytes(path.read_bytes()[:-40])
    status, _, error = verified(out, capsys)
    assert status == 2
    assert str(path) in error.splitlines()[-1]
    assert "damaged" in error.splitlines()[-1]


@pytest.mark.parametrize("name", [f"preimages/{SHARD}.parquet", f"inputs/{SHARD}.npy", "model.safetensors", "data.npz"])
def test_a_missing_file_is_an_error(name: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / name).unlink()
    status, _, error = verified(out, capsys)
    assert status == 2
    assert name in error


def test_changed_inputs_are_an_error(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / f"inputs/{SHARD}.npy"
    inputs = np.load(path)
    inputs[0] += 0.25
    np.save(path, inputs)
    status, _, error = verified(out, capsys)
    assert status == 2
    assert "not what the network hands to layer 0" in error


def test_a_margin_that_was_changed_is_an_error_although_no_proof_depends_on_it(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(out / f"preimages/{SHARD}.parquet", {"margin": 0.123}, row=0)
    status, said, error = verified(out, capsys)
    assert status == 2
    assert f"{VERDICTS} verdicts proved" in said
    assert "not as the audit wrote them" in error


def test_rows_that_are_gone_are_an_error(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = out / f"preimages/{SHARD}.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    status, _, error = verified(out, capsys)
    assert status == 2
    assert "not the samples and domains of this chunk" in error


def test_another_model_is_an_error(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_network(seed=3).save(out / "model.safetensors")
    status, _, error = verified(out, capsys)
    assert status == 2
    assert "not the model that manifest.json names" in error


def test_an_audit_that_is_not_complete_is_an_error(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinish(out)
    status, _, error = verified(out, capsys)
    assert status == 2
    assert "not complete" in error


def test_what_is_there_of_an_audit_that_is_not_complete_is_checked(
    spectra_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One chunk of verdicts, and singular values at three of five samples."""
    unfinish(spectra_out, blocks=[13])
    for sample in (1, 4):
        (spectra_out / f"spectra/sample-{sample:06d}.parquet").unlink()
    status, said, error = verified(spectra_out, capsys)
    assert status == 2
    assert "26 verdicts proved, 0 not proved, 0 undecided" in said
    assert "18 spectra confirmed" in said
    assert "verifying singular values, samples: 3 of 3" in error
    assert "not complete: 4 of 6 chunks are written; continue it" in error.splitlines()[-1]


def test_a_failure_in_an_audit_that_is_not_complete_is_a_failure(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinish(out)
    (out / "preimages/layer-02-block-0002.parquet").unlink()
    assert verified(out, capsys)[1] == f"{VERDICTS - 6} verdicts proved, 0 not proved, 0 undecided\n"
    rewrite(out / f"preimages/{SHARD}.parquet", {"dimension": 5}, row=3)
    assert verified(out, capsys)[0] == 1


def test_the_terminal_says_that_an_audit_is_not_complete(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(out)]) == 0
    assert "not complete" not in capsys.readouterr().out
    unfinish(out)
    (out / "preimages/layer-02-block-0002.parquet").unlink()
    assert main(["report", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"All {VERDICTS - 6} verdicts so far are proved." in said
    assert "This audit is not complete; continue it" in said


@pytest.mark.exhaustive
def test_checking_loads_no_solver_and_none_of_the_deciding_code(finished: Path) -> None:
    code = (
        "import sys; from fiberscope.cli import main; status = main(['verify', sys.argv[1], '--exact']);"
        "loaded = {'highspy', 'scipy.optimize', 'fiberscope.preimages.classify', 'fiberscope.preimages.decide'};"
        "print(status, sorted(loaded & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(finished / "out")], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "0 []"
