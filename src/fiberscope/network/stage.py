"""The stages of a network: one per affine map and one per activation, as the paper counts them [figure 4]."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from jaxtyping import Float64

from fiberscope.errors import ModelError
from fiberscope.network.affine import AffineMap
from fiberscope.network.arrays import FloatArray


class StageKind(StrEnum):
    """What a stage computes."""

    AFFINE = "affine"
    """An affine map ``A x + b``."""
    RELU = "relu"
    """``max(x, 0)``, coordinate by coordinate."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a network, on flat vectors.

    Args:
        name: what the model calls it.
        kind: affine or relu.
        inputs: the number of input coordinates.
        outputs: the number of output coordinates.
        affine: the map of an affine stage; None for an activation.

    Raises:
        ModelError: sizes or kind do not agree with the map.
    """

    name: str
    kind: StageKind
    inputs: int
    outputs: int
    affine: AffineMap | None = None

    def __post_init__(self) -> None:
        sizes = (self.inputs, self.inputs) if self.affine is None else (self.affine.inputs, self.affine.outputs)
        if (self.affine is None) != (self.kind is StageKind.RELU) or sizes != (self.inputs, self.outputs):
            raise ModelError(f"stage {self.name!r}: the map does not fit {self.kind} {self.inputs} -> {self.outputs}")

    def apply(self, X: Float64[FloatArray, "N n"]) -> Float64[FloatArray, "N m"]:
        """Evaluate in float64: X (N, inputs) -> (N, outputs)."""
        match self.kind:
            case StageKind.AFFINE:
                assert self.affine is not None, "checked when the stage was made"
                return self.affine.apply(X)
            case StageKind.RELU:
                return np.maximum(X, 0.0)
            case _:
                assert_never(self.kind)


def affine_stage(name: str, affine: AffineMap) -> Stage:
    """The stage of an affine map."""
    return Stage(name, StageKind.AFFINE, affine.inputs, affine.outputs, affine)


def relu_stage(name: str, size: int) -> Stage:
    """The stage of a ReLU on ``size`` coordinates."""
    return Stage(name, StageKind.RELU, size, size)


__all__ = ["Stage", "StageKind", "affine_stage", "relu_stage"]
