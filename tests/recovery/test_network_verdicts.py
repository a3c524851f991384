"""Verdicts about the map from a network's input to a layer, held against all inputs with the same features."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from small_fibres import has_another


def chain(rng: np.random.Generator, sizes: list[int], clip: float | None = None, bias: int = 2) -> fs.Network:
    """Whole weights from -2 to 2, some rows zero, doubled or opposite."""
    stages: list[Stage] = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
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


@pytest.mark.exhaustive
def test_verdicts_agree_with_all_regions():
    found = held_against_all_regions(range(12))
    decided = sum(count for (verdict, _), count in found.items() if verdict != "undecided")
    assert decided / found.total() > 0.7
    assert found["recoverable", False] > 5
    assert found["not recoverable", True] > 5


@pytest.mark.exhaustive
@pytest.mark.parametrize("start", range(12, 372, 20))
def test_verdicts_about_more_networks_agree_with_all_regions(start: int):
    held_against_all_regions(range(start, start + 3))


def layers(*maps: tuple[Any, Any]) -> fs.Network:
    """Affine maps with a ReLU behind each."""
    stages = [
        stage
        for number, (weight, bias) in enumerate(maps)
        for stage in (affine_stage(f"a{number}", Dense(weight, bias)), relu_stage(f"r{number}", len(bias)))
    ]
    return fs.Network(tuple(stages), (len(maps[0][0][0]),))


SUM = np.array([[0.1, 0.2], [0.2, 0.1]])
"""At (1, 1) float64 rounds both sums up: exactly they are 2.8e-17 smaller."""


def test_a_singleton_at_the_rounded_activation_is_none_of_the_network():
    s = 0.1 + 0.2
    net = layers((SUM, np.zeros(2)), ([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [-s, -s, 2 * s]))
    assert str(fs.preimage(net.relu_layers[1], x=net.layer_input(1, [[1.0, 1.0]])[0]).kind) == "singleton"
    assert list(verdicts(net, [[1.0, 1.0]])[0]) == ["recoverable", "undecided"]
    assert verdicts(net, [[1.0, 1.0]], fs.Box(0, 2))[0, 1] != "recoverable"


def test_without_rounding_a_tie_proves_as_much():
    net = layers((np.eye(2), np.zeros(2)), ([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [0.0, 0.0, 0.0]))
    zero = np.zeros((1, 2))
    assert list(verdicts(net, zero, fs.NonNegative())[0]) == ["recoverable", "recoverable"]
    moved = layers((np.eye(2), np.zeros(2)), ([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [-0.1, -0.1, 0.3]))
    assert verdicts(moved, [[0.1, 0.1]], fs.NonNegative())[0, 1] != "not recoverable"


def test_units_that_are_certain_serve_where_the_stored_pattern_has_more():
    """The first unit is positive at the stored activation, by a rounding; the two others settle the input."""
    rows, bias = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0]]), np.array([-0.3, 0.0, 1.0])
    net = layers((SUM, np.zeros(2)), (rows, bias))
    assert 0 < float((rows @ net.layer_input(1, [[1.0, 1.0]])[0] + bias)[0]) < 1e-16
    assert list(verdicts(net, [[1.0, 1.0]])[0]) == ["recoverable", "recoverable"]


@pytest.mark.parametrize("exponent", [-40, 30])
def test_verdicts_do_not_depend_on_units(exponent: int):
    rng, scale = np.random.default_rng(4), 2.0**exponent
    maps = [(rng.standard_normal((6, 3)), rng.standard_normal(6)), (rng.standard_normal((12, 6)), np.zeros(12))]
    X = rng.uniform(size=(8, 3)).round(1)
    plain = verdicts(layers(*maps), X, fs.Box(0, 1))
    (first, bias), (second, zero) = maps
    inputs = verdicts(layers((first / scale, bias), (second, zero)), X * scale, fs.Box(0, scale))
    units = verdicts(layers((first * scale, bias * scale), (second / scale, zero)), X, fs.Box(0, 1))
    assert (plain == inputs).all()
    assert (plain == units).all()
    assert set(plain.ravel()) >= {"recoverable", "not recoverable"}


def test_what_several_paths_lead_to_is_not_said_of_one_of_them():
    """Two layers beside each other: that the first mixes inputs up says nothing of the second."""
    stages = (
        Stage("a", (Dense([[1.0, 0.0]], [0.0]),), sources=(-1,)),
        relu_stage("ra", 1),
        Stage("b", (Dense(np.eye(2), np.ones(2)),), sources=(-1,)),
        relu_stage("rb", 2),
    )
    net = fs.Network(stages, (2,))
    assert list(verdicts(net, [[0.5, 0.5]], fs.Box(0, 1))[0]) == ["not recoverable", "recoverable"]


def test_smooth_activations_are_held_and_never_guessed():
    tanh = Stage("t", activation=Pointwise(PointwiseKind.TANH, 3))
    wide = Dense([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.zeros(3))
    net = fs.Network(
        (affine_stage("a", wide), tanh, affine_stage("b", Dense(np.eye(3), np.ones(3))), relu_stage("r", 3)), (2,)
    )
    assert list(verdicts(net, [[0.5, 0.25]])[0]) == ["recoverable", "undecided"]
    one = Dense([[1.0, 1.0]], [0.0])
    narrow = fs.Network((affine_stage("a", one), Stage("t", activation=Pointwise(PointwiseKind.TANH, 1))), (2,))
    assert list(verdicts(narrow, [[0.5, 0.25]])[0]) == ["not recoverable"]


def test_layers_together_tell_what_the_last_by_itself_does_not():
    """The second layer has more inputs than units, so that nothing is left but its inputs' being outputs."""
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((24, 4)), rng.standard_normal((16, 24)) / 5
    net = layers((first, np.zeros(24)), (second, np.full(16, 0.1)))
    X = rng.uniform(size=(4, 4))
    own = fs.classify(net.relu_layers[1], net.layer_input(1, X), fs.NonNegative())
    assert "singleton" not in own.kind
    assert (verdicts(net, X, fs.Box(0, 1), seconds=0)[:, 1] == "undecided").all()
    assert (verdicts(net, X, fs.Box(0, 1)) == "recoverable").all()


