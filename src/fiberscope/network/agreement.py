"""How well a converted network agrees with the model that it was read from."""

from __future__ import annotations

from dataclasses import dataclass


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


__all__ = ["Agreement"]
