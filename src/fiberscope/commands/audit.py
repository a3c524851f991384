"""The command ``fiberscope audit``."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fiberscope.commands.arguments import parse_domain, parse_layers, parse_precision, require_both
from fiberscope.commands.report import print_report
from fiberscope.commands.subject import given_subject
from fiberscope.errors import FiberscopeError, InputError

if TYPE_CHECKING:  # these load solvers or torch, which nobody who asks for help wants to wait for
    from fiberscope.audits.execution import Job
    from fiberscope.audits.job import Options
    from fiberscope.audits.store import Results
    from fiberscope.audits.subject import Subject
    from fiberscope.report.progress import Progress

_DEMO_SPECTRA = 50
"""Samples of the demo at which singular values are computed, as many as in the paper's figures 4 and 5."""

_DEMO_INVARIANCE = 2
"""Samples of the demo from which it is computed how far invariance reaches."""


def audit(
    model: Path | None = None,
    data: str | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    domain: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    precision: str | None = None,
    layers: str | None = None,
    samples: int | None = None,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    output: str | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    scheduler: str | None = None,
    block: int | None = None,
    spectra: int | None = None,
    invariance: int | None = None,
    seconds: float | None = None,
    fail_on: Annotated[list[str] | None, Parameter(negative="")] = None,
    config: Path | None = None,
) -> int:
    """Decide and prove, for every ReLU layer and sample, which inputs the layer mixes up.

    With neither MODEL nor DATA: the built-in demo, a real network trained on real digits. Exit status 1 if a threshold
    fails; 2 if something could not be computed, which is undecided, and is tried again by --resume.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        data: the samples: .npz (arrays x, optional y), .npy, IDX (.gz too), a folder of images, or a name: mnist,
            mnist-5k, fashion-mnist, cifar10.
        out: the folder for the results.
        domain: LOW,HIGH: bounds of every input coordinate; the first layer is judged within them as well as without.
        precision: EPS, float32, float16 or int8: judge every layer also where its outputs are known only so well: each
            up to EPS, or as numbers of that type, or as 8-bit codes; beside the verdicts about exact outputs.
        layers: positions of the ReLU layers to audit, such as 0,2; all by default.
        samples: audit the first so many samples; all by default.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        output: the name of the output to take, where an ONNX model has several; --resume goes on with the same.
        resume: continue the audit that the folder holds, computing nothing twice but what failed.
        workers: number of processes; by default one per core where the work is large. Never more than memory allows.
        scheduler: the address of a dask scheduler whose workers compute, such as tcp://10.0.0.1:8786; they must see DIR
            and have this version of fiberscope. local: a dask cluster of as many processes as --workers says.
        block: samples per chunk, which is what a killed run may have to compute again; by default 1000; 125 where a
            layer has sparse rows, such as a large convolution; 12 where one has more than a thousand inputs or is
            judged within linear regions.
        spectra: also compute, at the first so many samples, the singular values of the local linear map up to every
            stage: how stable the inverse is; by default at none, and at 50 in the demo.
        invariance: also compute, from the first so many samples, how far inputs with the same features reach towards
            other samples, with an example for every layer; needs --domain; by default from none, and from 2 in the
            demo.
        seconds: how long deciding a sample may take on each domain of a layer, on average over a chunk; past it the
            rest of the chunk is undecided, with the reason. What is decided then depends on the machine. No limit by
            default but one on exact arithmetic, which looks at no clock.
        fail_on: a threshold; may be repeated. The audit is finished all the same, and ends with exit status 1 if one
            fails. QUANTITY>NUMBER[@layerK][@DOMAIN], with >, >=, < or <=. A number behind recoverable or
            not-recoverable (of the network up to @layerK), or behind singleton, bounded, unbounded, undecided or
            unproved (of a layer by itself) is a share of the samples, 0.1 or 10%; a count says so: '3 samples'.
            dimension, margin and condition are compared by their median, or as dimension.max or .min. DOMAIN is R^n,
            box or nonnegative; @int8 or another precision asks for the verdicts at it. Condition numbers are those up
            to @layerK or @stageK, and need --spectra. What is undecided may be anything: a threshold that it could miss
            fails.
        config: a TOML file with these options; the command line overrides it.
    """
    del config  # read before the options were parsed
    require_both(model, data)
    if model is None and output is not None:
        raise InputError("--output", expected="a MODEL whose output is chosen", got="the built-in demo")
    demo = model is None
    box = (0.0, 1.0) if demo and domain is None else parse_domain(domain)
    positions, known = parse_layers(layers), parse_precision(precision)
    from fiberscope.audits.job import Options, build_job, check_options, open_folder
    from fiberscope.audits.stored_subject import require_same
    from fiberscope.audits.threshold_language import parse_thresholds
    from fiberscope.report.progress import progress_on_stderr

    options = Options(
        positions,
        samples,
        box,
        workers,
        resume,
        block,
        spectra=(_DEMO_SPECTRA if demo else 0) if spectra is None else spectra,
        invariance=(_DEMO_INVARIANCE if demo else 0) if invariance is None else invariance,
        fail_on=parse_thresholds(fail_on or ()),
        scheduler=scheduler or "",
        seconds=seconds,
        precision=known,
    )
    check_options(options)
    with open_folder(out, resume=resume) as (results, continued), progress_on_stderr() as progress:
        if model is None or data is None:
            subject = _demo_subject(results, options, progress, continued=continued)
            options = _fitted(options, subject.samples, spectra=spectra is None, invariance=invariance is None)
        else:
            chosen = _earlier_output(results, model) if continued and output is None else output
            subject = given_subject(model, data, options, trust=trust_model, output=chosen)
        require_same(results.leakage, subject)
        job = build_job(results, subject, options)
        for note in job.notes:
            print(f"note: {note}", file=sys.stderr)
        for warning in job.manifest.warnings:  # now, too: whoever sees it may not want to wait for the end
            print(f"warning: {warning}", file=sys.stderr)
        failed = _run(job, progress)
    status = print_report(results, options.fail_on)
    if failed:  # said last, and above every threshold: whoever asked for a verdict has none there
        raise FiberscopeError(
            f"{len(failed)} of {len(job.chunks)} chunks failed and are undecided: {failed[0]}; "
            "the same command with --resume tries them again"
        )
    return status


