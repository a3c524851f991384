"""The command ``fiberscope compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fiberscope.commands import FAILED, FINE
from fiberscope.commands.console import console_on_stdout

if TYPE_CHECKING:
    from fiberscope.audits.changes import Changes


def compare(
    before: Annotated[Path, Parameter(name="BEFORE")],
    after: Annotated[Path, Parameter(name="AFTER")],
    /,
    *more: Annotated[Path, Parameter(name="MORE")],
    out: Path | None = None,
    fail_on: Annotated[list[str] | None, Parameter(negative="")] = None,
) -> int:
    """Say what became more or less invertible from one audit to others of the same data.

    Layers and stages correspond by position, and samples are compared one by one: a sample became more invertible in a
    layer if its preimage leaves less open, by its kind or, for the same kind, by its dimension. Exit status 1 if a
    threshold fails.

    Args:
        before: the folder of the first audit.
        after: the folder of the second audit.
        more: folders of further audits, each compared with the first.
        out: also write what changed into this file: a page with plots if its name ends in .html, otherwise JSON.
        fail_on: a threshold; may be repeated. QUANTITY>NUMBER[@layerK][@DOMAIN], as for fiberscope audit. The
            quantities are more-invertible and less-invertible, shares of the samples; condition-ratio, the
            condition number after over that before (its median, or condition-ratio.max or .min), @layerK or @stageK;
            and reach-change, how much farther inputs with the same features reach (with --invariance), @layerK.
            What is undecided in one of the audits may be anything: a threshold that it could miss fails.
    """
    from fiberscope.audits.quantities import OF_COMPARISON
    from fiberscope.audits.threshold_language import parse_thresholds
    from fiberscope.audits.thresholds import threshold_lines
    from fiberscope.jobs.comparison import Comparison, compared

    thresholds = parse_thresholds(fail_on or (), OF_COMPARISON)
    comparison = Comparison(compared([before, after, *more]))
    found = comparison.violated(thresholds)
    for changes in comparison.changes:
        _print(changes)
    for line in threshold_lines(thresholds, found):
        print(line)
    if out is not None:
        print(f"written: {comparison.write(out)}")
    return FAILED if found else FINE


def _print(changes: Changes) -> None:
    from fiberscope.report.changes import (
        closing_lines,
        layer_sentences,
        layers_table,
        network_sentence,
        opening_lines,
        reach_sentences,
        stages_table,
    )

    for line in (*opening_lines(changes.pair), *map(network_sentence, changes.network), *reach_sentences(changes)):
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


__all__ = ["compare"]
