"""Whose singular values figures 4, 5, 7, 8, 9 and 10 show: the networks, the samples, and what to say about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float64
from torch import nn

from fiberscope.data.datasets import DataSet
from fiberscope.network.arrays import FloatArray
from fiberscope.stability.stage_medians import StageMedians, stage_medians
from fiberscope_paper import recipes
from fiberscope_paper.architectures import CIFAR, table3, table4
from fiberscope_paper.context import Context, Scale
from fiberscope_paper.kept_spectra import kept_spectra
from fiberscope_paper.networks import Training, UsedNetwork, used_network
from fiberscope_paper.sources import UsedData, used_data
from fiberscope_paper.table2_training import table2_training

PAPER_SAMPLES = 50
"""Over which the paper takes medians."""

QUICK_CNN_SAMPLES, QUICK_CNN_TRAINING = 1, 3_000
"""At quick scale, for the convolutional networks: samples, and training samples for a single epoch."""

HALVED = (3, 16, 16)
"""The shape of the pictures at quick scale: a quarter of the inputs and outputs, and singular values in a 64th of the
time."""

QUICK_MLP_SAMPLES = 5
"""Samples at quick scale for the MLP."""

CONVOLUTIONAL_STAGES = 12
"""Of WideCIFAR and ThinCIFAR: six convolutions and six ReLUs; the paper shows these."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network whose singular values are shown.

    Attributes:
        label: its name in the figure.
        used: the network.
        data: its samples.
        X: (N, n) those at which the values are computed.
        medians: of the stages that are shown; none where they were not asked for.
        is_given: whether the user named the network.
    """

    label: str
    used: UsedNetwork
    data: UsedData
    X: Float64[FloatArray, "N n"]
    medians: tuple[StageMedians, ...]
    is_given: bool = False

    @property
    def activations(self) -> tuple[StageMedians, ...]:
        """The stages after an activation: layers, as the paper counts them in figures 5, 9 and 10."""
        return tuple(each for each in self.medians if not self.is_affine(each))

    def is_affine(self, medians: StageMedians) -> bool:
        """Whether a stage is an affine map; else it is an activation."""
        return self.used.network.stages[medians.stage].activation is None

    @property
    def why_other(self) -> str:
        """For claims that do not hold: how this differs from the paper's experiment."""
        if self.is_given:
            return f"{self.data.why_other}the network is {self.label}"
        halved = "the pictures are halved; " if self.used.network.input_shape == HALVED else ""
        return f"{self.data.why_other}{halved}the weights are others than the paper's"

    @property
    def caption(self) -> str:
        """Which network, data and samples."""
        count = len(self.X)
        taken = "the singular values at one sample" if count == 1 else f"medians over {count} samples"
        if count != PAPER_SAMPLES:
            taken += f" (the paper: medians over {PAPER_SAMPLES})"
        return f"{self.used.description} Shown: {taken}, the first of: {self.data.test.description}."


def wide(context: Context, *, with_medians: bool = True) -> Subject:
    """WideCIFAR, or the network of the file that the user names."""
    return _convolutional(context, "WideCIFAR", "table3", table3, with_medians=with_medians)


def thin(context: Context) -> Subject:
    """ThinCIFAR, or the network of the file that the user names."""
    return _convolutional(context, "ThinCIFAR", "table4", table4, with_medians=True)


def mlp(context: Context) -> Subject:
    """The MLP of section 2.2."""
    data = used_data(context, paper="mnist", stand_ins=("fashion-mnist", "mnist-5k"))
    return _subject(context, "MLP", *table2_training(context, data), QUICK_MLP_SAMPLES, None, True)


def _convolutional(
    context: Context,
    label: str,
    name: str,
    architecture: Callable[[tuple[int, int, int]], nn.Sequential],
    *,
    with_medians: bool,
) -> Subject:
    data = used_data(context, paper="cifar10", stand_ins=("fashion-mnist", "mnist-5k"))
    recipe, shape = recipes.CIFAR, CIFAR
    title = f"{label} ({name.replace('table', 'table ')} of the paper: six convolutions, two dense layers)"
    if context.model is None:
        if context.scale is Scale.QUICK:
            data = data.first_for_training(QUICK_CNN_TRAINING)
            recipe, shape = replace(recipe, epochs=1, threads=1), HALVED
            title += ", for pictures of 16 x 16 instead of 32 x 32 pixels"
        data = replace(
            data,
            test=_fitted(data.test, shape),
            training=None if data.training is None else _fitted(data.training, shape),
        )
    training = Training(name, title, partial(architecture, shape), recipe, recipes.CIFAR, shape)
    return _subject(context, label, training, data, QUICK_CNN_SAMPLES, CONVOLUTIONAL_STAGES, with_medians)


def _subject(
    context: Context,
    label: str,
    training: Training,
    data: UsedData,
    quick: int,
    stages: int | None,
    with_medians: bool,
) -> Subject:
    used = used_network(context, training, data)
    if context.model is not None:
        label, stages = context.model.name, None
    count = context.samples or context.at_scale(quick=quick, paper=PAPER_SAMPLES)
    X = used.network.flat(data.test.x[:count].reshape(-1, *used.network.input_shape))
    medians: list[StageMedians] = []
    if with_medians:
        shown = range(_last_linear(used) + 1 if stages is None else stages)
        task = f"singular values of {label}, stages"
        medians = stage_medians(kept_spectra(context, used.network, X, list(shown), task))
    return Subject(label, used, data, X, tuple(medians), is_given=context.model is not None)


def _last_linear(used: UsedNetwork) -> int:
    """The number of the last stage before logits and a softmax, whose values say little about the layers."""
    activations = [number for number, stage in enumerate(used.network.stages) if stage.activation is not None]
    pointwise = [n for n in activations if used.network.stages[n].outputs > used.network.outputs]
    return pointwise[-1] if pointwise else len(used.network.stages) - 1


def _fitted(data: DataSet, shape: tuple[int, int, int]) -> DataSet:
    """Pictures as a convolutional network takes them: padded to the size of those of CIFAR-10, or halved after that."""
    return _padded(data) if shape == CIFAR else _halved(_padded(data))


def _halved(data: DataSet) -> DataSet:
    """Pictures of the size of those of CIFAR-10 at half their height and width: the means of two by two pixels."""
    if data.x[0].size != np.prod(CIFAR):
        return data
    channels, height, width = HALVED
    x = data.x.reshape(len(data), channels, height, 2, width, 2).mean(axis=(3, 5))
    description = f"{data.description}, averaged over two by two pixels: 3 x 16 x 16"
    return replace(data, x=x, name=f"{data.name} halved", description=description)


def _padded(data: DataSet) -> DataSet:
    """Grey pictures of 28 x 28 pixels with a border of two, three times: as large as those of CIFAR-10."""
    if data.x.shape[1:] == CIFAR or data.x.shape[1:] not in ((28, 28), (1, 28, 28), (784,)):
        return data
    x = np.pad(data.x.reshape(len(data), 1, 28, 28), ((0, 0), (0, 0), (2, 2), (2, 2)))
    description = f"{data.description}, with a black border of two pixels, the same in three channels: 3 x 32 x 32"
    return replace(data, x=np.repeat(x, 3, axis=1), name=f"{data.name} padded", description=description)


__all__ = ["PAPER_SAMPLES", "Subject", "mlp", "thin", "wide"]
