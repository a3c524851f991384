"""The words in which thresholds are asked for: ``QUANTITY[.STATISTIC] COMPARISON NUMBER[@PLACE][@DOMAIN]``.

``unbounded>0.1@layer0`` fails if more than a tenth of the samples have an unbounded preimage in layer 0, on any domain.
A number behind a quantity that is true or false of a sample is a share, ``0.1`` or ``10%``; a count is one only if it
says so, ``3 samples``. Behind any other quantity it is compared with the median, or with ``.min`` or ``.max``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from difflib import get_close_matches

from fiberscope.audits.plan import EXACT, known_precision, known_share
from fiberscope.audits.quantities import OF_AUDIT, OF_LEAKAGE, QUANTITIES, Quantity
from fiberscope.audits.thresholds import OPTION, STATISTICS, Comparison, DomainKind, Measure, Threshold
from fiberscope.errors import InputError

_FORM = re.compile(
    r"(?P<quantity>[a-z-]+)(?:\.(?P<statistic>\w*))?\s*"
    r"(?P<comparison>[<>]=?)\s*"
    r"(?P<bound>[^@<>]*?)\s*(?P<places>(?:@[^@]*)*)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?)\s*(?P<unit>%|samples?|)", re.IGNORECASE | re.ASCII
)
_PLACE = re.compile(r"(?P<what>layer|stage)(?P<number>\d{1,9})", re.IGNORECASE | re.ASCII)
_EXAMPLES = "such as unbounded>0.1@layer0, undecided>0, dimension.max>=50 or condition>1e6"


def parse_thresholds(texts: Sequence[str], quantities: Sequence[Quantity] = OF_AUDIT) -> tuple[Threshold, ...]:
    """The thresholds that are asked for.

    Args:
        texts: the thresholds as they were written.
        quantities: what they may be about.

    Raises:
        InputError: one of them means nothing, or would fail always or never.
    """
    return tuple(_parsed(text, quantities) for text in texts)


def parse_stored_thresholds(texts: Sequence[str]) -> tuple[tuple[Threshold, ...], tuple[Threshold, ...]]:
    """The thresholds that a finished folder is held against: its audit, and what features were found to give away.

    Both say what is ``recoverable``: the audit from exact features, so that what names a precision is about the other.

    Raises:
        InputError: one of them means nothing, or would fail always or never.
    """
    of_leakage = [text for text in texts if _is_of_leakage(text)]
    return parse_thresholds([text for text in texts if text not in of_leakage]), parse_thresholds(
        of_leakage, OF_LEAKAGE
    )


def _is_of_leakage(text: str) -> bool:
    form = _FORM.fullmatch(text.strip())
    if form is None:
        return False
    at_precision = any(known_precision(place.strip()) for place in form["places"].split("@")[1:])
    name = form["quantity"].lower()
    return name in OF_LEAKAGE and (at_precision or name not in OF_AUDIT)


def _parsed(text: str, quantities: Sequence[Quantity]) -> Threshold:
    form = _FORM.fullmatch(text.strip())
    if form is None:
        quotes = "" if re.search("[<>]", text) else "; put it in quotes, since a shell takes > and < for its own"
        raise _refused(text, f"QUANTITY>NUMBER with an optional @PLACE, {_EXAMPLES}", hint=quotes)
    quantity = _quantity(form["quantity"].lower(), text, quantities)
    comparison = Comparison(form["comparison"])
    measure, bound = _bound(form["bound"], form["statistic"], quantity, text)
    _check_can_hold_and_fail(text, quantity, measure, comparison, bound)
    places = _places(form["places"], quantity, text, of_leakage=tuple(quantities) == OF_LEAKAGE)
    return Threshold(text.strip(), quantity, measure, comparison, bound, *places)


def _refused(text: str, expected: str, hint: str = "") -> InputError:
    return InputError(OPTION, expected=expected, got=repr(text), hint=hint.removeprefix("; "))


def _quantity(name: str, text: str, quantities: Sequence[Quantity]) -> Quantity:
    names = [str(quantity) for quantity in quantities]
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        raise _refused(text, f"one of {', '.join(names)} before the comparison", hint)
    return Quantity(name)


def _bound(text: str, statistic: str | None, quantity: Quantity, whole: str) -> tuple[Measure, float]:
    """What is compared, and with what."""
    form = _NUMBER.fullmatch(text)
    number = Decimal(form["number"]) if form else Decimal("nan")
    if form is None or not abs(float(number)) < float("inf"):
        raise _refused(whole, f"a finite number after the comparison, {_EXAMPLES}")
    unit = form["unit"].lower()
    if QUANTITIES[quantity].number:
        if unit:
            raise _refused(whole, f"a plain number, since {quantity} is neither a share nor a count")
        return _statistic(statistic, quantity, whole), float(number)
    if statistic is not None:
        raise _refused(whole, f"no statistic, since {quantity} is a share of the samples, or a count: 3 samples")
    if unit.startswith("sample"):
        if number % 1:
            raise _refused(whole, "a whole number of samples")
        return Measure.COUNT, float(number)
    return Measure.SHARE, float(number / 100 if unit == "%" else number)


def _statistic(name: str | None, quantity: Quantity, text: str) -> Measure:
    if name is None:
        return Measure.MEDIAN
    if name.lower() not in STATISTICS:
        names = ", ".join(f"{quantity}.{statistic}" for statistic in STATISTICS)
        raise _refused(text, f"{names}, or {quantity} alone for the median")
    return Measure(name.lower())


def _check_can_hold_and_fail(
    text: str, quantity: Quantity, measure: Measure, comparison: Comparison, bound: float
) -> None:
    """Refuse what says nothing; most likely, a count is written where a share is read."""
    row = QUANTITIES[quantity]
    if row.number:
        expected, hint = "a bound", f"{quantity} is {row.number}"
    elif measure is Measure.SHARE:
        expected, hint = "a share of the samples between 0 and 1 (or 0% and 100%)", _SAY_SO
    else:
        expected, hint = "a count", ""
    if not comparison.says_something(bound, row.low, math.inf if measure is Measure.COUNT else row.high):
        raise _refused(text, f"{expected} that can be kept as well as missed", hint)


_SAY_SO = "for a count, say so: unbounded>3 samples"


def _places(
    text: str, quantity: Quantity, whole: str, *, of_leakage: bool
) -> tuple[int | None, int | None, DomainKind | None, str]:
    """The layer, the stage and the domain that are named, None where none is; and the precision."""
    at_stages, has_domain, of_survey = (QUANTITIES[quantity].at == place for place in ("stage", "domain", "survey"))
    at_precision = has_domain or of_leakage or of_survey
    precision = EXACT
    layer = stage = domain = None
    for place in (part.strip() for part in text.split("@")[1:]):
        form = _PLACE.fullmatch(place)
        known = next((name for name in DomainKind if name.lower() == place.lower()), None)
        if form and form["what"].lower() == "layer" and layer is None:
            layer = int(form["number"])
        elif form and form["what"].lower() == "stage" and stage is None and at_stages:
            stage = int(form["number"])
        elif known is not None and domain is None and has_domain:
            domain = known
        elif (
            precision == EXACT
            and at_precision
            and (told := known_precision(place) or (known_share(place) if of_survey else ""))
        ):
            precision = told
        else:
            may = "@layerK or @stageK" if at_stages else "@layerK"
            kinds = ", ".join(f"@{name}" for name in DomainKind)
            may += f" and one of {kinds}" if has_domain else ""
            may += ", and a precision such as @int8" if at_precision else ""
            may += ", or a share of the largest feature such as @1%" if of_survey else ""
            raise _refused(whole, f"{may}, each at most once, behind a threshold for {quantity}")
    if layer is not None and stage is not None:
        raise _refused(whole, "either a layer or a stage")
    return layer, stage, domain, precision


__all__ = ["parse_stored_thresholds", "parse_thresholds"]
