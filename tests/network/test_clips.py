"""Clips as layers: against the same function written as two ReLUs, and against the definition."""

from __future__ import annotations

import itertools
import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fiberscope as fs
from fiberscope.audits.plan import Plan, places_of
from fiberscope.network.activations import Pointwise, PointwiseKind
from fiberscope.network.building import NetworkBuilder, Value
from fiberscope.network.domains import as_polyhedron
from fiberscope.network.network import Network
from fiberscope.network.region_layer import RegionLayer
from fiberscope.network.rows import dense
from fiberscope.report.inspection import layer_table

Array = np.ndarray[Any, Any]
BOUNDS = [(0.0, 6.0), (-1.0, 1.0), (0.5, inf), (-inf, 2.0), (-3.0, -1.0), (2.0, 2.0)]


def weights(seed: int, m: int, n: int) -> Array:
    return np.random.default_rng(seed).integers(-3, 4, (m, n)).astype(np.float64)


def as_relus(builder: NetworkBuilder, name: str, value: Value, low: float, high: float) -> Value:
    """``clip(z, p, q) = p + relu(z - p) - relu(z - q)``, with what has an infinite bound left out."""
    lower = builder.scaled(f"{name} up", value, 1.0, -low if np.isfinite(low) else 0.0)
    upper = builder.scaled(f"{name} down", value, 1.0, -high if np.isfinite(high) else 0.0)
    lower = builder.relu(f"{name} lower", lower) if np.isfinite(low) else lower
    if not np.isfinite(high):
        return builder.scaled(f"{name} end", lower, 1.0, low)
    cut = builder.scaled(f"{name} minus", builder.relu(f"{name} upper", upper), -1.0)
    return builder.scaled(name, builder.add(f"{name} sum", [lower, cut]), 1.0, low if np.isfinite(low) else 0.0)


def two_layers(low: float, high: float, *, written_as_relus: bool = False) -> Network:
    builder = NetworkBuilder((1, 3))
    z = builder.dense("first", builder.input, weights(0, 5, 3), np.arange(5.0) - 2)
    z = as_relus(builder, "cut", z, low, high) if written_as_relus else builder.clip("cut", z, low, high)
    return builder.build(builder.relu("out", builder.dense("second", z, weights(1, 4, 5))))


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_a_clip_is_what_two_relus_compute_and_its_layer_has_the_bounds(low: float, high: float):
    net, relus = two_layers(low, high), two_layers(low, high, written_as_relus=True)
    X = np.random.default_rng(2).integers(-4, 5, (40, 3)).astype(np.float64)  # many lie on a bound exactly
    np.testing.assert_array_equal(net(X), relus(X))
    first, _ = net.relu_layers
    assert (set(first.low), set(first.high)) == ({low}, {high})
    np.testing.assert_array_equal(first(X), net.layer_input(1, X))
    assert net.layer_names == ("first", "second")
    assert not net.unjudged_layers
    assert not net.nothing_to_judge()


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_a_clip_has_the_slope_and_the_pieces_of_two_relus(low: float, high: float):
    clip = Pointwise(PointwiseKind.CLIP, 1, low, high)
    for z in sorted({0.0, 7.0, -7.0, *(b + d for b in (low, high) if np.isfinite(b) for d in (-0.5, 0.0, 0.5))}):
        point = torch.tensor([z], dtype=torch.float64)
        piece = int(clip.piece(point))
        slope, constant = clip.lines()[piece]
        assert clip.apply(point[None]).item() == max(low, min(z, high)) == slope.item() * z + constant
        ends = (-inf, *(clip.kinks() or ()), inf)
        assert ends[piece] <= z <= ends[piece + 1]
        assert slope.item() == clip.derivative(point).factor.item() == float(low < z < high)


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (-inf, inf), (inf, inf), (-inf, -inf), (float("nan"), 1.0)])
def test_what_is_no_clip_is_refused(low: float, high: float):
    with pytest.raises(fs.InputError, match="bounds in order"):
        Pointwise(PointwiseKind.CLIP, 2, low, high)


# ---- what later layers receive


@pytest.mark.parametrize(
    ("low", "high", "domain", "receives"),
    [
        (0.0, 6.0, "box [0,6]", "cut, 0 to 6"),
        (-1.0, 1.0, "box [-1,1]", "cut, -1 to 1"),
        (0.5, inf, "box [0.5,inf]", "cut, at least 0.5"),
        (-inf, 2.0, "box [-inf,2]", "cut, at most 2"),
        (0.0, inf, "x >= 0", "cut, never negative"),
    ],
)
def test_a_layer_behind_a_clip_is_judged_on_the_box_of_its_bounds(low: float, high: float, domain: str, receives: str):
    net = two_layers(low, high)
    plan = Plan((0, 1), 3, (0.0, 1.0), places=places_of(net))
    assert [named.name for named in plan.domains(0)] == ["R^n", "box [0,1]"]
    everything, narrow = plan.domains(1)
    assert (everything.name, everything.domain, narrow.name) == ("R^n", None, domain)
    box = as_polyhedron(narrow.domain, 5)
    assert (set(box.low), set(box.high)) == ({low}, {high})
    table = layer_table(net)
    assert list(table.columns[4].cells) == ["the input", receives]


