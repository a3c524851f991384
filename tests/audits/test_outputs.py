"""Audits of one of the outputs of an ONNX model: which one it was is kept, and everything goes on with the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from fiberscope.audits.manifest import Manifest
from fiberscope.cli import main


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of two outputs, the second of which has one more layer, and four samples."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "A"], ["h"], "shared"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "B"], ["policy"], "policy"),
        helper.make_node("MatMul", ["r", "C"], ["v"], "value"),
        helper.make_node("Relu", ["v"], ["value"]),
    ]
    shapes = {"A": (4, 5), "B": (5, 3), "C": (5, 2)}
    graph = helper.make_graph(
        nodes, "two", [helper.make_tensor_value_info("x", 1, ("n", 4))],
        [helper.make_empty_tensor_value_info(name) for name in ("policy", "value")],
        [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "two.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "data.npz", x=rng.uniform(size=(4, 4)), y=np.arange(4) % 2)
    return folder


@pytest.fixture(scope="module")
def audited(files: Path) -> Path:
    out = files / "out"
    arguments = [str(files / "two.onnx"), str(files / "data.npz"), "--out", str(out)]
    assert main(["audit", *arguments, "--output", "value"]) == 0
    return out


def manifest(folder: Path) -> Manifest:
    return Manifest.from_json((folder / "manifest.json").read_bytes(), "manifest.json")


def test_the_output_is_in_the_manifest_and_the_report(audited: Path):
    assert manifest(audited).output == "value"
    assert len(manifest(audited).network_layers) == 2
    assert "the network gives &#39;value&#39;, not &#39;policy&#39;" in (audited / "report.html").read_text()


def test_it_is_verified_and_reported_without_being_named(audited: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(audited)]) == 0
    assert main(["report", str(audited)]) == 0
    assert "value" in capsys.readouterr().out


@pytest.mark.parametrize("again", [[], ["--output", "value"], ["--output=value"]])
def test_resuming_goes_on_with_the_same(files: Path, audited: Path, again: list[str]):
    before = manifest(audited)
    arguments = [str(files / "two.onnx"), str(files / "data.npz"), "--out", str(audited), "--resume"]
    assert main(["audit", *arguments, *again]) == 0
    assert manifest(audited).model_digest == before.model_digest


def test_resuming_with_the_saved_network(files: Path, audited: Path):
    model = str(audited / "model.safetensors")
    assert main(["audit", model, str(files / "data.npz"), "--out", str(audited), "--resume"]) == 0


def test_resuming_with_another_is_refused(files: Path, audited: Path, capsys: pytest.CaptureFixture[str]):
    arguments = [str(files / "two.onnx"), str(files / "data.npz"), "--out", str(audited), "--resume"]
    assert main(["audit", *arguments, "--output", "policy"]) == 2
    assert "it differs in --output: 'value' in the folder, 'policy' now" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["audit", "inspect", "invariance"])
def test_commands_ask_for_a_choice(files: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]):
    more = [] if command == "inspect" else [str(files / "data.npz"), "--out", str(tmp_path / "out")]
    assert main([command, str(files / "two.onnx"), *more]) == 2
    assert "got 2 ('policy', 'value'); choose one, such as output='policy'" in capsys.readouterr().err
    assert main([command, str(files / "two.onnx"), *more, "--output", "valeu"]) == 2
    assert "expected as output 'policy' or 'value', got 'valeu'" in capsys.readouterr().err
    assert main([command, str(files / "two.onnx"), *more, "--output", "value"]) == 0


def test_the_output_stands_in_a_configuration(files: Path, tmp_path: Path):
    (tmp_path / "audit.toml").write_text('output = "policy"\n')
    arguments = [str(files / "two.onnx"), str(files / "data.npz"), "--out", str(tmp_path / "out")]
    assert main(["audit", *arguments, "--config", str(tmp_path / "audit.toml")]) == 0
    assert manifest(tmp_path / "out").output == "policy"


def test_there_is_no_choice_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["audit", "--out", str(tmp_path / "out"), "--output", "y"]) == 2
    assert "--output: expected a MODEL" in capsys.readouterr().err
    assert main(["reproduce", "figure5", "--out", str(tmp_path / "out"), "--output", "y"]) == 2
    assert "--output: expected none without --model" in capsys.readouterr().err
