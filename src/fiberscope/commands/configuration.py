"""Options from the TOML file that ``--config`` names, read strictly: what is not understood is an error."""

from __future__ import annotations

import json
import tomllib
import types
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin

from cyclopts import App
from cyclopts.config import Dict

from fiberscope.errors import InputError

_CONFIG = "config"


def read_config(app: App, tokens: Sequence[str]) -> Dict | None:
    """The options in the file that ``--config`` names, which must be known before the others can be parsed.

    Args:
        app: the commands and their options.
        tokens: the arguments.

    Returns:
        The options; None if no file is named, or the command does not take one.

    Raises:
        InputError: the file cannot be read, or says something that the command does not understand.
    """
    named = _named_file(tokens)
    commands, _, _ = app.parse_commands(list(tokens))
    if named is None or not commands:
        return None
    types_by_option = option_types(app, commands[0])
    if _CONFIG not in types_by_option:
        return None
    path, options = str(named), _read(named)
    checked: dict[str, object] = {}
    for key, value in options.items():
        option = key.replace("_", "-")
        if isinstance(value, dict):
            raise InputError(path, expected="options such as samples = 100", got=f"the table [{key}]")
        if option not in types_by_option or option == _CONFIG:
            raise _unknown(key, path, app, commands[0])
        if option in checked:
            raise InputError(path, expected="every option once", got=f"{key!r} a second time")
        checked[option] = _checked(value, types_by_option[option], f"{path}: {key}")
    return Dict(checked, source=path, use_commands_as_keys=False)


def option_types(app: App, command: str) -> dict[str, Any]:
    """The options of a command, without the dashes before their names, and the types of their values."""
    return {
        argument.name.removeprefix("--"): _without_none(argument.hint)
        for argument in app[command].assemble_argument_collection()
        if argument.name.startswith("--")
    }


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    (wanted,) = (each for each in get_args(hint) if each is not type(None))
    return wanted


def _named_file(tokens: Sequence[str]) -> Path | None:
    for position, token in enumerate(tokens):
        if token.startswith("--config="):
            return Path(token.removeprefix("--config="))
        if token == "--config" and position + 1 < len(tokens):
            return Path(tokens[position + 1])
    return None


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("--config", expected="a TOML file", got=f"{str(config)!r}: {error.strerror}") from error
    except ValueError as error:
        raise InputError("--config", expected="a TOML file", got=f"{str(config)!r}: {error}") from error


def _unknown(key: str, path: str, app: App, command: str) -> InputError:
    """What to say about a key that is no option of the command."""
    option, own = key.replace("_", "-"), [name for name in option_types(app, command) if name != _CONFIG]
    others = [name for name in app if not name.startswith("-") and option in option_types(app, name)]
    near = get_close_matches(option.lower(), own, n=1)
    if option == _CONFIG:
        hint = "a file cannot name another"
    elif option in ("model", "data"):
        hint = f"MODEL and DATA stand on the command line: fiberscope {command} MODEL DATA --config {path}"
    elif others:
        hint = f"it is an option of fiberscope {', '.join(others)}"
    elif near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"these are: {', '.join(own)}"
    return InputError(path, expected=f"options of fiberscope {command}", got=f"the key {key!r}", hint=hint)


def _checked(value: Any, wanted: Any, what: str) -> object:
    """A value as the command line would have it.

    Lists such as ``domain = [0, 1]`` mean the same as ``--domain 0,1``, and a list of texts the same as an option that
    is repeated.

    Raises:
        InputError: the value is of another type.
    """
    expected, fits, told = _TYPES[wanted]
    if not fits(value):
        raise InputError(what, expected=expected, got=json.dumps(value, default=str))
    return told(value)


def _is_plain(value: Any) -> bool:
    """Whether this is a text or a number; true and false are numbers for Python, but not for people."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


_TYPES: dict[Any, tuple[str, Callable[[Any], bool], Callable[[Any], object]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool), lambda value: value),
    int: ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool), lambda value: value),
    float: (
        "a number",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool),
        lambda value: value,
    ),
    Path: ("a path in quotes", lambda value: isinstance(value, str), lambda value: value),
    str: (
        "a text, or numbers in a list such as [0, 1]",
        lambda value: all(map(_is_plain, _listed(value))),
        lambda value: ",".join(map(str, _listed(value))),
    ),
    list[str]: (
        'texts in a list, such as ["unbounded>0.1@layer0"]',
        lambda value: all(isinstance(each, str) for each in _listed(value)),
        _listed,
    ),
}
"""What each type of option takes from TOML: in words, whether a value fits, and the value as the option takes it."""


__all__ = ["option_types", "read_config"]
