"""Random multipliers and points, against vertices in exact arithmetic: no bound is too small, no point is outside.

    python tests/checker/fuzz_enclosures.py [COUNT] [--seed SEED]

Multipliers are those of a linear program, of which some are changed, or random ones. What they prove must hold of all
vertices, and so must the radius. Points are vertices as floats, what lies beside them, and between them; those that are
said to be inside must be so by the definition of the layer, in rational numbers.
"""

from __future__ import annotations

import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # as a script

import fuzz_questions as known  # noqa: E402
from fuzz_command import run  # noqa: E402

from fiberscope.checker import enclosures  # noqa: E402
from fiberscope.checker.anchored import Anchored  # noqa: E402
from fiberscope.checker.matrices import NotProvedError  # noqa: E402

Exact = tuple[Fraction, ...]


def exactly(values: np.ndarray) -> Exact:
    return tuple(Fraction(float(v)) for v in values)


def dot(left: Exact, right: Exact) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def fuzz(seed: int, count: int) -> Counter[str]:
    """Ask for so many bounds, and points, or a few more; AssertionError of a false one."""
    tally = Counter[str]()
    while tally["bounds"] < count:
        about, rng = known.group(seed), np.random.default_rng([seed, 2])
        seed += 1_000_003
        if about.name in ("convolution", "windows"):
            continue
        for question in about.questions:
            if question.vertices:
                _bounds(about, question, rng, tally)
    return tally


def _asked(question: known.Question, rng: np.random.Generator) -> enclosures.Question:
    anchor = question.x if question.x is not None else np.array([float(v) for v in question.vertices[0]])
    reach = np.inf
    if question.truth[0] in ("singleton", "bounded") and rng.random() < 0.5:
        squares = [_square(vertex, exactly(anchor)) for vertex in question.vertices]
        reach = float(max(squares)) ** 0.5 * (1 + 2.0**-40)
    low, high = (None, None) if question.y is None else question.y
    return enclosures.Question(question.x, low, high, question.within, anchor, reach)


def _square(vertex: Exact, point: Exact) -> Fraction:
    return sum(((a - b) ** 2 for a, b in zip(vertex, point, strict=True)), Fraction(0))


def _bounds(about: known.Group, question: known.Question, rng: np.random.Generator, tally: Counter[str]) -> None:
    n, rows = about.system.shape[1], about.rows
    asked = _asked(question, rng)
    directions = np.concatenate([np.eye(n), -np.eye(n), rng.integers(-2, 3, (3, n)) * 1.0])
    multipliers = [
        np.array([_multipliers(about, asked, sign * c, rng) for c in directions]).reshape(len(directions), len(rows))
        for sign in (-1.0, 1.0)
    ]
    with np.errstate(over="ignore"):
        multipliers = [w.astype(np.float32) if rng.random() < 0.3 else w for w in multipliers]
    try:
        found = enclosures.bounds(about.system, asked, directions, (multipliers[0], multipliers[1]))
    except NotProvedError:
        tally["refused"] += 1
        return
    low, high = enclosures.ends(about.system, asked, directions, found)
    for c, least, most in zip(directions, low, high, strict=True):
        at = [dot(exactly(c), vertex) for vertex in question.vertices]
        assert max(at) <= most, (about, question, c, most)
        assert min(at) >= least, (about, question, c, least)
        for value, bound in ((max(at), most), (min(at), least)):
            tally["finite"] += bool(np.isfinite(bound))
            tally["near"] += bool(np.isfinite(bound)) and abs(Fraction(float(bound)) - value) <= abs(value) / 10**6
    tally["bounds"] += 2 * len(directions)
    center = asked.anchor + rng.choice([0.0, 1.0], n)
    radius = enclosures.radius_of(found, asked, center)
    if question.truth[0] in ("singleton", "bounded") and radius < np.inf:
        assert max(_square(v, exactly(center)) for v in question.vertices) <= Fraction(float(radius)) ** 2
        tally["radii"] += 1
    _points(about, question, asked, rng, tally)


