"""What may not happen: thresholds, held against what was measured.

A quantity is either true or false of a sample, and then its share of the samples or their count is compared; or it is a
number for each sample, of which the minimum, the median or the maximum is compared. Every place is judged on its own,
and what is not known there of some samples, because they are undecided, say, may be anything: a threshold is kept only
if it is kept whatever that is.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from fiberscope.audits.plan import EXACT
from fiberscope.errors import InputError
from fiberscope.labels import listed
from fiberscope.network.arrays import FloatArray

OPTION = "--fail-on"
"""Where thresholds come from, for messages."""

_NOTHING = "nothing was measured"


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


@dataclass(frozen=True)
class _Row:
    """What is known of a quantity.

    Attributes:
        at: where it is measured: of a layer on a "domain", of the "network" up to a layer, or at a "stage".
        of: what has it: an "audit", a "leakage", a "comparison" of two audits.
        low: the least that it is at a sample.
        high: the most.
        number: the same in words; empty of what is true or false of a sample, and then 1 or 0.
        unknown: what is said of samples at which it is not known: how many, and that these are samples.
    """

    at: str = "domain"
    of: tuple[str, ...] = ("audit",)
    low: float = 0.0
    high: float = 1.0
    number: str = ""
    unknown: str = "{} undecided {}"


_UNSIGNED = _Row(high=math.inf, number="never below 0")
_CONDITION = _Row("stage", low=1.0, high=math.inf, number="never below 1", unknown="{} {} without a condition number")
_LEAK = _Row(at="network", of=("leakage",), unknown="{} {} without a number")
_PAIR = _Row(of=("comparison",), unknown="{} {} undecided in one of the audits")

QUANTITIES = {each: _Row() for each in Quantity} | {
    Quantity.DIMENSION: _UNSIGNED,
    Quantity.MARGIN: _Row(number="always from 0 to 1"),
    Quantity.RECOVERABLE: _Row(at="network", of=("audit", "leakage")),
    Quantity.NOT_RECOVERABLE: _Row(at="network"),
    Quantity.CONDITION: _CONDITION,
    Quantity.STABILITY_RADIUS: replace(_UNSIGNED, at="stage", unknown="{} {} at which the stage was left out"),
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
}
"""The table of all quantities."""

OF_AUDIT, OF_LEAKAGE, OF_COMPARISON = (
    tuple(each for each, row in QUANTITIES.items() if name in row.of) for name in ("audit", "leakage", "comparison")
)
"""What one audit has, what ``fiberscope leakage`` has, and what two audits have together."""


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
        is_network: whether it is the network up to the layer, and not the layer by itself.
        precision: to which outputs are known.
    """

    label: str
    layer: int | None = None
    stage: int | None = None
    domain: DomainKind | None = None
    domain_name: str = ""
    precision: str = EXACT
    is_network: bool = False

    def measures(self, quantity: Quantity) -> bool:
        """Whether a quantity is measured in such a place."""
        here = "network" if self.is_network else "domain" if self.stage is None else "stage"
        return QUANTITIES[quantity].at == here


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


def check_spectra(thresholds: Iterable[Threshold], *, computed: bool) -> None:
    """Check that there are singular values if a threshold needs them.

    Raises:
        InputError: there are none.
    """
    for threshold in thresholds:
        if QUANTITIES[threshold.quantity].at == "stage" and not computed:
            expected = f"{threshold.quantity} only where an audit has singular values, with --spectra N"
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
    check_spectra(thresholds, computed=any(place.stage is not None for place in places))
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
    known = f"{threshold.measure} {value:.6g} over {len(values)} samples"
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
    "OF_AUDIT",
    "OF_COMPARISON",
    "OF_LEAKAGE",
    "OPTION",
    "QUANTITIES",
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
    "is_kept",
    "threshold_lines",
    "violations",
]
