"""An audit from what is asked for to its results: for the command, and for Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiberscope.audits.execution import Job
from fiberscope.audits.job import Options, build_job, build_subject, check_options, open_folder
from fiberscope.audits.plan import AnyChunk, Chunk, SpectraChunk, SurveyChunk
from fiberscope.audits.store import Results
from fiberscope.audits.stored_subject import require_same
from fiberscope.audits.subject import Subject
from fiberscope.errors import InputError
from fiberscope.jobs.given import given_subject

if TYPE_CHECKING:
    from fiberscope.report.progress import Progress

DEMO_SPECTRA = 50
"""Samples of the demo at which singular values are computed, as many as in the paper's figures 4 and 5."""

DEMO_INVARIANCE = 2
"""Samples of the demo from which it is computed how far invariance reaches."""

THROUGH_LAYERS = "proving through layers, samples and layers"
"""What is shown of the last part of an audit."""


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked for.

    Attributes:
        model: the model, by its path or in memory; None for the built-in demo.
        data: the data, by name, by path or in memory; None for the demo.
        options: the options; spectra and invariance are filled in where they are None here.
        spectra: at how many samples to compute singular values; None for none, or what the demo does.
        invariance: from how many to compute how far invariance reaches; None likewise.
        trust: whether formats that can run code are loaded.
        output: the name of the output to take, where a model has several.
        input_shape: the shape of one sample, where the model leaves it open.
    """

    model: Any
    data: Any
    options: Options
    spectra: int | None = None
    invariance: int | None = None
    trust: bool = False
    output: str | None = None
    input_shape: int | Sequence[int] | None = None

    @property
    def is_demo(self) -> bool:
        """Whether the built-in demo is asked for."""
        return self.model is None


@dataclass(frozen=True, eq=False)
class Ran:
    """An audit that ran.

    Attributes:
        job: what was run.
        failed: why chunks could not be computed, a reason for each.
    """

    job: Job
    failed: tuple[str, ...]


def run_audit(
    request: Request,
    out: Path,
    show: Callable[[], AbstractContextManager[Progress]],
    tell: Callable[[str, str], None],
) -> Ran:
    """Begin or continue an audit in a folder.

    Args:
        request: what is asked for.
        out: the folder.
        show: how progress is shown.
        tell: told what the caller should know before the work begins: "note" or "warning", and a text.

    Raises:
        InputError: what is asked for makes no sense, or does not fit.
        ModelError: the model cannot be read, or has nothing to audit.
        ResultsError: the folder holds something else, or cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed; says how much is written.
    """
    options = _checked(request)
    with open_folder(out, resume=options.resume) as (results, continued), show() as progress:
        if request.is_demo:
            subject = _demo_subject(results, options, progress, continued=continued)
            options = _fitted(request, options, subject.samples)
        else:
            subject = given_subject(
                request.model,
                request.data,
                options,
                trust=request.trust,
                output=_earlier_output(results, request) if continued and request.output is None else request.output,
                input_shape=request.input_shape,
            )
        require_same(results.leakage, subject)
        job = build_job(results, subject, options)
        for note in job.notes:
            tell("note", note)
        for warning in job.manifest.warnings:  # now, too: whoever sees it may not want to wait for the end
            tell("warning", warning)
        return Ran(job, tuple(_run(job, progress)))


def _checked(request: Request) -> Options:
    if (request.model is None) != (request.data is None):
        got = "DATA alone" if request.model is None else "MODEL alone"
        raise InputError("audit", expected="both MODEL and DATA, or neither for the built-in demo", got=got)
    demo = request.is_demo
    if demo and request.output is not None:
        raise InputError("--output", expected="a MODEL whose output is chosen", got="the built-in demo")
    options = replace(
        request.options,
        domain=(0.0, 1.0) if demo and request.options.domain is None else request.options.domain,
        spectra=(DEMO_SPECTRA if demo else 0) if request.spectra is None else request.spectra,
        invariance=(DEMO_INVARIANCE if demo else 0) if request.invariance is None else request.invariance,
    )
    check_options(options)
    return options


def _fitted(request: Request, options: Options, samples: int) -> Options:
    """The same with what the demo does unasked at no more samples than there are."""
    return replace(
        options,
        spectra=min(options.spectra, samples) if request.spectra is None else options.spectra,
        invariance=min(options.invariance, samples) if request.invariance is None else options.invariance,
    )


def _earlier_output(results: Results, request: Request) -> str | None:
    """The output that an audit was begun with, where the model's format has several."""
    return (results.manifest().output or None) if str(request.model).lower().endswith(".onnx") else None


def _demo_subject(results: Results, options: Options, progress: Progress, *, continued: bool) -> Subject:
    """The demo's network and digits: from the folder if they are there, otherwise trained now."""
    if continued:  # training again would give another network on another machine
        return replace(results.subject(), demo=True)
    from fiberscope.demo.demo import train

    demo = train(on_epoch=lambda epoch, epochs, _: progress.show("training the demo, epochs", epoch, epochs))
    words: dict[str, Any] = {
        "model_name": "the built-in demo",
        "data_name": demo.test.name,
        "data_description": demo.test.description,
        "demo": True,
        "training": f"{demo.description} Training took {demo.seconds:.0f} s.",
    }
    return build_subject(demo.network, demo.test.x, demo.test.y, options, **words)


def _run(job: Job, progress: Progress) -> list[str]:
    """Run the audit; returns why chunks failed, a reason for each."""
    tasks: dict[type[AnyChunk], str] = {
        Chunk: f"judging {job.subject.samples} samples, chunks",
        SpectraChunk: "singular values, samples",
        SurveyChunk: "how far invariance reaches, samples",
    }
    written, total, failed = Counter(map(type, job.done)), Counter(map(type, job.chunks)), list[str]()
    progress.show(tasks[Chunk], written[Chunk], total[Chunk])
    try:
        for chunk in job.run(told=partial(progress.show, THROUGH_LAYERS)):
            kind = type(chunk.chunk)
            written[kind] += 1
            failed += [chunk.failed] if chunk.failed else []
            progress.show(tasks[kind], written[kind], total[kind])
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: {written.total()} of {total.total()} chunks are written; "
            "continue with the same command and --resume"
        ) from None
    return failed


def failure_message(ran: Ran) -> str:
    """What is said where chunks failed: whoever asked for a verdict has none there; empty where none did."""
    if not ran.failed:
        return ""
    return (
        f"{len(ran.failed)} of {len(ran.job.chunks)} chunks failed and are undecided: {ran.failed[0]}; "
        "the same command with --resume tries them again"
    )


__all__ = ["DEMO_INVARIANCE", "DEMO_SPECTRA", "Ran", "Request", "failure_message", "run_audit"]
