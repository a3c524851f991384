"""A small network, data for it, and what its audits left on disk, read without fiberscope's own readers."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.seals import BLANK, seal

SIZES = (6, 9, 7, 4)
LAYERS = len(SIZES) - 1
PARTS = ("preimages", "certificates", "inputs", "network", "spectra", "invariance")
"""The folders of what is computed: chunk by chunk, but for what is said about the network."""

COLUMNS = ["sample", "layer", "domain", "positives", "kind", "dimension", "margin", "certificate", "reason"]


def small_network(seed: int = 0) -> Network:
    """Three ReLU layers with weights that are multiples of 1/4, one dead neuron, one duplicated row."""
    rng = np.random.default_rng(seed)
    stages = []
    for position, (inputs, outputs) in enumerate(itertools.pairwise(SIZES)):
        weight = rng.integers(-4, 5, size=(outputs, inputs)) / 4.0
        if position == 0:
            weight[1], weight[2] = 0.0, weight[3]
        stages += [affine_stage(f"dense{position}", Dense(weight, rng.integers(-2, 3, size=outputs) / 4.0))]
        stages += [relu_stage(f"relu{position}", outputs)]
    return Network(tuple(stages), (SIZES[0],))


def small_data(samples: int, seed: int = 1) -> np.ndarray[Any, Any]:
    """Samples in [0, 1] of which many coordinates lie on the border of the box, as pixels do."""
    return np.random.default_rng(seed).integers(0, 5, size=(samples, SIZES[0])) / 4.0


def write_model_and_data(folder: Path, samples: int) -> list[str]:
    """Write both to files; returns the arguments MODEL DATA."""
    model, data = folder / "model.safetensors", folder / "digits.npz"
    small_network().save(model)
    np.savez(data, x=small_data(samples), y=np.arange(samples) % 10)
    return [str(model), str(data)]


def rows(folder: Path) -> list[tuple[Any, ...]]:
    """All findings in a results folder, sorted."""
    tables = [pq.read_table(path) for path in sorted((folder / "preimages").glob("layer-*.parquet"))]
    found = [tuple(row[name] for name in COLUMNS) for table in tables for row in table.to_pylist()]
    return sorted(found, key=lambda row: row[:3])


def files(folder: Path) -> dict[str, bytes]:
    """The findings, certificates, inputs and verdicts about the network, byte for byte."""
    parts = [path for part in PARTS[:4] for path in (folder / part).iterdir()]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in parts}


def change_manifest(folder: Path, changes: dict[str, Any]) -> None:
    """Write another manifest, as an audit would have written it."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | changes | {"seal": BLANK}
    path.write_bytes(seal(json.dumps(manifest).encode()))


def digests(folder: Path) -> dict[str, dict[str, str]]:
    """The digests that the ledger has of all files, by chunk and part."""
    found: dict[str, dict[str, str]] = {}
    for line in (folder / "digests.jsonl").read_text().splitlines():
        entry = json.loads(line)
        found.setdefault(entry["name"], {}).update({part: stamp[0] for part, stamp in entry["files"].items()})
    return found


def change_digests(folder: Path, told: dict[str, dict[str, str]]) -> None:
    """Write another ledger, and the manifest that belongs to it."""
    entries = [
        {"name": name, "failed": False, "files": {part: [digest, 0, 0] for part, digest in of.items()}}
        for name, of in told.items()
    ]
    data = "".join(json.dumps(entry) + "\n" for entry in entries).encode()
    (folder / "digests.jsonl").write_bytes(data)
    change_manifest(folder, {"digests": hashlib.sha256(data).hexdigest()})


def unfinish(folder: Path, **changes: Any) -> None:
    """Make it an audit that a killed run left, with nothing in the ledger."""
    (folder / "digests.jsonl").write_bytes(b"")
    change_manifest(folder, {"status": "running", "digests": "", **changes})


def spectra_rows(folder: Path) -> list[dict[str, Any]]:
    """All stored singular values in a results folder, by sample and stage."""
    tables = [pq.read_table(path) for path in sorted((folder / "spectra").glob("sample-*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def spectra_files(folder: Path) -> dict[str, bytes]:
    """The files of singular values, byte for byte."""
    return {path.name: path.read_bytes() for path in (folder / "spectra").iterdir()}


def small_spectra_oracle(x: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """The singular values up to every stage of ``small_network`` at x, by products of its matrices and LAPACK."""
    matrices, value, J = [], x, np.eye(len(x))
    for stage in small_network().stages:
        if stage.activation is None:
            (affine,) = stage.maps
            weight, bias = np.asarray(affine.weight), np.asarray(affine.bias)
            J, value = weight @ J, weight @ value + bias
        else:
            J, value = np.where(value[:, None] > 0, J, 0.0), np.maximum(value, 0.0)
        matrices.append(J)
    return [np.linalg.svd(matrix, compute_uv=False) for matrix in matrices]


def tables(out: Path) -> dict[str, bytes]:
    """Every file of findings, certificates, inputs, spectra and survey, byte for byte."""
    return {f"{part}/{path.name}": path.read_bytes() for part in PARTS for path in (out / part).glob("*")}


def identities(out: Path) -> dict[str, tuple[int, int]]:
    """What tells whether a file was written again: its inode and its time, of files that have their name."""
    named = [path for part in PARTS for path in (out / part).glob("[!.]*")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in named}


def finished_chunks(out: Path) -> dict[str, tuple[int, int]]:
    """The identities of the files of all chunks that are whole: of those whose last file is there."""
    last = {path.stem for part in ("preimages", "spectra", "invariance") for path in (out / part).glob("[!.]*")}
    return {path: identity for path, identity in identities(out).items() if Path(path).stem in last}
