"""How layers and stages are called in tables and messages."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 8


def label(position: int, name: str) -> str:
    """A layer or stage by position and name; a name that is itself a number stands in quotes."""
    return f'{position} "{name}"' if name.isdecimal() else f"{position} {name}"


def from_to(labels: Sequence[str]) -> str:
    """What some layers one after the other are called together: the first and the last of them."""
    return labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"


def listed(labels: Sequence[str]) -> str:
    """The first of some labels, and how many more there are."""
    more = [f"and {len(labels) - _SHOWN} more"] if len(labels) > _SHOWN else []
    return "; ".join([*labels[:_SHOWN], *more])


__all__ = ["from_to", "label", "listed"]
