"""The path on the null space, against linear programs; answers are checked by what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import fiberscope as fs
from fiberscope.network.domains import Polyhedron
from fiberscope.preimages.candidate import Direction, Multipliers
from fiberscope.preimages.reduced_path import follow_reduced
from fiberscope.preimages.system import NO_ROWS, MixedSystem


def system_of(H: np.ndarray, W: np.ndarray) -> MixedSystem:
    """``H d = 0, W d <= 0``."""
    n = H.shape[1]
    free = Polyhedron(np.full(n, -np.inf), np.full(n, np.inf), np.zeros((0, n)), np.zeros(0))
    numbers = np.arange(len(H) + len(W))
    layer = fs.ReLULayer(np.concatenate([H, W]))
    return MixedSystem(layer, free, None, numbers[: len(H)], numbers[len(H) :], NO_ROWS, NO_ROWS)


def has_strict(H: np.ndarray, W: np.ndarray) -> bool:
    """Whether ``H d = 0, W d <= -1`` has a solution."""
    free = [(None, None)] * H.shape[1]
    found = linprog(np.zeros(H.shape[1]), W, -np.ones(len(W)), H, np.zeros(len(H)), bounds=free)
    return found.status == 0


@pytest.mark.parametrize("power", [0, -60, 60])
@pytest.mark.parametrize("rows", [8, 14, 20, 30])
def test_the_answer_is_that_of_a_linear_program(rows: int, power: int):
    answers = set[type]()
    for seed in range(8):
        rng = np.random.default_rng(100 * rows + seed)
        H, W = rng.normal(size=(3, 11)), rng.normal(size=(rows, 11))
        W *= 2.0 ** rng.integers(-3, 4, (rows, 1))
        system = system_of(H * 2.0**power, W * 2.0**power)
        found = follow_reduced(system, system.positive, system.inequalities)
        assert isinstance(found, Direction) == has_strict(H, W)
        answers.add(type(found))
        if isinstance(found, Direction):
            d = found.values / np.linalg.norm(found.values)
            assert np.abs(H @ d).max() < 1e-12
            assert (W @ d).max() < 0
        else:
            assert isinstance(found, Multipliers)
            assert (found.values[np.isin(found.rows, system.inequalities)] > 0).all()
            assert np.isin(system.inequalities, found.rows).all(), "the proof has the more room, the more rows weigh"
            all_rows = np.asarray(system.rows(found.rows))
            sizes = np.abs(all_rows).T @ np.abs(found.values)
            assert (np.abs(all_rows.T @ found.values) < 1e-12 * sizes).all()
            assert np.linalg.matrix_rank(all_rows / 2.0**power) == 11
    assert answers <= {Direction, Multipliers}
    assert rows != 8 or Direction in answers
    assert rows != 30 or Multipliers in answers


@pytest.mark.parametrize("room", [1e-4, 1e-8, 1e-11])
def test_a_cone_may_be_thin(room: float):
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    W = np.array([[1.0, 0, 0, -room], [-1, 0, 0, -room], [0, 1, 0, -0.5], [0, -1, 0, -0.5], [0, 0, 1, 0]]) @ basis[:4]
    system = system_of(basis[4:], W)
    found = follow_reduced(system, system.positive, system.inequalities)
    assert isinstance(found, Direction)
    d = found.values / np.linalg.norm(found.values)
    assert (W @ d).max() < -room / 100
    assert np.abs(basis[4:] @ d).max() < 1e-14


def test_rows_that_depend_on_the_equalities_are_left_to_others():
    H = np.eye(4)[:2]
    system = system_of(H, np.concatenate([H[:1], np.eye(4)[2:]]))
    assert follow_reduced(system, system.positive, system.inequalities) is None


def test_small_integers_end_the_path_without_an_error():
    """Zeros, rows that repeat, directions that no inequality sees: the path ends, or it says what is true."""
    answers = set[type]()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 5))
        H = rng.integers(-2, 3, (int(rng.integers(0, n)), n))
        W = rng.integers(-2, 3, (int(rng.integers(1, 7)), n))
        W[~W.any(axis=1)] = 1
        system = system_of(H.astype(np.float64), W.astype(np.float64))
        with np.errstate(all="raise", under="ignore"):
            found = follow_reduced(system, system.live(system.positive), system.inequalities)
        answers.add(type(found))
        if found is not None:
            assert isinstance(found, Direction) == has_strict(H, W)
    assert answers >= {Direction, Multipliers}
