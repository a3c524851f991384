"""How layers and stages are called in tables and messages."""

from __future__ import annotations


def label(position: int, name: str) -> str:
    """A layer or stage by position and name; a name that is itself a number stands in quotes."""
    return f'{position} "{name}"' if name.isdecimal() else f"{position} {name}"


__all__ = ["label"]
