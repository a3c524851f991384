"""Whether thresholds are kept, in lines."""

from __future__ import annotations

from collections.abc import Sequence

from fiberscope.audits.thresholds import Threshold, Violation


def threshold_lines(thresholds: Sequence[Threshold], found: Sequence[Violation]) -> list[str]:
    """Every violation, and how many thresholds are kept; nothing where none was asked for."""
    if not thresholds:
        return []
    failed = len({violation.threshold.text for violation in found})
    asked = len({threshold.text for threshold in thresholds})
    word = "threshold" if asked == 1 else "thresholds"
    closing = f"{failed} of {asked} {word} failed" if failed else f"{asked} {word} kept"
    return [*(f"threshold failed: {violation}" for violation in found), closing]


__all__ = ["threshold_lines"]
