"""An interrupted training ends with the weights of one that was not; only what is kept is used again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fiberscope.data.datasets import DataSet
from fiberscope.demo.training import Optimizer, Recipe, train_classifier
from fiberscope.errors import InputError, ResultsError
from fiberscope_paper import networks, recipes
from fiberscope_paper.checkpoints import Checkpoint
from fiberscope_paper.context import Context, Scale
from fiberscope_paper.networks import Training, given_network, trained_network
from fiberscope_paper.sources import UsedData, data_digest

RECIPES = (
    Recipe(epochs=4, batch_size=7, threads=1),
    Recipe(4, 7, 1e-3, threads=1, optimizer=Optimizer.RMSPROP, decay=0.1),
)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 10), nn.Softmax(dim=1))


def samples(count: int = 30, seed: int = 0) -> DataSet:
    x = np.random.default_rng(seed).uniform(size=(count, 5)).astype(np.float32)
    return DataSet("small", x, np.arange(count) % 10, "small numbers")


def fit(recipe: Recipe, checkpoint: Checkpoint | None = None, on_epoch: Any = None) -> list[torch.Tensor]:
    data = samples()
    module = train_classifier(small, data.x, data.y, recipe=recipe, on_epoch=on_epoch, checkpoint=checkpoint)
    return list(module.parameters())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.optimizer))
@pytest.mark.parametrize("last", [1, 2, 4])
def test_an_interrupted_training_continues_to_the_same_weights(recipe: Recipe, last: int, tmp_path: Path):
    whole, checkpoint, seen = fit(recipe), Checkpoint(tmp_path / "a.checkpoint", "same"), []

    def interrupt(epoch: int, epochs: int, loss: float) -> None:
        if epoch == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, checkpoint, interrupt)
    continued = fit(recipe, checkpoint, lambda epoch, *_: seen.append(epoch))
    assert seen == list(range(last + 1, recipe.epochs + 1))
    assert all(torch.equal(a, b) for a, b in zip(whole, continued, strict=True))
    other = fit(replace(recipe, decay=recipe.decay + 0.5))
    assert not torch.equal(whole[0], other[0]), "decay changes the steps"


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path):
    path = tmp_path / "a.checkpoint"
    fit(RECIPES[0], Checkpoint(path, "one"))
    with pytest.raises(ResultsError, match="another recipe"):
        fit(RECIPES[0], Checkpoint(path, "two"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ResultsError, match="damaged"):
        fit(RECIPES[0], Checkpoint(path, "one"))


def test_rmsprop_steps_are_those_of_keras():
    """One step on a single weight, by hand: g, then rho = 0.9 and the step divided by the root of the mean square."""
    recipe = Recipe(2, 10, 0.01, threads=1, optimizer=Optimizer.RMSPROP, decay=1.0)
    x, y = np.ones((10, 1), np.float32), np.zeros(10, np.int64)

    def architecture() -> nn.Sequential:
        return nn.Sequential(nn.Linear(1, 2, bias=False), nn.Softmax(dim=1))

    weights: list[np.ndarray] = []
    for epochs in (0, 1, 2):
        module = train_classifier(architecture, x, y, recipe=replace(recipe, epochs=epochs))
        weights.append(module[0].weight.detach().numpy().astype(np.float64).ravel())
    mean, w = np.zeros(2), weights[0]
    for step in range(2):
        shares = np.exp(w) / np.exp(w).sum()
        g = shares - np.array([1.0, 0.0])
        mean = 0.9 * mean + 0.1 * g**2
        w = w - 0.01 / (1.0 + step) * g / (np.sqrt(mean) + 1e-7)
        np.testing.assert_allclose(weights[step + 1], w, rtol=1e-5)


def test_recipe_for_cifar_is_that_of_the_keras_example():
    assert (recipes.CIFAR.epochs, recipes.CIFAR.batch_size) == (100, 32)
    assert (recipes.CIFAR.learning_rate, recipes.CIFAR.decay, recipes.CIFAR.flat) == (1e-4, 1e-6, False)


def kept(tmp_path: Path, recipe: Recipe = RECIPES[0], *, data: DataSet | None = None, **asked: Any) -> Any:
    reports: list[str] = []
    context = Context(tmp_path, **asked, progress=lambda task, *_: reports.append(task))
    used = UsedData("small", samples(20, 5), "MNIST", data or samples())
    network = trained_network(context, Training("small", "A small network", small, recipe, recipe), used)
    return network, len(reports)


def test_a_trained_network_is_kept_and_used_again(tmp_path: Path):
    first, trained = kept(tmp_path)
    again, none = kept(tmp_path)
    assert (trained, none) == (4, 0)
    assert first.network.digest() == again.network.digest() == first.facts["digest"]
    assert first.facts == again.facts
    assert first.description == again.description
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"], "no checkpoint is left"
    test = samples(20, 5)
    right = first.network(test.x).argmax(axis=1) == test.y
    assert (first.facts["accuracy"], first.facts["accuracy_samples"]) == (right.mean(), 20)
    assert "The paper trained" not in first.description


def test_the_user_may_name_the_number_of_epochs(tmp_path: Path):
    short, trained = kept(tmp_path, epochs=2)
    same, _ = kept(tmp_path / "other", replace(RECIPES[0], epochs=2))
    assert trained == short.facts["epochs"] == 2
    assert short.network.digest() == same.network.digest()
    assert "for 2 epochs" in short.description
    assert "The paper trained for 4 epochs in batches of 7" in short.description


def test_at_quick_scale_only_some_test_samples_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(networks, "QUICK_ACCURACY", 8)
    quick, _ = kept(tmp_path)
    test = samples(20, 5)
    right = quick.network(test.x[:8]).argmax(axis=1) == test.y[:8]
    assert (quick.facts["accuracy"], quick.facts["accuracy_samples"]) == (right.mean(), 8)
    assert "of the first 8 test samples" in quick.description
    full, _ = kept(tmp_path / "paper", scale=Scale.PAPER)
    assert full.facts["accuracy_samples"] == 20
    assert "of the 20 test samples" in full.description


@pytest.mark.parametrize(
    "other", [{"recipe": replace(RECIPES[0], epochs=3)}, {"seed": 1}, {"data": samples(seed=9)}], ids=str
)
def test_another_recipe_seed_or_data_is_another_network(other: dict[str, Any], tmp_path: Path):
    first, _ = kept(tmp_path)
    second, trained = kept(tmp_path, **other)
    assert trained > 0
    assert first.network.digest() != second.network.digest()
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_file_that_is_of_another_training_is_refused(tmp_path: Path):
    kept(tmp_path)
    (path,) = tmp_path.glob("*.json")
    kept(tmp_path / "other", seed=1)
    (other,) = (tmp_path / "other").glob("*.json")
    path.write_bytes(other.read_bytes())
    with pytest.raises(ResultsError, match="another training: seed 1 instead of 0"):
        kept(tmp_path)


BOTH = r"remove small-small-\w+\.json and small-small-\w+\.safetensors to train again"


@pytest.mark.parametrize("change", [{"accuracy": 0.99}, {"accuracy": None}, {"digest": "0" * 64}], ids=str)
def test_changed_facts_are_refused(change: dict[str, Any], tmp_path: Path):
    kept(tmp_path)
    (path,) = tmp_path.glob("*.json")
    facts = json.loads(path.read_text())
    assert facts.items() > kept(tmp_path)[0].facts.items(), "the seal is no fact"
    path.write_text(json.dumps({**facts, **change}, indent=2) + "\n")
    with pytest.raises(ResultsError, match=rf"\.json: .*got a damaged or changed file; {BOTH}"):
        kept(tmp_path)


def test_facts_that_are_incomplete_or_damaged_are_refused(tmp_path: Path):
    kept(tmp_path)
    (path,) = tmp_path.glob("*.json")
    facts = json.loads(path.read_text())
    del facts["accuracy"]
    for text in (json.dumps(facts, indent=2) + "\n", "{", "[]", path.read_text()[:-20]):
        path.write_text(text)
        with pytest.raises(ResultsError, match=BOTH):
            kept(tmp_path)
    path.unlink()
    again, trained = kept(tmp_path)
    assert trained == 4
    assert "of the 20 test samples correctly" in again.description


def test_weights_that_are_not_those_that_were_kept_are_refused(tmp_path: Path):
    kept(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    kept(tmp_path / "other", seed=1)
    (other,) = (tmp_path / "other").glob("*.safetensors")
    for data, got in ((other.read_bytes(), "another one"), (path.read_bytes()[:100], "a damaged file"), (b"", "a dam")):
        path.write_bytes(data)
        with pytest.raises(ResultsError, match=rf"\.safetensors: .*, got {got}.*; {BOTH}"):
            kept(tmp_path)
    path.unlink()
    with pytest.raises(ResultsError, match=rf"\.safetensors: .*, got nothing of that name; {BOTH}"):
        kept(tmp_path)


def test_a_network_of_a_file_is_said_to_classify_samples(tmp_path: Path):
    network = kept(tmp_path)[0].network
    network.save(tmp_path / "model.safetensors")
    context = Context(tmp_path, model=tmp_path / "model.safetensors")
    described = given_network(context, UsedData("small", samples(20, 5), "MNIST", None), small).description
    assert re.search(r"it classifies \d+\.\d% of the 20 test samples correctly\.$", described)


def test_data_that_do_not_fit_are_refused(tmp_path: Path):
    wrong = DataSet("wide", np.zeros((30, 6), np.float32), np.arange(30) % 10, "")
    with pytest.raises(InputError, match="samples of 5 numbers"):
        kept(tmp_path, data=wrong)
    with pytest.raises(InputError, match="classes from 0 to 9"):
        kept(tmp_path, data=replace(samples(), y=np.arange(30)))


def test_digest_of_data_depends_on_samples_and_classes():
    digests = {data_digest(data) for data in (samples(), samples(seed=1), replace(samples(), y=np.arange(30) % 9))}
    assert len(digests) == 3
    assert data_digest(samples()) == data_digest(samples())
