"""The table of what features give away: against exhaustive search, and where something is not defined."""

from __future__ import annotations

from itertools import pairwise, product
from math import inf, isnan

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.affine import Dense
from fiberscope.network.network import Network
from fiberscope.network.stage import Stage, affine_stage, relu_stage
from fiberscope.network.structured import Rearrangement
from fiberscope.recovery.leak import Leak
from fiberscope.recovery.leakage import in_order, leak_questions
from fiberscope.recovery.recovery import Recovery, Scope
from fiberscope.recovery.runtime import runtime_features

STORED = (np.arange(256) / 255).astype(np.float32).astype(np.float64)


def network(rng: np.random.Generator, *sizes: int) -> Network:
    """Dense layers of ReLUs."""
    stages: list[Stage] = []
    for k, (before, after) in enumerate(pairwise(sizes)):
        weight, bias = rng.standard_normal((after, before)), rng.standard_normal(after) / 2
        stages += [affine_stage(f"a{k}", Dense(weight, bias)), relu_stage(f"r{k}", after)]
    return Network(tuple(stages), (sizes[0],))


def leaks(
    net: Network,
    X: object,
    told: tuple[str | float, ...],
    seconds: float,
    seen: list[tuple[Leak, Recovery]] | None = None,
) -> list[Leak]:
    """The rows in order; those with a recovery, with it, are appended to ``seen``."""
    rows: list[Leak] = []
    for asked in leak_questions(net, X, fs.Box(0, 1), told, None, seconds):
        answer = asked.answered(net)
        rows += answer.rows
        if seen is not None:
            seen += [(row, r) for row, r in zip(answer.rows, answer.recoveries, strict=True) if r is not None]
    return in_order(rows)


