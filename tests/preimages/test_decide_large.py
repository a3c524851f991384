"""Layers that are judged by products with their convolution alone, against the same layers written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network import relu_layer
from fiberscope.network.convolution import Convolution, joined_pointwise
from fiberscope.network.domains import Domain, as_polyhedron
from fiberscope.preimages.budget import NO_LIMIT
from fiberscope.preimages.certificate import Certificate, Face
from fiberscope.preimages.decide import NOTHING_PROVED
from fiberscope.preimages.decide_large import _thin, decide_large
from fiberscope.preimages.method import method_of
from fiberscope.preimages.verdict import Verdict

LAYERS = {
    "as many": ((4, 2, 3, 3), (2, 6, 6), 1, 1, 1),
    "fewer, by strides": ((4, 2, 3, 3), (4, 6, 6), 2, 1, 2),
    "single places": ((2, 6, 1, 1), (6, 4, 4), 1, 0, 1),
    "depthwise": ((4, 1, 3, 3), (4, 5, 5), 1, 1, 4),
}
MANY = ((12, 2, 3, 3), (2, 6, 6), 1, 1, 1)
DOMAINS: dict[str, Domain | None] = {"R^n": None, "orthant": fs.NonNegative(), "box": fs.Box(0, 5)}


def layer_of(name: str, scale: float = 1.0, high: float = np.inf) -> fs.ReLULayer:
    """A convolution of random numbers."""
    shape, inputs, stride, padding, groups = LAYERS.get(name, MANY)
    rng = np.random.default_rng(len(name))
    sides = ((padding, padding), (padding, padding))
    weight, bias = rng.normal(size=shape), 0.3 * rng.normal(size=shape[0])
    conv = Convolution(scale * weight, inputs, scale * bias, (stride, stride), sides, (1, 1), groups)
    none = np.zeros(conv.outputs, dtype=np.bool_)

    def write_out() -> tuple[object, np.ndarray]:
        return conv.rows().toarray(), conv.bias.numpy()

    return fs.ReLULayer.of_map(  # type: ignore[arg-type]
        write_out, conv.input_shape, conv.output_shape, none, high=scale * high, operator=conv
    )


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every convolution is held to be too large to be written out."""
    monkeypatch.setattr(relu_layer, "MAX_WRITTEN", 0)
    monkeypatch.setattr(relu_layer, "MAX_FACTORED", 0)


def both(name: str, domain: str, monkeypatch: pytest.MonkeyPatch, within: float = 0.0) -> tuple[object, object]:
    """The verdicts of the layer written out, and of the one that is not, each checked."""
    X = np.maximum(np.random.default_rng(5).normal(size=(3, layer_of(name).inputs)), 0.0)
    right = fs.classify(layer_of(name, high=2.0), X, DOMAINS[domain], within=within)
    monkeypatch.setattr(relu_layer, "MAX_WRITTEN", 0)
    monkeypatch.setattr(relu_layer, "MAX_FACTORED", 0)
    layer = layer_of(name, high=2.0)
    found = fs.classify(layer, X, DOMAINS[domain], within=within)
    assert layer._weight is None, "nothing was written out"
    assert [bool(fs.verify(p)) for p in found] == [p.kind != "undecided" for p in found]
    return right, found


@pytest.mark.exhaustive(every=5)
@pytest.mark.parametrize("within", [0.0, 0.01])
@pytest.mark.parametrize("domain", list(DOMAINS))
@pytest.mark.parametrize("name", list(LAYERS))
def test_what_is_decided_is_what_the_written_layer_says(
    name: str, domain: str, within: float, monkeypatch: pytest.MonkeyPatch
):
    right, found = both(name, domain, monkeypatch, within)
    decided = 0
    for p, q in zip(right, found, strict=True):
        assert (p.positives, p.saturated) == (q.positives, q.saturated)
        if q.kind == "undecided":
            assert q.reason
            continue
        decided += 1
        assert q.kind == p.kind
        low, high = q.dimension_bounds
        assert low <= p.dimension <= high
        assert not fs.verify(replace(q, dimension_bounds=(p.dimension + 1, high)))
    assert decided or name == "as many" or (name, domain) == ("depthwise", "R^n")


