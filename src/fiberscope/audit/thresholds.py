"""What may not happen: thresholds, held against what was measured.

A quantity is either true or false of a sample, and then its share of the samples or their count is compared; or it is a
number for each sample, of which the minimum, the median or the maximum is compared. Every place is judged on its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np

from fiberscope.errors import InputError
from fiberscope.labels import listed
from fiberscope.network.arrays import FloatArray

OPTION = "--fail-on"
"""Where thresholds come from, for messages."""


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
    CONDITION = "condition"
    """The condition number of the local linear map up to a stage."""
    MORE_INVERTIBLE = "more-invertible"
    """Samples of which the second audit of a comparison leaves less open than the first."""
    LESS_INVERTIBLE = "less-invertible"
    """Samples of which it leaves more open."""
    CONDITION_RATIO = "condition-ratio"
    """The condition number of the second over that of the first, sample by sample."""


NUMERIC = (Quantity.DIMENSION, Quantity.MARGIN, Quantity.CONDITION, Quantity.CONDITION_RATIO)
"""The quantities that are a number for each sample; the others are true or false of it."""

OF_SPECTRA = (Quantity.CONDITION, Quantity.CONDITION_RATIO)
"""The quantities that are measured at stages, not at layers and domains, and need ``--spectra``."""

OF_COMPARISON = (Quantity.MORE_INVERTIBLE, Quantity.LESS_INVERTIBLE, Quantity.CONDITION_RATIO)
"""The quantities that two audits have together."""

OF_AUDIT = tuple(quantity for quantity in Quantity if quantity not in OF_COMPARISON)
"""The quantities that one audit has."""


class Measure(StrEnum):
    """How the values at all samples become the one that is compared."""

    SHARE = "share"
    COUNT = "count"
    MIN = "min"
    MEDIAN = "median"
    MAX = "max"


STATISTICS = (Measure.MIN, Measure.MEDIAN, Measure.MAX)
"""What is compared of a number for each sample; the median, as in the tables, if nothing is said."""


class Comparison(StrEnum):
    """When a threshold fails."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="

    def holds(self, value: float, bound: float) -> bool:
        """Whether ``value`` lies on the wrong side of ``bound``."""
        return _OPERATORS[self](value, bound)


_OPERATORS: dict[Comparison, Callable[[float, float], bool]] = {
    Comparison.ABOVE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
    Comparison.BELOW: operator.lt,
    Comparison.AT_MOST: operator.le,
}


class DomainKind(StrEnum):
    """The domains as thresholds name them."""

    EVERYTHING = "R^n"
    BOX = "box"
    NONNEGATIVE = "nonnegative"


@dataclass(frozen=True)
class Place:
    """Where something is measured.

    Attributes:
        label: the place in words.
        layer: the position of the ReLU layer, or of the layer that ends at the stage; None where there is none.
        stage: the number of the stage; None for what is measured at a layer.
        domain: the domain; None for what is measured at a stage.
        domain_name: the domain as the results name it; empty for what is measured at a stage.
    """

    label: str
    layer: int | None = None
    stage: int | None = None
    domain: DomainKind | None = None
    domain_name: str = ""


@dataclass(frozen=True, eq=False)
class Measured:
    """One quantity in one place.

    Attributes:
        quantity: what was measured.
        place: where.
        values: (k,) the values, one for each sample that has one: a number, or 1 and 0 for true and false.
    """

    quantity: Quantity
    place: Place
    values: FloatArray


@dataclass(frozen=True)
class Threshold:
    """What may not happen.

    Attributes:
        text: as it was written.
        quantity: what it is about.
        measure: how the values at all samples become one.
        comparison: on which side of the bound it fails.
        bound: what the measured value is compared with.
        layer: the only layer that it is about; None for any.
        stage: the only stage; None for any.
        domain: the only domain; None for any.
    """

    text: str
    quantity: Quantity
    measure: Measure
    comparison: Comparison
    bound: float
    layer: int | None = None
    stage: int | None = None
    domain: DomainKind | None = None

    def is_about(self, place: Place) -> bool:
        """Whether it is about this place; the quantity is not looked at."""
        return (
            self.layer in (None, place.layer)
            and self.stage in (None, place.stage)
            and self.domain in (None, place.domain)
        )


