"""What may not happen: thresholds, held against what was measured.

A quantity is either true or false of a sample, and then its share of the samples or their count is compared; or it is a
number for each sample, of which the minimum, the median or the maximum is compared. Every place is judged on its own,
and what is not known there of some samples, because they are undecided, say, may be anything: a threshold is kept only
if it is kept whatever that is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fiberscope.audits.plan import EXACT
from fiberscope.audits.quantities import QUANTITIES, Quantity
from fiberscope.errors import InputError
from fiberscope.labels import listed
from fiberscope.network.arrays import FloatArray

OPTION = "--fail-on"
"""Where thresholds come from, for messages."""

_NOTHING = "nothing was measured"


class Measure(StrEnum):
    """How the values at all samples become the one that is compared."""

    SHARE = "share"
    COUNT = "count"
    MIN = "min"
    MEDIAN = "median"
    MAX = "max"


_MEASURES: dict[Measure, Callable[[FloatArray], float]] = {
    Measure.SHARE: lambda values: float(values.mean()),
    Measure.COUNT: lambda values: float(values.sum()),
    Measure.MIN: lambda values: float(values.min()),
    Measure.MEDIAN: lambda values: float(np.median(values)),
    Measure.MAX: lambda values: float(values.max()),
}

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

    @property
    def upward(self) -> bool:
        """Whether it is large values that fail."""
        return self in (Comparison.ABOVE, Comparison.AT_LEAST)

    def says_something(self, bound: float, low: float, high: float) -> bool:
        """Whether some value from ``low`` to ``high`` fails, and some does not."""
        return self.holds(low, bound) != self.holds(high, bound)


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
        at: of what: a layer on a "domain", a "stage", the "network" up to the layer, or a "survey" of that.
        precision: to which outputs are known; of a survey also by which share of the largest features may differ.
    """

    label: str
    layer: int | None = None
    stage: int | None = None
    domain: DomainKind | None = None
    domain_name: str = ""
    precision: str = EXACT
    at: str = "domain"

    def measures(self, quantity: Quantity) -> bool:
        """Whether a quantity is measured in such a place."""
        return QUANTITIES[quantity].at == (self.at if self.stage is None else "stage")


