"""Outputs of leaky ReLUs, tanh and sigmoids that are known to a precision, or to intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import fiberscope as fs
from fiberscope.network.monotone import Curve, Monotone
from fiberscope.preimages.sides import outputs_at_input

FUNCTIONS = {Curve.TANH: np.tanh, Curve.SIGMOID: lambda z: 0.5 + 0.5 * np.tanh(0.5 * z)}
"""Those whose range has two ends."""
ROWS = np.array([[1.0, 2.0], [-3.0, 1.0], [1.0, 1.0]])


def layer_of(weight: Any, curve: Curve, slope: float = 1.0, bias: Any = None) -> fs.ReLULayer:
    """All units of one kind."""
    m = len(weight)
    return fs.ReLULayer(weight, bias, np.ones(m, dtype=np.bool_), monotone=Monotone(np.full(m, curve), slope))


def by_two_relus(layer: fs.ReLULayer, slope: float, low: np.ndarray, high: np.ndarray) -> tuple[Any, fs.Interval]:
    """Leaky ReLUs as ``relu(z)`` and ``relu(-z)``, and what says of these that ``low <= y <= high``."""
    twice = fs.ReLULayer(np.vstack([layer.weight, -np.asarray(layer.weight)]), np.append(layer.bias, -layer.bias))
    above = np.where(low > 0, low, -np.inf), np.where(high >= 0, high, 0.0)
    below = np.where(high < 0, -high / slope, -np.inf), np.where(low < 0, -low / slope, 0.0)
    return twice, fs.Interval(np.append(above[0], below[0]), np.append(above[1], below[1]))


@pytest.mark.parametrize("seed", range(12))
def test_leaky_relus_are_two_relus(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    layer = layer_of(rng.integers(-2, 3, (m, n)).astype(float), Curve.LEAKY_RELU, 0.25, rng.integers(-2, 3, m) * 1.0)
    domain = fs.Box(0.0, np.inf) if seed % 2 else None
    low = rng.integers(-4, 4, m) / 2.0
    high = low + rng.integers(0, 3, m) / 2.0
    twice, known = by_two_relus(layer, 0.25, low, high)
    ours = fs.preimage(layer, y=fs.Interval(low, high), domain=domain)
    other = fs.preimage(twice, y=known, domain=domain)
    assert (ours.kind, ours.dimension) == (other.kind, other.dimension)
    assert fs.verify(ours)
    assert fs.verify(ours, exact=True)


@pytest.mark.parametrize("curve", FUNCTIONS)
@pytest.mark.parametrize("z", [-3.0, -0.5, 0.0, 0.75, 2.0])
def test_a_side_is_lost_where_the_range_ends(curve: Curve, z: float) -> None:
    """One unit of one input: bounded while neither end of the range is among what is possible."""
    y, bottom = float(FUNCTIONS[curve](z)), -1.0 if curve is Curve.TANH else 0.0
    layer, room = layer_of([[1.0]], curve), min(1.0 - y, y - bottom)
    for share, kind in ((1e-6, fs.Kind.BOUNDED), (1.0 - 1e-9, fs.Kind.BOUNDED), (1.0 + 1e-9, fs.Kind.UNBOUNDED)):
        p = fs.preimage(layer, x=[z], within=room * share)
        assert p.kind is kind, share
        assert fs.verify(p)
        assert (p.radius < np.inf) == (kind is fs.Kind.BOUNDED)


def test_saturation_in_floats_is_no_saturation_in_numbers() -> None:
    """1 - tanh(20) = 8.5e-18, which float64 does not see beside 1."""
    layer = layer_of([[1.0]], Curve.TANH)
    assert [fs.preimage(layer, x=[20.0], within=eps).kind for eps in (0.0, 8e-18, 9e-18)] == [
        fs.Kind.SINGLETON,
        fs.Kind.BOUNDED,
        fs.Kind.UNBOUNDED,
    ]
    at_the_end = fs.preimage(layer, y=fs.Interval(0.5, 1.0))
    assert at_the_end.kind is fs.Kind.UNBOUNDED
    assert fs.verify(at_the_end)
    assert not at_the_end.contains([0.5])
    assert at_the_end.contains([1e3])
    for beyond in (fs.Interval(1.0, 2.0), fs.Interval(-3.0, -1.0)):
        nowhere = fs.preimage(layer, y=beyond)
        assert (nowhere.kind, nowhere.dimension) == (fs.Kind.EMPTY, -1)
        assert fs.verify(nowhere)
        assert not fs.verify(replace(nowhere, kind=fs.Kind.BOUNDED, dimension=1))


def test_ends_of_the_range_that_are_met_exactly() -> None:
    """tanh(0) + 1 is 1, which no input gives; a sigmoid's 1/2 likewise."""
    for curve, eps in ((Curve.TANH, 1.0), (Curve.SIGMOID, 0.5)):
        p = fs.preimage(layer_of([[1.0]], curve), x=[0.0], within=eps)
        assert p.kind is fs.Kind.UNBOUNDED
        assert fs.verify(p)


