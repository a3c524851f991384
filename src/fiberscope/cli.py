"""The command line: parse, call, print, exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Literal

from cyclopts import App, CycloptsError
from cyclopts.config import Dict

from fiberscope import __version__
from fiberscope.commands import ERROR, FINE
from fiberscope.commands.arguments import usage
from fiberscope.commands.audit import audit
from fiberscope.commands.compare import compare
from fiberscope.commands.configuration import read_config
from fiberscope.commands.console import Output, open_closed_streams, print_error, stdout_works
from fiberscope.commands.examples import epilogue
from fiberscope.commands.inspect import inspect
from fiberscope.commands.invariance import invariance
from fiberscope.commands.leakage import leakage
from fiberscope.commands.report import report
from fiberscope.commands.reproduce import reproduce
from fiberscope.commands.verify import verify
from fiberscope.errors import FiberscopeError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0 fine, 1 a certificate or a threshold fails, 2 an error.
    """
    open_closed_streams()
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # what cannot be written would otherwise show only when Python ends
    except Exception as error:
        if not isinstance(error, OSError) or stdout_works():
            print_error(traceback.format_exc())
            return _error("this is a defect in fiberscope; please report it with the lines above")
        if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
            return ERROR
        return _error(f"cannot write to the standard output: {error.strerror}")
    return status


def _run(tokens: list[str]) -> int:
    """Run the command line; an error that is foreseen is one line and a status."""
    try:
        return _called(build_app(), tokens)
    except FiberscopeError as error:
        return _error(str(error))
    except KeyboardInterrupt as interrupt:
        return _error(str(interrupt) or "interrupted")


def _called(app: App, tokens: list[str]) -> int:
    """Parse the arguments and call the command."""
    try:
        if (config := read_config(app, tokens)) is not None:
            app = build_app(config)
        status = app(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _error(usage(error, app, tokens))
    return status if isinstance(status, int) else FINE


def build_app(config: Dict | None = None) -> App:
    """The commands and their options.

    Args:
        config: options from elsewhere, which the command line overrides.
    """
    app = App(
        name="fiberscope",
        help="Which inputs does each ReLU layer of a network mix up, and which can be recovered?",
        version=f"fiberscope {__version__}",
        help_format="markdown",
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # handled by main, which says how to continue
        config=() if config is None else (config,),
        console=Output(),
    )
    for command in (audit, inspect, verify, report, compare, invariance, leakage, reproduce, completion):
        app.command(command, help_epilogue=epilogue(command.__name__))
    return app


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script that completes commands and options in a shell.

    Args:
        shell: the shell.
    """
    print(build_app().generate_completion(shell=shell))
    return FINE


def _error(message: str) -> int:
    print_error(f"fiberscope: error: {' '.join(message.split())}")
    return ERROR


__all__ = ["build_app", "main"]