def pooled(low: float, high: float, pad: float, shift: float, *, twice: bool) -> tuple[float, float]:
    """What a layer behind a maximum of moved numbers of a clip is said to receive."""
    builder = NetworkBuilder((1, 4))
    cut = builder.clip("cut", builder.dense("first", builder.input, weights(0, 4, 4)), low, high)
    moved = builder.take("moved", cut, np.array([[3, 2, 1, 0, -1]]), pad)
    if twice:
        moved = builder.add("sum", [moved, moved])
    top = builder.maximum("pool", moved, np.array([[[0, 1], [1, 2], [3, 4]]]))
    top = top if not shift else builder.scaled("shifted", top, 1.0, shift)
    return builder.build(builder.relu("out", builder.dense("last", top, weights(1, 2, 3)))).placed_layers[1].received


def test_bounds_go_through_what_moves_numbers_and_through_maxima():
    assert pooled(0.0, 6.0, 0.0, 0.0, twice=False) == (0.0, 6.0)
    assert pooled(1.0, 6.0, 0.0, 0.0, twice=False) == (0.0, 6.0)  # padding
    assert pooled(-1.0, 1.0, 3.0, 0.0, twice=False) == (-1.0, 3.0)
    assert pooled(0.0, 6.0, 0.0, 0.0, twice=True) == (0.0, inf)  # a sum is rounded; its sign is not
    assert pooled(-1.0, 6.0, 0.0, 0.0, twice=True) == (-inf, inf)


def test_a_clip_behind_max_pooling_or_several_before_a_concatenation_are_one_layer():
    builder = NetworkBuilder((1, 4))
    z = builder.dense("first", builder.input, weights(0, 4, 4))
    top = builder.maximum("pool", z, np.array([[[0, 1], [2, 3]]]))
    net = builder.build(builder.clip("cut", top, -1.0, 2.0))
    assert net.layer_names == ("first",)
    X = np.random.default_rng(0).integers(-3, 4, (9, 4)).astype(np.float64)
    expected = np.clip((X @ weights(0, 4, 4).T).reshape(9, 2, 2).max(axis=2), -1, 2)
    np.testing.assert_array_equal(net(X), expected)

    for bounds, joined in (((0.0, 6.0), True), ((0.0, 5.0), False)):
        again = NetworkBuilder((1, 4))
        z = again.dense("both", again.input, weights(0, 4, 4))
        parts = [again.clip("a", z, 0.0, 6.0), again.clip("b", again.scaled("negative", z, -1.0), *bounds)]
        net = again.build(again.concatenate("joined", parts, 1))
        assert (len(net.relu_layers) == 1) is joined
        expected = np.concatenate([np.clip(X @ weights(0, 4, 4).T, 0, 6), np.clip(-X @ weights(0, 4, 4).T, *bounds)], 1)
        np.testing.assert_array_equal(net(X), expected)


# ---- branches


def residual(inner: tuple[float, float], outer: tuple[float, float], scale: float = 1.0) -> Network:
    builder = NetworkBuilder((1, 3))
    first = builder.dense("first", builder.input, scale * weights(3, 4, 3), scale * np.array([1.0, -2, 0, 3]))
    cut = builder.clip("inner", first, *inner)
    second = builder.dense("second", cut, weights(4, 3, 4), scale * np.array([0.0, 1, -1]))
    total = builder.add("sum", [second, builder.scaled("skip", builder.input, scale)])
    return builder.build(builder.clip("outer", total, *outer))


@pytest.mark.parametrize("inner", [(0.0, 6.0), (-1.0, 1.0), (0.5, inf), (-inf, 2.0), (2.0, 2.0)])
def test_where_branches_meet_inner_clips_are_followed_exactly(inner: tuple[float, float]):
    """The lifted rows give what the network does at the sample, and at all points of the region."""
    net, rng = residual(inner, (0.0, 4.0)), np.random.default_rng(5)
    layer = net.relu_layers[-1]
    assert isinstance(layer, RegionLayer)
    for x in rng.integers(-3, 4, (20, 3)).astype(np.float64):
        local = layer.at(x)
        A, b, k = dense(local.layer.weight), local.layer.bias, local.layer.definitions
        z = A @ local.x + b
        np.testing.assert_array_equal(np.clip(z[k:], 0.0, 4.0), net(x[None])[0])
        assert (set(local.layer.low[k:]), set(local.layer.high[k:])) == ({0.0}, {4.0})
        assert set(np.unique(A[:, 3:])) <= {-1.0, 0.0, 1.0} | set(np.unique(weights(4, 3, 4)))  # nothing was computed
        region = local.domain.polyhedron(len(local.x))
        for other in x + rng.integers(-2, 3, (12, 3)) / 2.0:
            point = lifted(A[:k], z[:k], other)
            first = other @ weights(3, 4, 3).T + np.array([1.0, -2, 0, 3])
            before = x @ weights(3, 4, 3).T + np.array([1.0, -2, 0, 3])
            same = all(on_one_piece(a, c, *inner) for a, c in zip(before, first, strict=True))
            inside = bool(((point >= region.low) & (point <= region.high)).all())
            assert inside is same
            if same:
                np.testing.assert_array_equal(np.clip((A @ point + b)[k:], 0.0, 4.0), net(other[None])[0])


