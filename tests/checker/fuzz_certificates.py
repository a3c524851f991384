"""Certificates that nobody made for what they claim: mixed, changed, and random ones that may prove something."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from flint import fmpz_mat
from fuzz_questions import Array, Group, Question

import fiberscope as fs
from fiberscope.errors import FiberscopeError
from fiberscope.preimages.certificate import (
    Certificate,
    Direction,
    Face,
    Multipliers,
    Rational,
    Relations,
    Scaling,
)

KINDS = ("empty", "singleton", "bounded", "unbounded")


class Writer:
    """Writes certificates about the questions of one group."""

    def __init__(self, group: Group, rng: np.random.Generator) -> None:
        self.group, self.rng = group, rng
        self.m, self.n, self.q = group.system.shape
        self.rows = np.concatenate([group.rows[: self.m], np.eye(self.n), group.rows[self.m :]])
        self.count = len(self.rows)
        self.stack = np.array([*range(self.m), *range(self.m + self.n, self.count)], dtype=np.int64)
        self.honest = [c for q in group.questions if (c := self._honest(q)) is not None] if rng.random() < 0.5 else []

    def _honest(self, question: Question) -> Certificate | None:
        y: Any = question.y
        if y is not None:
            y = y[0] if (y[0] == y[1]).all() else fs.Interval(*y)
        try:
            asked = {"x": question.x, "y": y, "within": question.within}
            return fs.preimage(self.group.layer, domain=self.group.domain, **asked).certificate
        except FiberscopeError:
            return None

    def certificate(self) -> Certificate:
        """One certificate: an honest one that was changed, one put together from several, or a random one."""
        rng = self.rng
        base = self._one(self.honest) if self.honest and rng.random() < 0.7 else None
        if base is None:
            return self._random()
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.1, 0.5, 0.25, 0.15]))):
            base = self._changed(base)
        return base

    # ---- changed ones

    def _changed(self, base: Certificate) -> Certificate:
        other = self._one(self.honest) if self.rng.random() < 0.6 else self._random()
        name = self._one([field.name for field in fields(base)])
        value = getattr(base, name)
        match name:
            case "kind":
                return replace(base, kind=fs.Kind(self._one(KINDS)))
            case "dimension":
                return replace(base, dimension=self._dimension())
            case "tangent" | "recession" if value is not None and self.rng.random() < 0.75:
                return replace(base, **{name: self._disturbed(value)})
            case "tangent" | "recession":
                return replace(base, **{name: self._one([other.tangent, other.recession, self._face()])})
            case _ if value is not None and self.rng.random() < 0.4:
                return replace(base, **{name: None if self.rng.random() < 0.5 else self._disturbed(value)})
            case _:
                return replace(base, **{name: getattr(other, name)})

    def _disturbed(self, part: Any) -> Any:
        """A part with one of its fields changed; fields that are parts are descended into."""
        rng = self.rng
        if isinstance(part, Rational):
            numerators = list(part.numerators)
            k = int(rng.integers(len(numerators))) if numerators else 0
            numerators[k : k + 1] = [self._one([0, 1, -1, 2 * v, -v, v + 1]) for v in numerators[k : k + 1]]
            return Rational(tuple(numerators), part.denominator * int(rng.choice([1, 2])))
        if is_dataclass(part):
            present = [field.name for field in fields(part) if getattr(part, field.name) is not None]
            name = self._one(present)
            kept = replace(part, **{name: self._disturbed(getattr(part, name))})  # type: ignore[type-var]
            return self._fitting(kept)
        if isinstance(part, float):
            return float(self._one([0.0, part * 2, part * 1.01, part * 1e6, part / 2, 1.0, 0.5, 1e-9]))
        array = np.array(part)
        if array.dtype.kind == "i":
            return self._other_numbers(array)
        if not len(array):
            return array
        k = int(rng.integers(len(array)))
        match int(rng.integers(7)):
            case 0:
                array[k] = -array[k]
            case 1:
                array[k] = 0.0
            case 2:
                array = -array
            case 3:
                array = array * rng.choice([2.0**-1060, 2.0**-600, 1e-9, 2.0, 2.0**600])
            case 4:
                array = array + rng.standard_normal(len(array)) * rng.choice([1e-16, 1e-9, 1e-3, 1.0])
            case 5:
                array = rng.permutation(array)
            case _:
                array[k] = rng.choice([1.0, -1.0, 2.0, 5e-324, np.nan, np.inf, 0.5])
        return np.nan_to_num(array, nan=np.nan, posinf=np.inf, neginf=-np.inf)

    def _other_numbers(self, array: Array) -> Array:
        rng = self.rng
        match int(rng.integers(5)):
            case 0:
                return np.delete(array, rng.integers(len(array))) if len(array) else array
            case 1:
                return np.append(array, rng.integers(-1, self.count + 1))
            case 2:
                return np.unique(np.append(array, rng.integers(self.count)))
            case 3 if len(array):
                out = array.copy()
                out[rng.integers(len(out))] = rng.integers(-1, self.count)
                return out
            case _:
                return rng.permutation(array)

    def _fitting(self, changed: Any) -> Any:
        """Mostly, as many values as rows."""
        rng = self.rng
        if not isinstance(changed, Multipliers | Direction) or not isinstance(changed.values, np.ndarray):
            return changed
        if isinstance(changed, Multipliers):
            fits = len(changed.rows) == len(changed.values) or rng.random() < 0.1
            return changed if fits else replace(changed, values=np.resize(changed.values, len(changed.rows)) * 1.0)
        if len(changed.values) == self.n and rng.random() < 0.5:
            held = changed.held[(changed.held >= self.m) & (changed.held < self.m + self.n)] - self.m
            values = np.array(changed.values)
            values[held] = 0.0
            return replace(changed, values=values)
        return changed

    # ---- random ones

    def _random(self) -> Certificate:
        rng = self.rng
        some = lambda chance, make: make() if rng.random() < chance else None  # noqa: E731
        return Certificate(
            fs.Kind(self._one(KINDS)),
            some(0.5, self._dimension),
            some(0.9, self._face),
            some(0.8, self._face),
            some(0.3, lambda: self._some(self.stack)),
            some(0.15, lambda: self._some(np.arange(self.n))),
            some(0.2, lambda: self._some(np.arange(self.n))),
            some(0.3, self._relations),
            some(0.15, self._scaling),
        )

    def _dimension(self) -> int | None:
        return self._one([None, *range(-1, self.n + 1)])

    def _face(self) -> Face:
        chance = self.rng.random()
        return Face(None if chance < 0.25 else self._multipliers(), None if 0.25 <= chance < 0.4 else self._direction())

    def _multipliers(self) -> Multipliers:
        rows = self._some(np.arange(self.count))
        in_box = (rows >= self.m) & (rows < self.m + self.n)
        if self.rng.random() < 0.1:
            return Multipliers(rows[~in_box], None)
        absorbed = np.isin(np.arange(self.n), rows[in_box] - self.m)
        found = _combination(self.rows[rows[~in_box]][:, ~absorbed].T, self.rng)
        values = np.zeros(len(rows))
        values[~in_box] = found if found is not None else self.rng.integers(-2, 3, np.count_nonzero(~in_box))
        B = self.rows[rows[~in_box]][:, ~absorbed]
        return Multipliers(rows, self._vector(values), self._sigma(B))

    def _direction(self) -> Direction:
        rng = self.rng
        held = self._some(np.arange(self.count), 0.4)
        held = self._pattern() if rng.random() < 0.5 else held
        fixed = held[(held >= self.m) & (held < self.m + self.n)] - self.m
        moved = ~np.isin(np.arange(self.n), fixed)
        inside = held[np.isin(held, self.stack)]
        B = self.rows[inside][:, moved]
        found = _combination(B, rng)
        values = np.zeros(self.n)
        values[moved] = found if found is not None else rng.integers(-2, 3, np.count_nonzero(moved))
        basis = None
        if rng.random() < 0.3:
            basis = inside[rng.random(len(inside)) < 0.7]
            B = self.rows[basis][:, moved]
        if rng.random() < 0.35:
            return Direction(held, self._place(), self._sigma(B), basis)
        return Direction(held, self._vector(values), self._sigma(B), basis)

    def _pattern(self) -> Array:
        """The rows that are positive at an input, and the coordinates at a bound."""
        asked = [question.x for question in self.group.questions if question.x is not None]
        if not asked:
            return self._some(np.arange(self.count), 0.4)
        x, s = self._one(asked), self.group.system
        z = self.rows[: self.m] @ x + s.bias
        bound = ((x == s.box_low) | (x == s.box_high)) & (self.rng.random() < 0.5)
        return np.flatnonzero(np.concatenate([z > s.low, bound, np.zeros(self.q, dtype=bool)]))

    def _place(self) -> Any:
        """A point: a vertex, a mean of them, an input, or any."""
        question = self._one(self.group.questions)
        if question.vertices and self.rng.random() < 0.8:
            point = self._one(question.vertices)
            if self.rng.random() < 0.6:
                columns = [sum(column) for column in zip(*question.vertices, strict=True)]
                rays = [sum(r[j] for r in question.answer.rays) for j in range(self.n)]
                point = tuple(c / len(question.vertices) + r for c, r in zip(columns, rays, strict=True))
            if self.rng.random() < 0.5:
                return np.array([float(v) for v in point])
            common = int(np.lcm.reduce([v.denominator for v in point], dtype=object))
            return Rational(tuple(int(v * common) for v in point), common)
        return question.x if question.x is not None else self.rng.choice([-1.0, 0.0, 0.0, 1.0, 0.5], self.n)

    def _relations(self) -> Relations:
        rows = self.rng.permutation(self._some(self.stack, 0.7))[:3]
        values = _combination(self.rows[rows].T, self.rng)
        if values is None or not len(rows) or not values.all():
            values = self.rng.choice([1.0, -1.0, 2.0, 5e-324], len(rows))
        return Relations(np.array([0, len(rows)]), rows, np.asarray(values, dtype=np.float64))

    def _scaling(self) -> Scaling:
        of_rows, of_columns = self.m + self.q, self.n
        size = int(self.rng.choice([2, 30, 500, 1100]))
        return Scaling(self.rng.integers(-size, size + 1, of_rows), self.rng.integers(-size, size + 1, of_columns))

    # ---- numbers

    def _sigma(self, B: Array) -> float:
        with np.errstate(all="ignore"):
            true = float(np.linalg.svd(B, compute_uv=False).min(initial=1.0)) if 0 not in B.shape else 1.0
        return float(self._one([0.0, 0.0, true * 0.9, true * 0.9, true * 1.2, true * 100, 1.0]))

    def _vector(self, values: Array) -> Any:
        rng = self.rng
        if rng.random() < 0.3 and (values == np.round(values)).all() and np.abs(values).max(initial=0) < 2**60:
            return Rational(
                tuple(int(v) for v in values),
                int(rng.choice([1, 3, 2**200])) * 2 ** int(rng.choice([0, 5000], p=[0.9, 0.1])),
            )
        if rng.random() < 0.2:
            return values + rng.standard_normal(len(values)) * rng.choice([1e-17, 1e-12, 1e-6, 0.1]) * (values != 0)
        return values * 1.0

    def _some(self, numbers: Array, chance: float = 0.6) -> Array:
        return np.asarray(numbers[self.rng.random(len(numbers)) < chance], dtype=np.int64)

    def _one(self, things: Any) -> Any:
        return things[int(self.rng.integers(len(things)))]


def _combination(B: Array, rng: np.random.Generator) -> Array | None:
    """A random combination of exact solutions of ``B v = 0`` that floats hold; None where there are none."""
    if 0 in B.shape:
        return rng.integers(-2, 3, B.shape[1]) * 1.0
    sizes = np.frexp(np.abs(B).max(axis=1))[1]
    with np.errstate(all="ignore"):
        whole = np.ldexp(B, 12 - sizes[:, None])
    if not np.isfinite(whole).all() or (whole != np.round(whole)).any():
        return None
    kernel, size = fmpz_mat([[int(v) for v in row] for row in whole]).nullspace()
    if not size:
        return None
    columns = np.array(kernel.tolist(), dtype=object)[:, :size]
    for k in range(size):
        divisor = np.gcd.reduce([int(v) for v in columns[:, k]], dtype=object)
        columns[:, k] = [int(v) // int(divisor) for v in columns[:, k]]
    found = columns @ np.array([int(v) for v in rng.choice([-1, 1, 1, 2, 0], size)], dtype=object)
    values = np.array([float(v) for v in found])
    return values if all(int(a) == b for a, b in zip(values, found, strict=True)) else None


__all__ = ["KINDS", "Writer"]
