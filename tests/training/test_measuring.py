"""Measurements of layers while they are trained: against what each quantity is by itself."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from fiberscope.errors import InputError
from fiberscope.training import Watch, measure, plot
from penalised import batch, deep, dense

ROOT = Path(__file__).parents[2]


def test_shares_are_those_of_verdicts():
    module = dense(6, 9)
    with torch.no_grad():
        module[0].bias[0] = -100.0
    module.train()
    X = batch(module, 8).numpy()
    (row,) = measure(module, X, step=3, domain=fs.Box(0, 1)).to_pylist()
    assert module.training
    network = fs.from_torch(module.eval())
    layer = network.relu_layers[0]
    inside, free = ([str(p.kind) for p in fs.classify(layer, X, domain).preimages] for domain in (fs.Box(0, 1), None))
    assert (row["step"], row["layer"], row["undecided"]) == (3, 0, 0)
    assert row["singletons"] == inside.count("singleton") / 8
    assert row["bounded"] == (free.count("bounded") + free.count("singleton")) / 8
    A, z = layer.weight, X @ layer.weight.T + layer.bias
    assert row["dead_units"] == np.mean((z <= 0).all(axis=0)) >= 1 / 9
    conditions = [np.linalg.cond(A[v > 0]) if (v > 0).sum() >= 6 else np.inf for v in z]
    assert row["condition_number"] == pytest.approx(np.median(conditions))
    assert row["stability_radius"] == pytest.approx(np.median([fs.stability_radius(network, x, 1).radius for x in X]))


def test_smooth_activations_count_with_their_slopes():
    module = deep()
    X = batch(module, 4).numpy()
    rows = measure(module, X).to_pylist()
    assert [row["layer"] for row in rows] == [0, 1, 2]
    network = fs.from_torch(module.eval())
    inputs = network.layer_input(2, X)
    layer = network.relu_layers[2]
    # 9 units on 40 inputs: no layer of full rank; the one before, a leaky ReLU, is
    assert rows[2]["condition_number"] == np.inf
    assert layer.inputs == inputs.shape[1] == 40
    z = network.layer_input(1, X) @ network.relu_layers[1].weight.T + network.relu_layers[1].bias
    slopes = np.where(z > 0, 1.0, 0.01)
    expected = np.median([np.linalg.cond(s[:, None] * network.relu_layers[1].weight) for s in slopes])
    assert rows[1]["condition_number"] == pytest.approx(expected)
    assert rows[1]["dead_units"] == 0.0


def test_a_watch_measures_at_its_steps():
    module = dense(6, 9)
    watch = Watch(module, batch(module, 3), steps=[0, 4], domain=fs.Box(0, 1))
    assert [step for step in range(6) if watch(step)] == [0, 4]
    assert watch.table["step"].to_pylist() == [0, 4]
    assert repr(watch) == "Watch(3 samples, 2 rows)"
    every = Watch(module, batch(module, 3), steps=2)
    assert [step for step in range(5) if every(step)] == [0, 2, 4]


def test_a_plot_has_a_panel_per_quantity_and_a_curve_per_layer():
    module = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 30), nn.ReLU())
    watch = Watch(module, torch.rand(3, 3), steps=1)
    for step in range(2):
        watch(step)
    figure = plot(watch.table)
    assert len(figure.axes) == 6
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 2]


def test_bad_input_is_refused(unchecked: None):
    module = dense()
    with pytest.raises(InputError, match="layers"):
        measure(module, batch(module), layers=1)
    with pytest.raises(InputError, match="steps"):
        Watch(module, batch(module), steps=0)
    with pytest.raises(InputError, match="step"):
        measure(module, batch(module), step=-1)


def test_the_adapters_of_the_example(capsys: pytest.CaptureFixture[str]):
    example = runpy.run_path(str(ROOT / "examples" / "watching.py"))
    example["main"]()
    assert "step 20: bounded" in capsys.readouterr().out
    callback = example["LightningWatch"](batch(dense(), 2), steps=1, layers=0)
    callback.on_train_start(None, dense())
    callback.on_train_batch_end(SimpleNamespace(global_step=7), None, None, None, 0)
    assert callback.watch.table["step"].to_pylist() == [7]


def test_what_is_not_proved_counts_as_neither(monkeypatch: pytest.MonkeyPatch):
    module = dense(6, 24)
    x = batch(module, 4)
    (before,) = measure(module, x, layers=0).to_pylist()
    assert before["undecided"] == 0
    assert before["bounded"] > 0
    monkeypatch.setattr("fiberscope.preimages.classify.Classification.verify", lambda self: np.zeros(4, dtype=bool))
    (after,) = measure(module, x, layers=0).to_pylist()
    assert (after["singletons"], after["bounded"], after["undecided"]) == (0, 0, 1)
