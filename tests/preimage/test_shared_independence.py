"""The pieces of proofs for many samples, against exact arithmetic and singular values."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fiberscope.preimage.checker import verify_many
from fiberscope.preimage.checker.asking import ask_system, plain_part
from fiberscope.preimage.checker.row_table import RowTable, build_table
from fiberscope.preimage.checker.shared_independence import packed, prove_independent, prove_spanning
from fiberscope.preimage.checker.shared_parts import (
    HeldDirection,
    measured_directions,
    measured_multipliers,
    read_shared_multipliers,
)
from fiberscope.preimage.checker.statement import read_system

import fiberscope as fs

Array = np.ndarray[Any, Any]
LEVEL = 2.0**-13


def table_of(weight: Array, domain: fs.Box | fs.NonNegative | None = None) -> RowTable:
    return build_table(read_system(ask_system(fs.ReLULayer(weight), domain)))


def smallest_singular_value(rows: Array, count: int) -> float:
    """The count-th; 0 where there are fewer."""
    values = np.linalg.svd(rows, compute_uv=False) if len(rows) else np.zeros(0)
    return float(values[count - 1]) if 0 < count <= len(values) else float(count == 0)


@pytest.mark.parametrize("seed", range(8))
def test_independence_is_proved_where_it_holds_and_nowhere_else(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(2, 9))
    table = table_of(generator.integers(-1, 2, (14, n)).astype(np.float64))
    sets = generator.random((60, len(table.rows))) < generator.uniform(0.1, 0.9)
    with ThreadPoolExecutor(2) as executor:
        independent = prove_independent(table, packed(sets), LEVEL, executor)
        spanning = prove_spanning(table, packed(sets), LEVEL, executor)
    for chosen, is_independent, spans in zip(sets, independent, spanning, strict=True):
        rows, count = table.rows[chosen], int(np.count_nonzero(chosen))
        assert is_independent == (count <= n and smallest_singular_value(rows, count) > 1e-9)
        assert spans == (count >= n and smallest_singular_value(rows, n) > 1e-9)


def test_many_large_sets_are_looked_up() -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((60, 40))
    weight[59] = weight[:5].sum(axis=0)
    table = table_of(weight)
    sets = np.zeros((200, 60), dtype=np.bool_)
    for row in sets:
        row[generator.choice(60, 30, replace=False)] = True
    with ThreadPoolExecutor(1) as executor:
        proved = prove_independent(table, packed(sets), LEVEL, executor)
    dependent = sets[:, [0, 1, 2, 3, 4, 59]].all(axis=1)
    assert dependent.any()
    assert (proved == ~dependent).all()


@pytest.mark.parametrize("seed", range(5))
def test_measured_slopes_hold_exactly(seed: int) -> None:
    """Against rows that the direction hardly leaves, where rounding decides."""
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((40, 4)) * 2.0 ** generator.integers(-40, 40, (40, 1))
    d = generator.standard_normal((40, 4))
    d -= weight * ((weight * d).sum(axis=1) / (weight**2).sum(axis=1))[:, None]
    weight = np.concatenate([weight, -4 * weight])
    table = table_of(weight, fs.NonNegative())
    held = generator.random((40, len(table.exists))) < 0.1
    held &= table.exists
    rows = np.concatenate([weight, -np.eye(4)])
    for k, slopes in measured_directions(table, [HeldDirection(h, v) for h, v in zip(held, d, strict=True)]):
        exact = [sum(Fraction(a) * Fraction(v) for a, v in zip(row, d[k], strict=True)) for row in rows]
        for row, room, slope in zip(rows, slopes.room[: len(rows)], exact, strict=True):
            if room > 0:
                assert slope < 0
                assert Fraction(float(room)) ** 2 * sum(Fraction(a) ** 2 for a in row) <= slope**2
        assert Fraction(slopes.length) ** 2 <= sum(Fraction(v) ** 2 for v in d[k])
        chosen = table.rows[table.groups_of(held[k : k + 1])[0]]
        moved = sum(sum(Fraction(a) * Fraction(v) for a, v in zip(row, d[k], strict=True)) ** 2 for row in chosen)
        assert moved <= Fraction(slopes.residual) ** 2


def test_measured_multipliers_hold_exactly() -> None:
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((12, 5))
    table = table_of(np.concatenate([weight, -2 * weight[:3]]))
    values = np.linalg.svd(np.concatenate([weight, -2 * weight[:3]]).T)[2][-6:]
    parts = [read_shared_multipliers(plain_part(fs.Multipliers(np.arange(15), v)), table) for v in values]
    for k, residual in measured_multipliers(table, parts):
        net = dict(zip(parts[k].groups.tolist(), parts[k].net.tolist(), strict=True))
        total = [sum(Fraction(w) * Fraction(table.rows[g, j]) for g, w in net.items()) for j in range(5)]
        assert sum(t**2 for t in total) <= Fraction(residual) ** 2


def test_a_rank_is_not_the_number_of_rows() -> None:
    """Three positive rows of rank two, with all multipliers that a bounded preimage needs."""
    plane = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]])
    cross = np.array([[0.0, 0, 1, 0], [0, 0, -1, 1], [0, 0, 0, -1]])
    layer = fs.ReLULayer(np.concatenate([plane, cross]), [1.0, 1, 1, -1, -1, -1])
    p = fs.preimage(layer, x=[0.0, 0, 0, 0])
    assert (p.kind, p.dimension) == (fs.Kind.BOUNDED, 2)
    recession = fs.Multipliers(np.arange(6), np.array([1.0, 1, -1, 1, 1, 1]))
    for dimension, truth in ((2, True), (1, False)):
        certificate = fs.Certificate(fs.Kind.BOUNDED, None, recession=recession)
        claims = [fs.Preimage(layer, None, p.x, None, p.kind, dimension, 0.0, certificate) for _ in range(2)]
        assert bool(fs.verify(claims[0], exact=True)) == truth
        assert not verify_many(claims).any() or truth
