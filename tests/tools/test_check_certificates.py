"""The script that proves the verdicts of a results folder without fiberscope: what it proves, and what it must not."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.audits.verify import verify_results
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from result_folders import (
    FIRST,
    PARTS,
    SAMPLES,
    SCRIPT,
    Rows,
    check_certificates,
    findings,
    reseal,
    rewrite,
    stored,
    write_audit,
)
from small_audits import change_manifest, small_data, small_network
from torch_modules import Function, randomised

KINDS = ("singleton", "bounded", "unbounded")


def proved(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, int]:
    """What the script's last line says; its exit status says the same."""
    status = check_certificates.main(folder)
    words = capsys.readouterr().out.splitlines()[-1].split()
    assert words[0] == "proved"
    assert words[2] == "of"
    assert (status == 0) == (words[1] == words[3])
    return int(words[1]), int(words[3])


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "results"
    write_audit(folder, small_network(), small_data(SAMPLES))
    return folder


@pytest.fixture
def changed(audit: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(audit, tmp_path / "changed"))


# ---- what it proves


def test_every_verdict_of_an_audit_is_proved(audit: Path):
    run = subprocess.run([sys.executable, SCRIPT, audit], capture_output=True, text=True, check=False)
    total = sum(1 for path in (audit / "preimages").iterdir() for _ in findings(audit, path.stem))
    assert run.stdout.splitlines()[-1] == f"proved {total} of {total}"
    assert run.returncode == 0
    assert len(run.stderr.splitlines()) == len(list((audit / "preimages").iterdir()))  # progress


