"""Accuracy, and warnings about data that a network was not made for: in terminal, manifest and page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.audits.accuracy import fit_of
from fiberscope.audits.subject import Subject
from fiberscope.cli import main
from fiberscope.data.datasets import load_data
from fiberscope.network.network import Network

CLASSES = 4


def reader() -> Network:
    """The class of a sample is the number of its largest coordinate."""
    module = nn.Sequential(nn.Linear(CLASSES, CLASSES), nn.ReLU(), nn.Linear(CLASSES, CLASSES, bias=False)).eval()
    with torch.no_grad():
        for layer in (module[0], module[2]):
            layer.weight.copy_(torch.eye(CLASSES))
        module[0].bias.fill_(0.5)
    return fs.from_torch(module)


def samples(count: int, scale: float = 1.0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x = np.random.default_rng(0).random((count, CLASSES))
    return (x / x.max() * scale).astype(np.float32), x.argmax(axis=1).astype(np.int64)


def fit(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any] | None, network: Network | None = None) -> Any:
    return fit_of(Subject(network or reader(), x, y, "model", "data", ""))


def test_the_count_is_that_of_the_largest_output() -> None:
    x, y = samples(20)
    wrong = np.arange(20) < 7
    assert fit(x, y).correct == 20
    found = fit(x, np.where(wrong, (y + 1) % CLASSES, y))
    assert (found.correct, found.warnings) == (13, ())


def test_nothing_is_said_of_what_cannot_be_compared() -> None:
    x, y = samples(20)
    several = fs.from_torch(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()).eval(), (1, 2, 2))
    for network, labels in ((None, None), (None, 2 * y), (None, y - 1), (several, y)):
        found = fit(x if network is None else x.reshape(20, 1, 2, 2), labels, network)
        assert (found.correct, found.warnings) == (None, ())


@pytest.mark.parametrize(("count", "warned"), [(9, False), (10, True), (40, True)])
def test_chance_is_warned_about_where_there_are_enough_samples(count: int, warned: bool) -> None:
    x, y = samples(count)
    found = fit(x, (y + 1) % CLASSES)
    assert found.correct == 0
    assert any("hardly does better than chance" in warning for warning in found.warnings) == warned


def test_labels_that_begin_at_one_are_warned_about() -> None:
    x, y = samples(20)
    found = fit(x, y + 1)
    assert found.correct is None
    assert "the labels are from 1 to 4, and the network's outputs are numbered from 0 to 3" in found.warnings[0]


@pytest.mark.parametrize(("wrong", "warned"), [(0, False), (1, False), (9, False), (10, True), (30, True)])
def test_one_class_for_all_is_warned_about_where_others_are_many(wrong: int, warned: bool) -> None:
    """A few samples of another class may be taken for the common one by the best of networks."""
    x, _ = samples(60)
    x[:, 0] = 2.0
    found = fit(x, (np.arange(60) < wrong).astype(np.int64))
    assert found.correct == 60 - wrong
    assert any("gives the same class for all samples" in warning for warning in found.warnings) == warned


@pytest.mark.parametrize(("right", "warned"), [(0, True), (1, True), (2, False), (12, False)])
def test_far_above_chance_is_not_near_it_among_many_classes(right: int, warned: bool) -> None:
    """Of 60 samples among 100 classes, chance gets 0.6 right."""
    module = nn.Linear(100, 100, bias=False).eval()
    module.weight.data.copy_(torch.eye(100))
    x, y = np.eye(100, dtype=np.float32)[:60], np.arange(60)
    found = fit(x, np.where(y < right, y, (y + 1) % 100), fs.from_torch(module))
    assert found.correct == right
    assert any("hardly does better than chance" in warning for warning in found.warnings) == warned


def test_zeros_and_ones_that_were_taken_for_pixels_are_warned_about(tmp_path: Path) -> None:
    x, y = samples(20)
    for kind, warned in ((np.uint8, True), (np.int64, True), (np.float32, False)):
        np.savez(tmp_path / "data.npz", x=(x > 0.5).astype(kind), y=y)
        warnings = fit(load_data(tmp_path / "data.npz").x, None).warnings
        assert any("divided by 255" in warning for warning in warnings) == warned


@pytest.mark.parametrize(
    ("x", "warned"),
    [
        (samples(20, 255.0)[0], True),
        (np.round(samples(20, 255.0)[0]), True),
        (samples(20, 200.0)[0].astype(np.float64), True),
        (samples(20, 1.0)[0], False),
        (samples(20, 255.0)[0] - 127.5, False),
        (samples(20, 1000.0)[0], False),
        (samples(20, 16.0)[0], False),
    ],
)
def test_floats_that_fill_a_byte_are_warned_about(x: np.ndarray[Any, Any], warned: bool) -> None:
    assert bool(fit(x, None).warnings) == warned


def test_it_stands_in_the_terminal_the_manifest_and_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = samples(12, 255.0)
    reader().save(tmp_path / "model.safetensors")
    np.savez(tmp_path / "data.npz", x=x, y=(y + 1) % CLASSES)
    given, out = [str(tmp_path / "model.safetensors"), str(tmp_path / "data.npz")], tmp_path / "out"
    assert main(["audit", *given, "--out", str(out)]) == 0
    told = ("0 of 12 samples correctly, 0.0%", "better than chance", "the data are floats from")
    audited = capsys.readouterr()
    assert audited.err.count("warning: ") == 2
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["correct"], len(manifest["warnings"])) == (0, 2)
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text()
    for text in (audited.out, capsys.readouterr().out, page):
        assert all(words in text for words in told)
    assert main(["invariance", *given, "--source", "0", "--target", "1", "--out", str(tmp_path / "pairs")]) == 0
    assert "warning: the data are floats from" in capsys.readouterr().out
    assert "the data are floats from" in (tmp_path / "pairs" / "invariance.html").read_text()


def test_a_network_of_others_on_images_of_others(external: Path) -> None:
    """A network that others trained on CIFAR-10, on images scaled as in its training, and on others."""
    stored = np.load(external / "data" / "cifar10_test_83.npz")
    pixels, y = stored["x"].astype(np.float32), stored["y"].astype(np.int64)
    network = fs.load(external / "models" / "cifar_base_kw.onnx")
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
    right, unscaled, wrong = (fit(x, y, network) for x in ((pixels / 255 - mean) / 0.225, pixels, pixels / 255))
    assert right.correct > 60
    assert right.warnings == ()
    assert "floats from 0 to 255" in unscaled.warnings[0]
    assert len(wrong.warnings) == 1
    assert "the same class for all samples" in wrong.warnings[0]
