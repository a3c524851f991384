"""Stored singular values are checked again: what was tampered with is found, and what is right is confirmed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import fiberscope as fs
import fiberscope.checker.spectra
from fiberscope.checker.spectra import SMOOTH, Written, why_not_confirmed
from fiberscope.checker.stored import read_stages
from fiberscope.cli import main
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import Stage, affine_stage
from small_audits import small_data, small_network

STAGES = len(small_network().stages)
SPECTRA = 5
SOUND = f"{STAGES * SPECTRA} spectra confirmed ({STAGES * SPECTRA} recomputed in full, 0 tested with random vectors)"


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change the rows of a Parquet file."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def shard(out: Path, sample: int) -> Path:
    return out / f"spectra/sample-{sample:06d}.parquet"


def verified(out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    capsys.readouterr()
    status = main(["verify", str(out)])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err


def test_sound_values_are_confirmed(decomposed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = verified(decomposed / "out", capsys)
    assert (status, said[-1]) == (0, f"{SOUND}, 0 not confirmed, 0 left out by the audit")


def scaled(row: dict[str, Any], factor: float, index: int | None = None) -> None:
    """Multiply values, and whatever follows from them, by a factor; the row stays consistent."""
    values = np.array(row["values"])
    values[slice(None) if index is None else index] *= factor
    rank = int((values > np.array(row["error_bound"])).sum())
    row |= {"values": values.tolist(), "rank": rank, "largest": values[0], "smallest_nonzero": values[rank - 1]}
    row["condition_number"] = values[0] / values[rank - 1]


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: scaled(row, 1 + 1e-7), "value 1 is "),
        (lambda row: scaled(row, 0.999, index=-1), "value 6 is "),
        (lambda row: row.update(rank=5), "rank is 5, but 6 by the values"),
        (lambda row: row.update(condition_number=2.0), "condition_number is 2.0, but "),
        (lambda row: row.update(smallest_nonzero=float("nan")), "smallest_nonzero is nan, but "),
        (lambda row: row.update(largest=None), "largest is None, but "),
        (lambda row: row.update(values=row["values"][::-1]), "not in descending order"),
        (lambda row: row.update(values=row["values"][:-1]), "expected 6 values"),
        (lambda row: row.update(error_bound=None), "expected 6 values"),
        (lambda row: row.update(values=[-v for v in row["values"]]), "negative or not finite"),
        (lambda row: row.update(error_bound=[float("inf")] * 6), "negative or not finite"),
    ],
)
def test_a_changed_row_is_not_confirmed(
    change: Callable[[dict[str, Any]], None], reason: str, spectra_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(shard(spectra_out, 3), lambda rows: change(rows[0]))
    status, said, _ = verified(spectra_out, capsys)
    assert status == 1
    assert said[-2].startswith("not confirmed: singular values, stage 0 dense0, sample 3: ")
    assert reason in said[-2]
    assert said[-1].startswith(f"{STAGES * SPECTRA - 1} spectra confirmed")
    assert said[-1].endswith("1 not confirmed, 0 left out by the audit")


def test_the_values_of_another_sample_are_not_confirmed(spectra_out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = pq.read_table(shard(spectra_out, 1)).to_pylist()
    rewrite(shard(spectra_out, 3), lambda rows: rows.__setitem__(slice(None), [row | {"sample": 3} for row in other]))
    status, said, _ = verified(spectra_out, capsys)
    assert status == 1
    assert sum("sample 3: value 1 is " in line for line in said) >= 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1].update(sample=4), "its rows are not the stages at this sample"),
        (lambda rows: rows.pop(2), "its rows are not the stages at this sample"),
        (lambda rows: rows.pop(), "its rows are not the stages of the network"),
        (lambda rows: rows[1].update(name="other"), "its rows are not the stages of the network"),
        (lambda rows: rows[1].update(outputs=8), "its rows are not the stages of the network"),
    ],
)
def test_rows_of_something_else_are_an_error(
    change: Callable[[list[dict[str, Any]]], None], words: str, spectra_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(shard(spectra_out, 3), change)
    status, _, error = verified(spectra_out, capsys)
    assert status == 2
    assert f"{shard(spectra_out, 3)} is damaged" in error
    assert words in error


@pytest.mark.parametrize("damage", ["truncated", "missing", "other columns"])
def test_a_damaged_file_is_an_error(damage: str, spectra_out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = shard(spectra_out, 3)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        pq.write_table(pq.read_table(path).drop_columns(["reason"]), path)
    status, _, error = verified(spectra_out, capsys)
    assert status == 2
    assert str(path) in error.splitlines()[-1]


def test_a_change_that_no_check_depends_on_is_an_error_too(
    spectra_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(shard(spectra_out, 3), lambda rows: rows[0].update(method="magic"))
    status, said, error = verified(spectra_out, capsys)
    assert (status, said[-1]) == (2, f"{SOUND}, 0 not confirmed, 0 left out by the audit")
    assert f"not as the audit wrote them: {shard(spectra_out, 3)}" in error


# ---- larger networks, of which not every value is recomputed


@pytest.fixture(scope="module")
def wide() -> tuple[Network, np.ndarray[Any, Any], list[list[dict[str, Any]]]]:
    """A convolutional network with 192 inputs, samples, and its spectra at each."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(128, 20),
    )  # fmt: skip
    network = fs.from_torch(module.double().eval(), input_shape=(3, 8, 8))
    X = np.random.default_rng(0).standard_normal((20, 3, 8, 8))
    rows = fs.spectra(network, X).to_pylist()
    return network, X.reshape(20, -1), [rows[i * 5 : i * 5 + 5] for i in range(20)]


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test with random vectors, whatever the size."""
    monkeypatch.setattr(fiberscope.checker.spectra, "FULL_NUMBERS", 0)
    monkeypatch.setattr(fiberscope.checker.spectra, "PROBES", 40)


def written(network: Network) -> Written:
    return Written(read_stages(network.to_bytes()))


def values_at(network: Network, x: Any) -> dict[int, Any]:
    return {number: values[0].numpy() for number, values in network.stage_outputs(torch.tensor(x)[None])}


def reasons(network: Network, x: Any, rows: list[dict[str, Any]], seed: int) -> list[str]:
    values, claimed = values_at(network, x.ravel()), {row["stage"]: row for row in rows}
    full, why = why_not_confirmed(written(network), x.ravel(), values, claimed, seed)
    assert not full
    return [why[stage] for stage in sorted(why)]


@pytest.mark.usefixtures("tested")
def test_right_values_pass_whatever_the_random_vectors(wide) -> None:
    network, X, spectra = wide
    for seed in range(20):
        assert reasons(network, X[seed], spectra[seed], seed) == [""] * 5


@pytest.mark.usefixtures("tested")
@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (lambda row: scaled(row, 1.5), "the root mean square of |J v|"),
        (lambda row: scaled(row, 0.4), "what the values allow for J on a random subspace"),
    ],
)
def test_values_on_another_scale_are_found_whatever_the_random_vectors(wide, change, caught: str) -> None:
    network, X, spectra = wide
    for seed in range(10):
        rows = [dict(row) for row in spectra[seed]]
        for row in rows:
            change(row)
        found = reasons(network, X[seed], rows, seed)
        assert all(found)
        assert any(caught in reason for reason in found)


@pytest.mark.usefixtures("tested")
def test_values_that_are_larger_than_the_smallest_on_the_subspace_are_found(wide) -> None:
    """What is added to the small values alone leaves the sum of squares in its bounds; interlacing finds it."""
    network, X, spectra = wide
    row = dict(spectra[0][0])
    values = np.array(row["values"])
    bounds = [1e-12] * len(values)
    values[:] = np.linalg.norm(values) / np.sqrt(len(values))
    row |= {"values": values.tolist(), "error_bound": bounds, "rank": len(values), "largest": values[0]}
    row |= {"smallest_nonzero": values[-1], "condition_number": 1.0}
    (reason,) = reasons(network, X[0], [row], 0)
    assert "what the values allow for J on a random subspace" in reason


@pytest.mark.usefixtures("tested")
def test_few_inputs_are_no_exception() -> None:
    network, x = small_network(), small_data(4)
    for seed, rows in enumerate(np.array_split(fs.spectra(network, x).to_pylist(), 4)):
        assert reasons(network, x[seed], list(rows), seed) == [""] * STAGES


# ---- derivatives


@pytest.mark.parametrize("function", list(PointwiseKind))
def test_derivatives_agree_with_linearizations_at_kinks_too(function: PointwiseKind) -> None:
    slope = np.array([0.25, 0.5, -0.5, 0.0, 2.0]) if function is PointwiseKind.LEAKY_RELU else None
    alpha = -0.5 if function is PointwiseKind.CLIP else 1.5
    activation = Pointwise(function, 5, alpha=alpha, beta=1.0, slope=slope)
    index = np.array([[0, 1, 2], [3, 2, -1], [4, 0, 1]])
    weight = np.random.default_rng(0).integers(-3, 4, size=(5, 5)) / 2.0
    stages = (
        affine_stage("first", Dense(weight)),
        Stage("bend", activation=activation),
        affine_stage("second", Dense(weight.T)),
        Stage("pool", activation=Maximum(index, 5)),
    )
    network = Network(stages, (5,))
    at_kinks = [np.zeros(5), np.linalg.solve(weight, [0.0, 1.0, -0.5, 2.0, 0.0]), np.array([1.0, -2.0, 0.5, 0.0, 3.0])]
    for x in at_kinks:
        for number, images in written(network).derivatives(x, np.eye(5), values_at(network, x)):
            J = fs.linearize(network, x, stage=number).matrix()
            assert np.allclose(images.value, J, rtol=1e-12, atol=1e-12)
            assert (np.linalg.norm(images.value - J, axis=1) <= images.error).all() or function in SMOOTH


@pytest.mark.parametrize("stage", range(4))
def test_values_that_the_network_does_not_give_confirm_nothing_behind_them(stage: int) -> None:
    network, x = small_network(), small_data(1)[0]
    values = values_at(network, x.ravel())
    values[stage] = values[stage] + 1e-6
    claimed = {row["stage"]: row for row in fs.spectra(network, x[None]).to_pylist()}
    _, why = why_not_confirmed(written(network), x.ravel(), values, claimed, 0)
    assert [number for number in sorted(why) if not why[number]] == list(range(stage))
    assert "is not what it gave" in why[stage]


@pytest.mark.exhaustive
def test_checking_loads_nothing_that_computes_singular_values(decomposed: Path) -> None:
    code = (
        "import sys; from fiberscope.cli import main; status = main(['verify', sys.argv[1]]);"
        "computing = 'singular_values', 'factorizations', 'gram_eigenvalues', 'krylov', 'extreme', 'linearization';"
        "print(status, [name for name in computing if f'fiberscope.stability.{name}' in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(decomposed / "out")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.usefixtures("tested")
@pytest.mark.parametrize("k", [-600, 600])
def test_values_of_any_size_are_tested(k: int) -> None:
    layer = nn.Linear(60, 50).double()
    with torch.no_grad():
        layer.weight *= 2.0**k
    network = fs.from_torch(nn.Sequential(layer).eval(), input_shape=(60,))
    rows = fs.spectra(network, np.ones((1, 60))).to_pylist()
    assert reasons(network, np.ones(60), rows, 0) == [""]
    scaled(rows[0], 1.5)
    assert all(reasons(network, np.ones(60), rows, 0))
