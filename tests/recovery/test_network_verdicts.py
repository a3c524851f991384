"""Verdicts about the map from a network's input to a layer, held against all inputs with the same features."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

import fiberscope as fs
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from small_fibres import has_another


def chain(rng: np.random.Generator, sizes: list[int], clip: float | None = None, bias: int = 2) -> fs.Network:
    """Whole weights from -2 to 2, some rows zero, doubled or opposite."""
    stages: list[Stage] = []
    for number, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        weight = rng.integers(-2, 3, size=(outputs, inputs)).astype(float)
        if outputs > 2 and rng.random() < 0.5:
            weight[0] = rng.choice([0.0, 1.0, -1.0]) * weight[1]
        stages.append(
            affine_stage(f"a{number}", Dense(weight, rng.integers(-bias, bias + 1, size=outputs).astype(float)))
        )
        high = None if clip is None else Pointwise(PointwiseKind.CLIP, outputs, 0.0, clip)
        stages.append(relu_stage(f"r{number}", outputs) if high is None else Stage(f"r{number}", activation=high))
    return fs.Network(tuple(stages), (sizes[0],))


def residual(rng: np.random.Generator) -> fs.Network:
    """Two inputs, a block ``ReLU(W2 ReLU(W1 h) + h)`` behind a layer, and a layer behind that."""

    def dense(outputs: int, inputs: int) -> Dense:
        weight = rng.integers(-2, 3, size=(outputs, inputs)).astype(float)
        return Dense(weight, rng.integers(-1, 2, size=outputs).astype(float))

    stages = (
        affine_stage("a", dense(4, 2)),
        relu_stage("ra", 4),
        affine_stage("b", dense(3, 4)),
        relu_stage("rb", 3),
        Stage("c", (dense(4, 3), Dense(np.eye(4), np.zeros(4))), sources=(3, 1)),
        relu_stage("rc", 4),
        affine_stage("d", dense(3, 4)),
        relu_stage("rd", 3),
    )
    return fs.Network(stages, (2,))


def pooled(rng: np.random.Generator) -> fs.Network:
    """Two inputs, a layer, a maximum over pairs of it, and another layer."""
    first = Dense(rng.integers(-2, 3, size=(6, 2)).astype(float), rng.integers(-2, 3, size=6).astype(float))
    last = Dense(rng.integers(-2, 3, size=(4, 3)).astype(float), rng.integers(-2, 3, size=4).astype(float))
    index = np.array([[0, 1], [2, 3], [4, 5]])
    stages = (
        affine_stage("a", first),
        relu_stage("ra", 6),
        Stage("pool", activation=Maximum(index, 6)),
        affine_stage("b", last),
        relu_stage("rb", 4),
    )
    return fs.Network(stages, (2,))


def shapes(seed: int) -> fs.Network:
    rng = np.random.default_rng(seed)
    match seed % 6:
        case 0:
            return chain(rng, [2, 4, 4])
        case 1:
            return chain(rng, [2, 5, 4, 3], bias=0)
        case 2:
            return chain(rng, [2, 4, 4], clip=2.0)
        case 3:
            return residual(rng)
        case 4:
            return pooled(rng)
        case _:
            return chain(rng, [3, 6, 5])


def verdicts(net: fs.Network, X: Any, domain: Any = None, **options: Any) -> np.ndarray[Any, Any]:
    table = fs.network_verdicts(net, X, domain=domain, **options)
    layers = len(net.relu_layers)
    assert table["layer"].to_pylist() == list(range(layers)) * len(X)
    return np.array(table["verdict"].to_pylist(), dtype=object).reshape(len(X), layers)


def held_against_all_regions(seeds: range) -> Counter[tuple[str, bool]]:
    """How often each verdict was right; counted by verdict and truth."""
    found: Counter[tuple[str, bool]] = Counter()
    for seed in seeds:
        net = shapes(seed)
        X = np.unique(np.random.default_rng(seed).integers(-2, 3, size=(3, net.inputs)), axis=0).astype(float)
        judged = verdicts(net, X, fs.Box(-2, 2))
        for x, row in zip(X, judged, strict=True):
            for layer, verdict in enumerate(row):
                another = has_another(net, x, layer, -2, 2)
                assert (verdict, another) not in {("recoverable", True), ("not recoverable", False)}, (seed, layer, x)
                found[verdict, another] += 1
    return found


def test_verdicts_agree_with_all_regions():
    found = held_against_all_regions(range(60))
    decided = sum(count for (verdict, _), count in found.items() if verdict != "undecided")
    assert decided / found.total() > 0.7
    assert found["recoverable", False] > 20
    assert found["not recoverable", True] > 20
