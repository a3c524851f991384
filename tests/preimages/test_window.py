"""Questions about a window of the input, against exact enumeration with the other coordinates substituted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fiberscope as fs
import oracles
from fiberscope.network import relu_layer
from fiberscope.network.convolution import Convolution
from fiberscope.network.domains import Domain
from fiberscope.network.rows import sparse, suited
from fiberscope.preimages.narrowed import _exact_sums

WINDOW = np.s_[:, 1:3, 0:2]
LAYERS = {
    "padding": ((2, 1, 3, 3), (1, 4, 4), 1, 1, 1),
    "stride": ((3, 1, 3, 3), (1, 5, 5), 2, 1, 1),
    "groups": ((4, 1, 2, 2), (2, 4, 4), 1, 0, 2),
    "many units": ((5, 1, 2, 2), (1, 4, 4), 1, 0, 1),
}
DOMAINS: dict[str, Domain | None] = {"R^n": None, "orthant": fs.NonNegative(), "box": fs.Box(0, 3)}


def layer_of(name: str, scale: float = 1.0) -> fs.ReLULayer:
    """A convolution of small whole numbers, one of whose filters is zero and two of which are equal."""
    shape, inputs, stride, padding, groups = LAYERS[name]
    rng = np.random.default_rng(len(name))
    weight = rng.integers(-2, 3, size=shape).astype(np.float64)
    weight[0], weight[-1] = weight[-1], 0.0 * weight[0]
    sides = ((padding, padding), (padding, padding))
    conv = Convolution(scale * weight, inputs, None, (stride, stride), sides, (1, 1), groups)
    none = np.zeros(conv.outputs, dtype=np.bool_)

    def write_out() -> tuple[object, np.ndarray]:
        return suited(conv.rows()), conv.bias.numpy()

    return fs.ReLULayer.of_map(write_out, conv.input_shape, conv.output_shape, none, operator=conv)  # type: ignore[arg-type]


def sample_of(layer: fs.ReLULayer, seed: int) -> np.ndarray:
    """Whole numbers of which many are zero."""
    return np.maximum(np.random.default_rng(seed).integers(-2, 4, size=layer.inputs), 0).astype(np.float64)


def truth(layer: fs.ReLULayer, x: np.ndarray, domain: Domain | None) -> oracles.Answer:
    """The kind of the polyhedron of the window's coordinates."""
    conv = layer.operator
    inside = np.zeros(conv.input_shape, dtype=np.bool_)
    inside[WINDOW] = True
    A, free = conv.rows().toarray(), inside.ravel()
    bias = A[:, ~free] @ x[~free]  # whole numbers, exactly
    return oracles.cdd_answer(oracles.mixed_system(A[:, free], bias, x=x[free], domain=domain))


