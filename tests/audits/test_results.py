"""What an audit leaves on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import fiberscope as fs
from fiberscope.cli import main
from small_audits import LAYERS, SIZES, digests, files, rows, small_data

SAMPLES = 13
BLOCKS = 3


def test_there_is_one_row_per_sample_layer_and_domain(finished: Path) -> None:
    domains = {0: ["R^n", "box [0,1]"], 1: ["R^n", "x >= 0"], 2: ["R^n", "x >= 0"]}
    expected = [(s, layer, domain) for s in range(SAMPLES) for layer in range(LAYERS) for domain in domains[layer]]
    assert [row[:3] for row in rows(finished / "out")] == sorted(expected)


def test_the_columns_have_the_promised_names_and_types(finished: Path) -> None:
    schema = pq.read_schema(finished / "out/preimages/layer-00-block-0000.parquet")
    columns = {
        "sample": pa.int64(),
        "layer": pa.int32(),
        "domain": pa.string(),
        "positives": pa.int32(),
        "saturated": pa.int32(),
        "kind": pa.string(),
        "dimension": pa.int32(),
        "margin": pa.float64(),
        "certificate": pa.string(),
        "reason": pa.string(),
        "radius": pa.float64(),
        "dimension_low": pa.int32(),
        "dimension_high": pa.int32(),
        "precision": pa.string(),
    }
    assert schema.names == list(columns)
    assert schema.types == list(columns.values())


def test_the_findings_hold_more_than_one_kind(finished: Path) -> None:
    kinds = {row[4] for row in rows(finished / "out")}
    assert {"singleton", "bounded", "unbounded"} <= kinds, "otherwise these tests compare little"


def test_certificates_are_stored_once_under_the_hash_of_their_bytes(finished: Path) -> None:
    for path in (finished / "out/certificates").iterdir():
        table = pq.read_table(path)
        assert table.column_names == ["id", "data"]
        ids, data = table["id"].to_pylist(), table["data"].to_pylist()
        assert len(set(ids)) == len(ids)
        assert all(
            hashlib.sha256(block).hexdigest().startswith(identity) for identity, block in zip(ids, data, strict=True)
        )
        findings = pq.read_table(finished / "out/preimages" / path.name)
        assert set(findings["certificate"].to_pylist()) == set(ids)


def test_a_stored_certificate_proves_its_row(finished: Path) -> None:
    network = fs.load(finished / "out/model.safetensors")
    inputs = np.load(finished / "out/inputs/layer-01-block-0000.npy")
    table = pq.read_table(finished / "out/preimages/layer-01-block-0000.parquet").to_pylist()
    stored = pq.read_table(finished / "out/certificates/layer-01-block-0000.parquet").to_pylist()
    certificates = {row["id"]: fs.Certificate.from_bytes(row["data"]) for row in stored}
    for row in table[::3]:
        domain = fs.NonNegative() if row["domain"] == "x >= 0" else None
        p = fs.Preimage(
            layer=network.relu_layers[1],
            domain=domain,
            x=inputs[row["sample"]],
            y=None,
            kind=fs.Kind(row["kind"]),
            dimension=row["dimension"],
            margin=row["margin"],
            certificate=certificates[row["certificate"]],
        )
        assert fs.verify(p, exact=True)


def test_the_inputs_of_the_first_layer_are_the_samples(finished: Path) -> None:
    stored = np.concatenate([np.load(finished / f"out/inputs/layer-00-block-{b:04d}.npy") for b in range(BLOCKS)])
    assert np.array_equal(stored, small_data(SAMPLES))


def test_the_manifest_says_what_was_done(finished: Path) -> None:
    manifest = json.loads((finished / "out/manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["fiberscope"] == fs.__version__
    assert manifest["model_digest"] == fs.load(finished / "model.safetensors").digest()
    assert manifest["data"] == "digits"
    assert manifest["domain"] == [0.0, 1.0]
    assert [layer["inputs"] for layer in manifest["network_layers"]] == list(SIZES[:-1])
    assert {"python", "numpy"} <= manifest["versions"].keys()
    assert sum(sum(entry["kinds"].values()) for entry in manifest["counts"]) == 2 * LAYERS * SAMPLES
    assert manifest["runs"][0]["chunks"] == LAYERS * BLOCKS
    assert manifest["runs"][0]["seconds"] > 0


def test_the_ledger_holds_the_hash_of_every_file(finished: Path) -> None:
    recorded = {
        f"{part}/{name}": digest for name, parts in digests(finished / "out").items() for part, digest in parts.items()
    }
    found = {name.rsplit(".", 1)[0]: hashlib.sha256(data).hexdigest() for name, data in files(finished / "out").items()}
    assert recorded == found


def test_no_temporary_files_are_left(finished: Path) -> None:
    names = {path.name for path in (finished / "out").rglob("*")}
    assert not [name for name in names if name.startswith(".")]


def test_layers_and_samples_can_be_chosen(finished: Path, again: list[str], tmp_path: Path) -> None:
    assert main([*again, "--out", str(tmp_path / "some"), "--layers", "2,0", "--samples", "7"]) == 0
    some = {row[:3]: row[3:6] for row in rows(tmp_path / "some")}
    every = {row[:3]: row[3:6] for row in rows(finished / "out")}
    assert some == {key: value for key, value in every.items() if key[0] < 7 and key[1] != 1}
