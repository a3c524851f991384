"""The frame of ``fiberscope reproduce``: files, facts, claims, the page, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from fiberscope.cli import main
from fiberscope.data import datasets
from fiberscope.data.datasets import load_data
from fiberscope.errors import InputError
from fiberscope_paper.architectures import table1, table2
from fiberscope_paper.context import Context
from fiberscope_paper.outcome import Claim
from fiberscope_paper.printed_tables import PRINTED
from fiberscope_paper.registry import EXPERIMENTS
from fiberscope_paper.sources import used_data
from fiberscope_paper.tables import built_rows, table_claims
from small_audits import write_model_and_data


def result(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def test_a_figure_is_written_whole_and_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["reproduce", "figure1", "--out", str(tmp_path)]) == 0
    facts = result(tmp_path, "figure1")
    assert set(facts["files"]) == {"figure1.png", "figure1.svg", "figure1.parquet"}
    for name, digest in facts["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*facts["files"], "figure1.json"])
    assert facts["command"] == "fiberscope reproduce figure1 --out DIR --scale quick"
    assert facts["versions"]["numpy"] == np.__version__
    assert (facts["data"], facts["network"], facts["scale"], facts["unproved"]) == (None, None, "quick", 0)
    assert (tmp_path / "figure1.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "does not hold" in said
    for claim in facts["claims"]:
        assert claim["paper"] in said


def test_drawings_are_the_same_every_time(tmp_path: Path):
    for run in ("one", "two"):
        assert main(["reproduce", "figure2", "--out", str(tmp_path / run)]) == 0
    for suffix in ("svg", "png", "parquet"):
        assert (tmp_path / "one" / f"figure2.{suffix}").read_bytes() == (
            tmp_path / "two" / f"figure2.{suffix}"
        ).read_bytes()
    assert b"<dc:date>" not in (tmp_path / "one" / "figure2.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure12"], ("expected one of", "'figure12'")),
        (["table1", "--scale", "huge"], ("quick or paper", "'huge'")),
        (["figure3", "--samples", "0"], ("--samples", "at least 1")),
        (["figure3", "--epochs", "0"], ("--epochs", "at least 1")),
        (["figure2", "--epochs", "3"], ("--epochs", "figure2", "leave it out")),
        (["figure3", "--model", "x.onnx", "--epochs", "3"], ("--epochs", "--model", "leave one of them out")),
        (["figure3", "--seed", "-1"], ("--seed", "-1")),
        (["table1", "--data", "mnist"], ("--data", "table1", "leave it out")),
        (["figure3", "--data", "nowhere.npz"], ("nowhere.npz", "does not exist")),
        (["figure3", "--model", "nowhere.onnx", "--data", "mnist-5k"], ("nowhere.onnx", "nothing of that name")),
        (["figure3", "--download"], ("--download", "FIBERSCOPE_DATA")),
        (["table1", "--download"], ("--download", "drawn from data", "table1", "leave it out")),
        (["page", "--download"], ("--download", "drawn from data", "page")),
        (["figure3", "--data", "mnist-5k", "--download"], ("--data", "mnist, fashion-mnist, cifar10", "'mnist-5k'")),
        (["page"], ("no results", "fiberscope reproduce all")),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str],
    words: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("FIBERSCOPE_DATA", raising=False)
    assert main(["reproduce", *arguments, "--out", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    for word in ("fiberscope: error: ", *words):
        assert word in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_data_that_do_not_fit_the_model_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, _ = write_model_and_data(tmp_path, 4)
    assert main(["reproduce", "figure3", "--out", str(tmp_path / "o"), "--model", model, "--data", "mnist-5k"]) == 2
    assert "samples of 6 numbers" in capsys.readouterr().err


def test_names_are_those_of_the_paper():
    expected = [f"figure{number}" for number in range(1, 12)] + [f"table{number}" for number in range(1, 5)]
    assert [each.name for each in EXPERIMENTS] == [*expected, "control", "saturation"]


def test_a_claim_that_does_not_hold_needs_a_reason():
    assert Claim("p", "m", holds=True).why == ""
    for holds in (False, None):
        with pytest.raises(AssertionError, match="reason"):
            Claim("p", "m", holds)


PARAMETERS = {
    "table1": 785 * 100 + 9 * 101 * 100 + 101 * 10,
    "table2": 785 * 3500 + 3501 * 784 + 785 * 10,
    "table3": 9 * (3 * 32 + 32 * 64 + 64 * 64 + 64 * 32 + 32 * 32 + 32 * 64) + 288 + (64 * 64 + 1) * 512 + 513 * 10,
    "table4": 9 * (3 * 32 + 32 * 32 + 32 * 16 + 16 * 16 + 16 * 16 + 16 * 32) + 144 + (32 * 64 + 1) * 512 + 513 * 10,
}
PRINTED_COLUMNS = {  # feature maps and output units, read off the paper
    "table1": [*["100"] * 10, "10"],
    "table2": ["3500", "784", "10"],
    "table3": ["32", "64", "64", "32", "32", "64", "512", "10"],
    "table4": ["32", "32", "16", "16", "16", "32", "512", "10"],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_tables_have_the_numbers_of_the_paper(name: str, tmp_path: Path):
    assert main(["reproduce", name, "--out", str(tmp_path)]) == 0
    facts = result(tmp_path, name)["facts"]
    assert facts["total_parameters"] == sum(facts["parameters"]) == PARAMETERS[name]
    lines = [line for line in (tmp_path / f"{name}.md").read_text().splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells] == [str(i) for i in range(len(cells))]
    assert [row[4] if row[4] != "-" else row[5] for row in cells[1:]] == PRINTED_COLUMNS[name]
    if name in ("table3", "table4"):
        assert [row[3] for row in cells[1:7]] == ["(1, 1)", "(2, 2)", "(1, 1)", "(1, 1)", "(1, 1)", "(2, 2)"]
    claims = result(tmp_path, name)["claims"]
    assert [claim["holds"] for claim in claims] == [True, name in ("table3", "table4"), True]


def test_a_table_of_another_network_does_not_agree():
    module = table1()
    layers, _ = table_claims(PRINTED["table1"], built_rows(module, (784,)))
    assert layers.holds
    for other in (module[2:], module[:-1]):
        layers, _ = table_claims(PRINTED["table1"], built_rows(other, (784,)))
        assert layers.holds is False


def write_mnist(folder: Path) -> None:
    for prefix, count in (("t10k", 3), ("train", 5)):
        header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (count, 28, 28))
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + bytes(range(count)) * 784)
        labels = bytes([0, 0, 8, 1]) + count.to_bytes(4, "big") + bytes(range(count))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)


def test_training_images_lie_beside_test_images(tmp_path: Path):
    write_mnist(tmp_path)
    test, training = load_data("mnist", tmp_path), load_data("mnist", tmp_path, split="train")
    assert (len(test), len(training)) == (3, 5)
    assert "training images of MNIST" in training.description
    np.testing.assert_array_equal(training.y, range(5))
    with pytest.raises(InputError, match="with training images"):
        load_data("mnist-5k", split="train")


def test_the_papers_data_are_used_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FIBERSCOPE_DATA", str(tmp_path))
    stand_in = used_data(Context(tmp_path), paper="mnist", stand_ins=("mnist-5k",))
    assert (stand_in.is_papers, stand_in.where) == (False, "on 5,000 MNIST digits in place of MNIST")
    assert stand_in.training is not None
    assert (len(stand_in.test), len(stand_in.training)) == (1000, 4000)
    write_mnist(tmp_path)
    papers = used_data(Context(tmp_path), paper="mnist", stand_ins=("mnist-5k",))
    assert (papers.is_papers, papers.where, papers.why_other) == (True, "on MNIST", "")
    assert papers.training is not None
    assert (len(papers.test), len(papers.training)) == (3, 5)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"nothing")
    with pytest.raises(InputError, match="an IDX file"):
        used_data(Context(tmp_path), paper="mnist", stand_ins=("mnist-5k",))


def test_fashion_mnist_under_the_names_of_mnist_stands_in_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_mnist(tmp_path)
    pixels = {split: bytes(range(count)) * 784 for split, count in (("test", 3), ("train", 5))}
    monkeypatch.setattr(datasets, "FULL_SIZES", (3, 5))
    monkeypatch.setattr(
        datasets, "FASHION_PIXELS", {split: hashlib.sha256(data).hexdigest() for split, data in pixels.items()}
    )
    monkeypatch.setenv("FIBERSCOPE_DATA", str(tmp_path))
    used = used_data(Context(tmp_path), paper="mnist", stand_ins=("fashion-mnist", "mnist-5k"))
    assert used.where == "on Fashion-MNIST in place of MNIST"
    assert "test images of Fashion-MNIST" in used.test.description
    with pytest.raises(InputError, match="got those of Fashion-MNIST"):
        used_data(Context(tmp_path, data="mnist"), paper="mnist", stand_ins=("fashion-mnist",))


def test_table_2_has_the_sizes_of_the_paper():
    sizes = [tuple(part.weight.shape) for part in table2() if isinstance(part, torch.nn.Linear)]
    assert sizes == [(3500, 784), (784, 3500), (10, 784)]


def test_numbers_are_those_that_are_drawn(tmp_path: Path):
    assert main(["reproduce", "figure1", "--out", str(tmp_path)]) == 0
    table, tuples = pq.read_table(tmp_path / "figure1.parquet"), result(tmp_path, "figure1")["facts"]["tuples"]
    assert table.num_rows == sum(len(each["A"]) for each in tuples)
    rows = [[row["a1"], row["a2"]] for row in table.to_pylist()]
    assert rows == [row for each in tuples for row in each["A"]]
