"""The whole audit from Python: it does what the command does, and says what is wrong in Python's words."""

from __future__ import annotations

import gc
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import fiberscope as fs
import fiberscope.audits.verdicts
from fiberscope.audits.execution import Job
from fiberscope.audits.job import Options
from fiberscope.cli import main
from fiberscope.jobs.given import given_subject
from small_audits import files, rows, small_data, small_network, write_model_and_data

SAMPLES = 6


@pytest.fixture(name="results", scope="module")
def _results(tmp_path_factory: pytest.TempPathFactory) -> fs.AuditResults:
    out = tmp_path_factory.mktemp("audit") / "out"
    x, y = small_data(SAMPLES), np.arange(SAMPLES) % 10
    return fs.audit(small_network(), (x, y), out, (0, 1), spectra=2, progress=False)


def test_it_writes_what_the_command_writes(results: fs.AuditResults, tmp_path: Path) -> None:
    files_of = write_model_and_data(tmp_path, SAMPLES)
    by_command = tmp_path / "out"
    options = ["--domain", "0,1", "--spectra", "2", "--workers", "1"]
    assert main(["audit", *files_of, "--out", str(by_command), *options]) == 0
    assert files(by_command) == files(results.folder)
    again = fs.audit(files_of[0], files_of[1], tmp_path / "again", fs.Box(0, 1), spectra=2, progress=False)
    assert files(again.folder) == files(results.folder)


def test_the_tables_are_those_of_the_folder(results: fs.AuditResults) -> None:
    found = results.findings.to_pylist()
    columns = ("sample", "layer", "domain", "positives", "kind", "dimension", "margin", "certificate", "reason")
    stored = sorted((tuple(row[name] for name in columns) for row in found), key=lambda row: row[:3])
    assert stored == rows(results.folder)
    assert results.spectra.num_rows == 2 * len(small_network().stages)
    assert set(results.verdicts["layer"].to_pylist()) == {0, 1, 2}
    assert results.complete
    assert results.network.digest() == small_network().digest()


def torch_module() -> torch.nn.Module:
    """The first two layers of the small network."""
    module = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.ReLU(), torch.nn.Linear(9, 7), torch.nn.ReLU())
    weights = [stage.maps[0] for stage in small_network().stages[0:4:2]]
    for linear, dense in zip((module[0], module[2]), weights, strict=True):
        linear.weight.data = torch.as_tensor(dense.weight, dtype=torch.float32)  # multiples of 1/4
        linear.bias.data = torch.as_tensor(dense.bias, dtype=torch.float32)
    return module.eval()


@pytest.mark.parametrize("data", ["array", "tensor", "list", "set"])
def test_models_and_data_may_be_in_memory(results: fs.AuditResults, data: str) -> None:
    x: Any = small_data(SAMPLES)
    given = {"array": x, "tensor": torch.as_tensor(x), "list": x.tolist(), "set": fs.DataSet("set", x, None, "some")}
    found = fs.audit(torch_module(), given[data], domain=(0, 1), layers=[0, 1], samples=4, progress=False)
    there = [row for row in rows(results.folder) if row[0] < 4 and row[1] < 2]
    assert [row[:6] for row in rows(found.folder)] == [row[:6] for row in there]
    assert "Sequential" in repr(found)


def test_a_folder_that_nobody_named_goes_with_its_results(tmp_path: Path) -> None:
    found = fs.audit(small_network(), small_data(2), layers=[0], progress=False)
    folder, copy, page = found.folder, replace(found), found.report()
    kept = found.keep(tmp_path / "kept")
    del found
    gc.collect()
    assert folder.exists(), "the copy and the page still refer to it"
    assert copy.findings.num_rows == 2
    assert pickle.loads(pickle.dumps(copy)).folder == folder
    del copy
    gc.collect()
    assert folder.exists()
    del page
    gc.collect()
    assert not folder.exists()
    assert kept.verify(progress=False)
    with pytest.raises(fs.ResultsError, match="not empty"):
        kept.keep(tmp_path / "kept")
    assert fs.open_results(tmp_path / "kept").findings.num_rows == 2


