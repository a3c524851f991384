"""The printed Algorithm 1 is kept literally: it errs where theory says it must, and is right on generic layers."""

from __future__ import annotations

import numpy as np
import pytest

import fiberscope as fs
from cases import ALGORITHM_1_ERRS, Case


@pytest.mark.parametrize("case", ALGORITHM_1_ERRS, ids=lambda case: case.name)
def test_errs_on_the_boundary_where_preimage_does_not(case: Case) -> None:
    layer = fs.ReLULayer(case.weight, case.bias)
    assert fs.algorithm1(case.weight, case.bias, layer(case.x)) is True, "0 is in the closed hull, so it answers finite"
    assert fs.preimage(layer, x=case.x).kind == fs.Kind.UNBOUNDED


@pytest.mark.parametrize(("m", "n"), [(6, 3), (10, 5), (16, 8), (30, 16)])
def test_agrees_on_generic_layers(m: int, n: int) -> None:
    generator = np.random.default_rng([m, n])
    answers: list[bool] = []
    for _ in range(20):
        weight, x = generator.normal(size=(m, n)), generator.normal(size=n)
        layer = fs.ReLULayer(weight, generator.normal(size=m) / 2)
        finite = fs.preimage(layer, x=x).kind in (fs.Kind.SINGLETON, fs.Kind.BOUNDED)
        assert fs.algorithm1(layer.weight, layer.bias, layer(x)) is finite
        answers.append(finite)
    assert set(answers) == {True, False}, "both answers occur, so that agreement says something"


def test_full_rank_is_a_singleton_without_a_linear_program() -> None:
    assert fs.algorithm1(np.eye(3), np.ones(3), np.ones(3)) is True


def test_no_more_rows_than_columns_is_infinite() -> None:
    assert fs.algorithm1([[1.0, 0], [-1.0, 0]], [0, 0], [0, 0]) is False


def test_never_finds_a_singleton_by_inequalities_as_such() -> None:
    """Its True means finite only: for a singleton and for a triangle it says the same."""
    simplex = [[1.0, 0], [0, 1], [-1, -1]]
    assert fs.algorithm1(simplex, [0, 0, 0], [0, 0, 0]) is fs.algorithm1(simplex, [-1, -1, -1], [0, 0, 0]) is True
