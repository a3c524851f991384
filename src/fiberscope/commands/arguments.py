"""What stands on the command line, as values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnusedCliTokensError,
)

from fiberscope.commands.configuration import option_types
from fiberscope.errors import InputError, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fiberscope.audits.examples import ExampleRequest


def parse_domain(text: str | None) -> tuple[float, float] | None:
    """The bounds that ``LOW,HIGH`` means.

    Raises:
        InputError: something else was given.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError("--domain", expected="two numbers LOW,HIGH such as 0,1", got=repr(text)) from None
    if not (low <= high and abs(low) < float("inf") and abs(high) < float("inf")):
        raise InputError("--domain", expected="LOW,HIGH with LOW at most HIGH, both finite", got=repr(text))
    return low, high


def parse_layers(text: str | None) -> tuple[int, ...] | None:
    """The positions that ``0,2`` means.

    Raises:
        InputError: something else was given.
    """
    return _whole_numbers(text, "--layers", "positions separated by commas, such as 0,2")


def parse_precision(text: str | None) -> str:
    """The precision that a name or a number means, as results have it.

    Raises:
        InputError: something else was given.
    """
    from fiberscope.audits.plan import EXACT, checked_precision

    return EXACT if text is None else checked_precision(text)


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """The shape that ``3,32,32`` means.

    Raises:
        InputError: something else was given.
    """
    return _whole_numbers(text, "--input-shape", "whole numbers such as 3,32,32")


def _whole_numbers(text: str | None, option: str, expected: str) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(option, expected=expected, got=repr(text)) from None


def parse_wanted(
    samples: NDArray[Any],
    layer: str,
    domain: str | None,
    objective: str,
    regions: str,
    count: int,
    *,
    source: int | None,
    target: int | None,
    seed: int,
    within: str = "0",
) -> ExampleRequest:
    """Which invariance examples are asked for; without a domain, within the range of the samples.

    Raises:
        InputError: something that means nothing was given.
    """
    from fiberscope.audits.examples import ExampleRequest
    from fiberscope.invariance.objective import checked_objective

    if count < 1:
        raise InputError("--count", expected="at least 1", got=str(count))
    if regions != "all" and not (regions.isdigit() and int(regions) >= 1):
        raise InputError("--regions", expected="a number of at least 1, or all", got=repr(regions))
    if layer != "output" and not layer.lstrip("-").isdigit():
        raise InputError("--layer", expected="a position such as 0, or output", got=repr(layer))
    bounds = parse_domain(domain) or (float(samples.min()), float(samples.max()))
    return ExampleRequest(
        layer="output" if layer == "output" else int(layer),
        source=source,
        target=target,
        domain=bounds,
        objective=checked_objective(objective),
        regions="all" if regions == "all" else int(regions),
        count=count,
        seed=seed,
        within=_parse_within(within),
    )


def _parse_within(text: str) -> float | str:
    """By how much features may differ: a number of at least 0, or a named precision."""
    from fiberscope.preimages.precision import NAMES

    if text.lower() in NAMES:
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number < float("inf"):
        raise InputError("--within", expected=f"{', '.join(NAMES)}, or a number of at least 0", got=repr(text))
    return number


def usage(error: CycloptsError, app: App, tokens: Sequence[str]) -> str:
    """What is wrong with the arguments, in one line that says where to read on.

    Args:
        error: what the parser says.
        app: the commands and their options.
        tokens: the arguments. A misspelled option may be why another one is missing, so it is named first.
    """
    command = " ".join(error.command_chain or ())
    message = _misspelled(app, command, tokens) or _what_is_wrong(error, app, command)
    return f"{message}; see fiberscope {command} --help".replace("  ", " ")


def _what_is_wrong(error: CycloptsError, app: App, command: str) -> str:
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        names = [name for name in app if not name.startswith("-")]
        near = get_close_matches(error.unused_tokens[0].lower(), names, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]}?" if near else ""
        return f"there is no command {shown(error.unused_tokens[0])}{meant}; the commands are {', '.join(names)}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{command}: {error.argument.name} is missing, or has no value"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"{command}: expected no more arguments, got {shown(error.unused_tokens[0])}"
    if isinstance(error, CoercionError) and error.token is not None and error.target_type is int:
        return f"{error.token.keyword}: expected a whole number, got {shown(error.token.value)}"
    return str(error).rstrip(".")


def _misspelled(app: App, command: str, tokens: Sequence[str]) -> str:
    """The first option that the command does not have, and the one that was probably meant; empty if there is none."""
    known = ["--help", "--version", *(f"--{name}" for name in (option_types(app, command) if command else ()))]
    for token in tokens:
        name = token.partition("=")[0]
        if re.fullmatch(r"--?[A-Za-z][\w-]*", name) and name not in (*known, "-h"):
            letters = {option.removeprefix("--"): option for option in known}
            near = get_close_matches(name.lstrip("-").lower(), letters, n=1, cutoff=0.5)
            meant = f"; did you mean {letters[near[0]]}?" if near else ""
            return f"{command or 'fiberscope'}: there is no option {name}{meant}"
    return ""


__all__ = ["parse_domain", "parse_layers", "parse_shape", "parse_wanted", "usage"]
