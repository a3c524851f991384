"""What ``fiberscope inspect`` says of each layer before any work: how it would be judged, and in about what time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.cli import main
from fiberscope.commands import console
from fiberscope.network import relu_layer
from fiberscope.network.building import NetworkBuilder
from fiberscope.network.network import Network


class Branches(nn.Module):
    """A layer, and a second one where two branches meet."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 4)
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.first(self.inner(x))
        return self.second(self.outer(z) + x)


def table(network: Network, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """The rows that the command prints of layers, by heading."""
    network.save(folder / "net.safetensors")
    monkeypatch.setattr(console, "_PLAIN_WIDTH", 300)  # no cell is folded
    assert main(["inspect", str(folder / "net.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(k for k, line in enumerate(lines) if line.strip().endswith("layers to judge"))
    cells = [[cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]] for line in lines[start:]]
    headings, *rows = [row for row in cells if row]
    return [dict(zip(headings, row, strict=True)) for row in rows]


def dense(*sizes: int) -> Network:
    builder = NetworkBuilder((1, sizes[0]))
    value, rng = builder.input, np.random.default_rng(0)
    for k, (n, m) in enumerate(pairwise(sizes)):
        value = builder.relu(f"r{k}", builder.dense(f"d{k}", value, rng.normal(size=(m, n)), np.zeros(m)))
    return builder.build(value)


def test_every_layer_has_its_method_and_its_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    rows = table(dense(3, 1300, 1300, 5), tmp_path, capsys, monkeypatch)
    assert [row["layer"] for row in rows] == ["0", "1", "2"]
    assert [row["method"] for row in rows] == ["dense"] * 3
    # six factorizations of 2 * 1300**3 operations, at 1.5e10 a second; the other layers have a short side
    assert [row["seconds"] for row in rows] == ["below 1", "about 2", "below 1"]


def test_convolutions_that_are_not_written_out_name_what_their_domain_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relu_layer, "MAX_WRITTEN", 0)
    monkeypatch.setattr(relu_layer, "MAX_FACTORED", 0)
    torch.manual_seed(0)
    maps = [nn.Conv2d(k, 2, 3, padding=1) for k in (1, 2, 2)]
    module = nn.Sequential(maps[0], nn.ReLU(), maps[1], nn.ReLU6(), maps[2], nn.ReLU()).eval()
    rows = table(fs.from_torch(module, input_shape=(1, 6, 6)), tmp_path, capsys, monkeypatch)
    assert [row["method"] for row in rows] == [
        "counting, strips and windows", "projection by convolutions", "windows, in a box",
    ]  # fmt: skip
    assert {row["seconds"] for row in rows} == {"below 1"}


def test_no_seconds_are_named_where_branches_meet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(0)
    first, second = table(fs.from_torch(Branches().eval(), input_shape=(4,)), tmp_path, capsys, monkeypatch)
    assert (first["method"], first["seconds"]) == ("dense", "below 1")
    assert (second["method"], second["seconds"]) == ("sparse rows of the region", "")