def test_two_layers_that_fold_an_input_are_not_said_to_tell_it():
    """|x| of two layers: -x has the same features, however small the region of x is; off 0 it is locally injective."""
    net = layers(([[1.0], [-1.0]], np.zeros(2)), ([[1.0, 1.0]], [0.0]))
    assert verdicts(net, [[0.5]], fs.Box(-1, 1))[0, 1] != "recoverable"
    assert verdicts(net, [[0.5]], fs.Box(-0.4, 1))[0, 1] == "recoverable"


def test_half_spaces_count():
    net = layers(([[1.0, 1.0]], [0.0]))
    on_line = fs.HalfSpaces([[1.0, -1.0], [-1.0, 1.0]], [0.0, 0.0])
    assert verdicts(net, [[0.5, 0.5]])[0, 0] == "not recoverable"
    assert verdicts(net, [[0.5, 0.5]], on_line)[0, 0] == "recoverable"
    assert verdicts(net, [[0.5, 0.5]], fs.Box(0.5, 0.5))[0, 0] == "recoverable"


def test_layers_are_chosen_and_checked():
    net = layers((np.eye(2), np.zeros(2)), (np.eye(2), np.ones(2)))
    table = fs.network_verdicts(net, np.ones((3, 2)), layers=[-1], domain=fs.Box(0, 1))
    assert table.column_names == ["sample", "layer", "verdict", "reason"]
    assert table["layer"].to_pylist() == [1, 1, 1]
    assert all(table["reason"].to_pylist())
    for bad in ({"layers": [2]}, {"layers": []}, {"domain": fs.Box(2, 3)}, {"seconds": -1}):
        with pytest.raises(fs.InputError):
            fs.network_verdicts(net, np.ones((3, 2)), **bad)
    with pytest.raises(fs.InputError, match=r"X\[1\]"):
        fs.network_verdicts(net, np.array([[0.0, 0.0], [2.0, 0.0]]), domain=fs.Box(0, 1))
