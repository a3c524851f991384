"""How the MLP of section 2.2 is trained, which figures 3 and 10 show."""

from __future__ import annotations

from dataclasses import replace

from fiberscope_paper import recipes
from fiberscope_paper.architectures import table2
from fiberscope_paper.context import Context, Scale
from fiberscope_paper.networks import Training
from fiberscope_paper.sources import UsedData

QUICK_TRAINING = 5_000
"""Training samples at quick scale, at most."""

FEW = 10_000
"""Training samples below which batches as large as the paper's would be too few."""


def table2_training(context: Context, data: UsedData) -> tuple[Training, UsedData]:
    """How the network is trained, and on which part of the data."""
    title = "The paper's table 2 network (784 inputs, ReLU layers of 3500 and 784, 10 classes)"
    few = data.training is not None and len(data.training) < FEW
    recipe = replace(recipes.MNIST, batch_size=100 if few else recipes.MNIST.batch_size, threads=1)
    if context.scale is Scale.QUICK and data.training is not None:
        recipe, data = replace(recipe, epochs=3, batch_size=100), data.first_for_training(QUICK_TRAINING)
    return Training("table2", title, table2, recipe, recipes.MNIST), data


__all__ = ["table2_training"]
