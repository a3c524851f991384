"""The command ``fiberscope report``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fiberscope.commands import FAILED, FINE
from fiberscope.commands.console import console_on_stdout

if TYPE_CHECKING:
    from fiberscope.audits.store import Results
    from fiberscope.audits.thresholds import Threshold


def report(
    folder: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    fail_on: Annotated[list[str] | None, Parameter(negative="")] = None,
) -> int:
    """Write DIR/report.html again from the results, and hold what is finished against thresholds.

    Exit status 1 if a threshold fails.

    Args:
        folder: the folder of the results.
        fail_on: a threshold, as for fiberscope audit, or as for fiberscope leakage where its results lie in DIR; may be
            repeated. recoverable is about those if it names a precision: 'recoverable>0@layer2@int8'.
    """
    from fiberscope.audits.store import Results
    from fiberscope.audits.threshold_language import parse_stored_thresholds
    from fiberscope.commands.leakage import print_leakage
    from fiberscope.files import is_file

    results, (thresholds, of_leakage) = Results(folder), parse_stored_thresholds(fail_on or ())
    if not thresholds and not is_file(results.manifest_path) and is_file(results.leakage.manifest_path):
        return print_leakage(results, of_leakage)
    return print_report(results, thresholds, of_leakage)


def print_report(results: Results, thresholds: Sequence[Threshold], of_leakage: Sequence[Threshold] = ()) -> int:
    """Write the page, print the tables, and say which thresholds fail.

    Args:
        results: the folder.
        thresholds: on what the audit measured.
        of_leakage: on what features were found to give away.

    Returns:
        The exit status.
    """
    from fiberscope.audits.accuracy import accuracy_line
    from fiberscope.audits.measurements import violations_of
    from fiberscope.audits.thresholds import threshold_lines
    from fiberscope.commands.leakage import leakage_violations
    from fiberscope.report.html import write_report
    from fiberscope.report.network import network_sentences, network_table, summarise_network
    from fiberscope.report.spectra import left_out_lines, radius_lines, spectra_table
    from fiberscope.report.summary import closing_lines, summarise, summary_table
    from fiberscope.report.survey import summarise_survey, survey_table
    from fiberscope.stability.stage_medians import stage_medians

    found = violations_of(results, thresholds) if thresholds else []
    found += leakage_violations(results, of_leakage) if of_leakage else []
    content = write_report(results)
    manifest = content.manifest
    summaries, stages = summarise(manifest, content.findings), stage_medians(content.spectra)
    network = summarise_network(manifest, content.network)
    console = console_on_stdout()
    if network:
        console.print(network_table(network))
        for line in network_sentences(network, manifest.domain):
            console.print(line, markup=False, highlight=False)
    console.print(summary_table(summaries))
    if stages:
        console.print(spectra_table(stages))
    if manifest.invariance:
        console.print(survey_table(summarise_survey(content.survey), manifest.precision))
    for line in (*left_out_lines(stages), *radius_lines(stages), *closing_lines(summaries, complete=manifest.complete)):
        print(line)
    said = accuracy_line(manifest.correct, manifest.samples), *(f"warning: {each}" for each in manifest.warnings)
    for line in (*filter(None, (*said, manifest.training)), *threshold_lines((*thresholds, *of_leakage), found)):
        print(line)
    print(f"report: {results.report_path}")
    return FAILED if found else FINE


__all__ = ["print_report", "report"]
