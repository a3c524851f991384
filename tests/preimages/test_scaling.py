"""Sizes of rows and coordinates mean nothing: kinds and dimensions stay, whatever powers of two scale them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fiberscope as fs
from drawn_examples import examples
from fiberscope.preimages.balance import Balance
from fiberscope.preimages.verify import verify_in_float, verify_many

Array = np.ndarray[Any, Any]

EXTREMES = [-400, -200, -60, -3, 0, 0, 1, 60, 200, 400]


def layer_and_input(seed: int, m: int, n: int, positives: int) -> tuple[Array, Array, Array]:
    """Gaussian rows, an input of [0, 1) with some zeros, and offsets that make so many outputs positive."""
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((m, n)), rng.random(n) * (rng.random(n) < 0.7)
    order = np.argsort(A @ x)
    b = np.full(m, -0.5 * (A @ x)[order[[m - positives - 1, m - positives]]].sum())
    return A, b, x


def powers(seed: int, count: int, largest: int) -> Array:
    return 2.0 ** np.random.default_rng(seed).integers(-largest, largest + 1, count)


@st.composite
def scaled_questions(draw: st.DrawFn) -> tuple[Array, Array, Array, str, Array, Array]:
    """Weights and biases of a small layer, an input, the name of a domain, and exponents of its columns and rows."""
    m, n = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    entries = st.sampled_from([-2.0, -1.0, 0.0, 0.0, 1.0, 3.0])
    A = np.array(draw(st.lists(entries, min_size=m * n, max_size=m * n))).reshape(m, n)
    x = np.array(draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=n, max_size=n)))
    b = np.array(draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5]), min_size=m, max_size=m))) - A @ x
    domain = draw(st.sampled_from(["all", "orthant", "box"]))
    c, r = (np.array(draw(st.lists(st.sampled_from(EXTREMES), min_size=k, max_size=k))) for k in (n, m))
    return A, b, x, domain, c, r


def domain_of(name: str) -> fs.Domain | None:
    return {"all": lambda: None, "orthant": fs.NonNegative, "box": lambda: fs.Box(0, 1)}[name]()


def scaled(layer: fs.ReLULayer, domain: fs.Domain | None, c: Array, r: Array) -> tuple[fs.ReLULayer, fs.Domain | None]:
    """The layer for ``x = 2**c x'``, its rows times 2**r, and the domain of x'."""
    A = np.ldexp(np.asarray(layer.weight), r[:, None] + c)
    moved = fs.Box(0, np.ldexp(np.ones(len(c)), -c)) if isinstance(domain, fs.Box) else domain
    return fs.ReLULayer(A, np.ldexp(layer.bias, r)), moved


@examples(40)
@given(scaled_questions())
def test_kind_and_dimension_stay(question: tuple[Array, Array, Array, str, Array, Array]) -> None:
    A, b, x, name, c, r = question
    layer, domain = fs.ReLULayer(A, b), domain_of(name)
    before = fs.preimage(layer, x=x, domain=domain)
    other, moved = scaled(layer, domain, c, r)
    p = fs.preimage(other, x=np.ldexp(x, -c), domain=moved)
    assert (p.kind, p.dimension) == (before.kind, before.dimension)
    assert fs.verify(p)
    assert fs.verify(p, exact=True)


@examples(30)
@given(scaled_questions())
def test_kind_of_an_output_stays(question: tuple[Array, Array, Array, str, Array, Array]) -> None:
    A, b, x, name, c, r = question
    layer, domain = fs.ReLULayer(A, b), domain_of(name)
    y = layer(x) + np.where(np.arange(layer.outputs) == 0, 0.25, 0.0)  # of some input, or of none
    before = fs.preimage(layer, y=y, domain=domain)
    other, moved = scaled(layer, domain, c, r)
    p = fs.preimage(other, y=np.ldexp(y, r), domain=moved)
    assert (p.kind, p.dimension) == (before.kind, before.dimension)
    assert fs.verify(p, exact=True)


@pytest.mark.exhaustive(every=4)
@pytest.mark.parametrize("domain", [None, fs.NonNegative(), fs.Box(0, 1)], ids=["all", "nonnegative", "box"])
@pytest.mark.parametrize("positives", [10, 30, 45])
@pytest.mark.parametrize("columns", [0, 60, 300])
def test_float64_still_proves_dense_layers(domain: fs.Domain | None, positives: int, columns: int) -> None:
    A, b, x = layer_and_input(positives, 160, 48, positives)
    before = fs.preimage(fs.ReLULayer(A, b), x=x, domain=domain)
    c, r = (np.log2(powers(seed, size, columns)).astype(int) for seed, size in ((1, 48), (2, 160)))
    layer, moved = scaled(fs.ReLULayer(A, b), domain, c, r)
    p = fs.preimage(layer, x=np.ldexp(x, -c), domain=moved)
    assert (p.kind, p.dimension) == (before.kind, before.dimension)
    assert verify_in_float(p)
    if columns == 0:
        assert p.margin == before.margin


def test_columns_that_differ_by_powers_of_two_become_one_matrix() -> None:
    A, b, _ = layer_and_input(0, 40, 12, 5)
    domain = fs.NonNegative().polyhedron(12)
    one = Balance.of(fs.ReLULayer(A, b), domain)
    other = Balance.of(fs.ReLULayer(A * powers(3, 12, 80), b), domain)
    np.testing.assert_array_equal(one.layer.weight, other.layer.weight)
    assert one.layer.weight.any()


@pytest.mark.parametrize("sparse", [False, True])
def test_many_samples_share_proofs_of_scaled_layers(sparse: bool) -> None:
    import scipy.sparse

    A, b, _ = layer_and_input(5, 160, 48, 30)
    X = np.random.default_rng(0).random((12, 48)) * (np.random.default_rng(1).random((12, 48)) < 0.8)
    c = np.log2(powers(1, 48, 60)).astype(int)
    weight = np.ldexp(A, c)
    layer = fs.ReLULayer(scipy.sparse.csr_array(weight) if sparse else weight, b)
    box = fs.Box(0, np.ldexp(np.ones(48), -c))
    before, after = fs.classify(fs.ReLULayer(A, b), X, fs.Box(0, 1)), fs.classify(layer, np.ldexp(X, -c), box)
    np.testing.assert_array_equal(before.kind, after.kind)
    np.testing.assert_array_equal(before.dimension, after.dimension)
    assert verify_many(after.preimages).all()


def test_a_scaled_certificate_proves_no_false_dimension() -> None:
    A, b, x = layer_and_input(7, 160, 48, 30)
    c = powers(2, 48, 60)
    p = fs.preimage(fs.ReLULayer(A * c, b), x=x / c, domain=fs.NonNegative())
    assert fs.verify(p)
    assert p.dimension is not None
    for wrong in (replace(p, dimension=p.dimension + 1), replace(p, x=(x / c)[::-1].copy())):
        assert not verify_in_float(wrong)
    certificate = replace(p.certificate, dimension=p.dimension + 1)
    assert not verify_in_float(replace(p, dimension=p.dimension + 1, certificate=certificate))


@pytest.mark.parametrize("tiny", [5e-324, 2.0**-1060, 1e-310])
def test_numbers_that_would_be_rounded_are_left_alone(tiny: float) -> None:
    """Subnormal weights beside large ones: scaled or not, what is proved is about the stored numbers."""
    layer = fs.ReLULayer([[tiny, 0.0], [0.0, 1e300]], [-tiny, -1e300])
    p = fs.preimage(layer, x=[2.0, 2.0])
    assert (p.kind, p.dimension) == (fs.Kind.SINGLETON, 0)
    assert fs.verify(p, exact=True)
    q = fs.preimage(layer, x=[0.5, 2.0])
    assert (q.kind, q.dimension) == (fs.Kind.UNBOUNDED, 1)
    assert fs.verify(q, exact=True)
