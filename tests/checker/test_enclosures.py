"""Whatever multipliers are, what follows from them is true; and claims that say more do not verify."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import oracles
from fiberscope.checker.enclosures import Claim, Question, bounds, ends, gaps, inside, prove, radius_of, values
from fiberscope.checker.matrices import NotProvedError
from fiberscope.checker.system import System
from plain_claims import floats, system

needs_cdd = pytest.mark.skipif(not oracles.cdd_available(), reason="cddlib is not installed")
HOSTILE = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -7.0, 1e-300, -5e-324, 5e-324, 1e300, -1e308, 1e16, np.inf, -np.inf, np.nan)


def at_input(x: Any, within: Any, reach: float = np.inf) -> Question:
    return Question(floats(x), None, None, floats(within), floats(x), reach)


def at_output(low: Any, high: Any, within: Any, anchor: Any, reach: float = np.inf) -> Question:
    return Question(None, floats(low), floats(high), floats(within), floats(anchor), reach)


def cases(count: int, seed: int) -> Iterator[tuple[System, Question, oracles.System]]:
    """Small whole numbers, so that sides meet, rows repeat, and zero is everywhere."""
    generator = np.random.default_rng(seed)
    for k in range(count):
        n, m = int(generator.integers(1, 4)), int(generator.integers(1, 7))
        weight, x = generator.integers(-2, 3, (m, n)).astype(np.float64), floats(generator.integers(-1, 3, n))
        bias, high = floats(generator.integers(-2, 4, m)), generator.choice([2.0, np.inf], m)
        box = x - generator.choice([0.0, 1.0, np.inf], n), x + generator.choice([0.0, 2.0, np.inf], n)
        G = floats(generator.integers(-1, 2, (k % 2, n)))
        h = G @ x + generator.integers(0, 2, k % 2)
        within = generator.choice([0.0, 0.5, 2.0], m)
        plain = system(weight, bias, high=high, box=box, G=G, h=h, sparse=k % 3 == 0)
        domain = _Domain(*box, G, h)
        y = np.clip(weight @ x + bias, 0.0, high)
        if k % 2:
            right = oracles.interval_system(weight, bias, high=high, x=x, within=within, domain=None)
            yield plain, at_input(x, within), _with_domain(right, domain)
        else:
            right = oracles.interval_system(weight, bias, high=high, y=(y, y), within=within, domain=None)
            anchor = x + generator.choice([0.0, 1.0, 0.3], n)
            yield plain, at_output(y, y, within, anchor), _with_domain(right, domain)


class _Domain:
    def __init__(self, low: Any, high: Any, G: Any, h: Any) -> None:
        self.low, self.high, self.G, self.h = low, high, G, h


def _with_domain(right: oracles.System, domain: _Domain) -> oracles.System:
    rows = list(right.inequalities)
    for j in range(right.n):
        unit = np.eye(right.n)[j]
        for end, sign in ((domain.low[j], -1.0), (domain.high[j], 1.0)):
            if np.isfinite(end):
                rows.append((oracles.exact_vector(sign * unit), oracles.exact_vector([sign * end])[0]))
    rows += [(oracles.exact_vector(g), oracles.exact_vector([v])[0]) for g, v in zip(domain.G, domain.h, strict=True)]
    return replace(right, inequalities=tuple(rows))


def largest(answer: oracles.Answer, c: Any) -> Any:
    """The largest ``c x``, exactly."""
    row = oracles.exact_vector(c)
    slopes = [oracles.dot(row, ray) for ray in answer.rays] + [abs(oracles.dot(row, line)) for line in answer.lines]
    return np.inf if max(slopes, default=0) > 0 else max(oracles.dot(row, vertex) for vertex in answer.vertices)


@needs_cdd
def test_no_multipliers_give_a_wrong_bound() -> None:
    """Random, scaled, and hostile ones, against exact vertices and rays; some do give bounds."""
    generator = np.random.default_rng(0)
    finite = 0
    for plain, question, right in cases(40, seed=1):
        answer = oracles.cdd_answer(right)
        n, rows = plain.weight.shape[1], plain.weight.shape[0] + plain.G.shape[0]
        directions = np.concatenate([np.eye(n), -np.eye(n), floats(generator.integers(-2, 3, (6, n)))])
        sides = gaps(plain, question)
        sign = np.where(np.isfinite(sides.high), 1.0, 0.0) - np.where(np.isfinite(sides.low), 1.0, 0.0)
        fitting = np.abs(generator.integers(-2, 3, (len(directions), rows))) * sign
        for multipliers in (
            fitting,
            (0.3 * fitting).astype(np.float32),
            generator.standard_normal(fitting.shape),
            generator.choice(HOSTILE, fitting.shape),
            np.where(generator.random(fitting.shape) < 0.2, generator.choice(HOSTILE, fitting.shape), fitting),
        ):
            low, high = ends(
                plain, question, directions, bounds(plain, question, directions, (multipliers, multipliers))
            )
            for i, c in enumerate(directions):
                most, least = largest(answer, c), -largest(answer, -c)
                assert low[i] <= least, (low[i], least)
                assert high[i] >= most, (high[i], most)
            finite += int(np.isfinite(high).sum())
    assert finite >= 500


@needs_cdd
def test_points_are_inside_exactly() -> None:
    generator = np.random.default_rng(2)
    hit = 0
    for plain, question, right in cases(40, seed=5):
        n = plain.weight.shape[1]
        points = question.anchor + generator.choice(
            [0.0, 0.5, -0.5, 1.0, 2.0**-40, np.nan], (20, n), p=[0.6, *[0.08] * 5]
        )
        expected = [bool(np.isfinite(point).all()) and right.holds(point) for point in points]
        assert inside(plain, question, points).tolist() == expected
        hit += sum(expected)
    assert hit >= 50


def test_an_integer_equality_is_proved_on_all_of_space() -> None:
    """``x + y`` is known, x alone is not: what multipliers leave is exactly 0, or nothing is proved."""
    plain = system([[1.0, 1.0]], [0.0])
    question = at_input([1.0, 2.0], [0.25])
    directions = floats([[1, 1], [2, 2], [1, 0]])
    w = floats([[1], [2], [1]])
    low, high = ends(plain, question, directions, bounds(plain, question, directions, (-w, w)))
    np.testing.assert_allclose(low, [2.75, 5.5, -np.inf], rtol=1e-14)
    np.testing.assert_allclose(high, [3.25, 6.5, np.inf], rtol=1e-14)
    assert np.isinf(
        ends(plain, question, directions, bounds(plain, question, directions, (-w * 1.25, w * 1.25)))[1]
    ).all()


def test_a_narrow_interval_keeps_its_digits() -> None:
    """Known to 1e-30 beside an output near 1e3: bounds from the anchor are that narrow."""
    plain = system([[3.0, 1.0], [1.0, -1.0]], [1000.0, 5.0], box=(-10, 10))
    question = at_input([1.0, 2.0], [1e-30, 1e-30])
    w = floats([[0.25, 0.25], [0.25, -0.75]])
    found = bounds(plain, question, np.eye(2), (-w, w))
    np.testing.assert_allclose((found.low, found.high), [[0.5e-30, 1e-30]] * 2, rtol=1e-9)
    assert (found.high >= [0.5e-30, 1e-30]).all()


@pytest.mark.parametrize("e", [-400, -30, 30, 400])
@pytest.mark.parametrize("what", ["rows", "columns", "directions", "all"])
def test_units_mean_nothing(what: str, e: int) -> None:
    """Rows, coordinates, directions, outputs times powers of two: the same bounds in their units, bit by bit."""
    generator = np.random.default_rng(4)
    A, b, x = generator.standard_normal((5, 3)), generator.standard_normal(5), generator.random(3)
    w, c = np.abs(generator.standard_normal((2, 5))), generator.standard_normal((2, 3))
    z = A @ x + b
    r = np.arange(5) * e // 5 if what == "rows" else np.zeros(5, dtype=int)
    q = np.array([0, e // 2, e]) if what == "columns" else np.zeros(3, dtype=int)
    g = e if what == "directions" else 0
    a = e if what == "all" else 0

    def found(r: Any, q: Any, g: int, a: int) -> Any:
        weight, side = np.ldexp(np.ldexp(A, q), r[:, None]), r + a
        plain = system(weight, np.ldexp(b, side), box=(np.ldexp(x - 0.3, a - q), np.ldexp(x + 0.4, a - q)))
        question = at_input(np.ldexp(x, a - q), np.ldexp(np.where(z > 0, 0.1, 0.2), side))
        directions, multipliers = np.ldexp(np.ldexp(c, q), g), np.ldexp(np.ldexp(w, -r), g)
        multipliers = np.where(np.isfinite(gaps(plain, question).high), multipliers, 0.0)
        return ends(plain, question, directions, bounds(plain, question, directions, (-0.0 * multipliers, multipliers)))

    zeros = np.zeros(5, dtype=int)
    for plain, scaled in zip(found(zeros, zeros[:3], 0, 0), found(r, q, g, a), strict=True):
        np.testing.assert_allclose(np.ldexp(scaled, -g - a), plain, rtol=1e-13)


def claim() -> tuple[System, Question, Claim]:
    plain = system([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]], [0.0, 0.0, 1.0], box=(0, 1))
    question = at_input([0.5, 0.25], [0.1, 0.1, 0.1])
    directions = np.eye(2)
    w = floats([[1, 0, 0], [0, 0.5, 0]])
    found = bounds(plain, question, directions, (-w, w)).widened(8.0, directions)
    low, high = ends(plain, question, directions, found)
    points = floats([[0.4375, 0.25], [0.5, 0.25]]), floats([[0.5625, 0.25], [0.5, 0.28125]])
    reached = [values(directions, place)[0] for place in points]
    center = floats([0.5, 0.25])
    return plain, question, Claim(
        directions, (-w, w), low, high, points, reached[0], reached[1], center, radius_of(found, question, center)
    )  # fmt: skip


CHANGES: dict[str, Any] = {
    "a larger low": lambda c: replace(c, low=c.low + 1e-9),
    "a smaller high": lambda c: replace(c, high=c.high - [0.0, 1e-9]),
    "NaN": lambda c: replace(c, high=c.high * np.nan),
    "a smaller radius": lambda c: replace(c, radius=0.999 * c.radius),
    "another center": lambda c: replace(c, center=c.center + 0.01),
    "more reached": lambda c: replace(c, reached_high=c.reached_high + 1e-9),
    "less reached": lambda c: replace(c, reached_low=c.reached_low - 1e-9),
    "points outside": lambda c: replace(c, points=(c.points[0], c.points[1] + 0.2), reached_high=c.reached_high),
    "no points": lambda c: replace(c, points=(c.points[0] * np.nan, c.points[1])),
    "other multipliers": lambda c: replace(c, multipliers=(c.multipliers[0], c.multipliers[1] * 0.5)),
    "signs turned": lambda c: replace(c, multipliers=c.multipliers[::-1]),
    "other directions": lambda c: replace(c, directions=2.0 * c.directions),
    "too few multipliers": lambda c: replace(c, multipliers=(c.multipliers[0], c.multipliers[1][:, :2])),
    "whole numbers": lambda c: replace(c, low=c.low.astype(np.int64)),
    "another shape": lambda c: replace(c, high=c.high[None]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_claim_is_not_proved(change: str) -> None:
    plain, question, honest = claim()
    assert prove(plain, question, honest) == ""
    assert prove(plain, question, CHANGES[change](honest)) != ""


def test_a_claim_about_another_question_is_not_proved() -> None:
    plain, question, honest = claim()
    wider = replace(question, within=question.within * 1.01)
    assert "bounded" in prove(plain, wider, honest)
    assert "bounded" in prove(replace(plain, weight=plain.weight * 0.99), question, honest)
    assert "outside" in prove(replace(plain, box_high=floats([0.4, 1.0])), question, honest)
    elsewhere = replace(question, anchor=question.anchor + 0.01)
    assert "anchor" in prove(plain, elsewhere, honest)
    assert "exactly one" in prove(plain, replace(question, output_low=floats([0, 0, 0])), honest)
    assert prove(plain, replace(question, reach=np.nan), honest)


def test_contradictions_are_seen() -> None:
    """Bounds that cross prove that no input is meant; an output that no unit gives is refused."""
    plain = system([[1.0], [1.0]], [0.0, 0.0])
    question = at_output([1.0, 2.0], [1.0, 2.0], [0.25, 0.25], [1.0])
    up, down = floats([[1.0, 0.0]]), floats([[0.0, -1.0]])
    low, high = ends(plain, question, np.eye(1), bounds(plain, question, np.eye(1), (down, up)))
    assert (low[0], high[0]) == (pytest.approx(1.75), pytest.approx(1.25))
    with pytest.raises(NotProvedError, match="no input"):
        bounds(plain, at_output([-1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0]), np.eye(1), (down, up))


def test_a_ball_bounds_where_no_box_does() -> None:
    plain = system([[1.0, 0.0]], [1.0])
    question = at_input([1.0, 1.0], [0.5], reach=2.0)
    w = floats([[1.0]])
    low, high = ends(plain, question, floats([[1.0, 1.0]]), bounds(plain, question, floats([[1.0, 1.0]]), (-w, w)))
    assert high[0] == pytest.approx(2.0 + 0.5 + 2.0)
    assert low[0] == pytest.approx(2.0 - 0.5 - 2.0)
    sparse = replace(plain, weight=csr_array(plain.weight))
    again = ends(sparse, question, floats([[1.0, 1.0]]), bounds(sparse, question, floats([[1.0, 1.0]]), (-w, w)))
    np.testing.assert_allclose(again, (low, high), rtol=1e-14)


def test_an_upper_side_weighs_what_is_above_alone() -> None:
    """Multipliers of a side that is not there, or that are no numbers, prove nothing."""
    plain = system([[1.0]], [-1.0], box=(-4, 4))  # off at 0: only an upper side is known
    question = at_input([0.0], [0.0])
    directions = np.array([[2.0]])
    for w, most in ((2.0, 2.0), (1.0, 5.0), (-2.0, np.inf), (np.nan, np.inf), (np.inf, np.inf)):
        found = bounds(plain, question, directions, (floats([[0.0]]), floats([[w]])))
        assert found.high[0] >= most
    lower = system([[1.0]], [3.0], high=2.0, box=(-4, 4))  # saturated: only a lower side is known
    found = bounds(lower, question, directions, (floats([[-2.0]]), floats([[2.0]])))
    assert found.high[0] == np.inf
    assert found.low[0] >= 2.0


def test_directions_that_are_no_single_coordinate_tighten_no_coordinate() -> None:
    """A bound on 2 x, or on x + y, is none on x."""
    plain = system([[1.0, 1.0]], [0.0], box=(-8, 8))
    question = at_input([1.0, 1.0], [0.5])
    for c in ([2.0, 0.0], [1.0, 1.0], [-1.0, 0.5], [0.5, 0.5]):
        found = bounds(plain, question, floats([c]), (floats([[-1.0]]), floats([[1.0]])))
        assert (found.above >= 7.0).all()
        assert (found.below <= -9.0).all()
    for c, sign in (([1.0, 0.0], 1.0), ([-1.0, 0.0], -1.0)):
        found = bounds(plain, question, floats([c]), (floats([[-sign]]), floats([[sign]])))
        assert found.above[0] >= 7.0
        assert found.below[0] <= -7.5  # where y is 8


@pytest.mark.parametrize("seed", range(4))
def test_sums_are_above_what_they_are_exactly(seed: int) -> None:
    """Costs, residuals and ends with rounding in each, against rational numbers."""
    rng, n, m = np.random.default_rng(seed), 30, 40
    weight, x = rng.standard_normal((m, n)), rng.standard_normal(n)
    slack = 0.5 * rng.random(m) * 10.0 ** rng.integers(-6, 1, m)  # both sides are known
    plain = system(weight, np.abs(weight @ x) + 1.0, box=(x - rng.random(n), x + rng.random(n)))
    question, w = at_input(x, slack), rng.standard_normal((1, m)) * 10.0 ** rng.integers(-3, 4, m)
    sides, c = gaps(plain, question), rng.standard_normal((1, n)) * 1e-9
    found = bounds(plain, question, c, (0.0 * w, w))
    total = sum(
        Fraction(v) * Fraction(float((sides.high if v > 0 else sides.low)[i])) for i, v in enumerate(w[0].tolist()) if v
    )
    for j in range(n):
        r = Fraction(c[0, j]) - sum(
            Fraction(a) * Fraction(v) for a, v in zip(weight[:, j].tolist(), w[0].tolist(), strict=True)
        )
        ends_ = [Fraction(float(end[j])) - Fraction(x[j]) for end in (plain.box_low, plain.box_high)]
        total += max(r * end for end in ends_)
    assert Fraction(float(found.high[0])) >= total
    assert (
        Fraction(float(found.high[0] - 2.0 * found.error[1][0])) <= total
    )  # and the bound on rounding is no more than that


def test_directions_and_multipliers_of_other_kinds_are_refused() -> None:
    plain, question = system([[1.0, 1.0]], [0.0], box=(-8, 8)), at_input([1.0, 1.0], [0.5])
    w = floats([[1.0]])
    for directions in (np.eye(2, dtype=np.float32)[:1], np.ones(2), np.ones((1, 3)), floats([[np.nan, 1.0]])):
        with pytest.raises(NotProvedError):
            bounds(plain, question, directions, (w, w))
    for wrong in (w.astype(np.int64), w.astype(object), np.ones((2, 1)), np.ones((1, 2)), np.ones(1)):
        with pytest.raises(NotProvedError):
            bounds(plain, question, np.ones((1, 2)), (w, wrong))
