"""Audits at a precision: verdicts beside the exact ones, which two checkers prove that share no code with deciding."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import fiberscope as fs
from fiberscope.audits.store import Results
from fiberscope.checker.curves import Curves
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.precision import within
from fiberscope.checker.system import System
from fiberscope.cli import main
from fiberscope.preimages.verification import curves_of
from monotone_layers import CURVES, layer_of
from result_folders import rewrite
from small_audits import change_manifest, small_data, small_network, write_model_and_data

SAMPLES = 9
SCRIPT = Path(__file__).parents[2] / "tools" / "check_certificates.py"


def audited(folder: Path, precision: str, *more: str) -> Path:
    folder.mkdir(exist_ok=True)
    out = folder / "out"
    arguments = ["audit", *write_model_and_data(folder, SAMPLES), "--out", str(out), "--domain", "0,1"]
    assert main([*arguments, "--precision", precision, *more]) == 0
    return out


def findings(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "preimages").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(name="at_int8", scope="module")
def _at_int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results at int8; nobody writes into them."""
    return audited(tmp_path_factory.mktemp("int8"), "int8")


@pytest.fixture(name="out")
def _out(at_int8: Path, tmp_path: Path) -> Path:
    """A copy of them, to be changed."""
    return Path(shutil.copytree(at_int8, tmp_path / "out"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("precision", ["int8", "float32", "float16", "0.25"])
def test_verdicts_are_those_of_classify_and_are_proved(precision: str, tmp_path: Path) -> None:
    """Beside the exact ones, which stay as they are; by ``fiberscope verify`` and by the script."""
    out = audited(tmp_path, precision)
    rows, network, x = findings(out), small_network(), small_data(SAMPLES)
    manifest = json.loads((out / "manifest.json").read_text())
    assert {row["precision"] for row in rows} == {"exact", precision}
    for layer in range(3):
        inputs, domains = (
            network.layer_input(layer, x),
            {"R^n": None, "x >= 0": fs.NonNegative(), "box [0,1]": fs.Box(0, 1)},
        )
        known: Any = float(precision) if precision == "0.25" else precision
        if precision == "int8":
            scale = float(network.relu_layers[layer](inputs).max()) / 255
            assert manifest["steps"][layer] == pytest.approx(scale)
            known = fs.Precision("int8", scale=manifest["steps"][layer])
        for name in {row["domain"] for row in rows if row["layer"] == layer}:
            for at, told in (("exact", 0.0), (precision, known)):
                here = [row for row in rows if (row["layer"], row["domain"], row["precision"]) == (layer, name, at)]
                right = fs.classify(network.relu_layers[layer], inputs, domains[name], within=told)
                assert [row["sample"] for row in here] == list(range(SAMPLES))
                assert [row["kind"] for row in here] == right.kind.tolist()
                assert [row["dimension"] for row in here] == right.dimension.tolist()
                assert [row["positives"] for row in here] == right.positives.tolist()
    assert main(["verify", str(out)]) == 0
    assert main(["verify", str(out), "--exact"]) == 0
    run = subprocess.run([sys.executable, str(SCRIPT), str(out)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert run.stdout.splitlines()[-1] == f"proved {len(rows)} of {len(rows)}"
    assert f"at {precision}" in (out / "report.html").read_text()


def _say(rows: list[dict[str, Any]], said: dict[str, Any]) -> None:
    """Say something else of the first verdict at int8 that is unbounded on all of R^n."""
    changed = next(
        k
        for k, row in enumerate(rows)
        if (row["domain"], row["precision"], row["kind"]) == ("R^n", "int8", "unbounded")
    )
    if "precision" in said:  # what is said of the two rows at exact outputs and at int8 changes places
        other = next(
            k for k, row in enumerate(rows) if row["sample"] == rows[changed]["sample"] and row["domain"] == "R^n"
        )
        kept = ("sample", "layer", "domain", "precision")
        rows[changed], rows[other] = (
            {**rows[b], **{name: rows[a][name] for name in kept}} for a, b in ((changed, other), (other, changed))
        )
    else:
        rows[changed] |= {
            name: value + rows[changed][name] if name == "positives" else value for name, value in said.items()
        }


@pytest.mark.exhaustive
@pytest.mark.parametrize("said", [{"precision": "exact"}, {"kind": "bounded"}, {"positives": 3}])
def test_a_changed_finding_is_not_proved(said: dict[str, Any], out: Path) -> None:
    """A verdict at int8 that is said to be exact, of another kind, or with other counts, by both checkers."""
    rewrite(out, "preimages", lambda rows: _say(rows, said))
    assert main(["verify", str(out)]) == 1
    run = subprocess.run([sys.executable, str(SCRIPT), str(out)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    last = run.stdout.splitlines()[-1].split()
    assert int(last[1]) < int(last[3])


def test_another_step_is_another_question(out: Path) -> None:
    """With codes a hundred times as coarse, bounded verdicts do not hold any more; and a precision must be one."""
    manifest = json.loads((out / "manifest.json").read_text())
    change_manifest(out, {"steps": [100 * step for step in manifest["steps"]]})
    assert main(["verify", str(out)]) == 1
    for bad in ({"precision": "float8"}, {"steps": [1.0]}, {"precision": "-1"}):
        change_manifest(out, {"steps": manifest["steps"]} | bad)
        with pytest.raises(fs.ResultsError):
            Results(out).manifest()


def test_thresholds_and_resuming(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A threshold is about exact outputs unless it names the precision; an audit goes on at the same one only."""
    out = audited(tmp_path, "int8", "--fail-on", "singleton<0.01@layer1@nonnegative")
    again = ["audit", *write_model_and_data(tmp_path, SAMPLES), "--out", str(out), "--domain", "0,1", "--resume"]
    assert main([*again, "--precision", "int8", "--fail-on", "singleton<0.01@layer1@nonnegative@int8"]) == 1
    assert "x >= 0 at int8" in capsys.readouterr().out
    assert main([*again, "--precision", "int8", "--fail-on", "singleton<0.01@float32"]) == 2
    assert main(again) == 2
    assert "--precision" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["float8", "0", "-1", "inf", "nan", "int8,float32", ""])
def test_bad_precisions_have_one_clear_error(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", *write_model_and_data(tmp_path, 2), "--out", str(tmp_path / "out")]
    assert main([*arguments, f"--precision={text}"]) == 2
    message = capsys.readouterr().err
    assert "--precision: expected one of float32, float16, int8, or a positive number" in message
    assert not (tmp_path / "out").exists()


def test_both_sides_compute_the_same_numbers() -> None:
    """What deciding asks about and what the checker reads, entry by entry: ties and ends of cells included."""
    generator = np.random.default_rng(0)
    for m, n, low, high in ((40, 60, 0.0, np.inf), (30, 7, -1.0, 3.1), (20, 40, 0.0, 6.0)):
        A = generator.standard_normal((m, n)) * (generator.random((m, n)) < 0.7)
        A[: m // 2] = np.round(A[: m // 2] * 4) / 4
        X = np.round(generator.random((50, n)) * 8) / 8
        layer = fs.ReLULayer(A, np.round(generator.standard_normal(m) * 8) / 8, low=low, high=high)
        ends, none = (np.full(n, -np.inf), np.full(n, np.inf)), (np.zeros((0, n)), np.zeros(0))
        system = System(layer.weight, layer.bias, np.array(layer.low), np.array(layer.high), *ends, *none)
        clips = Curves.unknown(layer.injective)
        for name, scale in (("float32", None), ("float16", None), ("int8", 0.0123), ("int8", 0.25)):
            asked = fs.Precision(name, scale=scale).within(layer, X)
            assert np.array_equal(asked, within(system, clips, X, name, scale))
        for precision, step in (("int8", None), ("int8", 0.0), ("-1", None), ("inf", None)):
            with pytest.raises(NotProvedError):
                within(system, clips, X, precision, step)


def test_both_sides_compute_the_same_numbers_of_strictly_monotone_units() -> None:
    generator = np.random.default_rng(1)
    for name in CURVES:
        A, b = np.round(generator.standard_normal((20, 9)) * 8) / 8, np.round(generator.standard_normal(20) * 8) / 8
        X = np.round(generator.random((20, 9)) * 8) / 8
        layer = layer_of(name, A, b)
        ends, none = (np.full(9, -np.inf), np.full(9, np.inf)), (np.zeros((0, 9)), np.zeros(0))
        system, curves = System(A, b, layer.low, layer.high, *ends, *none), curves_of(layer.injective, layer.monotone)
        for precision, scale in (("float32", None), ("float16", None), ("int8", 0.0123), ("int8", 0.25)):
            asked = fs.Precision(precision, scale=scale).within(layer, X)
            assert np.array_equal(asked, within(system, curves, X, precision, scale)), (name, precision)


@pytest.mark.parametrize("precision", ["int8", "float32", "0.25"])
def test_strictly_monotone_layers_are_judged_at_a_precision_and_proved(precision: str, tmp_path: Path) -> None:
    """By ``fiberscope verify``, in floats and exactly; the script proves the exact ones, and says what is beyond it."""
    torch.manual_seed(0)
    tanh, leaky = torch.nn.Tanh(), torch.nn.LeakyReLU(0.2)
    module = torch.nn.Sequential(torch.nn.Linear(3, 6), tanh, torch.nn.Linear(6, 7), leaky, torch.nn.Linear(7, 2))
    x, out = np.random.default_rng(0).random((3, 3)), tmp_path / "out"
    results = fs.audit(fs.from_torch(module.eval(), input_shape=(3,)), x, out=out, domain=(0, 1), precision=precision)
    rows = [row for row in findings(out) if row["precision"] == precision]
    assert {row["kind"] for row in rows} == {"bounded"}
    assert results.verify()
    assert main(["verify", str(out), "--exact"]) == 0
    run = subprocess.run([sys.executable, str(SCRIPT), str(out)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "beyond this script: monotone at a precision" in run.stdout
    total = len(findings(out))
    assert run.stdout.splitlines()[-1] == f"proved {total - len(rows)} of {total}"
    rewrite(
        out, "preimages", lambda rows: [row.update(kind="unbounded") for row in rows if row["precision"] == precision]
    )
    assert main(["verify", str(out)]) == 1