@pytest.mark.parametrize("curve", Curve)
def test_kinds_and_radii_grow_with_the_precision(curve: Curve) -> None:
    if curve is Curve.OTHER:
        return
    layer, x = layer_of(ROWS, curve, 0.125), np.array([0.25, -0.5])
    found = [fs.preimage(layer, x=x, within=eps) for eps in (0.0, 1e-6, 1e-3, 0.1, 0.3, 0.9, 2.5)]
    order = [fs.Kind.SINGLETON, fs.Kind.BOUNDED, fs.Kind.UNBOUNDED]
    assert all(fs.verify(p) for p in found)
    ranks, radii = [order.index(p.kind) for p in found], [p.radius for p in found]
    assert ranks == sorted(ranks)
    assert radii == sorted(radii)
    exact = fs.preimage(layer, x=x)
    assert (found[0].kind, found[0].dimension) == (exact.kind, exact.dimension)


@pytest.mark.parametrize("curve", FUNCTIONS)
def test_what_agrees_on_a_grid_is_inside_and_within_the_radius(curve: Curve) -> None:
    layer, x, eps, of = layer_of(ROWS, curve), np.array([0.25, -0.5]), 0.05, FUNCTIONS[curve]
    p = fs.preimage(layer, x=x, within=eps)
    y = of(ROWS @ x)
    axis = np.linspace(-0.5, 0.5, 15)
    points = x + np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    apart = np.abs(of(points @ ROWS.T) - y).max(axis=1)
    assert 0 < (apart < eps).sum() < len(points)
    assert np.linalg.norm(points[apart < eps] - x, axis=1).max() <= p.radius
    clear = np.abs(apart - eps) > 1e-9
    assert [p.contains(point) for point in points[clear]] == (apart[clear] < eps).tolist()
    known = fs.preimage(layer, y=fs.Interval(y - eps, y + eps))
    assert (known.kind, known.dimension) == (p.kind, p.dimension)
    assert [known.contains(point) for point in points[clear]] == (apart[clear] < eps).tolist()


def test_many_inputs_are_each_alone() -> None:
    layer, X = layer_of(ROWS, Curve.TANH), np.random.default_rng(0).normal(size=(20, 2))
    eps = np.full((20, 3), 0.02) * np.arange(1, 21)[:, None]
    judged = fs.classify(layer, X, within=eps)
    alone = [fs.preimage(layer, x=x, within=within) for x, within in zip(X, eps, strict=True)]
    assert {p.kind for p in alone} == {fs.Kind.BOUNDED, fs.Kind.UNBOUNDED}
    assert [(p.kind, p.dimension) for p in judged.preimages] == [(p.kind, p.dimension) for p in alone]


@pytest.mark.parametrize("k", [-300, -20, 20, 300])
def test_units_of_inputs_do_not_matter(k: int) -> None:
    for curve in FUNCTIONS:
        x, scaled = np.array([0.25, -0.5]), layer_of(np.ldexp(ROWS, -k), curve)
        before, after = (
            fs.preimage(layer_of(ROWS, curve), x=x, within=0.05),
            fs.preimage(scaled, x=np.ldexp(x, k), within=0.05),
        )
        assert (before.kind, before.dimension) == (after.kind, after.dimension) == (fs.Kind.BOUNDED, 2)
        assert abs(k) > 20 or np.ldexp(after.radius, -k) == pytest.approx(before.radius, rel=1e-6)


def test_changed_claims_are_not_proved() -> None:
    layer, x = layer_of(ROWS, Curve.TANH), np.array([0.25, -0.5])
    p = fs.preimage(layer, x=x, within=0.05)
    far = fs.preimage(layer, x=x, within=3.0)
    assert fs.verify(p)
    for changed in (
        replace(p, within=3.0),
        replace(p, within=0.0),
        replace(p, within=np.nan),
        replace(p, within=-0.05),
        replace(p, within=np.inf),
        replace(p, dimension=1),
        replace(p, x=np.array([300.0, 300.0])),
        replace(p, kind=fs.Kind.UNBOUNDED),
        replace(p, layer=fs.ReLULayer(ROWS, injective=np.ones(3, dtype=np.bool_))),
        replace(p, layer=layer_of(ROWS, Curve.LEAKY_RELU, 0.0)),
        replace(far, within=0.05),
        replace(far, layer=layer_of(ROWS, Curve.LEAKY_RELU, 0.5)),
    ):
        assert not fs.verify(changed)


def test_what_no_float_tells_apart_is_undecided() -> None:
    layer = layer_of(ROWS, Curve.TANH)
    y = np.tanh(ROWS @ [0.25, -0.5])
    p = fs.preimage(layer, y=fs.Interval(y, np.nextafter(y, 1.0)))
    assert p.kind is fs.Kind.UNDECIDED
    assert p.reason


