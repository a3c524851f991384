"""Comparing two audits: what became more or less invertible, and what cannot be compared."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binomtest

import fiberscope.audits.spectra
import fiberscope.audits.verdicts
from fiberscope.audits.changes import LayerChange, change, compare, signs
from fiberscope.audits.findings import UNDECIDED_DIMENSION, FindingsTable
from fiberscope.audits.pairing import pair
from fiberscope.audits.store import Results
from fiberscope.audits.thresholds import DomainKind, Place
from fiberscope.cli import main
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import affine_stage, relu_stage
from fiberscope.preimages.kind import Kind
from fiberscope.report.changes import layer_sentences, layers_table, stages_table
from small_audits import rows, small_data, small_network, spectra_rows

PLACE = Place("layer 0 dense0, R^n", layer=0, domain=DomainKind.EVERYTHING, domain_name="R^n")
SIZES = ((6, 9), (6, 12))


def table(verdicts: list[tuple[str, int]], margins: list[float] | None = None) -> FindingsTable:
    """Findings of layer 0 on all of R^n, from kinds and dimensions."""
    n = len(verdicts)
    texts = {name: np.array([""] * n, dtype=object) for name in ("certificate", "reason")}
    return FindingsTable(
        sample=np.arange(n),
        layer=np.zeros(n, dtype=np.int64),
        domain=np.array(["R^n"] * n, dtype=object),
        positives=np.zeros(n, dtype=np.int64),
        saturated=np.zeros(n, dtype=np.int64),
        kind=np.array([kind for kind, _ in verdicts], dtype=object),
        dimension=np.array([dimension for _, dimension in verdicts]),
        margin=np.array(margins or [1.0] * n),
        radius=np.full(n, np.inf),
        dimension_low=np.array([dimension for _, dimension in verdicts]),
        dimension_high=np.array([dimension for _, dimension in verdicts]),
        precision=np.array(["exact"] * n, dtype=object),
        **texts,
    )


BEFORE = [("singleton", 0), ("bounded", 3), ("unbounded", 5), ("bounded", 2), ("undecided", UNDECIDED_DIMENSION)]
AFTER = [("bounded", 2), ("singleton", 0), ("unbounded", 4), ("bounded", 2), ("singleton", 0)]


def test_a_sample_is_more_invertible_by_kind_and_then_by_dimension() -> None:
    found = change(table(BEFORE), table(AFTER), PLACE, PLACE.label, SIZES)
    assert found.more.tolist() == [False, True, True, False, False]
    assert found.less.tolist() == [True, False, False, False, False]
    assert (found.openness.fell, found.openness.rose, found.by_kind) == (2, 1, (1, 1))
    assert (found.openness.p, found.undecided) == (1.0, 1)
    assert found.changed == (0, 1, 4)
    assert found.dimension == (2.5, 2.0), "without the sample that is undecided before"
    assert found.transitions == {
        (Kind.SINGLETON, Kind.BOUNDED): 1,
        (Kind.BOUNDED, Kind.SINGLETON): 1,
        (Kind.UNBOUNDED, Kind.UNBOUNDED): 1,
        (Kind.BOUNDED, Kind.BOUNDED): 1,
        (Kind.UNDECIDED, Kind.SINGLETON): 1,
    }


def test_dimensions_in_spaces_of_different_size_are_not_compared() -> None:
    found = change(table(BEFORE), table(AFTER), PLACE, PLACE.label, ((6, 9), (7, 9)))
    assert found.more.tolist() == [False, True, False, False, False]
    assert found.less.tolist() == [True, False, False, False, False]
    assert any("6 before, 7 now" in line for line in layer_sentences(found))
    assert found.dimension is None


def test_a_dimension_of_which_bounds_alone_are_known_is_compared_with_none() -> None:
    bounds = ("bounded", UNDECIDED_DIMENSION)
    found = change(table([bounds, ("bounded", 3), bounds]), table([("bounded", 2)] * 2 + [bounds]), PLACE, "", SIZES)
    assert (found.more.tolist(), found.less.tolist()) == ([False, True, False], [False] * 3)
    assert found.dimension == (3.0, 2.0)


def test_margins_are_compared_where_the_kind_is_the_same() -> None:
    margins = [1.0, 1.0, 2.0, 4.0, float("nan")], [50.0, 50.0, 1.0, 1.0, 50.0]
    found = change(table(BEFORE, margins[0]), table(AFTER, margins[1]), PLACE, PLACE.label, SIZES)
    assert found.margin_ratio == np.median([0.5, 0.25])
    same = change(table(BEFORE[:2], [0.0, 1.0]), table(AFTER[:2], [1.0, 1.0]), PLACE, PLACE.label, SIZES)
    assert same.margin_ratio is None


@pytest.mark.parametrize(("fell", "rose"), [(0, 0), (1, 0), (0, 6), (5, 5), (9, 2)])
def test_the_sign_test_is_exact(fell: int, rose: int) -> None:
    before = np.array([2.0] * fell + [1.0] * rose + [3.0] * 4)
    after = np.array([1.0] * fell + [2.0] * rose + [3.0] * 4)
    found = signs(before, after)
    n = fell + rose
    assert (found.fell, found.rose) == (fell, rose)
    if n == 0:
        assert found.p is None
    else:
        tail = sum(comb(n, k) for k in range(max(fell, rose), n + 1)) / 2**n
        assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_every_pair_of_verdicts_goes_one_way_or_none() -> None:
    verdicts = [("singleton", 0), ("bounded", 1), ("bounded", 2), ("unbounded", 1), ("unbounded", 2)]
    for (i, before), (j, after) in itertools.product(enumerate(verdicts), repeat=2):
        found = change(table([before]), table([after]), PLACE, PLACE.label, SIZES)
        assert (found.more[0], found.less[0]) == (j < i, j > i)


def sentences(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> str:
    found: LayerChange = change(table(before), table(after), PLACE, PLACE.label, SIZES)
    return "\n".join(layer_sentences(found))


def test_sentences_claim_no_more_than_was_found() -> None:
    assert "as invertible as before: 0 of 4 samples" in sentences(BEFORE[:4], BEFORE[:4])
    some = sentences([("bounded", 2)] * 5, [("singleton", 0)] * 5)
    assert "no clear change: 5 of 5 samples leave less open than before, 0 leave more, no more of a difference" in some
    many = sentences([("bounded", 2)] * 6, [("singleton", 0)] * 6)
    assert "became more invertible: 6 of 6 samples leave less open than before, 0 leave more" in many
    assert "p = 0.031" in many
    assert "bounded → singleton: 6; samples 0, 1, 2, 3, 4 and 1 more" in many
    assert "became less invertible: 0 of 9" in sentences([("bounded", 2)] * 9, [("bounded", 3)] * 9)
    assert "2 of 4 samples decided in both leave less open" in sentences(BEFORE, AFTER)
    assert "1 are undecided in one of the audits" in sentences(BEFORE, AFTER)
    nothing = sentences([("undecided", UNDECIDED_DIMENSION)] * 3, [("singleton", 0)] * 3)
    assert "it cannot be said what changed: all 3 samples are undecided in one of the audits" in nothing
    assert "as invertible as before" not in nothing


def audited(folder: Path, network: Network, x: np.ndarray[Any, Any], *options: str) -> Path:
    folder.mkdir()
    network.save(folder / "net.safetensors")
    np.savez(folder / "data.npz", x=x)
    out = folder / "out"
    files = [str(folder / "net.safetensors"), str(folder / "data.npz")]
    assert main(["audit", *files, "--out", str(out), "--workers", "1", *options]) == 0
    return out


def dense(*sizes: int) -> Network:
    """A random network of dense layers with ReLUs behind all of them."""
    rng = np.random.default_rng(sum(sizes))
    stages = []
    for position, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        stages += [affine_stage(f"fc{position}", Dense(rng.standard_normal((outputs, inputs)), np.zeros(outputs)))]
        stages += [relu_stage(f"relu{position}", outputs)]
    return Network(tuple(stages), (sizes[0],))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Audits of two versions of a small network; the second has fewer samples."""
    folder = tmp_path_factory.mktemp("versions")
    options = ("--domain", "0,1", "--spectra", "6")
    old = audited(folder / "old", small_network(), small_data(12), *options)
    new = audited(folder / "new", small_network(seed=5), small_data(12), *options, "--samples", "10")
    return old, new


