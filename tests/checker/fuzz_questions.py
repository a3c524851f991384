"""Small layers with questions whose answers are known: from lists of vertices and rays, in exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.sparse import csr_array

import fiberscope as fs
import oracles
from fiberscope.checker.convolutions import Convolution
from fiberscope.checker.verdicts import System
from fiberscope.checker.windows import seen
from fiberscope.network.convolution import Convolution as Map

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Question:
    """An input, or the ends of outputs; what is known of its preimage; its vertices in the system's numbers."""

    x: Array | None
    y: tuple[Array, Array] | None
    within: Array
    answer: oracles.Answer
    vertices: list[tuple[Fraction, ...]]

    @property
    def truth(self) -> tuple[str, int]:
        return self.answer.kind, self.answer.dimension


@dataclass(frozen=True, eq=False)
class Group:
    """One layer on one domain, and questions about it; its rows written out, and what it is called."""

    system: System
    layer: fs.ReLULayer
    domain: Any
    questions: list[Question]
    rows: Array
    name: str


def group(seed: int) -> Group:
    """Ties with kinks, with bounds and between rows are the rule; rows are dead, parallel or dependent."""
    rng = np.random.default_rng(seed)
    n, m, q = int(rng.integers(1, 5)), int(rng.integers(1, 8)), int(rng.choice([0, 0, 1, 2]))
    exotic, operator = rng.random() < 0.6, None
    weight = _weight(rng, m, n)
    if rng.random() < 0.25:
        (operator, weight), q = _convolution(rng), 0
        m, n = weight.shape
    points = [_point(rng, n) for _ in range(3)]
    fixed = rng.random(n) < (0.5 if rng.random() < 0.3 else 0.0)
    for x in points[1:]:
        x[fixed] = points[0][fixed]
    bias = rng.integers(-2, 3, m) * 1.0 - (weight @ points[0] if rng.random() < 0.7 else 0.0)
    low = rng.choice([0.0, -1.0, -np.inf], m, p=[0.7, 0.2, 0.1]) if exotic else np.zeros(m)
    high = np.where(np.isfinite(low), low, 0.0) + rng.choice([0.0, 2.0, np.inf], m, p=[0.05, 0.25, 0.7])
    high = high if exotic else np.full(m, np.inf)
    endless = rng.random(m) < (0.15 if rng.random() < 0.2 else 0.0)
    low, high = np.where(endless, -np.inf, low), np.where(endless, np.inf, high)
    box = _box(rng, n, points)
    box = np.where(fixed, points[0], box[0]), np.where(fixed, points[0], box[1])
    G = rng.integers(-1, 3, (q, n)) * 1.0
    h = (G @ np.array(points).T).max(axis=1) + rng.integers(0, 2, q) if q else np.zeros(0)
    sample = _Sampled(weight, bias, low, high, *box, G, h)
    asked = [sample.asked(rng, x) for x in points]
    return sample.scaled(rng, asked, operator)