@pytest.mark.parametrize("domain", [None, fs.Box(-5, 5), fs.Box(-5, np.inf)])
def test_rows_that_span_all_inputs_leave_a_single_point(domain: Domain | None, large: None):
    layer = layer_of("many more")
    x = np.random.default_rng(4).normal(size=layer.inputs)
    found = fs.preimage(layer, x=x, domain=domain)
    assert layer._weight is None, "nothing was written out"
    rows = layer.operator.rows().toarray()
    assert np.linalg.matrix_rank(rows[rows @ x + layer.constants > 0]) == layer.inputs
    assert (found.kind, found.dimension) == ("singleton", 0)
    assert fs.verify(found)
    unit = layer_of("fewer, by strides")
    other = fs.preimage(unit, x=np.random.default_rng(4).normal(size=unit.inputs))
    assert not fs.verify(replace(other, kind=fs.Kind.SINGLETON, dimension=0, certificate=found.certificate))


def test_a_product_that_was_rounded_says_why_its_rank_is_not_known():
    rng = np.random.default_rng(0)
    thin = Convolution(rng.normal(size=(2, 6, 1, 1)), (6, 4, 4))
    wide = Convolution(rng.normal(size=(9, 2, 1, 1)), thin.output_shape)
    product = joined_pointwise(thin, wide)
    none = np.zeros(product.outputs, dtype=np.bool_)
    layer = fs.ReLULayer.of_map(
        lambda: (product.rows().toarray(), product.bias.numpy()), product.input_shape, product.output_shape, none,
        operator=product,
    )  # fmt: skip
    x = rng.uniform(1, 2, size=layer.inputs)
    question = Verdict(layer, fs.Box(0, 6), x, None, fs.Kind.UNDECIDED, None, 0.0, NOTHING_PROVED)
    found = decide_large(question, as_polyhedron(fs.Box(0, 6), layer.inputs), NO_LIMIT)
    assert found.kind in ("undecided", "bounded")
    assert ("rank 2 up to rounding" in found.reason) == (found.kind == "undecided")
    assert "rank 2 up to rounding" in _thin(product)
    assert not _thin(thin)
    assert not _thin(layer_of("depthwise").operator)


@pytest.mark.parametrize("power", [-30, 30])
def test_scales_do_not_matter(power: int, large: None):
    x = np.maximum(np.random.default_rng(1).normal(size=layer_of("single places").inputs), 0.0)
    p, q = (fs.preimage(layer_of("single places", s), x=x, domain=fs.NonNegative()) for s in (1.0, 2.0**power))
    assert (p.kind, p.dimension_bounds) == (q.kind, q.dimension_bounds)
    assert p.kind == "unbounded"


def test_a_certificate_that_is_changed_proves_nothing(large: None):
    layer = layer_of("single places")
    x = np.maximum(np.random.default_rng(1).normal(size=layer.inputs), 0.0)
    p = fs.preimage(layer, x=x, domain=fs.NonNegative())
    way = p.certificate.recession.direction
    assert fs.verify(p)
    away = replace(way, values=-way.values)
    assert not fs.verify(replace(p, certificate=replace(p.certificate, recession=Face(direction=away))))
    assert not fs.verify(replace(p, kind=fs.Kind.BOUNDED))
    assert not fs.verify(replace(p, certificate=Certificate(p.kind, None)))
    assert fs.verify(p, exact=True), "rational arithmetic writes small convolutions out"


def test_a_budget_ends_the_search(large: None):
    layer = layer_of("as many")
    p = fs.preimage(layer, x=np.ones(layer.inputs), domain=fs.NonNegative(), seconds=1e-9)
    assert p.kind == "undecided"
    assert "budget" in p.reason


def test_methods_are_named_before_any_work(large: None):
    layer = layer_of("as many")
    names = [
        method_of(layer, [layer.operator], bounds).name for bounds in ((-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0))
    ]
    assert len(set(names)) == 3
    many = layer_of("many more")
    everywhere = (-np.inf, np.inf)
    assert method_of(many, [many.operator], everywhere).seconds > 36 * 5e-5, "a proof in strips is counted"
    seconds = [
        method_of(layer, [layer.operator], (0.0, np.inf)).seconds,
        method_of(layer, [layer.operator], (0.0, 6.0)).seconds,
    ]
    assert seconds[0] > seconds[1] > 0