@dataclass(frozen=True)
class Violation:
    """A threshold that fails, and where.

    Attributes:
        threshold: the threshold.
        where: the place in words; empty if nothing was measured.
        measured: what was measured, in words.
    """

    threshold: Threshold
    where: str
    measured: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.threshold.text, self.where, self.measured) if part)


def check_spectra(thresholds: Iterable[Threshold], *, computed: bool) -> None:
    """Check that there are singular values if a threshold needs them.

    Raises:
        InputError: there are none.
    """
    for threshold in thresholds:
        if threshold.quantity in OF_SPECTRA and not computed:
            expected = f"{threshold.quantity} only where an audit has singular values, with --spectra N"
            raise InputError(OPTION, expected=expected, got=repr(threshold.text))


def check_thresholds(thresholds: Sequence[Threshold], places: Sequence[Place]) -> None:
    """Check that everything that thresholds are about is measured.

    Args:
        thresholds: the thresholds.
        places: where anything is measured.

    Raises:
        InputError: a threshold is about what is not measured.
    """
    check_spectra(thresholds, computed=any(place.stage is not None for place in places))
    for threshold in thresholds:
        at_stages = threshold.quantity in OF_SPECTRA
        available = [place for place in places if (place.stage is not None) == at_stages]
        if not any(threshold.is_about(place) for place in available):
            expected = f"a place where {threshold.quantity} is measured"
            raise InputError(
                OPTION,
                expected=expected,
                got=repr(threshold.text),
                hint=f"these are: {listed([place.label for place in available])}",
            )


def violations(thresholds: Iterable[Threshold], measured: Sequence[Measured]) -> list[Violation]:
    """Every threshold that fails, at every place where it does.

    A place where no sample has a value is passed over; a threshold that finds none anywhere fails, since nothing shows
    that it is kept.
    """
    found: list[Violation] = []
    for threshold in thresholds:
        about = [each for each in measured if each.quantity is threshold.quantity and threshold.is_about(each.place)]
        valued = [each for each in about if len(each.values)]
        if not valued:
            found.append(Violation(threshold, "", "nothing was measured"))
        for each in valued:
            value = measured_value(threshold.measure, each.values)
            if threshold.comparison.holds(value, threshold.bound):
                found.append(Violation(threshold, each.place.label, in_words(threshold.measure, value, each.values)))
    return found


def measured_value(measure: Measure, values: FloatArray) -> float:
    """What is compared with the bound, of the values (k,) at k > 0 samples."""
    match measure:
        case Measure.SHARE:
            return float(values.sum() / len(values))
        case Measure.COUNT:
            return float(values.sum())
        case Measure.MIN:
            return float(values.min())
        case Measure.MEDIAN:
            return float(np.median(values))
        case Measure.MAX:
            return float(values.max())
        case _:
            assert_never(measure)


def in_words(measure: Measure, value: float, values: FloatArray) -> str:
    """The measured value, and of how many samples."""
    match measure:
        case Measure.SHARE | Measure.COUNT:
            return f"{int(values.sum())} of {len(values)} samples ({100 * values.sum() / len(values):.4g} %)"
        case Measure.MIN | Measure.MEDIAN | Measure.MAX:
            return f"{measure} {value:.6g} over {len(values)} samples"
        case _:
            assert_never(measure)


__all__ = [
    "NUMERIC",
    "OF_AUDIT",
    "OF_COMPARISON",
    "OF_SPECTRA",
    "OPTION",
    "STATISTICS",
    "Comparison",
    "DomainKind",
    "Measure",
    "Measured",
    "Place",
    "Quantity",
    "Threshold",
    "Violation",
    "check_spectra",
    "check_thresholds",
    "in_words",
    "measured_value",
    "violations",
]
