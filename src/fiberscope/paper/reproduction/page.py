"""The page that sets the paper's statements beside the measurements, written from the results in a folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from fiberscope.errors import ResultsError
from fiberscope.files import read_file, write_file
from fiberscope.paper.reproduction.registry import EXPERIMENTS

PAGE = "reproduction.md"

_INTRODUCTION = """# The paper's figures and tables, beside what was measured

Written by `fiberscope reproduce page` from the results of the commands below; do not edit it. "Holds" says whether the
measurement agrees with the paper's statement: yes, no, or ? where it cannot tell.
"""

_HOLDS = {True: "yes", False: "no", None: "?"}


def write_page(folder: Path) -> Path:
    """Write ``reproduction.md`` of all results in a folder.

    Returns:
        The page.

    Raises:
        ResultsError: there are no results, one is damaged, or the page cannot be written.
    """
    results = [_read(path) for each in EXPERIMENTS if (path := folder / f"{each.name}.json").is_file()]
    if not results:
        raise ResultsError(
            f"{folder} holds no results; run fiberscope reproduce all --out {folder} first", path=str(folder)
        )
    sections = [_section(result, pictured=(folder / f"{result['name']}.png").is_file()) for result in results]
    path = folder / PAGE
    write_file(path, "\n".join([_INTRODUCTION, *sections]).encode())
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(read_file(path))
        _section(result, pictured=False)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} is damaged ({type(error).__name__}: {error}); run fiberscope reproduce {path.stem} again"
        raise ResultsError(message, path=str(path)) from error
    return result


def _section(result: dict[str, Any], *, pictured: bool) -> str:
    rows = [
        f"| {_cell(claim['paper'])} | {_cell(claim['measured'])} | {_HOLDS[claim['holds']]} | {_cell(claim['why'])} |"
        for claim in result["claims"]
    ]
    lines = [
        f"## {_heading(result['name'])}: {result['title']}",
        "",
        *([f"![{result['title']}]({result['name']}.png)", ""] if pictured else []),
        result["caption"],
        "",
        "| the paper says | we measured | holds | why they differ |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        f"`{_without_folders(result['command'])}` took {result['processor_seconds']:.0f} s of processor time.",
        "",
    ]
    return "\n".join(lines)


def _heading(name: str) -> str:
    return name.replace("figure", "Figure ").replace("table", "Table ")


def _without_folders(command: str) -> str:
    """A command without the folders in which files lay: they mean nothing elsewhere."""
    return shlex.join(Path(word).name if "/" in word else word for word in shlex.split(command))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or " "


__all__ = ["PAGE", "write_page"]
