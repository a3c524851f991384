"""The command ``fiberscope leakage``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import Parameter

from fiberscope.commands.arguments import parse_domain, parse_layers, parse_precision
from fiberscope.commands.console import console_on_stdout
from fiberscope.commands.status import FAILED, FINE
from fiberscope.commands.subject import given_subject

if TYPE_CHECKING:
    from fiberscope.audit.subject import Subject
    from fiberscope.audit.thresholds import Threshold
    from fiberscope.recovery.leakage import Leak
    from fiberscope.recovery.recovery import Recovery
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
    fail_on: Annotated[list[str] | None, Parameter(negative="")] = None,
) -> int:
    """Tell what the features of each layer give away of the network's input: what is proved, and what an attack sees.

    Writes DIR/leakage.parquet, a row per sample, layer and precision, and DIR/leakage.html. Exit status 1 if a
    threshold fails.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        data: the samples: .npz (arrays x, optional y), .npy, IDX (.gz too), a folder of images, or a name: mnist,
            mnist-5k, fashion-mnist, cifar10.
        out: the folder for the table and the page.
        domain: LOW,HIGH: bounds of every input coordinate, among which inputs are looked for.
        precision: how well the features are known, several separated by commas: float32, float16, int8 (8-bit codes),
            or numbers: by how much each may differ.
        layers: positions of the ReLU layers whose features are sent, such as 0,2; all by default.
        samples: the first so many samples; 10 by default.
        seconds: for each sample at one layer and one precision; past it less is proved.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        output: the name of the output to take, where an ONNX model has several.
        fail_on: a threshold; may be repeated. QUANTITY>NUMBER[@layerK][@PRECISION], with >, >=, < or <=. A number
            behind recoverable (proved) or rebuilt (by an attack, not proved) is a share of the samples, 0.1 or 10%; a
            count says so: '3 samples'. bits and radius (at most so much is left, proved) are compared by their median,
            or as bits.min or .max.
    """
    box, chosen = parse_domain(domain) or (0.0, 1.0), parse_layers(layers)
    known = tuple(dict.fromkeys(parse_precision(part.strip()) for part in precision.split(",")))
    from fiberscope.audit.job import Options, check_options
    from fiberscope.audit.threshold_language import parse_thresholds
    from fiberscope.audit.thresholds import OF_LEAKAGE
    from fiberscope.report.progress import progress_on_stderr

    thresholds = parse_thresholds(fail_on or (), OF_LEAKAGE)
    options = Options(chosen, samples, box, seconds=seconds)
    check_options(options)
    subject = given_subject(model, data, options, trust=trust_model, output=output)
    if samples is None:
        subject = replace(subject, x=subject.x[:_SAMPLES], y=None if subject.y is None else subject.y[:_SAMPLES])
    asked = _everywhere(thresholds, known)
    _check(asked, subject, chosen, known)
    with progress_on_stderr() as progress:
        rows, seen = _computed(subject, box, known, chosen, seconds, progress)
    return _told(rows, seen, subject, box, seconds, out, thresholds, asked)


def _everywhere(thresholds: Sequence[Threshold], known: Sequence[str]) -> list[Threshold]:
    """A threshold that names no precision is about each."""
    from fiberscope.audit.plan import EXACT

    return [
        replace(each, precision=precision)
        for each in thresholds
        for precision in (known if each.precision == EXACT else (each.precision,))
    ]


def _check(
    thresholds: Sequence[Threshold], subject: Subject, layers: Sequence[int] | None, known: Sequence[str]
) -> None:
    """InputError for a threshold about what is not asked for, before any work."""
    from fiberscope.audit.thresholds import Place, check_thresholds

    names = subject.network.layer_names
    chosen = range(len(names)) if layers is None else [layer % max(len(names), 1) for layer in layers]
    places = [
        Place(f"layer {layer} at {precision}", layer=layer, precision=precision, is_network=True)
        for layer in chosen
        for precision in known
    ]
    check_thresholds(thresholds, places, subject.samples)


def _computed(
    subject: Subject,
    box: tuple[float, float],
    known: Sequence[str],
    layers: Sequence[int] | None,
    seconds: float,
    progress: Progress,
) -> tuple[list[Leak], list[tuple[Leak, Recovery]]]:
    """The rows, and those of the first samples with their recoveries."""
    from fiberscope.network.domains import Box
    from fiberscope.preimage.precision import NAMES
    from fiberscope.recovery.leakage import leaks
    from fiberscope.report.leakage import PICTURED

    seen: list[tuple[Leak, Recovery]] = []

    def keep(row: Leak, recovery: Recovery) -> None:
        if row.sample < PICTURED:
            seen.append((row, recovery))

    rows = leaks(
        subject.network,
        subject.x,
        Box(*box),
        [each if each in NAMES else float(each) for each in known],
        layers,
        seconds=seconds,
        progress=lambda done, total: progress.show("recovering inputs", done, total),
        seen=keep,
    )
    return list(rows), seen


def _told(
    rows: list[Leak],
    seen: list[tuple[Leak, Recovery]],
    subject: Subject,
    box: tuple[float, float],
    seconds: float,
    out: Path,
    thresholds: Sequence[Threshold],
    asked: Sequence[Threshold],
) -> int:
    """Write the files, print the table, and say which thresholds fail."""
    from pyarrow import parquet

    from fiberscope.audit.thresholds import violations
    from fiberscope.files import atomic_path
    from fiberscope.recovery.leakage import table_of
    from fiberscope.report.leakage import (
        leakage_lines,
        leakage_table,
        measured_of,
        render_leakage,
        summarise_leakage,
    )
    from fiberscope.report.thresholds import threshold_lines

    names, span = subject.network.layer_names, box[1] - box[0]
    summaries = summarise_leakage(rows, names, span)
    page, write = render_leakage(summaries, seen, subject, box, seconds), cast("Any", parquet).write_table
    with atomic_path(out / "leakage.parquet") as path:
        write(table_of(rows), path)
    with atomic_path(out / "leakage.html") as path:
        path.write_text(page, encoding="utf-8")
    found = violations(asked, list(measured_of(rows, names, span)))
    console_on_stdout().print(leakage_table(summaries))
    for line in [*leakage_lines(summaries, subject, box), *threshold_lines(thresholds, found)]:
        print(line)
    print(f"report: {out / 'leakage.html'}")
    return FAILED if found else FINE


__all__ = ["leakage"]