def test_everything_is_proved_and_nothing_that_was_changed(results: fs.AuditResults, tmp_path: Path) -> None:
    checked = results.verify(progress=False)
    assert checked
    assert checked.lines[0].endswith(" 0 not proved, 0 undecided")
    copy = results.keep(tmp_path / "copy")
    path = next((copy.folder / "inputs").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x42")
    damaged = copy.verify(exact=True, progress=False)
    assert not damaged
    assert damaged.reason
    for folder in (tmp_path, Path("nowhere"), path):
        changed = replace(results, folder=folder)
        assert not changed.verify(progress=False)
        assert repr(changed).startswith("AuditResults(malformed")


ERRORS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "samples": ({"samples": 0}, fs.InputError, "samples: expected a whole number, at least 1, got 0"),
    "bounds": ({"domain": (1, 0)}, fs.InputError, "domain: expected (low, high) with low at most high"),
    "no bounds": ({"domain": "0,1"}, fs.InputError, "domain: expected (low, high)"),
    "layers": ({"layers": [9]}, fs.InputError, "layers: expected numbers from 0 to 2, got 9"),
    "precision": ({"precision": "int3"}, fs.InputError, "precision: expected one of float32"),
    "spectra": ({"spectra": 99}, fs.InputError, "spectra: expected at most 6"),
    "invariance": ({"invariance": 1}, fs.InputError, "domain: expected (low, high), within which inputs"),
    "threshold": ({"fail_on": "condition>3"}, fs.InputError, "with spectra N"),
    "output": ({"output": "a"}, fs.InputError, "output: expected none for a model in memory"),
    "seconds": ({"seconds": 0}, fs.InputError, "seconds: expected a number in (0, inf)"),
    "outside": ({"domain": (0.3, 0.4)}, fs.InputError, "domain: expected every input between 0.3 and 0.4"),
    "model": ({"model": 3}, fs.InputError, "model: expected a path, a torch module"),
    "no data": ({"data": None}, fs.InputError, "expected both model and data"),
    "training": ({"model": torch.nn.Linear(6, 2)}, fs.ModelError, "training mode"),
    "no file": ({"model": "nowhere.onnx"}, fs.ModelError, "nowhere.onnx"),
    "shape": ({"data": np.zeros((2, 5))}, fs.InputError, "data: expected samples of shape (6,)"),
    "folder": ({"out": 3}, fs.InputError, "out: expected a folder"),
    "flag": ({"resume": "no"}, fs.InputError, "resume: expected True or False"),
    "text": ({"data": np.array([["a"]])}, fs.InputError, "data"),
}


@pytest.mark.usefixtures("unchecked")  # wrong types are refused by the function itself
@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_in_the_words_of_python(case: str) -> None:
    arguments, kind, words = ERRORS[case]
    asked: dict[str, Any] = {"model": small_network(), "data": small_data(SAMPLES), "progress": False}
    with pytest.raises(kind) as caught:
        fs.audit(**(asked | arguments))
    message = str(caught.value)
    assert words in message
    for wrong in ("--", "LOW", "MODEL", "np.float64", "shell"):
        assert wrong not in message


def test_a_folder_that_is_not_empty_is_continued_only_if_asked(results: fs.AuditResults) -> None:
    arguments: dict[str, Any] = {"domain": (0, 1), "spectra": 2, "progress": False}
    data = (small_data(SAMPLES), np.arange(SAMPLES) % 10)
    with pytest.raises(fs.ResultsError, match="resume=True"):
        fs.audit(small_network(), data, results.folder, **arguments)
    again = fs.audit(small_network(), data, results.folder, resume=True, **arguments)
    assert again.findings.equals(results.findings)
    with pytest.raises(fs.ResultsError, match="holds another audit"):
        fs.audit(small_network(1), data, results.folder, resume=True, **arguments)


