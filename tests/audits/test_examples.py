"""Invariance examples on disk, and the command that makes them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.audits.example_store import ExampleStore
from fiberscope.audits.examples import ExampleRequest, make_examples
from fiberscope.audits.subject import Subject
from fiberscope.cli import main
from fiberscope.invariance.walk import walk_regions

SIDE = 6


@pytest.fixture(name="module", scope="module")
def _module():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(SIDE**2, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)
    ).eval()  # fmt: skip


@pytest.fixture(name="subject", scope="module")
def _subject(module):
    x = np.random.default_rng(0).uniform(size=(12, 1, SIDE, SIDE))
    network = fs.from_torch(module, input_shape=(1, SIDE, SIDE))
    return Subject(network, x, np.arange(12) % 3, "a small network", "noise", "uniform noise")


def features(module, X, stage: int) -> np.ndarray:
    with torch.no_grad():
        return module[: stage + 2](torch.tensor(X, dtype=torch.float32)).numpy()  # the stages begin behind Flatten


def test_examples_have_the_features_of_their_sources_in_torch(subject, module):
    examples = make_examples(subject, ExampleRequest(layer=1, count=4))
    assert len(examples) == 4
    changes = [example.facts.distance for example in examples]
    assert changes == sorted(changes, reverse=True)
    for example in examples:
        facts = example.facts
        np.testing.assert_array_equal(example.source, subject.x[facts.source])
        np.testing.assert_array_equal(example.target, subject.x[facts.target])
        assert facts.source_class != facts.target_class
        at_x, at_source = (features(module, each[None], 3) for each in (example.x, example.source))
        assert np.abs(at_x - at_source).max() <= 1e-5 * np.abs(at_source).max()
        assert facts.distance == pytest.approx(np.linalg.norm(example.x - example.source))
        assert facts.proved
        assert facts.original
        assert facts.original_units <= 4
        way = example.target - example.source
        assert facts.reached == pytest.approx(float((way * (example.x - example.source)).sum() / np.square(way).sum()))


def test_a_walk_goes_through_several_regions_with_the_same_features(subject, module):
    (one,) = make_examples(subject, ExampleRequest(layer=1, source=2, target=4))
    (walk,) = make_examples(subject, ExampleRequest(layer=1, source=2, target=4, regions=30))
    assert walk.facts.value >= one.facts.value - 1e-9
    assert len(walk.corners) == walk.facts.regions + 1
    for first, second in zip(walk.corners, walk.corners[1:], strict=False):
        points = np.linspace(first, second, 20)
        found = features(module, points, 3)
        np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), atol=1e-5)
    assert walk.facts.agrees
    assert walk.facts.proved
    assert walk.facts.bound_over == ""


@pytest.mark.exhaustive
def test_the_best_of_all_regions(subject, module):
    (walk,) = make_examples(subject, ExampleRequest(layer=1, source=2, target=4, regions=30))
    (best,) = make_examples(subject, ExampleRequest(layer=1, source=2, target=4, regions="all"))
    assert best.facts.bound_over == "any region"
    assert walk.facts.value - 1e-6 <= best.facts.value <= best.facts.bound
    assert best.facts.bound == pytest.approx(best.facts.value, rel=1e-6)
    assert best.facts.proved
    assert best.facts.connected
    found = features(module, best.corners, 3)
    np.testing.assert_allclose(found, np.broadcast_to(found[:1], found.shape), atol=1e-5)


def test_an_optimum_without_a_way_is_shown_without_a_slider(subject, module, monkeypatch, tmp_path: Path, capsys):
    short = partial(walk_regions, max_plateau=1)

    def stays(*given, max_regions, **options):
        return short(*given, max_regions=1, **options)

    monkeypatch.setattr("fiberscope.audits.examples.walk_regions", stays)
    out = tmp_path / "out"
    options = ["--out", str(out), "--source", "2", "--target", "4", "--layer", "1", "--regions", "all"]
    assert main(["invariance", *model_and_data(module, tmp_path), *options, "--domain", "0,1"]) == 0
    assert "no way to which is known" in capsys.readouterr().out
    (example,) = ExampleStore(out / "examples").read()
    assert not example.facts.connected
    assert 'type="range"' not in (out / "invariance.html").read_text(encoding="utf-8")


def test_features_may_differ_by_a_number_and_audits_prove_it_again(module, tmp_path: Path, capsys):
    given, out = model_and_data(module, tmp_path), tmp_path / "out"
    assert main(["audit", *given, "--out", str(out), "--samples", "4"]) == 0
    pair = ["--source", "3", "--layer", "1", "--domain", "0,1", "--out", str(out)]
    for target, within in (("4", "1e-3"), ("5", "float32")):
        assert main(["invariance", *given, *pair, "--target", target, "--within", within]) == 0
        said = capsys.readouterr().out
        assert "nearest l2" in said, "these are pictures"
        assert "is allowed" in said
        assert "  proved: " in said
    assert main(["verify", str(out)]) == 0
    store = ExampleStore(out / "examples")
    first, second = store.read()
    assert (first.facts.within, float(first.within), second.facts.within) == ("0.001", 0.001, "float32")
    assert second.within.shape == (8,)
    for changed in (
        replace(first, within=np.asarray(1.0)),
        replace(second, within=2.0 * second.within),
        replace(first, facts=replace(first.facts, within="0.0001")),
        replace(first, corners=np.stack([first.source, np.clip(first.x + 0.01, 0, 1)])),
    ):
        store.write(changed)
        assert main(["verify", str(out)]) != 0
        store.write(first)
        store.write(second)
    assert main(["verify", str(out)]) == 0


def test_what_is_stored_comes_back(subject, tmp_path: Path):
    examples = make_examples(subject, ExampleRequest(count=2))
    store = ExampleStore(tmp_path / "examples")
    paths = [store.write(example) for example in examples]
    back = {(example.facts.source, example.facts.target): example for example in store.read()}
    assert len(back) == 2 == len(set(paths))
    for example in examples:
        stored = back[example.facts.source, example.facts.target]
        assert stored.facts == example.facts
        for name in ("source", "target", "corners", "within"):
            np.testing.assert_array_equal(getattr(stored, name), getattr(example, name))


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_named(subject, tmp_path: Path, damage):
    store = ExampleStore(tmp_path)
    path = store.write(make_examples(subject, ExampleRequest())[0])
    path.write_bytes(path.read_bytes()[:100] if damage == "cut" else b"no archive")
    with pytest.raises(fs.ResultsError, match=f"{path.name} is damaged"):
        store.read()


def test_pictures_of_another_shape_are_damage(subject, tmp_path: Path):
    example = make_examples(subject, ExampleRequest())[0]
    store = ExampleStore(tmp_path)
    store.write(replace(example, target=np.zeros((2, 2))))
    with pytest.raises(fs.ResultsError, match="differ in shape"):
        store.read()


def model_and_data(module, folder: Path) -> list[str]:
    model, data = folder / "model.pt2", folder / "noise.npz"
    torch.export.save(torch.export.export(module, (torch.zeros(1, 1, SIDE, SIDE),)), model)
    x = np.random.default_rng(0).uniform(size=(12, 1, SIDE, SIDE)).astype(np.float32)
    np.savez(data, x=x, y=np.arange(12) % 3)
    return [str(model), str(data), "--trust-model"]


def test_the_command_writes_examples_and_a_page(module, tmp_path: Path, capsys):
    out = tmp_path / "out"
    options = ["--out", str(out), "--source", "3", "--target", "4", "--domain", "0,1"]
    assert main(["invariance", *model_and_data(module, tmp_path), *options]) == 0
    said = capsys.readouterr().out
    assert "sample 3 (class 0) towards sample 4 (class 1)" in said
    assert "proved: " in said
    assert ", in float" in said
    (example,) = ExampleStore(out / "examples").read()
    assert (example.facts.source, example.facts.target) == (3, 4)
    page = (out / "invariance.html").read_text(encoding="utf-8")
    assert 'type="range"' in page
    assert page.count("data:image/png") == 4 + 2 + len(example.corners)


def test_the_output_of_a_network_that_has_no_layer_to_judge(tmp_path: Path, capsys):
    """An audit of it has nothing to judge, but inputs with the same output are found."""
    pooled = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear((SIDE // 2) ** 2, 3)).eval()
    _, data, _ = model_and_data(pooled, tmp_path)
    fs.from_torch(pooled, (1, SIDE, SIDE)).save(tmp_path / "model.safetensors")
    given = [str(tmp_path / "model.safetensors"), data, "--domain", "0,1"]
    assert main(["audit", *given, "--out", str(tmp_path / "audit")]) == 2
    assert "nothing to audit: the network has no layer to judge" in capsys.readouterr().err
    pair = ["--source", "3", "--target", "4", "--out", str(tmp_path / "out")]
    assert main(["invariance", *given, *pair]) == 2
    assert "layer: expected 'output', as the network has no layer to judge, got 0" in capsys.readouterr().err
    assert main(["invariance", *given, *pair, "--layer", "output"]) == 0
    (example,) = ExampleStore(tmp_path / "out" / "examples").read()
    assert example.facts.proved
    assert example.facts.distance > 0.1
    with torch.no_grad():
        at_x, at_source = (
            pooled(torch.tensor(each[None], dtype=torch.float32)) for each in (example.x, example.source)
        )
    np.testing.assert_allclose(at_x, at_source, atol=1e-5)


def test_an_audit_of_the_same_network_shows_the_examples(module, tmp_path: Path):
    given, out = model_and_data(module, tmp_path), tmp_path / "out"
    assert main(["audit", *given, "--out", str(out), "--samples", "4"]) == 0
    assert 'type="range"' not in (out / "report.html").read_text(encoding="utf-8")
    assert main(["invariance", *given, "--out", str(out), "--count", "2"]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data-example>") == 2
    assert 'id="examples"' not in page, "each is told with the sample at which it begins"
    assert main(["audit", *given, "--out", str(out), "--samples", "4", "--resume"]) == 0
    assert (out / "report.html").read_text(encoding="utf-8").count("data-example>") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "12"], "--source: expected a sample from 0 to 11"),
        (["--target", "3"], "--source: expected a sample"),
        (["--layer", "first"], "--layer: expected a position"),
        (["--layer", "7"], "a number from 0 to 1"),
        (["--objective", "best"], "inner_product"),
        (["--within", "-1"], "--within: expected float32, float16, int8, or a number of at least 0"),
        (["--within", "tight"], "--within: expected float32, float16, int8, or a number of at least 0"),
        (["--count", "0"], "--count: expected at least 1"),
        (["--regions", "0"], "--regions: expected a number of at least 1, or all"),
        (["--source", "0", "--target", "1", "--domain", "0,0.5"], "coordinate"),
    ],
)
def test_bad_arguments_are_one_clear_line(module, tmp_path: Path, capsys, options, message):
    status = main(["invariance", *model_and_data(module, tmp_path), "--out", str(tmp_path / "out"), *options])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fiberscope: error")]
    assert status == 2
    assert len(errors) == 1
    assert message in errors[0]
    assert not (tmp_path / "out").exists()
