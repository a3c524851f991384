"""How the MLP of section 2.2 is trained, which figures 3 and 10 show."""

from __future__ import annotations

from fiberscope.paper.architectures import table2
from fiberscope.paper.reproduction.context import Context, Scale
from fiberscope.paper.reproduction.networks import Training
from fiberscope.paper.reproduction.sources import UsedData
from fiberscope.paper.training import Recipe

QUICK_TRAINING = 10_000
"""Training samples at quick scale, at most."""


def table2_training(context: Context, data: UsedData) -> tuple[Training, UsedData]:
    """How the network is trained, and on which part of the data."""
    title = "The paper's table 2 network (784 inputs, ReLU layers of 3500 and 784, 10 classes)"
    if context.scale is Scale.PAPER or data.training is None:
        few = data.training is not None and len(data.training) < QUICK_TRAINING
        recipe = Recipe(batch_size=100 if few else 1000, threads=1)
        return Training("table2", title, table2, recipe), data
    recipe = Recipe(epochs=3, batch_size=100, threads=1)
    part = data.first_for_training(QUICK_TRAINING)
    return Training("table2", title, table2, recipe, "The paper trained for 25 epochs in batches of 1,000."), part


__all__ = ["table2_training"]
