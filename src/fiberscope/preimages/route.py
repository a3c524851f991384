"""How samples were settled, and what that took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Route(StrEnum):
    """How a sample was settled."""

    UNION = "one direction for the union of several patterns"
    INTERSECTION = "one vector of multipliers for the intersection of several patterns"
    ALONE = "a search for one pattern"
    RANK = "the rank of its positive rows, or the domain"
    SINGLY = "the method for single samples"


@dataclass(frozen=True)
class Statistics:
    """What deciding many samples took.

    Attributes:
        samples: the number of samples that each route settled.
        seconds: the time that the searches of each route took, added over threads; that of failed ones is not in it.
        patterns: seconds until the sign patterns were settled.
        searching: seconds until all shared searches had ended.
        checking: seconds for the proofs of what these had found.
        singly: seconds for what was left.
    """

    samples: dict[Route, int]
    seconds: dict[Route, float]
    patterns: float = 0.0
    searching: float = 0.0
    checking: float = 0.0
    singly: float = 0.0


__all__ = ["Route", "Statistics"]
