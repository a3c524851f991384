"""The command line: parse, call, print, exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.config import Dict

from fiberscope import __version__
from fiberscope.arguments import (
    parse_domain,
    parse_layers,
    parse_shape,
    parse_wanted,
    read_config,
    require_both,
    usage,
)
from fiberscope.errors import FiberscopeError, ResultsError
from fiberscope.reproduce_command import reproduce

if TYPE_CHECKING:  # these load solvers or torch, which nobody who asks for help wants to wait for
    from fiberscope.audit.execution import Job
    from fiberscope.audit.job import Options
    from fiberscope.audit.store import Results
    from fiberscope.audit.subject import Subject
    from fiberscope.audit.verify import ChunkVerification
    from fiberscope.audit.verify_spectra import SpectraVerification
    from fiberscope.report.progress import Progress

FINE, FAILED, ERROR = 0, 1, 2
"""The exit statuses: all well; a certificate or an example is not proved; something went wrong."""

_PLAIN_WIDTH = 120

_DEMO_SPECTRA = 50
"""Samples of the demo at which singular values are computed, as many as in the paper's figures 4 and 5."""

_DEMO_INVARIANCE = 2
"""Samples of the demo from which it is computed how far invariance reaches."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0 fine, 1 a certificate fails, 2 an error.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        status = build_app(read_config(tokens))(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _error(usage(error))
    except FiberscopeError as error:
        return _error(str(error))
    except KeyboardInterrupt as interrupt:
        return _error(str(interrupt) or "interrupted")
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except Exception:
        traceback.print_exc()
        return _error("this is a defect in fiberscope; please report it with the lines above")
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
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # handled by main, which says how to continue
        config=() if config is None else (config,),
    )
    for command in (audit, inspect, verify, report, invariance, reproduce):
        app.command(command)
    return app


def audit(
    model: Path | None = None,
    data: str | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    domain: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    layers: str | None = None,
    samples: int | None = None,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    resume: Annotated[bool, Parameter(negative="")] = False,
    workers: int | None = None,
    scheduler: str | None = None,
    block: int | None = None,
    spectra: int | None = None,
    invariance: int | None = None,
    config: Path | None = None,
) -> int:
    """Decide and prove, for every ReLU layer and sample, which inputs the layer mixes up.

    With neither MODEL nor DATA: the built-in demo, a real network trained on real digits.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        data: the samples: .npz (arrays x, optional y), .npy, IDX (.gz too), a folder of images, or a name: mnist,
            mnist-5k, fashion-mnist, cifar10.
        out: the folder for the results.
        domain: LOW,HIGH: bounds of every input coordinate; the first layer is judged within them as well as without.
        layers: positions of the ReLU layers to audit, such as 0,2; all by default.
        samples: audit the first so many samples; all by default.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        resume: continue the audit that the folder holds, computing nothing twice.
        workers: number of processes; by default one per core where the work is large.
        scheduler: the address of a dask scheduler whose workers compute, such as tcp://10.0.0.1:8786; they must see DIR
            and have this version of fiberscope. local: a dask cluster of as many processes as --workers says.
        block: samples per chunk, which is what a killed run may have to compute again; by default 125, or 12 where a
            layer has more than a thousand inputs.
        spectra: also compute, at the first so many samples, the singular values of the local linear map up to every
            stage: how stable the inverse is; by default at none, and at 50 in the demo.
        invariance: also compute, from the first so many samples, how far inputs with the same features reach towards
            other samples, with an example for every layer; needs --domain; by default from none, and from 2 in the
            demo.
        config: a TOML file with these options; the command line overrides it.
    """
    del config  # read before the options were parsed
    require_both(model, data)
    box = (0.0, 1.0) if model is None and domain is None else parse_domain(domain)
    positions = parse_layers(layers)
    from fiberscope.audit.job import Options, build_job, check_options, open_folder
    from fiberscope.report.progress import progress_on_stderr

    options = Options(
        positions, samples, box, workers, resume, block, spectra or 0, invariance or 0, scheduler=scheduler or ""
    )
    check_options(options)
    with open_folder(out, resume=resume) as (results, continued), progress_on_stderr() as progress:
        if model is None or data is None:
            subject = _demo_subject(results, options, progress, continued=continued)
            options = options if spectra is not None else replace(options, spectra=min(_DEMO_SPECTRA, subject.samples))
            if invariance is None:
                options = replace(options, invariance=min(_DEMO_INVARIANCE, subject.samples))
        else:
            subject = _given_subject(model, data, options, trust=trust_model)
        job = build_job(results, subject, options)
        for note in job.notes:
            print(f"note: {note}", file=sys.stderr)
        failed = _run(job, progress)
    if failed:
        print(f"{len(failed)} of {len(job.chunks)} chunks failed and are undecided: {failed[0]}", file=sys.stderr)
        print("the same command with --resume tries them again", file=sys.stderr)
    return _print_report(results)


def inspect(
    model: Path,
    /,
    *,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    input_shape: str | None = None,
) -> int:
    """Show what a model is made of, what can be judged, and what it takes, before any work.

    Reads the model, compares it with what its own library computes, and prints its stages, shapes, parameters and
    layers, the memory that an audit needs, and what stands in the way.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        trust_model: load a format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        input_shape: the shape of one sample, such as 3,32,32, where the file leaves it open.
    """
    from rich.console import Console

    from fiberscope.readers.files import load
    from fiberscope.report.inspection import closing_lines, layer_table, stage_table

    network = load(model, trust=trust_model, input_shape=parse_shape(input_shape))
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(stage_table(network))
    console.print(layer_table(network))
    for line in closing_lines(network):
        print(line)
    return FINE


def verify(
    folder: Annotated[Path, Parameter(name="DIR")], /, *, exact: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """Check every certificate, all singular values and all invariance examples of an audit again.

    From the model and the results alone. Exit status 0 if all verdicts and examples are proved and all singular values
    confirmed, 1 if one is not, 2 if the folder is damaged or holds something else.

    Args:
        folder: the folder of the results.
        exact: use rational arithmetic only for the certificates; slower.
    """
    from fiberscope.audit.store import Results
    from fiberscope.audit.verify import verify_results
    from fiberscope.audit.verify_examples import changed_invariance, verify_examples
    from fiberscope.audit.verify_spectra import verify_spectra
    from fiberscope.report.progress import progress_on_stderr
    from fiberscope.report.verification import example_lines, spectra_lines, verdict_lines

    results = Results(folder)
    plan = results.manifest().plan
    total = sum(1 for _ in plan.chunks())
    checked: list[ChunkVerification] = []
    spectra: list[SpectraVerification] = []
    with progress_on_stderr() as progress:
        for chunk in verify_results(results, exact=exact):
            checked.append(chunk)
            progress.show("verifying", len(checked), total)
        for sample in verify_spectra(results):
            spectra.append(sample)
            progress.show("verifying singular values, samples", len(spectra), plan.spectra)
        examples = list(verify_examples(results))
    for line in (*verdict_lines(checked), *spectra_lines(spectra), *example_lines(examples)):
        print(line)
    every = (*checked, *spectra)
    if any(each.failures for each in every) or any(example.failed for example in examples):
        return FAILED
    changed = [*(path for each in every for path in each.changed), *changed_invariance(results)]
    if changed:
        names = ", ".join(changed[:3])
        raise ResultsError(f"everything holds, but files are not as the audit wrote them: {names}", path=changed[0])
    return FINE


def report(folder: Annotated[Path, Parameter(name="DIR")], /) -> int:
    """Write DIR/report.html again from the results.

    Args:
        folder: the folder of the results.
    """
    from fiberscope.audit.store import Results

    return _print_report(Results(folder))


def invariance(
    model: Path,
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    source: int | None = None,
    target: int | None = None,
    layer: str = "0",
    domain: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    objective: str = "inner_product",
    regions: str = "1",
    count: int = 1,
    seed: int = 0,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Find another input that a layer maps to exactly the same features, and prove it.

    Within all inputs with the features of the source, the one that is most like the target. With neither --source nor
    --target: the samples with the fewest positive outputs are tried, towards samples of other classes, and what changes
    most is kept.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        data: the samples: .npz (arrays x, optional y), .npy, IDX (.gz too), a folder of images, or a name: mnist,
            mnist-5k, fashion-mnist, cifar10.
        out: the folder for the examples; if it holds an audit of the same network, its report shows them.
        source: the position of the sample whose features are kept.
        target: the position of the sample to go towards.
        layer: the position of the ReLU layer, or output for the network's output.
        domain: LOW,HIGH: bounds of every input; by default the smallest and the largest number in the data.
        objective: what is sought: inner_product, towards, nearest_l1, nearest_l2, nearest_linf, farthest_l1,
            farthest_l2, farthest_linf, smallest_change_l1, smallest_change_l2 or smallest_change_linf.
        regions: how many activation regions of the layers before to go through; 1 stays in that of the source. all: the
            best of all regions, by mixed-integer programming, for networks of some tens of units.
        count: how many examples to keep, those with the largest change.
        seed: of what is chosen at random.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
    """
    from fiberscope.audit.examples import make_examples
    from fiberscope.audit.job import Options
    from fiberscope.audit.store import Results
    from fiberscope.report.examples import example_lines, publish_examples
    from fiberscope.report.progress import progress_on_stderr

    subject = _given_subject(model, data, Options(), trust=trust_model)
    wanted = parse_wanted(subject.x, layer, domain, objective, regions, count, source=source, target=target, seed=seed)
    with progress_on_stderr() as progress:
        examples = make_examples(subject, wanted, lambda done, total: progress.show("pairs", done, total))
    results = Results(out)
    for example in examples:
        results.examples.write(example)
        for line in example_lines(example.facts):
            print(line)
    print(f"report: {publish_examples(results, subject.network.digest())}")
    return FINE if all(example.facts.proved for example in examples) else FAILED


