"""The command ``fiberscope leakage``."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fiberscope.commands import FAILED, FINE
from fiberscope.commands.arguments import parse_domain, parse_layers, parse_precision
from fiberscope.commands.console import console_on_stdout
from fiberscope.errors import FiberscopeError
from fiberscope.jobs.given import given_subject

if TYPE_CHECKING:
    from fiberscope.audits.execution import Job
    from fiberscope.audits.store import Results
    from fiberscope.audits.thresholds import Threshold, Violation
    from fiberscope.report.progress import Progress

_SAMPLES = 10
"""Samples that are looked at where nothing is said."""


def leakage(
    model: Path,
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    domain: Annotated[str, Parameter(allow_leading_hyphen=True)] = "0,1",
    precision: str = "float32,float16,int8",
    layers: str | None = None,
    samples: int | None = None,
    seconds: float = 30.0,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    output: str | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    fail_on: Annotated[list[str] | None, Parameter(negative="")] = None,
) -> int:
    """Tell what the features of each layer give away of the network's input: what is proved, and what an attack sees.

    Writes DIR/leakage.parquet, a row per sample, layer and precision, and DIR/leakage/, from which fiberscope verify
    proves it again. Where DIR holds an audit of the same network, its report has a section about it; else
    DIR/leakage.html is a page of its own. Exit status 1 if a threshold fails; 2 if something could not be computed,
    which --resume tries again.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        data: the samples: .npz (arrays x, optional y), .npy, IDX (.gz too), a folder of images, or a name: mnist,
            mnist-5k, fashion-mnist, cifar10.
        out: the folder for the results; that of an audit, or another.
        domain: LOW,HIGH: bounds of every input coordinate, among which inputs are looked for.
        precision: how well the features are known, several separated by commas: float32, float16, int8 (8-bit codes),
            or numbers: by how much each may differ.
        layers: positions of the ReLU layers whose features are sent, such as 0,2; all by default.
        samples: the first so many samples; 10 by default.
        seconds: for each sample at one layer and one precision, everything included; past it less is proved, and the
            reason is told.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        output: the name of the output to take, where an ONNX model has several.
        resume: continue what the folder holds, computing nothing twice but what failed.
        workers: number of processes; 1 by default, since what is proved in the time depends on who else computes.
        fail_on: a threshold; may be repeated. QUANTITY>NUMBER[@layerK][@PRECISION], with >, >=, < or <=. A number
            behind recoverable (proved) or rebuilt (by an attack, not proved) is a share of the samples, 0.1 or 10%; a
            count says so: '3 samples'. bits and radius (at most so much is left, proved) are compared by their median,
            or as bits.min or .max.
    """
    box, chosen = parse_domain(domain) or (0.0, 1.0), parse_layers(layers)
    known = tuple(dict.fromkeys(parse_precision(part.strip()) for part in precision.split(",")))
    from fiberscope.audits.job import Options, build_job, check_options, open_folder
    from fiberscope.audits.quantities import OF_LEAKAGE
    from fiberscope.audits.store import Results
    from fiberscope.audits.stored_subject import require_same
    from fiberscope.audits.threshold_language import parse_thresholds
    from fiberscope.report.progress import progress_on_stderr

    thresholds = parse_thresholds(fail_on or (), OF_LEAKAGE)
    asked = _everywhere(thresholds, known)
    options = Options(
        chosen, samples, box, workers, resume, fail_on=tuple(asked), seconds=seconds, leakage=known
    )  # fmt: skip
    check_options(options)
    subject, beside = given_subject(model, data, options, trust=trust_model, output=output), Results(out)
    if samples is None:
        subject = replace(subject, x=subject.x[:_SAMPLES], y=None if subject.y is None else subject.y[:_SAMPLES])
    require_same(beside, subject)
    with _nothing_left(beside), open_folder(beside.leakage.folder, resume=resume) as (results, _):
        job = build_job(results, subject, options)
        for note in job.notes:
            print(f"note: {note}", file=sys.stderr)
        with progress_on_stderr() as progress:
            failed = _run(job, progress)
        status = print_leakage(beside, thresholds)
    if failed:
        raise FiberscopeError(
            f"{len(failed)} of {len(job.chunks)} layers and samples failed and claim nothing: {failed[0]}; "
            "the same command with --resume tries them again"
        )
    return status


@contextmanager
def _nothing_left(beside: Results) -> Generator[None]:
    """A context that leaves no empty folders where nothing was begun."""
    existed = beside.folder.exists()
    try:
        yield
    except FiberscopeError:
        with suppress(OSError):  # a folder that is not empty stays
            beside.leakage.folder.rmdir()
            if not existed:
                beside.folder.rmdir()
        raise


def _everywhere(thresholds: Sequence[Threshold], known: Sequence[str]) -> list[Threshold]:
    """A threshold that names no precision is about each."""
    from fiberscope.audits.plan import EXACT

    return [
        replace(each, precision=precision)
        for each in thresholds
        for precision in (known if each.precision == EXACT else (each.precision,))
    ]


def _run(job: Job, progress: Progress) -> list[str]:
    """Compute what is missing; returns why layers and samples failed, a reason for each."""
    done, total, failed = len(job.done), len(job.chunks), list[str]()
    words = "recovering inputs, layers and samples"
    progress.show(words, done, total)
    try:
        for written in job.run():
            done += 1
            failed += [written.failed] if written.failed else []
            progress.show(words, done, total)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: {done} of {total} layers and samples are written; "
            "continue with the same command and --resume"
        ) from None
    return failed


def leakage_violations(beside: Results, thresholds: Sequence[Threshold]) -> list[Violation]:
    """Every threshold that finished results of this command fail, at every layer and precision where they do.

    Raises:
        InputError: there are none, or a threshold is about what was not measured.
        ResultsError: they are damaged.
    """
    from fiberscope.audits.measurements import leak_places, measured_of_leakage
    from fiberscope.audits.thresholds import OPTION, check_thresholds, violations
    from fiberscope.errors import InputError
    from fiberscope.report.leakage import read_leakage

    content = read_leakage(beside.leakage)
    plan = None if content is None else content.manifest.plan
    if content is None or plan is None or len(content.rows) < plan.samples * len(plan.layers) * len(plan.leakage):
        expected = f"{thresholds[0].quantity} only where fiberscope leakage has finished in the same folder"
        raise InputError(OPTION, expected=expected, got=repr(thresholds[0].text))
    network, (low, high) = content.subject.network, content.domain
    asked = _everywhere(thresholds, plan.leakage)
    check_thresholds(asked, leak_places(plan, network), plan.samples)
    return violations(asked, list(measured_of_leakage(content.rows, network.layer_names, high - low)))


def print_leakage(beside: Results, thresholds: Sequence[Threshold]) -> int:
    """Write the table and the page, print the table, and say which thresholds fail.

    Returns:
        The exit status.
    """
    from fiberscope.audits import shards
    from fiberscope.audits.leak_store import PAGE, TABLE
    from fiberscope.audits.thresholds import threshold_lines
    from fiberscope.files import is_file, write_file
    from fiberscope.recovery.leak import table_of
    from fiberscope.report.html import write_report
    from fiberscope.report.leakage import leakage_lines, leakage_table, read_leakage, render_leakage

    content = read_leakage(beside.leakage)
    assert content is not None, "all rows were written"
    write_file(beside.folder / TABLE, shards.table_to_bytes(table_of(content.rows)))
    page = beside.folder / PAGE
    if is_file(beside.manifest_path) and beside.manifest().complete:
        page = beside.report_path
        write_report(beside)
    else:
        write_file(page, render_leakage(content).encode())
    summaries = content.summaries()
    found = leakage_violations(beside, thresholds) if thresholds else []
    console_on_stdout().print(leakage_table(summaries))
    for line in [*leakage_lines(summaries, content.subject, content.domain), *threshold_lines(thresholds, found)]:
        print(line)
    print(f"report: {page}")
    return FAILED if found else FINE


__all__ = ["leakage", "leakage_violations", "print_leakage"]
