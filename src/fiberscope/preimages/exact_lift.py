"""Vectors of a candidate moved onto exact solutions, where rows depend on each other and no relation says so.

Proofs in floats rest on rows that are independent, or on relations between rows in float64. Products of integer
matrices have neither: many rows, and few of them are independent. Then r entries of a vector are solved for in rational
numbers, r the rank, and all others stay as they are. The r are those that a correction harms least.
"""

from __future__ import annotations

from dataclasses import replace
from math import lcm
from typing import Any, cast

import numpy as np
import scipy.linalg
from flint import fmpq_mat, fmpz_mat
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import dense
from fiberscope.preimages.budget import solve_seconds
from fiberscope.preimages.candidate import Candidate, Direction, Multipliers, Rational
from fiberscope.preimages.exact_algebra import check_elimination
from fiberscope.preimages.exact_face import entry_bits
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.modular import modular_rank, modular_seconds, pivots, residues
from fiberscope.preimages.system import NO_ROWS, MixedSystem

MAX_ENTRIES = 20_000_000
"""Entries of rows beyond which writing them out takes gigabytes."""


def lifted(system: MixedSystem, candidate: Candidate) -> Candidate | None:
    """The candidate with exact vectors near those in floats; None where there are none, or its rows are too many.

    What is claimed of the dimension follows the rank of the rows that vanish, modulo a prime.

    Raises:
        TooLargeError: the rational numbers would take longer than is left.
    """
    implicit = NO_ROWS if candidate.implicit is None else candidate.implicit.rows
    vanishing = np.union1d(system.positive, implicit)
    n = system.layer.inputs
    if not len(vanishing) or len(vanishing) * n > MAX_ENTRIES:
        return None
    rows = dense(system.rows(vanishing))
    system.budget.check_exact(modular_seconds(*rows.shape), f"the rank of {len(rows)} rows modulo a prime")
    rank = modular_rank(rows)
    if candidate.kind is Kind.SINGLETON and rank < n:
        return None
    if candidate.dependencies is None and rank < min(len(system.live(vanishing)), n):
        check_elimination(rows, rank, system.budget)
    parts: dict[int, Direction | Multipliers | None] = {}

    def part(old: Direction | Multipliers) -> Direction | Multipliers:
        parts[id(old)] = _direction(system, old) if isinstance(old, Direction) else _multipliers(system, old)
        return parts[id(old)] or old

    exact = replace(candidate.mapped(part, lambda point: point), dimension=n - rank)
    return None if None in parts.values() else exact


def _direction(system: MixedSystem, part: Direction) -> Direction | None:
    """The direction on which all rows vanish that hold it."""
    assert isinstance(part.values, np.ndarray)
    coordinate, _ = system.coordinates(part.equalities)
    free = np.setdiff1d(np.arange(len(part.values)), coordinate)
    rows = dense(system.rows(part.equalities[coordinate < 0]))
    exact = _moved(system, rows[:, free], part.values[free], np.abs(part.values[free]))
    return None if exact is None else replace(part, values=_spread(exact, free, len(part.values)))


def _multipliers(system: MixedSystem, part: Multipliers) -> Multipliers | None:
    """Weights with which the rows vanish together, but for columns of coordinates among them, which absorb these."""
    assert isinstance(part.values, np.ndarray)
    if not part.values.any():
        return part
    coordinate, _ = system.coordinates(part.rows)
    joined, bounded = np.flatnonzero(coordinate < 0), np.flatnonzero(coordinate >= 0)
    columns = np.setdiff1d(np.arange(system.layer.inputs), coordinate)
    rows, weights = dense(system.rows(part.rows[joined])), part.values[joined]
    # the sign of an equality's weight does not matter
    room = np.where(np.isin(part.rows[joined], system.positive), np.abs(weights).max(initial=0.0), np.abs(weights))
    exact = _moved(system, rows[:, columns].T, weights, room)
    if exact is None:
        return None
    numerators = dict(zip(joined.tolist(), exact.numerators, strict=True))
    for k in bounded.tolist():
        value = float(part.values[k]).as_integer_ratio()
        numerators[k] = value[0] * exact.denominator // value[1] or 1  # the checker finds these weights by itself
    return replace(part, values=Rational(tuple(numerators[k] for k in range(len(part.rows))), exact.denominator))


