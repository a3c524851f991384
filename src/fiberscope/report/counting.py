"""Numbers of things, in words."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """A number with the singular or the plural of a thing, which takes an s: "1 sample", "1,000 samples"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


__all__ = ["counted"]