def test_ctrl_c_keeps_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Job.run

    def interrupted(job: Job, **_: Any) -> Any:
        yield next(iter(run(job)))
        raise KeyboardInterrupt

    arguments: dict[str, Any] = {"model": small_network(), "data": small_data(2), "progress": False}
    with monkeypatch.context() as patch:
        patch.setattr(Job, "run", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"1 of 3 chunks are written; continue with the same call and re"):
            fs.audit(**arguments, out=tmp_path / "out")
        with pytest.raises(KeyboardInterrupt, match="temporary folder, which is removed; name one with out="):
            fs.audit(**arguments)
    assert not fs.open_results(tmp_path / "out").complete
    assert "not complete" in repr(fs.open_results(tmp_path / "out"))
    assert fs.audit(**arguments, out=tmp_path / "out", resume=True).complete


def test_what_fails_is_undecided_and_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(fiberscope.audits.verdicts, "classify", failing)
    with pytest.warns(UserWarning, match=r"1 of 1 chunks failed and are undecided.*resume=True tries them again"):
        found = fs.audit(small_network(), small_data(2), layers=[0], progress=False)
    assert found.findings["kind"].to_pylist() == ["undecided"] * 2


def test_thresholds_fail_like_those_of_the_command(results: fs.AuditResults) -> None:
    assert results.violations() == []
    (failed,) = results.violations("unbounded>0@layer0@R^n")
    assert failed.startswith("unbounded>0@layer0@R^n: layer 0 dense0, R^n: 6 of 6")
    found = fs.audit(small_network(), small_data(2), layers=[0], fail_on="unbounded>0", progress=False)
    assert len(found.violations()) == 1
    with pytest.raises(fs.InputError, match="fail_on"):
        results.violations("nonsense")


def test_the_report_is_shown_where_it_is_asked_for(results: fs.AuditResults, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = results.report()
    assert page.path == results.folder / "report.html"
    assert opened == []
    results.report(open=True)
    assert opened == [page.path.as_uri()]
    inline = page._repr_html_()
    assert inline.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert inline.count("<") == 2
    assert len(repr(page)) <= 120


def test_progress_is_shown_unless_it_is_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    fs.audit(small_network(), small_data(2), layers=[0])
    assert "judging 2 samples, chunks: 1 of 1" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fs.audit(small_network(), small_data(2), layers=[0], progress=False)
    assert capsys.readouterr() == ("", "")


def test_data_by_name_or_path(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", small_data(3))
    data = fs.load_data(tmp_path / "some.npy")
    assert (data.x == small_data(3)).all()
    assert (data.y, data.name) == (None, "some")
    assert repr(data) == "DataSet(some: 3 samples of 6)"


def test_data_say_the_shape_that_a_file_leaves_open(tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "W"], ["s"])]
    nodes.append(helper.make_node("Relu", ["s"], ["y"]))
    W = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes, "open", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, "h", "w"))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [numpy_helper.from_array(W, "W")],
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    with pytest.raises(fs.ModelError, match=r"open, \(1, \?, \?\); pass it as input_shape"):
        fs.load(path)
    for shape, asked in (((1, 2, 2), None), ((4,), (1, 2, 2))):
        subject = given_subject(path, np.zeros((2, *shape)), Options(), input_shape=asked)
        assert subject.network.input_shape == (1, 2, 2)
    with pytest.raises(fs.ModelError, match=r"input_shape that fits \(1, \?, \?\), got \(4,\)"):
        given_subject(path, np.zeros((2, 4)), Options())


def test_theory_is_a_module_of_its_own() -> None:
    names = (
        "algorithm1",
        "unique_solution",
        "correlation_bound",
        "correlation_counts",
        "interlacing_bound",
        "is_admissible",
        "visited_patterns",
    )
    for name in names:
        assert getattr(fs.theory, name) is getattr(fs, name)
    assert set(names) <= set(fs.theory.__all__)
