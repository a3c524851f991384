"""Holding samples out, where a data set does not come with test samples of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fiberscope.data.datasets import DataSet
from fiberscope.errors import InputError

HELD_OUT_SHARE = 0.2
"""Of each class."""


def hold_out(data: DataSet, seed: int) -> tuple[DataSet, DataSet]:
    """Split into training and held-out samples, both in random order: a fifth of every class is held out, at random.

    Raises:
        InputError: the data have no classes, or a class of fewer than five samples.
    """
    if data.y is None:
        raise InputError(f"the data set {data.name}", expected="classes to train on", got="samples without classes")
    labels, counts = np.unique(data.y, return_counts=True)
    per_class = int(HELD_OUT_SHARE * counts.min())
    if per_class < 1:
        fewest = int(labels[counts.argmin()])
        got = f"{counts.min()} of class {fewest}"
        raise InputError(f"the data set {data.name}", expected="at least five samples of each class", got=got)
    training, held_out = split_by_class(data.y, per_class, seed)
    return _part(data, training, "training part"), _part(data, held_out, "held out")


def split_by_class(y: NDArray[np.int64], per_class: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the training and of the held-out samples, in random order: as many held out of every class.

    Data often come class by class; in random order, the first samples of a part are of all classes.
    """
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    held_out = rng.permutation(np.concatenate([numbers[:per_class] for numbers in shuffled]))
    training = rng.permutation(np.concatenate([numbers[per_class:] for numbers in shuffled]))
    return training, held_out


def _part(data: DataSet, numbers: NDArray[np.int64], name: str) -> DataSet:
    assert data.y is not None, "checked by the caller"
    description = f"{len(numbers):,} samples ({name}) of: {data.description}"
    return replace(data, name=f"{data.name} {name}", x=data.x[numbers], y=data.y[numbers], description=description)


__all__ = ["hold_out", "split_by_class"]
