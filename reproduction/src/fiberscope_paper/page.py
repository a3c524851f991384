"""The page that sets the paper's statements beside the measurements, written from the results in a folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiberscope.errors import ResultsError
from fiberscope.files import read_file, write_file
from fiberscope_paper.registry import EXPERIMENTS, Experiment

PAGE = "reproduction.md"

_INTRODUCTION = """# The paper's figures and tables, beside what was measured

Written by `fiberscope reproduce page` from the results of the commands below, which need `pip install
fiberscope-paper`; do not edit it. "Holds" says whether the measurement agrees with the paper's statement: yes, no, or ?
where it cannot tell.

Times are of the processor, on the machine at hand. Figures share trained networks and singular values: the first run
that needs them has their time. Training rounds a little differently on other processors and with other versions of
torch, so that the same command with the same seed gives other weights there, and numbers that differ somewhat.

| | on | scale | samples | statements that hold | time |
| --- | --- | --- | --- | --- | --- |
"""

_HOLDS = {True: "yes", False: "no", None: "?"}


@dataclass(frozen=True, eq=False)
class Result:
    """What one run of an experiment wrote.

    Attributes:
        experiment: the figure or table.
        facts: its ``.json``.
        picture: its ``.png`` as seen from the page; empty if there is none.
    """

    experiment: Experiment
    facts: dict[str, Any]
    picture: str


def write_page(folder: Path) -> Path:
    """Write ``reproduction.md`` of all results in a folder and the folders in it.

    Returns:
        The page.

    Raises:
        ResultsError: there are no results, one is damaged, or the page cannot be written.
    """
    results = [result for experiment in EXPERIMENTS for result in _results(folder, experiment)]
    if not results:
        raise ResultsError(
            f"{folder} holds no results; run fiberscope reproduce all --out {folder} first", path=str(folder)
        )
    rows = "".join(map(_row, results))
    sections = [_section([r for r in results if r.experiment is experiment]) for experiment in EXPERIMENTS]
    path = folder / PAGE
    write_file(path, "\n".join([_INTRODUCTION + rows, *filter(None, sections)]).encode())
    return path


def _results(folder: Path, experiment: Experiment) -> list[Result]:
    """All runs of an experiment, those of the folder itself first."""
    paths = sorted(folder.rglob(f"{experiment.name}.json"), key=lambda path: (len(path.parts), path))
    return [_read(path, experiment, folder) for path in paths]


def _read(path: Path, experiment: Experiment, folder: Path) -> Result:
    try:
        picture = path.with_suffix(".png")
        where = picture.relative_to(folder).as_posix() if picture.is_file() else ""
        result = Result(experiment, json.loads(read_file(path)), where)
        _row(result)
        _run(result)  # both find out whether everything is there
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} is damaged ({type(error).__name__}: {error}); run fiberscope reproduce {path.stem} again"
        raise ResultsError(message, path=str(path)) from error
    return result


def _row(result: Result) -> str:
    """The result in the table at the top."""
    facts = result.facts
    holds = [claim["holds"] for claim in facts["claims"]]
    where = facts["data"]["name"] if facts["data"] else " "
    epochs = _option(facts["command"], "--epochs")
    scale = facts["scale"] + (f", {epochs} epoch{'' if epochs == '1' else 's'}" if epochs else "")
    return (
        f"| {_heading(result.experiment.name)} | {_cell(where)} | {scale} | {facts['samples'] or ' '} | "
        f"{sum(map(bool, holds))} of {len(holds)} | {facts['processor_seconds']:.0f} s |\n"
    )


def _section(results: Sequence[Result]) -> str:
    """All runs of one experiment; empty where there are none."""
    if not results:
        return ""
    experiment = results[0].experiment
    return "\n".join([f"## {_heading(experiment.name)}: {experiment.title}", "", *map(_run, results)])


def _run(result: Result) -> str:
    facts = result.facts
    rows = [
        f"| {_cell(claim['paper'])} | {_cell(claim['measured'])} | {_HOLDS[claim['holds']]} | {_cell(claim['why'])} |"
        for claim in facts["claims"]
    ]
    lines = [
        f"### {facts['title']}",
        "",
        *([f"![{facts['title']}]({result.picture})", ""] if result.picture else []),
        facts["caption"],
        "",
        "| the paper says | we measured | holds | why they differ |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        f"`{_without_folders(facts['command'])}`",
        "",
    ]
    return "\n".join(lines)


def _heading(name: str) -> str:
    return name.replace("figure", "figure ").replace("table", "table ").capitalize()


def _option(command: str, name: str) -> str:
    """The value of an option in a command; empty where it is not given."""
    words = shlex.split(command)
    return words[words.index(name) + 1] if name in words else ""


def _without_folders(command: str) -> str:
    """A command without the folders in which files lay: they mean nothing elsewhere."""
    return shlex.join(Path(word).name if "/" in word else word for word in shlex.split(command))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ") or " "


__all__ = ["PAGE", "write_page"]
