"""How far invariance reaches at a precision, as thresholds judge it, and compared from one audit to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import fiberscope as fs
from fiberscope.audits.changes import compare
from fiberscope.audits.measurements import measured_of_survey
from fiberscope.audits.pairing import pair
from fiberscope.audits.plan import Plan, SurveyChunk
from fiberscope.audits.quantities import OF_COMPARISON, Quantity
from fiberscope.audits.shards import SURVEY_SCHEMA
from fiberscope.audits.store import Results
from fiberscope.audits.subject import Subject
from fiberscope.audits.survey import Survey, survey_at
from fiberscope.audits.threshold_language import parse_thresholds
from fiberscope.audits.thresholds import violations
from fiberscope.cli import main
from fiberscope.errors import InputError
from fiberscope.invariance.feature_bands import checked_allowance
from fiberscope.preimages.precision import Precision
from small_audits import small_data, small_network

SAMPLES, SURVEYED = 7, 3
LAYERS = (0, 2)


def audited(folder: Path, precision: str, seed: int = 0) -> Path:
    """An audit of the small network of a seed, in ``folder/precision-seed``."""
    model, data = folder / f"{seed}.safetensors", folder / "digits.npz"
    small_network(seed).save(model)
    np.savez(data, x=small_data(SAMPLES), y=np.arange(SAMPLES) % 10)
    out = folder / f"{precision}-{seed}"
    options = ["--domain", "0,1", "--layers", "0,2", "--invariance", str(SURVEYED), "--workers", "1"]
    options += ["--precision", precision] if precision else []
    assert main(["audit", str(model), str(data), "--out", str(out), *options]) == 0
    return out


@pytest.fixture(name="audits", scope="module")
def _audits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two versions of a network at one precision, and the first of them without any."""
    folder = tmp_path_factory.mktemp("audits")
    return audited(folder, "int8", 0), audited(folder, "int8", 3), audited(folder, "", 0)


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "invariance").iterdir()) for row in pq.read_table(path).to_pylist()]


def test_rows_at_a_precision_are_those_of_its_half_steps(audits: tuple[Path, Path, Path]) -> None:
    net, x = small_network(), small_data(SAMPLES)
    found = [row for row in rows(audits[0]) if row["eps"] is None]
    assert {row["reason"] for row in found} == {""}
    assert {row["layer"] for row in found} == set(LAYERS)
    exact = {(r["layer"], r["sample"], r["target"]): r["reached"] for r in rows(audits[0]) if r["eps"] == 0.0}
    for layer in LAYERS:
        stage = net.placed_layers[layer].stage
        half = np.maximum(net.evaluated(x, stage), 0.0).max() / 255.0 / 2.0  # of the codes of all samples together
        y = np.arange(SAMPLES) % 10
        table = fs.invariance_survey(net, x, y, layers=[layer], domain=fs.Box(0, 1), within=half).to_pylist()
        direct = {(row["sample"], row["target"]): row["reached"] for row in table}
        own = [row for row in found if row["layer"] == layer]
        for row in own:
            assert row["reached"] == pytest.approx(direct[row["sample"], row["target"]], rel=1e-6, abs=1e-9)
            assert row["reached"] >= exact[layer, row["sample"], row["target"]]
    assert any(row["reached"] > exact[row["layer"], row["sample"], row["target"]] + 1e-3 for row in found)
    others = [row for row in rows(audits[0]) if row["eps"] is not None]
    assert others == rows(audits[2]), "what is computed at no precision does not depend on it"


def test_the_report_and_the_terminal_have_a_column_for_the_precision(
    audits: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(audits[0])]) == 0
    assert "at int8" in " ".join(capsys.readouterr().out.split())
    assert '<th class="number">int8</th>' in (audits[0] / "report.html").read_text(encoding="utf-8")
    assert main(["report", str(audits[2])]) == 0
    assert "int8" not in capsys.readouterr().out


def test_a_precision_that_a_layer_does_not_have_leaves_the_curve() -> None:
    net, x = small_network(), small_data(3) * 1e5  # more than float16 holds
    subject = Subject(net, x, None, "a small network", "noise", "uniform noise")
    exact, precise = (
        survey_at(net, Survey().task(subject, plan, SurveyChunk(0))).to_pylist()
        for plan in (Plan((0,), 3, (0.0, 1e5), invariance=1, precision=each) for each in ("exact", "float16"))
    )
    assert [row for row in precise if not row["reason"]] == exact
    (left_out,) = [row for row in precise if row["reason"]]
    assert "numbers that float16 holds" in left_out["reason"]


