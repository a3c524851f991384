"""The command ``fiberscope compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fiberscope.commands.console import console_on_stdout
from fiberscope.commands.status import FAILED, FINE

if TYPE_CHECKING:
    from fiberscope.audits.changes import Changes


def compare(
    before: Annotated[Path, Parameter(name="BEFORE")],
    after: Annotated[Path, Parameter(name="AFTER")],
    /,
    *,
    out: Path | None = None,
    fail_on: Annotated[list[str] | None, Parameter(negative="")] = None,
) -> int:
    """Say what became more or less invertible from one audit to another of the same data.

    Layers and stages correspond by position, and samples are compared one by one: a sample became more invertible in a
    layer if its preimage leaves less open, by its kind or, for the same kind, by its dimension. Exit status 1 if a
    threshold fails.

    Args:
        before: the folder of the first audit.
        after: the folder of the second audit.
        out: also write what changed into this file, as JSON.
        fail_on: a threshold; may be repeated. QUANTITY>NUMBER[@layerK][@DOMAIN], as for fiberscope audit. The
            quantities are more-invertible and less-invertible, shares of the samples, and condition-ratio, the
            condition number after over that before (its median, or condition-ratio.max or .min), @layerK or @stageK.
            What is undecided in one of the audits may be anything: a threshold that it could miss fails.
    """
    from fiberscope.audits.changes import compare as changes_of
    from fiberscope.audits.pairing import pair
    from fiberscope.audits.store import Results
    from fiberscope.audits.threshold_language import parse_thresholds
    from fiberscope.audits.thresholds import OF_COMPARISON, check_thresholds, violations
    from fiberscope.report.thresholds import threshold_lines

    thresholds = parse_thresholds(fail_on or (), OF_COMPARISON)
    both = pair(Results(before), Results(after))
    check_thresholds(thresholds, (*both.groups, *both.stages), both.samples)
    changes = changes_of(both)
    found = violations(thresholds, list(changes.measured()))
    _print(changes)
    for line in threshold_lines(thresholds, found):
        print(line)
    if out is not None:
        _write(changes, out)
    return FAILED if found else FINE


def _print(changes: Changes) -> None:
    from fiberscope.report.changes import (
        closing_lines,
        layer_sentences,
        layers_table,
        network_sentence,
        opening_lines,
        stages_table,
    )

    for line in (*opening_lines(changes.pair), *map(network_sentence, changes.network)):
        print(line)
    console = console_on_stdout()
    console.print(layers_table(changes.layers))
    if changes.stages:
        console.print(stages_table(changes.stages))
    for layer in changes.layers:
        for line in layer_sentences(layer):
            print(line)
    for line in closing_lines(changes):
        print(line)


def _write(changes: Changes, out: Path) -> None:
    import json

    from fiberscope.files import write_file
    from fiberscope.report.changes import as_data

    write_file(out, (json.dumps(as_data(changes), indent=2, allow_nan=False) + "\n").encode())
    print(f"written: {out}")


__all__ = ["compare"]
