"""Help, and the examples at its end: what they show can be typed as it stands."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fiberscope.cli import build_app, main
from fiberscope.commands.examples import EXAMPLES
from small_audits import small_data

SLOW = ("fiberscope audit --out demo", "fiberscope reproduce")
"""Examples that train; other tests run what they run."""

TYPED = [example for examples in EXAMPLES.values() for _, example in examples]


def test_every_command_has_examples() -> None:
    commands = {name for name in build_app() if not name.startswith("-")}
    assert commands == EXAMPLES.keys()
    assert all(1 <= len(examples) <= 3 for examples in EXAMPLES.values())


@pytest.mark.parametrize("command", EXAMPLES)
def test_help_shows_options_and_examples_in_80_columns(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert f"Usage: fiberscope {command}" in printed
    lines = printed.partition("Examples:")[2].splitlines()
    shown = " ".join(word for line in lines for word in line.rstrip().removesuffix("\\").split())
    for words, example in EXAMPLES[command]:
        assert f"# {words} {example}" in shown


@pytest.mark.parametrize("example", TYPED)
def test_examples_are_understood(example: str) -> None:
    _, *tokens = shlex.split(example.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0])
    command, bound, _ = build_app().parse_args(tokens, exit_on_error=False, print_error=False)
    assert command.__name__ == tokens[0]
    assert bound.arguments


def write_onnx(path: Path) -> None:
    """Three dense layers of six, four, seven and five units with ReLUs."""
    rng = np.random.default_rng(3)
    nodes, constants, name = [], [], "x"
    for position, (inputs, outputs) in enumerate(((6, 4), (4, 7), (7, 5))):
        weight = rng.standard_normal((outputs, inputs)).astype(np.float32)
        constants += [numpy_helper.from_array(weight, f"w{position}")]
        constants += [numpy_helper.from_array(np.zeros(outputs, dtype=np.float32), f"b{position}")]
        nodes += [helper.make_node("Gemm", [name, f"w{position}", f"b{position}"], [f"a{position}"], transB=1)]
        nodes += [helper.make_node("Relu", [f"a{position}"], [f"r{position}"])]
        name = f"r{position}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", size]) for n, size in (("x", 6), (name, 5))]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.exhaustive
def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the help, each as it stands; audits make room for the next."""
    monkeypatch.chdir(tmp_path)
    write_onnx(tmp_path / "model.onnx")
    x = small_data(100)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(100) % 10)
    (tmp_path / "audit.toml").write_text("samples = 30\nworkers = 1\n")
    ran = 0
    chosen = [(command, example) for command in EXAMPLES for _, example in EXAMPLES[command]]
    for command, example in chosen:
        if example.startswith(SLOW) or command == "completion" or "model.pt2" in example:
            continue
        if command == "audit" and (tmp_path / "results").exists():
            (tmp_path / "results").rename("results-old")
        status = main(shlex.split(example)[1:])
        errors = capsys.readouterr().err
        assert status in ((0, 1) if "--fail-on" in example else (0,)), (example, errors)
        assert "error" not in errors
        ran += 1
        if command == "audit" and (tmp_path / "results-old").exists():
            shutil.copytree("results", "results-new")
    assert ran == 14
    assert (tmp_path / "changes.html").is_file()
    assert (tmp_path / "changes.json").is_file()
