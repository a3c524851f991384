"""Which data an experiment uses: the paper's where they are there, and otherwise a stand-in that is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiberscope.data.datasets import SPLIT, DataSet, load_data
from fiberscope.data.splits import hold_out
from fiberscope.errors import InputError
from fiberscope_paper.context import Context

TITLES = {"mnist": "MNIST", "mnist-5k": "5,000 MNIST digits", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}

PAPERS_DATA = {
    "mnist": ("figure3", "figure6", "figure10", "figure11", "control", "saturation"),
    "cifar10": ("figure4", "figure5", "figure7", "figure8", "figure9"),
}
"""The paper's data sets, and what it shows on them."""

ABSENT = "the data set"
"""How ``load_data`` begins to say that the files of a named data set are not there, or are another set's."""


@dataclass(frozen=True, eq=False)
class UsedData:
    """The test samples of an experiment, and what to say about them.

    Attributes:
        spec: what ``load_data`` was given.
        test: the samples.
        paper: the name of the paper's data.
        training: what a network is trained on; None where it came from a file.
    """

    spec: str
    test: DataSet
    paper: str
    training: DataSet | None

    @property
    def is_papers(self) -> bool:
        """Whether these are the paper's data."""
        return TITLES.get(self.spec) == self.paper

    @property
    def title(self) -> str:
        """The name that people know, or that of the file."""
        return TITLES.get(self.spec, self.test.name)

    @property
    def where(self) -> str:
        """For titles: the data, and whether they stand in for the paper's."""
        return f"on {self.title} in place of {self.paper}" if self.stands_in else f"on {self.title}"

    @property
    def stands_in(self) -> bool:
        """Whether these are known to be other data than the paper's; what a file holds is for its owner to say."""
        return self.spec in TITLES and not self.is_papers

    @property
    def why_other(self) -> str:
        """For claims: how the data differ from the paper's; empty if they do not."""
        if self.is_papers:
            return ""
        return f"the data are {self.title}" + (f", not {self.paper}; " if self.stands_in else "; ")

    def first_for_training(self, count: int) -> UsedData:
        """The same, with at most so many training samples."""
        return self if self.training is None else replace(self, training=self.training.first(count))

    def facts(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "name": self.test.name,
            "description": self.test.description,
            "sha256": data_digest(self.test),
            "samples": len(self.test),
            "stands_in_for": self.paper if self.stands_in else None,
        }


def used_data(context: Context, *, paper: str, stand_ins: tuple[str, ...]) -> UsedData:
    """The data that the user names; else the paper's if its files are there, else the first stand-in that is.

    Data sets without training images of their own are split, if a network is to be trained.

    Args:
        context: what the user asked for.
        paper: the name of the paper's data set, for ``load_data``.
        stand_ins: names of others, the preferred one first.

    Raises:
        InputError: nothing of it is there; the message is that about the preferred stand-in. Or a file is damaged.
    """
    wanted = (paper, *stand_ins) if context.data is None else (context.data,)
    first: InputError | None = None
    for spec in wanted:
        try:
            return _loaded(context, spec, TITLES[paper])
        except InputError as error:
            if len(wanted) == 1 or not error.what.startswith(ABSENT):
                raise  # a damaged file is no reason to take other data
            if spec != paper:
                first = first or error
    assert first is not None, "there is a stand-in for everything"
    raise first


def papers_data(experiments: Iterable[str]) -> list[str]:
    """The paper's data sets that some experiments use."""
    wanted = set(experiments)
    return [name for name, shown in PAPERS_DATA.items() if not wanted.isdisjoint(shown)]


def _loaded(context: Context, spec: str, paper: str) -> UsedData:
    data = load_data(spec)
    if context.model is not None:
        return UsedData(spec, data, paper, None)
    if spec in SPLIT:
        return UsedData(spec, data, paper, load_data(spec, split="train"))
    training, held_out = hold_out(data, context.seed)
    return UsedData(spec, held_out, paper, training)


def data_digest(data: DataSet) -> str:
    """The SHA-256 of samples and classes, in hexadecimal: equal for equal data on every machine."""
    total = hashlib.sha256()
    arrays: list[NDArray[Any]] = [data.x] if data.y is None else [data.x, data.y]
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        total.update(f"{little.dtype.str} {little.shape} ".encode())
        total.update(little.tobytes())
    return total.hexdigest()


__all__ = ["PAPERS_DATA", "TITLES", "UsedData", "data_digest", "papers_data", "used_data"]
