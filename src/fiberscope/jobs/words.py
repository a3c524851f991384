"""What the command line says, in the words of Python."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from fiberscope.errors import FiberscopeError

_WORDS = {
    "--resume": "resume=True",
    "the same command": "the same call",
    "LOW,HIGH with LOW at most HIGH": "(low, high) with low at most high",
    "LOW,HIGH": "(low, high)",
    "MODEL and DATA": "model and data",
    "MODEL alone": "model alone",
    "DATA alone": "data alone",
    "a MODEL": "a model",
    "; put it in quotes, since a shell takes > and < for its own": "",
}

_OPTION = re.compile(r"--([a-z][a-z-]*)")


def in_python(text: str) -> str:
    """A text with the options as arguments of a function."""
    for said, meant in _WORDS.items():
        text = text.replace(said, meant)
    return _OPTION.sub(lambda option: option[1].replace("-", "_"), text)


@contextmanager
def errors_in_python() -> Generator[None]:
    """Say errors in these words."""
    try:
        yield
    except FiberscopeError as error:
        raise error.reworded(in_python) from error.__cause__


__all__ = ["errors_in_python", "in_python"]
