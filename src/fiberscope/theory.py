"""The lemmas and the algorithm of the paper as functions: for whoever studies them. No verdict rests on these."""

from __future__ import annotations

from fiberscope.preimages.algorithm1 import algorithm1
from fiberscope.preimages.omnidirectional import Omnidirectionality, UniqueSolution, omnidirectional, unique_solution
from fiberscope.stability.admissible import Admissibility, VisitedPatterns, is_admissible, visited_patterns
from fiberscope.stability.correlation import (
    CorrelationBound,
    CorrelationCounts,
    correlation_bound,
    correlation_counts,
)
from fiberscope.stability.interlacing import InterlacingBound, interlacing_bound

__all__ = [
    "Admissibility",
    "CorrelationBound",
    "CorrelationCounts",
    "InterlacingBound",
    "Omnidirectionality",
    "UniqueSolution",
    "VisitedPatterns",
    "algorithm1",
    "correlation_bound",
    "correlation_counts",
    "interlacing_bound",
    "is_admissible",
    "omnidirectional",
    "unique_solution",
    "visited_patterns",
]
