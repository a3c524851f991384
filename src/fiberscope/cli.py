"""The command line: parse, call, print, exit code."""

from __future__ import annotations

import os
import sys
import tomllib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter
from cyclopts.config import Dict

from fiberscope import __version__
from fiberscope.errors import FiberscopeError, InputError, ResultsError

if TYPE_CHECKING:  # these load solvers or torch, which nobody who asks for help wants to wait for
    from fiberscope.audit.job import Job, Options
    from fiberscope.audit.store import Results
    from fiberscope.audit.subject import Subject
    from fiberscope.audit.verify import ChunkVerification
    from fiberscope.report.progress import Progress

FINE, FAILED, ERROR = 0, 1, 2
"""The exit statuses: all well; a certificate does not prove its verdict; something went wrong."""

_SHOWN_FAILURES = 20
_PLAIN_WIDTH = 120


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None for those of the process.

    Returns:
        The exit status: 0 fine, 1 a certificate fails, 2 an error.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        status = build_app(_config(tokens))(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _error(_usage(error))
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
    for command in (audit, inspect, verify, report):
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
    block: int | None = None,
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
        block: samples per chunk, which is what a killed run may have to compute again; by default 125, or 12 where a
            layer has more than a thousand inputs.
        config: a TOML file with these options; the command line overrides it.
    """
    del config  # read before the options were parsed
    _require_both(model, data)
    box = (0.0, 1.0) if model is None and domain is None else _parse_domain(domain)
    positions = _parse_layers(layers)
    from fiberscope.audit.job import Options, build_job, check_options, open_folder
    from fiberscope.report.progress import progress_on_stderr

    options = Options(positions, samples, box, workers, resume, block)
    check_options(options)
    results, continued = open_folder(out, resume=resume)
    with progress_on_stderr() as progress:
        if model is None or data is None:
            subject = _demo_subject(results, options, progress, continued=continued)
        else:
            subject = _given_subject(model, data, options, trust=trust_model)
        job = build_job(results, subject, options)
        _run(job, progress)
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

    network = load(model, trust=trust_model, input_shape=_parse_shape(input_shape))
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(stage_table(network))
    console.print(layer_table(network))
    for line in closing_lines(network):
        print(line)
    return FINE


def verify(
    folder: Annotated[Path, Parameter(name="DIR")], /, *, exact: Annotated[bool, Parameter(negative="")] = False
) -> int:
    """Check every certificate of an audit again, from the model and the results alone.

    Exit status 0 if all verdicts are proved, 1 if one is not, 2 if the folder is damaged or holds something else.

    Args:
        folder: the folder of the results.
        exact: use rational arithmetic only; slower.
    """
    from fiberscope.audit.store import Results
    from fiberscope.audit.verify import verify_results
    from fiberscope.report.progress import progress_on_stderr

    results = Results(folder)
    total = sum(1 for _ in results.manifest().plan.chunks())
    checked: list[ChunkVerification] = []
    with progress_on_stderr() as progress:
        for chunk in verify_results(results, exact=exact):
            checked.append(chunk)
            progress.show("verifying", len(checked), total)
    if _print_verification(checked):
        return FAILED
    changed = [path for chunk in checked for path in chunk.changed]
    if changed:
        names = ", ".join(changed[:3])
        raise ResultsError(
            f"every certificate holds, but files are not as the audit wrote them: {names}", path=changed[0]
        )
    return FINE


def _print_verification(checked: Sequence[ChunkVerification]) -> int:
    """Say what was proved and what was not; returns the number of verdicts that were not."""
    failures = sorted(
        (failure for chunk in checked for failure in chunk.failures),
        key=lambda failure: (failure.finding.layer, failure.finding.sample, failure.finding.domain),
    )
    for failure in failures[:_SHOWN_FAILURES]:
        f = failure.finding
        print(f"not proved: layer {f.layer}, sample {f.sample}, {f.domain}: {f.kind}: {failure.reason}")
    if len(failures) > _SHOWN_FAILURES:
        print(f"and {len(failures) - _SHOWN_FAILURES} more")
    proved, undecided = sum(chunk.proved for chunk in checked), sum(chunk.undecided for chunk in checked)
    print(f"{proved} verdicts proved, {len(failures)} not proved, {undecided} undecided")
    return len(failures)


def report(folder: Annotated[Path, Parameter(name="DIR")], /) -> int:
    """Write DIR/report.html again from the results.

    Args:
        folder: the folder of the results.
    """
    from fiberscope.audit.store import Results

    return _print_report(Results(folder))


def _require_both(model: Path | None, data: str | None) -> None:
    if model is not None and data is None:
        raise InputError("audit", expected="both MODEL and DATA, or neither for the built-in demo", got="MODEL alone")


def _parse_domain(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError("--domain", expected="two numbers LOW,HIGH such as 0,1", got=repr(text)) from None
    if not (low <= high and abs(low) < float("inf") and abs(high) < float("inf")):
        raise InputError("--domain", expected="LOW,HIGH with LOW at most HIGH, both finite", got=repr(text))
    return low, high


def _parse_layers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError("--layers", expected="positions separated by commas, such as 0,2", got=repr(text)) from None


def _parse_shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError("--input-shape", expected="whole numbers such as 3,32,32", got=repr(text)) from None


def _given_subject(model: Path, data: str, options: Options, *, trust: bool) -> Subject:
    from fiberscope.audit.job import build_subject
    from fiberscope.paper.datasets import load_data
    from fiberscope.readers.files import load

    network, samples = load(model, trust=trust), load_data(data)
    words = {"model_name": model.name, "data_name": samples.name, "data_description": samples.description}
    return build_subject(network, samples.x, samples.y, options, **words)


def _demo_subject(results: Results, options: Options, progress: Progress, *, continued: bool) -> Subject:
    """The demo's network and digits: from the folder if they are there, otherwise trained now."""
    from dataclasses import replace

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


def _run(job: Job, progress: Progress) -> None:
    written, total = len(job.done), job.chunks
    task = f"judging {job.subject.samples} samples, chunks"
    progress.show(task, written, total)
    try:
        for _ in job.run():
            written += 1
            progress.show(task, written, total)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted: {written} of {total} chunks are written; continue with the same command and --resume"
        ) from None


