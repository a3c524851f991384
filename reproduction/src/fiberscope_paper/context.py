"""What an experiment is asked to do, and with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fiberscope.errors import InputError

ProgressReport = Callable[[str, int, int], None]
"""Called with a task, how many of its steps are done, and how many there are."""


class Scale(StrEnum):
    """How much is computed."""

    QUICK = "quick"
    """Each experiment in less than a minute on one core: fewer samples, shorter training, and for the convolutional
    networks pictures of half the height and width."""
    PAPER = "paper"
    """As the paper has it, as far as that can be run."""


def _silent(task: str, done: int, total: int) -> None:
    del task, done, total


@dataclass(frozen=True)
class Context:
    """What an experiment is asked to do.

    Attributes:
        networks: the folder where trained networks are kept.
        scale: how much is computed.
        model: the file of a network to use instead of the one that is trained.
        data: a data set to use instead of the paper's, by name or path.
        samples: how many samples to use; None for what the scale says.
        epochs: how many passes over the training data; None for what the scale says.
        seed: of training and of everything that is chosen at random.
        trust_model: whether a model format that can run code is loaded.
        progress: is told how far the work is.
        output: the name of the model's output to take, where it has several.
    """

    networks: Path
    scale: Scale = Scale.QUICK
    model: Path | None = None
    data: str | None = None
    samples: int | None = None
    epochs: int | None = None
    seed: int = 0
    trust_model: bool = False
    progress: ProgressReport = _silent
    output: str | None = None

    def __post_init__(self) -> None:
        for name, count in (("samples", self.samples), ("epochs", self.epochs)):
            if count is not None and count < 1:
                raise InputError(f"--{name}", expected="at least 1", got=str(count))
        if self.model is not None and self.epochs is not None:
            expected = "none with --model, whose network is not trained"
            raise InputError("--epochs", expected=expected, got=str(self.epochs), hint="leave one of them out")
        if self.model is None and self.output is not None:
            expected = "none without --model, whose output it chooses"
            raise InputError("--output", expected=expected, got=repr(self.output), hint="leave it out")
        if not 0 <= self.seed < 2**63:
            raise InputError("--seed", expected="a whole number from 0 to 2^63 - 1", got=str(self.seed))

    def at_scale(self, *, quick: int, paper: int) -> int:
        """The one of two numbers that the scale asks for."""
        return quick if self.scale is Scale.QUICK else paper


def checked_scale(name: str) -> Scale:
    """A scale by its name.

    Raises:
        InputError: there is no such scale.
    """
    try:
        return Scale(name)
    except ValueError:
        raise InputError("--scale", expected=" or ".join(Scale), got=repr(name)) from None


__all__ = ["Context", "ProgressReport", "Scale", "checked_scale"]
