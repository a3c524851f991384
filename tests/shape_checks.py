"""The shapes and types of arguments and results within the package, checked while tests run.

The import hook of jaxtyping decorates every function and dataclass. Seven calls of ten are of functions that name no
shape; beartype alone checks these, at a hundredth of the cost. A function within another would be compiled anew each
time that the outer one runs, and is left to pyright.
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
    if "<locals>" in checked.__qualname__:
        return checked
    annotations = {name: _resolved(annotation, checked) for name, annotation in checked.__annotations__.items()}
    if any(map(_has_shape, annotations.values())):
        return with_shapes(checked, typechecker=typechecker)
    checked.__annotations__ = annotations
    return _switched(checked, beartype(checked))


def _switched(function: Callable[..., Any], typed: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose types are checked unless the checking of shapes is switched off."""

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return (function if jaxtyping.config.jaxtyping_disable else typed)(*args, **kwargs)

    return function if typed is function else called


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
