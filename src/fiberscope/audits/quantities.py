"""What thresholds are about: the table of all quantities."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum


class Quantity(StrEnum):
    """What a threshold is about."""

    EMPTY = "empty"
    SINGLETON = "singleton"
    BOUNDED = "bounded"
    UNBOUNDED = "unbounded"
    UNDECIDED = "undecided"
    UNPROVED = "unproved"
    """Verdicts without a certificate; undecided ones are among them."""
    DIMENSION = "dimension"
    """The dimension of the preimages that have points."""
    MARGIN = "margin"
    """How far decided verdicts are from the opposite one."""
    RECOVERABLE = "recoverable"
    """Samples that can be computed back from what the network up to a layer gives."""
    NOT_RECOVERABLE = "not-recoverable"
    """Samples of which another input has the same features in the network up to a layer."""
    CONDITION = "condition"
    """The condition number of the local linear map up to a stage."""
    STABILITY_RADIUS = "stability-radius"
    """How large a ball around a sample is on which a modulus of the network up to a stage is proved; 0 for none."""
    REACH = "reach"
    """How far inputs with the same features get on the way to a sample of another class: 1 is there."""
    REBUILT = "rebuilt"
    """Samples that an attack on features rebuilds, which proves nothing."""
    BITS = "bits"
    """The logarithm of how many images are left, at most."""
    RADIUS = "radius"
    """How far inputs with the same features lie from the rebuilt one, at most."""
    MORE_INVERTIBLE = "more-invertible"
    """Samples of which the second audit of a comparison leaves less open than the first."""
    LESS_INVERTIBLE = "less-invertible"
    """Samples of which it leaves more open."""
    CONDITION_RATIO = "condition-ratio"
    """The condition number of the second over that of the first, sample by sample."""
    REACH_CHANGE = "reach-change"
    """The reach in the second minus that in the first, pair by pair of a sample and a target."""


@dataclass(frozen=True)
class Row:
    """What is known of a quantity.

    Attributes:
        at: where it is measured: of a layer on a "domain", of the "network" up to a layer, at a "stage", or in a
            "survey" of the network up to a layer.
        of: what has it: an "audit", a "leakage", a "comparison" of two audits.
        low: the least that it is at a sample.
        high: the most.
        number: the same in words; empty of what is true or false of a sample, and then 1 or 0.
        unknown: what is said of samples at which it is not known: how many, and that these are samples.
        each: what has a value.
    """

    at: str = "domain"
    of: tuple[str, ...] = ("audit",)
    low: float = 0.0
    high: float = 1.0
    number: str = ""
    unknown: str = "{} undecided {}"
    each: str = "samples"


_UNSIGNED = Row(high=math.inf, number="never below 0")
_CONDITION = Row("stage", low=1.0, high=math.inf, number="never below 1", unknown="{} {} without a condition number")
_REACH = replace(_UNSIGNED, at="survey", each="pairs", unknown="{} {} from which it was not computed")
_LEAK = Row(at="network", of=("leakage",), unknown="{} {} without a number")
_PAIR = Row(of=("comparison",), unknown="{} {} undecided in one of the audits")

QUANTITIES = {each: Row() for each in Quantity} | {
    Quantity.DIMENSION: _UNSIGNED,
    Quantity.MARGIN: Row(number="always from 0 to 1"),
    Quantity.RECOVERABLE: Row(at="network", of=("audit", "leakage")),
    Quantity.NOT_RECOVERABLE: Row(at="network"),
    Quantity.CONDITION: _CONDITION,
    Quantity.STABILITY_RADIUS: replace(_UNSIGNED, at="stage", unknown="{} {} at which the stage was left out"),
    Quantity.REACH: _REACH,
    Quantity.REBUILT: _LEAK,
    Quantity.BITS: replace(_LEAK, high=math.inf, number="never below 0"),
    Quantity.RADIUS: replace(_LEAK, high=math.inf, number="never below 0"),
    Quantity.MORE_INVERTIBLE: _PAIR,
    Quantity.LESS_INVERTIBLE: _PAIR,
    Quantity.CONDITION_RATIO: replace(
        _CONDITION,
        of=_PAIR.of,
        low=math.ulp(0.0),
        number="always above 0",
        unknown=f"{_CONDITION.unknown} in one of the audits",
    ),
    Quantity.REACH_CHANGE: replace(
        _REACH, of=_PAIR.of, low=-math.inf, number="any number", unknown=f"{_REACH.unknown} in one of the audits"
    ),
}
"""The table of all quantities."""

OF_AUDIT, OF_LEAKAGE, OF_COMPARISON = (
    tuple(each for each, row in QUANTITIES.items() if name in row.of) for name in ("audit", "leakage", "comparison")
)
"""What one audit has, what ``fiberscope leakage`` has, and what two audits have together."""


__all__ = ["OF_AUDIT", "OF_COMPARISON", "OF_LEAKAGE", "QUANTITIES", "Quantity", "Row"]
