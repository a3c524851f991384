"""Numbers as the report and the terminal write them: one style for all tables, figures and sentences."""

from __future__ import annotations

import math

DIGITS = 3
"""Digits of what is measured: medians of condition numbers differ by more from sample to sample."""

_READABLE, _LEAST = 1e9, 1e-4
"""Between these, digits are written out; beyond them there is a power of ten."""


def counted(number: int, thing: str) -> str:
    """A number with the singular or the plural of a thing, which takes an s: "1 sample", "1,000 samples"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """What is measured, in three digits; a dash where there is nothing."""
    if math.isnan(value):
        return "-"
    short = float(f"{value:.{DIGITS}g}")
    if not short or math.isinf(short) or _LEAST <= abs(short) < _READABLE:
        return f"{short:,.12g}"
    return f"{short:.{DIGITS - 1}e}"


def middle(value: float | None) -> str:
    """A median of counts, which is whole or ends in a half, in all its digits; a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:,.12g}"


__all__ = ["counted", "middle", "number"]
