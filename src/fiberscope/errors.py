"""The errors that fiberscope raises: one root, and subclasses that carry what went wrong as data."""

from __future__ import annotations


class FiberscopeError(Exception):
    """The root of every error that fiberscope raises on purpose."""


class InputError(FiberscopeError):
    """An argument has the wrong shape, type, or value.

    Args:
        what: the argument, in the caller's words.
        expected: what would have been accepted.
        got: what came.
        hint: what to do about it; may be empty.
    """

    def __init__(self, what: str, *, expected: str, got: str, hint: str = "") -> None:
        self.what = what
        self.expected = expected
        self.got = got
        self.hint = hint
        message = f"{what}: expected {expected}, got {got}"
        super().__init__(f"{message}; {hint}" if hint else message)


class ModelError(FiberscopeError):
    """A model cannot be represented.

    Args:
        message: what stands in the way and what to do.
        unsupported: names of all the modules or operators that are not supported.
    """

    def __init__(self, message: str, *, unsupported: tuple[str, ...] = ()) -> None:
        self.unsupported = unsupported
        super().__init__(message)


class ResultsError(FiberscopeError):
    """A results folder is damaged, foreign, or cannot be written.

    Args:
        message: what was found and what to do.
        path: the file or folder concerned.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        self.path = path
        super().__init__(message)


class MemoryLimitError(FiberscopeError):
    """A question needs a matrix that is larger than a share of this machine's memory; nothing was computed.

    Args:
        what: what asks for it.
        needed: bytes.
        cap: the bytes that are allowed.
        message: the same in words.
    """

    def __init__(self, what: str, *, needed: int, cap: int, message: str) -> None:
        self.what = what
        self.needed = needed
        self.cap = cap
        super().__init__(f"{what}: {message}")


class NotASingleton(FiberscopeError):
    """An input was to be recovered from features that more than one input has.

    Args:
        kind: the kind of the preimage.
        dimension: its dimension, or None where it is not known.
    """

    def __init__(self, kind: str, dimension: int | None) -> None:
        self.kind = kind
        self.dimension = dimension
        super().__init__(
            f"recover: expected a singleton preimage, got one of kind {kind!r} (dimension {dimension}); "
            "use point(), bounding_box() or sample() to look at the set instead"
        )


__all__ = ["FiberscopeError", "InputError", "MemoryLimitError", "ModelError", "NotASingleton", "ResultsError"]
