"""The colours of reports, cards and pictures, told apart by readers with any colour vision (Okabe and Ito)."""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "singleton": "#0072b2",
    "bounded": "#56b4e9",
    "unbounded": "#e69f00",
    "empty": "#8c8c8c",
    "undecided": "#cc79a7",
}
"""The colour of each kind of preimage, on light and on dark ground; in the order in which kinds are listed."""

SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
"""Of several curves side by side."""

MAIN, OTHER = SERIES[0], SERIES[1]
"""Of a curve by itself, and of what is told from it."""

MARK = "#7f7f7f"
"""Of lines that mark a place, and of what is not known."""

__all__ = ["KINDS", "MAIN", "MARK", "OTHER", "SERIES"]
