"""The kinds of preimages."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What the preimage of a layer's output is [Theorem 4]; every preimage has exactly one kind."""

    EMPTY = "empty"
    """No input of the domain has this output."""
    SINGLETON = "singleton"
    """Exactly one input has this output: it can be recovered."""
    BOUNDED = "bounded"
    """A compact polytope with more than one point."""
    UNBOUNDED = "unbounded"
    """A polyhedron that contains a ray."""
    UNDECIDED = "undecided"
    """Not settled at the precision and budget given."""


__all__ = ["Kind"]
