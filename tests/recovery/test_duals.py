"""Bounds for nothing: against linear programs, in all units, and never as wide as what is not known."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy.optimize import linprog

import fiberscope as fs
from fiberscope.checker.curves import Curves
from fiberscope.recovery.duals import free_duals
from fiberscope.recovery.proof import Proof, prove
from fiberscope.recovery.question import Known, Subject

recover = importlib.import_module("fiberscope.recovery.recover")  # the package gives the function that name


def image(generator, n=12, black=7, told=9):
    """A layer, an input with black pixels, and which units are on: fewer than pixels, so that black ones are needed."""
    x = np.where(np.arange(n) < black, 0.0, generator.uniform(0.2, 0.8, n))
    A = generator.standard_normal((told + 20, n))
    A[1, :black] = -A[2, :black] - generator.uniform(0.5, 1.0, black)  # their sum rises with no black pixel
    z = np.where(np.arange(len(A)) < told, generator.uniform(0.5, 1.5, len(A)), -generator.uniform(0.1, 1.5, len(A)))
    A[1, black:] = -A[2, black:]
    return A, z - A @ x, x


def bounds(A, b, x, eps, domain):
    layer = fs.ReLULayer(A, b)
    within = np.broadcast_to(eps, b.shape).astype(np.float64)
    known = Known(layer(x), within, domain, Curves.unknown(layer.injective))
    duals = free_duals(layer, known, x)
    return None if duals is None else prove(Subject.of(layer, 0), known, Proof(duals=duals))


def widest(A, b, x, eps, j):
    """The exact ends of a coordinate, by HiGHS."""
    z = A @ x + b
    on = z > eps
    rows, sides = np.vstack([A, -A[on]]), np.concatenate([np.maximum(z, 0) + eps - b, -(z - eps - b)[on]])
    ends = [linprog(sign * np.eye(len(x))[j], rows, sides, bounds=(0, 1)).fun for sign in (1, -1)]
    return ends[0], -ends[1]


@pytest.mark.parametrize("eps", [1e-7, 1e-4])
def test_black_pixels_and_few_outputs_bound_all_coordinates(eps):
    generator, found = np.random.default_rng(0), 0
    for _ in range(8):
        A, b, x = image(generator)
        proved = bounds(A, b, x, eps, fs.Box(0, 1))
        if proved is None:
            continue
        found += 1
        assert ((proved.low <= x) & (x <= proved.high)).all()
        assert np.median(proved.high - proved.low) < 1e3 * eps
        for j in (0, len(x) - 1):
            low, high = widest(A, b, x, eps, j)
            assert proved.low[j] <= low + 1e-9
            assert proved.high[j] >= high - 1e-9
    assert found >= 6


@pytest.mark.parametrize("power", [-30, 30])
def test_rows_and_coordinates_in_other_units_give_the_same(power):
    A, b, x = image(np.random.default_rng(1))
    row, column = 2.0 ** (power * (np.arange(len(b)) % 2)), 2.0 ** (power * (np.arange(len(x)) % 3 == 0))
    one = bounds(A, b, x, 1e-5, fs.Box(0, 1))
    moved = bounds(A * row[:, None] / column, b * row, x * column, 1e-5 * row, fs.Box(0, column))
    for found, units in ((one, np.ones(len(x))), (moved, column)):  # of several certificates any may be found
        widths = (found.high - found.low) / units
        assert ((found.low / units <= x) & (x <= found.high / units)).all()
        assert np.median(widths) < 1e-2


def test_where_black_pixels_may_rise_nothing_comes_for_nothing():
    A, b, x = image(np.random.default_rng(2))
    assert bounds(A, b, x + 0.1, 1e-5, fs.Box(0, 1)) is None  # no pixel is black
    assert bounds(A[:5], b[:5], x, 1e-5, fs.Box(0, 1)) is None


def test_half_spaces_take_part():
    # x1 + x2 = 1 up to eps, x1 <= 0.25 and x2 <= 0.75: one point if eps were 0
    domain = fs.Box(0, 1) & fs.HalfSpaces([[1.0, 0.0], [0.0, 1.0]], [0.25, 0.75])
    proved = bounds(np.array([[1.0, 1.0]]), np.zeros(1), np.array([0.25, 0.75]), 1e-3, domain)
    np.testing.assert_array_less(proved.low, [0.25, 0.75])
    assert (proved.low >= np.array([0.25, 0.75]) - 2.5e-3).all()


def test_a_guess_next_to_a_side_is_taken_to_lie_on_it():
    A, b, x = image(np.random.default_rng(1))
    layer = fs.ReLULayer(A, b)
    known = Known(layer(x), np.full(len(b), 1e-4), fs.Box(0, 1), Curves.unknown(layer.injective))
    near, away = (np.where(x == 0, off, x) for off in (1e-6, 0.01))
    duals = free_duals(layer, known, near)
    assert duals is not None
    np.testing.assert_array_equal(duals.anchor, x)
    proved = prove(Subject.of(layer, 0), known, Proof(duals=duals))
    assert ((proved.low <= x) & (x <= proved.high)).all()
    assert (proved.high - proved.low).max() < 0.5
    assert free_duals(layer, known, away) is None


def test_without_seconds_bounds_for_nothing_are_the_last_of_a_large_layer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recover, "SMALL", 0)
    monkeypatch.setattr(recover, "NARROW", 0.0)
    A, b, x = image(np.random.default_rng(1))
    layer = fs.ReLULayer(A, b)
    quick, longer = (fs.recover(layer, layer(x), within=1e-3, seconds=seconds) for seconds in (None, 20))
    assert "with seconds=" in quick.reason
    assert not longer.reason
    for r in (quick, longer):
        assert r.scope == "domain"
        assert ((r.low <= x) & (x <= r.high)).all()
        assert r.verify()
    assert (longer.high - longer.low).sum() < (quick.high - quick.low).sum()