def _multipliers(about: known.Group, asked: enclosures.Question, c: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(M,) those of a linear program, where it has a solution; changed, or random ones."""
    s, rows = about.system, about.rows
    w = rng.choice([0.0, 1.0, -1.0, 0.5], len(rows))
    if rng.random() < 0.7:
        gaps = Anchored(s, asked).gaps
        has = np.isfinite(gaps.high), np.isfinite(gaps.low)
        A, b = np.concatenate([rows[has[0]], -rows[has[1]]]), np.concatenate([gaps.high[has[0]], -gaps.low[has[1]]])
        box = np.stack([s.box_low - asked.anchor, s.box_high - asked.anchor], axis=1)
        if not len(A) or np.abs(A).max() > 1e6 or np.abs(b).max(initial=0) > 1e6:
            return w
        solved = linprog(-c, A_ub=A, b_ub=b, bounds=box)
        if solved.status == 0:
            up, down = np.split(-solved.ineqlin.marginals, [int(has[0].sum())])
            w = np.zeros(len(rows))
            w[has[0]] += up
            w[has[1]] -= down
    if rng.random() < 0.4:
        k = int(rng.integers(len(w)))
        w[k] = rng.choice([0.0, -w[k], w[k] * (1 + 1e-9), 1.0, 5e-324, np.nan, np.inf, 2.0**600])
    return w


def _points(
    about: known.Group,
    question: known.Question,
    asked: enclosures.Question,
    rng: np.random.Generator,
    tally: Counter[str],
) -> None:
    vertices = np.array([[float(v) for v in vertex] for vertex in question.vertices])
    beside = np.nextafter(vertices, rng.choice([-np.inf, np.inf], vertices.shape))
    between = vertices[rng.permutation(len(vertices))] * 0.5 + vertices * 0.5
    points = np.concatenate([vertices, beside, between, vertices + rng.choice([0.0, 2.0**-30, 1.0], vertices.shape)])
    points[rng.random(len(points)) < 0.05] = np.nan
    said = enclosures.inside(about.system, asked, points)
    for point, inside in zip(points, said, strict=True):
        right = bool(np.isfinite(point).all()) and _is_inside(about, question, exactly(point))
        assert inside == right, (about, question, point)
        tally["points inside" if right else "points outside"] += 1


def _is_inside(about: known.Group, question: known.Question, x: Exact) -> bool:
    s, m = about.system, about.system.shape[0]
    if any(not low <= v <= high for low, v, high in zip(s.box_low, x, s.box_high, strict=True)):
        return False
    if any(dot(exactly(row), x) > Fraction(float(h)) for row, h in zip(about.rows[m:], s.h, strict=True)):
        return False
    below, above = np.broadcast_to(question.within, (2, m))
    for i, row in enumerate(about.rows[:m]):
        y, there = _output(s, i, exactly(row), x), None
        if question.x is not None:
            there = _output(s, i, exactly(row), exactly(question.x))
        low, high = (question.y[0][i], question.y[1][i]) if question.y is not None else (there, there)
        # in fractions: a float plus a fraction is a float, and rounded
        least = Fraction(low) - Fraction(below[i]) if np.inf not in (abs(low), below[i]) else -np.inf
        most = Fraction(high) + Fraction(above[i]) if np.inf not in (abs(high), above[i]) else np.inf
        if not least <= y <= most:
            return False
    return True


def _output(s: known.System, i: int, row: Exact, x: Exact) -> Fraction:
    z = dot(row, x) + Fraction(float(s.bias[i]))
    z = z if z > s.low[i] else Fraction(float(s.low[i]))
    return z if z < s.high[i] else Fraction(float(s.high[i]))


if __name__ == "__main__":
    run(fuzz, "Random multipliers and points.", 20_000)
