"""How far a training is, on disk: an interrupted one continues to exactly the same weights."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fiberscope.demo.training import Progress
from fiberscope.errors import ResultsError
from fiberscope.files import read_file, write_file


@dataclass(frozen=True)
class Checkpoint:
    """A file that is replaced after each epoch.

    Attributes:
        path: the file.
        identity: of the training: recipe, data, seed and architecture. A checkpoint of another one is refused.
    """

    path: Path
    identity: str

    def write(self, progress: Progress, epoch: int) -> None:
        """Write the state after an epoch; the file appears whole or not at all.

        Raises:
            ResultsError: it cannot be written.
        """
        state = {
            "identity": self.identity,
            "epoch": epoch,
            "module": progress.module.state_dict(),
            "optimizer": progress.optimizer.state_dict(),
            "generator": progress.generator.get_state(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_file(self.path, buffer.getvalue())

    def restore(self, progress: Progress) -> int:
        """Put the state of the file, if there is one, into ``progress``; returns how many epochs are done.

        Nothing in the file is executed.

        Raises:
            ResultsError: the file is damaged, or belongs to another training.
        """
        if not self.path.is_file():
            return 0
        data = read_file(self.path)
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
            self._check(state["identity"])
            progress.module.load_state_dict(state["module"])
            progress.optimizer.load_state_dict(state["optimizer"])
            progress.generator.set_state(state["generator"])
            return int(state["epoch"])
        except ResultsError:
            raise
        except Exception as error:  # torch raises what it likes for a damaged file
            raise self._refused(f"it is damaged ({type(error).__name__})") from error

    def _check(self, identity: str) -> None:
        if identity != self.identity:
            raise self._refused("it belongs to a training with another recipe, other data or another seed")

    def _refused(self, why: str) -> ResultsError:
        message = f"the checkpoint {self.path} cannot be continued: {why}; remove it to train from the beginning"
        return ResultsError(message, path=str(self.path))


__all__ = ["Checkpoint"]