def test_nothing_of_fiberscope_is_imported_and_the_file_is_short():
    text = SCRIPT.read_text()
    imports = [line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert {name.split(".")[0] for name in imports} <= {*sys.stdlib_module_names, "numpy", "flint", "pyarrow"}
    assert len(text.splitlines()) <= 400


def integers(seed: int, *sizes: int, exponent: int = 0) -> fs.Network:
    """Layers with many dependent, equal and zero rows, each row times a power of two."""
    rng, stages = np.random.default_rng(seed), []
    for k, (n, m) in enumerate(itertools.pairwise(sizes)):
        scale = 2.0 ** rng.integers(-exponent, exponent + 1, size=m)
        weight, bias = rng.integers(-2, 3, size=(m, n)), rng.integers(-1, 2, size=m)
        weight[-1] = 0 if k else -weight[0]
        stages += [affine_stage(f"d{k}", Dense(weight * scale[:, None], bias * scale)), relu_stage(f"r{k}", m)]
    return Network(tuple(stages), sizes[:1])


MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "convolution": (
        nn.Sequential(
            nn.Conv2d(2, 2, 3, padding=1, stride=2), nn.ReLU(),
            nn.Conv2d(2, 4, 2, padding=1, dilation=2, groups=2), nn.ReLU6(),
        ),
        (2, 3, 4),
    ),
    "convolution 1d": (nn.Sequential(nn.Conv1d(2, 3, 3, padding=2, bias=False), nn.ReLU()), (2, 5)),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(2, 2, 2, stride=2), nn.ReLU()), (2, 2, 2)),
    "pooling": (
        nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 3),
            nn.ReLU(),
        ),
        (1, 6, 6),
    ),
    "averages": (
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 5), nn.Hardtanh()),
        (1, 6, 6),
    ),
    "composed": (
        nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6), nn.LeakyReLU(), nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ELU()),
        (4,),
    ),
    "clips": (
        nn.Sequential(nn.Linear(4, 9), nn.ReLU6(), nn.Linear(9, 6), nn.Hardtanh(), nn.Linear(6, 9), nn.ReLU()), (4,)
    ),
}  # fmt: skip


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("name", [*MODULES, "integers", "powers of two", "no box"])
def test_it_proves_what_fiberscope_proves(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rng, box = np.random.default_rng(2), (0.0, 1.0)
    if name in MODULES:
        network = fs.from_torch(randomised(copy.deepcopy(MODULES[name][0]), 3), input_shape=MODULES[name][1])
    else:
        network = integers(1, 4, 9, 6, exponent=40 if name == "powers of two" else 0)
    x = rng.integers(0, 5, size=(SAMPLES, *network.input_shape)) / 4.0
    results = write_audit(tmp_path / "results", network, x, None if name == "no box" else box)
    checked = list(verify_results(results, workers=1))
    claims = sum(chunk.proved + len(chunk.failures) for chunk in checked)
    assert claims == sum(chunk.proved for chunk in checked)
    assert proved(results.folder, capsys) == (claims, claims)
    assert claims > SAMPLES


def test_verdicts_about_the_network_are_not_counted(changed: Path, capsys: pytest.CaptureFixture[str]):
    before = proved(changed, capsys)
    (changed / "network").mkdir(exist_ok=True)
    table = pa.table({"sample": [0], "layer": [0], "verdict": ["recoverable"], "reason": [""]})
    pq.write_table(table, changed / "network" / "verdicts.parquet")
    assert proved(changed, capsys) == before


def test_what_is_beyond_its_reach_counts_as_not_proved(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.manual_seed(0)
    parts = {"a": nn.Linear(3, 4), "b": nn.Linear(4, 4), "c": nn.Linear(4, 3)}

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.a(x))
        return torch.relu(self.c(torch.relu(self.b(h)) + h))

    network = fs.from_torch(Function(forward, **parts).eval(), input_shape=(3,))
    write_audit(tmp_path / "results", network, np.random.default_rng(0).random((2, 3)))
    assert check_certificates.main(tmp_path / "results") == 1
    output = capsys.readouterr().out
    assert "where branches meet are beyond the reach" in output
    assert output.splitlines()[-1] == "proved 8 of 12"


# ---- what it must not prove


@pytest.mark.parametrize(
    "name", ["manifest.json", "model.safetensors", "data.npz", *(f"{part}/{FIRST}{end}" for part, end in PARTS.items())]
)
def test_a_changed_file_is_found(name: str, changed: Path, capsys: pytest.CaptureFixture[str]):
    path = changed / name
    data = bytearray(path.read_bytes())
    if name == "manifest.json":
        data = bytearray(data.replace(b'"training": ""', b'"training": "x"'))
    else:
        data[-40 if name.endswith("npy") else len(data) // 2] ^= 1
    path.write_bytes(data)
    try:
        counts = proved(changed, capsys)
    except Exception:
        return  # a file that cannot be read at all; the script then says so, and that nothing is proved
    assert counts[0] < counts[1]


def test_a_folder_that_cannot_be_read_is_one_line_and_not_proved(tmp_path: Path):
    run = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout.splitlines()[-1] == "proved 0 of 0"
    assert "manifest.json" in run.stdout
    assert "Traceback" not in run.stderr


def test_a_missing_file_is_found(changed: Path, capsys: pytest.CaptureFixture[str]):
    (changed / "certificates" / f"{FIRST}.parquet").unlink()
    good, total = proved(changed, capsys)
    assert total - good == len(findings(changed))


FIELDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "sample": lambda row: {"sample": row["sample"] + 1},
    "layer": lambda row: {"layer": 1},
    "domain": lambda row: {"domain": "box [0,2]"},
    "positives": lambda row: {"positives": row["positives"] + 1},
    "saturated": lambda row: {"saturated": 1},
    "dimension up": lambda row: {"dimension": row["dimension"] + 1},
    "dimension down": lambda row: {"dimension": row["dimension"] - 1},
    **{
        f"dimension_{side} by {step}": (lambda row, side=f"dimension_{side}", step=step: {side: row[side] + step})
        for side in ("low", "high")
        for step in (-1, 1)
    },
    "certificate": lambda row: {"certificate": "0" * 32},
    **{f"kind {kind}": (lambda row, kind=kind: {"kind": kind}) for kind in ("empty", *KINDS)},
}  # fmt: skip


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_finding_is_not_proved_even_if_no_digest_shows_it(
    field: str, changed: Path, capsys: pytest.CaptureFixture[str]
):
    before = proved(changed, capsys)[1]
    rows = findings(changed)
    place = next(k for k, row in enumerate(rows) if FIELDS[field](row).items() - row.items())
    rewrite(changed, "preimages", lambda rows: rows[place].update(FIELDS[field](rows[place])))
    good, total = proved(changed, capsys)
    assert total == before
    assert good < total


def test_a_finding_that_is_left_out_is_missed(changed: Path, capsys: pytest.CaptureFixture[str]):
    before = proved(changed, capsys)[1]
    rewrite(changed, "preimages", lambda rows: rows.pop())
    good, total = proved(changed, capsys)
    assert total == before
    assert total - good == len(findings(changed)) + 1


def test_undecided_verdicts_claim_nothing(changed: Path, capsys: pytest.CaptureFixture[str]):
    before = proved(changed, capsys)[1]
    rewrite(changed, "preimages", lambda rows: rows[0].update(kind="undecided", dimension=None, certificate=""))
    assert check_certificates.main(changed) == 0
    output = capsys.readouterr().out.splitlines()
    assert output == ["1 undecided", f"proved {before - 1} of {before - 1}"]


def test_a_certificate_under_an_id_of_another_is_found(changed: Path, capsys: pytest.CaptureFixture[str]):
    def swap(rows: Rows) -> None:
        rows[0]["data"], rows[1]["data"] = rows[1]["data"], rows[0]["data"]

    rewrite(changed, "certificates", swap)
    good, total = proved(changed, capsys)
    assert total - good >= 2


def test_another_id_is_found(changed: Path, capsys: pytest.CaptureFixture[str]):
    identity = findings(changed)[0]["certificate"]

    def rename(rows: Rows) -> None:
        for row in rows:
            row.update({name: "ab" * 16 for name, value in row.items() if value == identity})

    rewrite(changed, "certificates", rename)
    rewrite(changed, "preimages", rename)
    good, total = proved(changed, capsys)
    assert total - good == sum(row["certificate"] == "ab" * 16 for row in findings(changed)) > 0


def test_one_finding_too_many_is_found(changed: Path, capsys: pytest.CaptureFixture[str]):
    rewrite(changed, "preimages", lambda rows: rows.append(rows[-1] | {"domain": "box [0,9]"}))
    good, total = proved(changed, capsys)
    assert good < total


def test_files_that_say_the_same_are_not_those_that_were_written(changed: Path, capsys: pytest.CaptureFixture[str]):
    path = changed / "preimages" / f"{FIRST}.parquet"
    pq.write_table(pq.read_table(path), path)
    good, total = proved(changed, capsys)
    assert total - good == len(findings(changed))


def test_an_input_outside_the_domain_has_no_verdict_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    network = Network((affine_stage("d", Dense([[1.0, 0.0]], [-9.0])), relu_stage("r", 1)), (2,))
    folder = write_audit(tmp_path / "results", network, np.array([[0.5, 0.5], [2.0, 0.5]])).folder
    assert proved(folder, capsys) == (3, 3)
    rewrite(folder, "preimages", lambda rows: rows[3].update(rows[2] | {"sample": 1}))
    assert proved(folder, capsys) == (3, 4)


def test_inputs_that_the_network_does_not_give_are_found(changed: Path, capsys: pytest.CaptureFixture[str]):
    for stem in (FIRST, "layer-01-block-0000"):
        path = changed / "inputs" / f"{stem}.npy"
        before, inputs = path.read_bytes(), np.load(path)
        inputs[1, 0] = inputs[1, 0] / 2 + 0.25 + 2.0**-20
        np.save(path, inputs)
        reseal(changed)
        good, total = proved(changed, capsys)
        assert total - good == len(findings(changed, stem))
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_another_weight_is_found_by_the_digest_and_without_it(
    name: str, changed: Path, capsys: pytest.CaptureFixture[str]
):
    network = fs.load(changed / "model.safetensors")
    affine = network.stages[0].maps[0]
    getattr(affine, name).view(-1)[3] += 0.25
    network.save(changed / "model.safetensors")
    assert proved(changed, capsys)[0] == 0
    change_manifest(changed, {"model_digest": network.digest()})
    good, total = proved(changed, capsys)
    assert good < total


@pytest.mark.exhaustive
def test_no_certificate_proves_a_wrong_verdict(changed: Path):
    """Every certificate, whole and damaged in many ways, for every sample, kind and dimension but the right ones."""
    rng, network, x = np.random.default_rng(0), small_network(), small_data(SAMPLES)
    tried, right = 0, 0
    for number in range(2):
        stem = f"layer-{number:02d}-block-0000"
        known = check_certificates.Network((changed / "model.safetensors").read_bytes(), x)
        layer, inputs = known.layer(known.layers[number]), np.load(changed / "inputs" / f"{stem}.npy")
        assert np.array_equal(layer[0], network.relu_layers[number].weight)
        rows = findings(changed, stem)
        for name in dict.fromkeys(row["domain"] for row in rows):
            low, high = {"R^n": (-np.inf, np.inf), "x >= 0": (0, np.inf)}.get(name, (0, 1))
            cones = check_certificates.cones(check_certificates.sides(layer, inputs), inputs, low, high)
            truth = [row for row in rows if row["domain"] == name]
            for data in stored(changed, stem).values():
                for damaged in [data, *(damage(data, rng) for _ in range(6))]:
                    fixed = [cone[0, 0, -inputs.shape[1] :] for cone in cones[:2]]
                    try:
                        proof = check_certificates.Proof(damaged, layer[0], {}, fixed)
                    except Exception:
                        continue
                    for row, tangent, recession, *_ in zip(truth, *cones, strict=True):
                        for kind in ("singleton", "bounded", "unbounded", "empty"):
                            proof.given["kind"] = kind
                            proof.given.pop("dimension", None)
                            for dimension in (None, *range(inputs.shape[1] + 1)):
                                claim = {"kind": kind, "dimension": dimension}
                                true = kind == row["kind"] and dimension in (None, row["dimension"])
                                tried += 1
                                if proves(proof, tangent, recession, claim):
                                    assert true, (row, claim)
                                    right += 1
    assert tried > 10_000
    assert right > 50


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """One number or two of a certificate's arrays changed: zero, negative, much larger, or that of another row."""
    end = 8 + int.from_bytes(data[:8], "little")
    out, layout = bytearray(data), json.loads(data[8:end])["arrays"]
    for _ in range(rng.integers(1, 3)):
        place = end + 8 * int(rng.integers(0, max(1, (len(data) - end) // 8)))
        start = end
        for dtype, (size,) in layout.values():
            if start <= place < start + 8 * size:
                old = np.frombuffer(out, dtype, 1, place)[0]
                choices = [0, -old, old * 1000, old + 1] if dtype == "<f8" else [old + 1, old - 1, 0]
                out[place : place + 8] = np.array(choices[rng.integers(len(choices))], dtype=dtype).tobytes()
            start += 8 * size
    return bytes(out)


def proves(proof: Any, tangent: Any, recession: Any, claim: dict[str, Any]) -> bool:
    try:
        proof.check(tangent, recession, claim)
    except Exception:
        return False
    return True


# ---- certificates written by hand


def written(parts: dict[str, Any]) -> bytes:
    """A certificate as docs/certificates.md describes its bytes; lists of floats and integers are arrays."""
    arrays: dict[str, np.ndarray] = {}

    def rest(part: dict[str, Any], path: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in part.items():
            if isinstance(value, dict) and "denominator" not in value:
                out[name] = rest(value, f"{path}{name}.")
            elif isinstance(value, list):
                floating = name == "values"
                arrays[path + name] = np.array(value, dtype="<f8" if floating else "<i8")
            else:
                out[name] = value
        return out

    said = rest(parts | {"version": 3}, "")
    names = sorted(arrays)
    layout = {name: [arrays[name].dtype.str, list(arrays[name].shape)] for name in names}
    header = json.dumps({"certificate": said, "arrays": layout}).encode()
    return len(header).to_bytes(8, "little") + header + b"".join(arrays[name].tobytes() for name in names)


def ray(values: Any, held: list[int], **more: Any) -> dict[str, Any]:
    return {"kind": "unbounded", "recession": {"direction": {"held": held, "values": values}}} | more


def weights(kind: str, face: str, rows: list[int], values: Any, **more: Any) -> dict[str, Any]:
    return {"kind": kind, face: {"multipliers": {"rows": rows, "values": values}}} | more


THIRD = {"numerators": ["0x1", "-0x3"], "denominator": "0x7"}
HAND: dict[str, tuple[Any, Any, Any, dict[str, Any], str, int]] = {
    # rows, bias, x; the certificate; the kind and dimension that it proves (on R^2)
    "ray off two rows": ([[-1, 0], [0, -1]], [-1, -1], [0, 0], ray([1.0, 1.0], []), "unbounded", 2),
    "ray along a row": ([[1, 0], [0, -1]], [1, -1], [0, 0], ray([0.0, 1.0], [0]), "unbounded", 1),
    "rational ray": ([[3, 1], [0, 1]], [1, -1], [0, 0], ray(THIRD, [0]), "unbounded", 1),
    "ray near the exact one": ([[3, 1], [0, 1]], [1, -1], [0, 0], ray([1 / 3, -1.0], [0]), "unbounded", 1),
    "a row twice": (
        [[1, 2], [2, 4]], [1, 1], [0, 0],
        ray([2.0, -1.0], [0, 1], relations={"starts": [0, 2], "rows": [0, 1], "values": [2.0, -1.0]}),
        "unbounded", 1,
    ),
    "counting": ([[1, 2]], [1], [0, 0], {"kind": "unbounded", "counted": [0, 1]}, "unbounded", 1),
    "a triangle around": (
        [[1, 0], [0, 1], [-1, -1]], [-1, -1, -1], [0, 0],
        weights("bounded", "recession", [0, 1, 2], [1.0, 1.0, 1.0]), "bounded", 2,
    ),
    "a triangle through x": (
        [[1, 0], [0, 1], [-1, -1]], [0, 0, 0], [0, 0],
        weights("singleton", "tangent", [0, 1, 2], [1.0, 1.0, 1.0]), "singleton", 0,
    ),
    "a triangle around, in other units": (
        [[4, 0], [0, 1], [-4, -1]], [-1, -1, -1], [0, 0],
        weights("bounded", "recession", [0, 1, 2], [1.0, 1.0, 1.0], scaling={"rows": [2, 0, 0], "columns": [-2, 0]}),
        "bounded", 2,
    ),
    "equal rows": ([[1, 0], [1, 1]], [1, 1], [0, 0], {"kind": "singleton"}, "singleton", 0),
    "a segment": (
        [[1, 0], [0, 1], [0, -1]], [1, -1, -1], [0, 0],
        weights("bounded", "recession", [0, 1, 2], [0.0, 1.0, 1.0]), "bounded", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HAND)
def test_a_certificate_written_by_hand_proves_its_verdict_and_no_other(name: str):
    rows, bias, x, parts, kind, dimension = HAND[name]
    A, b, points = np.array(rows, dtype=float), np.array(bias, dtype=float), np.array([x], dtype=float)
    layer = A, b, 0.0, np.inf, np.zeros(len(b), dtype=bool), -1
    tangent, recession = check_certificates.cones(check_certificates.sides(layer, points), points, -np.inf, np.inf)
    proof = check_certificates.Proof(written(parts), A, {}, [cone[0, 0, len(b) :] for cone in (tangent, recession)])
    assert proves(proof, tangent[0], recession[0], {"kind": kind, "dimension": dimension})
    for other in ("singleton", "bounded", "unbounded"):
        proof.given["kind"] = other
        for d in range(3):
            claim = {"kind": other, "dimension": d}
            assert proves(proof, tangent[0], recession[0], claim) == ((other, d) == (kind, dimension))
    for said in ({"kind": "empty"}, {"kind": kind, "dimension": dimension + 1}):
        proof.given |= said  # a certificate of something else
        assert not proves(proof, tangent[0], recession[0], {"kind": kind, "dimension": dimension})
    with pytest.raises(ValueError, match="bytes"):
        check_certificates.read_certificate(written(parts) + b"12345678")


@pytest.mark.parametrize(
    ("rows", "bias", "parts"),
    [
        # the ray leaves a row that must vanish, or runs against one
        ([[1, 0], [0, -1]], [1, -1], ray([1.0, 1.0], [])),
        ([[1, 0], [0, 1]], [1, -1], ray([0.0, 1.0], [0])),
        ([[1, 0], [0, -1]], [1, -1], ray([0.0, 0.0], [0])),
        # it is held by rows that are not shown to depend on each other
        (
            [[1, 2], [1, 2.5]], [1, 1],
            ray([2.0, -1.0], [0, 1], relations={"starts": [0, 2], "rows": [0, 1], "values": [1.0, -1.0]}),
        ),
        # weights of a wrong sign, rows that leave a line, a combination that does not vanish
        ([[1, 0], [0, 1], [-1, -1]], [-1, -1, -1], weights("bounded", "recession", [0, 1, 2], [-1.0, -1.0, -1.0])),
        ([[1, 0], [-1, 0]], [-1, -1], weights("bounded", "recession", [0, 1], [1.0, 1.0])),
        ([[1, 0], [0, 1], [-1, -1]], [-1, -1, -1], weights("bounded", "recession", [0, 1, 2], [1.0, 1.0, 0.5])),
        ([[1, 0], [0, 1], [1, 1]], [-1, -1, -1], weights("bounded", "recession", [0, 1, 2], [1.0, 1.0, 1.0])),
        # as many conditions as counted coordinates; a coordinate that nothing holds at zero
        ([[1, 2], [1, 1]], [1, 1], {"kind": "unbounded", "counted": [0, 1]}),
        ([[1, 2]], [1], {"kind": "singleton", "zero": [0]}),
        # numbers of rows where coordinates are counted
        ([[1, 0], [0, 1]], [1, 1], {"kind": "unbounded", "counted": [-1]}),
        ([[1, 0], [0, 1]], [-1, 1], {"kind": "unbounded", "counted": [-2, -1]}),
    ],
)  # fmt: skip
def test_a_wrong_certificate_proves_nothing(rows: Any, bias: Any, parts: dict[str, Any]):
    A, b = np.array(rows, dtype=float), np.array(bias, dtype=float)
    layer = A, b, 0.0, np.inf, np.zeros(len(b), dtype=bool), -1
    points = np.zeros((1, 2))
    tangent, recession = check_certificates.cones(check_certificates.sides(layer, points), points, -np.inf, np.inf)
    try:
        proof = check_certificates.Proof(written(parts), A, {}, [cone[0, 0, len(b) :] for cone in (tangent, recession)])
    except ValueError:
        return
    for dimension in (None, 0, 1, 2):
        assert not proves(proof, tangent[0], recession[0], {"kind": parts["kind"], "dimension": dimension})


def facts(rows: Any) -> Any:
    A = np.array(rows, dtype=float)
    return check_certificates.System(A, *(np.zeros(size, dtype=np.int64) for size in A.shape))


def numbers(**parts: Any) -> dict[str, Any]:
    return {name: np.array(part, dtype=float if name == "values" else np.int64) for name, part in parts.items()}


NO_COLUMN = np.zeros(2, dtype=bool)


def test_signs_of_weights_are_known_only_with_room():
    third = 1 / 3 + 1e-10  # 1e-10 from the exact weight, of which the second column then has the other sign
    system = facts([[3, 1], [-1, -third + 1e-11]])
    sign, _, _ = system.multipliers(numbers(rows=[0, 1, 3], values=[third, 1, 0]), NO_COLUMN)
    assert sign.tolist() == [1, 1, 0, 0]
    sign, _, _ = system.multipliers(numbers(rows=[0, 1, 3], values=[1 / 3, 1, 0]), NO_COLUMN)
    assert sign.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("rows", "values"), [([[3, 0], [-1, 0]], [1 / 3, 1]), ([[1, 1], [-1, -1]], [1, 1]), ([[1, 0], [-1, 0]], [1, 1])]
)
def test_weights_of_rows_that_leave_a_line_do_not_span(rows: Any, values: Any):
    assert not facts(rows).multipliers(numbers(rows=[0, 1], values=values), NO_COLUMN)[2]


def test_signs_on_a_direction_are_known_only_with_room():
    system = facts([[3, 1, 1], [3, 1, 1], [1, 0, 0]])
    sign = system.direction(numbers(held=[0], values=[1 / 3, -1, 1e-30]), [])
    assert sign.tolist() == [0, 2, 1, 1, -1, 2]


def test_a_direction_of_unknown_sign_is_in_no_cone():
    proof = check_certificates.Proof(written({"kind": "unbounded"}), np.eye(2), {}, [NO_COLUMN, NO_COLUMN])
    for place in range(3):
        cone = np.zeros((3, 4), dtype=bool)
        cone[place, 0] = True
        for value in (-1, 0, 1, 2):
            found = proof.moving(cone, [np.array([value, 1, 0, 0], dtype=np.int8)])
            assert bool(found) == (value in ((0,), (-1, 0), (0, 1))[place])


@pytest.mark.parametrize("place", [1, 2])
def test_a_direction_along_a_face_says_nothing_of_what_is_beside_it(place: int):
    side = 3.0 - 2 * place if place == 2 else -1.0
    parts = {"kind": "bounded", "tangent": {"direction": {"held": [], "values": [0.0, side]}}}
    proof = check_certificates.Proof(written(parts), np.eye(2), {}, [NO_COLUMN, NO_COLUMN])
    for row, dimension in ((0, (1, 2)), (1, (2, 2) if place == 1 else (0, 2))):
        cone = np.zeros((3, 4), dtype=bool)
        cone[place, row] = True
        assert proof.dimension(cone) == dimension


def test_weights_must_have_the_sign_of_the_side_that_there_is():
    parts = weights("bounded", "recession", [0, 1], [1.0, 1.0])
    proof = check_certificates.Proof(written(parts), np.array([[1.0, 0.0], [-1.0, 0.0]]), {}, [NO_COLUMN, NO_COLUMN])
    for place, named in ((0, True), (1, True), (2, False)):
        cone = np.zeros((3, 4), dtype=bool)
        cone[place, :2] = True
        assert bool(proof.vanishing(cone, proof.weights[1])[0][:2].all()) == named


def test_ranks_by_relations_that_hold_and_are_independent():
    system, columns = facts([[1, 1, 0], [1, 1, 1]]), np.arange(5) >= 4
    both = np.arange(5) < 2
    relation = {"rows": np.array([0, 1]), "values": np.array([1.0, -1.0])}
    once = system.relations(relation | {"starts": np.array([0, 2])})
    assert system.rank(both, once) == (2, 2)  # it fails in the last column
    assert system.rank(both | columns, once) == (2, 2)  # the last coordinate, and one row beside it
    system.direction(
        numbers(held=[0, 1], values=[1, -1 + 2**-50, 2**-60]), []
    )  # the rows are independent on all columns
    assert system.rank(both) == (2, 2)
    assert system.rank(both | columns) == (2, 2)
    twice = {name: np.concatenate([array, array]) for name, array in relation.items()}
    with pytest.raises(ValueError, match="independent"):
        system.relations(twice | {"starts": np.array([0, 2, 4])})
    with pytest.raises(ValueError, match="independent"):
        system.relations(relation | {"values": np.array([0.0, 1.0]), "starts": np.array([0, 2])})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (numbers(held=[2], values=[1, 1]), "moves"),
        (numbers(held=[0, 1], values=[2 + 1e-9, -1], basis=[0]), "depend"),
        (numbers(held=[0, 0], values=[2, -1]), "twice"),
        (numbers(held=[7], values=[2, -1]), "not there"),
        (numbers(held=[0], values=[2, -1, 0]), "vector"),
        (numbers(held=[0], values=[np.nan, -1]), "finite"),
        (numbers(held=[0]) | {"values": {"numerators": ["0x2", "-0x1"], "denominator": "-0x1"}}, "denominator"),
    ],
)
def test_a_direction_that_is_none_is_refused(parts: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        facts([[1, 2], [1, 2.5]]).direction(parts, [])


def test_dependent_columns_have_no_singular_value():
    with pytest.raises(ValueError, match="independent"):
        check_certificates.least_singular_value(np.array([[1, 2], [2, 4], [3, 6]], dtype=object))


def test_products_and_ranks_are_exact():
    rng = np.random.default_rng(0)
    A, B = (rng.integers(-(2**62), 2**62, size=size).astype(object) ** 3 for size in ((5, 7), (7, 4)))
    matrix, array = check_certificates.matrix, check_certificates.array
    assert (array(matrix(A) * matrix(B)) == A @ B).all()
    values = rng.standard_normal((4, 6)) * 2.0 ** rng.integers(-80, 80, size=(4, 6))
    integers, exponent = check_certificates.whole(values)
    unit = Fraction(2) ** exponent
    assert all(v * unit == Fraction(w) for v, w in zip(integers.flat, values.flat.copy().tolist(), strict=True))
    low = rng.integers(-3, 4, size=(9, 3)).astype(object) @ rng.integers(-3, 4, size=(3, 8)).astype(object)
    assert (
        matrix(low, check_certificates.PRIME).rank()
        == matrix(low).rank()
        == np.linalg.matrix_rank(low.astype(float))
        == 3
    )
    C = rng.integers(-9, 10, size=(8, 5)).astype(object)
    bound = float(check_certificates.least_singular_value(C))
    assert 0 < bound <= np.linalg.svd(C.astype(float), compute_uv=False)[-1]


def test_the_id_of_a_certificate_is_the_beginning_of_its_digest(audit: Path):
    for identity, data in stored(audit).items():
        assert hashlib.sha256(data).hexdigest()[:32] == identity
