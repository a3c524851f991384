"""Figure 3 against recomputation from its numbers; its claims can come out False."""

from __future__ import annotations

import json
from collections import Counter
from math import comb
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from torch import nn

import fiberscope as fs
from fiberscope.cli import main
from fiberscope.errors import ModelError
from fiberscope_paper import figure3_claims
from fiberscope_paper.figure3_measuring import (
    Printed,
    Verdicts,
    ask_printed,
    fresh_layer,
    spread,
    strip_of,
)
from fiberscope_paper.null_models import donoho_tanner, wendel
from fiberscope_paper.weights import is_weights_alone, load_weights
from small_audits import small_data, small_network, write_model_and_data


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figure3")
    model, data = write_model_and_data(folder, 40)
    arguments = ["reproduce", "figure3", "--model", model, "--data", data, "--samples", "30"]
    assert main([*arguments, "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_numbers_are_those_of_single_verdicts(drawn: Path):
    table = pq.read_table(drawn / "figure3.parquet").to_pylist()
    layer, X = small_network().relu_layers[0], small_data(40)[:30]
    assert len(table) == 30
    for row, x in zip(table, X, strict=True):
        y = layer(x)
        assert row["positives"] == (y > 0).sum()
        assert row["kind"] == fs.preimage(layer, x=x).kind
        assert row["box_kind"] == fs.preimage(layer, x=x, domain=fs.Box(0, 1)).kind
        assert row["border_coordinates"] == ((x == 0) | (x == 1)).sum()
        assert row["proved"]
        assert row["box_proved"]
        if row["algorithm1_finite"] is not None:
            assert row["algorithm1_finite"] == fs.algorithm1(layer.weight, layer.bias, y)


def test_facts_follow_from_the_numbers(drawn: Path):
    table = pq.read_table(drawn / "figure3.parquet").to_pylist()
    result = json.loads((drawn / "figure3.json").read_text())
    facts = result["facts"]
    counts = Counter(row["kind"] for row in table)
    assert {kind: count for kind, count in facts["counts"].items() if count} == dict(counts)
    finite = [row["positives"] for row in table if row["kind"] in ("bounded", "singleton")]
    unbounded = [row["positives"] for row in table if row["kind"] == "unbounded"]
    assert facts["smallest_finite"] == min(finite, default=None)
    assert facts["largest_unbounded"] == max(unbounded, default=None)
    asked = [row for row in table if row["algorithm1_finite"] is not None]
    wrong = sum(row["algorithm1_finite"] != (row["kind"] != "unbounded") for row in asked)
    assert facts["algorithm1"] == {"asked": len(asked), "wrong": wrong}
    assert len(asked) > 0
    assert result["samples"] == 30
    assert result["network"]["digest"] == small_network().digest()
    assert result["title"].endswith(" ReLU layer on digits"), "nobody knows whether these are the paper's"
    assert result["data"]["stands_in_for"] is None
    assert "digits.npz" in result["caption"]


def verdicts(*pairs: tuple[int, str]) -> Verdicts:
    positives, kinds = zip(*pairs, strict=True)
    return Verdicts(np.array(positives), np.array(kinds), np.ones(len(pairs), np.bool_))


def measured(judged: Verdicts, boxed: Verdicts | None = None, outputs: int = 3500) -> SimpleNamespace:
    return SimpleNamespace(inputs=784, outputs=outputs, verdicts=judged, boxed=boxed, fresh=None)


MIXED = verdicts((700, "unbounded"), (723, "bounded"), (784, "unbounded"), (790, "singleton"))
APART = verdicts((700, "unbounded"), (723, "bounded"), (790, "bounded"))
ONE_KIND = verdicts((5, "unbounded"), (6, "unbounded"))


def test_the_strip_reaches_from_the_smallest_finite_to_the_largest_unbounded():
    assert (strip_of(MIXED).smallest_finite, strip_of(MIXED).largest_unbounded) == (723, 784)
    assert [strip_of(each).overlaps for each in (MIXED, APART, ONE_KIND)] == [True, False, None]


@pytest.mark.usefixtures("unchecked")  # stand-ins for what is measured
@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("three_kinds", [True, False, False]),
        ("overlap", [True, False, None]),
        ("place_of_strip", [True, False, None]),
    ],
)
def test_claims_come_out_as_the_counts_say(name: str, holds: list[bool | None]):
    claim = getattr(figure3_claims, name)
    assert [claim(measured(each), "other weights").holds for each in (MIXED, APART, ONE_KIND)] == holds


@pytest.mark.usefixtures("unchecked")  # stand-ins for what is measured
def test_the_claim_about_the_size_of_the_layer_is_of_the_papers_layer_alone():
    (near,) = figure3_claims.roughly_as_many(measured(MIXED), "other weights")
    assert near.holds is True
    (far,) = figure3_claims.roughly_as_many(measured(ONE_KIND), "other weights")
    assert far.holds is False
    assert far.measured == "0 of 2 samples have as many up to 10%, 0 as many or more; the median is 5.5"
    assert figure3_claims.roughly_as_many(measured(MIXED, outputs=100), "") == ()


