"""The command ``fiberscope reproduce``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fiberscope.commands import ERROR, FAILED, FINE
from fiberscope.errors import FiberscopeError, InputError

if TYPE_CHECKING:  # these load matplotlib and torch, which nobody who asks for help wants to wait for
    from fiberscope.paper.reproduction.context import Context
    from fiberscope.paper.reproduction.registry import Experiment
    from fiberscope.paper.reproduction.run import Written
    from fiberscope.report.progress import Progress

_HOLDS = {True: "holds", False: "does not hold", None: "cannot tell"}


def reproduce(
    what: str,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    scale: str = "quick",
    model: Path | None = None,
    data: str | None = None,
    samples: int | None = None,
    epochs: int | None = None,
    networks: Path | None = None,
    seed: int = 0,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    output: str | None = None,
    download: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Compute a figure or table of the paper anew, beside what the paper says.

    Writes WHAT.png, .svg, .parquet (the numbers that are drawn) and .json (data, network, claims) into DIR; tables as
    .md and .json. Where the paper's data are not there, others stand in and the title says so. Exit status 1 if a
    verdict or an example is not proved.

    Args:
        what: figure1 to figure11, table1 to table4; control: what penalties do to a layer; all; or page, which writes
            DIR/reproduction.md from what is in DIR.
        out: the folder for the results.
        scale: quick: less than a minute each, with fewer samples and smaller pictures; paper: as printed, as far as
            that can be run.
        model: a network to use instead of the one that is trained, for figures that take one.
        data: the samples: a file, a folder of images, or a name: mnist, mnist-5k, fashion-mnist, cifar10.
        samples: use the first so many test samples; by default what the scale says.
        epochs: train for so many passes over the training data; by default what the scale says.
        networks: the folder of trained networks; by default DIR/networks.
        seed: of training and of what is chosen at random.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        output: the name of the output to take, where --model is an ONNX model with several.
        download: fetch the data set that --data names, or else the paper's for WHAT, MNIST or CIFAR-10, into the folder
            that FIBERSCOPE_DATA names.
    """
    from fiberscope.paper.reproduction.context import Context, checked_scale
    from fiberscope.paper.reproduction.page import write_page
    from fiberscope.paper.reproduction.registry import ALL, experiments
    from fiberscope.paper.reproduction.run import check_options
    from fiberscope.report.progress import progress_on_stderr

    chosen = () if what == "page" else experiments(what)
    with progress_on_stderr() as progress:
        folder = networks or out / "networks"
        context = Context(
            folder, checked_scale(scale), model, data, samples, epochs, seed, trust_model, progress.show, output
        )
        if chosen:
            check_options(chosen, context)
        if download:
            _download(chosen, data, progress)
        status = _run(chosen, context, out)
    if what in ("page", ALL):
        print(f"page: {write_page(out)}")
    return status


def _download(chosen: Sequence[Experiment], data: str | None, progress: Progress) -> None:
    """Fetch the data that are asked for, where they are not there yet."""
    from fiberscope.paper.downloads import FILES, data_folder
    from fiberscope.paper.downloads import download as fetch
    from fiberscope.paper.reproduction.sources import papers_data

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
    from fiberscope.paper.reproduction.run import run_experiment

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


__all__ = ["reproduce"]