@pytest.fixture(params=["written", "large"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Layers that are written out, and such as are held to be too large for it."""
    if request.param == "large":
        monkeypatch.setattr(relu_layer, "MAX_WRITTEN", 0)
        monkeypatch.setattr(relu_layer, "MAX_FACTORED", 0)
    return request.param


@pytest.mark.exhaustive(every=5)
@pytest.mark.skipif(not oracles.cdd_available(), reason="cddexec_gmp is not installed")
@pytest.mark.parametrize("domain", list(DOMAINS))
@pytest.mark.parametrize("name", list(LAYERS))
def test_verdicts_are_those_with_the_others_substituted(name: str, domain: str, way: str):
    layer = layer_of(name)
    assert layer.is_large == (way == "large")
    X = np.stack([sample_of(layer, seed) for seed in range(3)])
    found = fs.classify(layer, X, DOMAINS[domain], window=WINDOW)
    for x, p in zip(X, found, strict=True):
        right = truth(layer, x, DOMAINS[domain])
        assert (p.kind, p.dimension) == (right.kind, right.dimension)
        assert fs.verify(p)
        assert fs.verify(p, exact=True)
        assert not fs.verify(replace(p, dimension=right.dimension + 1))
        other = "bounded" if right.kind != "bounded" else "unbounded"
        assert not fs.verify(replace(p, kind=fs.Kind(other)))
    assert found.verify().all()


@pytest.mark.skipif(not oracles.cdd_available(), reason="cddexec_gmp is not installed")
def test_sizes_mean_the_whole_input(way: str):
    layer = layer_of("stride")
    inside = np.zeros(layer.input_shape, dtype=np.bool_)
    inside[WINDOW] = True
    free = inside.ravel()
    checked = 0
    for seed in range(8):
        x = sample_of(layer, seed)
        p = fs.preimage(layer, x=x, domain=fs.Box(0, 3), window=WINDOW)
        right = truth(layer, x, fs.Box(0, 3))
        if p.kind != "bounded":
            continue
        checked += 1
        vertices = np.array([[float(v) for v in vertex] for vertex in right.vertices])
        low, high = p.bounding_box()
        np.testing.assert_allclose(low[free], vertices.min(axis=0), atol=1e-9)
        np.testing.assert_allclose(high[free], vertices.max(axis=0), atol=1e-9)
        np.testing.assert_array_equal(low[~free], x[~free])
        np.testing.assert_array_equal(high[~free], x[~free])
        c = np.random.default_rng(seed).normal(size=layer.inputs)
        spread = vertices @ c[free]
        assert p.width(c) == pytest.approx(spread.max() - spread.min(), abs=1e-9)
        assert p.width(np.where(free, 0.0, 1.0)) == 0.0
        vertex = x.copy()
        vertex[free] = np.array([float(v) for v in right.vertices[-1]])
        assert p.contains(x)
        assert p.contains(vertex) == all(v.denominator & (v.denominator - 1) == 0 for v in right.vertices[-1])
        moved = x.copy()
        moved[np.flatnonzero(~free)[0]] += 1.0
        assert not p.contains(moved)
        assert np.linalg.norm(vertices - x[free], axis=1).max() <= p.radius
        center, radius = p.chebyshev_center()
        assert radius > 0
        np.testing.assert_array_equal(center[~free], x[~free])
        points = p.sample(3, seed=1)
        np.testing.assert_array_equal(points[:, ~free], np.tile(x[~free], (3, 1)))
        e = p.enclosure(c[None])
        assert e.verify()
        assert e.high[0] - e.low[0] >= spread.max() - spread.min() - 1e-9
    assert checked > 1


@pytest.mark.parametrize("power", [-40, 3, 40])
def test_scales_do_not_matter(power: int, way: str):
    plain, scaled = layer_of("padding"), layer_of("padding", 2.0**power)
    for seed in range(3):
        x = sample_of(plain, seed)
        p, q = (fs.preimage(layer, x=x, domain=fs.NonNegative(), window=WINDOW) for layer in (plain, scaled))
        assert (p.kind, p.dimension) == (q.kind, q.dimension)
        assert fs.verify(q)


def test_what_units_read_of_fixed_coordinates_is_kept_exactly():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 9)) * 2.0 ** rng.integers(-30, 30, size=(6, 9))
    x = rng.normal(size=9)
    for scale in (1.0, 2.0**-270, 2.0**-900):  # products near the ends of float64 are added as fractions
        parts = _exact_sums(sparse(A * scale), x)
        assert parts is not None
        for row, sums in zip((A * scale).tolist(), parts.tolist(), strict=True):
            exact = oracles.dot(oracles.exact_vector(row), oracles.exact_vector(x.tolist()))
            assert sum(oracles.exact_vector(sums)) == exact
    assert _exact_sums(sparse(A * 2.0**-990), x) is None, "these have digits below the smallest float"


@pytest.mark.parametrize(
    "window",
    [
        np.s_[:, 1:3],
        np.s_[:, 1:3, 0:2, 0],
        np.s_[:, 2:2, :],
        np.s_[:, 0:9, :],
        np.s_[:, -5:, :],
        np.s_[1, :, :],
        (slice(None), "1:3", slice(None)),
        (slice(None), 1.0, slice(None)),
        (slice(None), True, slice(None)),
        "8:24",
        np.zeros((1, 4, 4), dtype=bool),
        [slice(None)] * 3,
        (slice(0.5, 2), slice(None), slice(None)),
    ],
    ids=str,
)
def test_a_window_that_does_not_fit_is_refused(window: object):
    layer = layer_of("padding")
    x = sample_of(layer, 0)
    for ask in (lambda: fs.preimage(layer, x=x, window=window), lambda: fs.classify(layer, x[None], window=window)):
        with pytest.raises(fs.InputError, match="window") as error:
            ask()
        assert "np.s_" in str(error.value)


def test_a_window_needs_an_input_in_the_domain():
    layer = layer_of("padding")
    x = sample_of(layer, 0)
    with pytest.raises(fs.InputError, match="window"):
        fs.preimage(layer, y=layer(x), window=WINDOW)
    outside = x.copy()
    outside[0] = -1.0
    with pytest.raises(fs.InputError, match="coordinate 0 in"):
        fs.preimage(layer, x=outside, domain=fs.NonNegative(), window=WINDOW)
    with pytest.raises(fs.InputError, match=r"X\[1\]"):
        fs.classify(layer, np.stack([x, outside]), fs.NonNegative(), window=WINDOW)
