"""Thresholds: what they mean, what they refuse, and that an audit which misses one is complete all the same."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fiberscope.audits.findings import UNDECIDED_DIMENSION, FindingsTable
from fiberscope.audits.measurements import measured
from fiberscope.audits.plan import Plan
from fiberscope.audits.quantities import OF_COMPARISON, Quantity
from fiberscope.audits.shards import SPECTRA_SCHEMA
from fiberscope.audits.store import Results
from fiberscope.audits.threshold_language import parse_thresholds
from fiberscope.audits.thresholds import DomainKind, Measured, Place, violations
from fiberscope.cli import main
from fiberscope.errors import InputError
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from small_audits import rows, small_data, small_network, spectra_rows


@pytest.mark.parametrize(
    ("text", "quantity", "measure", "comparison", "bound", "places"),
    [
        ("unbounded>0.1@layer0", "unbounded", "share", ">", 0.1, (0, None, None)),
        (" Unbounded > 10% @ layer0 @ BOX ", "unbounded", "share", ">", 0.1, (0, None, "box")),
        ("singleton<1", "singleton", "share", "<", 1.0, (None, None, None)),
        ("singleton>=100%@nonnegative", "singleton", "share", ">=", 1.0, (None, None, "nonnegative")),
        ("bounded<=1e-3@R^n@layer12", "bounded", "share", "<=", 1e-3, (12, None, "R^n")),
        ("undecided>0", "undecided", "share", ">", 0.0, (None, None, None)),
        ("unproved>0.1%", "unproved", "share", ">", 0.001, (None, None, None)),
        ("undecided>1 sample", "undecided", "count", ">", 1.0, (None, None, None)),
        ("unbounded>=3samples@layer1", "unbounded", "count", ">=", 3.0, (1, None, None)),
        ("dimension>5", "dimension", "median", ">", 5.0, (None, None, None)),
        ("dimension.max>=50@layer2@box", "dimension", "max", ">=", 50.0, (2, None, "box")),
        ("margin.min<1e-9", "margin", "min", "<", 1e-9, (None, None, None)),
        ("condition>1e6", "condition", "median", ">", 1e6, (None, None, None)),
        ("condition.max>1E6@layer1", "condition", "max", ">", 1e6, (1, None, None)),
        ("condition.median > 1e6 @stage7", "condition", "median", ">", 1e6, (None, 7, None)),
    ],
)
def test_thresholds_mean_what_they_say(
    text: str, quantity: str, measure: str, comparison: str, bound: float, places: tuple[Any, ...]
) -> None:
    (threshold,) = parse_thresholds([text])
    assert threshold.text == text.strip()
    assert (threshold.quantity, threshold.measure, threshold.comparison) == (quantity, measure, comparison)
    assert threshold.bound == bound
    assert (threshold.layer, threshold.stage, threshold.domain) == places


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "QUANTITY>NUMBER"),
        ("unbounded", "put it in quotes"),
        ("unbounded=3", "QUANTITY>NUMBER"),
        ("unbouded>0.1", "did you mean unbounded?"),
        ("more-invertible>0", "one of empty, singleton"),
        ("unbounded>", "a finite number"),
        ("unbounded>many", "a finite number"),
        ("unbounded>nan", "a finite number"),
        ("condition>inf", "a finite number"),
        ("condition>1e999", "a finite number"),
        ("unbounded>5", "for a count, say so"),
        ("unbounded>1", "can be kept as well as missed"),
        ("unbounded>=0", "can be kept as well as missed"),
        ("unbounded<=1", "can be kept as well as missed"),
        ("unbounded<0%", "can be kept as well as missed"),
        ("unbounded>-1 samples", "can be kept as well as missed"),
        ("unbounded<0 samples", "can be kept as well as missed"),
        ("dimension<0", "dimension is never below 0"),
        ("dimension.min>=0", "can be kept as well as missed"),
        ("margin>1", "margin is always from 0 to 1"),
        ("margin.min<0", "margin is always from 0 to 1"),
        ("condition<1", "condition is never below 1"),
        ("condition.max>=1", "condition is never below 1"),
        ("unbounded>1.5 samples", "a whole number of samples"),
        ("unbounded.max>0", "no statistic"),
        ("dimension.mean>0", "dimension.min, dimension.median, dimension.max"),
        ("dimension.>0", "dimension.min"),
        ("dimension>10%", "a plain number"),
        ("condition>3 samples", "a plain number"),
        ("unbounded>0@first", "@layerK and one of @R^n, @box, @nonnegative"),
        ("unbounded>0@stage1", "@layerK and one of"),
        ("unbounded>0@layer1@layer2", "each at most once"),
        ("unbounded>0@layer-1", "@layerK"),
        ("condition>1e6@box", "@layerK or @stageK"),
        ("condition>1e6@layer0@stage1", "either a layer or a stage"),
    ],
)
def test_what_means_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_thresholds([text])
    assert str(caught.value).startswith("--fail-on: expected ")
    assert words in str(caught.value)
    assert repr(text) in str(caught.value)


def test_a_comparison_has_its_own_quantities() -> None:
    (threshold,) = parse_thresholds(["less-invertible>0@layer1"], OF_COMPARISON)
    assert threshold.quantity is Quantity.LESS_INVERTIBLE
    with pytest.raises(InputError, match="one of more-invertible, less-invertible, condition-ratio"):
        parse_thresholds(["unbounded>0"], OF_COMPARISON)
    with pytest.raises(InputError, match="condition-ratio is always above 0"):
        parse_thresholds(["condition-ratio>0"], OF_COMPARISON)


@pytest.mark.parametrize("text", ["dimension>0", "margin>=1", "margin.min<=0", "condition<=1", "condition.min>1"])
def test_the_last_bounds_that_say_something_are_taken(text: str) -> None:
    assert parse_thresholds([text])[0].text == text


HERE = Place("layer 1, box", layer=1, domain=DomainKind.BOX)
THERE = Place("layer 2, R^n", layer=2, domain=DomainKind.EVERYTHING)


def found(text: str, *places: tuple[Place, list[float]]) -> list[str]:
    """Where a threshold fails, and what is said to have been measured."""
    thresholds = parse_thresholds([text])
    values = [Measured(thresholds[0].quantity, place, np.array(numbers)) for place, numbers in places]
    other = Quantity.EMPTY if thresholds[0].quantity is not Quantity.EMPTY else Quantity.BOUNDED
    return [f"{v.where}: {v.measured}" for v in violations(thresholds, [*values, Measured(other, HERE, np.ones(4))])]


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("unbounded>0.25", False),
        ("unbounded>=0.25", True),
        ("unbounded>24.9%", True),
        ("unbounded<0.25", False),
        ("unbounded<=25%", True),
        ("unbounded>1 sample", False),
        ("unbounded>=1 sample", True),
        ("unbounded<2 samples", True),
    ],
)
def test_shares_and_counts_at_the_bound(text: str, fails: bool) -> None:
    expected = ["layer 1, box: 1 of 4 samples (25 %)"] if fails else []
    assert found(text, (HERE, [0, 1, 0, 0])) == expected


@pytest.mark.parametrize("tenths", range(11))
def test_a_share_that_equals_the_bound_does_not_exceed_it(tenths: int) -> None:
    values = (HERE, [1.0] * tenths + [0.0] * (10 - tenths))
    if tenths < 10:
        assert not found(f"unbounded>{tenths / 10}", values)
        assert not found(f"unbounded>{10 * tenths}%", values)
    if tenths > 0:
        assert not found(f"unbounded<{10 * tenths}%", values)


def test_statistics() -> None:
    values = (HERE, [4.0, 1.0, 10.0, 2.0])
    assert found("dimension>2.9", values) == ["layer 1, box: median 3 over 4 samples"]
    assert found("dimension>3", values) == []
    assert found("dimension.max>=10", values) == ["layer 1, box: max 10 over 4 samples"]
    assert found("dimension.min<1", values) == []
    assert found("dimension.min<=1", values) == ["layer 1, box: min 1 over 4 samples"]


def test_every_place_is_judged_on_its_own() -> None:
    values = ((HERE, [1, 1]), (THERE, [1, 0]))
    assert found("bounded>0.6", *values) == ["layer 1, box: 2 of 2 samples (100 %)"]
    assert len(found("bounded>0", *values)) == 2
    assert found("bounded>0@layer2", *values) == ["layer 2, R^n: 1 of 2 samples (50 %)"]
    assert found("bounded>0.6@R^n", *values) == []


def test_a_threshold_fails_wherever_nothing_is_measured() -> None:
    assert found("dimension>5", (HERE, []), (THERE, [])) == [
        "layer 1, box: nothing was measured",
        "layer 2, R^n: nothing was measured",
    ]
    assert found("dimension>5", (HERE, []), (THERE, [1.0])) == ["layer 1, box: nothing was measured"]
    assert found("dimension>5@layer2", (HERE, []), (THERE, [1.0])) == []
    assert found("dimension>5") == [": nothing was measured"]


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        ("unbounded>0", [], "0 of 2 samples (0 %), but 2 undecided samples may miss it"),
        ("unbounded>0.5", [1, 0, 0], "1 of 5 samples (20 %), but 2 undecided samples may miss it"),
        ("unbounded>0.6", [1, 0, 0], ""),
        ("unbounded>=3 samples", [1, 0, 0], "1 of 5 samples (20 %), but 2 undecided samples may miss it"),
        ("unbounded>3 samples", [1, 0, 0], ""),
        ("unbounded>0.1", [1, 0, 0], "1 of 5 samples (20 %); 2 undecided samples"),
        ("singleton<0.9", [1, 1, 1], "3 of 5 samples (60 %); 2 undecided samples"),
        ("singleton<60%", [1, 1, 1], ""),
        ("dimension.max>5", [], "nothing was measured: 2 undecided samples"),
        ("dimension.max>5", [1, 2, 3], "max 3 over 3 samples, but 2 undecided samples may miss it"),
        ("dimension.min>3", [1, 2, 3], ""),
        ("dimension.max<3", [1, 2, 3], ""),
        ("margin.min<0.1", [0.5], "min 0.5 over 1 samples, but 2 undecided samples may miss it"),
        ("dimension>3", [1, 2, 3], ""),
        ("dimension>2", [1, 2, 3], "median 2 over 3 samples, but 2 undecided samples may miss it"),
        ("dimension<1", [1, 2, 3], ""),
        ("dimension>1.5", [1, 2, 3], "median 2 over 3 samples; 2 undecided samples"),
    ],
)
def test_a_threshold_is_kept_only_if_it_is_whatever_undecided_samples_are(
    text: str, values: list[float], said: str
) -> None:
    (threshold,) = parse_thresholds([text])
    each = Measured(threshold.quantity, HERE, np.array(values, dtype=np.float64), unknown=2)
    assert [violation.measured for violation in violations([threshold], [each])] == ([said] if said else [])


@pytest.mark.parametrize("text", ["unbounded>{}", "unbounded<{}", "unbounded>={}", "unbounded<={}"])
@pytest.mark.parametrize("count", range(1, 5))
def test_undecided_samples_against_every_way_that_they_can_be_decided(text: str, count: int) -> None:
    values, unknown = [1.0, 0.0], 3
    (threshold,) = parse_thresholds([text.format(f"{count} samples")])
    partly = Measured(threshold.quantity, HERE, np.array(values), unknown=unknown)
    decided = [
        Measured(threshold.quantity, HERE, np.array([*values, *rest]))
        for rest in itertools.product((0.0, 1.0), repeat=unknown)
    ]
    fails = any(violations([threshold], [each]) for each in decided)
    assert bool(violations([threshold], [partly])) == fails


@pytest.mark.parametrize("text", ["margin{}>{}", "margin{}<{}", "margin{}>={}", "margin{}<={}"])
@pytest.mark.parametrize("bound", [0.2, 0.5, 0.6, 0.75, 0.9])
def test_a_number_that_is_not_known_lies_in_the_range_of_its_quantity(text: str, bound: float) -> None:
    for statistic in ("", ".min", ".max"):
        (threshold,) = parse_thresholds([text.format(statistic, bound)])
        partly = Measured(threshold.quantity, HERE, np.array([0.5]), unknown=1)
        decided = [Measured(threshold.quantity, HERE, np.array([0.5, rest])) for rest in np.linspace(0.0, 1.0, 21)]
        assert bool(violations([threshold], [partly])) == any(violations([threshold], [each]) for each in decided)


KINDS = ["singleton", "bounded", "unbounded", "undecided", "empty", "bounded"]


def handmade() -> tuple[FindingsTable, Any]:
    """Six samples of layer 0 on all of R^n, and condition numbers of stage 1 at three."""
    n = len(KINDS)
    findings = FindingsTable(
        sample=np.arange(n),
        layer=np.zeros(n, dtype=np.int64),
        domain=np.array(["R^n"] * n, dtype=object),
        positives=np.arange(n),
        saturated=np.zeros(n, dtype=np.int64),
        kind=np.array(KINDS, dtype=object),
        dimension=np.array([0, 3, 5, UNDECIDED_DIMENSION, -1, 4]),
        margin=np.array([0.5, 0.25, 1.0, np.nan, 2.0, 0.125]),
        certificate=np.array(["a", "b", "c", "", "d", ""], dtype=object),
        reason=np.array([""] * n, dtype=object),
        radius=np.full(n, np.inf),
        dimension_low=np.array([0, 3, 5, UNDECIDED_DIMENSION, -1, 4]),
        dimension_high=np.array([0, 3, 5, UNDECIDED_DIMENSION, -1, 4]),
        precision=np.array(["exact"] * n, dtype=object),
    )
    numbers = [(0, 8.0, ""), (1, None, "too large"), (2, float("nan"), ""), (3, 2.0, "")]
    records = [
        {"sample": s, "stage": 1, "name": "relu0", "outputs": 9, "condition_number": c, "method": "", "reason": r}
        for s, c, r in numbers
    ]
    return findings, pa.Table.from_pylist(records, schema=SPECTRA_SCHEMA)


def test_what_an_audit_measures() -> None:
    found = list(measured(*handmade(), Plan((0,), len(KINDS), spectra=4), small_network()))
    values = {(each.quantity, each.place.stage): each.values.tolist() for each in found}
    decided = [kind for kind in KINDS if kind != "undecided"]
    for kind in set(decided):
        assert values[Quantity(kind), None] == [float(each == kind) for each in decided]
    assert values[Quantity.UNDECIDED, None] == [0, 0, 0, 1, 0, 0]
    assert values[Quantity.UNPROVED, None] == [0, 0, 0, 1, 0, 1]
    unknown = {(each.quantity, each.place.stage): each.unknown for each in found}
    sure = {(Quantity.UNDECIDED, None), (Quantity.UNPROVED, None)}
    at_layers = {key for key in unknown if key[1] is None}
    assert {key: unknown[key] for key in at_layers} == {key: int(key not in sure) for key in at_layers}
    assert (unknown[Quantity.CONDITION, 1], unknown[Quantity.CONDITION, 0]) == (2, 0)
    assert values[Quantity.DIMENSION, None] == [0, 3, 5, 4]
    assert values[Quantity.MARGIN, None] == [0.5, 0.25, 1.0, 2.0, 0.125]
    assert values[Quantity.CONDITION, 1] == [8.0, 2.0]
    assert values[Quantity.CONDITION, 0] == []


def test_dimensions_with_bounds_alone_are_not_measured() -> None:
    findings, spectra = handmade()
    findings.dimension[[1, 2]] = UNDECIDED_DIMENSION
    found = list(measured(findings, spectra, Plan((0,), len(KINDS), spectra=4), small_network()))
    [dimension] = [each for each in found if each.quantity is Quantity.DIMENSION]
    assert (dimension.values.tolist(), dimension.unknown) == ([0, 4], 3)


def test_condition_numbers_belong_to_the_layer_that_ends_at_the_stage() -> None:
    found = list(measured(*handmade(), Plan((0,), len(KINDS), spectra=4), small_network()))
    stages = [(each.place.stage, each.place.layer) for each in found if each.quantity is Quantity.CONDITION]
    assert stages == [(0, None), (1, 0), (2, None), (3, 1), (4, None), (5, 2)]
    for place in ("layer0", "stage1"):
        assert [str(v) for v in violations(parse_thresholds([f"condition>4@{place}"]), found)] == [
            f"condition>4@{place}: stage 1 relu0: median 5 over 2 samples; 2 samples without a condition number"
        ]
    everywhere = [v.where for v in violations(parse_thresholds(["condition>5"]), found)]
    assert everywhere == [each.place.label for each in found if each.quantity is Quantity.CONDITION]


def test_no_condition_number_is_no_good_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the second layer on, the output of the network is constant."""
    stages = (
        affine_stage("fc0", Dense(np.random.default_rng(0).standard_normal((4, 6)), np.full(4, 9.0))),
        relu_stage("relu0", 4),
        affine_stage("fc1", Dense(np.zeros((3, 4)), np.full(3, -1.0))),
        relu_stage("relu1", 3),
    )
    Network(stages, (6,)).save(tmp_path / "net.safetensors")
    np.save(tmp_path / "x.npy", small_data(3))
    files = [str(tmp_path / name) for name in ("net.safetensors", "x.npy")]
    options = ["--spectra", "2", "--workers", "1", "--fail-on", "condition>1e6@layer0", "--fail-on", "condition>1e6"]
    assert main(["audit", *files, "--out", str(tmp_path / "out"), *options]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("threshold failed")] == [
        f"threshold failed: condition>1e6: stage {stage}: nothing was measured: 2 samples without a condition number"
        for stage in ("2 fc1", "3 relu1")
    ]


