"""The shapes and types of arguments and results within the package, checked while tests run.

The import hook of jaxtyping decorates every function and dataclass. Seven calls of ten are of functions that name no
shape; beartype alone checks these, at a hundredth of the cost. A function within another would be compiled anew each
time that the outer one runs, and is left to pyright.

Small functions are called thousands of times in a test, with arguments that come from the same lines. Of every
function, the first calls in each test are checked, and one in fifty of the later ones: which, depends on nothing but
the test, so that every run checks the same.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, get_args

import jaxtyping
from beartype import beartype

with_shapes = jaxtyping.jaxtyped

FIRST_CALLS, ONE_OF_LATER = 8, 50
"""Of a function in a test: calls that are checked, and the share of the later ones that are."""


class Counting:
    """Which test runs: the calls of every function are counted from 0 in each."""

    test = 0


def begin_test() -> None:
    """Count anew."""
    Counting.test += 1


def install(*packages: str) -> None:
    """Check all functions of packages that are imported later."""
    jaxtyping.jaxtyped = decorated
    jaxtyping.install_import_hook(packages, "beartype.beartype")


def decorated(checked: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """What the import hook decorates functions and classes with, in the place of ``jaxtyping.jaxtyped``."""
    if checked is None:
        return partial(decorated, typechecker=typechecker)
    if inspect.isclass(checked):
        if dataclasses.is_dataclass(checked) and "__init__" in vars(checked):
            checked.__init__ = decorated(checked.__init__, typechecker=typechecker)
        return checked
    if not inspect.isfunction(checked):
        return with_shapes(checked, typechecker=typechecker)
    return checked if "<locals>" in checked.__qualname__ else _sometimes(checked, typechecker)


def _sometimes(function: Callable[..., Any], typechecker: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function of which the first calls in each test are checked, and some later ones; none where checking is off."""
    checked: Callable[..., Any] | None = None
    test, calls = 0, 0

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked, test, calls
        if test != Counting.test:
            test, calls = Counting.test, 0
        calls += 1
        if jaxtyping.config.jaxtyping_disable or (calls > FIRST_CALLS and calls % ONE_OF_LATER):
            return function(*args, **kwargs)
        if checked is None:  # compiled when it is called: what annotations name is defined by then
            checked = _checked(function, typechecker)
        return checked(*args, **kwargs)

    return called


def _checked(function: Any, typechecker: Callable[[Any], Any]) -> Callable[..., Any]:
    annotations = {name: _resolved(annotation, function) for name, annotation in function.__annotations__.items()}
    if any(map(_has_shape, annotations.values())):
        return with_shapes(function, typechecker=typechecker)
    function.__annotations__ = annotations
    return beartype(function)


def _resolved(annotation: Any, function: Any) -> Any:
    """What an annotation stands for; anything where type checkers alone understand it, as for ``jaxtyped`` itself."""
    try:
        return eval(annotation, function.__globals__) if isinstance(annotation, str) else annotation
    except (NameError, AttributeError):
        return Any


def _has_shape(annotation: Any) -> bool:
    """Whether an annotation is that of an array with a shape, or has one within, as tuples of them do."""
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(map(_has_shape, get_args(annotation)))
