"""A chunk whose computation failed: its rows stay undecided, and their reason says so."""

from __future__ import annotations

from dataclasses import dataclass

_FAILED = "the computation failed: "


@dataclass(frozen=True)
class Failed:
    """Stands for the result of a computation that failed.

    Attributes:
        reason: why, in the words that the rows of the chunk carry.
    """

    reason: str

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """The failure that an exception means."""
        said = " ".join(str(error).split())
        return cls.because(f"{type(error).__name__}: {said}" if said else type(error).__name__)

    @classmethod
    def because(cls, cause: str) -> Failed:
        """The failure with a cause in words."""
        return cls(_FAILED + cause)


def says_failed(reason: str) -> bool:
    """Whether the reason of a row is that the computation failed, so that it may succeed when it is tried again."""
    return reason.startswith(_FAILED)


__all__ = ["Failed", "says_failed"]
