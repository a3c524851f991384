"""The command ``fiberscope report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from fiberscope.commands.console import console_on_stdout
from fiberscope.commands.status import FINE

if TYPE_CHECKING:
    from fiberscope.audit.store import Results


def report(folder: Annotated[Path, Parameter(name="DIR")], /) -> int:
    """Write DIR/report.html again from the results.

    Args:
        folder: the folder of the results.
    """
    from fiberscope.audit.store import Results

    return print_report(Results(folder))


def print_report(results: Results) -> int:
    """Write the page and print the table."""
    from fiberscope.report.html import write_report
    from fiberscope.report.spectra import left_out_lines, spectra_table, summarise_spectra
    from fiberscope.report.summary import closing_lines, summarise, summary_table
    from fiberscope.report.survey import summarise_survey, survey_table

    write_report(results)
    manifest = results.manifest()
    summaries = summarise(manifest, results.findings(manifest))
    stages = summarise_spectra(results.spectra_table(manifest))
    console = console_on_stdout()
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


__all__ = ["print_report", "report"]