def _print_report(results: Results) -> int:
    """Write the page and print the table."""
    from rich.console import Console

    from fiberscope.report.html import write_report
    from fiberscope.report.summary import closing_lines, summarise, summary_table

    write_report(results)
    manifest = results.manifest()
    summaries = summarise(manifest, results.findings(manifest))
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(summary_table(summaries))
    for line in closing_lines(summaries):
        print(line)
    if manifest.training:
        print(manifest.training)
    print(f"report: {results.report_path}")
    return FINE


def _config(tokens: Sequence[str]) -> Dict | None:
    """The options in the file that ``--config`` names, which must be known before the others can be parsed."""
    for position, token in enumerate(tokens):
        if token.startswith("--config="):
            return _options_in(Path(token.removeprefix("--config=")))
        if token == "--config" and position + 1 < len(tokens):
            return _options_in(Path(tokens[position + 1]))
    return None


def _options_in(config: Path) -> Dict:
    """Read options from TOML. Lists such as ``domain = [0, 1]`` mean the same as on the command line, ``0,1``."""
    try:
        options = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("--config", expected="a TOML file", got=f"{str(config)!r}: {error.strerror}") from error
    except ValueError as error:
        raise InputError("--config", expected="a TOML file", got=f"{str(config)!r}: {error}") from error
    for name, value in options.items():
        if isinstance(value, dict):
            raise InputError("--config", expected="options such as samples = 100", got=f"the table [{name}]")
        if isinstance(value, list):
            options[name] = ",".join(str(item) for item in cast("list[object]", value))
    return Dict(options, source=str(config), use_commands_as_keys=False)


def _usage(error: CycloptsError) -> str:
    command = " ".join(error.command_chain or ())
    message = str(error).rstrip(".")
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        message = f"{command}: {error.argument.name} is missing, or has no value"
    return f"{message}; see fiberscope {command} --help".replace("  ", " ")


def _error(message: str) -> int:
    print(f"fiberscope: error: {' '.join(message.split())}", file=sys.stderr)
    return ERROR


__all__ = ["build_app", "main"]