@pytest.mark.parametrize("module", [torch.nn.Tanh(), torch.nn.Sigmoid(), torch.nn.LeakyReLU(0.1), torch.nn.PReLU()])
def test_features_that_a_runtime_computes_in_float32(module: torch.nn.Module) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), module).eval()
    layer = fs.from_torch(net, input_shape=(4,)).relu_layers[0]
    x = torch.randn(4)
    y = net(x).detach().double().numpy()
    p = fs.preimage(layer, y=fs.Interval(y - 1e-6, y + 1e-6))
    assert (p.kind, p.dimension) == (fs.Kind.BOUNDED, 4)
    assert fs.verify(p)
    assert p.contains(x.double().numpy())
    assert fs.preimage(layer, x=x, within=1e-6).contains(p.point()) or p.radius > 0


def test_layers_of_a_network_where_branches_meet() -> None:
    torch.manual_seed(1)

    class Branches(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(torch.relu(self.one(x)) + self.two(x))

    layer = fs.from_torch(Branches().eval(), input_shape=(3,)).relu_layers[-1]
    for within, kind in ((0.0, fs.Kind.SINGLETON), (1e-3, fs.Kind.BOUNDED)):
        p = fs.preimage(layer, x=[0.1, 0.2, 0.3], within=within)
        assert p.kind is kind
        assert fs.verify(p)


def test_distances_are_those_at_which_outputs_move_by_the_precision() -> None:
    for curve, of in FUNCTIONS.items():
        layer, x = layer_of(ROWS, curve), np.array([0.25, -0.5])
        below, above = outputs_at_input(layer, x, np.full((2, 3), 1e-3)).within
        z = ROWS @ x
        np.testing.assert_allclose(of(z + above) - of(z), 1e-3, rtol=1e-10)
        np.testing.assert_allclose(of(z) - of(z - below), 1e-3, rtol=1e-10)


def test_coarsest_precisions_of_leaky_relus_have_no_end() -> None:
    found = fs.coarsest_precision(layer_of(ROWS, Curve.LEAKY_RELU, 0.5), np.array([0.25, -0.5]))
    assert found.eps == np.inf
    assert found.verify()
    assert not replace(found, layer=layer_of(ROWS, Curve.TANH)).verify()


@pytest.mark.parametrize("curve", FUNCTIONS)
def test_coarsest_precisions_of_one_unit_are_what_is_left_to_the_nearer_end(curve: Curve) -> None:
    """1 - tanh(z) = 2 / (1 + exp(2 z)), rounded up to float64: by mpmath, with 60 digits."""
    mpmath = pytest.importorskip("mpmath")
    for z in (0.0, -1.25, 20.0, -300.0):
        with mpmath.workdps(60):
            left = (2 if curve is Curve.TANH else 1) / (1 + mpmath.exp((2 if curve is Curve.TANH else 1) * abs(z)))
            up = float(left)
            up = up if mpmath.mpf(up) >= left else float(np.nextafter(up, np.inf))
        found = fs.coarsest_precision(layer_of([[1.0]], curve), [z])
        assert (found.lower, found.upper) == (up, up), z
        assert found.verify()
        for eps in (np.nextafter(up, 0.0), np.nextafter(up, np.inf)):
            assert not replace(found, eps=float(eps), lower=float(eps), upper=float(eps)).verify()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"x": [0.0, 0.0], "within": np.nan}, "within: expected finite numbers"),
        ({"x": [0.0, 0.0], "within": np.inf}, "within: expected finite numbers"),
        ({"x": [0.0, 0.0], "within": -1.0}, "within: expected finite numbers"),
        ({"y": [0.25, 0.5, 0.5]}, "y: expected outputs of strictly monotone units to a precision"),
    ],
)
def test_bad_input_has_one_clear_error(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(fs.InputError, match=message) as caught:
        fs.preimage(layer_of(ROWS, Curve.TANH), **asked)
    assert "np." not in str(caught.value)


def test_units_of_which_nothing_is_known_are_refused() -> None:
    layer = fs.ReLULayer(ROWS, injective=np.ones(3, dtype=np.bool_))
    for asked in ({"x": [0.0, 0.0], "within": 0.1}, {"x": [0.0, 0.0], "within": "int8"}, {"y": np.ones(3)}):
        with pytest.raises(fs.InputError, match="functions are known"):
            fs.preimage(layer, **asked)
    with pytest.raises(fs.InputError, match="numbers of Curve"):
        Monotone(7)
    with pytest.raises(fs.InputError, match="alpha"):
        Monotone(Curve.LEAKY_RELU, -1.0)
    with pytest.raises(fs.InputError, match="beta"):
        Monotone(Curve.ELU, 1.0, 0.0)
