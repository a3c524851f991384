"""What ``fiberscope reproduce`` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fiberscope.commands import ERROR, FAILED, FINE
from fiberscope.data.downloads import FILES, data_folder
from fiberscope.data.downloads import download as fetch
from fiberscope.errors import FiberscopeError, InputError
from fiberscope.report.progress import Progress, progress_on_stderr
from fiberscope_paper.context import Context
from fiberscope_paper.page import write_page
from fiberscope_paper.registry import ALL, Experiment, experiments
from fiberscope_paper.run import Written, check_options, run_experiment
from fiberscope_paper.sources import papers_data

_HOLDS = {True: "holds", False: "does not hold", None: "cannot tell"}


def run(what: str, context: Context, out: Path, *, download: bool) -> int:
    """Compute what is asked for, write it into a folder, and print what was found.

    Args:
        what: an experiment, all, or page.
        context: what the user asked for.
        out: the folder for the results.
        download: whether to fetch the data first.

    Returns:
        The exit status: 1 if a verdict or an example is not proved, 2 if one of several experiments cannot run.

    Raises:
        InputError: no such experiment, or an option that it does not heed.
    """
    chosen = () if what == "page" else experiments(what)
    with progress_on_stderr() as progress:
        context = replace(context, progress=progress.show)
        if chosen:
            check_options(chosen, context)
        if download:
            _download(chosen, context.data, progress)
        status = _run(chosen, context, out)
    if what in ("page", ALL):
        print(f"page: {write_page(out)}")
    return status


def _download(chosen: Sequence[Experiment], data: str | None, progress: Progress) -> None:
    """Fetch the data that are asked for, where they are not there yet."""
    if data is not None and data not in FILES:
        hint = "leave --download out, or --data for the paper's data"
        raise InputError("--data", expected=f"with --download one of {', '.join(FILES)}", got=repr(data), hint=hint)
    names = papers_data([each.name for each in chosen]) if data is None else [data]
    if not names:
        got = ", ".join(each.name for each in chosen) or "page"
        raise InputError("--download", expected="a figure that is drawn from data", got=got, hint="leave it out")
    folder = data_folder()
    for name in names:
        fetch(name, folder, progress.show)


def _run(chosen: Sequence[Experiment], context: Context, out: Path) -> int:
    """Run one experiment after the other; where there are several, one that cannot run does not stop the others."""
    failed: list[str] = []
    unproved = 0
    for experiment in chosen:
        try:
            written = run_experiment(experiment, context, out)
        except FiberscopeError as error:
            if len(chosen) == 1:
                raise
            failed.append(experiment.name)
            print(f"fiberscope: {experiment.name}: {' '.join(str(error).split())}", file=sys.stderr)
            continue
        unproved += written.outcome.unproved
        for line in _lines(experiment, written):
            print(line)
    if failed:
        print(f"fiberscope: error: not reproduced: {', '.join(failed)}; the lines above say why", file=sys.stderr)
        return ERROR
    return FAILED if unproved else FINE


def _lines(experiment: Experiment, written: Written) -> list[str]:
    """What the terminal says about an experiment."""
    outcome = written.outcome
    lines = [f"{experiment.name}: {outcome.title} ({written.seconds:.1f} s)"]
    for claim in outcome.claims:
        lines.append(f"  paper: {claim.paper}")
        lines.append(f"    here: {claim.measured}: {_HOLDS[claim.holds]}{f' ({claim.why})' if claim.why else ''}")
    if outcome.unproved:
        lines.append(f"  NOT PROVED: {outcome.unproved} verdicts or examples")
    lines.append(f"  files: {', '.join(str(path) for path in written.files)}")
    return lines


__all__ = ["run"]
