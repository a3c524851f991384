"""The errors that fiberscope raises: one root, and subclasses that carry what went wrong as data."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

LONGEST = 120
"""Letters of a value that stand in a message."""


class FiberscopeError(Exception):
    """The root of every error that fiberscope raises on purpose; its message is one line."""

    def __init__(self, message: str = "") -> None:
        super().__init__(" ".join(filter(None, map(str.strip, str(message).splitlines()))))

    def reworded(self, words: Callable[[str], str]) -> FiberscopeError:
        """The same error with its message, and the texts that it carries, in other words."""
        data = {name: words(value) if isinstance(value, str) else value for name, value in vars(self).items()}
        return _said_again(type(self), words(str(self)), data)

    def __reduce__(self) -> tuple[Callable[..., FiberscopeError], tuple[Any, ...]]:
        # by what was said, not by the arguments: these have no default, and errors cross processes
        return _said_again, (type(self), str(self), vars(self))


def _said_again(kind: type[FiberscopeError], message: str, data: dict[str, Any]) -> FiberscopeError:
    error = kind.__new__(kind, message)
    FiberscopeError.__init__(error, message)
    error.__dict__.update(data)
    return error


def shown(value: object) -> str:
    """A value as a message shows it: a number as such, a text or a path in quotes, anything else in words.

    Numbers of numpy and sizes of torch look like those of Python, whatever type holds them, and an array is told by its
    shape.
    """
    told = _told(value)
    return told if len(told) <= LONGEST else f"{told[: LONGEST - 4]} ..."


def _told(value: object) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(cast("os.PathLike[str]", value))
    if isinstance(value, str | bytes):
        return repr(value[:LONGEST])
    if value is None or isinstance(value, int | float | complex):
        return str(value)
    if isinstance(value, tuple | list):
        inner = ", ".join(_told(each) for each in cast("tuple[object, ...] | list[object]", value)[:LONGEST])
        comma = "," if len(cast("tuple[object, ...]", value)) == 1 and isinstance(value, tuple) else ""
        return f"({inner}{comma})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, slice):
        return f"{'' if value.start is None else value.start}:{'' if value.stop is None else value.stop}"
    return _object(value)


def _object(value: object) -> str:
    """An array by its shape, a class by its name, any other object by that of its class."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "dtype"):
        if shape == () and not hasattr(value, "detach"):  # a number of numpy
            return str(value)
        sizes = tuple(map(int, cast("tuple[int, ...]", shape)))
        return f"an array of shape {sizes}"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


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
        needs_shape: whether the file leaves the shape of a sample open, so that somebody else has to say it.
    """

    def __init__(self, message: str, *, unsupported: tuple[str, ...] = (), needs_shape: bool = False) -> None:
        self.unsupported = unsupported
        self.needs_shape = needs_shape
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


class SolverError(FiberscopeError):
    """A number was asked for that the solver did not find; verdicts do not depend on it."""


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


__all__ = [
    "FiberscopeError",
    "InputError",
    "MemoryLimitError",
    "ModelError",
    "NotASingleton",
    "ResultsError",
    "SolverError",
    "shown",
]