def test_an_audit_that_misses_thresholds_is_complete_and_says_where(
    again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    asked = ["unbounded>0@R^n", "undecided>0", "dimension.max>4@layer1", "condition.max>12@layer1", "bounded<100%@box"]
    options = [word for text in asked for word in ("--fail-on", text)]
    assert main([*again, "--out", str(out), "--spectra", "4", *options]) == 1
    printed = capsys.readouterr().out.splitlines()
    lines = [line.removeprefix("threshold failed: ") for line in printed if line.startswith("threshold failed: ")]
    expected = []
    for layer in range(3):
        kinds = [row[4] for row in rows(out) if row[1:3] == (layer, "R^n")]
        if (count := kinds.count("unbounded")) > 0:
            share = 100 * count / len(kinds)
            expected.append(f"unbounded>0@R^n: layer {layer} dense{layer}, R^n: {count} of 13 samples ({share:.4g} %)")
    for domain in ("R^n", "x >= 0"):
        most = max(row[5] for row in rows(out) if row[1:3] == (1, domain))
        if most > 4:
            expected.append(f"dimension.max>4@layer1: layer 1 dense1, {domain}: max {most} over 13 samples")
    worst = max(row["condition_number"] for row in spectra_rows(out) if row["stage"] == 3)
    assert worst > 12
    expected.append(f"condition.max>12@layer1: stage 3 relu1: max {worst:.6g} over 4 samples")
    assert len(expected) >= 4
    assert lines == expected
    assert "3 of 5 thresholds failed" in printed
    assert json.loads((out / "manifest.json").read_text())["status"] == "complete"
    assert (out / "report.html").is_file()
    assert main(["verify", str(out)]) == 0


def test_a_finished_folder_is_held_against_thresholds(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(out), "--fail-on", "undecided>0", "--fail-on", "unproved>0"]) == 0
    assert "2 thresholds kept" in capsys.readouterr().out
    assert main(["report", str(out), "--fail-on", "undecided>0", "--fail-on", "unbounded>0"]) == 1
    assert "1 of 2 thresholds failed" in capsys.readouterr().out
    assert main(["report", str(out)]) == 0
    assert "threshold" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        ("unbounded", "put it in quotes"),
        ("condition>1e6", "with --spectra N"),
        ("unbounded>0@layer7", "these are: layer 0 dense0, R^n; layer 0 dense0, box [0,1]; layer 1"),
        ("unbounded>0@layer1@box", "a place where unbounded is measured"),
        ("unbounded>13 samples", "a count of the 13 samples that can be kept as well as missed"),
        ("singleton<14 samples", "a count of the 13 samples"),
    ],
)
def test_thresholds_about_what_is_not_measured_are_refused_before_any_work(
    threshold: str, words: str, again: list[str], out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    assert main([*again, "--out", str(new), "--fail-on", threshold]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "judging" not in captured.err
    assert not (new / "manifest.json").exists()
    (out / "report.html").unlink()
    assert main(["report", str(out), "--fail-on", threshold]) == 2
    assert words in capsys.readouterr().err
    assert not (out / "report.html").exists()


def test_layers_that_are_left_out_are_not_measured(
    again: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*again, "--out", str(tmp_path / "new"), "--layers", "0,2", "--fail-on", "bounded>0@layer1"]) == 2
    assert "these are: layer 0 dense0, R^n" in capsys.readouterr().err


def test_half_an_audit_is_not_held_against_thresholds(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Results(out)
    results.write_manifest(replace(results.manifest(), status="running"))
    assert main(["report", str(out), "--fail-on", "undecided>0"]) == 2
    assert "is not finished; continue it" in capsys.readouterr().err
    assert main(["report", str(out)]) == 0