def test_two_audits_are_compared_sample_by_sample(versions: tuple[Path, Path], tmp_path: Path) -> None:
    """Against counts taken from the files with pyarrow alone."""
    old, new = versions
    assert main(["compare", str(old), str(new), "--out", str(tmp_path / "changes.json")]) == 0
    found = json.loads((tmp_path / "changes.json").read_text())
    assert found["samples"] == 10
    assert len(found["layers"]) == 6
    before, after = ({row[:3]: row for row in rows(folder)} for folder in versions)
    openness = {"singleton": 0, "bounded": 1, "unbounded": 2}
    for layer in found["layers"]:
        keys = [(sample, layer["layer"], layer["domain"]) for sample in range(10)]
        steps = [(before[key][4], after[key][4]) for key in keys]
        assert {(t["before"], t["after"]): t["samples"] for t in layer["transitions"]} == {
            step: steps.count(step) for step in steps
        }
        assert layer["kind_changed_at"] == [key[0] for key, (b, a) in zip(keys, steps, strict=True) if b != a]
        ranks = [[(openness[row[4]], row[5]) for row in map(each.get, keys)] for each in (before, after)]
        more, less = (sum(map(op, *ranks)) for op in (lambda b, a: a < b, lambda b, a: a > b))
        assert (layer["more_invertible"], layer["less_invertible"]) == (more, less)
        assert layer["sign_test_p"] == (binomtest(more, more + less).pvalue if more + less else None)
        assert layer["median_dimension"] == [np.median([rank[1] for rank in each]) for each in ranks]
    assert any(layer["more_invertible"] for layer in found["layers"])
    assert any(layer["less_invertible"] for layer in found["layers"])
    assert {stage["stage"] for stage in found["stages"]} == set(range(6))
    numbers = [{(r["sample"], r["stage"]): r for r in spectra_rows(each)} for each in versions]
    for stage in found["stages"]:
        old, new = ([each[sample, stage["stage"]] for sample in range(6)] for each in numbers)
        steps = [
            (after["condition_number"] / before["condition_number"], after["rank"] - before["rank"])
            for before, after in zip(old, new, strict=True)
        ]
        assert stage["samples"] == 6
        assert stage["median_ratio"] == pytest.approx(np.median([max(r, 1) if d < 0 else r for r, d in steps]))
        assert stage["fell"] == sum(r < 1 and d >= 0 for r, d in steps)
        assert stage["rose"] == sum(r > 1 and d <= 0 for r, d in steps)
        assert stage["median_nonzero_values"] == [np.median([r["rank"] for r in side]) for side in (old, new)]
        assert stage["nonzero_values_fell"] == sum(d < 0 for _, d in steps)
        assert stage["nonzero_values_rose"] == sum(d > 0 for _, d in steps)
    assert any(stage["nonzero_values_fell"] for stage in found["stages"])