@pytest.mark.parametrize("name", ["float16", "int8", Precision("int8", 0.5)])
def test_what_a_precision_allows(name: str | Precision) -> None:
    net, x = small_network(), small_data(1)[0]
    placed = net.placed_layers[1]
    inputs, outputs = (net.evaluated(x[None], number)[0] for number in (placed.source, placed.stage))
    allowed = checked_allowance(net, placed.stage, x, name)
    if name == "float16":
        A, b = torch.tensor(placed.layer.weight), torch.tensor(placed.layer.bias)
        rounded = torch.relu(A.half().float() @ torch.tensor(inputs).half().float() + b.half().float()).half()
        assert (np.abs(rounded.double().numpy() - outputs) <= allowed).all()
        assert np.max(allowed) < 0.1 * outputs.max()
    else:
        assert allowed == (0.25 if isinstance(name, Precision) else outputs.max() / 255 / 2)


def test_a_precision_belongs_to_a_layer_and_has_a_name() -> None:
    net, x = small_network(), small_data(1)[0]
    with pytest.raises(InputError, match="'float32', 'float16', 'int8', or numbers"):
        checked_allowance(net, 1, x, "float8")
    with pytest.raises(InputError, match="ReLU layer"):
        checked_allowance(net, 0, x, "int8")


def test_examples_at_a_precision_are_proved_again(audits: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    folder = audits[0].parent
    asked = ["--source", "0", "--target", "1", "--layer", "2", "--domain", "0,1", "--within", "int8"]
    out = tmp_path / "out"
    assert main(["audit", str(folder / "0.safetensors"), str(folder / "digits.npz"), "--out", str(out)]) == 0
    arguments = [str(folder / "0.safetensors"), str(folder / "digits.npz"), "--out", str(out), *asked]
    assert main(["invariance", *arguments]) == 0
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    assert "1 of 1 invariance examples proved" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("reach>0.5", (None, "exact")),
        ("reach.max>=1@layer1", (1, "exact")),
        ("reach<0.5@1%", (None, "1%")),
        ("reach<0.5@layer2@1.0e0 %".replace(" ", ""), (2, "1%")),
        ("reach>0.5@int8", (None, "int8")),
        ("reach>0.5@1e-3", (None, "0.001")),
    ],
)
def test_thresholds_name_what_features_may_differ_by(text: str, place: tuple[int | None, str]) -> None:
    (threshold,) = parse_thresholds([text])
    assert (threshold.quantity, threshold.layer, threshold.precision) == (Quantity.REACH, *place)
    (change,) = parse_thresholds([text.replace("reach", "reach-change")], OF_COMPARISON)
    assert (change.layer, change.precision) == place


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reach>0.5@1%@2%", "a share of the largest feature such as @1%"),
        ("reach>0.5@box", "@layerK, and a precision"),
        ("reach>0.5@0%", "@layerK"),
        ("reach<0", "reach is never below 0"),
        ("reach>10%", "a plain number"),
        ("dimension>0.5@1%", "@layerK and one of"),
        ("unbounded>0.5@1%", "@layerK and one of"),
    ],
)
def test_what_means_nothing_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_thresholds([text])
    assert words in str(caught.value)


def test_pairs_are_counted_and_samples_that_were_left_out_may_be_anything() -> None:
    def row(sample: int, target: int, reached: float, eps: float | None = 0.0) -> dict[str, Any]:
        return {"layer": 0, "name": "a", "sample": sample, "target": target, "eps": eps, "reached": reached}

    own = [row(0, 1, 0.25), row(0, 2, 0.75), row(1, 2, np.inf), row(0, 1, 0.875, 0.01), row(0, 1, 0.9, None)]
    own += [row(2, 1, np.nan)]
    left_out = {"layer": 0, "name": "a", "sample": 3, "reason": "it is smooth"}
    table = pa.Table.from_pylist([*(each | {"reason": ""} for each in own), left_out], schema=SURVEY_SCHEMA)
    plan = Plan((0,), 9, (0.0, 1.0), invariance=4, precision="int8", steps=(1.0,))
    found = list(measured_of_survey(table, plan, small_network()))
    at = {each.place.precision: (each.values.tolist(), each.unknown) for each in found}
    assert at["exact"] == ([0.25, 0.75, np.inf], 2)
    assert at["1%"] == ([0.875], 3)
    assert at["int8"] == ([0.9], 3)
    assert at["0.01%"] == ([], 4)

    def said(text: str) -> list[str]:
        return [f"{each.where}: {each.measured}" for each in violations(parse_thresholds([text]), found)]

    assert said("reach.min<0.5") == [
        "the network up to layer 0 dense0: min 0.25 over 3 pairs; 2 samples from which it was not computed"
    ]
    assert said("reach.max>0.9@1%") == [
        "the network up to layer 0 dense0 at 1% of the largest feature: max 0.875 over 1 pairs, but 3 samples from "
        "which it was not computed may miss it"
    ]


