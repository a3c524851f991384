"""The paper's network of table 1 and held-out digits, for several benchmarks."""

from __future__ import annotations

from dataclasses import replace

import torch

import fiberscope as fs
from fiberscope.data.datasets import DataSet, load_data
from fiberscope.data.splits import split_by_class
from fiberscope.demo.demo import HELD_OUT_PER_CLASS
from fiberscope.demo.training import Recipe, train_classifier
from fiberscope_paper.architectures import table1


def demo(*, trained: bool) -> tuple[fs.Network, DataSet]:
    """The network, trained or with its initial weights, which take no seconds; and the same 1,000 digits for both."""
    digits = load_data("mnist-5k")
    training, held_out = split_by_class(digits.y, HELD_OUT_PER_CLASS, 0)
    test = replace(digits, x=digits.x[held_out], y=digits.y[held_out])
    if not trained:
        return untrained(), test
    recipe = Recipe(epochs=25, batch_size=100, threads=1)
    return fs.from_torch(train_classifier(table1, digits.x[training], digits.y[training], recipe=recipe, seed=0)), test


def untrained() -> fs.Network:
    """The network with its initial weights."""
    torch.manual_seed(0)
    return fs.from_torch(table1().eval())