def _moved(
    system: MixedSystem, B: Float64[FloatArray, "q k"], v: Float64[FloatArray, " k"], room: Float64[FloatArray, " k"]
) -> Rational | None:
    """An exact vector near v with ``B v = 0``, of which few entries differ, those with much room; None for none."""
    live = B[B.any(axis=1)]
    if not len(live):
        return _as_rational(v)
    rows, columns = _core(live, room)
    doing = f"an exact solution of {len(rows)} equations"
    system.budget.check_exact(solve_seconds(len(rows), entry_bits(live)), doing)
    M, numbers = _integers(live[rows]), _as_rational(v)
    residual = (M * fmpz_mat(len(v), 1, list(numbers.numerators))).entries()
    table = M.tolist()
    square = fmpz_mat([[row[j] for j in columns] for row in table])
    try:
        correction = cast(fmpq_mat, square.solve(fmpz_mat(len(rows), 1, residual))).entries()
    except ZeroDivisionError:
        return None
    common = lcm(*(int(value.q) for value in correction))
    numerators = [value * common for value in numbers.numerators]
    for j, value in zip(columns, correction, strict=True):
        numerators[j] -= int(value.p) * (common // int(value.q))
    return Rational(tuple(numerators), numbers.denominator * common)


def _core(B: Float64[FloatArray, "q k"], room: Float64[FloatArray, " k"]) -> tuple[list[int], list[int]]:
    """As many rows and columns of B as its rank that are independent, those on columns with much room first.

    In units of the room more may depend on each other than do so: there float64 says in which order they are tried, and
    a prime which of them are independent.
    """
    even, exact = _of_size_one(B), residues(B)
    rows = _first(even.T, exact.T)
    room = np.where(room > 0, room, np.min(room[room > 0], initial=1.0))
    sized = _of_size_one(even[rows] * (room / room.max()))  # neither lengths nor products overflow
    sized = sized / np.maximum(np.linalg.norm(sized, axis=1), 0.5)[:, None]
    return rows.tolist(), _first(sized, exact[rows]).tolist()


def _first(B: Float64[FloatArray, "q k"], exact: Int64[IntArray, "q k"]) -> IntArray:
    """Columns that are independent modulo a prime, the first that are in the order of a pivoted factorization."""
    order = cast(IntArray, cast(Any, scipy.linalg).qr(B, mode="r", pivoting=True)[1])
    return np.sort(order[pivots(np.ascontiguousarray(exact[:, order]))])


def _of_size_one(B: FloatArray) -> FloatArray:
    """Rows divided by their largest entry; those of zeros, and what underflowed to them, stay."""
    largest = np.abs(B).max(axis=1, keepdims=True)
    return B / np.where(largest > 0, largest, 1.0)


def _integers(rows: FloatArray) -> fmpz_mat:
    """Rows times powers of two, one for each."""
    mantissa, exponent = np.frexp(rows)
    lowest = np.where(rows != 0, exponent, 2**20).min(axis=1) - 53
    whole, shifts = (mantissa * 2.0**53).astype(np.int64).tolist(), (exponent - 53 - lowest[:, None]).tolist()
    return fmpz_mat(
        [[v << e if v else 0 for v, e in zip(*pair, strict=True)] for pair in zip(whole, shifts, strict=True)]
    )


def _as_rational(v: FloatArray) -> Rational:
    pairs = [float(value).as_integer_ratio() for value in v]
    common = lcm(*(denominator for _, denominator in pairs)) if pairs else 1
    return Rational(tuple(value * (common // denominator) for value, denominator in pairs), common)


def _spread(exact: Rational, places: IntArray, n: int) -> Rational:
    """The vector with zeros elsewhere."""
    numerators = [0] * n
    for j, value in zip(places.tolist(), exact.numerators, strict=True):
        numerators[j] = value
    return Rational(tuple(numerators), exact.denominator)


__all__ = ["lifted"]
