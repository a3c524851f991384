"""The table of spectra against one linearization and one decomposition after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs


@pytest.fixture(name="net", scope="module")
def _net():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(36, 5),
    )  # fmt: skip
    return fs.from_torch(module.double().eval(), input_shape=(2, 6, 6))


X = np.random.default_rng(0).standard_normal((3, 2, 6, 6))


def test_every_row_is_the_spectrum_of_that_stage_at_that_sample(net):
    seen: list[tuple[int, int]] = []
    table = fs.spectra(net, X, progress=lambda done, total: seen.append((done, total)))
    assert table.num_rows == 3 * len(net.stages) == seen[-1][0] == seen[-1][1]
    for row in table.to_pylist():
        J = fs.linearize(net, X[row["sample"]], stage=row["stage"])
        oracle = np.linalg.svd(J.matrix(), compute_uv=False)
        assert (np.abs(np.array(row["values"]) - oracle) <= np.array(row["error_bound"]) + 1e-15).all()
        assert row["rank"] == np.linalg.matrix_rank(J.matrix())
        assert (row["name"], row["outputs"]) == (net.stages[row["stage"]].name, J.shape[0])
        assert row["condition_number"] == pytest.approx(oracle[0] / oracle[row["rank"] - 1], rel=1e-9)
    assert [(row["sample"], row["stage"]) for row in table.to_pylist()] == [
        (i, s) for i in range(3) for s in range(len(net.stages))
    ]


def test_what_comes_before_any_activation_is_the_same_at_all_samples(net):
    first = [row for row in fs.spectra(net, X, stages=[0, -1]).to_pylist() if row["stage"] == 0]
    assert len(first) == 3
    assert first[0]["values"] == first[1]["values"] == first[2]["values"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": [9]}, "expected a number from 0 to"),
        ({"stages": []}, "at least one stage"),
        ({"max_bytes": 1000}, "max_bytes"),
        ({"method": "magic"}, "'auto'"),
    ],
)
def test_bad_input(net, arguments, message):
    with pytest.raises(fs.InputError, match=message):
        fs.spectra(net, X, **arguments)


def test_samples_must_be_finite(net):
    with pytest.raises(fs.InputError, match="finite"):
        fs.spectra(net, np.full((1, 2, 6, 6), np.nan))