@dataclass(frozen=True, eq=False)
class _Sampled:
    weight: Array
    bias: Array
    low: Array
    high: Array
    box_low: Array
    box_high: Array
    G: Array
    h: Array

    def asked(self, rng: np.random.Generator, x: Array) -> tuple[Any, Any, Array]:
        """A question: an input, its output, or an interval."""
        within = np.zeros(len(self.bias))
        if rng.random() < 0.2:
            within = rng.choice([0.0, 0.5, 1.0], len(within))
        if rng.random() < 0.6:
            if within.any() and rng.random() < 0.5:  # other numbers below than above, or no side at all
                within = np.where(within > 0, rng.choice([0.25, 0.5, 1.0, np.inf], (2, len(within))), 0.0)
            return x, None, within
        y = np.clip(self.weight @ x + self.bias, self.low, self.high)
        y = y + rng.choice([0.0, 1.0, -1.0, 2.0**-52], len(y), p=[0.7, 0.1, 0.1, 0.1]) * (rng.random() < 0.4)
        low, high = y, y
        if rng.random() < 0.3:
            low, high = y - rng.choice([0.0, 1.0, np.inf], len(y)), y + rng.choice([0.0, 1.0, np.inf], len(y))
        return None, (low, high), within

    def answer(self, x: Any, y: Any, within: Array) -> oracles.Answer:
        """What is true of it."""
        right = oracles.interval_system(
            *(self.weight, self.bias),
            low=self.low,
            high=self.high,
            x=x,
            y=y,
            within=within,
        )
        rows = [(row, value, False) for row, value in right.equalities]
        rows += [(row, value, True) for row, value in right.inequalities]
        n = self.weight.shape[1]
        for j, unit in enumerate(np.eye(n)):
            if np.isfinite(self.box_low[j]):
                rows.append((oracles.exact_vector(-unit), -Fraction(float(self.box_low[j])), True))
            if np.isfinite(self.box_high[j]):
                rows.append((oracles.exact_vector(unit), Fraction(float(self.box_high[j])), True))
        rows += [
            (oracles.exact_vector(row), Fraction(float(value)), True) for row, value in zip(self.G, self.h, strict=True)
        ]
        equalities = tuple((row, value) for row, value, one_sided in rows if not one_sided)
        inequalities = tuple((row, value) for row, value, one_sided in rows if one_sided)
        return oracles.cdd_answer(oracles.System(n, equalities, inequalities, right.contradiction))

    def scaled(
        self, rng: np.random.Generator, asked: list[tuple[Any, Any, Array]], operator: Convolution | None
    ) -> Group:
        """Rows and coordinates in other units, exactly: small, tiny or huge ones, by powers of two."""
        (m, n), q = self.weight.shape, len(self.h)
        size = int(rng.choice([0, 3, 40, 250], p=[0.5, 0.2, 0.2, 0.1]))
        rows, columns = rng.integers(-size, size + 1, m + q), rng.integers(-size, size + 1, n)
        if operator is not None:  # its rows have one unit, and so have its coordinates
            rows[:], columns[:] = rng.integers(-size, size + 1, 2)
        of_units, places = (lambda v: np.ldexp(v, rows[:m])), (lambda v: np.ldexp(v, -columns))
        weight, G = (
            np.ldexp(self.weight, rows[:m, None] + columns),
            np.ldexp(self.G, rows[m:, None] + columns),
        )
        arrays = (of_units(self.bias), of_units(self.low), of_units(self.high))
        box, h = (places(self.box_low), places(self.box_high)), np.ldexp(self.h, rows[m:])
        sparse = rng.random() < 0.2
        system = System(csr_array(weight) if sparse else weight, *arrays, *box, csr_array(G) if sparse else G, h)
        name, units = "sparse" if sparse else "dense", None
        if operator is not None:
            unit = int(rows[0] + columns[0])
            system = replace(system, weight=replace(operator, weight=np.ldexp(operator.weight, unit)), G=G)
            system, units = seen(system)
            name = "convolution" if units is None else "windows"
            units = np.arange(m) if units is None else units
            weight, arrays = weight[units], [each[units] for each in arrays]
        layer = fs.ReLULayer(csr_array(weight) if sparse else weight, arrays[0], low=arrays[1], high=arrays[2])
        domain = fs.Box(*box)
        questions = []
        for x, y, within in asked:
            answer = self.answer(x, y, within)
            vertices = [
                tuple(v * Fraction(2) ** -int(c) for v, c in zip(vertex, columns, strict=True))
                for vertex in answer.vertices
            ]
            if units is not None and y is not None:
                if name == "windows":
                    continue  # these are about inputs
                y = y[0][units], y[1][units]
            ends = None if y is None else (of_units(y[0]), of_units(y[1]))
            slack = of_units(within)
            slack = slack if units is None else slack[..., units]
            questions.append(Question(None if x is None else places(x), ends, slack, answer, vertices))
        return Group(
            system, layer, domain & fs.HalfSpaces(G, h) if q else domain, questions, np.vstack([weight, G]), name
        )


def _weight(rng: np.random.Generator, m: int, n: int) -> Array:
    whole = rng.random() < 0.8
    weight = rng.integers(-2, 3, (m, n)) * 1.0 if whole else np.round(rng.standard_normal((m, n)), 2)
    for i in range(m):
        chance = rng.random()
        if chance < 0.12:
            weight[i] = 0
        elif chance < 0.3 and i:
            weight[i] = weight[rng.integers(i)] * rng.choice([-2.0, -1.0, 1.0, 0.5])
        elif chance < 0.4 and i > 1 and whole:
            weight[i] = weight[rng.integers(i)] - weight[rng.integers(i)]
        elif chance < 0.5:
            weight[i] = np.eye(n)[rng.integers(n)] * rng.choice([-1.0, 1.0])
    return weight


def _convolution(rng: np.random.Generator) -> tuple[Convolution, Array]:
    """A small convolution, and its rows as the network writes them out."""
    while True:
        axes, groups = int(rng.choice([1, 1, 2])), int(rng.choice([1, 1, 2]))
        shape = (groups * int(rng.integers(1, 3)), int(rng.integers(1, 3)), *rng.integers(1, 4, axes).tolist())
        inputs = (groups * shape[1], *rng.integers(1, 5, axes).tolist())
        stride, dilation = (tuple(rng.integers(1, 3, axes).tolist()) for _ in range(2))
        padding = tuple(tuple(pair) for pair in rng.integers(0, 2, (axes, 2)).tolist())
        weight = rng.integers(-2, 3, shape) * 1.0
        reach = [step * (taps - 1) + 1 for step, taps in zip(dilation, shape[2:], strict=True)]
        sizes = [size + sum(pair) for size, pair in zip(inputs[1:], padding, strict=True)]
        if all(a <= b for a, b in zip(reach, sizes, strict=True)) and np.prod(inputs) <= 5:
            rows = Map(weight, inputs, None, stride, padding, dilation, groups).rows().toarray()
            if len(rows) <= 9:
                return Convolution(weight, inputs, stride, padding, dilation, groups), rows


def _point(rng: np.random.Generator, n: int) -> Array:
    return rng.choice([-1.0, 0.0, 0.0, 1.0, 2.0, 0.5], n)


def _box(rng: np.random.Generator, n: int, points: list[Array]) -> tuple[Array, Array]:
    least, most = np.min(points, axis=0), np.max(points, axis=0)
    below = rng.choice([0.0, 1.0, np.inf], n, p=[0.3, 0.2, 0.5]) if rng.random() < 0.6 else np.full(n, np.inf)
    above = rng.choice([0.0, 1.0, np.inf], n, p=[0.2, 0.2, 0.6]) if rng.random() < 0.6 else np.full(n, np.inf)
    return least - below, most + above