def lifted(definitions: Array, values: Array, x: Array) -> Array:
    """The coordinates of x: those that the definitions, rows ``f(x, z) - z_i = value``, follow from."""
    n = len(x)
    z = np.linalg.solve(definitions[:, n:], values - definitions[:, :n] @ x)
    return np.concatenate([x, z])


def on_one_piece(before: float, z: float, low: float, high: float) -> bool:
    """Whether z lies on the closed piece of the clip that holds the sample; a constant has one piece."""
    if low == high:
        return True
    if before <= low or before >= high:
        return z <= low if before <= low else z >= high
    return low <= z <= high


@pytest.mark.parametrize("exponent", [-30, 40])
def test_lifted_rows_scale_with_the_input(exponent: int):
    unit = 2.0**exponent
    x = np.array([1.0, -2.0, 3.0])
    plain = residual((0.0, 6.0), (0.0, 4.0)).relu_layers[-1].at(x)  # type: ignore[union-attr]
    moved = residual((0.0, 6.0 * unit), (0.0, 4.0 * unit), unit).relu_layers[-1].at(x)  # type: ignore[union-attr]
    np.testing.assert_array_equal(plain.x[3:] * unit, moved.x[3:])
    ends = [as_polyhedron(local.domain, len(local.x)) for local in (plain, moved)]
    np.testing.assert_array_equal(ends[0].low * unit, ends[1].low)
    np.testing.assert_array_equal(ends[0].high * unit, ends[1].high)


def test_clips_in_branches_with_pooling_and_more_branches_behind_them():
    """What is saturated is a coordinate of its own, so that later maps of it round nothing."""
    builder = NetworkBuilder((1, 3))
    cut = builder.clip("a", builder.dense("one", builder.input, weights(3, 4, 3), 3.0 * np.ones(4)), -1.0, 0.7)
    top = builder.maximum("pool", cut, np.array([[[0, 1], [2, 3], [1, 2]]]))
    again = builder.clip("b", builder.dense("two", top, weights(6, 3, 3) * 0.1), 0.0, 0.3)
    total = builder.add("sum", [builder.dense("three", again, 0.1 * weights(7, 3, 3)), builder.input])
    net = builder.build(builder.relu("out", total))
    layer = net.relu_layers[-1]
    for x in itertools.product((-1.0, 0.25, 2.0), repeat=3):
        local = layer.at(np.array(x))  # type: ignore[union-attr]
        weight, k = dense(local.layer.weight), local.layer.definitions
        z = weight @ local.x + local.layer.bias
        np.testing.assert_allclose(np.maximum(z[k:], 0.0), net(np.array([x]))[0], rtol=1e-14, atol=1e-15)
        stored = {0.0, 1.0, -1.0, *np.unique(0.1 * weights(7, 3, 3)), *np.unique(weights(6, 3, 3) * 0.1)}
        assert set(np.unique(weight[:, 3:])) <= stored
        region = as_polyhedron(local.domain, len(local.x))
        assert ((local.x >= region.low) & (local.x <= region.high)).all()
        assert (dense(region.G) @ local.x <= region.h).all()


def test_smooth_activations_in_branches_are_still_the_reason():
    builder = NetworkBuilder((1, 3))
    smooth = builder.pointwise("tanh", builder.dense("one", builder.input, np.eye(3)), PointwiseKind.TANH)
    net = builder.build(builder.clip("cut", builder.add("sum", [smooth, builder.input]), 0.0, 6.0))
    ((left_out),) = net.unjudged_layers
    assert "tanh, which is not linear around a sample" in left_out.reason
    assert "clip" not in left_out.reason


# ---- files


def test_clips_come_back_from_files(tmp_path: Path):
    for number, (low, high) in enumerate(BOUNDS):
        net = two_layers(low, high)
        net.save(tmp_path / f"{number}.safetensors")
        again = fs.load(tmp_path / f"{number}.safetensors")
        assert again.digest() == net.digest()
        assert set(again.relu_layers[0].low) == {low}  # type: ignore[union-attr]
        assert set(again.relu_layers[0].high) == {high}  # type: ignore[union-attr]
        json.loads(json.dumps(net.structure()), parse_constant=pytest.fail)  # no Infinity, which is no JSON


def test_a_clip_of_a_dense_layer_alone():
    layer = fs.ReLULayer(np.eye(2), low=[0.0, -1.0], high=[6.0, 1.0])
    np.testing.assert_array_equal(layer([[7.0, 7.0], [-7.0, -7.0], [3.0, 0.5]]), [[6, 1], [0, -1], [3, 0.5]])
