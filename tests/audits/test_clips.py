"""Audits of networks that clip: what is saturated is counted, stored, checked and shown; and nowhere else."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

import fiberscope as fs
from fiberscope.audits.unit_counts import counts_at, unit_counts
from fiberscope.cli import main
from fiberscope.network import relu_layer
from fiberscope.network.building import NetworkBuilder
from fiberscope.network.network import Network
from fiberscope.network.rows import dense

SAMPLES = 8
SHARD = "layer-00-block-0000"


def clipping_network() -> Network:
    """Two layers that clip, the second where branches meet."""
    rng = np.random.default_rng(0)
    W1, W2 = rng.integers(-2, 3, (4, 3)).astype(np.float64), rng.integers(-2, 3, (3, 4)).astype(np.float64)
    builder = NetworkBuilder((1, 3))
    inner = builder.clip("inner", builder.dense("one", builder.input, W1, np.arange(4.0)), 0.0, 2.0)
    total = builder.add("sum", [builder.dense("two", inner, W2), builder.input])
    last = builder.dense("three", builder.clip("outer", total, -1.0, 1.0), np.eye(3))
    return builder.build(builder.relu("end", last))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    clipping_network().save(folder / "model.safetensors")
    np.savez(folder / "data.npz", x=samples(), y=np.arange(SAMPLES) % 2)
    command = ["audit", str(folder / "model.safetensors"), str(folder / "data.npz"), "--domain", "-2,2"]
    assert main([*command, "--out", str(folder / "out")]) == 0
    return folder / "out"


def samples() -> Any:
    return np.random.default_rng(1).integers(-2, 3, (SAMPLES, 3)).astype(np.float64)


def findings(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "preimages").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_what_is_saturated_is_counted_where_it_is(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, X = clipping_network(), samples()
    W1 = np.asarray(net.relu_layers[0].weight)  # type: ignore[union-attr]
    first = X @ W1.T + np.arange(4.0)
    outer = net.layer_input(2, X)
    expected = {0: (first > 0, first >= 2), 1: (outer > -1, outer >= 1), 2: (outer > 0, np.zeros_like(outer) > 0)}
    rows = findings(audited)
    assert len(rows) == SAMPLES * 3 * 2
    for row in rows:
        positive, saturated = (mask[row["sample"]].sum() for mask in expected[row["layer"]])
        assert (row["positives"], row["saturated"]) == (positive, saturated)
        assert row["kind"] != "undecided"
    assert {row["domain"] for row in rows if row["layer"] == 2} == {"R^n", "box [-1,1]"}
    assert {row["domain"] for row in rows if row["layer"] == 1} == {"R^n, linear region", "box [-2,2], linear region"}
    assert main(["verify", str(audited)]) == 0
    assert f"{len(rows)} verdicts proved, 0 not proved" in capsys.readouterr().out


@pytest.mark.parametrize("column", ["positives", "saturated"])
def test_a_wrong_count_is_not_proved(column: str, audited: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    shutil.copytree(audited, out)
    path = out / f"preimages/{SHARD}.parquet"
    table = pq.read_table(path)
    values = table.to_pylist()
    values[3][column] += 1
    pq.write_table(pa.Table.from_pylist(values, schema=table.schema), path)
    assert main(["verify", str(out)]) == 1
    word = {"positives": "positive", "saturated": "saturated"}[column]
    assert (
        f"{values[3][column]} {word} outputs are stored, there are {values[3][column] - 1}" in capsys.readouterr().out
    )


def test_tables_and_the_page_show_saturated_outputs(audited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(audited)]) == 0
    assert "satu-" in capsys.readouterr().out
    page = (audited / "report.html").read_text()
    assert "median<br>saturated" in page
    assert "positive, unsaturated outputs" in page
    assert '"saturated":' in page
    assert main(["compare", str(audited), str(audited)]) == 0
    assert "saturated outputs: " in capsys.readouterr().out


def test_networks_of_relus_have_no_such_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builder = NetworkBuilder((1, 3))
    builder.build(builder.relu("r", builder.dense("a", builder.input, np.eye(3)))).save(tmp_path / "m.safetensors")
    np.savez(tmp_path / "d.npz", x=samples(), y=np.arange(SAMPLES))
    out = tmp_path / "out"
    assert main(["audit", str(tmp_path / "m.safetensors"), str(tmp_path / "d.npz"), "--out", str(out)]) == 0
    assert main(["compare", str(out), str(out)]) == 0
    assert "satu" not in capsys.readouterr().out
    page = (out / "report.html").read_text()
    assert "median<br>saturated" not in page
    assert '"saturated":' not in page
    assert {row["saturated"] for row in findings(out)} == {0}  # the file always has the column


# ---- counting


@pytest.mark.parametrize("unit", [1.0, 2.0**-900, 2.0**900])
def test_counts_are_exact_where_float64_is_not(unit: float) -> None:
    """Sums of tenths that are exactly, just above or just below a bound; compared with fractions."""
    rng = np.random.default_rng(0)
    A = rng.choice([0.1, 0.2, 0.3, -0.3, 0.7], (40, 4))
    X = rng.choice([1.0, 2.0, 3.0], (20, 4)) * unit
    b = np.zeros(40)
    exact = [[dot(row, x) for row in A.tolist()] for x in X.tolist()]
    low = np.array([float(value) for value in exact[0]])  # rounded: the sample is on either side of it
    high = np.nextafter(low, np.inf)
    injective = np.arange(40) % 7 == 0
    for weight in (A, csr_array(A)):
        layer = fs.ReLULayer(weight, b, injective=injective, low=low, high=high)
        positives, saturated = counts_at(layer, X)
        for values, positive, full in zip(exact, positives.tolist(), saturated.tolist(), strict=True):
            bounds = zip(values, low.tolist(), high.tolist(), injective.tolist(), strict=True)
            known = [(i or z > Fraction(p), not i and z >= Fraction(q)) for z, p, q, i in bounds]
            assert (positive, full) == tuple(map(sum, zip(*known, strict=True)))


def dot(row: list[float], x: list[float]) -> Fraction:
    return sum((Fraction(a) * Fraction(v) for a, v in zip(row, x, strict=True)), Fraction(0))


def test_counts_of_bounds_that_are_infinite_or_equal() -> None:
    layer = fs.ReLULayer(np.ones((3, 1)), low=[-np.inf, 0.0, 2.0], high=[1.0, np.inf, 2.0])
    for z, counts in ((-5.0, (1, 0)), (1.0, (2, 1)), (2.0, (2, 2)), (3.0, (3, 2))):
        assert unit_counts(layer, np.array([z])) == counts


def test_units_inside_branches_do_not_count() -> None:
    layer, x = clipping_network().relu_layers[1], samples()[0]
    outer = clipping_network().layer_input(2, x[None])[0]
    assert unit_counts(layer, x) == ((outer > -1).sum(), (outer >= 1).sum())


@pytest.mark.parametrize("exponent", [0, -300, 200])
def test_rows_of_large_layers_are_not_written_out_to_count(monkeypatch: pytest.MonkeyPatch, exponent: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 3, 3, 1, 1).double()
    with torch.no_grad():
        convolution.weight.copy_(torch.randint(-2, 3, convolution.weight.shape).double() * 0.1)
        convolution.bias.copy_(torch.randint(-1, 2, convolution.bias.shape).double() * 0.2 * 2.0**exponent)
    model = nn.Sequential(convolution, nn.Hardtanh(0.0, 0.5 * 2.0**exponent), nn.Flatten(), nn.Linear(75, 2).double())
    model.eval()
    X = np.random.default_rng(0).integers(-1, 2, (4, 50)) * 2.0**exponent
    written = fs.from_torch(model, input_shape=(2, 5, 5)).relu_layers[0]
    expected = counts_at(fs.ReLULayer(written.weight, written.bias, low=written.low, high=written.high), X)
    values = np.array([[dot(row, x) for row in dense(written.weight).tolist()] for x in X.tolist()])
    values = values + np.array([Fraction(b) for b in written.bias.tolist()])
    assert ((values > 0).sum(axis=1) == expected[0]).all()
    monkeypatch.setattr(relu_layer, "MAX_WRITTEN", 0)
    large = fs.from_torch(model, input_shape=(2, 5, 5)).relu_layers[0]
    assert large.is_large
    monkeypatch.setattr(fs.ReLULayer, "_write_out", lambda _: pytest.fail("rows were written out"))
    for found, known in zip(counts_at(large, X), expected, strict=True):
        assert (found == known).all()
    assert unit_counts(large, X[0]) == (expected[0][0], expected[1][0])