def _earlier_output(results: Results, model: Path) -> str | None:
    """The output that an audit was begun with, where the model's format has several."""
    return (results.manifest().output or None) if model.suffix.lower() == ".onnx" else None


def _fitted(options: Options, samples: int, *, spectra: bool, invariance: bool) -> Options:
    """The same with what the demo does unasked at no more samples than there are."""
    return replace(
        options,
        spectra=min(options.spectra, samples) if spectra else options.spectra,
        invariance=min(options.invariance, samples) if invariance else options.invariance,
    )


def _demo_subject(results: Results, options: Options, progress: Progress, *, continued: bool) -> Subject:
    """The demo's network and digits: from the folder if they are there, otherwise trained now."""
    from fiberscope.audits.job import build_subject

    if continued:  # training again would give another network on another machine
        return replace(results.subject(), demo=True)
    from fiberscope.paper.demo import train

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
    from fiberscope.audits.plan import AnyChunk, Chunk, SpectraChunk, SurveyChunk

    tasks: dict[type[AnyChunk], str] = {
        Chunk: f"judging {job.subject.samples} samples, chunks",
        SpectraChunk: "singular values, samples",
        SurveyChunk: "how far invariance reaches, samples",
    }
    written, total, failed = Counter(map(type, job.done)), Counter(map(type, job.chunks)), list[str]()
    progress.show(tasks[Chunk], written[Chunk], total[Chunk])
    try:
        for chunk in job.run():
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


__all__ = ["audit"]
