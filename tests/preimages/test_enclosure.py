"""Certified sizes of preimages against lists of vertices and rays in exact arithmetic, and claims that were changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import fiberscope as fs
import oracles
from fiberscope.preimages.preimage import Preimage
from random_layers import DOMAINS, _domain_and_point

needs_cdd = pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib is not installed")
search: Any = import_module("fiberscope.preimages.extent_search")
METHODS = {"programs": search.SMALL, "ascent": 0}


def questions(count: int, seed: int) -> Iterator[tuple[Preimage, oracles.System]]:
    """Preimages of small layers of clips that are not empty: by inputs, by outputs, by intervals; and what they are."""
    generator = np.random.default_rng(seed)
    while count:
        n, m = int(generator.integers(1, 5)), int(generator.integers(1, 10))
        domain, x = _domain_and_point(DOMAINS[count % len(DOMAINS)], n, 1.0, generator)
        weight = generator.integers(-2, 3, (m, n)).astype(np.float64)
        bias = -weight @ x + generator.integers(-2, 5, m)
        high = generator.choice([2.0, 3.0, np.inf], m, p=[0.2, 0.2, 0.6])
        layer = fs.ReLULayer(weight, bias, high=high)
        within = generator.choice([0.0, 0.5, 1.0, 3.0], m) if generator.random() < 0.8 else np.zeros(m)
        y = layer(x)
        ends = y - generator.choice([0.5, 1.0, np.inf], m), y + generator.choice([0.5, 1.0, np.inf], m)
        kind = count % 3
        p = (
            fs.preimage(layer, x=x, domain=domain, within=within) if kind == 0
            else fs.preimage(layer, y=y, domain=domain, within=within) if kind == 1
            else fs.preimage(layer, y=fs.Interval(*ends), domain=domain)
        )  # fmt: skip
        asked = {"x": x} if kind == 0 else {"y": (y, y) if kind == 1 else ends}
        if p.kind not in (fs.Kind.EMPTY, fs.Kind.UNDECIDED):
            count -= 1
            slack = 0.0 if kind == 2 else within
            yield p, oracles.interval_system(weight, bias, high=high, domain=domain, within=slack, **asked)


def exact_ends(answer: oracles.Answer, c: Any) -> tuple[Any, Any]:
    """The least and the greatest value of ``c x``, exactly; infinite along rays."""
    row = oracles.exact_vector(c)
    values = [oracles.dot(row, vertex) for vertex in answer.vertices]
    slopes = [oracles.dot(row, ray) for ray in answer.rays] + [abs(oracles.dot(row, line)) for line in answer.lines]
    slopes += [-abs(oracles.dot(row, line)) for line in answer.lines]
    return -np.inf if min(slopes, default=0) < 0 else min(values), np.inf if max(slopes, default=0) > 0 else max(values)


@pytest.mark.exhaustive(every=2)
@needs_cdd
@pytest.mark.parametrize("method", METHODS)
def test_bounds_and_points_lie_on_their_sides_of_the_truth(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``low <= min <= reached_low`` and ``reached_high <= max <= high``, by all vertices and rays; and all verifies."""
    monkeypatch.setattr(search, "SMALL", METHODS[method])
    near = reached = bounded = 0
    for p, right in questions(45, seed=3):
        answer = oracles.cdd_answer(right)
        directions = np.concatenate([np.eye(p.layer.inputs), [np.arange(p.layer.inputs) - 1.0]])
        e = p.enclosure(directions)
        assert e.verify(), e.verify().reason
        for i, c in enumerate(directions):
            least, most = exact_ends(answer, c)
            assert e.low[i] <= least <= e.reached_low[i]
            assert e.reached_high[i] <= most <= e.high[i]
            if np.isfinite(float(least)) and np.isfinite(float(most)) and p.kind != fs.Kind.UNBOUNDED:
                size = max(float(most - least), 1.0)
                bounded += 1
                share = 1e-5 if method == "programs" else 0.05
                near += max(float(e.high[i] - most), float(least - e.low[i])) <= share * size
                reached += e.reached_high[i] - e.reached_low[i] >= (1 - share) * float(most - least)
        away = [
            sum((v - Fraction(c)) ** 2 for v, c in zip(vertex, e.center, strict=True)) for vertex in answer.vertices
        ]
        assert np.isinf(e.radius) or max(away) <= Fraction(e.radius) ** 2
    assert bounded >= 50
    assert near >= (0.95 if method == "programs" else 0.8) * bounded, (near, bounded)
    assert reached >= 0.5 * bounded, (reached, bounded)


