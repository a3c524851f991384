"""Validation at the door, of single numbers: counts, measures, and yes or no."""

from __future__ import annotations

from math import isnan
from operator import ge, gt, index, le, lt
from typing import Any

from fiberscope.errors import InputError, shown


def as_count(value: Any, what: str, least: int = 1, most: int | None = None, *, hint: str = "") -> int:
    """An argument that counts something, or numbers it.

    Raises:
        InputError: not a whole number, or out of range.
    """
    try:
        count = None if _is_truth_value(value) else index(value)
    except TypeError:
        count = None
    if count is None or count < least or (most is not None and count > most):
        upper = "" if most is None else f" and at most {most}"
        expected = f"a whole number, at least {least}{upper}"
        raise InputError(what, expected=expected, got=shown(value), hint=hint or _number_in(value, what))
    return count


def as_position(value: Any, count: int, what: str, *, also: str = "", hint: str = "") -> int:
    """The number of one of ``count`` things, where negative ones count from the end.

    Args:
        value: the argument.
        count: how many things there are.
        what: the argument's name, for the error message.
        also: what would have been accepted besides.
        hint: what to do.

    Raises:
        InputError: there is no such thing.
    """
    try:
        position = None if _is_truth_value(value) else index(value)
    except TypeError:
        position = None
    if position is None or not -count <= position < count:
        hint = hint or _number_in(value, what) or "negative numbers count from the end"
        raise InputError(what, expected=f"a number from 0 to {count - 1}{also}", got=shown(value), hint=hint)
    return position % count


def as_number(
    value: Any,
    what: str,
    *,
    above: float | None = None,
    below: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> float:
    """An argument that measures something.

    Args:
        value: any real number, infinite or not.
        what: the argument's name, for the error message.
        above: what it must exceed.
        below: what must exceed it.
        least: what it must not fall below.
        most: what it must not exceed.

    Raises:
        InputError: not a number, NaN, or out of range.
    """
    try:
        number = None if isinstance(value, str | bytes) or _is_truth_value(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    bounds = ("above", above, gt), ("below", below, lt), ("at least", least, ge), ("at most", most, le)
    asked = [(name, bound, holds) for name, bound, holds in bounds if bound is not None]
    if number is None or isnan(number) or not all(holds(number, bound) for _, bound, holds in asked):
        words = " and ".join(f"{name} {bound:g}" for name, bound, _ in asked)
        is_open = above is not None and below is not None
        expected = f"a number in ({above:g}, {below:g})" if is_open else f"a number {words}".rstrip()
        raise InputError(what, expected=expected, got=shown(value), hint=_number_in(value, what))
    return number


def as_several(value: Any, what: str) -> tuple[Any, ...]:
    """An argument that lists something; a text is no list, and a number alone is a list of one.

    Raises:
        InputError: neither a list nor a number.
    """
    if hasattr(value, "__index__") and not getattr(value, "ndim", 0):  # arrays have it, too
        return (value,)
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        raise InputError(what, expected="a list, such as [0, 1]", got=shown(value), hint="write it in brackets")
    return tuple(value)


def as_flag(value: Any, what: str) -> bool:
    """An argument that is yes or no; a text such as "no" would count as yes.

    Raises:
        InputError: neither.
    """
    if not _is_truth_value(value):
        raise InputError(what, expected="True or False", got=shown(value))
    return bool(value)


def _is_truth_value(value: Any) -> bool:
    """Whether this is a bool of Python or of numpy."""
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")


def _number_in(value: Any, what: str) -> str:
    """What to do about a number in quotes; nothing to say about anything else."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    return "" if number is None else f"leave the quotes out: {what}={str(value).strip()}"


__all__ = ["as_count", "as_flag", "as_number", "as_position", "as_several"]