@pytest.mark.exhaustive
def test_recoverable_only_where_exhaustive_search_finds_no_other_image() -> None:
    """All 65,536 images of two pixels, run through the network by numpy."""
    rng, counts = np.random.default_rng(0), {True: 0, False: 0}
    every = np.array(list(product(STORED, repeat=2)))
    for _ in range(4):
        net = network(rng, 2, 5, 6)
        X = rng.choice(STORED, (2, 2))
        told = ("float32", "int8", 1e-4, 0.01)
        for row in leaks(net, X, told, 5.0):
            at = row.precision if row.precision in told else float(row.precision)
            known = runtime_features(net, row.layer, X, at, fs.Box(0, 1))
            features = net.evaluated(every, net.placed_layers[row.layer].stage)
            low, high = known.low[row.sample], known.high[row.sample]
            left = ((features >= low) & (features <= high)).all(axis=1)
            assert left.sum() >= 1, "the sample itself"
            assert row.ambiguity_bits >= np.log2(left.sum()) - 1e-9
            if row.recoverable:
                assert left.sum() == 1
                np.testing.assert_array_equal(every[left][0], X[row.sample])
            counts[row.recoverable] += 1
            if row.scope == "domain":
                apart = np.linalg.norm(every[left] - X[row.sample], axis=1).max()
                assert apart <= 2.0 * row.radius
    assert counts[True] > 5
    assert counts[False] > 5


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("sizes", [(4, 9), (4, 9, 8), (3, 12)])
def test_samples_lie_within_what_is_proved(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    net, X = network(rng, *sizes), rng.random((3, sizes[0]))
    seen: list[tuple[Leak, Recovery]] = []
    told = ("float32", "float16", "int8", 0.01)
    rows = leaks(net, X, told, 2.0, seen)
    assert len(rows) == len(seen) == 3 * len(told) * (len(sizes) - 1)
    for row, r in seen:
        x = X[row.sample]
        if r.scope == Scope.DOMAIN:
            assert ((r.low.ravel() <= x) & (x <= r.high.ravel())).all()
            assert np.linalg.norm(r.x.ravel() - x) <= row.radius
        if r.scope != Scope.NONE:
            assert r.verify()
        assert row.pixel_median <= row.pixel_max <= 1.0
        assert not r.contradiction


def test_table_has_the_fields_of_a_leak_in_order() -> None:
    rng = np.random.default_rng(3)
    table = fs.leakage(network(rng, 3, 7), rng.random(3)[None], fs.Box(0, 1), ["float32", 1])
    assert table.column_names == list(Leak.__annotations__)
    assert table["precision"].to_pylist() == ["float32", "1.0"]
    assert table["eps"].to_pylist()[1] == 1.0
    assert not table["recoverable"].to_pylist()[1]


def test_the_layer_itself_is_judged_as_classify_does() -> None:
    rng = np.random.default_rng(4)
    net, X = network(rng, 3, 4, 9), rng.random((5, 3))
    rows = leaks(net, X, (0.05,), 20.0)
    for layer, own in enumerate(net.relu_layers):
        received = net.layer_input(layer, X)
        here = [row for row in rows if row.layer == layer]
        for row, x in zip(here, received, strict=True):
            kind = fs.preimage(own, x, within=0.05).kind
            assert row.bounded == (kind in (fs.Kind.BOUNDED, fs.Kind.SINGLETON))
            assert row.coarsest_eps == fs.coarsest_precision(own, x).eps


def test_layers_whose_outputs_are_all_0_have_rows_that_say_so() -> None:
    dead = Network((affine_stage("a", Dense(-np.eye(2), np.zeros(2))), relu_stage("r", 2)), (2,))
    rows = leaks(dead, [[0.5, 1.0]], ("float32", "int8"), 2.0)
    assert [row.recoverable for row in rows] == [False, False]
    assert "not all 0" in rows[1].reason
    assert isnan(rows[1].eps)
    assert isnan(rows[1].rebuilt_error)
    assert rows[1].radius == inf
    assert (rows[1].scope, rows[1].ambiguity_bits) == ("none", 16.0)
    assert rows[0].cramer_rao == inf


def test_layers_in_which_branches_meet_do_not_end_the_table() -> None:
    rng = np.random.default_rng(5)
    stages = (
        affine_stage("a", Dense(rng.standard_normal((6, 3)), np.ones(6))),
        relu_stage("r", 6),
        affine_stage("b", Dense(rng.standard_normal((6, 6)), np.ones(6))),
        relu_stage("s", 6),
        Stage("sum", (Dense(rng.standard_normal((6, 6)), np.ones(6)), Rearrangement(np.arange(6), 6)), sources=(3, 1)),
        relu_stage("t", 6),
    )
    net, X = Network(stages, (3,)), rng.random((2, 3))
    rows = leaks(net, X, ("float32", "int8", 0.01), 1.0)
    assert len(rows) == 2 * 3 * len(net.relu_layers)
    deep = [row for row in rows if row.layer == len(net.relu_layers) - 1]
    assert all("branches" in row.reason and row.scope == "none" for row in deep if row.precision == "float32")
    assert all(row.rebuilt_error < 0.5 for row in deep if row.precision != "float32")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"precisions": ["float33"]}, "one of float32, float16, int8"),
        ({"precisions": [-1.0]}, "at least 0"),
        ({"precisions": "int8"}, "a list of precisions"),
        ({"precisions": []}, "a list of precisions"),
        ({"precisions": [float("inf")]}, "below inf"),
        ({"layers": []}, "at least one layer"),
        ({"layers": [3]}, "layers"),
        ({"domain": fs.NonNegative()}, "a bounded one"),
        ({"X": [[0.5, 0.5, 2.0]]}, "sample 0 outside"),
        ({"X": [[0.5, 0.5]]}, "x"),
        ({"seconds": -1.0}, "seconds"),
    ],
)
def test_bad_input_is_one_clear_error(changed: dict[str, object], words: str) -> None:
    net = network(np.random.default_rng(6), 3, 5)
    asked: dict[str, object] = {"X": [[0.5, 0.5, 0.5]], "domain": fs.Box(0, 1), "seconds": 1.0} | changed
    with pytest.raises(fs.InputError, match=words) as caught:
        fs.leakage(net, **asked)
    assert "np.float64" not in str(caught.value)


def test_arguments_of_other_types_are_one_clear_error(unchecked: None) -> None:
    net, X, box = network(np.random.default_rng(6), 3, 5), [[0.5, 0.5, 0.5]], fs.Box(0, 1)
    for given, words in (
        ({"layers": 1.5}, "layers: expected a list"),
        ({"precisions": 0.1}, "precisions: expected a list"),
        ({"precisions": None}, "precisions: expected a list"),
    ):
        with pytest.raises(fs.InputError, match=words):
            fs.leakage(net, X, box, seconds=1.0, **given)
    assert fs.leakage(net, X, box, layers=0, precisions=[0.0, -0.0], seconds=1.0).num_rows == 1
    for nothing in (None, "net", object()):
        with pytest.raises(fs.InputError, match=r"expected a fiberscope\.Network"):
            fs.leakage(nothing, X, box)