@pytest.mark.usefixtures("unchecked")  # stand-ins for what is measured
def test_claims_about_singletons_can_fail():
    assert [figure3_claims.enough_equations(measured(each)).holds for each in (MIXED, APART, ONE_KIND)] == [
        False,
        False,
        None,
    ]
    full = verdicts((784, "singleton"), (3, "bounded"))
    assert figure3_claims.enough_equations(measured(full)).holds is True
    assert figure3_claims.only_by_equations(measured(full)).holds is True
    pinned = verdicts((784, "singleton"), (3, "singleton"))
    assert figure3_claims.only_by_equations(measured(pinned)).holds is False
    assert figure3_claims.only_by_equations_in_box(measured(full, pinned)).holds is False
    assert figure3_claims.only_by_equations_in_box(measured(full, full)).holds is True
    assert figure3_claims.only_by_equations_in_box(measured(full)).holds is None


def test_wrong_answers_of_the_printed_algorithm_are_counted():
    layer = fs.ReLULayer([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    X = np.array([[0.0, 0.0], [0.0, -1.0], [1.0, 1.0]])
    judged = fs.classify(layer, X)
    found = Verdicts(judged.positives, np.asarray(judged.kind, np.str_), judged.verify())
    printed = ask_printed(layer, X, found, np.arange(3), lambda *_: None)
    assert found.kinds.tolist() == ["unbounded", "unbounded", "singleton"]
    assert printed.finite.tolist() == [True, True, True]
    assert printed.wrong.tolist() == [True, True, False]
    assert figure3_claims.printed_algorithm(printed).holds is False
    right = Printed(printed.samples, found.finite, np.zeros(3, np.bool_))
    assert figure3_claims.printed_algorithm(right).holds is True
    assert figure3_claims.printed_algorithm(None).holds is None


def test_samples_for_the_printed_algorithm_lie_below_the_inputs_and_around_the_border():
    pairs = [(p, "unbounded" if p < 500 else "bounded") for p in range(300, 900, 5)] + [(520, "unbounded")]
    found = verdicts(*pairs)
    chosen = spread(found, 784, 10)
    positives = found.positives[chosen]
    assert len(set(chosen.tolist())) == 10
    assert positives.max() < 784
    assert positives.min() == 300
    assert (np.abs(positives - 510) <= 15).sum() >= 5
    assert len(spread(verdicts((800, "singleton")), 784, 10)) == 0


def test_wendel_is_the_sum_of_binomials():
    for m, k in [(1, 1), (2, 1), (5, 2), (10, 3), (7, 7), (8, 7), (40, 20)]:
        expected = 1 - 2.0 ** (1 - m) * sum(comb(m - 1, i) for i in range(k))
        assert float(wendel(m, k)) == pytest.approx(expected, abs=1e-12)
    assert wendel([0, 3], [2, 0]).tolist() == [0.0, 1.0]
    assert donoho_tanner([634], [467], 784)[0] == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(donoho_tanner([10, 10], [784, 900], 784), [1.0, 1.0])


def test_wendel_is_what_random_directions_do():
    rng = np.random.default_rng(0)
    holds = [bool(fs.omnidirectional(rng.standard_normal((5, 2)))) for _ in range(80)]
    assert np.mean(holds) == pytest.approx(float(wendel(5, 2)), abs=0.15)


def fresh(module: nn.Module, shape: tuple[int, ...], seed: int = 0) -> fs.ReLULayer:
    layer = fresh_layer(fs.from_torch(nn.Sequential(module, nn.ReLU()).eval(), input_shape=shape), seed)
    assert isinstance(layer, fs.ReLULayer)
    assert not layer.bias.any()
    return layer


def test_fresh_weights_are_glorots():
    layer = fresh(nn.Linear(20, 30), (20,))
    assert layer.weight.shape == (30, 20)
    limit = np.sqrt(6 / 50)
    assert 0.9 * limit < np.abs(layer.weight).max() <= limit + 1e-7
    assert not np.array_equal(layer.weight, fresh(nn.Linear(20, 30), (20,), 1).weight)


def test_a_convolution_is_drawn_anew_as_a_convolution():
    module = nn.Conv2d(2, 5, 3, stride=2)
    layer = fresh(module, (2, 9, 9))
    given = fs.from_torch(nn.Sequential(module, nn.ReLU()).eval(), input_shape=(2, 9, 9)).relu_layers[0]
    found, before = (np.asarray((each.weight @ np.eye(162)) != 0) for each in (layer, given))
    np.testing.assert_array_equal(found, before)
    limit = np.sqrt(6 / (9 * (2 + 5)))
    assert 0.9 * limit < np.abs(layer.weight @ np.eye(162)).max() <= limit + 1e-7


def test_a_layer_of_another_kind_is_not_drawn_anew():
    module = nn.Sequential(nn.ConvTranspose2d(1, 2, 3), nn.ReLU()).eval()
    assert fresh_layer(fs.from_torch(module, input_shape=(1, 4, 4)), 0) is None


def architecture() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(dim=1))


def test_weights_alone_are_read_into_the_architecture(tmp_path: Path):
    module, path = architecture().eval(), tmp_path / "weights.safetensors"
    safetensors.torch.save_file(module.state_dict(), str(path))
    assert is_weights_alone(path)
    x = torch.rand(5, 4)
    np.testing.assert_allclose(load_weights(path, architecture)(x), module[:-1](x).detach(), atol=1e-6)
    small_network().save(tmp_path / "whole.safetensors")
    assert not is_weights_alone(tmp_path / "whole.safetensors")
    safetensors.torch.save_file({"0.weight": torch.zeros(3, 5)}, str(path))
    with pytest.raises(ModelError, match=r"of shapes \(3, 4\).*got 0.weight \(3, 5\)"):
        load_weights(path, architecture)
