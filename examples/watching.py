"""Measuring a layer while Lightning or Keras trains it: neither is needed to run this file.

    python examples/watching.py

`LightningWatch` and `KerasWatch` are callbacks: they have the methods that Lightning and Keras (with torch as its
backend) call, and hand the step to `fiberscope.training.Watch`. Derive them from `lightning.Callback` and
`keras.callbacks.Callback` where these ask for it.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

import fiberscope as fs
from fiberscope.training import FrameBound, Watch


class LightningWatch:
    """For ``Trainer(callbacks=[...])``."""

    def __init__(self, X: Any, **options: Any) -> None:
        self.X, self.options, self.watch = X, options, None

    def on_train_start(self, trainer: Any, module: nn.Module) -> None:
        """Begin to watch the module that is trained."""
        self.watch = Watch(module, self.X, **self.options)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure, if this is a step to measure at."""
        self.watch(int(trainer.global_step))


class KerasWatch:
    """For ``model.fit(callbacks=[...])``."""

    def __init__(self, module: nn.Module, X: Any, **options: Any) -> None:
        self.watch, self.step = Watch(module, X, **options), 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Measure, if this is a step to measure at."""
        self.step += 1
        self.watch(self.step)


def main() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 2))
    x = torch.rand(200, 8)
    y = (x.sum(dim=1) > 4).long()
    penalty, callback = FrameBound(net, layers=0), KerasWatch(net, np.asarray(x[:10]), steps=20, domain=fs.Box(0, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for number, batch in enumerate(torch.randperm(200).repeat(4).split(20)):
        optimizer.zero_grad()
        (nn.functional.cross_entropy(net(x[batch]), y[batch]) + penalty(x[batch])).backward()
        optimizer.step()
        callback.on_train_batch_end(number)
    for row in callback.watch.table.to_pylist():
        print(f"step {row['step']}: bounded {row['bounded']:.0%}, condition number {row['condition_number']:.3g}")


if __name__ == "__main__":
    main()
