"""Trees of covers that prove nothing: each would be taken if one condition on them were missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from fiberscope.checker.injectivity import Node, Question, Window, least_of_windows, least_sigma, modulus_below
from fiberscope.checker.matrices import NotProvedError


def question(A: Any, b: Any, low: Any, high: Any, G: Any = None, h: Any = None) -> Question:
    """``relu(A x + b)`` on a box, and on half-spaces."""
    weight = np.asarray(A, dtype=np.float64)
    n = weight.shape[1]
    sides = [np.broadcast_to(np.asarray(side, dtype=np.float64), (n,)) for side in (low, high)]
    G, h = np.zeros((0, n)) if G is None else np.asarray(G, float), np.zeros(0) if h is None else np.asarray(h, float)
    return Question(weight, np.asarray(b, dtype=np.float64), *sides, G, h)


def leaf(sigma: Any = 0.5) -> Node:
    return Node(sigma)


def cover(*rows: int, on: Any = (), off: Any = (), half_spaces: Any = (), times: Any = 1) -> Node:
    return Node(None, tuple((row, times) for row in rows), on, off, half_spaces)


def proves(about: Question, *tree: Node) -> float | None:
    try:
        return least_sigma(about, tree)
    except NotProvedError:
        return None


LINE = question([[1.0], [-1.0]], [0.0, 0.0], -1, 1)
"""Injective: everywhere one of the two is on."""
BLIND = question([[1.0], [-1.0]], [-0.5, -0.5], -1, 1)
"""Nothing is on around 0."""


def test_trees_that_are_right_are_taken() -> None:
    assert proves(LINE, cover(0, 1), leaf(), leaf(0.75)) == 0.5
    assert proves(LINE, cover(0, 1), leaf(0.75), leaf(0.5)) == 0.5
    assert proves(LINE, cover(0, 1), leaf(), cover(1, off=((0, 1),)), leaf()) is None  # 1 is on there already
    half = question([[1.0], [-1.0]], [0.0, 0.0], -1, 1, [[-1.0]], [0.0])
    assert proves(half, cover(0, half_spaces=((0, 1),)), leaf()) == 0.5
    above = question([[1.0]], [0.0], 0.25, np.inf)
    assert proves(above, cover(0), leaf()) == 0.5
    # on {z_0 >= 0} of this, x is at least 0.5, so that the piece on which z_1 is on has nothing in it
    split = question([[1.0], [-1.0]], [-0.5, 0.25], 0, 1)
    assert proves(split, cover(0, 1, times=1)) is None
    assert proves(question([[1.0]], [0.0], 0.5, 0.5)) == np.inf


TREES: dict[str, Callable[[], tuple[Question, Sequence[Node]]]] = {
    "nothing is on": lambda: (BLIND, [cover(0, 1), leaf(), leaf()]),
    "the upper end where the lower one counts": lambda: (question([[1.0]], [-0.5], 0, 1), [cover(0), leaf()]),
    "no cover at all": lambda: (question([[1.0]], [0.0], -1, 1), [cover()]),
    "a leaf without rows": lambda: (BLIND, [leaf()]),
    "a leaf of fewer rows than coordinates": lambda: (
        question(np.array([[3.0, 0.0], [0.0, 3.0]]), [9.0, 0.0], -1, 1), [cover(0), leaf(0.5)]),
    "a leaf whose rows depend": lambda: (
        question([[1.0, 1.0], [2.0, 2.0]], [9.0, 9.0], -1, 1), [cover(0), cover(1), leaf(0.5)]),
    "a leaf that says more": lambda: (question([[1.0]], [2.0], -1, 1), [cover(0), leaf(1.5)]),
    "a leaf of 0": lambda: (LINE, [cover(0, 1), leaf(0.0), leaf()]),
    "a leaf below 0": lambda: (LINE, [cover(0, 1), leaf(-1.0), leaf()]),
    "a leaf of no number": lambda: (LINE, [cover(0, 1), leaf(np.nan), leaf()]),
    "too few nodes": lambda: (LINE, [cover(0, 1), leaf()]),
    "a node too many": lambda: (LINE, [cover(0, 1), leaf(), leaf(), leaf()]),
    "no nodes": lambda: (LINE, []),
    # z_0 = x >= 0 is no cover, and with -1 times it it is one
    "a multiplier of -1": lambda: (
        question([[1.0], [1.0]], [0.0, -2.0], -1, 1), [Node(None, ((0, 1), (1, -1))), leaf(), leaf()]),
    "a known row with -1": lambda: (
        question([[1.0], [0.0]], [-0.5, 1.0], -1, 1), [cover(1), cover(0, on=((1, -5),)), leaf()]),
    "a multiplier of 0": lambda: (question([[1.0]], [-0.5], -1, 1), [cover(0, times=0), leaf()]),
    "a known row that is added": lambda: (
        question([[1.0], [0.0]], [-0.5, 1.0], -1, 1), [cover(1), cover(0, on=((1, 5),)), leaf()]),
    # z_0 is at least 1 everywhere: its own child is not empty
    "a child that is off where it is on": lambda: (
        question([[1.0, 0.0], [1.0, 0.0]], [2.0, 2.0], -1, 1),
        [cover(0, 1), cover(off=((0, 1),)), cover(off=((0, 1),))]),
    "a child that is off where it is on, beside one that is right": lambda: (
        question([[0.0], [1.0]], [1.0, -0.5], 0, 1), [cover(0, 1), cover(off=((0, 1),)), leaf()]),
    # z_0 is below 0 everywhere, and z_2 is not on where x_1 < 0.5
    "a row that is off and taken away": lambda: (
        question([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [-2.0, 5.0, -0.5], -1, 1),
        [cover(0, 1), cover(on=((0, 1),)), cover(2, off=((0, 5),)), leaf()]),
    "a multiplier that is no whole number": lambda: (
        question([[1.0]], [2.0], -1, 1), [Node(None, ((0, 0.5),)), leaf()]),
    "a row that is no whole number": lambda: (question([[1.0]], [2.0], -1, 1), [Node(None, ((False, 1),)), leaf()]),
    # x = -1 is in no child
    "a known row that is not known": lambda: (
        question([[1.0], [-1.0]], [0.0, 0.0], -1, 1), [cover(0, off=((1, 1),)), leaf()]),
    "a row on that is not on": lambda: (question([[1.0], [1.0]], [0.0, -2.0], -1, 1), [cover(0, on=((1, 1),)), leaf()]),
    "a row of the domain that is none": lambda: (LINE, [cover(0, half_spaces=((-1, 1),)), leaf()]),
    "a half-space with -1": lambda: (
        question([[1.0]], [-1.0], -1, 1, [[0.0]], [1.0]), [cover(0, half_spaces=((0, -5),)), leaf()]),
    "a half-space the other way": lambda: (
        question([[1.0]], [0.0], -1, 1, [[1.0]], [0.0]), [cover(0, half_spaces=((0, 1),)), leaf()]),
    "a sum of 0 with nothing in it": lambda: (question([[1.0]], [0.0], -1, 1), [cover()]),
    "a row that is covered twice": lambda: (
        question([[1.0, 0.0], [0.0, 1.0]], [2.0, 2.0], -1, 1),
        [cover(0, 0), cover(1), leaf(), cover(1, off=((0, 9),))]),
    # to be on at 0 for what is on at 0 already, and off there for the rest of it
    "a row that is on already": lambda: (
        question([[1.0, 0.0], [0.0, 1.0]], [0.0, -5.0], [0, -1], 1),
        [cover(0), cover(0, 1, times=1), leaf(), leaf()]),
    "a domain without an end": lambda: (question([[1.0]], [0.0], -np.inf, 1), [cover(0), leaf()]),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_trees_that_are_wrong_prove_nothing(name: str) -> None:
    about, tree = TREES[name]()
    assert proves(about, *tree) is None


BOTH = question([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [0.0] * 4, -1, 1)
"""Two inputs that no row joins."""
SIGNS = (cover(0, 1), leaf(), leaf())
"""A row and its negative: one of them is on."""
FOUR = (cover(0, 1), cover(2, 3), leaf(0.09), leaf(0.09), cover(2, 3), leaf(0.09), leaf(0.09))
"""Two rows and their negatives."""


def joined(*rows: list[float]) -> Question:
    """Rows and their negatives, in turn."""
    A = np.array(rows)
    return question(np.stack([A, -A], axis=1).reshape(-1, A.shape[1]), np.zeros(2 * len(A)), -1, 1)


WINDOWS: dict[str, Callable[[], tuple[Question, list[Window]]]] = {
    "an input in none": lambda: (BOTH, [Window((0, 1), (0,), SIGNS)]),
    "rows that see each other's inputs": lambda: (
        joined([1.0, 1.0], [1.0, 1.0]), [Window((0, 1), (0,), SIGNS), Window((2, 3), (1,), SIGNS)]),
    # d = (10, 1, 10) moves one feature by 1, and no other
    "rows in two of them": lambda: (
        joined([1.0, -10.0, 0.0], [0.0, 1.0, 0.0], [0.0, -10.0, 1.0]),
        [Window((0, 1, 2, 3), (0, 1), FOUR), Window((4, 5, 2, 3), (2, 1), FOUR)]),
    "rows twice in one": lambda: (
        LINE,
        [Window((0, 1, 0, 1), (0,), (
            cover(0, 1), cover(2, on=((0, 1),)), leaf(1.2), cover(3, on=((1, 1),)), leaf(1.2)))]),
    "a row that there is not": lambda: (LINE, [Window((0, 2), (0,), SIGNS)]),
    "an input that there is not": lambda: (LINE, [Window((0, 1), (1,), SIGNS)]),
    "no rows": lambda: (LINE, [Window((), (0,), (leaf(),))]),
}  # fmt: skip


def test_windows_that_are_right_are_taken() -> None:
    assert least_of_windows(BOTH, [Window((0, 1), (0,), SIGNS), Window((2, 3), (1,), SIGNS)]) == 0.5
    assert least_of_windows(joined([1.0, -10.0], [0.0, 1.0]), [Window((0, 1, 2, 3), (0, 1), FOUR)]) == 0.09


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_that_are_wrong_prove_nothing(name: str) -> None:
    about, windows = WINDOWS[name]()
    with pytest.raises(NotProvedError):
        least_of_windows(about, windows)


def test_questions_that_say_nothing_are_refused() -> None:
    fine = {"A": [[1.0]], "b": [0.0], "low": -1.0, "high": 1.0}
    question(**fine)
    for changes in (
        {"b": [0.0, 1.0]}, {"b": [np.nan]}, {"A": [[np.inf]]}, {"low": 2.0}, {"low": np.nan},
        {"low": np.inf, "high": np.inf}, {"low": -np.inf, "high": -np.inf},
        {"G": [[1.0]], "h": [np.inf]}, {"G": [[1.0, 0.0]], "h": [1.0]},
    ):  # fmt: skip
        with pytest.raises(NotProvedError):
            question(**(fine | changes))


def test_the_modulus_is_below_sigma_over_the_root_of_two() -> None:
    """On [1; -1], features of 1 and -1 are sqrt(2) apart: a modulus of sqrt(1/2), and sigma is 1."""
    assert modulus_below(1.0) <= np.sqrt(0.5)
    assert modulus_below(1.0) ** 2 * 2 < 1
    assert modulus_below(1.0) > 0.7