def _given_subject(model: Path, data: str, options: Options, *, trust: bool) -> Subject:
    from fiberscope.audit.job import build_subject
    from fiberscope.paper.datasets import load_data
    from fiberscope.readers.files import load

    network, samples = load(model, trust=trust), load_data(data)
    words = {"model_name": model.name, "data_name": samples.name, "data_description": samples.description}
    return build_subject(network, samples.x, samples.y, options, **words)


def _demo_subject(results: Results, options: Options, progress: Progress, *, continued: bool) -> Subject:
    """The demo's network and digits: from the folder if they are there, otherwise trained now."""
    from fiberscope.audit.job import build_subject

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
    from fiberscope.audit.plan import Chunk, SpectraChunk, SurveyChunk

    tasks = {
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


def _print_report(results: Results) -> int:
    """Write the page and print the table."""
    from rich.console import Console

    from fiberscope.report.html import write_report
    from fiberscope.report.spectra import left_out_lines, spectra_table, summarise_spectra
    from fiberscope.report.summary import closing_lines, summarise, summary_table
    from fiberscope.report.survey import summarise_survey, survey_table

    write_report(results)
    manifest = results.manifest()
    summaries = summarise(manifest, results.findings(manifest))
    stages = summarise_spectra(results.spectra_table(manifest))
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(summary_table(summaries))
    if stages:
        console.print(spectra_table(stages))
    if manifest.invariance:
        console.print(survey_table(summarise_survey(results.survey_table(manifest))))
    for line in (*left_out_lines(stages), *closing_lines(summaries)):
        print(line)
    if manifest.training:
        print(manifest.training)
    print(f"report: {results.report_path}")
    return FINE


def _error(message: str) -> int:
    print(f"fiberscope: error: {' '.join(message.split())}", file=sys.stderr)
    return ERROR


__all__ = ["build_app", "main"]
