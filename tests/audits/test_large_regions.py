"""Audits of layers in which branches meet that are judged by products: proved again from the folder, in either form."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from audits.test_verify import rewrite
from fiberscope.cli import main
from fiberscope.network import region_layer
from preimages.test_large_regions import Block
from small_audits import rows

conv, block = nn.Conv2d, partial(Block, unit=nn.ReLU)


BLOCKS = {
    "shortcut": block(conv(3, 3, 3, 1, 1), conv(3, 3, 3, 1, 1), nn.Identity()),
    "strides": block(conv(3, 2, 3, 2, 1), conv(2, 2, 3, 1, 1), conv(3, 2, 1, 2)),
    "clips": block(conv(3, 2, 3, 1, 1), conv(2, 2, 1), conv(3, 2, 1), unit=nn.ReLU6),
    "slopes": block(conv(3, 1, 3, 1, 1), conv(1, 1, 1), conv(3, 1, 1)),
    "two maps in a row": block(conv(3, 1, 3, 1, 1), nn.Sequential(conv(1, 1, 3), conv(1, 1, 1)), conv(3, 1, 3)),
    "normalized": block(conv(3, 3, 3, 1, 1), nn.Sequential(conv(3, 3, 3, 1, 1), nn.BatchNorm2d(3)), nn.Identity()),
}
BLOCKS["slopes"].inner = nn.LeakyReLU(0.25)


def audited(name: str, folder: Path, *options: str) -> Path:
    """A stem and a block, trained by nobody, and inputs with zeros."""
    torch.manual_seed(0)
    stem = conv(1, 3, 3, padding=1)
    module = nn.Sequential(stem, nn.ReLU(), BLOCKS[name]).eval()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    fs.from_torch(module, input_shape=(1, 4, 4)).save(folder / "net.safetensors")
    np.savez(folder / "data.npz", x=np.random.default_rng(0).integers(0, 3, size=(2, 1, 4, 4)) / 2.0)
    files = [str(folder / "net.safetensors"), str(folder / "data.npz")]
    assert main(["audit", *files, "--out", str(folder / "out"), "--layers", "2", *options]) == 0
    return folder / "out"


def said_of_block(out: Path) -> list[Any]:
    return [row for row in rows(out) if row[1] == 2]


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", list(BLOCKS))
def test_what_products_decided_is_proved_again(
    name: str, tmp_path: Path, by_products: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = audited(name, tmp_path)
    said = said_of_block(out)
    decided = [row for row in said if row[4] != "undecided"]
    assert decided
    assert {row[5] for row in decided} == {None}, "products give bounds on dimensions"
    assert main(["verify", str(out)]) == 0
    capsys.readouterr()
    status = main(["verify", str(out), "--exact"])
    left = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not proved")]
    assert status == bool(left)
    assert all("rows in tiles are proved to be independent in floats" in line for line in left)
    by_products.undo()  # where rows are written out first, the same claims are proved
    assert main(["verify", str(out)]) == 0


@pytest.mark.parametrize("form", ["products first", "rows first"])
def test_what_one_form_leaves_open_is_proved_in_the_form_that_decided_it(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if form == "products first":
        monkeypatch.setattr(region_layer, "MAX_WRITTEN", 0)
    out = audited("shortcut", tmp_path)
    assert all(row[4] != "undecided" for row in said_of_block(out))
    assert main(["verify", str(out)]) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("precision", ["0.125", "int8"])
def test_outputs_known_to_a_precision_are_proved_again(precision: str, tmp_path: Path, by_products: pytest.MonkeyPatch):
    out = audited("strides", tmp_path, "--precision", precision)
    assert any(row[4] != "undecided" for row in said_of_block(out))
    assert main(["verify", str(out)]) == 0


@pytest.mark.exhaustive
def test_another_claim_is_not_proved(tmp_path: Path, by_products: pytest.MonkeyPatch, capsys: Any):
    out = audited("strides", tmp_path)
    (path,) = (out / "preimages").glob("layer-02-*.parquet")
    row = next(k for k, each in enumerate(said_of_block(out)) if each[4] != "undecided")
    for change in ({"positives": 99}, {"kind": "singleton"}, {"certificate": "0" * 32}):
        before = path.read_bytes()
        rewrite(path, change, row)
        assert main(["verify", str(out)]) == 1
        path.write_bytes(before)
    assert main(["verify", str(out)]) == 0