def test_a_finished_folder_is_held_against_reach(audits: tuple[Path, Path, Path], capsys) -> None:
    out = audits[0]
    for layer, precision, eps in ((0, "", 0.0), (2, "@1%", 0.01), (2, "@int8", None)):
        own = [row["reached"] for row in rows(out) if row["layer"] == layer and row["eps"] == eps]
        middle = float(np.median(own))
        for sign, status in ((1, 0), (-1, 1)):
            asked = f"reach>{middle + sign * 1e-3:.6f}@layer{layer}{precision}"
            assert main(["report", str(out), "--fail-on", asked]) == (status if middle > 1e-3 or sign > 0 else 0), asked
    capsys.readouterr()
    assert main(["report", str(audits[2]), "--fail-on", "reach>0@int8"]) == 2
    assert "a place where reach is measured" in capsys.readouterr().err
    model, data = out.parent / "0.safetensors", out.parent / "digits.npz"
    assert main(["audit", str(model), str(data), "--out", str(out.parent / "no"), "--fail-on", "reach>0.5"]) == 2
    assert "--invariance N" in capsys.readouterr().err
    assert not (out.parent / "no").exists()


def test_two_audits_are_compared_pair_by_pair(audits: tuple[Path, Path, Path], tmp_path: Path, capsys) -> None:
    before, after = audits[:2]
    found = compare(pair(Results(before), Results(after)))
    assert len(found.reach) == len(LAYERS) * 6
    numbers = [
        {(r["layer"], r["eps"], r["sample"], r["target"]): r["reached"] for r in rows(out)} for out in (before, after)
    ]
    for change in found.reach:
        eps = {"exact": 0.0, "int8": None}.get(change.place.precision, -1.0)
        if eps == -1.0:
            eps = float(change.place.precision.rstrip("%")) / 100.0
        keys = [key for key in numbers[0] if key[:2] == (change.place.layer, eps) and key in numbers[1]]
        np.testing.assert_array_equal(change.before, [numbers[0][key] for key in keys])
        np.testing.assert_array_equal(change.after, [numbers[1][key] for key in keys])
        assert len(keys) > 0
        assert change.unknown == 0
    most = max(float(each.differences.max()) for each in found.reach if each.place.precision == "exact")
    assert most > 0
    for bound, status in ((most * 1.01, 0), (most * 0.99, 1)):
        told = ["--fail-on", f"reach-change.max>{bound:.9f}", "--out", str(tmp_path / "changes.json")]
        assert main(["compare", str(before), str(after), *told]) == status
    assert "of the way (median); less far in" in " ".join(capsys.readouterr().out.split())
    data = json.loads((tmp_path / "changes.json").read_text())["reach"]
    assert [each["fell"] for each in data] == [int((each.differences < 0).sum()) for each in found.reach]
    assert main(["compare", str(before), str(after), "--out", str(tmp_path / "changes.html")]) == 0
    assert "of the way (median)" in (tmp_path / "changes.html").read_text(encoding="utf-8")


def test_audits_at_other_precisions_are_compared_where_both_have_verdicts(
    audits: tuple[Path, Path, Path], capsys
) -> None:
    after, before = audits[0], audits[2]
    for first, second in ((before, after), (after, before)):
        found = compare(pair(Results(first), Results(second)))
        assert {each.place.precision for each in found.layers} == {"exact"}
        assert {each.place.precision for each in found.reach} == {"exact", "0.01%", "0.1%", "1%", "10%"}
        assert all((each.before == each.after).all() for each in found.reach)
        assert any("at int8" in line for line in found.pair.left_out)
    assert main(["compare", str(before), str(before), "--fail-on", "reach-change>0@int8"]) == 2
    assert "a place where reach-change is measured" in capsys.readouterr().err