def test_the_other_way_round_everything_is_mirrored(versions: tuple[Path, Path]) -> None:
    there = compare(pair(Results(versions[0]), Results(versions[1])))
    back = compare(pair(Results(versions[1]), Results(versions[0])))
    for one, other in zip(there.layers, back.layers, strict=True):
        assert (one.more == other.less).all()
        assert {step[::-1]: n for step, n in one.transitions.items()} == other.transitions
        assert one.openness.p == other.openness.p
    for one, other in zip(there.stages, back.stages, strict=True):
        assert (one.signs.fell, one.signs.rose) == (other.signs.rose, other.signs.fell)
        assert (one.nonzero_signs.fell, one.nonzero_signs.rose) == (other.nonzero_signs.rose, other.nonzero_signs.fell)


def test_the_terminal_says_what_changed(versions: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    old, new = versions
    assert main(["compare", str(old), str(new)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "10 samples, the same in both; layers and stages correspond by position",
        "layer 1 dense1, x >= 0: became less invertible: 0 of 10 samples leave less open than before, 10 leave more",
        "exact sign test: p = 0.002",
        "12 samples in",
        "Median condition numbers",
    ):
        assert words in printed
    assert "the same network" not in printed
    assert main(["compare", str(old), str(old)]) == 0
    printed = capsys.readouterr().out
    assert "the same network as before" in printed
    assert printed.count("as invertible as before: 0 of 12 samples leave less open than before, 0 leave more") == 6
    assert "p: how likely" not in printed


def test_the_tables_fit_a_terminal_of_80_columns(versions: tuple[Path, Path]) -> None:
    changes = compare(pair(Results(versions[0]), Results(versions[1])))
    console = Console(width=80, record=True)
    console.print(layers_table(changes.layers))
    console.print(stages_table(changes.stages))
    text = console.export_text()
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    assert "…" not in text
    assert "layer 0 dense0, box [0,1]" in text


def test_thresholds_on_what_changed(versions: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(folder) for folder in versions]
    assert main(["compare", *folders, "--fail-on", "less-invertible>0.5@layer1@nonnegative"]) == 1
    expected = "threshold failed: less-invertible>0.5@layer1@nonnegative: layer 1 dense1, x >= 0: 10 of 10 samples"
    assert expected in capsys.readouterr().out
    assert main(["compare", *folders, "--fail-on", "more-invertible>0.5@layer1@nonnegative"]) == 0
    assert main(["compare", *folders, "--fail-on", "condition-ratio.max>1e-9@stage5"]) == 1
    assert "max" in capsys.readouterr().out
    for threshold, words in (
        ("unbounded>0", "one of more-invertible"),
        ("less-invertible>0@layer4", "these are: layer 0 dense0, R^n"),
    ):
        assert main(["compare", *folders, "--fail-on", threshold]) == 2
        captured = capsys.readouterr()
        assert words in captured.err
        assert captured.out == ""


def test_directions_that_are_lost_are_no_improvement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The condition number falls from 1000 to 1, because three of six inputs no longer count."""
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 6)))[0]
    weights = {"poor": q * [1, 0.5, 0.2, 0.1, 0.01, 0.001], "lost": q * [1, 1, 1, 0, 0, 0]}
    folders: dict[str, str] = {}
    for name, weight in weights.items():
        stages = affine_stage("fc", Dense(weight, np.full(12, 5.0))), relu_stage("relu", 12)
        network = Network(stages, (6,))
        folders[name] = str(audited(tmp_path / name, network, small_data(8), "--spectra", "8"))
    capsys.readouterr()
    out = tmp_path / "changes.json"
    asked = ["--out", str(out), "--fail-on", "condition-ratio.min<1", "--fail-on", "less-invertible>0"]
    assert main(["compare", folders["poor"], folders["lost"], *asked]) == 1
    printed = capsys.readouterr().out
    assert "fewer singular values are told from zero than before at some samples of stage 0 fc (8); stage 1" in printed
    assert "6 → 3" in printed
    assert "less-invertible>0: layer 0 fc, R^n: 8 of 8 samples (100 %)" in printed
    assert "1 of 2 thresholds failed" in printed
    for stage in json.loads(out.read_text())["stages"]:
        assert stage["median_condition_number"] == pytest.approx([1000, 1])
        assert (stage["median_nonzero_values"], stage["nonzero_values_fell"]) == ([6, 3], 8)
        assert (stage["median_ratio"], stage["fell"], stage["rose"], stage["sign_test_p"]) == (1, 0, 0, None)
    assert main(["compare", folders["lost"], folders["poor"], "--fail-on", "condition-ratio>2"]) == 1
    printed = capsys.readouterr().out
    assert "median 1000 over 8 samples" in printed, "a threshold takes the number as it is"
    assert "told from zero" not in printed


def test_what_is_undecided_may_be_anything(
    versions: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    files = [str(versions[0].parent / name) for name in ("net.safetensors", "data.npz")]
    with monkeypatch.context() as patch:
        patch.setattr(fiberscope.audits.verdicts, "classify", failing)
        patch.setattr(fiberscope.audits.spectra, "spectra", failing)
        out = str(tmp_path / "out")
        assert main(["audit", *files, "--out", out, "--workers", "1", "--layers", "1", "--spectra", "2"]) == 2
    capsys.readouterr()
    thresholds = ["less-invertible>0@R^n", "more-invertible<1 sample@R^n", "condition-ratio>2@layer0"]
    asked = [word for threshold in thresholds for word in ("--fail-on", threshold)]
    assert main(["compare", str(versions[0]), out, *asked]) == 1
    printed = capsys.readouterr().out.splitlines()
    undecided = "0 of 12 samples (0 %){} 12 samples undecided in one of the audits{}"
    ratio = "nothing was measured: 2 samples without a condition number in one of the audits"
    assert [line.removeprefix("threshold failed: ") for line in printed if line.startswith("threshold failed")] == [
        f"{thresholds[0]}: layer 1 dense1, R^n: {undecided.format(', but', ' may miss it')}",
        f"{thresholds[1]}: layer 1 dense1, R^n: {undecided.format(';', '')}",
        f"{thresholds[2]}: stage 1 relu0: {ratio}",
    ]
    assert main(["compare", str(versions[0]), out, "--fail-on", "less-invertible>12 samples"]) == 2
    assert "a count of the 12 samples" in capsys.readouterr().err


def test_networks_of_different_widths_are_compared_by_position(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = small_data(8)
    narrow = audited(tmp_path / "narrow", dense(6, 5, 4), x, "--spectra", "2")
    wide = audited(tmp_path / "wide", dense(6, 20, 15, 3), x)
    capsys.readouterr()
    assert main(["compare", str(narrow), str(wide), "--out", str(tmp_path / "changes.json")]) == 0
    printed = capsys.readouterr().out
    assert "the number of its inputs differs (5 before, 20 now), so only kinds are compared" in printed
    assert f"only in {wide}: layer 2 fc2, R^n" in printed
    assert f"only in {narrow}: stage 0 fc0; stage 1 relu0; stage 2 fc1; stage 3 relu1" in printed
    assert "Median condition numbers" not in printed
    found = json.loads((tmp_path / "changes.json").read_text())
    assert [layer["sizes"] for layer in found["layers"][:1]] == [{"before": [6, 5], "after": [6, 20]}]
    first, second = found["layers"][0], found["layers"][2]
    assert second["median_dimension"] is None, "5 inputs before, 20 now"
    assert (first["domain"], first["more_invertible"]) == ("R^n", 8), "more rows than inputs leave less open"
    assert second["by_kind"] == {"more": second["more_invertible"], "less": second["less_invertible"]}
    assert main(["compare", str(narrow), str(wide), "--fail-on", "condition-ratio>2"]) == 2
    assert "only where an audit has singular values" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (small_data(4, seed=9), (), "4 of the first 4 samples differ, the first is sample 0"),
        (np.vstack([small_data(12)[:3], 1 - small_data(12)[3:]]), (), "the first is sample 3"),
        (small_data(12), ("--layers", "1"), "layers 0 were audited in"),
    ],
)
def test_what_cannot_be_compared_is_one_line_that_says_what_differs(
    x: np.ndarray[Any, Any],
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = audited(tmp_path / "one", small_network(), small_data(12), "--layers", "0")
    other = audited(tmp_path / "other", small_network(), x, *options)
    capsys.readouterr()
    assert main(["compare", str(one), str(other)]) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err
    assert captured.out == ""


def test_audits_of_samples_of_another_size_are_refused(
    versions: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = audited(tmp_path / "other", dense(4, 5), small_data(5)[:, :4])
    assert main(["compare", str(versions[0]), str(other)]) == 2
    assert "6 numbers a sample in data, 4 in data" in capsys.readouterr().err


def test_an_audit_that_is_not_finished_is_refused(
    versions: tuple[Path, Path], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Results(out)
    results.write_manifest(replace(results.manifest(), status="running"))
    assert main(["compare", str(versions[0]), str(out)]) == 2
    assert "is not finished" in capsys.readouterr().err
    assert main(["compare", str(versions[0]), "absent"]) == 2
    assert "absent" in capsys.readouterr().err