@dataclass(frozen=True, eq=False)
class Measured:
    """One quantity in one place.

    Attributes:
        quantity: what was measured.
        place: where.
        values: (k,) the values, one for each sample at which it is known: a number, or 1 and 0 for true and false.
        unknown: the number of samples at which it is not known.
    """

    quantity: Quantity
    place: Place
    values: FloatArray
    unknown: int = 0


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
        precision: to which outputs are known.
    """

    text: str
    quantity: Quantity
    measure: Measure
    comparison: Comparison
    bound: float
    layer: int | None = None
    stage: int | None = None
    domain: DomainKind | None = None
    precision: str = EXACT

    def is_about(self, place: Place) -> bool:
        """Whether it is about this place; the quantity is not looked at."""
        return (
            self.layer in (None, place.layer)
            and self.stage in (None, place.stage)
            and self.domain in (None, place.domain)
            and self.precision == place.precision
        )


@dataclass(frozen=True)
class Violation:
    """A threshold that fails, and where.

    Attributes:
        threshold: the threshold.
        where: the place in words; empty if there is none.
        measured: what was measured, in words.
    """

    threshold: Threshold
    where: str
    measured: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.threshold.text, self.where, self.measured) if part)


_ASKED = {"stage": "singular values, with --spectra N", "survey": "a survey of invariance, with --invariance N"}
"""What an audit measures only where it is asked to."""


def check_asked(thresholds: Iterable[Threshold], computed: Collection[str]) -> None:
    """Check that there is what thresholds need and an audit has only if it is asked for: "stage", "survey".

    Raises:
        InputError: there is not.
    """
    for threshold in thresholds:
        at = QUANTITIES[threshold.quantity].at
        if at in _ASKED and at not in computed:
            expected = f"{threshold.quantity} only where an audit has {_ASKED[at]}"
            raise InputError(OPTION, expected=expected, got=repr(threshold.text))


def check_thresholds(thresholds: Sequence[Threshold], places: Sequence[Place], samples: int) -> None:
    """Check that everything that thresholds are about is measured, at enough samples.

    Args:
        thresholds: the thresholds.
        places: where anything is measured.
        samples: the number of samples that are counted.

    Raises:
        InputError: a threshold is about what is not measured, or about more samples than there are.
    """
    check_asked(thresholds, {place.at if place.stage is None else "stage" for place in places})
    for threshold in thresholds:
        available = [place for place in places if place.measures(threshold.quantity)]
        if not any(threshold.is_about(place) for place in available):
            expected = f"a place where {threshold.quantity} is measured"
            raise InputError(
                OPTION,
                expected=expected,
                got=repr(threshold.text),
                hint=f"these are: {listed([place.label for place in available])}",
            )
        counts = threshold.measure is Measure.COUNT
        if counts and not threshold.comparison.says_something(threshold.bound, 0.0, float(samples)):
            expected = f"a count of the {samples} samples that can be kept as well as missed"
            raise InputError(OPTION, expected=expected, got=repr(threshold.text))


def violations(thresholds: Iterable[Threshold], measured: Sequence[Measured]) -> list[Violation]:
    """Every threshold that is not kept, at every place where it is not.

    Where nothing was measured, none is kept, since nothing shows that it is.
    """
    found: list[Violation] = []
    for threshold in thresholds:
        about = [each for each in measured if each.quantity is threshold.quantity and threshold.is_about(each.place)]
        if not about:
            found.append(Violation(threshold, "", _NOTHING))
        found += [
            Violation(threshold, each.place.label, in_words(threshold, each))
            for each in about
            if not is_kept(threshold, each)
        ]
    return found


def is_kept(threshold: Threshold, measured: Measured) -> bool:
    """Whether a threshold is kept in one place, whatever the values are that are not known."""
    row = QUANTITIES[threshold.quantity]
    worst = row.high if threshold.comparison.upward else row.low
    values = np.append(measured.values, np.full(measured.unknown, worst))
    return len(values) > 0 and not threshold.comparison.holds(_MEASURES[threshold.measure](values), threshold.bound)


def in_words(threshold: Threshold, measured: Measured) -> str:
    """What is known of a threshold that is not kept: the measured value, of how many samples, and what is not known."""
    values, row = measured.values, QUANTITIES[threshold.quantity]
    unknown = row.unknown.format(measured.unknown, "sample" if measured.unknown == 1 else "samples")
    if not row.number:  # a sample of which it is not known is not counted, but is one of all
        values = np.append(values, np.zeros(measured.unknown))
    if not len(values):
        return f"{_NOTHING}: {unknown}" if measured.unknown else _NOTHING
    value = _MEASURES[threshold.measure](values)
    known = f"{threshold.measure} {value:.6g} over {len(values)} {row.each}"
    if not row.number:
        known = f"{int(values.sum())} of {len(values)} samples ({100 * values.sum() / len(values):.4g} %)"
    if not measured.unknown:
        return known
    missed = threshold.comparison.holds(value, threshold.bound)
    return f"{known}; {unknown}" if missed else f"{known}, but {unknown} may miss it"


def threshold_lines(thresholds: Sequence[Threshold], found: Sequence[Violation]) -> list[str]:
    """Every violation, and how many thresholds are kept; nothing where none was asked for."""
    if not thresholds:
        return []
    failed = len({violation.threshold.text for violation in found})
    asked = len({threshold.text for threshold in thresholds})
    word = "threshold" if asked == 1 else "thresholds"
    closing = f"{failed} of {asked} {word} failed" if failed else f"{asked} {word} kept"
    return [*(f"threshold failed: {violation}" for violation in found), closing]


__all__ = [
    "OPTION",
    "STATISTICS",
    "Comparison",
    "DomainKind",
    "Measure",
    "Measured",
    "Place",
    "Threshold",
    "Violation",
    "check_asked",
    "check_thresholds",
    "in_words",
    "is_kept",
    "threshold_lines",
    "violations",
]
