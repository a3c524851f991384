"""Outputs that floating point computed: most are the output of no input; that is proved, or said within a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.preimages import budget

Array = np.ndarray[Any, Any]


def layer(m: int, n: int, seed: int = 0) -> tuple[fs.ReLULayer, Array]:
    """Gaussian rows, and an input half of whose coordinates are 0."""
    rng = np.random.default_rng(seed)
    x = rng.random(n) * (rng.random(n) < 0.5)
    return fs.ReLULayer(rng.standard_normal((m, n)), 0.3 * rng.standard_normal(m)), x


def narrow_product(m: int, n: int) -> tuple[fs.ReLULayer, Array]:
    """Rows of rank 8, as float64 rounds them."""
    rng = np.random.default_rng(0)
    return fs.ReLULayer(rng.standard_normal((m, 8)) @ rng.standard_normal((8, n))), rng.standard_normal(n)


def in_float32(one: fs.ReLULayer, x: Array) -> Array:
    return one(x).astype(np.float32).astype(np.float64)


def empty_by(rows: Any, values: Any = None) -> fs.Certificate:
    """A certificate that these rows contradict each other; by their ranks, where no weights are given."""
    part = fs.Multipliers(np.array(rows, dtype=np.int64), None if values is None else np.array(values))
    return fs.Certificate(fs.Kind.EMPTY, -1, fs.Face(part))


def weights_of(p: fs.Preimage) -> Any:
    """By which rows contradict each other; None where it is by their ranks."""
    assert p.certificate.tangent is not None
    assert p.certificate.tangent.multipliers is not None
    return p.certificate.tangent.multipliers.values


@pytest.mark.parametrize("domain", [fs.Box(0, 1), fs.NonNegative()], ids=["box", "nonnegative"])
@pytest.mark.parametrize("scale", [1.0, 2.0**-70, 2.0**70])
def test_a_rounded_output_on_a_domain_is_proved_empty_in_floats(domain: fs.Domain, scale: float) -> None:
    one, x = layer(110, 60)
    y = in_float32(one, x)
    assert (y > 0).sum() < 60  # on all of R^60 it has inputs
    p = fs.preimage(fs.ReLULayer(scale * np.asarray(one.weight), scale * one.bias), y=scale * y, domain=domain)
    assert (p.kind, p.dimension) == (fs.Kind.EMPTY, -1)
    assert weights_of(p) is not None
    proof = fs.verify(p)
    assert (proof.proved, proof.method) == (True, "float")
    assert "float32" in p.reason
    inside = fs.preimage(one, y=in_float32(one, x), domain=fs.Box(-1e6, 1e6))
    assert inside.kind == fs.Kind.BOUNDED


@pytest.mark.parametrize("domain", [None, fs.NonNegative(), fs.Box(0, 1)], ids=["all", "nonnegative", "box"])
def test_more_rows_than_coordinates_contradict_each_other(domain: fs.Domain | None) -> None:
    one, x = layer(80, 12)
    p = fs.preimage(one, y=one(x), domain=domain)  # float64: 1e-16 away from an output
    assert p.kind == fs.Kind.EMPTY
    assert weights_of(p) is None
    assert fs.verify(p, exact=True)
    assert "float64" in p.reason
    again = fs.Certificate.from_bytes(p.certificate.to_bytes())
    assert fs.verify(replace(p, certificate=again))


def test_rows_that_agree_are_not_inconsistent() -> None:
    """Integers: the output is that of an input, and no choice of rows proves otherwise."""
    rng = np.random.default_rng(1)
    one, x = fs.ReLULayer(rng.integers(-4, 5, (30, 4)).astype(float)), np.array([1.0, 2.0, 3.0, 4.0])
    y = one(x)
    p = fs.preimage(one, y=y)
    assert (p.kind, p.dimension) == (fs.Kind.SINGLETON, 0)
    wrong = fs.preimage(one, y=y + (np.arange(30) == np.argmax(y)))
    assert wrong.kind == fs.Kind.EMPTY
    P = np.flatnonzero(y > 0)
    for rows in (P[:5], P, P[:4], np.array([0, 0]), np.array([99]), np.zeros(0, dtype=np.int64)):
        assert not fs.verify(replace(p, kind=fs.Kind.EMPTY, dimension=-1, certificate=empty_by(rows)))
    # rows that read fewer coordinates than they are, but agree on these
    narrow = fs.ReLULayer([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    claim = replace(fs.preimage(narrow, y=[1, 2, 5]), kind=fs.Kind.EMPTY, dimension=-1)
    for rows in ([0, 1], [0, 1, 2]):
        assert not fs.verify(replace(claim, certificate=empty_by(rows)))
    truth = fs.preimage(narrow, y=[1, 3, 5])
    assert truth.kind == fs.Kind.EMPTY
    assert fs.verify(replace(truth, certificate=empty_by([0, 1])))


def test_multipliers_without_a_box_prove_no_empty_set_that_has_points() -> None:
    one = fs.ReLULayer([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0]])
    y = np.array([3.0, 1.0, 2.0])  # of (2, 1)
    claim = replace(fs.preimage(one, y=y), kind=fs.Kind.EMPTY, dimension=-1)
    for values in ([1.0, 1.0, -2.0], [1.0, 1.0, -2.0 - 1e-9], [-1.0, -1.0, 2.0], [1.0, 1.0, -2.5], [0.0, 0.0, -1.0]):
        for sigma in (0.0, 0.1):
            part = fs.Multipliers(np.arange(3), np.array(values), sigma)
            certificate = fs.Certificate(fs.Kind.EMPTY, -1, fs.Face(part))
            assert not fs.verify(replace(claim, certificate=certificate))
    away = replace(claim, y=np.array([3.0, 1.0, 2.25]))
    part = fs.Multipliers(np.arange(3), np.array([1.0, 1.0, -2.0 + 1e-12]), 0.1)
    certificate = fs.Certificate(fs.Kind.EMPTY, -1, fs.Face(part))
    proof = fs.verify(replace(away, certificate=certificate))
    assert (proof.proved, proof.method) == (True, "float")


def test_a_budget_is_kept_and_named() -> None:
    """Rows of rank 8 up to rounding need exact arithmetic, which takes longer than this."""
    one, x = narrow_product(400, 320)
    p = fs.preimage(one, x=x, seconds=0.5)
    assert p.kind == fs.Kind.UNDECIDED
    assert "0.5" in p.reason
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(fs.InputError, match="seconds"):
            fs.preimage(one, x=x, seconds=wrong)


def test_a_spent_budget_leaves_samples_undecided() -> None:
    one, x = layer(30, 20)
    X = np.stack([x, 0.5 * x, 0.25 * x])
    c = fs.classify(one, X, seconds=1e-9)
    assert list(c.kind) == ["undecided"] * 3
    assert all("budget" in p.reason for p in c)
    assert list(fs.classify(one, X, seconds=60).kind) == list(fs.classify(one, X).kind)


def test_a_product_of_narrow_matrices_is_undecided_with_its_true_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "DEFAULT_EXACT_SECONDS", 0.1)
    one, x = narrow_product(400, 320)
    p = fs.preimage(one, x=x)
    assert p.kind == fs.Kind.UNDECIDED
    assert "rank 8 up to rounding" in p.reason


def test_what_a_product_of_narrow_matrices_really_is() -> None:
    """The stored numbers, not the product that they round: exactly of full rank, and decided by the last digits."""
    rng = np.random.default_rng(3)
    A = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 10))
    x = rng.standard_normal(10)
    p = fs.preimage(fs.ReLULayer(A), x=x)
    positive = int((A @ x > 0).sum())
    assert p.dimension == max(0, 10 - positive)
    assert fs.verify(p, exact=True)
    whole = rng.integers(-3, 4, (40, 2)).astype(float) @ rng.integers(-3, 4, (2, 10)).astype(float)
    q = fs.preimage(fs.ReLULayer(whole), x=x)
    assert (q.kind, q.dimension) == (fs.Kind.UNBOUNDED, 8)
