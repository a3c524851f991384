"""Both parts of data without test samples of their own are of all classes, from their first samples on."""

from __future__ import annotations

import numpy as np
import pytest

from fiberscope.data.datasets import DataSet
from fiberscope.data.splits import hold_out
from fiberscope.errors import InputError


def by_class(classes: int = 10, each: int = 50) -> DataSet:
    """Data that come class by class; a sample is its own number."""
    x = np.arange(classes * each, dtype=np.float64)[:, np.newaxis]
    return DataSet("numbers", x, np.repeat(np.arange(classes), each), "numbers")


def test_the_first_samples_of_both_parts_are_mixed():
    for part in hold_out(by_class(), 0):
        assert len(np.unique(part.first(40).y)) >= 8
        assert len(np.unique(part.y[-40:])) >= 8


def test_parts_are_disjoint_and_a_fifth_of_each_class_is_held_out():
    data = by_class()
    training, held_out = hold_out(data, 3)
    np.testing.assert_array_equal(np.bincount(held_out.y), [10] * 10)
    assert sorted([*training.x[:, 0], *held_out.x[:, 0]]) == data.x[:, 0].tolist()
    for part in (training, held_out):
        np.testing.assert_array_equal(part.y, part.x[:, 0] // 50, "classes stay with their samples")


def test_the_seed_alone_decides():
    (training, held_out), (same, also), (other, _) = (hold_out(by_class(), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(training.x, same.x)
    np.testing.assert_array_equal(held_out.x, also.x)
    assert not np.array_equal(training.x, other.x)


def test_few_samples_of_a_class_are_refused():
    with pytest.raises(InputError, match=r"at least five samples of each class, got 4 of class 0"):
        hold_out(by_class(each=4), 0)
