"""What runs the model that a network was read from, and how well the network agrees with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from fiberscope.errors import InputError, shown
from fiberscope.network.arrays import FloatArray

Run = Callable[[FloatArray], Mapping[str, NDArray[Any]]]
"""Runs a model on inputs (N, *input_shape) and gives what it computes under each name, samples first."""

Arithmetic = Literal["float32", "float64"]

UNIT_ROUNDOFF: dict[str, float] = {"float32": 2.0**-24, "float64": 2.0**-53}
"""Of each arithmetic."""


def checked_arithmetic(value: Any) -> Arithmetic:
    """The arithmetic of that name.

    Raises:
        InputError: there is none.
    """
    if value == "float32":
        return "float32"
    if value == "float64":
        return "float64"
    hint = "write the name of what the model computes in as a text"
    raise InputError("arithmetic", expected="'float32' or 'float64'", got=shown(value), hint=hint)


@dataclass(frozen=True, eq=False)
class Original:
    """The model that a network was read from, in one of the arithmetics in which it can be run.

    Attributes:
        name: what runs it.
        arithmetic: what it computes in.
        run: gives the values that stages name as their origin.
    """

    name: str
    arithmetic: Arithmetic
    run: Run


@dataclass(frozen=True)
class Agreement:
    """How well a converted network agrees with the original.

    Attributes:
        original: what it was compared with.
        inputs: on how many inputs.
        places: at how many places.
        units: the largest difference, in units of rounding: ``u (|A| |x| + |b|)`` with the original's unit roundoff u,
            and what was carried over from earlier places that the original does not show.
        place: where that is.
    """

    original: str
    inputs: int
    places: int
    units: float
    place: str

    def __str__(self) -> str:
        return (
            f"agrees with {self.original} on {self.inputs} inputs at {self.places} places: the largest difference is "
            f"{self.units:.2g} units of rounding, at {self.place!r}"
        )


__all__ = ["UNIT_ROUNDOFF", "Agreement", "Arithmetic", "Original", "Run", "checked_arithmetic"]
