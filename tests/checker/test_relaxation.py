"""The polyhedron around a network holds all that happens, and its bounds are proved whatever multipliers come."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.checker.matrices import Matrix, NotProvedError
from fiberscope.checker.relaxation import Known, Network, Step, narrowed, relaxed, replayed
from fiberscope.checker.stored import read_stages
from fiberscope.network.activations import Maximum, Pointwise, PointwiseKind
from fiberscope.network.affine import Dense
from fiberscope.network.arrays import FloatArray
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.preimages.budget import Budget
from fiberscope.recovery.tightening import tighten

GRID = np.array(list(itertools.product(np.linspace(0, 1, 9), repeat=3)))
"""Inputs that are tried one by one."""
LOW, HIGH = np.zeros(3), np.ones(3)


def dense(rng: np.random.Generator, inputs: int, outputs: int) -> Dense:
    weight = rng.integers(-3, 4, size=(outputs, inputs)) / 2.0
    return Dense(weight, rng.integers(-2, 3, size=outputs) / 2.0)


def clip(size: int) -> Stage:
    return Stage("clip", activation=Pointwise(PointwiseKind.CLIP, size, 0.0, 1.5))


def chain(rng: np.random.Generator) -> fs.Network:
    """Three inputs; a ReLU, a clip, a ReLU."""
    first, second, third = dense(rng, 3, 5), dense(rng, 5, 6), dense(rng, 6, 7)
    stages = (affine_stage("a", first), relu_stage("ra", 5), affine_stage("b", second), clip(6))
    return fs.Network((*stages, affine_stage("c", third), relu_stage("rc", 7)), (3,))


def branching(rng: np.random.Generator) -> fs.Network:
    """A residual block, and a maximum over pairs of what it gives."""
    leaky = Stage("leaky", activation=Pointwise(PointwiseKind.LEAKY_RELU, 6, slope=np.full(6, 0.25)))
    stages = (
        affine_stage("a", dense(rng, 3, 4)),
        relu_stage("ra", 4),
        affine_stage("b", dense(rng, 4, 6)),
        leaky,
        Stage("sum", (dense(rng, 6, 6), dense(rng, 4, 6)), sources=(3, 1)),
        Stage("pool", activation=Maximum(np.array([[0, 1], [2, 3], [4, 5]]), 6)),
        affine_stage("c", dense(rng, 3, 5)),
        relu_stage("rc", 5),
    )
    return fs.Network(stages, (3,))


def stored(net: fs.Network, folder: Path) -> Network:
    net.save(folder / "net.safetensors")
    return read_stages(folder / "net.safetensors")


def features(net: fs.Network, stage: int) -> FloatArray:
    """What a stage gives on the grid; the numbers are small multiples of powers of two, so exactly that."""
    return np.asarray(fs.Network(net.stages[: stage + 1], net.input_shape)(GRID))


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("build", "stages"), [(chain, (1, 3, 5)), (branching, (1, 7))])
def test_every_input_with_the_features_is_inside(
    build: object, stages: tuple[int, ...], seed: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    net = build(rng)  # pyright: ignore[reportCallIssue]
    network = stored(net, tmp_path)
    for stage in stages:
        F = features(net, stage)
        y = F[int(rng.integers(len(F)))]
        within = (0.0, 0.0625, 0.25)[seed % 3]
        known = Known(stage, y - within, y + within)
        found = tighten(network, LOW, HIGH, known, Budget.of(20))
        assert not found.contradiction
        meant = GRID[(np.abs(F - y) <= within).all(axis=1)]
        assert ((meant >= found.low) & (meant <= found.high)).all()
        again = replayed(network, LOW, HIGH, known, found.steps)
        assert again is not None
        assert np.array_equal(again[0], found.low)
        assert np.array_equal(again[1], found.high)


@pytest.mark.parametrize("seed", range(4))
def test_hostile_multipliers_prove_nothing_false(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    net = chain(rng)
    network, F = stored(net, tmp_path), features(net, 3)
    y = F[100]
    meant = GRID[(np.abs(F - y) <= 0.25).all(axis=1)]
    around = relaxed(network, LOW, HIGH, Known(3, y - 0.25, y + 0.25))
    for scale in (1e-300, 1e-8, 1.0, 1e8, 1e300, np.nan, np.inf):
        w = [scale * rng.standard_normal((3, len(around.low))) for _ in range(2)]
        low, high = narrowed(around, Step(np.arange(3), (w[0], w[1])))
        assert ((meant >= low) & (meant <= high)).all()


def test_steps_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    net = chain(np.random.default_rng(0))
    y = features(net, 1)[0]
    around = relaxed(stored(net, tmp_path), LOW, HIGH, Known(1, y, y))
    none = np.zeros((1, len(around.low)))
    for coordinates, w in (
        (np.array([3]), none),
        (np.array([-1]), none),
        (np.array([0]), none[:, 1:]),
        (np.array([0.0]), none),
        (np.array([[0]]), none),
    ):
        with pytest.raises(NotProvedError):
            narrowed(around, Step(coordinates, (w, w)))


@pytest.mark.parametrize("stage", [1, 3, 5])
def test_features_that_no_input_has_are_a_contradiction(stage: int, tmp_path: Path) -> None:
    net = chain(np.random.default_rng(1))
    network, F = stored(net, tmp_path), features(net, stage)
    known = Known(stage, F.max(axis=0) + 40.0, F.max(axis=0) + 41.0)
    assert tighten(network, LOW, HIGH, known, Budget.of(20)).contradiction
    assert replayed(network, LOW, HIGH, known, [Step(np.arange(3), (np.zeros((3, 1)), np.zeros((3, 1))))]) is None


def test_where_all_units_are_known_nothing_is_lost(tmp_path: Path) -> None:
    """Two layers that are on everywhere in the box are one affine map, which is injective."""
    first = Dense(np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]]), np.ones(3))
    second = Dense(np.array([[1.0, 0.25, 0.0], [0.0, 1.0, 0.25], [0.25, 0.0, 1.0], [1.0, 1.0, 1.0]]), np.ones(4))
    stages = (affine_stage("a", first), relu_stage("ra", 3), affine_stage("b", second), relu_stage("rb", 4))
    net = fs.Network(stages, (3,))
    y = features(net, 3)[345]
    found = tighten(stored(net, tmp_path), LOW, HIGH, Known(3, y, y), Budget.of(20))
    assert np.allclose(found.low, GRID[345], atol=1e-12)
    assert np.allclose(found.high, GRID[345], atol=1e-12)
    assert (found.low <= GRID[345]).all()
    assert (GRID[345] <= found.high).all()


@pytest.mark.parametrize("power", [-40, 40])
def test_units_of_weights_mean_nothing(power: int, tmp_path: Path) -> None:
    """Rows of the first layer times 2^k, columns of the second times 2^-k: the same network, the same bounds."""
    rng = np.random.default_rng(2)
    first, second = dense(rng, 3, 5), dense(rng, 5, 6)
    found = []
    for factor in (1.0, 2.0**power):
        a = Dense(first.rows() * factor, first.bias.numpy() * factor)
        b = Dense(second.rows() / factor, second.bias.numpy())
        net = fs.Network((affine_stage("a", a), relu_stage("ra", 5), affine_stage("b", b), relu_stage("rb", 6)), (3,))
        y = features(net, 3)[77]
        found.append(tighten(stored(net, tmp_path), LOW, HIGH, Known(3, y, y), Budget.of(20)))
    assert np.allclose(found[0].low, found[1].low, atol=1e-9)
    assert np.allclose(found[0].high, found[1].high, atol=1e-9)


# ---- what each condition is for


def test_features_that_bound_nothing_are_refused(tmp_path: Path) -> None:
    """Of affine maps, leaky ReLUs and maxima."""
    network = stored(branching(np.random.default_rng(0)), tmp_path)
    for stage in (0, 3, 5):
        size = network[1][stage].outputs
        with pytest.raises(NotProvedError):
            relaxed(network, LOW, HIGH, Known(stage, np.zeros(size), np.ones(size)))


def identity(bound: PointwiseKind, *ends: float) -> fs.Network:
    return fs.Network((affine_stage("a", Dense(np.eye(1))), Stage("f", activation=Pointwise(bound, 1, *ends))), (1,))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_features_at_the_ends_of_what_is_possible_are_no_contradiction(value: float, tmp_path: Path) -> None:
    """An input that is fixed at them has them."""
    x = np.array([value])
    for net in (identity(PointwiseKind.RELU), identity(PointwiseKind.CLIP, 0.0, 1.0)):
        network, known = stored(net, tmp_path), Known(1, x, x)
        for low, high in ((x, x), (x, x + 1.0), (x - 1.0, x)):
            around = relaxed(network, low, high, known)
            nothing = np.zeros((1, len(around.low)))
            again = replayed(network, low, high, known, [Step(np.array([0]), (nothing, nothing))])
            assert again is not None
            assert again[0] <= value <= again[1]


def test_a_feature_on_an_end_of_its_clip_leaves_what_is_behind_it_open(tmp_path: Path) -> None:
    network = stored(identity(PointwiseKind.CLIP, 0.25, 0.75), tmp_path)
    for feature, meant in ((0.25, (-1.0, 0.25)), (0.75, (0.75, 2.0)), (0.5, (0.5, 0.5))):
        y = np.array([feature])
        low, high = relaxed(network, np.array([-1.0]), np.array([2.0]), Known(1, y, y)).box
        assert low[1] <= meant[0]
        assert meant[1] <= high[1]


def test_sums_are_rounded_outwards(tmp_path: Path) -> None:
    """1 + 2^-60 and 1 - 2^-60 are not 1."""
    parts = (Dense(np.array([[1.0, 0.0]])), Dense(np.array([[0.0, 1.0]])))
    net = fs.Network((Stage("sum", parts, sources=(-1, -1)), relu_stage("r", 1)), (2,))
    for tiny in (2.0**-60, -(2.0**-60)):
        x = np.array([1.0, tiny])
        around = relaxed(stored(net, tmp_path), x, x, Known(1, np.array([0.5]), np.array([2.0])))
        assert Fraction(around.box[0][-1]) <= 1 + Fraction(tiny) <= Fraction(around.box[1][-1])


@pytest.mark.parametrize("seed", range(3))
def test_chords_hold_at_every_kink_exactly(seed: int, tmp_path: Path) -> None:
    """Rows between what a unit receives and gives, at the ends of its interval and where it bends."""
    rng, units = np.random.default_rng(seed), 40
    first, second = (
        Dense(rng.standard_normal(shape), rng.standard_normal(shape[0])) for shape in ((units, 3), (2, units))
    )
    stages = (affine_stage("a", first), clip(units), affine_stage("b", second), relu_stage("r", 2))
    network = stored(fs.Network(stages, (3,)), tmp_path)
    around = relaxed(network, -HIGH, HIGH, Known(3, np.zeros(2), np.full(2, 1e9)))
    weight, checked = dense_rows(around.system.weight), 0
    for row, low, high in zip(weight, around.low, around.high, strict=True):
        places = np.flatnonzero(row)
        if len(places) != 2:
            continue
        z, h = places.tolist()
        assert h == z + units
        for t in (around.box[0][z], 0.0, 1.5, around.box[1][z]):
            if around.box[0][z] <= t <= around.box[1][z]:
                value = Fraction(row[h]) * Fraction(min(max(t, 0.0), 1.5)) + Fraction(row[z]) * Fraction(t)
                assert Fraction(low) <= value <= Fraction(high)
                checked += 1
    assert checked > units


def dense_rows(matrix: Matrix) -> FloatArray:
    return np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())
