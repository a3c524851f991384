"""Tables 1 to 4 as the paper prints them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INPUT, DENSE, CONVOLUTION, SOFTMAX = "Input layer", "Dense layer", "Convolutional layer", "Dense layer (softmax)"


@dataclass(frozen=True)
class Row:
    """A row of a table: None stands for the dash.

    Attributes:
        kind: the column "Type".
        kernel: the sides of the kernel.
        stride: the strides.
        maps: the number of feature maps.
        units: the number of output units.
    """

    kind: str
    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    maps: int | None = None
    units: int | None = None

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        return (self.kind, *("-" if value is None else str(value) for value in self._values()))

    def _values(self) -> tuple[object, ...]:
        return self.kernel, self.stride, self.maps, self.units


def _mlp(hidden: Sequence[int]) -> tuple[Row, ...]:
    return (
        Row(INPUT, maps=3),
        *(Row(DENSE, units=units) for units in hidden),
        Row(SOFTMAX, units=10),
    )


def _cnn(maps: Sequence[int]) -> tuple[Row, ...]:
    strides = ((1, 1), (2, 2), (1, 1), (1, 1), (1, 1), (2, 2))
    convolutions = (Row(CONVOLUTION, (3, 3), s, count) for s, count in zip(strides, maps, strict=True))
    return (Row(INPUT, maps=3), *convolutions, Row(DENSE, units=512), Row(SOFTMAX, units=10))


PRINTED = {
    "table1": _mlp([100] * 10),
    "table2": _mlp([3500, 784]),
    "table3": _cnn([32, 64, 64, 32, 32, 64]),
    "table4": _cnn([32, 32, 16, 16, 16, 32]),
}

__all__ = ["CONVOLUTION", "DENSE", "INPUT", "PRINTED", "SOFTMAX", "Row"]
