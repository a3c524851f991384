"""Figures 6 and 11 against recomputation from their numbers; their claims can come out False."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from fiberscope.cli import main
from fiberscope.data.datasets import DataSet, load_data
from fiberscope.preimages.verification import Verification
from fiberscope.readers.files import load
from fiberscope.readers.torch import from_torch
from fiberscope_paper import figure6, figure6_claims
from fiberscope_paper.sources import UsedData

SAMPLES = 3_500  # the digits come in the order of their classes: these hold 0 to 6


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figure6")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10)).eval()
    from_torch(module).save(folder / "model.safetensors")
    arguments = ["--model", str(folder / "model.safetensors"), "--data", "mnist-5k", "--samples", str(SAMPLES)]
    assert main(["reproduce", "figure6", *arguments, "--out", str(folder)]) == 0
    return folder


@pytest.mark.exhaustive
def test_variants_have_the_features_of_their_source(drawn: Path):
    network, digits = load(drawn / "model.safetensors"), load_data("mnist-5k")
    layer, rows = network.relu_layers[0], pq.read_table(drawn / "figure6.parquet").to_pylist()
    assert len(rows) == 2
    for row in rows:
        source, variant = np.array(row["source_pixels"]), np.array(row["variant_pixels"])
        np.testing.assert_array_equal(source, digits.x[row["source"]].astype(np.float64))
        before, after = (np.maximum(layer.weight @ x + layer.bias, 0) for x in (source, variant))
        assert np.abs(before - after).max() < 1e-12
        assert 0 <= variant.min() <= variant.max() <= 1
        assert np.linalg.norm(source - variant) > 1
        assert row["proved"]


def test_the_source_is_the_3_with_the_fewest_positive_outputs(drawn: Path):
    network, digits = load(drawn / "model.safetensors"), load_data("mnist-5k")
    facts = json.loads((drawn / "figure6.json").read_text())["facts"]
    X, y = digits.x[:SAMPLES].astype(np.float64), digits.y[:SAMPLES]
    layer = network.relu_layers[0]
    positives = (X @ layer.weight.T + layer.bias > 0).sum(axis=1)
    threes = np.flatnonzero(y == 3)
    for variant in facts["variants"]:
        assert variant["source"] == threes[np.argmin(positives[threes])]
        assert y[variant["target"]] == variant["target_class"]
        assert variant["dimension_in_box"] == 784 - variant["positives"]
    assert [variant["target_class"] for variant in facts["variants"]] == [6, 4]
    assert facts["classes_of_the_fewest_positives"] == y[np.argsort(positives, kind="stable")[:10]].tolist()


def test_the_title_names_the_stand_in_and_the_caption_the_network(drawn: Path):
    result = json.loads((drawn / "figure6.json").read_text())
    assert "on 5,000 MNIST digits in place of MNIST" in result["title"]
    assert "model.safetensors" in result["caption"]
    assert "of the 5,000 test samples correctly" in result["caption"]
    assert (result["samples"], result["unproved"]) == (SAMPLES, 0)
    assert (drawn / "figure6.png").stat().st_size > 10_000


def test_missing_classes_are_refused(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--model", str(drawn / "model.safetensors"), "--data", "mnist-5k", "--samples", "100"]
    assert main(["reproduce", "figure11", *arguments, "--out", str(tmp_path)]) == 2
    assert "samples of class 3" in capsys.readouterr().err
    np.savez(tmp_path / "unlabelled.npz", x=np.zeros((5, 784)))
    arguments[3] = str(tmp_path / "unlabelled.npz")
    assert main(["reproduce", "figure6", *arguments, "--out", str(tmp_path)]) == 2
    assert "without classes" in capsys.readouterr().err


def test_what_cannot_be_drawn_is_refused_before_a_network_is_trained(tmp_path: Path, capsys, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("trained or read a network")

    monkeypatch.setattr(figure6, "used_network", never)
    for x, y, told in (
        (np.zeros((9, 28, 28)), np.arange(9), "samples of class 9"),
        (np.zeros((10, 5, 5, 5)), np.arange(10), "expected pictures"),
    ):
        np.savez(tmp_path / "data.npz", x=x, y=y)
        arguments = ["--data", str(tmp_path / "data.npz"), "--model", "x.onnx", "--out", str(tmp_path / "out")]
        assert main(["reproduce", "figure11", *arguments]) == 2
        assert told in capsys.readouterr().err


def test_a_picture_looks_like_the_sample_at_the_smallest_angle():
    X = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.1], [0.0, 0.0]])
    y = np.array([7, 8, 9, 0])
    assert figure6.looks_like(X, y, np.array([1.0, 1.0]), (0,)) == 9
    assert figure6.looks_like(X, y, np.array([1.0, 0.9]), (0, 2)) == 8


def variant(*, proved: bool = True, like: int = 6, answer: int = 3, target: float = 0.8) -> SimpleNamespace:
    verification = Verification(proved, "float", "" if proved else "it broke off")
    return SimpleNamespace(
        example=SimpleNamespace(feature_residual=1e-15),
        verification=verification,
        source_class=3,
        target_class=6,
        looks_like=like,
        predictions=(3, answer),
        resemblance=(target, 0.5),
    )


@pytest.mark.usefixtures("unchecked")  # stand-ins for what is measured
def test_claims_can_fail():
    good, bad = [variant()], [variant(), variant(proved=False, like=3, answer=8, target=0.4)]
    for claim in (figure6_claims.same_features, figure6_claims.same_answer):
        assert claim(good).holds is True
        assert claim(bad).holds is False
    for variants, holds in ((good, True), (bad, None), (bad[1:], False), ([variant(like=0)], False)):
        assert figure6_claims.different_pictures(variants).holds is holds
    assert "it broke off" in figure6_claims.same_features(bad).why
    data = UsedData("mnist", DataSet("mnist", np.zeros((1, 784)), None, ""), "MNIST", None)
    for fewest, holds in (((3, 4, 7), True), ((3, 5, 7), False)):
        shown = SimpleNamespace(fewest=fewest, positives=np.array([5, 6]))
        assert figure6_claims.fewest_positives(shown, data).holds is holds
        assert figure6_claims.fewest_positives(shown, replace(data, spec="cats.npz")).holds is None
    for dimensions, holds in (({1: 700}, True), ({1: 0}, False), ({1: None}, None)):
        shown = SimpleNamespace(dimensions=dimensions, kinds={1: "unbounded"})
        assert figure6_claims.large_preimages(shown).holds is holds
