"""Kinds that stand although the dimension is too large a rank to prove."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

import fiberscope as fs
from fiberscope.network.rows import sparse
from fiberscope.preimages import budget
from fiberscope.preimages.counting import undetermined


def test_coordinates_left_over_are_those_of_all_subsets() -> None:
    """The largest difference of coordinates and rows that read them, by trying every set of coordinates."""
    generator = np.random.default_rng(0)
    for _ in range(60):
        q, n = int(generator.integers(0, 6)), int(generator.integers(1, 7))
        rows = (generator.random((q, n)) < generator.choice([0.2, 0.5])) * generator.integers(1, 4, (q, n)) * 1.0
        among = np.flatnonzero(generator.random(n) < 0.8)
        sets = [list(U) for size in range(len(among) + 1) for U in combinations(among.tolist(), size)]
        best = max(len(U) - int(rows[:, U].any(axis=1).sum()) for U in sets)
        for form in (rows, sparse(rows)):
            U, more = undetermined(form, among)
            assert more == best
            assert np.isin(U, among).all()
            assert len(U) - rows[:, U].any(axis=1).sum() == more


def narrow_product(m: int, n: int) -> tuple[fs.ReLULayer, np.ndarray]:
    """Rows of rank 2, as float64 rounds them: their true rank hangs on last digits, and float64 proves none."""
    generator = np.random.default_rng(0)
    layer = fs.ReLULayer(generator.standard_normal((m, 2)) @ generator.standard_normal((2, n)))
    return layer, generator.uniform(-1, 1, n)


@pytest.mark.parametrize(("m", "domain", "kind"), [(30, fs.Box(-2, 2), fs.Kind.BOUNDED), (18, None, fs.Kind.UNBOUNDED)])
def test_a_kind_without_a_dimension(
    m: int, domain: fs.Domain | None, kind: fs.Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = narrow_product(m, 24)
    right = fs.preimage(layer, x=x, domain=domain)  # by rational numbers
    monkeypatch.setattr(budget, "DEFAULT_EXACT_SECONDS", 1e-9)
    p = fs.preimage(layer, x=x, domain=domain)
    assert (p.kind, p.dimension) == (kind, None)
    assert right.kind is kind
    assert p.dimension_bounds is not None
    low, high = p.dimension_bounds
    assert right.dimension is not None
    assert 1 <= low <= right.dimension <= high <= 24
    assert fs.verify(p)
    assert not fs.verify(replace(p, dimension_bounds=(right.dimension + 1, high)))
    assert not fs.verify(replace(p, dimension_bounds=(low, right.dimension - 1)))
    assert p.contains(x)
    with pytest.raises(fs.InputError, match="dimension"):
        p.width(np.ones(24))
    judged = fs.classify(layer, np.stack([x, 0.5 * x]), domain=domain)
    assert judged.kind.tolist() == [str(kind)] * 2
    assert judged.dimension.tolist() == [-3, -3]
    assert judged.dimension_bounds[0].tolist() == [low, high]
    assert judged.verify().all()


def test_bounds_are_equal_where_the_dimension_is_known() -> None:
    layer = fs.ReLULayer([[1.0, 0.0], [0.0, 1.0]])
    judged = fs.classify(layer, [[1.0, 1.0], [1.0, -1.0]])
    assert judged.dimension.tolist() == [0, 1]
    assert judged.dimension_bounds.tolist() == [[0, 0], [1, 1]]