def small(seed: int = 0) -> Preimage:
    """A bounded preimage of a dozen units, of full dimension."""
    generator = np.random.default_rng(seed)
    layer = fs.ReLULayer(generator.standard_normal((12, 5)), generator.standard_normal(12))
    return fs.preimage(layer, x=generator.random(5), domain=fs.Box(0, 1), within=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_it_agrees_with_the_linear_programs(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SMALL", METHODS[method])
    p = small()
    low, high = p.bounding_box()
    e = p.enclosure(seconds=5.0)
    width = high - low
    assert (e.low <= low + 1e-9 * width).all()
    assert (e.high >= high - 1e-9 * width).all()
    near = 1e-6 if method == "programs" else 0.02
    assert ((e.high - e.low) <= (1 + near) * width).all()
    assert ((e.reached_high - e.reached_low) >= (1 - near) * width).all()
    assert np.linalg.norm(p.sample(50, 0) - e.center, axis=1).max() <= e.radius <= p.radius
    assert all(p.contains(point) for points in e.points for point in points)
    c = np.ones(5)
    along = p.enclosure(c[None])
    assert along.high[0] - along.low[0] == pytest.approx(p.width(c), rel=1e-6 if method == "programs" else 0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("e", [-300, 40, 300])
def test_units_mean_nothing(method: str, e: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs and outputs times a power of two, rows and coordinates by different ones: the same in their units."""
    monkeypatch.setattr(search, "SMALL", METHODS[method])
    p = small(3)
    plain, A, b = p.enclosure(), p.layer.weight, p.layer.bias
    assert p.x is not None
    rows, columns = e + np.arange(12) - 6, np.arange(5) * 3 - 7
    layer = fs.ReLULayer(np.ldexp(np.ldexp(np.asarray(A), -columns), rows[:, None] - e), np.ldexp(b, rows))
    domain = fs.Box(0, np.ldexp(1.0, columns + e))
    q = fs.preimage(layer, x=np.ldexp(p.x, columns + e), domain=domain, within=np.ldexp(0.05, rows))
    other = q.enclosure()
    assert other.verify()
    width = plain.high - plain.low
    for name in ("low", "high", "reached_low", "reached_high"):
        moved = np.abs(np.ldexp(getattr(other, name), -columns - e) - getattr(plain, name))
        assert (moved <= (1e-6 if method == "programs" else 0.02) * width).all(), name


CHANGES: dict[str, Any] = {
    "low": lambda e: replace(e, low=e.low + 1e-3),
    "high": lambda e: replace(e, high=e.high - 1e-3),
    "radius": lambda e: replace(e, radius=0.99 * e.radius),
    "center": lambda e: replace(e, center=e.center + 0.01),
    "reached": lambda e: replace(e, reached_high=e.reached_high + 1e-3),
    "within": lambda e: replace(e, preimage=replace(e.preimage, within=0.06)),
    "x": lambda e: replace(e, preimage=replace(e.preimage, x=e.preimage.x + 0.01)),
    "domain": lambda e: replace(e, preimage=replace(e.preimage, domain=fs.Box(-1, 2))),
    "layer": lambda e: replace(e, preimage=replace(e.preimage, layer=fs.ReLULayer(0.9 * e.preimage.layer.weight))),
    "multipliers": lambda e: replace(e, multipliers=(e.multipliers[0], 0.5 * e.multipliers[1])),
    "points": lambda e: replace(e, points=(e.points[0], e.points[1] + 1.0)),
    "nothing": lambda e: replace(e, preimage=None),
    "text": lambda e: replace(e, low="low"),
    "a list": lambda e: replace(e, high=e.high.tolist()),
    "objects": lambda e: replace(e, high=e.high.astype(object)),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_enclosure_is_not_proved(change: str) -> None:
    e = small().enclosure()
    assert e.verify()
    verification = CHANGES[change](e).verify()
    assert not verification
    assert verification.reason


def test_a_singleton_is_its_point() -> None:
    layer = fs.ReLULayer([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [0.0, 0.0, 1.0])
    e = fs.preimage(layer, x=[0.5, 0.25]).enclosure()
    assert e.low.tolist() == e.high.tolist() == e.reached_low.tolist() == e.center.tolist() == [0.5, 0.25]
    assert (e.radius, bool(e.verify())) == (0.0, True)
    given = fs.preimage(layer, y=[0.125, 0.25, 0.625]).enclosure([[1.0, 1.0]])
    assert given.low[0] <= 0.375 <= given.high[0] <= given.low[0] + 1e-12
    assert given.verify()


def test_an_unbounded_preimage_is_bounded_where_it_is() -> None:
    layer = fs.ReLULayer([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    e = fs.preimage(layer, x=[1.0, 2.0, 3.0], within=0.5, domain=fs.Box(-np.inf, [2.0, 7.0, np.inf])).enclosure(
        np.concatenate([np.eye(3), [[0.0, 1.0, 1.0]]])
    )
    np.testing.assert_allclose(e.low, [0.5, -np.inf, -2.5, 4.5], rtol=1e-12)
    np.testing.assert_allclose(e.high, [1.5, 7.0, np.inf, 5.5], rtol=1e-12)
    assert e.verify()
    assert "unbounded" in e.reason
    assert np.isinf(e.radius)


def test_a_convolution_keeps_its_sparse_rows() -> None:
    """By the ascent: every input that has those features lies within, and some reach nearly as far."""
    import torch

    torch.manual_seed(0)
    weight, n = torch.randn(6, 1, 3, 3, dtype=torch.float64), 36
    units = torch.eye(n, dtype=torch.float64).reshape(n, 1, 6, 6)
    rows = torch.nn.functional.conv2d(units, weight, padding=1).reshape(n, -1).T.numpy()
    layer = fs.ReLULayer(csr_array(rows), np.full(len(rows), 0.1))
    x = np.random.default_rng(0).random(n)
    p = fs.preimage(layer, x=x, domain=fs.Box(0, 1), within=0.01)
    seen: list[tuple[int, int]] = []
    search_small, search.SMALL = search.SMALL, 0
    try:
        e = p.enclosure(progress=lambda done, total: seen.append((done, total)))
    finally:
        search.SMALL = search_small
    assert e.verify()
    assert (e.low <= x).all()
    assert (x <= e.high).all()
    inner = e.reached_high - e.reached_low
    assert np.median((e.high - e.low) / inner) < 1.1
    assert seen
    assert {total for _, total in seen} == {2 * n}
    width = p.width(np.eye(n)[10])
    assert e.reached_high[10] - e.reached_low[10] <= width + 1e-9
    assert width <= e.high[10] - e.low[10] + 1e-9


def test_bad_requests_have_one_clear_error() -> None:
    p = small()
    for asked, named in (
        ({"directions": np.eye(4)}, "directions"),
        ({"directions": np.ones(5)}, "directions"),
        ({"directions": np.full((1, 5), np.nan)}, "directions"),
        ({"seconds": 0.0}, "seconds"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(fs.InputError, match=f"^{named}: "):
            p.enclosure(**asked)
    empty = fs.preimage(fs.ReLULayer([[1.0]]), y=[-1.0])
    with pytest.raises(fs.InputError, match="empty"):
        empty.enclosure()


def test_it_ends_in_time() -> None:
    e = small().enclosure(seconds=1e-9)
    assert e.verify()
    assert "time" in e.reason
    assert np.isfinite(e.high).all(), "the domain bounds all"


def test_it_shows_itself_in_a_line() -> None:
    assert repr(small().enclosure()).startswith("Enclosure(5 directions, median width ")


def test_pixels_of_an_8_bit_image_hold_their_known_range(external: Any) -> None:
    """A trained layer of 3500 units, features in half a step of 8 bits: against optima of linear programs."""
    from safetensors.numpy import load_file

    from fiberscope.data.datasets import load_data

    weights = load_file(external / "models" / "fashion_mlp_3500_784.safetensors")
    x = np.asarray(load_data("fashion-mnist").x[0], dtype=np.float64).ravel()
    layer = fs.ReLULayer(weights["0.weight"], weights["0.bias"])
    p = fs.preimage(layer, x=x, domain=fs.Box(0, 1), within=0.0023087334343838703)
    e = p.enclosure(np.eye(784)[[300, 330, 406]])
    assert e.verify()
    low, high = np.array([0.5044, 0.5714, 0.3161]), np.array([0.7464, 0.8223, 0.5545])
    assert (e.low <= low + 1e-4).all()
    assert (low - 1e-4 <= e.reached_low).all()
    assert (e.reached_high <= high + 1e-4).all()
    assert (high - 1e-4 <= e.high).all()
    assert ((e.high - e.low) <= 1.5 * (high - low)).all()
    assert ((e.reached_high - e.reached_low) >= 0.9 * (high - low)).all()
