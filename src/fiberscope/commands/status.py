"""How a command ends."""

from __future__ import annotations

FINE, FAILED, ERROR = 0, 1, 2
"""The exit statuses: all well; a certificate or an example is not proved, or a threshold is passed; something went
wrong."""

__all__ = ["ERROR", "FAILED", "FINE"]
