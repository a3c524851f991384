"""The demo's network and its held-out digits, for several benchmarks."""

from __future__ import annotations

from dataclasses import replace

import torch

import fiberscope as fs
from fiberscope.data.datasets import DataSet, load_data
from fiberscope.data.splits import split_by_class
from fiberscope.demo.demo import HELD_OUT_PER_CLASS, train
from fiberscope.demo.perceptron import table1


def demo(*, trained: bool) -> tuple[fs.Network, DataSet]:
    """The network, trained or with its initial weights, which take no seconds; and the same 1,000 digits for both."""
    if trained:
        run = train(seed=0)
        return run.network, run.test
    digits = load_data("mnist-5k")
    _, held_out = split_by_class(digits.y, HELD_OUT_PER_CLASS, 0)
    return untrained(), replace(digits, x=digits.x[held_out], y=digits.y[held_out])


def untrained() -> fs.Network:
    """The network with its initial weights."""
    torch.manual_seed(0)
    return fs.from_torch(table1().eval())
