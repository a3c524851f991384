"""What figures 6 and 11 show: inputs with the features of others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiberscope.invariance.example import InvarianceExample
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.verification import Verification


@dataclass(frozen=True, eq=False)
class Variant:
    """An input with the features of another one, towards a target.

    Attributes:
        example: the input, its source and its target.
        verification: whether it was verified and proved.
        source: the number of the source among the samples.
        target: the number of the target.
        source_class: its class.
        target_class: its class.
        looks_like: the class of the sample next to it by the angle between them, among all that are neither its source
            nor its target.
        predictions: what the network says of the source and of the example.
    """

    example: InvarianceExample
    verification: Verification
    source: int
    target: int
    source_class: int
    target_class: int
    looks_like: int
    predictions: tuple[int, int]

    @property
    def resemblance(self) -> tuple[float, float]:
        """The cosines of the angles between the example and the target, and the example and the source."""
        target = self.example.target
        assert target is not None, "every example here has one"
        return cosine(self.example.x, target), cosine(self.example.x, self.example.source)


@dataclass(frozen=True, eq=False)
class Shown:
    """What the figure shows.

    Attributes:
        variants: row by row.
        positives: (N,) positive outputs of the first layer at all samples.
        fewest: the classes of the samples with the fewest.
        dimensions: of the set of inputs in the box with the features of each source, by the source's number.
        kinds: of these sets on all of R^n.
        limits: the bounds of the box, which are drawn black and white.
    """

    variants: tuple[tuple[Variant, ...], ...]
    positives: IntArray
    fewest: tuple[int, ...]
    dimensions: dict[int, int | None]
    kinds: dict[int, str]
    limits: tuple[float, float]


def cosine(a: FloatArray, b: FloatArray) -> float:
    """The cosine of the angle between two pictures."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a.ravel() @ b.ravel()) / size if size else 0.0


__all__ = ["Shown", "Variant", "cosine"]
