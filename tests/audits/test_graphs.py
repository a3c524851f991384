"""Audits of networks that are no chains of dense layers, from files of other tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from fiberscope.cli import main
from fiberscope.network.building import NetworkBuilder
from fiberscope.network.network import Network
from small_audits import rows


class Residual(torch.nn.Module):
    """A convolution, a residual block, pooling and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.inner = torch.nn.Conv2d(2, 2, 3, padding=1)
        self.outer = torch.nn.Conv2d(2, 2, 1)
        self.last = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.outer(torch.relu(self.inner(x))) + x)
        x = torch.nn.functional.avg_pool2d(x, 2).flatten(1)
        return torch.relu(self.last(x))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module as .pt2 and .onnx, and data in [0, 1] with many zeros."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    module = Residual().eval()
    program = torch.export.export(module, (torch.zeros(1, 1, 4, 4),))
    torch.export.save(program, folder / "net.pt2")
    x = np.random.default_rng(0).integers(0, 3, size=(4, 1, 4, 4)) / 2.0
    np.savez(folder / "data.npz", x=x.astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def audited(files: Path) -> Path:
    out = files / "out"
    arguments = [str(files / "net.pt2"), str(files / "data.npz"), "--out", str(out), "--domain", "0,1"]
    assert main(["audit", *arguments, "--trust-model"]) == 0
    return out


def test_layers_are_judged_on_what_they_receive(audited: Path) -> None:
    found = {(layer, domain) for _, layer, domain, *_ in rows(audited)}
    region = ", linear region"
    assert found == {
        (0, "R^n"), (0, "box [0,1]"), (1, "R^n"), (1, "x >= 0"),
        (2, f"R^n{region}"), (2, f"x >= 0{region}"), (3, "R^n"), (3, "x >= 0"),
    }  # fmt: skip
    assert all(row[4] != "undecided" for row in rows(audited))


@pytest.mark.parametrize("options", [[], ["--exact"]])
def test_certificates_are_proved_again_from_the_folder(audited: Path, options: list[str]) -> None:
    assert main(["verify", str(audited), *options]) == 0


def test_the_report_says_what_must_be_known(audited: Path) -> None:
    manifest = json.loads((audited / "manifest.json").read_text())
    assert "the module" in manifest["agreement"] or "program" in manifest["agreement"]
    assert any("trust" in note for note in manifest["notes"])
    assert any("nearest common ancestor" in note for note in manifest["notes"])
    page = (audited / "report.html").read_text()
    assert "nearest common ancestor" in page
    assert "units of rounding" in page


def test_a_format_that_can_run_code_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "refused"
    assert main(["audit", str(files / "net.pt2"), str(files / "data.npz"), "--out", str(out)]) == 2
    assert "--trust-model" in capsys.readouterr().err
    assert not list(files.glob("refused/*"))


def test_positives_do_not_count_inner_neurons(audited: Path) -> None:
    assert all(row[3] <= 32 for row in rows(audited))
    sparse_and_region = [row[3] for row in rows(audited) if row[1] == 2]
    assert min(sparse_and_region) > 0


def test_inspect_shows_stages_layers_and_notes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(files / "net.pt2"), "--trust-model"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "first",
        "2 x 4 x 4",
        "4 layers to judge",
        "region",
        "checked: agrees with",
        "MB",
    ):
        assert words in shown


def test_inspect_names_what_is_not_supported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = onnx.helper.make_tensor_value_info
    nodes = [onnx.helper.make_node("Sin", ["x"], ["s"], "wave"), onnx.helper.make_node("Exp", ["s"], ["y"], "growth")]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 1, [1, 3])], [value("y", 1, [1, 3])])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    assert main(["inspect", str(tmp_path / "net.onnx")]) == 2
    error = capsys.readouterr().err
    assert "wave" in error
    assert "growth" in error
    assert len(error.strip().splitlines()) == 1


def test_no_layer_reads_the_input() -> None:
    from fiberscope.audits.plan import Reads, places_of

    builder = NetworkBuilder((1, 2))
    x = builder.relu("first", builder.input)
    network: Network = builder.build(builder.relu("second", builder.dense("fc", x, np.eye(2))))
    assert [place.reads for place in places_of(network)] == [Reads.NONNEGATIVE]
